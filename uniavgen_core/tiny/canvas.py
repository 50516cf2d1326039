"""Smooth shapes with clean edges: drawn large with Pillow and made smaller at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
"""Red, green and blue, 0..255."""

BLACK: Colour = (30, 24, 34)
WHITE: Colour = (255, 255, 255)
BLUSH: Colour = (236, 106, 106)
_SHADOW: Colour = (120, 66, 62)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two: the first at share 0, the second at 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shadow(skin: Colour, strength: float = 0.22) -> Colour:
    """A darker tone of a skin colour: warm, not grey."""
    return mix(skin, _SHADOW, strength)


def colour_distance(first: Colour, second: Colour) -> float:
    """Euclidean distance."""
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5


SIZE = 128
"""Width and height of a picture in pixels."""
CENTRE = SIZE / 2
OVERSAMPLING = 4
"""Shapes are drawn this many times larger."""
CLEAR = (0, 0, 0, 0)

Points = Sequence[tuple[float, float]] | NDArray[numpy.float64]


def smooth_curve(points: Points, closed: bool = True, steps: int = 8) -> NDArray[numpy.float64]:
    """Points of a Catmull-Rom spline through the given ones, (N, 2)."""
    knots = numpy.asarray(points, dtype=numpy.float64)
    padded = numpy.concatenate(
        (knots[-1:], knots, knots[:2]) if closed else (knots[:1], knots, knots[-1:]),
    )
    before, start, end, after = (padded[offset : len(padded) - 3 + offset, None] for offset in range(4))
    time = (numpy.arange(steps) / steps)[None, :, None]
    curve = 0.5 * (
        2 * start
        + (end - before) * time
        + (2 * before - 5 * start + 4 * end - after) * time**2
        + (3 * start - before - 3 * end + after) * time**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else numpy.concatenate((curve, knots[-1:]))


def mirror(points: Points) -> NDArray[numpy.float64]:
    """The same points on the other side of the picture's middle."""
    return numpy.asarray(points, dtype=numpy.float64) * (-1, 1) + (SIZE, 0)


class Canvas:
    """An oversampled picture that takes coordinates in pixels of the final one.

    Args:
        image: what to draw on.
        corner: where its upper left pixel is in the final picture, in oversampled pixels.
    """

    def __init__(self, image: Image.Image, corner: tuple[int, int] = (0, 0)) -> None:
        self.image = image
        self.corner = corner
        self._draw = ImageDraw.Draw(image)

    @classmethod
    def blank(cls, mode: str = "RGBA", colour: Colour | tuple[int, ...] | int = CLEAR) -> Canvas:
        """An empty canvas; RGBA is clear, else name the colour."""
        return cls(Image.new(mode, (SIZE * OVERSAMPLING,) * 2, colour))

    def crop(self) -> Canvas:
        """A copy of only the part that is drawn on."""
        box = self.image.getbbox() or (0, 0, 1, 1)
        return Canvas(self.image.crop(box), (self.corner[0] + box[0], self.corner[1] + box[1]))

    def copy(self) -> Canvas:
        """The same on an image of its own."""
        return Canvas(self.image.copy(), self.corner)

    def mirror(self) -> Canvas:
        """Left and right the other way round; only for a canvas of the whole picture."""
        return Canvas(self.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))

    def _enlarge(self, points: Points) -> list[float]:
        return (numpy.asarray(points, dtype=numpy.float64) * OVERSAMPLING - self.corner).ravel().tolist()

    def _box(self, x: float, y: float, half_width: float, half_height: float) -> list[float]:
        return self._enlarge([(x - half_width, y - half_height), (x + half_width, y + half_height)])

    def polygon(self, points: Points, colour: Colour | int) -> None:
        """Fill the area inside straight lines."""
        self._draw.polygon(self._enlarge(points), fill=colour)

    def blob(self, points: Points, colour: Colour | int) -> None:
        """Fill the area inside a smooth curve through the points."""
        self.polygon(smooth_curve(points), colour)

    def ellipse(self, x: float, y: float, half_width: float, half_height: float, colour: Colour | int) -> None:
        """Fill an ellipse around (x, y)."""
        self._draw.ellipse(self._box(x, y, half_width, half_height), fill=colour)

    def ring(self, x: float, y: float, half_width: float, half_height: float, colour: Colour, width: float) -> None:
        """The outline of an ellipse."""
        box = self._box(x, y, half_width, half_height)
        self._draw.ellipse(box, outline=colour, width=round(width * OVERSAMPLING))

    def frame(self, x: float, y: float, half_width: float, half_height: float, colour: Colour, width: float) -> None:
        """The outline of a rectangle with round corners."""
        box, radius = self._box(x, y, half_width, half_height), 0.45 * half_height * OVERSAMPLING
        self._draw.rounded_rectangle(box, radius, outline=colour, width=round(width * OVERSAMPLING))

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour | int) -> None:
        """Fill a rectangle."""
        self._draw.rectangle(self._enlarge([(left, top), (right, bottom)]), fill=colour)

    def line(self, points: Points, colour: Colour | int, width: float) -> None:
        """A smooth line with round ends."""
        curve = smooth_curve(points, closed=False, steps=5)
        self._draw.line(self._enlarge(curve), fill=colour, width=max(1, round(width * OVERSAMPLING)), joint="curve")
        for x, y in (curve[0], curve[-1]):
            self.ellipse(x, y, width / 2, width / 2, colour)

    def shade(self, mask: Canvas, colour: Colour, strength: float, blur: float = 0) -> None:
        """Mix a colour into what is already drawn, where the mask (mode L) is; its edge is blurred, in pixels."""
        weights = mask.image.filter(ImageFilter.GaussianBlur(blur * OVERSAMPLING)) if blur else mask.image
        weights = weights.point([round(value * strength) for value in range(256)])
        tinted = Image.new("RGB", self.image.size, colour)
        mixed = Image.composite(tinted, self.image.convert("RGB"), weights)
        if self.image.mode == "RGBA":
            mixed.putalpha(self.image.getchannel("A"))
        self.image.paste(mixed)
