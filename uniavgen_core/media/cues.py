"""Texts with times: SubRip (SRT), WebVTT, and rows of a time and words, read into cues; cues written as SubRip.

1
00:00:01,000 --> 00:00:04,000
Good evening.

00:05.5 --> 00:08.0 I have news.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from typing import NamedTuple

TIME = r"(?:(?:\d{1,9}:)?\d{1,9}:)?\d{1,9}(?:[.,]\d{1,9})?"
TIMES = re.compile(rf"\s*({TIME})\s*(?:-{{1,3}}>|[–—]>|→)\s*({TIME})(?![\d:.,])(.*)")
SETTINGS = re.compile(r"(?:\s*(?:align|line|position|size|vertical|region|[XY][12]):\S+)+\s*")
"""What WebVTT, and SubRip of DVDs, say behind a time of where a cue is shown."""
HEADER = re.compile(r"WEBVTT(?:[ \t].*)?")
BLOCKS = re.compile(r"(?:NOTE|STYLE|REGION)(?:[ \t].*)?")
"""Blocks of WebVTT that are no cues: up to an empty row."""
INVISIBLE = re.compile("[\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Marks of byte order and of the direction of writing, which stand in front of rows."""
WIDE = str.maketrans("：，．－＞", ":,.->")
"""Signs of a time as keyboards of Chinese write them."""
LINE_BREAK = re.compile(r"<br\s*/?>|\\N", re.IGNORECASE)
"""Within a row, as HTML and Advanced SubStation write it."""
NUMBER = re.compile(r"\s*\d+\s*")
TAG = re.compile(r"</?(?:[biusv]|c|font|lang|ruby|rt)(?:[.\s][^<>]*)?>|<\d[\d:.]*>|\{\\[^{}]*\}", re.IGNORECASE)
"""Marks of how a text looks, who says it, and when a word of it is said."""
DASH = re.compile(r"\s*[-–—•]\s+")
"""Before what each of two people says."""


class Cue(NamedTuple):
    """What is shown, or said, in a time: seconds of start and end, and the text."""

    start: float
    end: float
    text: str


class TimedRows(NamedTuple):
    """Rows of a text that belong to one time; to none, where it is a row between cues."""

    number: int
    """Of the row with the time, or of the row itself, counted from 1."""
    start: float | None
    end: float | None
    rows: tuple[str, ...]

    @property
    def text(self) -> str:
        """The rows as one."""
        return " ".join(" ".join(self.rows).split())


def is_timed(text: str) -> bool:
    """Whether a text says when something is said."""
    return any(_times(row) for row in _rows(text))


def _rows(text: str) -> list[str]:
    """The rows of a text. Each ends once, also where a program has doubled the ends."""
    return re.sub(r"\r+\n", "\n", INVISIBLE.sub("", text)).splitlines()


def _times(row: str) -> re.Match[str] | None:
    """The times of a row that has them, and what stands behind."""
    return TIMES.fullmatch(row.translate(WIDE))


def timed_rows(text: str) -> list[TimedRows]:
    """The cues of a text, and the rows between them, in their order; empty rows are left out."""
    rows = _rows(text)
    found, cue = list[TimedRows](), None
    is_vtt = any(HEADER.fullmatch(row) for row in rows[:1])
    is_skipped = is_vtt
    for number, row in enumerate(rows, start=1):
        times = _times(row)
        if times is not None:
            rest = "" if SETTINGS.fullmatch(times[3]) else row[times.start(3) :]
            cue = TimedRows(number, seconds_of_time(times[1]), seconds_of_time(times[2]), tuple(_plain(rest, is_vtt)))
            found.append(cue)
            is_skipped = False
        elif not row.strip():
            cue, is_skipped = None, False
        elif is_skipped or _is_name(rows, number, is_vtt):
            continue
        elif is_vtt and cue is None and BLOCKS.fullmatch(row):
            is_skipped = True
        elif cue is not None:
            cue = found[-1] = cue._replace(rows=(*cue.rows, *_plain(row, is_vtt)))
        else:
            found.append(TimedRows(number, None, None, (row,)))
    return found


def _is_name(rows: Sequence[str], number: int, is_vtt: bool) -> bool:
    """Whether a row, counted from 1, is the number or name of the cue whose time stands below it."""
    is_above = number < len(rows) and _times(rows[number]) is not None
    return is_above and (NUMBER.fullmatch(rows[number - 1]) is not None or (is_vtt and not rows[number - 2].strip()))


def _plain(row: str, is_vtt: bool) -> Iterator[str]:
    """The row, or rows, without marks, as far as something is left of them."""
    for part in LINE_BREAK.split(row):
        text = TAG.sub("", part)
        text = DASH.sub("", text, count=1) if DASH.match(text) else text
        text = " ".join((html.unescape(text) if is_vtt else text).split())
        if text:
            yield text


def seconds_of_time(time: str) -> float:
    """Seconds of a time such as 01:02:03,5 or 2:03.5."""
    seconds = 0.0
    for part in time.replace(",", ".").split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def parse_subtitles(text: str) -> list[Cue]:
    """The cues of subtitles in the order of time, each of which ends before the next one begins.

    Those that begin together are one, and rows of a text stay rows.

    Raises:
        ValueError: there is text, and no time in it.
    """
    if text.strip() and not is_timed(text):
        raise ValueError(
            "The subtitles hold no times: give SubRip (SRT) or WebVTT, such as the subtitles of UniAVGen Long Form."
        )
    timed = [rows for rows in timed_rows(text) if rows.rows and (rows.end or 0.0) > (rows.start or 0.0)]
    cues = [Cue(rows.start or 0.0, rows.end or 0.0, "\n".join(rows.rows)) for rows in timed]
    shown = list[Cue]()
    for start, group in groupby(sorted(cues, key=lambda cue: cue.start), key=lambda cue: cue.start):
        together = [*group]
        texts = dict.fromkeys(cue.text for cue in together)
        shown.append(Cue(start, max(cue.end for cue in together), "\n".join(texts)))
    ends = [*(cue.start for cue in shown[1:]), math.inf]
    return [cue._replace(end=min(cue.end, end)) for cue, end in zip(shown, ends, strict=False)]


def cues_within(cues: Iterable[Cue], seconds: float) -> list[Cue]:
    """The cues of a clip of so many seconds: a track that lasts longer would make the clip longer."""
    return [cue._replace(end=min(cue.end, seconds)) for cue in cues if cue.start < seconds]


def subtitles(cues: Iterable[tuple[float, float, str]]) -> str:
    """A SubRip file of start and end in seconds and text; cues without text are left out."""
    spoken = [(start, end, text) for start, end, text in cues if text]
    return "".join(
        f"{number}\n{shown_time(start)} --> {shown_time(end)}\n{text}\n\n"
        for number, (start, end, text) in enumerate(spoken, 1)
    )


def shown_time(seconds: float) -> str:
    """A time as SubRip writes it."""
    milliseconds = timedelta(seconds=seconds) // timedelta(milliseconds=1)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"
