"""Index plans and rotary tables of one shape of clip, made once a sampling run."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..config import TEMPORAL_COMPRESSION, is_still, pixel_frames
from ..tasks import KeptParts, Switches
from .rope import audio_table, video_table, window_table

WINDOW_MARGIN = 2
"""Pixel frames of sound before and after its own that a latent frame hears: the window of the A→V aligner."""


def audio_windows(latent_frames: int, audio_tokens: int) -> list[list[int]]:
    """Audio tokens that each latent frame attends to: one window a frame, all of one length.

    With s = L / F tokens a pixel frame and a margin of m pixel frames, the latent frame of pixel frames a to b hears
    the tokens from ⌊a · s⌋ - ⌊m · s⌋ up to, not including, ⌈(b + 1) · s⌉ + ⌈m · s⌉. The first latent frame, which is
    one pixel frame, counts as one token. Indices past the ends repeat the first or last token.

        windows = audio_windows(21, 506)  # windows[20][-1] == 505
    """
    tokens_a_frame = audio_tokens / pixel_frames(latent_frames)
    before, after = math.floor(WINDOW_MARGIN * tokens_a_frame), math.ceil(WINDOW_MARGIN * tokens_a_frame)
    spans = [(-before, 1 + after)]
    for frame in range(1, latent_frames):
        first, end = pixel_frames(frame), pixel_frames(frame + 1)
        spans.append((math.floor(first * tokens_a_frame) - before, math.ceil(end * tokens_a_frame) + after))
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
    """The interpolated video frame of each of these audio tokens.

    Token j lies at p = j · F / L, between the pixel frames a = ⌊p⌋ and b = a + 1 (at most F - 1 both). It sees
    (1 - (p - a)) · frame(a) + (1 - (b - p)) · frame(b), where frame() is the latent frame of a pixel frame.

        frame_contexts(21, 506, [7])  # p = 1.12: both pixel frames are of latent frame 1

    All tokens of a clip whose picture is a still see that one.
    """
    if is_still(latent_frames, audio_tokens):
        return [FrameContext(0, None, 1.0, 0.0)] * len(tokens)
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


@dataclass(frozen=True)
class TokenTimes:
    """Which timestep each token has: CLEAN or NOISY for every group of neighbouring tokens, all groups of one size.

    A latent frame that is kept in part stands there with the timestep of most of its tokens, and `others` are the rest.
    """

    size: int
    """Tokens of a group: the largest that do."""
    rows: Tensor
    """(groups)"""
    others: tuple[tuple[int, Tensor], ...] = ()
    """Tokens whose timestep is not their group's: CLEAN or NOISY, and their (n) indices."""


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
    """Rows of the speech features."""
    kept: KeptParts
    device: torch.device


@dataclass(frozen=True)
class VideoToAudioPlan:
    """How the generated audio tokens share the contexts of the video-to-audio aligner.

    Tokens that see one latent frame are attended in groups, one a frame, padded to one size. The others each have a
    context of their own, mixed from two neighbouring frames. Frame T is the last one doubled.
    """

    group_queries: Tensor
    """(groups · size) indices among the generated tokens."""
    group_frames: Tensor
    """(groups)."""
    mixed_queries: Tensor
    """(mixed) indices among the generated tokens."""
    left: Tensor
    right: Tensor
    left_weight: Tensor
    right_weight: Tensor
    order: Tensor
    """(generated) rows of [groups, mixed] in the order of the tokens."""


@dataclass(frozen=True)
class Plan:
    """Tables and indices of one clip shape, on the model's device."""

    latent_frames: int
    reference_tokens: int
    video_table: Tensor
    """Of the reference frame and the T frames."""
    audio_table: Tensor
    """Of the reference tokens and the L tokens."""
    symbol_table: Tensor
    frame_table: Tensor
    """Of the tokens of one frame at time 0."""
    window_table: Tensor
    video_times: TokenTimes
    """Of the reference frame's tokens and those of the T frames."""
    audio_times: TokenTimes
    """Of the reference tokens and the L tokens."""
    frame_rows: Tensor
    """(T, 1) CLEAN or NOISY for each frame, or (T, N) for each video token where a frame has both."""
    generated_frames: Tensor
    """Frames of the T of which something takes updates."""
    generated_in_frames: Tensor | None
    """(generated frames, N) 1 for the video tokens that take updates, else 0; None where all of them do."""
    generated_tokens: Tensor
    """Tokens of the L that take updates."""
    windows: Tensor
    """(generated frames · window) audio tokens."""
    video_to_audio: VideoToAudioPlan

    def updates_video(self, switches: Switches) -> bool:
        """Whether some frame hears the sound in a pass."""
        return switches.audio_to_video and len(self.generated_frames) > 0

    def updates_audio(self, switches: Switches) -> bool:
        """Whether some audio token sees the video in a pass."""
        return switches.video_to_audio and len(self.generated_tokens) > 0


Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")


