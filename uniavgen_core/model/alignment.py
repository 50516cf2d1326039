"""Which audio a video frame hears and which video an audio token sees (arXiv 2511.03334, section 3.3).

Everything here is plain integers and floats; `plan.py` makes tensors of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import TEMPORAL_COMPRESSION, pixel_frames


def audio_windows(latent_frames: int, audio_tokens: int) -> list[list[int]]:
    """Audio tokens that each latent frame attends to: one window a frame, all of one length.

    A latent frame hears its own pixel frames and two more on each side. Indices past the ends repeat the first or last
    token.
    """
    tokens_a_frame = audio_tokens / pixel_frames(latent_frames)
    before, after = math.floor(2 * tokens_a_frame), math.ceil(2 * tokens_a_frame)
    spans = [(-before, 1 + after)]
    for frame in range(1, latent_frames):
        first = math.floor((4 * frame - 3) * tokens_a_frame) - before
        spans.append((first, math.ceil((4 * frame + 1) * tokens_a_frame) + after))
    longest = max(end - start for start, end in spans[1:] or spans)
    windows = [_widen(start, end, longest, audio_tokens) for start, end in spans]
    return [[min(max(token, 0), audio_tokens - 1) for token in range(*window)] for window in windows]


def _widen(start: int, end: int, length: int, audio_tokens: int) -> tuple[int, int]:
    missing = length - (end - start)
    if start < 0:
        return start - missing, end
    if end >= audio_tokens:
        return start, end + missing
    return start - missing // 2, end + missing - missing // 2


@dataclass(frozen=True)
class FrameContext:
    """The video that an audio token sees: one latent frame, or two of them with weights.

    `right` is None where the token falls between two pixel frames of one latent frame. `left_weight` is then 1, or 2
    for the tokens past the last pixel frame, as the model was trained.
    """

    left: int
    right: int | None
    left_weight: float
    right_weight: float


def latent_frame_of(pixel_frame: int) -> int:
    """Latent frame 0 stands for pixel frame 0, latent frame i for the pixel frames 4i-3 to 4i."""
    return (pixel_frame + TEMPORAL_COMPRESSION - 1) // TEMPORAL_COMPRESSION


def frame_contexts(latent_frames: int, audio_tokens: int, tokens: Sequence[int]) -> list[FrameContext]:
    """The interpolated video frame of each of these audio tokens."""
    frames = pixel_frames(latent_frames)
    return [_frame_context(token * frames / audio_tokens, frames) for token in tokens]


def _frame_context(position: float, frames: int) -> FrameContext:
    before = min(math.floor(position), frames - 1)
    after = min(before + 1, frames - 1)
    left, right = latent_frame_of(before), latent_frame_of(after)
    if before == after:
        return FrameContext(left, None, 2.0, 0.0)
    if left == right:
        return FrameContext(left, None, 1.0, 0.0)
    return FrameContext(left, right, 1 - (position - before), 1 - (after - position))
