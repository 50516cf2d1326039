"""Portraits: the crop that shows a face well, and what is wrong with one."""

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from torch import Tensor

from ..media.images import to_bytes, to_rgb
from .detection import FaceDetector

FACE_MIDDLE = 0.43
"""Where the face's middle lies, in heights of the portrait from its top: room for hair above, and shoulders below."""
FACE_FRACTION = 0.4
"""Height of the face in heights of the portrait."""


class Crop(NamedTuple):
    """Part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


def portrait_crop(size: tuple[int, int], box: NDArray[numpy.float64], aspect: float, face_fraction: float) -> Crop:
    """Where a portrait lies in a picture; it never goes over the picture's border.

    Args:
        size: width and height of the picture.
        box: left, top, right and bottom of the face, (4).
        aspect: the portrait's width over its height.
        face_fraction: height of the face in heights of the portrait; in too small a picture, the face is larger.
    """
    left, top, right, bottom = box.tolist()
    height = min(max(bottom - top, 1.0) / face_fraction, size[1], size[0] / aspect)
    columns, rows = min(size[0], max(1, round(height * aspect))), max(1, round(height))
    start, above = round((left + right - columns) / 2), round((top + bottom) / 2 - FACE_MIDDLE * rows)
    return Crop(min(max(0, start), size[0] - columns), min(max(0, above), size[1] - rows), columns, rows)


SMALL_FRACTION = 0.08
"""Height of a face in heights of the picture below which its mouth has too few pixels."""


def portrait_fault(name: str, image: Tensor, detector: FaceDetector) -> str | None:
    """What is wrong with a portrait, or None.

    Args:
        name: of the input that it came from.
        image: (1, height, width, channels) of values 0..1.
        detector: finds its face.
    """
    face = detector.largest_face(to_bytes(to_rgb(image[0])))
    if face is None:
        return (
            f"No face is found in {name}. A drawing or an animal may speak all the same; else give a picture that "
            "shows a face from the front."
        )
    fraction = float(face.box[3] - face.box[1]) / image.shape[1]
    if fraction < SMALL_FRACTION:
        return (
            f"The face in {name} takes {fraction:.0%} of its height; below {SMALL_FRACTION:.0%} the mouth is too "
            "small to speak well. Crop the picture with UniAVGen Face Portrait."
        )
    return None
