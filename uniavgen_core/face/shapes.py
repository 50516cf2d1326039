"""Shapes of a face, drawn as masks with soft edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..files import needed

BOX, ELLIPSE, HULL = SHAPES = ("box", "ellipse", "hull")
FULL = 255
"""Value of a mask's pixels that are face, in bytes."""
LEAST_AXIS = 0.5
"""Pixels of an ellipse's half axis, however much it is shrunk."""
SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Style:
    """How a face is drawn.

    Attributes:
        shape: the detector's box, the ellipse that fills it, or the convex hull of the face's points.
        margin: what the shape grows by on each side, in sizes of the face (the root of its box's area).
        feather: width of the soft edge in sizes of the face; the mask is a half on the shape's edge.
    """

    shape: str = ELLIPSE
    margin: float = 0.0
    feather: float = 0.0


def draw_shape(mask: NDArray[numpy.float32], box: NDArray[Any], points: NDArray[Any], style: Style) -> None:
    """Draw a face into a mask (height, width), over what is there.

    Args:
        mask: of values 0..1.
        box: left, top, right and bottom in pixels, (4).
        points: of the hull, (n, 2).
        style: how it is drawn.
    """
    left, top, right, bottom = box.tolist()
    size = math.sqrt(max(right - left, 1.0) * max(bottom - top, 1.0))
    margin, feather = style.margin * size, max(style.feather * size, 1.0)
    outline = points if style.shape == HULL else numpy.array([[left, top], [right, bottom]])
    region = _region(mask.shape, outline, margin + feather / 2 + 1)
    if region is None:
        return
    rows, columns = (numpy.arange(part.start, part.stop, dtype=numpy.float32) + 0.5 for part in region)
    if style.shape == HULL:
        border = math.ceil(abs(margin) + feather / 2) + 1
        distance = _hull_distance(points - (columns[0], rows[0]), len(columns), len(rows), border) - margin
    else:
        across, down = columns[None, :] - (left + right) / 2, rows[:, None] - (top + bottom) / 2
        measure = _box_distance if style.shape == BOX else _ellipse_distance
        distance = measure(across, down, (right - left) / 2 + margin, (bottom - top) / 2 + margin)
    numpy.maximum(mask[region], (0.5 - distance / feather).clip(0, 1), out=mask[region])


def ellipses(boxes: Tensor, height: int, width: int) -> Tensor:
    """Masks (F, height, width) of bytes, 255 in the ellipse that fills each box (F, 4) of sides in pixels."""
    masks = numpy.zeros((len(boxes), height, width), dtype=numpy.float32)
    for mask, box in zip(masks, boxes.numpy(), strict=True):
        draw_shape(mask, box, numpy.zeros((0, 2)), Style(ELLIPSE))
    return (torch.from_numpy(masks) >= 0.5).byte() * FULL


def _region(size: tuple[int, ...], points: NDArray[Any], reach: float) -> tuple[slice, slice] | None:
    """Rows and columns of a picture that points with so many pixels around them take; None where they lie outside."""
    first = numpy.floor(points.min(axis=0) - reach).astype(int).clip(0)
    last = numpy.ceil(points.max(axis=0) + reach).astype(int).clip(None, (size[1], size[0]))
    if (last <= first).any():
        return None
    return slice(first[1], last[1]), slice(first[0], last[0])


def _box_distance(across: NDArray[Any], down: NDArray[Any], half_width: float, half_height: float) -> NDArray[Any]:
    """Pixels by which a point lies outside a box, along its farther axis; inside they are negative."""
    return numpy.maximum(abs(across) - half_width, abs(down) - half_height)


def _ellipse_distance(across: NDArray[Any], down: NDArray[Any], half_width: float, half_height: float) -> NDArray[Any]:
    """Pixels by which a point lies outside an ellipse, to first order (its equation over the equation's gradient)."""
    half_width, half_height = max(half_width, LEAST_AXIS), max(half_height, LEAST_AXIS)
    level = numpy.hypot(across / half_width, down / half_height)
    slope = numpy.hypot(across / half_width**2, down / half_height**2)
    # In the very middle both are nought, and the way out is the shorter half axis.
    out = numpy.divide(level, slope, out=numpy.full_like(level, min(half_width, half_height)), where=slope > 0)
    return (level - 1) * out


def _hull_distance(points: NDArray[Any], width: int, height: int, border: int) -> NDArray[Any]:
    """Pixels (height, width) by which a pixel's centre lies outside the convex hull of points; inside they are
    negative. What lies farther out of the picture than its border is not seen."""
    cv2 = needed("cv2", "to draw a face mask", package="opencv-python")
    hull = cv2.convexHull((points + border).astype(numpy.float32))[:, 0]
    inside = numpy.zeros((height + 2 * border, width + 2 * border), dtype=numpy.uint8)
    cv2.fillConvexPoly(inside, numpy.round(hull * 2**SUBPIXEL_BITS).astype(numpy.int32), 1, shift=SUBPIXEL_BITS)
    out, deep = (cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (1 - inside, inside))
    # OpenCV fills every pixel that the outline touches: half a pixel more all around.
    distance: NDArray[Any] = numpy.where(inside, 1 - deep, out)[border:-border, border:-border]
    return distance
