"""Random masks in space and ranges in time: what a model learns to edit by.

A range is some latent frames of a clip, at its beginning, its end or between, and the sound of their time; picture,
sound or both are made anew in it. An area is a rectangle of video tokens in all frames or in those of a range: the
face, its lower half where the mouth is, or any other; the sound is given, as for other lips to a sound, or made anew.
"""

from __future__ import annotations

import torch
from torch import Tensor

from uniavgen_core.joint_latent import tokens_of_frames
from uniavgen_core.tasks import KeptParts, kept_tokens

RANGE, AREA = "range", "area"
"""Both kinds of edits, as they are called in logs."""
WHOLE_TIME = 0.7
"""Share of areas that last as long as the clip."""
AREA_OF_FACE, AREA_OF_MOUTH = 0.4, 0.4
"""Shares of areas that are the face, and its lower half; the others lie anywhere."""
FACE = 0.25
"""Share of a video token that is face, from which on it counts as face."""
SOUND_GIVEN = 0.6
"""Share of areas for a sound that is given."""


def random_range(frames: int, tokens: int, generator: torch.Generator) -> KeptParts:
    """Keep all but a range: of T latent frames, of L audio tokens, or of both, one as often as the other.

    A clip's first latent frame is generated in the range too, where that begins there.
    """
    first, end = _span(frames, generator)
    video, audio = torch.ones(frames, 1, dtype=torch.bool), torch.ones(tokens, dtype=torch.bool)
    stream = _below(3, generator)
    if stream != 0:
        video[first:end] = False
    if stream != 1:
        audio[tokens_of_frames(range(first, end), frames, tokens)] = False
    return kept_tokens(video, audio)


def random_area(face_mask: Tensor, columns: int, tokens: int, generator: torch.Generator) -> KeptParts:
    """Keep the picture outside a rectangle of tokens, and all of the sound or nothing of it.

    Args:
        face_mask: (batch, T, N) the share of each video token that is face; the batch has one area.
        columns: of the N tokens.
        tokens: audio tokens L.
    """
    frames = face_mask.shape[1]
    face = (face_mask.amax(dim=(0, 1)) >= FACE).view(-1, columns)
    whole = _chance(generator) < WHOLE_TIME
    first, end = (0, frames) if whole else _span(frames, generator)
    video = torch.ones(frames, *face.shape, dtype=torch.bool)
    top, bottom, left, right = _rectangle(face, generator)
    video[first:end, top:bottom, left:right] = False
    audio = torch.full((tokens,), _chance(generator) < SOUND_GIVEN)
    return kept_tokens(video.flatten(1), audio)


def _rectangle(face: Tensor, generator: torch.Generator) -> tuple[int, int, int, int]:
    """Rows and columns, from the first to beyond the last, of a random area; `face` (rows, columns) is where one is."""
    kind = _chance(generator)
    if not face.any() or kind >= AREA_OF_FACE + AREA_OF_MOUTH:
        return *_span(face.shape[0], generator), *_span(face.shape[1], generator)
    rows, columns = (face.any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
    top, bottom = rows[0], rows[-1] + 1
    if kind < AREA_OF_MOUTH:
        top = (top + bottom) // 2
    return top, bottom, columns[0], columns[-1] + 1


def _span(length: int, generator: torch.Generator) -> tuple[int, int]:
    """The first of some neighbours and the one after the last; not all, where there are more than one."""
    size = 1 + _below(max(1, length - 1), generator)
    first = _below(length - size + 1, generator)
    return first, first + size


def _below(end: int, generator: torch.Generator) -> int:
    return int(torch.randint(end, (), generator=generator))


def _chance(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
