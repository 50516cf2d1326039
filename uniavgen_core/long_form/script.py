r"""A script: `caption | speech` line by line, with marks for pauses, seeds, speakers and scenes.

    A calm woman looks at the camera. | Hello. [pause 0.5] I have news.
    A happy woman looks at the camera. | [seed 7] We won!
    It is over.

A line without a sign keeps the caption of the line before; a sign within a reading, as in `[Nguyen|win]`, is none;
`\|` is the sign itself. `[pause 0.5]` is a silence of that many seconds, `[seed 7]` sets the seed of its line,
`[speaker 2]` says which of several people speaks it, `[scene 2]` which picture it starts from, until another mark. Only
along a sound that is given may a line be a caption alone.

A script may say when each line is said, as subtitles do: then all lines do, but for captions alone.

    A calm woman looks at the camera. |
    00:01.0 --> 00:04.0 Hello. I have news.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..config import LATENT_SECONDS, SEEDS
from ..media.cues import is_timed, timed_rows
from ..speech.markup import BREAK, LONGEST_PAUSE_SECONDS, break_seconds, pause_seconds
from ..speech.reader import Spoken
from ..speech.text import MARK as READING

SEPARATOR = re.compile(r"(?<!\\)\|")
MARK = re.compile(r"\[\s*(\w+)([^\]\[|]*)\]")
WIDE_MARK = re.compile(r"[\[［【]\s*([A-Za-z]+)([^\[\]［］【】|｜]*)[\]］】]")
"""A mark as keyboards of Chinese write it."""
TITLE = re.compile(r"\s*#{1,6}\s[^|｜]*|\s*(?:```.*|~~~.*|-{3,}|\*{3,}|_{3,}|={3,})\s*")
BULLET = re.compile(r"\s*(?:[-*+•>]|#{1,6})\s+")
CAPTION_ALONE = re.compile(r".*(?<!\\)[|｜]\s*")
NUMBERS = {"seed": (0, SEEDS - 1), "speaker": (1, 999), "scene": (1, 999)}
"""Marks with a whole number, and the least and the greatest that it may be."""
MOST_DIGITS = 100
"""Of a number in a mark, zeros before it included; Python itself refuses some thousand."""
SLIGHT_OVERLAP = LATENT_SECONDS
"""Seconds: less than can be heard of when a segment ends."""
FORM = "write `caption | speech`"


@dataclass(frozen=True)
class Passage:
    """Words that are said without a pause, after a silence. Either may be empty."""

    silence_seconds: float
    words: str
    spoken: Spoken | None = None
    """What the words say, where they were read already."""


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
    scene: int = 1
    """Which picture is shown, from 1: that of the clip's start."""
    start: float | None = None
    """Second of the clip at which its words begin, and that at which they end; None leaves it open."""
    end: float | None = None

    @property
    def speech(self) -> str:
        """All its words, without the marks."""
        return " ".join(passage.words for passage in self.passages if passage.words)


def parse_script(text: str, caption: str = "") -> tuple[Line, ...]:
    """The lines of a script; blank ones are left out, and so are titles of Markdown.

    Marks may be in full-width signs, as keyboards of Chinese write them, and pauses as SSML's `<break time="500ms"/>`.
    Of subtitles, each cue is a line.

    Args:
        caption: of the lines before the first one that has its own.

    Raises:
        ValueError: there is no line, or one that is not of the form; the message names it by number.
    """
    caption = " ".join(caption.split())
    before = Line(0, caption, ()) if caption else None
    lines = _timed_lines(text, before) if is_timed(text) else _untimed_lines(text, before)
    if not lines:
        raise ValueError(f"The script is empty: {FORM}, one line a scene.")
    return tuple(lines)


def _untimed_lines(text: str, before: Line | None) -> list[Line]:
    """The rows of a script without times."""
    lines = list[Line]()
    for number, row in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        if row.strip() and not TITLE.fullmatch(row):
            lines.append(_line(number, _usual_marks(row), lines[-1] if lines else before))
    return lines


def _timed_lines(text: str, before: Line | None) -> list[Line]:
    """The cues of a script that says when they are said. Captions alone between them hold for those that follow.

    Cues without a text are left out. One that goes on for a moment after the next one begins, as subtitles of films do,
    ends where that begins.
    """
    lines = list[Line]()
    for rows in timed_rows(text):
        if rows.start is None or rows.end is None:
            if TITLE.fullmatch(rows.text):
                continue
            before = _line(rows.number, _usual_marks(rows.text), before)
            if before.passages:
                raise ValueError(
                    f"Line {rows.number} of the script has no time, and others have: write `00:01.0 --> 00:04.0` above "
                    "it, or the sign | behind it where it is a caption."
                )
            continue
        if not rows.rows:
            continue
        end = lines[-1].end if lines else None
        if end is not None and (lines[-1].start or 0.0) < rows.start < end <= rows.start + SLIGHT_OVERLAP:
            lines[-1] = replace(lines[-1], end=rows.start)
            end = rows.start
        if rows.end <= rows.start or (end is not None and rows.start < end):
            raise ValueError(
                f"Line {rows.number} of the script is said from {rows.start:g} to {rows.end:g} seconds: let it end "
                f"after it begins{'' if end is None else f', and begin when the one before has ended, at {end:g}'}."
            )
        # The last row may be the caption of the cues below.
        is_caption = len(rows.rows) > 1 and CAPTION_ALONE.fullmatch(rows.rows[-1]) is not None
        words = " ".join(rows.rows[:-1] if is_caption else rows.rows)
        before = replace(_line(rows.number, _usual_marks(words), before), start=rows.start, end=rows.end)
        lines.append(before)
        before = _line(rows.number, _usual_marks(rows.rows[-1]), before) if is_caption else before
    return lines


