"""Rules that write out what is read otherwise than it is written, such as numbers and abbreviations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace

NEAR = 80
"""Signs around a match, or before a word, that decide how it is read."""


@dataclass(frozen=True)
class Unit:
    """A stretch of text that is not cut, with the space behind it.

    Args:
        written: as it was written.
        said: as it is given to the model.
        read: as a person reads it aloud, which tells how long it takes.
        changed: whether it is read otherwise than it is written.
    """

    written: str
    said: str
    read: str
    changed: bool = False


@dataclass(frozen=True)
class Piece:
    """A stretch of text as it was written, and as it is said."""

    written: str
    said: str


@dataclass(frozen=True)
class Rule:
    """What stands in a text, and how it is said; None where it is something else after all."""

    pattern: re.Pattern[str]
    say: Callable[[re.Match[str]], str | None]


def rule(pattern: str, say: Callable[[re.Match[str]], str | None], flags: int = 0) -> Rule:
    """A rule of a verbose pattern."""
    return Rule(re.compile(pattern, re.VERBOSE | flags), say)


def write_out(text: str, rules: Sequence[Rule]) -> Iterator[Piece]:
    """The text in pieces, each as written and as said; at one place, the first rule that has an answer counts."""
    waiting = [found for order in range(len(rules)) if (found := _next(rules, order, text, 0))]
    heapify(waiting)
    index = 0
    while waiting:
        start, order, end, said = waiting[0]
        if start >= index:
            if start > index:
                yield Piece(text[index:start], text[index:start])
            yield Piece(text[start:end], said)
            index = end
        found = _next(rules, order, text, index)
        if found:
            heapreplace(waiting, found)
        else:
            heappop(waiting)
    if index < len(text):
        yield Piece(text[index:], text[index:])


def _next(rules: Sequence[Rule], order: int, text: str, index: int) -> tuple[int, int, int, str] | None:
    """Start of the next match of a rule that has an answer, the rule's number, the match's end, and the answer."""
    for match in rules[order].pattern.finditer(text, index):
        said = rules[order].say(match)
        if said is not None and match.end() > match.start():
            return match.start(), order, match.end(), said
    return None


def behind(match: re.Match[str]) -> str:
    """The text close behind a match."""
    return match.string[match.end() : match.end() + NEAR]


def ahead(match: re.Match[str]) -> str:
    """The text close before a match."""
    return match.string[max(0, match.start() - NEAR) : match.start()]
