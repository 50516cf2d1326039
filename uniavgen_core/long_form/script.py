r"""A script: one line a scene, `caption | speech`, with marks for pauses, seeds and speakers.

    A calm woman looks at the camera. | Hello. [pause 0.5] I have news.
    A happy woman looks at the camera. | [seed 7] We won!
    It is over.

A line without a sign keeps the caption of the line before; `\|` is the sign itself. `[pause 0.5]` is a silence of that
many seconds, `[seed 7]` sets the seed of its line, `[speaker 2]` says which of several people speaks it. Only along a
sound that is given may a line be a caption alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SEPARATOR = re.compile(r"(?<!\\)\|")
MARK = re.compile(r"\[\s*(\w+)([^\]\[]*)\]")
LONGEST_PAUSE_SECONDS = 60.0
NUMBERS = {"seed": (0, 2**64 - 1), "speaker": (1, 999)}
"""Marks with a whole number, and the least and the greatest that it may be."""
FORM = "write `caption | speech`"


@dataclass(frozen=True)
class Passage:
    """Words that are said without a pause, after a silence. Either may be empty."""

    silence_seconds: float
    words: str


@dataclass(frozen=True)
class Line:
    """One line of a script."""

    number: int
    """Counted from 1, blank lines included, as an editor shows it."""
    caption: str
    passages: tuple[Passage, ...]
    """None where it is a caption alone."""
    seed: int | None = None
    speaker: int | None = None
    """Which of several people speaks, from 1; None leaves it open."""

    @property
    def speech(self) -> str:
        """All its words, without the marks."""
        return " ".join(passage.words for passage in self.passages if passage.words)


def parse_script(text: str) -> tuple[Line, ...]:
    """The lines of a script; blank ones are left out.

    Raises:
        ValueError: there is no line, or one that is not of the form; the message names it by number.
    """
    lines: list[Line] = []
    for number, row in enumerate(text.splitlines(), start=1):
        if row.strip():
            lines.append(_line(number, row, lines[-1].caption if lines else None))
    if not lines:
        raise ValueError(f"The script is empty: {FORM}, one line a scene.")
    return tuple(lines)


def check_passages(lines: Sequence[Line]) -> None:
    """Refuse lines that are captions alone.

    Raises:
        ValueError: it names the first one by number.
    """
    for line in lines:
        if not line.passages:
            raise ValueError(
                f"Line {line.number} of the script says nothing: {FORM}, or [pause 1] where nobody speaks."
            )


def _line(number: int, row: str, caption_before: str | None) -> Line:
    parts = [part.replace(r"\|", "|").strip() for part in SEPARATOR.split(row)]
    if len(parts) > 2:
        raise ValueError(
            rf"Line {number} of the script has {len(parts) - 1} signs |: {FORM}, and \| for the sign itself."
        )
    if len(parts) == 1 and caption_before is None:
        raise ValueError(f"Line {number} of the script has no caption, and none before it: {FORM}.")
    caption = parts[0] if len(parts) == 2 else str(caption_before)
    passages, numbers = _passages(number, parts[-1])
    return Line(number, caption, passages, **numbers)


def _passages(number: int, speech: str) -> tuple[tuple[Passage, ...], dict[str, int]]:
    """The words between the pauses of a line, and the numbers that its other marks set."""
    passages, numbers, silence = [], dict[str, int](), 0.0
    for words, mark, value in _marked(speech):
        if words:
            passages.append(Passage(silence, words))
            silence = 0.0
        if mark == "pause":
            silence += _pause(number, value)
        elif mark in NUMBERS:
            if mark in numbers:
                raise ValueError(
                    f"Line {number} of the script has two marks [{mark}]: begin a new line for the second."
                )
            numbers[mark] = _number(number, mark, value)
        elif mark:
            raise ValueError(
                f"Line {number} of the script has a mark [{mark}]: there are [pause 0.5], [seed 7] and [speaker 2]."
            )
    if silence:
        passages.append(Passage(silence, ""))
    return tuple(passages), numbers


def _marked(speech: str) -> Iterator[tuple[str, str, str]]:
    """Words, and the mark behind them with its value; the last words have none."""
    place = 0
    for mark in MARK.finditer(speech):
        yield " ".join(speech[place : mark.start()].split()), mark[1].lower(), mark[2].strip()
        place = mark.end()
    yield " ".join(speech[place:].split()), "", ""


def _pause(number: int, value: str) -> float:
    seconds = float(value) if re.fullmatch(r"\d+(\.\d*)?|\.\d+", value) else 0.0
    if not 0 < seconds <= LONGEST_PAUSE_SECONDS:
        raise ValueError(
            f"Line {number} of the script has [pause {value}]: give seconds above 0 and up to "
            f"{LONGEST_PAUSE_SECONDS:g}, such as [pause 0.5]."
        )
    return seconds


def _number(number: int, mark: str, value: str) -> int:
    least, most = NUMBERS[mark]
    if not value.isdecimal() or not least <= int(value) <= most:
        raise ValueError(
            f"Line {number} of the script has [{mark} {value}]: give a whole number from {least}, such as [{mark} 2]."
        )
    return int(value)
