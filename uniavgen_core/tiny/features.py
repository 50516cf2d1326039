"""The parts of a drawn face that move: eyes, brows, mouth and what sits on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from PIL import Image

from .canvas import BLACK, CENTRE, OVERSAMPLING, WHITE, Canvas, Colour, mirror, mix, shadow, smooth_curve
from .figure import MOUTH_Y
from .people import Person
from .pose import Pose

MOUTH_INTERIOR: Colour = (138, 0, 36)
"""Colour of the open mouth's inside. Nothing else comes near it, so that openings can be measured in pixels."""
TEETH: Colour = (252, 250, 244)
EYE_WHITE: Colour = (255, 253, 250)
TONGUE: Colour = (198, 62, 84)
LIP_LINE: Colour = (84, 52, 48)
FULL_OPENING = 14.0
"""Height in pixels of a mouth that is open as far as it goes."""
UPPER_SHARE = 0.28
"""Share of the opening that is above the closed mouth's line: the jaw moves, the upper lip hardly does."""
RESTING_SMILE = 0.16
"""How far the corners of the mouth are up in a neutral face, so that it is friendly."""
EYE_DISTANCE = 13.8
"""From the face's middle to an eye's."""


@dataclass(frozen=True)
class MouthShape:
    """Edges of the lips, each (N, 2) from left to right."""

    upper: NDArray[numpy.float64]
    lower: NDArray[numpy.float64]
    upper_edge: NDArray[numpy.float64]
    lower_edge: NDArray[numpy.float64]

    @property
    def opening(self) -> NDArray[numpy.float64]:
        """The open mouth's outline (2N, 2)."""
        return numpy.concatenate((self.upper, self.lower[::-1]))


def mouth_shape(person: Person, pose: Pose) -> MouthShape:
    """The outline of the mouth in a pose."""
    scale = person.head.mouth_scale
    corners = pose.mouth_corners + RESTING_SMILE
    half_width = scale * (8.6 + 2.2 * pose.mouth_width - 2.4 * pose.lips_round) + 1.1 * corners
    height = scale * FULL_OPENING * max(pose.mouth_open, 0)
    time = numpy.linspace(-1, 1, 33)
    x = CENTRE + half_width * time
    middle = MOUTH_Y + 4.2 * corners * (0.4 - time**2)
    bulge = (1 - time**2) ** (0.62 - 0.1 * pose.lips_round)
    upper = middle - UPPER_SHARE * height * bulge
    lower = middle + (1 - UPPER_SHARE) * height * bulge
    thickness = person.head.lip_fullness * (1 + 0.3 * pose.lips_round - 0.5 * pose.lips_pressed)
    bow = 1 - 0.3 * numpy.exp(-((time / 0.22) ** 2))
    upper_edge = upper - (0.4 + 1.9 * thickness * bow) * (1 - time**4) ** 0.8
    lower_edge = lower + (0.4 + 2.5 * thickness) * (1 - numpy.abs(time) ** 3) ** 0.8
    upper, lower, upper_edge, lower_edge = (numpy.stack((x, y), axis=1) for y in (upper, lower, upper_edge, lower_edge))
    return MouthShape(upper, lower, upper_edge, lower_edge)


