"""How words take time: estimated from their number, spread over the voiced part of a segment, cut where one may cut."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

from ..speech.duration import CHARACTERS_PER_SECOND, speech_seconds
from ..speech.english_words import ABBREVIATIONS, BEFORE_NUMBERS, TITLES
from ..speech.reader import SpeechReader, Spoken, read_of, said_of
from ..speech.rules import Unit
from ..speech.text import MARK, detect_language

SENTENCE_END = re.compile(r"[.!?。！？][\"'”’)》]*\s*$")
CLAUSE_END = re.compile(r"(?:[,;:，；：、—-]|\.\.|…)[\"'”’)》]*\s*$")
INITIAL = re.compile(r"[\"'(]*[A-HJ-Z]\.\s*")
POINTED_LETTERS = re.compile(r"(?:\w\.)+\w")
POINTED = frozenset(word.lower() for word in ("St", *TITLES, *ABBREVIATIONS, *BEFORE_NUMBERS))
"""Words that are followed by a point where no sentence ends."""
SENTENCE_PULL, CLAUSE_PULL = 0.45, 0.3
"""By this fraction of a segment's time, a cut may lie off its ideal to fall on a sentence's or clause's end."""
ROUNDING = 1e-9
SHOWN = 100
"""Signs of a word that a message shows."""


@dataclass(frozen=True)
class Pacing:
    """How words take time.

    Args:
        language: "en", "zh", or None where each line's words tell.
        pace: how fast the voice is, against the usual rate of its language.
        stretch: seconds to take for each second that the words would take.
        reader: the run's.
        paces: of the voices of speakers 1, 2 and so on, where they have their own. They are not part of what all
            segments are known by: a segment's time says what its voice changes.
    """

    language: str | None = None
    pace: float = 1.0
    stretch: float = 1.0
    reader: SpeechReader = field(default_factory=SpeechReader, repr=False, compare=False)
    paces: tuple[float, ...] = field(default=(), repr=False)

    def of(self, speaker: int | None) -> Pacing:
        """How the words of a speaker, counted from 1, take time: as usual where there is none, or no own voice."""
        return self if speaker is None or speaker > len(self.paces) else replace(self, pace=self.paces[speaker - 1])

    def read(self, words: str) -> Spoken:
        """What words say."""
        return self.reader.read(words, self.language, name="script")

    def units(self, words: str) -> list[Unit]:
        """The units of words that were read before."""
        return self.reader.units(words, self.language or detect_language(words))

    def seconds(self, words: str) -> float:
        """Time for words that were read before."""
        return self.unit_seconds(self.units(words), self.language or detect_language(words)) if words else 0.0

    def unit_seconds(self, units: Sequence[Unit], language: str) -> float:
        """Time for units."""
        return self.stretch * speech_seconds(read_of(units), language, self.pace)


class _Times:
    """When each of several units is said.

    Args:
        units: in order; space behind them is known from them.
        language: "en" or "zh".
    """

    def __init__(self, units: Sequence[Unit], pacing: Pacing, language: str):
        space = pacing.stretch / (pacing.pace * CHARACTERS_PER_SECOND["en"])
        gaps = [space if unit.read[-1:].isspace() else 0.0 for unit in units]
        lengths = [pacing.unit_seconds([unit], language) for unit in units]
        self.starts = [0.0, *accumulate(length + gap for length, gap in zip(lengths, gaps, strict=True))]
        self.ends = [0.0, *(start + length for start, length in zip(self.starts, lengths, strict=False))]
        """Of the first n units, without the space behind them."""

    def last(self, start: int, room: float) -> int:
        """How many of the first units there are at most, from some index on, in so many seconds."""
        return bisect_right(self.ends, self.starts[start] + room + ROUNDING) - 1


def unit_spans(spoken: Spoken) -> list[tuple[float, float]]:
    """When each unit of words is said, as fractions of the time that they take: where it begins and where it ends."""
    times = _Times(spoken.units, Pacing(), spoken.language)
    whole = times.ends[-1] or 1.0
    return [(start / whole, end / whole) for start, end in zip(times.starts, times.ends[1:], strict=False)]


def words_in_the_past(words: str, voiced: tuple[float, float], start: float, pacing: Pacing) -> str:
    """The last words of a segment, as far as they are heard from some second on.

    Where they are said is not known, only estimated: the words fill the voiced part evenly.

    Args:
        words: what the segment says.
        voiced: seconds from the segment's start at which its voice sets in and ends.
        start: second from the segment's start from which on its sound is kept.
    """
    if not words:
        return ""
    units = pacing.units(words)
    times = _Times(units, pacing, pacing.language or detect_language(words))
    onset, end = voiced
    for index in range(len(units)):
        middle = (times.ends[index] + times.ends[index + 1]) / 2
        if onset + (end - onset) * middle / times.ends[-1] >= start:
            return said_of(units[index:])
    return ""


