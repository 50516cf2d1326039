"""What is said when in a finished clip: a report for people, subtitles for players."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from .maker import FinishedSegment


def report(segments: Sequence[FinishedSegment]) -> str:
    """What is said when, one line a segment."""
    return "\n".join(
        f"{one.start:7.2f} to {one.start + one.seconds:7.2f} s  line {one.planned.line.number}  "
        f"seed {one.planned.seed}  {'kept' if one.was_kept else 'made'}  {one.planned.words or '(no words)'}"
        for one in segments
    )


def subtitles_of(segments: Sequence[FinishedSegment]) -> str:
    """SubRip subtitles of a clip."""
    return subtitles(
        (one.start + min(one.silence, one.seconds), one.start + one.seconds, one.planned.written or one.planned.words)
        for one in segments
    )


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
