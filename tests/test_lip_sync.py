"""Lip sync: what it hears, and its ends."""

from __future__ import annotations

import numpy
import pytest

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE
from uniavgen_core.face.lip_sync import correlation, lip_sync, rms_envelope
from uniavgen_lab.evaluation.lip_sync_ends import lip_sync_margin, share, shuffled_lip_sync

FRAMES = 41
SECONDS = FRAMES / FRAME_RATE


def talk(seed: int, frames: int = FRAMES) -> tuple[numpy.ndarray, numpy.ndarray]:
    """A mouth (frames) that opens at random, and a sound that is as loud as the mouth is open."""
    random = numpy.random.default_rng(seed)
    samples = frames * SAMPLE_RATE // FRAME_RATE
    mouth = random.uniform(0, 1, frames)
    loudness = numpy.interp(numpy.arange(samples) / SAMPLE_RATE, numpy.arange(frames) / FRAME_RATE, mouth)
    return mouth, (loudness * random.normal(0, 0.1, samples)).astype(numpy.float32)


def test_mouth_that_follows_the_sound():
    mouth, sound = talk(0)
    assert lip_sync(mouth, sound) > 0.9
    assert lip_sync(1 - mouth, sound) < -0.9
    assert lip_sync_margin(mouth, sound) > 0.5


@pytest.mark.parametrize("seconds", [-0.4, 0.4])
def test_a_moved_sound_scores_less_and_has_no_margin(seconds: float):
    mouth, sound = talk(1)
    moved = numpy.roll(sound, round(seconds * SAMPLE_RATE))
    assert lip_sync(mouth, moved) < 0.4
    assert lip_sync_margin(mouth, moved) < 0.1


def test_moving_leaves_the_order_of_time():
    """A mouth 0.375 s late scores with a sound that is moved to it, so the margin is that of one of its two ends."""
    mouth, sound = talk(2)
    late = numpy.roll(mouth, 6)
    late[:6] = late[6:].mean()
    expected = lip_sync(late, sound) - (lip_sync(late[:35], sound[9000:]) + correlation(late[6:], mouth[:35])) / 2
    assert lip_sync_margin(late, sound, 6 / FRAME_RATE) == pytest.approx(expected, abs=0.1)


def test_shuffled_pairs_are_the_floor():
    clips = [talk(seed, frames) for seed, frames in enumerate((29, 33, 41, 45, 41, 29))]
    floor = shuffled_lip_sync(*zip(*clips, strict=True))
    assert abs(floor) < 0.2
    with pytest.raises(ValueError, match="two clips"):
        shuffled_lip_sync([clips[0][0]], [clips[0][1]])


def test_share_of_the_way():
    assert share(0.5, floor=0.2, ceiling=0.8) == pytest.approx(0.5)
    assert share(0.1, floor=0.2, ceiling=0.8) < 0
    assert share(0.5, floor=0.4, ceiling=0.4) is None


def test_a_still_mouth_scores_nothing():
    _, sound = talk(3)
    assert lip_sync(numpy.full(FRAMES, 7.0), sound) == 0
    assert lip_sync(numpy.ones(1), sound) == 0


def test_envelope_window_is_centred_on_the_frame():
    sound = numpy.zeros(SAMPLE_RATE, dtype=numpy.float32)
    centre = 5 * SAMPLE_RATE // FRAME_RATE
    sound[centre - 700 : centre + 700] = 1
    assert numpy.flatnonzero(rms_envelope(sound, FRAME_RATE)).tolist() == [5]
