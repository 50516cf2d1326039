"""Picture measures."""

from __future__ import annotations

import math
from random import Random

import numpy
import pytest

from uniavgen_core.tiny.drawing import Painter
from uniavgen_core.tiny.people import KINDS, Person
from uniavgen_core.tiny.pose import Pose
from uniavgen_lab.evaluation.image_measures import identity, mask_iou, motion, psnr


def test_psnr_of_a_known_error():
    frames = numpy.full((2, 8, 8, 3), 100, dtype=numpy.uint8)
    assert psnr(frames, frames) == math.inf
    assert psnr(frames + 10, frames) == pytest.approx(20 * math.log10(25.5))
    with pytest.raises(ValueError, match="one size"):
        psnr(frames, frames[:1])


def test_motion_does_not_wrap_around():
    frames = numpy.zeros((3, 4, 4, 3), dtype=numpy.uint8)
    frames[1] = 200
    assert motion(frames) == pytest.approx(200)
    assert motion(frames[:1].repeat(5, axis=0)) == 0


def test_iou_of_masks():
    one = numpy.array([0.9, 0.6, 0.2, 0.5])
    assert mask_iou(one, numpy.array([1, 0, 1, 0.0])) == pytest.approx(1 / 3)
    assert mask_iou(one, one) == 1
    assert mask_iou(numpy.zeros(4), numpy.zeros(4)) == 1


def test_identity_tells_people_apart():
    random = Random(0)
    people = [Person.from_seed(seed, random.choice(KINDS)) for seed in range(6)]
    portraits = [Painter(person).draw(Pose())[0] for person in people]
    noisy = [numpy.clip(p + numpy.random.default_rng(0).normal(0, 12, p.shape), 0, 255) for p in portraits]
    for person, frame in enumerate(noisy):
        likeness = [identity(frame[None].astype(numpy.uint8), portrait) for portrait in portraits]
        assert numpy.argmax(likeness) == person
        assert sorted(likeness)[-1] - sorted(likeness)[-2] > 5
