"""Finished segments on the disk, each under a key of all that it was made from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..config import FRAME_RATE
from ..files import whole_file
from ..media.images import to_bytes
from ..media.muxing import write_video
from .seams import Colours

METADATA = "segment"
"""In a file's metadata: what is known of a segment besides its tensors, as JSON."""


@dataclass(frozen=True)
class SegmentMetadata:
    """What the segments after it, and the report, must know of one."""

    latent_frames: int
    added: int
    """Pixel frames that it adds to the clip, whether they are made or a recording's."""
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
class StoredPicture:
    """What the next segment must know of a picture that is made: the end of this one's, and the first one's colours."""

    past: Tensor
    """The frames (4(k-1)+1, H, W, 3) that the next segment starts with."""
    colours: Colours


@dataclass(frozen=True)
class StoredSegment:
    """A segment as it is kept."""

    metadata: SegmentMetadata
    past_mel: Tensor
    """Its end (m, 80), which the next segment starts with."""
    sound: Tensor
    """Samples from the kept past on; none where the sound is a recording."""
    picture: StoredPicture | None
    """None where the picture is a recording."""


class SegmentStore:
    """A folder of finished segments: the frames that one adds as a video, all else as tensors."""

    def __init__(self, folder: Path):
        self.folder = folder

    def video(self, key: str) -> Path:
        """Where the frames that a segment adds are."""
        return self.folder / f"{key}.mp4"

    def has(self, key: str, with_video: bool = True) -> bool:
        """Whether the segment is finished, with frames that it adds or, along a video, without."""
        return self._tensors(key).is_file() and (self.video(key).is_file() or not with_video)

    def read(self, key: str) -> StoredSegment:
        """A finished segment."""
        with safe_open(self._tensors(key), framework="pt") as file:
            metadata = json.loads(file.metadata()[METADATA])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        picture = None
        if "past" in tensors:
            colours = Colours(tensors["mean"], tensors["deviation"])
            picture = StoredPicture(tensors["past"].float() / 255, colours)
        metadata = SegmentMetadata(**metadata | {"voiced": tuple(metadata["voiced"])})
        return StoredSegment(metadata, tensors["past_mel"], tensors["sound"], picture)

    def write(self, key: str, segment: StoredSegment, added: Tensor) -> None:
        """Keep a segment and the frames (F, H, W, 3) that it adds, if it makes any. It is there when it is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {"sound": segment.sound, "past_mel": segment.past_mel}
        if segment.picture is not None:
            write_video(self.video(key), added, FRAME_RATE)
            tensors["past"] = torch.from_numpy(to_bytes(segment.picture.past))
            tensors["mean"], tensors["deviation"] = segment.picture.colours.mean, segment.picture.colours.deviation
        with whole_file(self._tensors(key)) as unfinished:
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items()},
                unfinished,
                {METADATA: json.dumps(vars(segment.metadata))},
            )

    def _tensors(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"
