"""Shards: clips as the model sees them, in files that are mapped into memory.

A shard is one safetensors file. Clip i has the tensors `i.video` (48, T, h, w) and `i.portrait` (48, 1, h, w), latents
normalised for the model, `i.audio` and `i.loud_audio` (L, 80), normalised log-mel of its sound as it is and with its
peak scaled, and `i.face_mask` (T, N), the part of each video token that is face. Where a frozen encoder has read the
captions, `i.caption` (rows, width) has its features, and `empty_caption` those of the empty caption. The metadata
`clips` lists what is said and seen.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from uniavgen_core.files import whole_file

SUFFIX = ".safetensors"
TENSORS = ("audio", "loud_audio", "video", "portrait", "face_mask", "caption")
EMPTY_CAPTION = "empty_caption"


@dataclass(frozen=True)
class Label:
    """What is said and seen in a clip."""

    latent_frames: int
    speech: str
    caption: str
    language: str = "en"
    kind: str = ""
    mood: str = ""
    starts_at_rest: bool = True
    """Whether the first frame is the portrait."""
    partner: int | None = None
    """Index in the shard of a clip of the same voice, which can be its reference."""


@dataclass(frozen=True)
class TrainingClip:
    """A clip for training, in half precision. Clips of sound alone have no video and no face mask."""

    label: Label
    audio: Tensor
    loud_audio: Tensor
    video: Tensor | None = None
    portrait: Tensor | None = None
    face_mask: Tensor | None = None
    caption: Tensor | None = None
    """Features (rows, width) of the caption by a frozen encoder."""


def write_shard(
    path: Path,
    clips: Iterable[TrainingClip],
    empty_caption: Tensor | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a shard; the file appears only when it is whole.

    Args:
        path: the file.
        clips: what it holds.
        empty_caption: features (rows, width) of the empty caption, where the clips have features of theirs.
        metadata: what else the file tells of itself.
    """
    tensors = {} if empty_caption is None else {EMPTY_CAPTION: empty_caption.half().contiguous()}
    labels = []
    for index, clip in enumerate(clips):
        labels.append(asdict(clip.label))
        parts = {name: getattr(clip, name) for name in TENSORS}
        tensors |= {f"{index}.{name}": x.half().contiguous() for name, x in parts.items() if x is not None}
    with whole_file(path) as unfinished:
        save_file(tensors, unfinished, metadata={**(metadata or {}), "clips": json.dumps(labels)})


def shard_files(folder: Path) -> list[Path]:
    """The shards of a folder, in order; one that is still being written is none."""
    return sorted(folder.glob(f"[!.]*{SUFFIX}"))


class Shards:
    """All clips of folders of shards.

    Raises:
        ValueError: a folder holds no shards.
    """

    def __init__(self, *folders: Path):
        files, folder_of = [], list[int]()
        for number, folder in enumerate(folders):
            there = shard_files(folder)
            if not there:
                raise ValueError(
                    f"{folder} holds no shards: make them with `python -m uniavgen_lab` render or prepare."
                )
            files += there
            folder_of += [number] * len(there)
        self._files = [safe_open(file, framework="pt") for file in files]
        self.folders = len(folders)
        self._folder_of = folder_of
        self.labels: list[Label] = []
        self._places: list[tuple[int, int]] = []
        self._starts: list[int] = []
        self._sizes: list[tuple[int, ...]] = []
        self._empty_captions: list[Tensor | None] = []
        for number, file in enumerate(self._files):
            labels = [Label(**label) for label in json.loads(file.metadata()["clips"])]
            self._starts.append(len(self.labels))
            self._places += [(number, index) for index in range(len(labels))]
            names = set(file.keys())
            self._sizes += [_latent_size(file, f"{index}.video", names) for index in range(len(labels))]
            self._empty_captions.append(file.get_tensor(EMPTY_CAPTION).float() if EMPTY_CAPTION in names else None)
            self.labels += labels

    def __len__(self) -> int:
        return len(self.labels)

    def tensor(self, clip: int, name: str) -> Tensor:
        """One tensor of a clip in float32."""
        file, index = self._places[clip]
        return self._files[file].get_tensor(f"{index}.{name}").float()

    def latent_columns(self, clip: int) -> int:
        """Columns of a clip's latent.

        Raises:
            IndexError: it is of sound alone.
        """
        return self._sizes[clip][-1]

    def partner(self, clip: int) -> int | None:
        """The clip that can be this one's reference voice."""
        place = self.labels[clip].partner
        return None if place is None else self._starts[self._places[clip][0]] + place

    def empty_caption(self, clip: int) -> Tensor | None:
        """Features (rows, width) of the empty caption by the encoder of this clip's features, where it has such."""
        return self._empty_captions[self._places[clip][0]]

    def of_one_form(self, from_rest: bool, with_partner: bool, folder: int | None = None) -> list[Tensor]:
        """Clips that can share a batch, as they have one length and size and their partners one length.

        Args:
            from_rest: only clips that start at rest.
            with_partner: only clips that have a partner.
            folder: only clips of this one of the folders, by its number from 0; None takes all.
        """
        groups = defaultdict(list)
        for clip, label in enumerate(self.labels):
            partner = self.partner(clip) if with_partner else None
            if folder is not None and self._folder_of[self._places[clip][0]] != folder:
                continue
            if (from_rest and not label.starts_at_rest) or (with_partner and partner is None):
                continue
            reference = 0 if partner is None else self.labels[partner].latent_frames
            groups[label.latent_frames, reference, self._sizes[clip]].append(clip)
        return [torch.tensor(groups[form]) for form in sorted(groups)]


def _latent_size(file: Any, video: str, names: set[str]) -> tuple[int, ...]:
    """Rows and columns of a clip's latent; none of a clip of sound alone."""
    return tuple(file.get_slice(video).get_shape()[2:]) if video in names else ()
