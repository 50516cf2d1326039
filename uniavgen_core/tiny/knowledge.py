"""What the small model knows: its words, and its people, who are drawn in a few colours and shapes."""

from __future__ import annotations

import re

from torch import Tensor

from .canvas import SIZE

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "orange", "pink")
ANIMALS = ("cat", "dog", "bird", "horse", "duck", "lion", "bear", "fish")
MANY_ANIMALS = ("cats", "dogs", "birds", "horses", "ducks", "lions", "bears", "fish")
GREETINGS = ("hello", "hi", "goodbye", "welcome", "thanks", "please")
TIMES_OF_DAY = ("morning", "evening", "night")
PEOPLE = ("i", "we", "you")
DEEDS = ("see", "like", "want", "have", "love", "find")
"""Verbs that need an object."""
MOVES = ("run", "jump", "sing", "sleep", "play", "swim")
SMALL_WORDS = ("good", "and", "the", "my")
WORDS = tuple(
    dict.fromkeys(
        NUMBERS + COLOURS + ANIMALS + MANY_ANIMALS + GREETINGS + TIMES_OF_DAY + PEOPLE + DEEDS + MOVES + SMALL_WORDS
    )
)
FEWEST_WORDS, MOST_WORDS = 2, 6
"""Words of a sentence."""
MAIN_COLOURS, SHADES = 8, 32
"""A drawn person is of about so many colours, of this many shades a channel."""
FEWEST_IN_COLOURS = 0.62
"""Share of the pixels that a drawn person's colours cover: 0.82 at least, 0.64 as a JPEG; of photographs up to 0.59."""
SMALL_ERROR, LARGEST_ERROR = 4.5, 7.0
"""Levels of 255 by which the codec changes a picture: what it made itself by 3.1 at most, a drawn person by 6.3,
photographs by 6.1 and more."""


def words_of(speech: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"[^\W_]+", speech.lower())


def unknown_words(speech: str) -> list[str]:
    """Those that the small model has not learned to say, each once."""
    return [word for word in dict.fromkeys(words_of(speech)) if word not in WORDS]


def share_of_main_colours(image: Tensor) -> float:
    """Share of the pixels of an image (height, width, 3) of values 0..1 that have one of its main colours."""
    shades = (image * (SHADES - 1)).round().long()
    counts = (shades[..., 0] * SHADES**2 + shades[..., 1] * SHADES + shades[..., 2]).flatten().bincount()
    return float(counts.sort(descending=True).values[:MAIN_COLOURS].sum() / counts.sum())


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
