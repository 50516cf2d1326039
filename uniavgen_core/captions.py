"""Captions that change within a clip: which latent frames have which, without training.

The tokens of a latent frame attend to the caption of its time and to no other, as in Prompt Relay (arXiv 2604.10030),
but with a cut in place of its soft edge: in the small model's clips moods change as well with either
(`docs/ablations.md`), and a cut needs no scores that are added to the attention's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .config import FRAME_RATE, clip_seconds, pixel_frames


@dataclass(frozen=True)
class CaptionChange:
    """From when on another caption holds: text encoder rows (1, rows, text width)."""

    seconds: float
    rows: Tensor


def check_changes(changes: Sequence[CaptionChange], latent_frames: int) -> None:
    """Refuse changes that a clip of T latent frames does not have, or that are not in order.

    Raises:
        ValueError: it names the second.
    """
    length, before = clip_seconds(latent_frames), 0.0
    for change in changes:
        if change.seconds >= length:
            raise ValueError(
                f"The caption changes at {change.seconds:g} seconds, but the clip ends at {length:.2f}: give an "
                "earlier moment in UniAVGen Caption Change, or make the clip longer."
            )
        if change.seconds <= before:
            raise ValueError(
                f"The caption changes at {change.seconds:g} seconds, which is not behind {before:g}, where the caption "
                "before it begins: chain UniAVGen Caption Change nodes in order of time."
            )
        before = change.seconds


def caption_frames(changes: Sequence[CaptionChange], latent_frames: int) -> tuple[int, ...] | None:
    """The index of the caption that each of T latent frames has, 0 for the first; None where there is only one.

    A latent frame has the caption that holds in the middle of its pixel frames.
    """
    if not changes:
        return None
    ends = [pixel_frames(frame + 1) for frame in range(latent_frames)]
    starts = [0, *ends[:-1]]
    middles = [(start + end) / 2 / FRAME_RATE for start, end in zip(starts, ends, strict=True)]
    return tuple(sum(change.seconds <= middle for change in changes) for middle in middles)


def encode_captions(encode: Callable[[Tensor], Tensor], rows: Tensor, changes: Sequence[CaptionChange]) -> Tensor:
    """Caption features (batch, rows, video width), or (batch, captions, rows, video width) where there are changes.

    Args:
        encode: `JointDiT.encode_caption`.
        rows: of the first caption (batch, rows, text width).
    """
    if not changes:
        return encode(rows)
    captions = [rows, *(change.rows.to(rows).expand(rows.shape[0], -1, -1) for change in changes)]
    longest = max(caption.shape[1] for caption in captions)
    # Zero vectors behind a text take part in attention, as that of `encode` does.
    padded = [functional.pad(caption, (0, 0, 0, longest - caption.shape[1])) for caption in captions]
    return torch.stack([encode(caption) for caption in padded], dim=1)
