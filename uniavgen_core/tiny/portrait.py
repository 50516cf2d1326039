"""A drawn portrait, so that the small model has a person to start from."""

from __future__ import annotations

import numpy
import torch
from PIL import Image, ImageDraw
from torch import Tensor

SIZE = 128
"""Width and height in pixels."""
OVERSAMPLING = 8
"""Drawn this many times larger and made smaller, for smooth edges."""

BACKGROUND, SHIRT, SKIN, SHADE = "#b9d7ea", "#3f6c9b", "#f2c8a0", "#e0ad84"
HAIR, WHITE, DARK, LIPS = "#4a2f22", "#ffffff", "#2b211d", "#b4524c"


def draw_portrait() -> Tensor:
    """A friendly face from the front, (1, 128, 128, 3) of values 0..1."""
    image = Image.new("RGB", (SIZE * OVERSAMPLING,) * 2, BACKGROUND)
    draw = ImageDraw.Draw(image)

    def ellipse(left: float, top: float, right: float, bottom: float, colour: str) -> None:
        draw.ellipse([value * OVERSAMPLING for value in (left, top, right, bottom)], fill=colour)

    def arc(left: float, top: float, right: float, bottom: float, start: int, end: int, width: float) -> None:
        box = [value * OVERSAMPLING for value in (left, top, right, bottom)]
        draw.arc(box, start, end, fill=HAIR, width=round(width * OVERSAMPLING))

    ellipse(30, 12, 98, 92, HAIR)
    ellipse(14, 98, 114, 170, SHIRT)
    ellipse(53, 84, 75, 112, SHADE)
    for ear in (32, 86):
        ellipse(ear, 54, ear + 10, 70, SHADE)
    ellipse(37, 26, 91, 98, SKIN)
    draw.chord([value * OVERSAMPLING for value in (35, 14, 93, 66)], 180, 360, fill=HAIR)
    for eye in (47, 69):
        ellipse(eye, 52, eye + 13, 61, WHITE)
        ellipse(eye + 4, 53, eye + 10, 60, DARK)
        arc(eye - 1, 44, eye + 14, 56, 200, 340, 2)
    ellipse(60, 62, 68, 73, SHADE)
    ellipse(54, 79, 74, 86, LIPS)
    pixels = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return torch.from_numpy(numpy.array(pixels)).float().div(255).unsqueeze(0)
