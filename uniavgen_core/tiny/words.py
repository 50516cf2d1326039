"""The words that the small model knows."""

from __future__ import annotations

import re

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


def words_of(speech: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"[^\W_]+", speech.lower())


def unknown_words(speech: str) -> list[str]:
    """Those that the small model has not learned to say, each once."""
    return [word for word in dict.fromkeys(words_of(speech)) if word not in WORDS]
