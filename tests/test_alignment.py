from __future__ import annotations

import naive_interaction
import pytest
import torch

from uniavgen_core.config import audio_tokens, is_still, pixel_frames
from uniavgen_core.model.plan import FrameContext, audio_windows, frame_contexts, latent_frame_of

LENGTHS = [
    (frames, tokens)
    for frames in (1, 2, 3, 5, 21, 40)
    for tokens in sorted({1, 2, frames, 7, 6 * pixel_frames(frames), 1001, audio_tokens(pixel_frames(frames))})
]


@pytest.mark.parametrize(("frames", "tokens"), LENGTHS)
def test_windows_are_the_literal_ones(frames: int, tokens: int) -> None:
    windows = audio_windows(frames, tokens)
    assert windows == [naive_interaction.audio_window(frame, frames, tokens) for frame in range(frames)]
    assert len({len(window) for window in windows}) == 1


def test_a_window_hears_its_own_pixel_frames_and_two_more_on_each_side() -> None:
    # Six tokens a pixel frame, so nothing is rounded; latent frame 3 is pixel frames 9 to 12.
    assert audio_windows(6, 6 * 21)[3] == list(range(6 * (9 - 2), 6 * (12 + 1 + 2)))


def test_a_single_latent_frame_has_its_own_window() -> None:
    assert audio_windows(1, 6) == [[0] * 12 + [0, 1, 2, 3, 4, 5] + [5] * 7]


@pytest.mark.parametrize(("frames", "tokens"), LENGTHS)
def test_contexts_are_the_literal_ones(frames: int, tokens: int) -> None:
    seen = torch.zeros(tokens, frames, dtype=torch.float64)
    for token, context in enumerate(frame_contexts(frames, tokens, range(tokens))):
        seen[token, context.left] += context.left_weight
        if context.right is not None:
            seen[token, context.right] += context.right_weight
    expected = torch.stack([naive_interaction.frame_weights(token, frames, tokens) for token in range(tokens)])
    if is_still(frames, tokens):
        expected = torch.ones_like(expected)  # All of its sound sees the one picture.
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-12)


def test_contexts_of_some_tokens_are_those_of_all() -> None:
    every = frame_contexts(5, 106, range(106))
    assert frame_contexts(5, 106, [3, 50, 105]) == [every[3], every[50], every[105]]


def test_the_token_on_the_last_pixel_frame_sees_it_twice() -> None:
    before, on = frame_contexts(2, 30, [23, 24])
    assert before == FrameContext(left=1, right=None, left_weight=1.0, right_weight=0.0)
    assert on == FrameContext(left=1, right=None, left_weight=2.0, right_weight=0.0)


def test_most_tokens_of_a_usual_clip_share_a_context() -> None:
    contexts = frame_contexts(21, 506, range(506))
    assert sum(context.right is None for context in contexts) / 506 == pytest.approx(0.75, abs=0.03)
    assert contexts[-1].left_weight == 2


def test_latent_frames_of_pixel_frames() -> None:
    assert [latent_frame_of(frame) for frame in range(10)] == [0, 1, 1, 1, 1, 2, 2, 2, 2, 3]
