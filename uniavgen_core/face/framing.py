"""The part of a picture that makes a good portrait."""

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy.typing import NDArray

FACE_MIDDLE = 0.43
"""Where the face's middle lies, in heights of the portrait from its top: room for hair above, and shoulders below."""
FACE_PART = 0.4
"""Height of the face in heights of the portrait."""


class Crop(NamedTuple):
    """Part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


def portrait_crop(size: tuple[int, int], box: NDArray[numpy.float64], aspect: float, face_part: float) -> Crop:
    """A portrait's place in a picture; it never goes over the picture's border.

    Args:
        size: width and height of the picture.
        box: left, top, right and bottom of the face, (4).
        aspect: the portrait's width over its height.
        face_part: height of the face in heights of the portrait; where the picture is too small, the face is larger.
    """
    left, top, right, bottom = box.tolist()
    height = min(max(bottom - top, 1.0) / face_part, size[1], size[0] / aspect)
    columns, rows = min(size[0], max(1, round(height * aspect))), max(1, round(height))
    start, above = round((left + right - columns) / 2), round((top + bottom) / 2 - FACE_MIDDLE * rows)
    return Crop(min(max(0, start), size[0] - columns), min(max(0, above), size[1] - rows), columns, rows)