def draw_mouth(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Lips, and what is behind them."""
    shape = mouth_shape(person, pose)
    _draw_chin(canvas, person, shape)
    canvas.polygon(numpy.concatenate((shape.upper_edge, shape.lower_edge[::-1])), person.lips)
    gap = shape.lower[:, 1] - shape.upper[:, 1]
    if gap.max() > 0.6:
        _draw_opening(canvas, shape, pose, gap)
    else:
        canvas.line(shape.upper[2:-2:4], LIP_LINE, 0.9)
    if person.head.lip_fullness > 0.6:
        _draw_lip_light(canvas, person, shape)
    _draw_moustache(canvas, person, shape)


def _draw_opening(canvas: Canvas, shape: MouthShape, pose: Pose, gap: NDArray[numpy.float64]) -> None:
    canvas.polygon(shape.opening, MOUTH_INTERIOR)
    teeth = numpy.minimum(2.6 * pose.teeth, 0.24 * gap)
    if teeth.max() > 0.3:
        edge = shape.upper + numpy.stack((numpy.zeros_like(teeth), teeth), axis=1)
        canvas.polygon(numpy.concatenate((shape.upper, edge[::-1])), TEETH)
    if gap.max() > 2:
        across = numpy.linspace(-1, 1, len(gap))
        rise = (0.16 + 0.24 * pose.tongue) * gap.max() * numpy.sqrt(numpy.clip(1 - (across / 0.66) ** 2, 0, 1))
        bed = shape.lower[:, 1]
        top = numpy.minimum(bed, bed.max() - rise)
        edge = numpy.stack((shape.lower[:, 0], numpy.maximum(top, shape.upper[:, 1])), axis=1)
        canvas.polygon(numpy.concatenate((edge, shape.lower[::-1])), TONGUE)


def _draw_lip_light(canvas: Canvas, person: Person, shape: MouthShape) -> None:
    light = 0.5 * (shape.lower + shape.lower_edge)[12:19:3] + (0, 0.1)
    canvas.line(light, mix(person.lips, WHITE, 0.35), 0.8)


def _draw_chin(canvas: Canvas, person: Person, shape: MouthShape) -> None:
    """A little shadow under the lower lip."""
    if person.beard in ("short", "full", "goatee"):
        return
    y = min(shape.lower_edge[:, 1].max() + 1.7, person.head.chin - 2.5)
    canvas.line([(CENTRE - 4, y), (CENTRE, y + 0.6), (CENTRE + 4, y)], shadow(person.skin, 0.3), 1.1)


def _draw_moustache(canvas: Canvas, person: Person, shape: MouthShape) -> None:
    if person.beard not in ("moustache", "short", "full", "goatee"):
        return
    big = person.beard == "moustache" or person.kind == "grandfather"
    lip = float(shape.upper_edge[:, 1].min()) + 0.8
    reach, height = (15.5, 6.6) if big else (12.5, 4.2)
    side = [
        (CENTRE, lip - height * 0.85),
        (CENTRE - reach * 0.4, lip - height),
        (CENTRE - reach * 0.85, lip - height * 0.3),
        (CENTRE - reach, lip + height * 0.45),
        (CENTRE - reach * 0.62, lip + height * 0.2),
        (CENTRE - reach * 0.3, lip + 0.3),
        (CENTRE, lip - 0.6),
    ]
    left = smooth_curve(side, closed=False)
    colour = person.hair if person.beard == "moustache" else mix(person.hair, WHITE, 0.1)
    canvas.polygon(numpy.concatenate((left, mirror(left)[::-1])), colour)


def draw_eyes(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Eyes with their lids."""
    for side in (-1, 1):
        _draw_eye(canvas, person, pose, side)


def _draw_eye(canvas: Canvas, person: Person, pose: Pose, side: int) -> None:
    head = person.head
    x, y = CENTRE + side * EYE_DISTANCE, head.eye_y
    across = numpy.linspace(-1, 1, 17)
    arch = numpy.sqrt(1 - across**2)
    low = y + head.eye_height * 0.9 * arch
    lids = min(max(pose.eyelids, 0.0), 1.15)
    high = low - (low - (y - head.eye_height * arch)) * lids
    columns = x + head.eye_width * across
    lid = numpy.stack((columns, high), axis=1)
    if lids > 0.12:
        outline = numpy.concatenate((lid, numpy.stack((columns, low), axis=1)[::-1]))
        _fill_eye(canvas, person, pose, outline, (x, y))
    lashes = person.kind in ("woman", "child")
    canvas.line(lid[::4], mix(BLACK, person.hair, 0.15), 1.9 if person.kind == "woman" else 1.3)
    if person.kind == "woman":
        outer = lid[-1] if side > 0 else lid[0]
        for rise in (2.6, 0.8):
            canvas.line([outer + (-side * 1.2, -0.6), outer + (side * 2.4, -rise)], BLACK, 1.1)
    if not lashes:
        crease = numpy.stack((columns, y - (head.eye_height + 2.2) * arch**0.8), axis=1)[3:-3:5]
        canvas.line(crease, shadow(person.skin, 0.4), 0.8)


def _fill_eye(
    canvas: Canvas, person: Person, pose: Pose, outline: NDArray[numpy.float64], middle: tuple[float, float]
) -> None:
    """White, iris and pupil inside the outline."""
    head = person.head
    left, top = (int(value * OVERSAMPLING) - 2 for value in outline.min(axis=0))
    right, bottom = (int(value * OVERSAMPLING) + 3 for value in outline.max(axis=0))
    size = (right - left, bottom - top)
    ball = Canvas(Image.new("RGBA", size, (*EYE_WHITE, 255)), (left, top))
    mask = Canvas(Image.new("L", size, 0), (left, top))
    mask.polygon(outline, 255)
    x = middle[0] + pose.gaze_x * head.eye_width * 0.35
    y = middle[1] + pose.gaze_y * head.eye_height * 0.3
    iris = min(head.eye_height * 0.92, head.eye_width * 0.62)
    ball.ellipse(x, y, iris, iris, mix(person.eyes, BLACK, 0.3))
    ball.ellipse(x, y, iris * 0.84, iris * 0.84, person.eyes)
    ball.ellipse(x, y, iris * 0.52, iris * 0.52, BLACK)
    ball.ellipse(x - iris * 0.32, y - iris * 0.36, iris * 0.3, iris * 0.3, WHITE)
    canvas.image.paste(ball.image, (left - canvas.corner[0], top - canvas.corner[1]), mask.image)


def draw_brows(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Brows, by height and angle."""
    head = person.head
    colour = mix(person.hair, BLACK, 0.04 if person.kind == "grandfather" else 0.12)
    reach = head.eye_width + 1.2
    for side in (-1, 1):
        x, y = CENTRE + side * EYE_DISTANCE, head.brow_y - 3.6 * pose.brow_raise
        inner = (x - side * reach, y + 3.6 * pose.brow_angle)
        outer = (x + side * reach, y + 1.4 - 2.0 * pose.brow_angle)
        arch = ((inner[0] + outer[0]) / 2, (inner[1] + outer[1]) / 2 - 1.7)
        curve = smooth_curve([inner, arch, outer], closed=False)
        half = 0.5 * head.brow_thickness * numpy.linspace(1.15, 0.5, len(curve))
        edge = numpy.stack((numpy.zeros_like(half), half), axis=1)
        canvas.polygon(numpy.concatenate((curve - edge, (curve + edge)[::-1])), colour)
        canvas.ellipse(inner[0], inner[1], half[0], half[0], colour)
        canvas.ellipse(outer[0], outer[1], half[-1], half[-1], colour)


def draw_glasses(canvas: Canvas, person: Person) -> None:
    """Glasses, if the person wears some."""
    if person.glasses == "none":
        return
    head = person.head
    colour: Colour = (52, 50, 60)
    half_width, half_height = head.eye_width + 3.6, head.eye_height + 4.2
    shape = canvas.ring if person.glasses == "round" else canvas.frame
    for side in (-1, 1):
        x = CENTRE + side * EYE_DISTANCE
        shape(x, head.eye_y + 0.5, half_width, half_height, colour, 1.5)
        temple = [(x + side * half_width, head.eye_y - 1), (CENTRE + side * (head.half_width + 2), head.eye_y + 1)]
        canvas.line(temple, colour, 1.4)
    bridge = EYE_DISTANCE - half_width
    canvas.line([(CENTRE - bridge, head.eye_y), (CENTRE, head.eye_y - 1.2), (CENTRE + bridge, head.eye_y)], colour, 1.4)