def cut_words(spoken: Spoken, pacing: Pacing, room: float, number: int) -> list[Sequence[Unit]]:
    """The words in as few pieces of about one length as fit so many seconds each, cut between words.

    Args:
        number: of the script's line, for the message.

    Raises:
        ValueError: a single word is longer than the room.
    """
    voiced = _with_voice(spoken.units)
    units = [part for unit in voiced for part in _fitting(unit, spoken.language, pacing, room, number)]
    cuts = _cuts(units, _Times(units, pacing, spoken.language), room)
    return [units[start:end] for start, end in pairwise(cuts)]


def _with_voice(units: Sequence[Unit]) -> list[Unit]:
    """The units, those of which nothing is said as the writing of a neighbour: a piece has to say something."""
    voiced: list[Unit] = []
    for unit in units:
        if voiced and not (unit.said.strip() and voiced[-1].said.strip()):
            last = voiced.pop()
            said = unit if unit.said.strip() else last
            voiced.append(replace(said, written=last.written + unit.written))
        else:
            voiced.append(unit)
    return voiced


def _fitting(unit: Unit, language: str, pacing: Pacing, room: float, number: int) -> list[Unit]:
    """The unit, or its words where it is too long and was written out, such as a long number.

    Raises:
        ValueError: a word alone does not fit.
    """
    pacing.reader.step()
    seconds = pacing.unit_seconds([unit], language)
    if seconds <= room:
        return [unit]
    words = re.findall(r"\S+\s*", unit.said) if language == "en" else [*_signs_and_readings(unit.said)]
    if unit.said == unit.read and unit.said != unit.written and len(words) > 1:
        written = [unit.written] + [""] * (len(words) - 1)
        return [
            part
            for text, word in zip(written, words, strict=True)
            for part in _fitting(Unit(text, word, word), language, pacing, room, number)
        ]
    advice = "give a longer first LATENT, or write it as several words"
    if pacing.stretch > 1:
        advice = (
            "the words are drawn out over the clip: add pauses where nobody speaks, such as [pause 5], or more words"
        )
    raise ValueError(
        f"Line {number} of the script: “{_beginning(unit)}” alone takes {seconds:.1f} seconds, and "
        f"a segment has room for {room:.1f}: {advice}."
    )


def _beginning(unit: Unit) -> str:
    """A unit as a message shows it."""
    text = (unit.written or unit.said).strip()
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _signs_and_readings(said: str) -> Iterator[str]:
    """The signs of a Chinese text one by one, but marks of readings whole."""
    index = 0
    for mark in MARK.finditer(said):
        yield from said[index : mark.start()]
        yield mark[0]
        index = mark.end()
    yield from said[index:]


def _cuts(units: Sequence[Unit], times: _Times, room: float) -> list[int]:
    """Where to cut words into as few pieces as fit the room, near equal times, where sentences end if that is near."""
    pieces_from = [0] * (len(units) + 1)
    """How many pieces the words from each on need."""
    for start in reversed(range(len(units))):
        pieces_from[start] = 1 + pieces_from[times.last(start, room)]
    count = pieces_from[0]
    piece_seconds, cuts = times.ends[-1] / count, [0]
    for piece in range(1, count):
        latest, left = times.last(cuts[-1], room), count - piece
        possible = [index for index in range(latest, cuts[-1], -1) if pieces_from[index] <= left]
        distance = {index: abs(times.ends[index] / piece_seconds - piece) - _pull(units, index) for index in possible}
        cuts.append(min(possible, key=distance.__getitem__))
    return [*cuts, len(units)]


def _pull(units: Sequence[Unit], index: int) -> float:
    """How good it is to cut before a unit: where a sentence ends, or a clause."""
    unit, following = units[index - 1], units[index] if index < len(units) else Unit("", "", "")
    if CLAUSE_END.search(unit.said):
        return CLAUSE_PULL
    return SENTENCE_PULL if ends_sentence(unit, following) else 0.0


def ends_sentence(unit: Unit, following: Unit) -> bool:
    """Whether a sentence ends with a unit: not with an abbreviation, an initial or an ellipsis."""
    if not SENTENCE_END.search(unit.said) or CLAUSE_END.search(unit.said):
        return False
    word = unit.said.rstrip().rstrip("\"'”’)》")
    if not word.endswith("."):
        return True
    # What was written out, such as a number, begins with a small letter even where a sentence does.
    if (following.written or following.said).lstrip(" \"'(")[:1].islower() or INITIAL.fullmatch(unit.written):
        return False
    last = word[:-1].split(" ")[-1].lower()
    return unit.said != unit.written or not (POINTED_LETTERS.fullmatch(last) or last in POINTED)
