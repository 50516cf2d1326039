"""Subtitles in SubRip form."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta


def subtitles(cues: Iterable[tuple[float, float, str]]) -> str:
    """A SubRip file of start and end in seconds and text; cues without text are left out."""
    spoken = [(start, end, text) for start, end, text in cues if text]
    return "".join(
        f"{number}\n{_time(start)} --> {_time(end)}\n{text}\n\n" for number, (start, end, text) in enumerate(spoken, 1)
    )


def _time(seconds: float) -> str:
    milliseconds = timedelta(seconds=seconds) // timedelta(milliseconds=1)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"
