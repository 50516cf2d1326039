"""Finished segments on the disk, each under a key of all that it was made from."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..config import FRAME_RATE
from ..media import to_bytes, write_video
from .seams import Colours

METADATA = "segment"
"""In a file's metadata: what is known of a segment besides its tensors, as JSON."""


@dataclass(frozen=True)
class SegmentMetadata:
    """What the segments after it, and the report, must know of one."""

    latent_frames: int
    added: int
    """Pixel frames that it adds to the clip."""
    words: str
    """All that is said in it, the kept past included."""
    voiced: tuple[float, float]
    """Seconds from its start at which its voice sets in and ends."""
    silence: float
    """Seconds of silence that were given behind the past, before the words."""
    trailing: float
    """Seconds of silence since the last voice, over as many segments as there were."""
    loud_db: float
    """Level of its loud parts in decibels, or of the last spoken segment's where nobody speaks."""
    levels: dict[str, float]
    """Level of the voice in decibels in the first segment of each caption so far."""


@dataclass(frozen=True)
class StoredSegment:
    """A segment as it is kept.

    `sound` (samples) starts with the kept past; `past` (4(k-1)+1, H, W, 3) and `past_mel` (m, 80) are its end, which
    the next segment starts with.
    """

    metadata: SegmentMetadata
    sound: Tensor
    past: Tensor
    past_mel: Tensor
    colours: Colours
    """Of the first segment."""


class SegmentStore:
    """A folder of finished segments: the frames that one adds as a video, all else as tensors."""

    def __init__(self, folder: Path):
        self.folder = folder

    def video(self, key: str) -> Path:
        """Where the frames that a segment adds are."""
        return self.folder / f"{key}.mp4"

    def has(self, key: str) -> bool:
        """Whether the segment is finished."""
        return self._tensors(key).is_file() and self.video(key).is_file()

    def read(self, key: str) -> StoredSegment:
        """A finished segment."""
        with safe_open(self._tensors(key), framework="pt") as file:
            metadata = json.loads(file.metadata()[METADATA])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        return StoredSegment(
            metadata=SegmentMetadata(**metadata | {"voiced": tuple(metadata["voiced"])}),
            sound=tensors["sound"],
            past=tensors["past"].float() / 255,
            past_mel=tensors["past_mel"],
            colours=Colours(tensors["mean"], tensors["deviation"]),
        )

    def write(self, key: str, segment: StoredSegment, added: Tensor) -> None:
        """Keep a segment and the frames (F, H, W, 3) that it adds. It is there when it is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_video(self.video(key), added, FRAME_RATE)
        tensors = {
            "sound": segment.sound,
            "past": torch.from_numpy(to_bytes(segment.past)),
            "past_mel": segment.past_mel,
            "mean": segment.colours.mean,
            "deviation": segment.colours.deviation,
        }
        part = self.folder / f".{uuid.uuid4().hex}"
        try:
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items()},
                part,
                {METADATA: json.dumps(vars(segment.metadata))},
            )
            os.replace(part, self._tensors(key))
        finally:
            part.unlink(missing_ok=True)

    def _tensors(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"