class OnceARun(Generic[Key, Made]):
    """What one sampling run makes for each shape of clip, when first asked for.

    Args:
        make: from a shape.
    """

    def __init__(self, make: Callable[[Key], Made]) -> None:
        self._make = make
        self._made: dict[Key, Made] = {}

    def __len__(self) -> int:
        return len(self._made)

    def __call__(self, shape: Key) -> Made:
        if shape not in self._made:
            self._made[shape] = self._make(shape)
        return self._made[shape]


class Plans(OnceARun[ClipShape, Plan]):
    """The plans of one sampling run."""

    def __init__(self) -> None:
        super().__init__(make_plan)


def make_plan(shape: ClipShape) -> Plan:
    """Make the plan of a clip shape."""

    def indices(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=shape.device)

    frames = [frame for frame, kept in enumerate(shape.kept.whole_frames) if not kept]
    tokens = [token for token, kept in enumerate(shape.kept.audio) if not kept]
    windows = audio_windows(shape.latent_frames, shape.audio_tokens)
    tokens_a_frame = shape.rows * shape.columns
    generated = ~shape.kept.video_tokens(tokens_a_frame)
    frame_rows = generated.long() * (NOISY - CLEAN) + CLEAN
    token_rows = [CLEAN if kept else NOISY for kept in shape.kept.audio]
    reference_row = NOISY if tokens else CLEAN
    all_tokens = shape.reference_tokens + shape.audio_tokens
    positions = audio_table(max(all_tokens, shape.symbols), shape.device)
    return Plan(
        latent_frames=shape.latent_frames,
        reference_tokens=shape.reference_tokens,
        video_table=video_table(shape.latent_frames + 1, shape.rows, shape.columns, shape.device),
        audio_table=positions[:, :all_tokens],
        symbol_table=positions[:, : shape.symbols],
        frame_table=video_table(1, shape.rows, shape.columns, shape.device),
        window_table=window_table(len(windows[0]), shape.device),
        video_times=_video_times(frame_rows, tokens_a_frame, shape.device),
        audio_times=_token_times([reference_row] * shape.reference_tokens + token_rows, 1, shape.device),
        frame_rows=frame_rows.to(shape.device),
        generated_frames=indices(frames),
        generated_in_frames=generated[frames].float().to(shape.device) if generated.shape[1] > 1 else None,
        generated_tokens=indices(tokens),
        windows=indices([token for frame in frames for token in windows[frame]]),
        video_to_audio=_video_to_audio_plan(frame_contexts(shape.latent_frames, shape.audio_tokens, tokens), shape),
    )


def _video_times(frame_rows: Tensor, tokens_a_frame: int, device: torch.device) -> TokenTimes:
    """Of the reference frame, which is clean, and the frames with these rows (T, 1) or (T, N)."""
    rows = torch.cat((torch.full_like(frame_rows[:1], CLEAN), frame_rows))
    most = rows.mode(dim=1).values
    times = _token_times(most.tolist(), tokens_a_frame, device)
    if rows.shape[1] == 1:
        return times
    differs = rows != most.unsqueeze(1)
    found = {row: ((rows == row) & differs).flatten().nonzero().flatten() for row in (CLEAN, NOISY)}
    return replace(times, others=tuple((row, indices.to(device)) for row, indices in found.items() if len(indices)))


def _token_times(rows: Sequence[int], tokens_a_row: int, device: torch.device) -> TokenTimes:
    """In groups as large as the places allow where the timestep changes."""
    changes = [index for index in range(1, len(rows)) if rows[index] != rows[index - 1]]
    size = math.gcd(len(rows), *changes)
    return TokenTimes(size * tokens_a_row, torch.tensor(rows[::size], dtype=torch.long, device=device))


def _video_to_audio_plan(contexts: list[FrameContext], shape: ClipShape) -> VideoToAudioPlan:
    groups: dict[int, list[int]] = {}
    mixed: list[int] = []
    for index, context in enumerate(contexts):
        if context.right is None:
            frame = context.left if context.left_weight == 1 else shape.latent_frames
            groups.setdefault(frame, []).append(index)
        else:
            mixed.append(index)

    size = max(map(len, groups.values()), default=0)
    padded = [group + group[-1:] * (size - len(group)) for group in groups.values()]
    row_of = {index: row for row, index in reversed(list(enumerate(sum(padded, []) + mixed)))}

    def indices(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=shape.device)

    def weights(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=shape.device)

    return VideoToAudioPlan(
        group_queries=indices(sum(padded, [])),
        group_frames=indices(list(groups)),
        mixed_queries=indices(mixed),
        left=indices([contexts[index].left for index in mixed]),
        right=indices([contexts[index].right or 0 for index in mixed]),
        left_weight=weights([contexts[index].left_weight for index in mixed]),
        right_weight=weights([contexts[index].right_weight for index in mixed]),
        order=indices([row_of[index] for index in range(len(contexts))]),
    )
