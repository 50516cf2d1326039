"""Draw a person in a pose: the picture and where the face's skin is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .canvas import CENTRE, OVERSAMPLING, SIZE, Canvas
from .features import draw_brows, draw_eyes, draw_glasses, draw_mouth
from .figure import draw_background, draw_body, draw_head
from .hair import draw_back_hair
from .people import Person
from .pose import Pose

PIVOT_Y = 108.0
"""The head turns around this row of its middle column: the neck."""
PORTRAIT_SEED = 550_000_005
"""Who is drawn by default: somebody of the corpus' test part, whom the small model has not met in training."""

ByteImage = NDArray[numpy.uint8]


class Painter:
    """Draws one person; what stays the same from frame to frame is kept."""

    def __init__(self, person: Person) -> None:
        self.person = person
        head, self._face = draw_head(person)
        back_hair = draw_back_hair(person)
        self._behind = draw_background(person).image
        self._back_hair = back_hair and back_hair.crop()
        self._body = draw_body(person).crop()
        self._head = head.crop()

    def draw(self, pose: Pose) -> tuple[ByteImage, ByteImage]:
        """The person in a pose.

        Returns:
            The picture (128, 128, 3), and 255 where the face is, else 0 (128, 128): its oval without hair and neck.
        """
        return numpy.array(self.draw_large(pose).reduce(OVERSAMPLING)), _Motion.of(pose).sample(self._face)

    def draw_large(self, pose: Pose) -> Image.Image:
        """The picture before it is made smaller, with hard edges."""
        head = self._head.copy()
        draw_eyes(head, self.person, pose)
        draw_brows(head, self.person, pose)
        draw_mouth(head, self.person, pose)
        draw_glasses(head, self.person)
        motion = _Motion.of(pose)
        scene = self._behind.copy()
        if self._back_hair:
            _paste(scene, motion.move(self._back_hair))
        _paste(scene, self._body)
        _paste(scene, motion.move(head))
        return scene


@dataclass(frozen=True)
class _Motion:
    """Where the head goes: it turns around the neck and is shifted. In oversampled pixels."""

    turn: NDArray[numpy.float64]
    """(2, 2)"""
    shift: NDArray[numpy.float64]
    """(2)"""

    @classmethod
    def of(cls, pose: Pose) -> _Motion:
        angle = math.radians(pose.head_tilt)
        turn = numpy.array(((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))))
        pivot = numpy.array((CENTRE, PIVOT_Y))
        return cls(turn, (pivot - turn @ pivot + (pose.head_x, pose.head_y)) * OVERSAMPLING)

    def move(self, layer: Canvas) -> Canvas:
        """A layer where the head has gone."""
        (left, top), (width, height) = layer.corner, layer.image.size
        corners = numpy.array([(left, top), (left + width, top), (left, top + height), (left + width, top + height)])
        moved = corners @ self.turn.T + self.shift
        start = numpy.maximum(numpy.floor(moved.min(axis=0)), 0).astype(int)
        end = numpy.minimum(numpy.ceil(moved.max(axis=0)), SIZE * OVERSAMPLING).astype(int)
        return Canvas(self._transform(layer, start, end - start, 1), (int(start[0]), int(start[1])))

    def sample(self, layer: Canvas) -> ByteImage:
        """A layer where the head has gone, at the middle of each of the final picture's pixels."""
        origin = numpy.zeros(2, dtype=int)
        return numpy.array(self._transform(layer, origin, origin + SIZE, OVERSAMPLING))

    def _transform(
        self, layer: Canvas, start: NDArray[numpy.int_], size: NDArray[numpy.int_], scale: int
    ) -> Image.Image:
        # The nearest pixels will do: edges become smooth when the oversampled picture is reduced.
        source = self.turn.T @ (start - self.shift) - layer.corner
        (xx, xy), (yx, yy) = self.turn.T * scale
        matrix = (xx, xy, source[0], yx, yy, source[1])
        return layer.image.transform((int(size[0]), int(size[1])), Image.Transform.AFFINE, matrix, fillcolor=0)


def _paste(scene: Image.Image, layer: Canvas) -> None:
    scene.paste(layer.image, layer.corner, layer.image)


def draw_portrait(seed: int = PORTRAIT_SEED, kind: str | None = None) -> Tensor:
    """The person of a seed and a kind (see `Person.from_seed`) at rest, (1, 128, 128, 3) of values 0..1.

    Raises:
        ValueError: an unknown kind.
    """
    image, _ = Painter(Person.from_seed(seed, kind)).draw(Pose())
    return torch.from_numpy(image).float().div(255).unsqueeze(0)
