"""From phonemes and mood to poses."""

from __future__ import annotations

from dataclasses import astuple

import numpy
import pytest

from uniavgen_core.tiny.pose import Pose
from uniavgen_lab.world.animation import VISEMES, animate, visemes_of
from uniavgen_lab.world.sentences import MOODS
from uniavgen_lab.world.synthesiser import Phoneme

FRAMES = 33
SOUNDS = ("m", "A:", "p", "i:", "b", "u:", "f", "aI", "s", "oU")


def phonemes(*symbols: str, start: float = 0.25, seconds: float = 0.15) -> list[Phoneme]:
    """Sounds of the same length, one after another."""
    return [
        Phoneme(start + place * seconds, start + (place + 1) * seconds, symbol) for place, symbol in enumerate(symbols)
    ]


def say(*symbols: str, mood: str = "neutral", frames: int = FRAMES, seed: int = 1, seconds: float = 0.15) -> list[Pose]:
    """Poses of sounds that are all equally loud."""
    return animate(phonemes(*symbols, seconds=seconds), numpy.ones(frames), mood, frames, seed)


def mean(poses: list[Pose], field: str) -> float:
    """A field's mean over the poses in which the mood has set in."""
    return float(numpy.mean([getattr(pose, field) for pose in poses[5:]]))


@pytest.mark.parametrize("mood", MOODS)
def test_the_first_frame_is_the_portrait(mood: str) -> None:
    loud = animate([Phoneme(0, 1, "A:")], numpy.ones(FRAMES), mood, FRAMES, seed=3)
    assert loud[0] == Pose()
    assert loud[1] != Pose()


def test_the_same_seed_gives_the_same_motion() -> None:
    assert say(*SOUNDS) == say(*SOUNDS)
    assert say(*SOUNDS) != say(*SOUNDS, seed=2)


def test_vowels_open_and_closures_shut() -> None:
    poses = say("A:", "m", "A:", "m", seconds=0.25)
    middle = [poses[round((0.25 + 0.25 * place + 0.125) * 16)] for place in range(4)]
    assert min(middle[0].mouth_open, middle[2].mouth_open) > 0.7
    assert max(middle[1].mouth_open, middle[3].mouth_open) < 0.05
    assert middle[1].lips_pressed > 0.5 > middle[0].lips_pressed


def test_a_short_closure_is_seen_at_any_time() -> None:
    for shift in numpy.linspace(0, 1 / 16, 7):
        sounds = [
            Phoneme(0, 0.5 + shift, "A:"),
            Phoneme(0.5 + shift, 0.55 + shift, "p"),
            Phoneme(0.55 + shift, 2, "A:"),
        ]
        poses = animate(sounds, numpy.ones(FRAMES), "neutral", FRAMES, seed=0)
        assert min(pose.mouth_open for pose in poses[5:14]) < 0.4


def test_silence_is_a_closed_mouth() -> None:
    poses = animate(phonemes("A:", "A:"), numpy.zeros(FRAMES) + 1e-3, "happy", FRAMES, seed=0)
    assert max(pose.mouth_open for pose in poses[12:]) < 0.05
    silent = animate([], numpy.zeros(FRAMES), "sad", FRAMES, seed=0)
    assert not any(pose.mouth_open for pose in silent)


def test_louder_is_wider() -> None:
    envelope = numpy.linspace(0.1, 1, FRAMES)
    poses = animate([Phoneme(0, 3, "A:")], envelope, "neutral", FRAMES, seed=0)
    opening = [pose.mouth_open for pose in poses[4:-4]]
    assert opening == sorted(opening) and opening[-1] > 2 * opening[0]


def test_moods_differ_in_brows_corners_and_head() -> None:
    neutral, happy, angry, sad = (say(*SOUNDS, mood=mood) for mood in MOODS)
    corners = [mean(poses, "mouth_corners") for poses in (sad, angry, neutral, happy)]
    angles = [mean(poses, "brow_angle") for poses in (sad, neutral, angry)]
    assert corners == sorted(set(corners)) and angles == sorted(set(angles))
    assert mean(angry, "brow_raise") < mean(neutral, "brow_raise") < mean(happy, "brow_raise")
    assert mean(sad, "head_y") > mean(neutral, "head_y") + 1
    assert mean(sad, "eyelids") < mean(happy, "eyelids")


def test_everybody_blinks_now_and_then() -> None:
    lids = numpy.array([pose.eyelids for pose in say(*SOUNDS, frames=161, seed=4)])
    blinks = int(((lids[1:] < 0.5) & (lids[:-1] >= 0.5)).sum())
    assert 2 <= blinks <= 6


def test_visemes_are_eight_or_more_different_shapes() -> None:
    assert len({astuple(viseme)[:-1] for viseme in VISEMES.values()}) >= 8
    assert visemes_of("'aI") == visemes_of("aI") and len(visemes_of("aI")) == 2
    assert visemes_of("_:") == (VISEMES["rest"],)
    assert visemes_of("y7") == (VISEMES["back"],) and visemes_of("a7") == (VISEMES["mid"],)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="happy"):
        animate([], numpy.zeros(FRAMES), "bored", FRAMES, seed=0)
    with pytest.raises(ValueError, match="envelope"):
        animate([], numpy.zeros(3), "sad", FRAMES, seed=0)
