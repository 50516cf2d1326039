"""Whether a picture can be one of the small model's people: drawn in a few colours, in shapes that its codec knows."""

from __future__ import annotations

from torch import Tensor

from .canvas import SIZE

COLOURS, SHADES = 8, 32
"""A drawn person is of about so many colours, of this many shades a channel."""
FEWEST_IN_COLOURS = 0.62
"""Share of the pixels that a drawn person's colours cover: 0.82 at least, 0.64 as a JPEG; of photographs up to 0.59."""
SMALL_ERROR, LARGEST_ERROR = 4.5, 7.0
"""Levels of 255 by which the codec changes a picture: what it made itself by 3.1 at most, a drawn person by 6.3,
photographs by 6.1 and more."""


def share_of_main_colours(image: Tensor) -> float:
    """Share of the pixels of an image (height, width, 3) of values 0..1 that have one of its main colours."""
    shades = (image * (SHADES - 1)).round().long()
    counts = (shades[..., 0] * SHADES**2 + shades[..., 1] * SHADES + shades[..., 2]).flatten().bincount()
    return float(counts.sort(descending=True).values[:COLOURS].sum() / counts.sum())


def is_drawn(image: Tensor, decoded: Tensor) -> bool:
    """Whether a picture (128, 128, 3) of values 0..1 may show one of the small model's people.

    Args:
        decoded: what its codec makes of it.

    Raises:
        ValueError: the picture is of another size.
    """
    if image.shape != (SIZE, SIZE, 3):
        raise ValueError(f"the picture is {tuple(image.shape)}, not {SIZE} × {SIZE}.")
    error = float((decoded - image).abs().mean() * 255)
    if error > LARGEST_ERROR:
        return False
    return error <= SMALL_ERROR or share_of_main_colours(image) >= FEWEST_IN_COLOURS
