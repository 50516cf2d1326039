"""A picture of a sound: its waveform in rows of a few seconds, with the words under it where they are said."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .cues import Cue
from .lettering import font_of
from .mixing import describe_sound

WAVE_ROWS, WORD_ROWS, HEAD_ROWS = 96, 26, 28
"""Pixels: of a row's waveform, of the words under it, and of what stands above all."""
MOST_ROWS = 120
"""Of waveform; a longer sound gets longer rows."""
FONT_PIXELS = 14
PAPER, GRID, CLOCK, INK = (24, 26, 32), (58, 62, 72), (150, 155, 168), (225, 228, 235)
WAVE, CLIPPED, WORDS = (94, 168, 255), (255, 92, 92), ((44, 58, 84), (60, 52, 88))
"""Of samples within full scale, of those beyond, and of words, two in turn."""


def draw_sound(
    waveform: Tensor, sample_rate: int, cues: Sequence[Cue] = (), width: int = 1024, row_seconds: float = 8.0
) -> Tensor:
    """An image (1, height, width, 3) of values 0..1 of a sound.

    Args:
        waveform: (channels, samples), full scale = 1.
        cues: what is said in it, as `parse_subtitles` gives it.
        row_seconds: how much of it a row shows at most.

    Raises:
        ValueError: the sound is empty.
    """
    if not waveform.shape[-1]:
        raise ValueError("audio is empty: there is nothing to draw.")
    seconds = waveform.shape[-1] / sample_rate
    row_seconds = max(min(row_seconds, seconds), seconds / MOST_ROWS)
    rows = math.ceil(round(seconds / row_seconds, 6))
    image = Image.new("RGB", (width, HEAD_ROWS + rows * (WAVE_ROWS + WORD_ROWS)), PAPER)
    draw, font = ImageDraw.Draw(image), font_of("".join(cue.text for cue in cues), FONT_PIXELS)
    head = f"{seconds:.2f} s, {describe_sound(sample_rate, len(waveform), waveform)}"
    head += "" if font is not None else "; no font for these words is installed"
    draw.text((8, HEAD_ROWS // 2), head, INK, ImageFont.load_default(FONT_PIXELS), anchor="lm")
    for row in range(rows):
        start, top = row * row_seconds, HEAD_ROWS + row * (WAVE_ROWS + WORD_ROWS)
        draw.line((0, top + WAVE_ROWS // 2, width, top + WAVE_ROWS // 2), GRID)
        first, end = (round(time * sample_rate) for time in (start, start + row_seconds))
        _draw_wave(draw, waveform[:, first:end], end - first, top, width)
        _draw_seconds(draw, start, row_seconds, top, width)
        for index, cue in enumerate(cues):
            if font is not None and cue.end > start and cue.start < start + row_seconds:
                left, right = ((time - start) / row_seconds * width for time in (cue.start, cue.end))
                words = " ".join(cue.text.split())
                _draw_words(draw, font, words, max(0.0, left), min(width, right), top + WAVE_ROWS, WORDS[index % 2])
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(1, *image.size[::-1], 3).float() / 255


def _draw_seconds(draw: ImageDraw.ImageDraw, start: float, row_seconds: float, top: int, width: int) -> None:
    """Marks at whole seconds, few enough to be read, and their numbers."""
    step = next(step for step in (1, 2, 5, 10, 30, 60, 300, 600, 3600) if row_seconds / step <= 20 or step == 3600)
    for second in range(math.ceil(start / step) * step, math.ceil(start + row_seconds), step):
        column = round((second - start) / row_seconds * width)
        draw.line((column, top, column, top + 12), CLOCK)
        clock = f"{second // 60}:{second % 60:02}"
        draw.text((column + 3, top + 1), clock, CLOCK, ImageFont.load_default(10))


def _draw_wave(draw: ImageDraw.ImageDraw, waveform: Tensor, samples: int, top: int, width: int) -> None:
    """The lowest and highest sample of each column."""
    middle, half = top + WAVE_ROWS / 2, WAVE_ROWS / 2 - 1
    for column, (low, high) in enumerate(_extremes(waveform, samples, width)):
        colour = CLIPPED if max(-low, high) > 1 else WAVE
        ends = (middle - min(1.0, high) * half, middle - max(-1.0, low) * half)
        draw.line((column, ends[0], column, ends[1]), colour)


def _extremes(waveform: Tensor, samples: int, columns: int) -> Iterator[tuple[float, float]]:
    for column in range(columns):
        first, end = (index * samples // columns for index in (column, column + 1))
        part = waveform[:, first : max(end, first + 1)]
        if not part.shape[-1]:
            return
        low, high = map(float, part.aminmax())
        yield (low, high) if math.isfinite(low) and math.isfinite(high) else (-2.0, 2.0)


def _draw_words(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    text: str,
    left: float,
    right: float,
    top: int,
    colour: tuple[int, int, int],
) -> None:
    """Words in a box as wide as they last; what has no room is cut off."""
    draw.rectangle((left + 1, top + 2, max(left + 1, right - 1), top + WORD_ROWS - 4), colour)
    shown = text
    while shown and draw.textlength(shown, font) > right - left - 8:
        shown = shown.removesuffix("…")[:-1]
        shown = f"{shown.rstrip()}…" if shown else ""
    if len(shown) > 1 or shown == text:
        draw.text((left + 5, top + WORD_ROWS // 2 - 1), shown, INK, font, anchor="lm")
