"""Index plans and rotary tables of one shape of clip, made once a sampling run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from ..config import TEMPORAL_COMPRESSION, pixel_frames
from .rope import audio_table, video_table, window_table


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


CLEAN, NOISY = 0, 1
"""Rows of the time embeddings: timestep 0, and the step's timestep."""

Runs = tuple[tuple[int, int], ...]
"""Neighbouring tokens that share a timestep: (count, CLEAN or NOISY)."""


@dataclass(frozen=True)
class ClipShape:
    """What a plan depends on. A video frame or an audio token that is kept is clean and takes no update."""

    latent_frames: int
    rows: int
    """Rows of video tokens in a latent frame."""
    columns: int
    audio_tokens: int
    reference_tokens: int
    symbols: int
    """Speech symbols."""
    kept_video: tuple[bool, ...]
    kept_audio: tuple[bool, ...]
    device: torch.device


@dataclass(frozen=True)
class VoicePlan:
    """How the generated audio tokens share the contexts of the video-to-audio aligner.

    Tokens that see one latent frame are attended in groups, one a frame, padded to one size. The others each have a
    context of their own, mixed from two neighbouring frames. Frame T is the last one doubled.
    """

    group_queries: Tensor
    """(groups · size) places in the generated tokens."""
    group_frames: Tensor
    """(groups)."""
    mixed_queries: Tensor
    """(mixed) places in the generated tokens."""
    left: Tensor
    right: Tensor
    left_weight: Tensor
    right_weight: Tensor
    order: Tensor
    """(generated) rows of [groups, mixed] in the order of the tokens."""


@dataclass(frozen=True)
class Plan:
    """Tables and indices of one clip shape, on the model's device."""

    video_table: Tensor
    audio_table: Tensor
    picture_table: Tensor
    window_table: Tensor
    video_runs: Runs
    """Over the reference frame and the T frames, counted in tokens."""
    audio_runs: Runs
    """Over the reference tokens and the L tokens."""
    frame_rows: Tensor
    """CLEAN or NOISY for each of the T frames."""
    generated_frames: Tensor
    """Frames of the T that take updates."""
    generated_tokens: Tensor
    """Tokens of the L that take updates."""
    windows: Tensor
    """(generated frames · window) audio tokens."""
    voice: VoicePlan


class Plans:
    """The plans of one sampling run, made when first asked for."""

    def __init__(self) -> None:
        self._plans: dict[ClipShape, Plan] = {}

    def __len__(self) -> int:
        return len(self._plans)

    def __call__(self, shape: ClipShape) -> Plan:
        if shape not in self._plans:
            self._plans[shape] = make_plan(shape)
        return self._plans[shape]


def make_plan(shape: ClipShape) -> Plan:
    """Make the plan of a clip shape."""

    def indices(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=shape.device)

    frames = [frame for frame, kept in enumerate(shape.kept_video) if not kept]
    tokens = [token for token, kept in enumerate(shape.kept_audio) if not kept]
    windows = audio_windows(shape.latent_frames, shape.audio_tokens)
    frame_rows = [CLEAN if kept else NOISY for kept in shape.kept_video]
    token_rows = [CLEAN if kept else NOISY for kept in shape.kept_audio]
    reference_row = NOISY if tokens else CLEAN
    positions = max(shape.reference_tokens + shape.audio_tokens, shape.symbols)
    return Plan(
        video_table=video_table(shape.latent_frames + 1, shape.rows, shape.columns, shape.device),
        audio_table=audio_table(positions, shape.device),
        picture_table=video_table(1, shape.rows, shape.columns, shape.device),
        window_table=window_table(len(windows[0]), shape.device),
        video_runs=_runs([CLEAN, *frame_rows], shape.rows * shape.columns),
        audio_runs=_runs([reference_row] * shape.reference_tokens + token_rows, 1),
        frame_rows=indices(frame_rows),
        generated_frames=indices(frames),
        generated_tokens=indices(tokens),
        windows=indices([token for frame in frames for token in windows[frame]]),
        voice=_voice_plan(frame_contexts(shape.latent_frames, shape.audio_tokens, tokens), shape),
    )


def _runs(rows: Sequence[int], tokens_a_row: int) -> Runs:
    return tuple((len(list(run)) * tokens_a_row, row) for row, run in groupby(rows))


def _voice_plan(contexts: list[FrameContext], shape: ClipShape) -> VoicePlan:
    groups: dict[int, list[int]] = {}
    mixed: list[int] = []
    for place, context in enumerate(contexts):
        if context.right is None:
            frame = context.left if context.left_weight == 1 else shape.latent_frames
            groups.setdefault(frame, []).append(place)
        else:
            mixed.append(place)

    size = max(map(len, groups.values()), default=0)
    padded = [places + places[-1:] * (size - len(places)) for places in groups.values()]
    row_of = {place: row for row, place in reversed(list(enumerate(sum(padded, []) + mixed)))}

    def indices(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=shape.device)

    def weights(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=shape.device)

    return VoicePlan(
        group_queries=indices(sum(padded, [])),
        group_frames=indices(list(groups)),
        mixed_queries=indices(mixed),
        left=indices([contexts[place].left for place in mixed]),
        right=indices([contexts[place].right or 0 for place in mixed]),
        left_weight=weights([contexts[place].left_weight for place in mixed]),
        right_weight=weights([contexts[place].right_weight for place in mixed]),
        order=indices([row_of[place] for place in range(len(contexts))]),
    )
