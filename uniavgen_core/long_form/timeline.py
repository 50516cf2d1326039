"""What is said when in a finished clip: a report for people, subtitles for players.

Subtitles come by phrase, not by segment: a sentence, or a part of a long one. When each word is said is not known, only
estimated: the words of a segment fill its voice evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..media.cues import Cue
from ..speech.reader import written_of
from ..speech.rules import Unit
from .maker import FinishedSegment
from .pacing import CLAUSE_END, CLAUSE_PULL, ends_sentence, unit_spans
from .script import Line

LONGEST_PHRASE = {"en": 42, "zh": 16}
"""Signs of a cue, which is one row on a screen."""
PAUSE_SECONDS = 0.3
"""After such a silence a new phrase begins."""
SHOWN_SECONDS = 1.0
"""A cue is shown for so long at least, if the next one does not begin before."""


def report(segments: Sequence[FinishedSegment]) -> str:
    """What is said when, one line a segment."""
    return "\n".join(
        f"{one.start:7.2f} to {one.start + one.seconds:7.2f} s  line {one.planned.line.number}  "
        f"seed {one.planned.seed}  {'kept' if one.was_kept else 'made'}  {one.planned.words or '(no words)'}"
        for one in segments
    )


@dataclass(frozen=True)
class _Word:
    """A unit of what is said, and the seconds of the clip at which it begins and ends."""

    unit: Unit
    start: float
    end: float
    line: Line
    language: str


def phrases_of(segments: Sequence[FinishedSegment]) -> list[Cue]:
    """What is said in a clip, phrase by phrase, as it is written."""
    words = [word for one in segments for word in _words_of(one)]
    phrases = [phrase for sentence in _sentences(words) for phrase in _parts(sentence)]
    end = segments[-1].start + segments[-1].seconds if segments else 0.0
    ends = [*(phrase[0].start for phrase in phrases[1:]), end]
    return [
        Cue(phrase[0].start, min(following, max(phrase[-1].end, phrase[0].start + SHOWN_SECONDS)), text)
        for phrase, following in zip(phrases, ends, strict=False)
        if (text := _text(phrase))
    ]


def _words_of(one: FinishedSegment) -> Iterator[_Word]:
    """The words of a segment, spread over its voice."""
    spoken = one.planned.spoken
    if spoken is None:
        return
    start, end = one.start + min(one.silence, one.seconds), one.start + one.seconds
    if start < one.voice_end < end:
        end = one.voice_end
    space = " " if spoken.language == "en" else ""
    units = [*spoken.units[:-1], *(replace(unit, written=unit.written + space) for unit in spoken.units[-1:])]
    for unit, (first, last) in zip(units, unit_spans(spoken), strict=True):
        times = start + first * (end - start), start + last * (end - start)
        yield _Word(unit, *times, one.planned.line, spoken.language)


def _sentences(words: Sequence[_Word]) -> Iterator[list[_Word]]:
    """The words up to ends of sentences, pauses and ends of lines."""
    sentence = list[_Word]()
    for word, following in pairwise([*words, None]):
        assert word is not None
        sentence.append(word)
        if following is None or (following.unit.written.strip() and _parts_here(word, following)):
            yield sentence
            sentence = []


def _parts_here(word: _Word, following: _Word) -> bool:
    is_paused = following.start - word.end > PAUSE_SECONDS
    return is_paused or following.line is not word.line or ends_sentence(word.unit, following.unit)


def _parts(sentence: Sequence[_Word]) -> Iterator[Sequence[_Word]]:
    """A sentence in as many parts as fit a row, near equal lengths, cut where clauses end if that is near."""
    whole = len(_text(sentence))
    # What is written once and said over several units is not cut.
    cuts = [index for index in range(1, len(sentence)) if sentence[index].unit.written.strip()]
    if whole <= LONGEST_PHRASE[sentence[0].language] or not cuts:
        yield sentence
        return

    def off(index: int) -> float:
        pull = CLAUSE_PULL if CLAUSE_END.search(sentence[index - 1].unit.written) else 0.0
        return abs(len(_text(sentence[:index])) / whole - 0.5) - pull

    cut = min(cuts, key=off)
    yield from _parts(sentence[:cut])
    yield from _parts(sentence[cut:])


def _text(words: Sequence[_Word]) -> str:
    return written_of([word.unit for word in words])