def has_captions(text: str) -> bool:
    """Whether a text is of the form `caption | speech`."""
    return any(len(_split(_usual_marks(row))) > 1 for row in text.splitlines())


def script_hints(text: str) -> list[str]:
    """What of a script was taken otherwise than it was written, each a sentence."""
    rows = text.splitlines()
    titles = [row.strip() for row in rows if TITLE.fullmatch(row)]
    hints = [f"“{titles[0]}” is Markdown: such lines are left out."] if titles else []
    if any(BULLET.match(row) for row in rows if not TITLE.fullmatch(row)):
        hints.append("Signs of a list at the start of lines are left out.")
    if BREAK.search(text):
        hints.append("<break …/> is taken as [pause …].")
    return hints


def read_lines(lines: Sequence[Line], read: Callable[[str], Spoken]) -> tuple[Line, ...]:
    """The lines with what their words say.

    Args:
        read: gives what a passage says.

    Raises:
        ValueError: words that cannot be said; the message names the line by number.
    """
    return tuple(
        replace(line, passages=tuple(_read(line.number, passage, read) for passage in line.passages)) for line in lines
    )


def _read(number: int, passage: Passage, read: Callable[[str], Spoken]) -> Passage:
    if not passage.words or passage.spoken is not None:
        return passage
    try:
        return replace(passage, spoken=read(passage.words))
    except ValueError as error:
        raise ValueError(f"Line {number} of the script: {error}") from error


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


def _usual_marks(row: str) -> str:
    """The row with marks in ASCII signs, and without signs of a list."""
    row = BULLET.sub("", row, count=1) if BULLET.match(row) else row
    row = BREAK.sub(lambda tag: f" [pause {break_seconds(tag[1]):g}] " if break_seconds(tag[1]) else " ", row)
    row = READING.sub(lambda mark: f"[{mark[1]}|{mark[2]}]", row)
    row = WIDE_MARK.sub(lambda mark: f"[{mark[1]}{unicodedata.normalize('NFKC', mark[2])}]", row)
    return row.replace("｜", "|")


def _split(row: str) -> list[str]:
    """The row parted at its signs, but not at those of readings."""
    # As long as the row, so that a sign keeps its index.
    outside = READING.sub(lambda mark: " " * len(mark[0]), row)
    cuts = [sign.start() for sign in SEPARATOR.finditer(outside)]
    starts, ends = [0, *(cut + 1 for cut in cuts)], [*cuts, len(row)]
    return [row[start:end].replace(r"\|", "|").strip() for start, end in zip(starts, ends, strict=True)]


def _line(number: int, row: str, before: Line | None) -> Line:
    parts = _split(row)
    if len(parts) > 2:
        raise ValueError(
            rf"Line {number} of the script has {len(parts) - 1} signs |: {FORM}, and \| for the sign itself."
        )
    if len(parts) == 2:
        caption = parts[0]
    elif before is not None:
        caption = before.caption
    else:
        raise ValueError(f"Line {number} of the script has no caption, and none before it: {FORM}.")
    passages, numbers = _passages(number, parts[-1])
    if before is not None:
        # A scene lasts until the next one.
        numbers.setdefault("scene", before.scene)
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
                f"Line {number} of the script has a mark [{mark}]: there are [pause 0.5], [seed 7], [speaker 2] and "
                "[scene 2]."
            )
    if silence:
        passages.append(Passage(silence, ""))
    return tuple(passages), numbers


def _marked(speech: str) -> Iterator[tuple[str, str, str]]:
    """Words, and the mark behind them with its value; the last words have none."""
    end = 0
    for mark in MARK.finditer(speech):
        yield " ".join(speech[end : mark.start()].split()), mark[1].lower(), mark[2].strip()
        end = mark.end()
    yield " ".join(speech[end:].split()), "", ""


def _pause(number: int, value: str) -> float:
    seconds = pause_seconds(value)
    if seconds is None:
        raise ValueError(
            f"Line {number} of the script has [pause {value}]: give seconds above 0 and up to "
            f"{LONGEST_PAUSE_SECONDS:g}, such as [pause 0.5]."
        )
    return seconds


def _number(number: int, mark: str, value: str) -> int:
    least, most = NUMBERS[mark]
    if not value.isdecimal() or len(value) > MOST_DIGITS or not least <= int(value) <= most:
        raise ValueError(
            f"Line {number} of the script has [{mark} {value}]: give a whole number from {least}, such as [{mark} 2]."
        )
    return int(value)
