"""What people of the small model's world say: their moods, the words that they know, and captions of it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from uniavgen_core.tiny.knowledge import (
    ANIMALS,
    COLOURS,
    DEEDS,
    FEWEST_WORDS,
    GREETINGS,
    MANY_ANIMALS,
    MOST_WORDS,
    MOVES,
    NUMBERS,
    PEOPLE,
    TIMES_OF_DAY,
    WORDS,
    unknown_words,
    words_of,
)

MOODS = ("neutral", "happy", "angry", "sad")

LATENT_FRAMES = range(8, 13)
"""Lengths of clips: 1.8 to 2.8 seconds."""

CAPTIONS = (
    "{A_mood} {kind} looks at the camera and speaks.",
    "A {kind} speaks in {a_mood} mood.",
    "{A_mood} {kind} talks.",
    "Portrait of a {kind} who sounds {mood}.",
)
SIDES = ("left", "right")


def check_known_words(speech: str) -> None:
    """Refuse what the small model has not learned to say.

    Raises:
        ValueError: unknown words, or fewer or more words than its sentences have; the message lists its words.
    """
    words = words_of(speech)
    unknown = unknown_words(speech)
    if unknown:
        problem = f"does not know {', '.join(map(repr, unknown))}"
    elif not FEWEST_WORDS <= len(words) <= MOST_WORDS:
        problem = f"cannot say {len(words)} word{'' if len(words) == 1 else 's'}"
    else:
        return
    raise ValueError(
        f"The small model {problem}: say {FEWEST_WORDS} to {MOST_WORDS} of its words. They are: {', '.join(WORDS)}."
    )


def write_sentence(speech: str) -> str:
    """The words as all sentences are written: with a capital letter, a comma after a greeting and a full stop.

    Raises:
        ValueError: as in `check_known_words`.
    """
    check_known_words(speech)
    words = ["I" if word == "i" else word for word in words_of(speech)]
    greeting = 2 if words[0] == "good" and words[1] in TIMES_OF_DAY else int(words[0] in GREETINGS)
    parts = (words[:greeting], words[greeting:])
    sentence = ", ".join(" ".join(part) for part in parts if part)
    return f"{sentence[0].upper()}{sentence[1:]}."


def draw_caption(kind: str, mood: str, random: Random) -> str:
    """What is seen, in one of a few forms."""
    a_mood = _a(mood)
    return random.choice(CAPTIONS).format(kind=kind, mood=mood, a_mood=a_mood, A_mood=a_mood.capitalize())


def caption_of_two(kinds: Sequence[str], side: str | None, mood: str) -> str:
    """Who is seen from left to right, and which of them speaks; without a side, that stays open."""
    left, right = kinds
    speaker = "one of them" if side is None else f"the one on the {side}"
    return f"A {left} and a {right}, {speaker} speaks in {_a(mood)} mood."


def _a(mood: str) -> str:
    return f"{'an' if mood.startswith('a') else 'a'} {mood}"


def draw_sentence(random: Random) -> str:
    """A sentence of two to six words, in one of a few forms."""
    form = random.choice((_greeting_and_things, _things, _deed, _things_that_move, _two_things, _wish, _one_thing))
    return write_sentence(form(random))


def _count(random: Random, colour: bool) -> str:
    number = random.choice(NUMBERS)
    animal = random.choice(ANIMALS if number == "one" else MANY_ANIMALS)
    return f"{number} {random.choice(COLOURS)} {animal}" if colour else f"{number} {animal}"


def _greeting(random: Random) -> str:
    return random.choice((*GREETINGS, f"good {random.choice(TIMES_OF_DAY)}"))


def _greeting_and_things(random: Random) -> str:
    return f"{_greeting(random)} {_count(random, colour=random.random() < 0.6)}"


def _things(random: Random) -> str:
    return _count(random, colour=random.random() < 0.7)


def _deed(random: Random) -> str:
    thing = _count(random, colour=random.random() < 0.6)
    return f"{random.choice(PEOPLE)} {random.choice(DEEDS)} {thing}"


def _things_that_move(random: Random) -> str:
    number = random.choice(NUMBERS[1:])
    colour = f" {random.choice(COLOURS)}" if random.random() < 0.4 else ""
    return f"{number}{colour} {random.choice(MANY_ANIMALS)} {random.choice(MOVES)}"


def _two_things(random: Random) -> str:
    return f"{_count(random, colour=False)} and {_count(random, colour=random.random() < 0.3)}"


def _wish(random: Random) -> str:
    return f"{_greeting(random)} {random.choice(('my', 'the'))} {random.choice(COLOURS)} {random.choice(ANIMALS)}"


def _one_thing(random: Random) -> str:
    person = random.choice(PEOPLE)
    thing = f"{random.choice(('my', 'the'))} {random.choice(COLOURS)} {random.choice(ANIMALS)}"
    return f"{person} {random.choice(DEEDS)} {thing}"
