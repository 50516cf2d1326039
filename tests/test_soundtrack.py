from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from uniavgen_core.config import audio_tokens, clip_seconds, pixel_frames
from uniavgen_core.media.soundtrack import held_seconds, hold_last, playable, soundtrack

LOUD = 3 * torch.randn(1, 2, 10_000, generator=torch.Generator().manual_seed(0))
"""Far above full scale."""


@pytest.mark.parametrize(
    ("frames", "frame_rate", "sample_rate", "samples"),
    [
        (81, Fraction(16), 24_000, 121_500),
        (81, Fraction(16), 44_100, 223_256),
        (1, Fraction(16), 24_000, 1_500),
        (1, Fraction(16), 48_000, 3_000),
        (75, Fraction(25), 44_100, 132_300),
        (75, Fraction(25), 8_000, 24_000),
        (90, Fraction(30_000, 1001), 48_000, 144_144),
        (100, Fraction(24_000, 1001), 96_000, 400_400),
    ],
)
def test_sound_is_as_long_as_the_picture(frames: int, frame_rate: Fraction, sample_rate: int, samples: int) -> None:
    for given in (100, samples, samples + 7):
        waveform = torch.ones(1, 2, given)
        track = soundtrack(waveform, sample_rate, frames / frame_rate)
        assert track.shape == (1, 2, samples)
        assert track.sum() == 2 * min(given, samples)


def test_what_the_model_makes_is_padded_by_less_than_a_token() -> None:
    for frames in (1, 2, 21, 81):
        made = torch.ones(1, 1, 240 * audio_tokens(pixel_frames(frames)))
        track = soundtrack(made, 24_000, clip_seconds(frames))
        assert 0 <= track.shape[-1] - made.shape[-1] < 240


def test_sound_is_left_as_it_is() -> None:
    assert torch.equal(soundtrack(LOUD, 8_000, 1.0), LOUD[..., :8_000])
    longer = soundtrack(LOUD, 8_000, 2.0)
    assert torch.equal(longer[..., :10_000], LOUD)
    assert not longer[..., 10_000:].any()


def test_clips_of_a_batch_follow_each_other() -> None:
    clips = torch.stack((LOUD[0], -LOUD[0]))
    for sample_rate, each in ((4_000, 6_000), (8_000, 12_000)):
        track = soundtrack(clips, sample_rate, 3.0)
        assert track.shape == (1, 2, 2 * each)
        kept = min(each, 10_000)
        assert torch.equal(track[..., :kept], LOUD[..., :kept])
        assert torch.equal(track[..., each : each + kept], -LOUD[..., :kept])
        assert not track[..., kept:each].any()


def test_each_clip_fades_and_gets_its_loudness() -> None:
    clips = torch.stack((LOUD[0], 0.01 * LOUD[0]))
    faded = soundtrack(clips, 8_000, 2.5, fade_seconds=0.1)
    assert not faded[..., [0, 9_999, 10_000, 19_999]].any()
    assert torch.equal(faded[..., 800:9_200], LOUD[..., 800:9_200])
    first, second = soundtrack(clips, 8_000, 2.5, target_lufs=-30.0).split(10_000, dim=-1)
    torch.testing.assert_close(first, second)
    assert first.abs().max() < 0.2


def test_a_sound_that_plays_everywhere_is_not_touched() -> None:
    sounds, rate = playable(LOUD, 44_100)
    assert sounds is LOUD and rate == 44_100


@pytest.mark.parametrize(("channels", "rate"), [(2, 192_000), (3, 44_100), (8, 48_000), (16, 8_000)])
def test_a_batch_of_sounds_gets_a_form_that_plays(channels: int, rate: int) -> None:
    tone = torch.sin(torch.arange(rate // 2) * (600 / rate))
    sounds, new_rate = playable(tone * torch.tensor([[[0.5]], [[0.25]]]).expand(2, channels, 1), rate)
    assert new_rate == min(rate, 96_000)
    assert sounds.shape == (2, 1 if channels == 16 else 2, new_rate // 2)
    torch.testing.assert_close(sounds[0], 2 * sounds[1], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("shape", "rate"), [((1, 0, 9), 8000), ((0, 1, 9), 8000), ((2, 9), 8000), ((1, 1, 9), 0)])
def test_what_is_no_sound_is_refused(shape: tuple[int, ...], rate: int) -> None:
    with pytest.raises(ValueError, match="audio is no sound"):
        playable(torch.zeros(shape), rate)


def test_the_length_of_a_sound_that_a_picture_is_held_to() -> None:
    assert held_seconds(torch.zeros(1, 2, 4_000), 8_000) == Fraction(1, 2)
    for waveform, rate, words in (
        (torch.zeros(2, 1, 9), 9, "2 sounds"),
        (torch.zeros(1, 1, 0), 9, "is empty"),
        (torch.zeros(1, 1, 1).expand(1, 1, 50_000), 1, "13.9 hours, but a picture is shown for 12"),
    ):
        with pytest.raises(ValueError, match=words):
            held_seconds(waveform, rate)


@pytest.mark.parametrize(
    ("seconds", "frames", "left"),
    [(Fraction(1, 4), 1, 0), (Fraction(2), 4, 0), (Fraction(21, 10), 5, 0), (Fraction(4), 8, 0), (Fraction(5), 4, 6)],
)
def test_frames_are_held_in_memory_where_they_are_few(seconds: Fraction, frames: int, left: int) -> None:
    given = torch.arange(4.0)[:, None, None, None].expand(4, 2, 2, 3)
    images, held = hold_last(given, 2, seconds)
    assert (len(images), held) == (frames, left)
    assert images[:, 0, 0, 0].tolist() == [min(index, 3) for index in range(frames)]
    is_copied = images.untyped_storage().data_ptr() != given.untyped_storage().data_ptr()
    assert is_copied == (4 < frames), "memory is taken only for frames that are held"
