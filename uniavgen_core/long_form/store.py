"""Finished segments on the disk, each under a key of all that it was made from."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..config import FRAME_RATE
from ..files import whole_file
from ..media.images import to_bytes
from ..media.muxing import write_video

logger = logging.getLogger(__name__)

FACTS, VIDEO_BYTES = "segment", "video_bytes"
"""In a file's metadata: what is known of a segment besides its tensors, as JSON, and the size of its video file."""
OURS = re.compile(r"(?:[0-9a-f]{64}|\.[0-9a-f]{32})\.(?:safetensors|mp4)")
"""Names of finished segments' files, and of files that were being written when the power went."""
TENSORS, VIDEO = ".safetensors", ".mp4"


@dataclass(frozen=True)
class StoredSegment:
    """What the segments after it, and the finished clip, must know of one. Defaults hold before the first."""

    past_mel: Tensor
    """Its end (m, 80) as natural log-mel, which the next segment starts with."""
    past_images: Tensor | None = None
    """The frames (4(k-1)+1, H, W, 3) of its end, which the next one starts with; None where they are a recording's."""
    colours: Tensor | None = None
    """The scene's first segment's, as `colours_of` gives them; None where the picture is a recording."""
    waveform: Tensor = field(default_factory=lambda: torch.zeros(0))
    """Samples from the kept past on; none where the sound is a recording."""
    start: int = 0
    """Frame of the clip at which what it adds begins."""
    added: int = 0
    """Frames that it adds to the clip, whether they are made or a recording's."""
    latent_frames: int = 0
    words: str = ""
    """All that is said in it, the kept past included."""
    speaker: int | None = None
    """Who speaks at its end, as far as the script says it."""
    voiced: tuple[float, float] = (0.0, 0.0)
    """Seconds from its start at which its voice sets in and ends."""
    silence: float = 0.0
    """Seconds of silence that were given behind the past, before the words."""
    trailing: float = 0.0
    """Seconds of silence since the last voice, over as many segments as there were."""
    loud_db: float | None = None
    """Level of its loud parts in decibels, or of the last spoken segment's where nobody speaks."""
    levels: dict[str, float] = field(default_factory=dict)
    """Level of the voice in decibels in the scene's first segment of each caption and speaker so far, by both."""

    @property
    def end(self) -> int:
        """Frame of the clip at which the next segment's begin."""
        return self.start + self.added

    @property
    def is_start(self) -> bool:
        """Whether nothing was made yet."""
        return self.latent_frames == 0


class SegmentStore:
    """A folder of finished segments: the frames that one adds as a video, all else as tensors.

    Args:
        most_bytes: what the folder may hold; what was not used for longest goes first, but nothing that this store has
            read or written. None sets no limit.
    """

    def __init__(self, folder: Path, most_bytes: int | None = None):
        self.folder, self.most_bytes = folder, most_bytes
        self.used: set[str] = set()

    def video(self, key: str) -> Path:
        """Where the frames that a segment adds are."""
        return self.folder / f"{key}{VIDEO}"

    def read(self, key: str) -> StoredSegment | None:
        """A finished segment; None where there is none, or where its files are damaged."""
        path = self._tensors(key)
        if not path.is_file():
            return None
        try:
            segment = self._read(path, key)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            logger.warning("%s is damaged, its segment is made again: %s", path.name, error)
            return None
        self.used.add(key)
        os.utime(path)
        return segment

    def _read(self, path: Path, key: str) -> StoredSegment:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()[FACTS])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        video_bytes = facts.pop(VIDEO_BYTES)
        if video_bytes is not None and self.video(key).stat().st_size != video_bytes:
            raise ValueError("its video is not whole")
        if "past_images" in tensors:
            tensors["past_images"] = tensors["past_images"].float() / 255
        return StoredSegment(**tensors, **facts | {"voiced": tuple(facts["voiced"])})

    def write(self, key: str, segment: StoredSegment, images: Tensor) -> None:
        """Keep a segment and the frames (F, H, W, 3) that it adds, if it makes any. It is there when it is whole."""
        values = {each.name: getattr(segment, each.name) for each in fields(segment)}
        tensors = {name: value.contiguous() for name, value in values.items() if isinstance(value, Tensor)}
        facts = {name: value for name, value in values.items() if value is not None and name not in tensors}
        facts[VIDEO_BYTES] = None
        if segment.past_images is not None:
            write_video(self.video(key), images, FRAME_RATE)
            facts[VIDEO_BYTES] = self.video(key).stat().st_size
            tensors["past_images"] = torch.from_numpy(to_bytes(segment.past_images)).contiguous()
        with whole_file(self._tensors(key)) as unfinished:
            save_file(tensors, unfinished, {FACTS: json.dumps(facts)})
        self.used.add(key)
        self._make_room()

    def empty(self) -> None:
        """Delete all segments."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _make_room(self) -> None:
        """Delete what was not used for longest, until the rest is no more than may be."""
        if self.most_bytes is None:
            return
        files = {path: path.stat() for path in self._files()}
        held = sum(file.st_size for file in files.values())
        # A segment's video has the time of its tensors: they go together.
        last_used = {path.stem: file.st_mtime for path, file in files.items() if path.suffix == TENSORS}
        for path in sorted(files, key=lambda path: last_used.get(path.stem, 0.0)):
            if held <= self.most_bytes:
                return
            if path.stem not in self.used:
                path.unlink(missing_ok=True)
                held -= files[path].st_size

    def _files(self) -> Iterator[Path]:
        return (path for path in self.folder.glob("*") if OURS.fullmatch(path.name))

    def _tensors(self, key: str) -> Path:
        return self.folder / f"{key}{TENSORS}"
