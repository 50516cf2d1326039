"""Hairstyles: hair behind the shoulders, and hair in front of the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy
from numpy.typing import NDArray

from .canvas import BLACK, CENTRE, WHITE, Canvas, Points, mirror, mix, smooth_curve
from .people import HeadShape, Person

Line = Sequence[tuple[float, float]]
"""Points relative to a head: share of its half width from the middle, pixels below its top."""


@dataclass(frozen=True)
class _Cap:
    """Hair over the skull, down to a hairline."""

    spread: float
    """Pixels that it is wider than the skull."""
    rise: float
    """Pixels that it is higher than the skull."""
    hairline: Line
    low: float = -4
    """Degrees to which it reaches at the sides: 0 is the middle of the face, -90 the chin."""


def _even(left: Line) -> Line:
    """A hairline that is the same on both sides."""
    return (*left, (0, left[-1][1]), *((-share, below) for share, below in reversed(left)))


_CURTAIN = (
    (-1.05, 58), (-0.96, 40), (-0.82, 29), (-0.5, 19), (-0.2, 9),
    (0.15, 15), (0.55, 23), (0.84, 33), (0.96, 44), (1.05, 58),
)  # fmt: skip
_SIDE_PARTING = (
    (-1.02, 42), (-0.93, 30), (-0.74, 21), (-0.42, 10), (-0.1, 17), (0.4, 20.5), (0.8, 22), (0.93, 30), (1.02, 42),
)  # fmt: skip
_FRINGE = _even(((-1.04, 62), (-0.95, 44), (-0.86, 25), (-0.45, 22)))

_CAPS = MappingProxyType(
    {
        "parted": _Cap(2.6, 7, _SIDE_PARTING),
        "quiff": _Cap(2.2, 4, _even(((-1.02, 40), (-0.92, 28), (-0.75, 19), (-0.3, 14)))),
        "crop": _Cap(1.2, 2.2, _even(((-1.01, 40), (-0.93, 28), (-0.84, 20), (-0.62, 14)))),
        "curls": _Cap(2, 4, _even(((-1.0, 38), (-0.92, 27), (-0.7, 18)))),
        "straight": _Cap(5.5, 8, _FRINGE, low=-24),
        "bob": _Cap(5.5, 8, _FRINGE, low=-24),
        "waves": _Cap(5.5, 8, _CURTAIN, low=-20),
        "locks": _Cap(5.5, 8, _CURTAIN, low=-20),
        "bowl": _Cap(3.6, 8, _even(((-1.04, 42), (-0.94, 32), (-0.88, 17), (-0.4, 15.5)))),
        "tufts": _Cap(1.2, 3, _even(((-1.0, 32), (-0.93, 24), (-0.75, 14), (-0.3, 8)))),
        "pigtails": _Cap(3, 7, _even(((-1.03, 40), (-0.93, 28), (-0.7, 18), (-0.3, 12)))),
        "mop": _Cap(4, 8, _even(((-1.03, 40), (-0.95, 30), (-0.8, 15), (-0.4, 13)))),
    }
)
_ENDS = MappingProxyType(
    {
        "straight": ((0.5, 80), (2, 100), (3, 124), (-10, 126), (-22, 124)),
        "waves": ((4, 74), (1, 84), (6, 96), (2, 108), (7, 120), (-16, 127)),
        "bob": ((3, 74), (4, 88), (1, 99), (-6, 103), (-16, 100)),
        "locks": ((2, 78), (3, 94), (2, 112), (-4, 122), (-16, 118)),
    }
)
"""How long hair ends on the right: pixels from the side of the hair, and rows."""


def draw_back_hair(person: Person) -> Canvas | None:
    """Hair behind the shoulders, or None."""
    canvas = Canvas.blank()
    if person.hair_style in _ENDS:
        canvas.polygon(_long_hair(person), mix(person.hair, BLACK, 0.16))
    elif person.hair_style == "pigtails":
        _draw_bunches(canvas, person)
    else:
        return None
    return canvas.mirror() if person.mirrored else canvas


def draw_front_hair(person: Person) -> Canvas:
    """Hair in front of the face."""
    canvas = Canvas.blank()
    if person.hair_style in _CAPS:
        _draw_cap(canvas, person, _CAPS[person.hair_style])
    if person.hair_style in _DETAILS:
        _DETAILS[person.hair_style](canvas, person)
    return canvas.mirror() if person.mirrored else canvas


def _crown(head: HeadShape, spread: float, rise: float, start: float, end: float) -> NDArray[numpy.float64]:
    """An arc over the skull, from one angle in degrees to another (0 right, 90 up), (60, 2)."""
    angles = numpy.radians(numpy.linspace(start, end, 60))
    width, height = head.half_width + spread, head.middle - head.top + rise
    return numpy.stack((CENTRE + width * numpy.cos(angles), head.middle - height * numpy.sin(angles)), axis=1)


def _points(head: HeadShape, line: Line) -> NDArray[numpy.float64]:
    """Points of a line in the picture, (N, 2)."""
    return numpy.asarray(line, dtype=numpy.float64) * (head.half_width, 1) + (CENTRE, head.top)


def _draw_cap(canvas: Canvas, person: Person, cap: _Cap) -> None:
    crown = _crown(person.head, cap.spread, cap.rise, cap.low, 180 - cap.low)
    hairline = smooth_curve(_points(person.head, cap.hairline), closed=False)
    canvas.polygon(numpy.concatenate((crown, hairline)), person.hair)
    shine = _crown(person.head, -5, cap.rise - 5, 108, 142)
    canvas.line(shine[::12], mix(person.hair, WHITE, 0.26), 2.2)


def _long_hair(person: Person) -> NDArray[numpy.float64]:
    head = person.head
    edge = CENTRE + head.half_width + 6
    ends = [(edge + x, y) for x, y in _ENDS[person.hair_style]]
    right = smooth_curve([(edge, head.middle), *ends], closed=False)
    return numpy.concatenate((_crown(head, 6, 8, 180, 0), right, mirror(right)[::-1]))


def _draw_bunches(canvas: Canvas, person: Person) -> None:
    head = person.head
    for side in (-1, 1):
        x = CENTRE + side * (head.half_width + 7)
        canvas.ellipse(x + side, head.eye_y + 14, 7, 12, mix(person.hair, BLACK, 0.16))
        canvas.ellipse(x, head.eye_y - 2, 8, 9, person.hair)
        canvas.ellipse(x - side * 4, head.eye_y + 3, 3, 3, person.shirt)


def _draw_quiff(canvas: Canvas, person: Person) -> None:
    wave = (
        (-0.82, 17), (-0.9, 4), (-0.62, -8), (-0.06, -11), (0.5, -12),
        (0.88, -5), (0.84, 7), (0.75, 16), (0.19, 15), (-0.38, 15),
    )  # fmt: skip
    canvas.blob(_points(person.head, wave), person.hair)
    canvas.line(_points(person.head, ((-0.62, 3), (-0.25, -4), (0.25, -5))), mix(person.hair, WHITE, 0.26), 2.2)


def _draw_curls(canvas: Canvas, person: Person) -> None:
    for x, y in _crown(person.head, 0.5, 3.5, 12, 168)[::6]:
        canvas.ellipse(x, y, 6, 6, person.hair)
    for x, y in _points(person.head, ((-0.55, 14), (-0.18, 13), (0.2, 13), (0.56, 14))):
        canvas.ellipse(x, y, 5.4, 5, person.hair)
    for x, y in _points(person.head, ((-0.47, 3), (-0.1, -1), (0.28, 2), (0.56, 8), (-0.72, 11))):
        canvas.line([(x - 2.5, y + 2), (x, y - 0.5), (x + 3, y + 1)], mix(person.hair, WHITE, 0.2), 1.3)


def _draw_locks(canvas: Canvas, person: Person) -> None:
    """Hair that falls in front of the shoulders."""
    edge = CENTRE - person.head.half_width
    shape = ((-5, 60), (-7, 84), (-5, 108), (4, 126), (8, 112), (1, 96), (0, 78))
    _draw_both(canvas, person, [(edge + x, y) for x, y in shape])


def _draw_tufts(canvas: Canvas, person: Person) -> None:
    top = person.head.top
    for lean, reach in ((-7, -9), (1, -12), (8, -8)):
        x = CENTRE + lean
        canvas.blob([(CENTRE - 5, top + 6), (x - 2, top + reach), (x, top + reach), (CENTRE + 6, top + 6)], person.hair)
    canvas.blob(_points(person.head, ((-0.18, 6), (0.03, 15), (0.24, 12), (0.24, 5))), person.hair)


def _draw_middle_parting(canvas: Canvas, person: Person) -> None:
    canvas.line(_points(person.head, ((0, -6), (0, 12))), mix(person.hair, BLACK, 0.22), 1.2)


def _draw_mop(canvas: Canvas, person: Person) -> None:
    for share in (-0.75, -0.42, -0.08, 0.26, 0.6):
        lock = ((-0.18, 9), (0.18, 9), (0.15, 15), (0.03, 20), (-0.12, 16))
        canvas.blob(_points(person.head, [(share + x, y) for x, y in lock]), person.hair)
    for angle in (40, 64, 90, 116, 142):
        base = _crown(person.head, 1, 4, angle - 13, angle + 13)
        tip = _crown(person.head, 8, 13, angle, angle)
        canvas.polygon(numpy.concatenate((base[:1], tip[:1], base[-1:])), person.hair)


def _draw_sides(canvas: Canvas, person: Person) -> None:
    """Hair around the ears only."""
    patch = ((-1.0, 44), (-1.16, 42), (-1.24, 30), (-1.12, 18), (-0.98, 15), (-0.88, 20), (-0.93, 30))
    _draw_both(canvas, person, _points(person.head, patch))


def _draw_wisps(canvas: Canvas, person: Person) -> None:
    """A few hairs that stand up."""
    _draw_sides(canvas, person)
    for x, lean in ((-5, -7), (1, 1), (6, 9)):
        root = (CENTRE + x, person.head.top + 3)
        tip = (root[0] + lean, root[1] - 10)
        canvas.line([root, (root[0] + lean * 0.3, root[1] - 7), tip], person.hair, 1.6)


def _draw_strands(canvas: Canvas, person: Person) -> None:
    """A few hairs combed over the crown."""
    _draw_sides(canvas, person)
    for row in range(3):
        strand = ((-0.9, 15), (-0.38, 1 + 3.4 * row), (0.45 + 0.06 * row, 3 + 3 * row))
        canvas.line(_points(person.head, strand), person.hair, 1.8)


def _draw_both(canvas: Canvas, person: Person, points: Points) -> None:
    """A shape of hair on both sides."""
    for side in (points, mirror(points)):
        canvas.blob(side, person.hair)


_DETAILS = MappingProxyType(
    {
        "quiff": _draw_quiff,
        "curls": _draw_curls,
        "locks": _draw_locks,
        "tufts": _draw_tufts,
        "pigtails": _draw_middle_parting,
        "mop": _draw_mop,
        "sides": _draw_sides,
        "wisps": _draw_wisps,
        "strands": _draw_strands,
    }
)
