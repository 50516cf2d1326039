"""What users give, at the model's rates."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from uniavgen_core.audio.mel import log_mel, peak_scale
from uniavgen_core.config import (
    FRAME_RATE,
    HOP_LENGTH,
    MEL_BANDS,
    SAMPLE_RATE,
    SAMPLES_A_FRAME,
    audio_tokens,
    pixel_frames,
)
from uniavgen_core.joint_latent import check_past, last_tokens
from uniavgen_core.media.track import track_of
from uniavgen_core.media.video import VideoInMemory
from uniavgen_core.model_rates import at_model_rate, driving_mel, past_images, past_mel, whole_latents
from uniavgen_core.tasks import past_tokens


def numbered(frames: int) -> torch.Tensor:
    """Frames of one pixel that hold a hundredth of their number."""
    return torch.arange(frames, dtype=torch.float32).div(100).view(-1, 1, 1, 1).expand(-1, 1, 1, 3)


def numbers(frames: torch.Tensor) -> list[int]:
    return frames[:, 0, 0, 0].mul(100).round().int().tolist()


def chirp(samples: int, rate: int = SAMPLE_RATE) -> torch.Tensor:
    time = torch.arange(samples) / rate
    return (0.2 * torch.sin(2 * torch.pi * (200 + 300 * time) * time)).view(1, 1, -1)


@pytest.mark.parametrize("rate", [16, 25, 30, Fraction(30_000, 1001), 8, 12.5, 60])
def test_a_clip_keeps_its_length_and_shows_each_moment_in_its_place(rate: Fraction | float) -> None:
    frames = at_model_rate(numbered(round(4 * rate)), rate)
    assert len(frames) == 4 * FRAME_RATE
    middles = (torch.arange(len(frames)) + 0.5) / FRAME_RATE
    shown = torch.tensor(numbers(frames))
    assert torch.all((shown - middles * float(rate)).abs() <= 1.01)


def test_frames_at_the_models_rate_are_the_same_tensor() -> None:
    frames = numbered(33)
    assert at_model_rate(frames, 16) is frames
    assert numbers(at_model_rate(numbered(1), 60)) == [0]
    with pytest.raises(ValueError, match="frame_rate is 0"):
        at_model_rate(frames, 0)


@pytest.mark.parametrize(("frames", "whole"), [(1, 1), (2, 5), (5, 5), (34, 37), (81, 81)])
def test_the_last_frame_fills_the_last_latent(frames: int, whole: int) -> None:
    assert numbers(whole_latents(numbered(frames))) == [*range(frames), *[frames - 1] * (whole - frames)]


def test_the_past_is_the_clips_end() -> None:
    assert numbers(past_images(VideoInMemory(numbered(40), 16), 3, 1, 1)) == list(range(31, 40))
    with pytest.raises(ValueError, match=r"lasts 0\.50 seconds, but 3 past_frames are 0\.56"):
        past_images(VideoInMemory(numbered(8), 16), 3, 1, 1)


def test_a_past_leaves_something_to_generate() -> None:
    assert check_past(4, 3) == 4
    with pytest.raises(ValueError, match=r"lasts 0\.56 seconds with its kept past, which alone lasts 0\.56"):
        check_past(3, 3)


def test_driving_sound_is_loud_and_padded_with_silence() -> None:
    sound = chirp(SAMPLE_RATE)
    mel = driving_mel(sound, SAMPLE_RATE, tokens=131)
    assert mel.shape == (1, 1, 131, MEL_BANDS)
    padded = torch.nn.functional.pad(peak_scale(sound[0]), (0, 131 * HOP_LENGTH - SAMPLE_RATE))
    torch.testing.assert_close(mel[0], log_mel(padded))
    silence = log_mel(torch.zeros(1, 4800))[0, 5]
    torch.testing.assert_close(mel[0, 0, 110:128], silence.expand(18, -1))


def test_the_pasts_sound_is_the_end_of_the_whole_sounds_mel() -> None:
    frames, past = pixel_frames(10), 3
    sound = chirp(frames * SAMPLES_A_FRAME)
    whole = log_mel(peak_scale(sound[0]))
    kept = past_mel(track_of(sound, SAMPLE_RATE), frames, past)
    tokens = past_tokens(past)
    assert kept.shape == (1, 1, tokens, MEL_BANDS) == (1, 1, 56, MEL_BANDS)
    start = (frames - pixel_frames(past)) * SAMPLES_A_FRAME // HOP_LENGTH
    assert start * HOP_LENGTH == (frames - pixel_frames(past)) * SAMPLES_A_FRAME
    torch.testing.assert_close(kept[0, 0], whole[0, start : start + tokens], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(kept, last_tokens(whole[None, :, : audio_tokens(frames)], past), atol=1e-4, rtol=1e-4)


def test_the_pasts_sound_has_the_gain_of_the_whole() -> None:
    frames = 33
    sound = chirp(frames * SAMPLES_A_FRAME)
    louder_before = sound.clone()
    louder_before[..., :2400] *= 4
    kept, softer = (past_mel(track_of(given, SAMPLE_RATE), frames, 2) for given in (sound, louder_before))
    difference = kept - softer
    assert difference[..., 5:, :10].mean() == pytest.approx(torch.tensor(4.0).log().item(), abs=0.02)


def test_a_sound_that_ends_before_the_picture_is_padded() -> None:
    kept = past_mel(track_of(chirp(SAMPLE_RATE), SAMPLE_RATE), frames=33, past_frames=2)
    assert kept[0, 0, 3:].std(dim=0).max() < 1e-4


def test_several_sounds_are_refused() -> None:
    sounds = chirp(2 * SAMPLE_RATE).expand(2, -1, -1)
    with pytest.raises(ValueError, match="audio holds 2 sounds"):
        driving_mel(sounds, SAMPLE_RATE, tokens=131)


def test_a_past_shorter_than_what_is_kept_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter than the 3 past_frames"):
        last_tokens(torch.zeros(1, 1, 40, MEL_BANDS), 3)
