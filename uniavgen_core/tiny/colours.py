"""Colours and what is mixed from them."""

from __future__ import annotations

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
