"""The drawn people of the small model's world."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy
import pytest
import torch
from PIL import Image, ImageFilter

from uniavgen_core.face.lip_sync import mouth_open_area
from uniavgen_core.tiny.drawing import Painter, draw_portrait
from uniavgen_core.tiny.features import mouth_shape
from uniavgen_core.tiny.people import KINDS, Person
from uniavgen_core.tiny.pose import Pose

AWAY = Pose(head_x=3, head_y=2, head_tilt=4)


def random_pose(random: Random) -> Pose:
    """A pose with anything in it, each value within its range."""
    return Pose(
        mouth_open=random.choice((0, random.random(), random.random())),
        mouth_width=random.uniform(-1, 1),
        lips_round=random.random(),
        lips_pressed=random.random(),
        teeth=random.random(),
        tongue=random.random(),
        mouth_corners=random.uniform(-1, 1),
        brow_raise=random.uniform(-1, 1),
        brow_angle=random.uniform(-1, 1),
        eyelids=random.random(),
        head_x=random.uniform(-3, 3),
        head_y=random.uniform(-3, 3),
        head_tilt=random.uniform(-4, 4),
    )


def difference(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """Where two pictures differ clearly, (128, 128)."""
    return numpy.abs(first.astype(int) - second.astype(int)).max(axis=-1) > 12


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_and_its_face_mask(kind: str) -> None:
    person = Person.from_seed(11, kind)
    picture, mask = Painter(person).draw(Pose())
    again, _ = Painter(person).draw(Pose())
    assert picture.shape == (128, 128, 3) and picture.dtype == numpy.uint8
    assert mask.shape == (128, 128) and set(numpy.unique(mask)) == {0, 255}
    assert numpy.array_equal(picture, again)
    columns = numpy.flatnonzero((mask == 255).any(axis=0))
    assert 55 <= columns[-1] - columns[0] <= 72
    assert mask[88, 64] == 255 and not mask[:10].any() and not mask[115:].any()


def test_a_seed_is_a_person_and_kinds_differ() -> None:
    assert Person.from_seed(3) == Person.from_seed(3)
    assert {Person.from_seed(seed).kind for seed in range(40)} == set(KINDS)
    pictures = [Painter(Person.from_seed(5, kind)).draw(Pose())[0] for kind in KINDS]
    for place, first in enumerate(pictures):
        for second in pictures[place + 1 :]:
            assert difference(first, second).mean() > 0.08


def test_people_of_every_seed_can_be_made() -> None:
    for kind in KINDS:
        assert len({replace(Person.from_seed(seed, kind), seed=0) for seed in range(100)}) == 100


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="grandfather"):
        Person.from_seed(0, "robot")


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_head_moves(kind: str) -> None:
    painter = Painter(Person.from_seed(2, kind))
    (rest, rest_mask), (away, away_mask) = painter.draw(Pose()), painter.draw(AWAY)
    moved = difference(rest, away)
    assert moved[:100].any() and not moved[:, :6].any() and not moved[124:, 56:72].any()
    centre = [numpy.argwhere(mask)[:, 1].mean() for mask in (rest_mask, away_mask)]
    assert 2 < centre[1] - centre[0] < 8


def opened_area(person: Person, pose: Pose) -> float:
    """Area inside the lips in square pixels."""
    shape = mouth_shape(person, pose)
    gap = shape.lower[:, 1] - shape.upper[:, 1]
    return float(gap.sum() * (shape.upper[1, 0] - shape.upper[0, 0]))


def test_measured_opening_follows_the_true_one_even_when_blurred() -> None:
    random = Random(0)
    true, pictures, blurred = [], [], []
    for seed in range(30):
        painter = Painter(Person.from_seed(seed))
        for _ in range(5):
            pose = random_pose(random)
            picture, _ = painter.draw(pose)
            true.append(opened_area(painter.person, pose))
            pictures.append(picture)
            blurred.append(numpy.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1))))
    sharp = mouth_open_area(numpy.stack(pictures))
    assert numpy.corrcoef(true, sharp)[0, 1] > 0.96
    assert numpy.corrcoef(true, mouth_open_area(numpy.stack(blurred)))[0, 1] > 0.93
    assert sharp[numpy.equal(true, 0)].max() < 0.08 * sharp.max()
    as_floats = numpy.stack(pictures).astype(numpy.float32) / 255
    assert numpy.allclose(mouth_open_area(as_floats), sharp, atol=1e-3)


def test_a_full_opening_is_large() -> None:
    for kind in KINDS:
        picture, _ = Painter(Person.from_seed(1, kind)).draw(Pose(mouth_open=1, mouth_width=0.3))
        assert mouth_open_area(picture[None])[0] > 90


def test_the_portrait_is_at_rest() -> None:
    portrait = draw_portrait()
    assert portrait.shape == (1, 128, 128, 3) and 0 <= portrait.min() and portrait.max() <= 1
    assert mouth_open_area(portrait.numpy())[0] < 5


def test_a_portrait_is_of_the_person_asked_for() -> None:
    assert torch.equal(draw_portrait(7, "child"), draw_portrait(7, "child"))
    picture, _ = Painter(Person.from_seed(7, "child")).draw(Pose())
    assert numpy.array_equal(draw_portrait(7, "child")[0].mul(255).round().byte().numpy(), picture)
    assert not torch.equal(draw_portrait(7, "child"), draw_portrait(7, "man"))
