"""Where a range falls in a segment, and how its sound gets back into the user's."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from uniavgen_core.config import SAMPLE_RATE, TRAINED_LATENT_FRAMES, pixel_frames
from uniavgen_core.editing.new_sound import channel_weights, put_in_sound
from uniavgen_core.editing.segment import TimeRange, check_new_words, plan_bridge, plan_retake

MINUTE = 60 * 16


@pytest.mark.parametrize("start", [0.0, 0.3, 2.2, 10.0, 29.97, 55.0, 58.9])
@pytest.mark.parametrize("lasts", [0.05, 0.5, 1.0, 3.33])
def test_the_range_is_made_anew_and_little_more(start: float, lasts: float) -> None:
    end = min(start + lasts, 60.0)
    segment = plan_retake(MINUTE, Fraction(60), TimeRange(start, end), 0, 2)
    assert 0 <= segment.first and segment.first + pixel_frames(segment.latent_frames) <= MINUTE
    assert segment.latent_frames >= TRAINED_LATENT_FRAMES - 1
    (first, last), (heard, silent) = segment.picture_seconds, segment.sound_seconds
    a_frame, a_token = Fraction(1, 16), Fraction(1, 100)
    assert first <= max(start, 1 / 16) + 1e-9 and last >= end - 1e-9
    assert start - first < 5 * a_frame and last - end < 5 * a_frame
    assert start - a_token - 1e-9 <= heard <= start + 1e-9 and end - a_token <= silent <= end + a_token + 1e-9
    kept = segment.kept()
    assert kept.video[0] and kept.video.count(False) == len(segment.video)


def test_the_first_edge_is_the_users_where_there_is_room() -> None:
    for frame in range(200, 216):
        segment = plan_retake(MINUTE, Fraction(60), TimeRange(frame / 16, frame / 16 + 1), 0, 2)
        assert segment.picture_seconds[0] == Fraction(frame, 16)


def test_a_short_video_is_one_segment() -> None:
    segment = plan_retake(40, Fraction(5, 2), TimeRange(1, 0, picture=False), 0, 2)
    assert (segment.first, segment.latent_frames, len(segment.video)) == (0, 11, 0)
    assert segment.sound_seconds == (1, Fraction(5, 2))
    assert "sound from 1.00 to 2.50 s" in segment.told(Fraction(5, 2))


def test_a_range_that_no_segment_holds() -> None:
    with pytest.raises(ValueError, match="several ranges"):
        plan_retake(MINUTE, Fraction(60), TimeRange(0, 30), 0, 2)


def test_new_words_must_fit() -> None:
    wanted = TimeRange(1, 2, words_seconds=1.8)
    segment = plan_retake(MINUTE, Fraction(60), wanted, 0, 2)
    with pytest.raises(ValueError, match=r"1.80 seconds.* 1.00"):
        check_new_words(wanted, segment, 1.0)
    assert check_new_words(wanted, segment, 1.5) is None
    assert "pause" in str(check_new_words(TimeRange(1, 2, words_seconds=0.2), segment, 1.0))


def test_a_bridge_ends_where_the_next_clip_begins() -> None:
    segment = plan_bridge(100, 12, 3, Fraction(4))
    assert segment.first == 91 and segment.video == range(3, 9)
    assert segment.frames == range(9, 33)
    assert len(segment.audio) == 150
    with pytest.raises(ValueError, match="next_video lasts 0.50"):
        plan_bridge(100, 12, 3, Fraction(1, 2))


@pytest.mark.parametrize("rate", [24_000, 44_100])
@pytest.mark.parametrize("piece", [700, 100_000])
def test_samples_outside_are_not_touched(rate: int, piece: int) -> None:
    generator = torch.Generator().manual_seed(1)
    own = torch.randn(2, 2 * rate, generator=generator)
    new = torch.randn(SAMPLE_RATE // 2, generator=generator)
    pieces = put_in_sound(own.split(piece, dim=-1), rate, new, Fraction(3, 4), torch.tensor([[1.0], [0.5]]))
    joined = torch.cat([*pieces], dim=-1)
    start, end = 3 * rate // 4, 5 * rate // 4
    assert joined.shape == own.shape
    assert torch.equal(joined[:, :start], own[:, :start]) and torch.equal(joined[:, end:], own[:, end:])
    middle = joined[:, start + rate // 10 : end - rate // 10]
    torch.testing.assert_close(middle[0], 2 * middle[1])


def test_a_sound_that_ends_early_is_made_longer() -> None:
    joined = torch.cat(
        [*put_in_sound([torch.ones(1, 6000)], 24_000, torch.ones(2400), Fraction(1, 2), torch.ones(1, 1))], -1
    )
    assert joined.shape == (1, 14_400)
    assert not joined[:, 6000:12_000].any() and joined[:, 13_000:13_400].all()


def test_a_voice_is_as_loud_in_each_channel_as_it_was() -> None:
    voice = torch.sin(torch.arange(24_000) * 2 * math.pi * 200 / 24_000)
    noise = torch.randn(24_000, generator=torch.Generator().manual_seed(2)) * 0.1
    weights = channel_weights(torch.stack((voice, 0.5 * voice, noise)), voice)
    torch.testing.assert_close(weights, torch.tensor([[1.0], [0.5], [0.0]]), atol=0.02, rtol=0)
