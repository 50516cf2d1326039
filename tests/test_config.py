from __future__ import annotations

import math
from fractions import Fraction

import pytest

from uniavgen_core.config import (
    MAX_LATENT_FRAMES,
    TRAINED_LATENT_FRAMES,
    ModelSizes,
    audio_tokens,
    clip_seconds,
    latent_frames,
    latent_frames_for_seconds,
    pixel_frames,
)

SIZES = ModelSizes(blocks=5, video_width=384, video_ffn_width=8, audio_width=256, audio_ffn_width=8, text_width=8)


def test_the_released_clip() -> None:
    assert pixel_frames(TRAINED_LATENT_FRAMES) == 81
    assert audio_tokens(81) == 506
    assert clip_seconds(TRAINED_LATENT_FRAMES) == 5.0625
    assert (pixel_frames(1), audio_tokens(1), clip_seconds(1)) == (1, 6, 0.0625)
    assert clip_seconds(MAX_LATENT_FRAMES) == 20.0625


def test_lengths_agree() -> None:
    for frames in range(1, 400):
        pixels = pixel_frames(frames)
        assert latent_frames(pixels) == frames
        assert latent_frames(pixels + 1) == frames + 1
        assert latent_frames_for_seconds(clip_seconds(frames)) == frames
        assert latent_frames_for_seconds(clip_seconds(frames) + 0.001) == frames + 1
        assert audio_tokens(pixels) == math.floor(Fraction(pixels, 16) * 100)


def test_a_clip_is_the_shortest_that_lasts_as_long() -> None:
    for hundredths in range(1, 2007):
        frames = latent_frames_for_seconds(hundredths / 100)
        shorter = Fraction(pixel_frames(frames) - 4, 16) if frames > 1 else 0
        assert shorter < Fraction(hundredths, 100) <= Fraction(pixel_frames(frames), 16)
        assert frames <= MAX_LATENT_FRAMES


@pytest.mark.parametrize(("pixels", "latents"), [(1, 1), (2, 2), (5, 2), (6, 3), (75, 20), (81, 21)])
def test_latent_frames_cover_the_pixel_frames(pixels: int, latents: int) -> None:
    assert latent_frames(pixels) == latents


def test_interactions_follow_even_blocks() -> None:
    counts = [ModelSizes(blocks, 128, 8, 128, 8, 8).interactions for blocks in (1, 2, 3, 4, 30)]
    assert counts == [1, 1, 2, 2, 15]
    assert (SIZES.video_heads, SIZES.audio_heads) == (3, 2)
