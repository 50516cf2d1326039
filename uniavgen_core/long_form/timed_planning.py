"""How a script that says when each line is said becomes segments: each line's words begin and end in its time.

Segments end at whole latent frames, so a line's words end within an eighth of a second of the time that is wanted; they
begin at it exactly, or where the segment before ends, if that is later.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..config import (
    FRAME_RATE,
    LATENT_SECONDS,
    TEMPORAL_COMPRESSION,
    clip_seconds,
    pixel_frames,
)
from ..joint_latent import HURRY
from ..media.soundtrack import LONGEST_HOURS
from ..speech.reader import Spoken
from .pacing import ROUNDING, Pacing, cut_words
from .planning import DRAWL, LongFormSettings, PlannedSegment, in_order, plan_clip
from .script import Line, check_passages, read_lines

TIMED_DRAWL = 1.5
"""Words with a time are drawn out to this many times theirs at most, as subtitles stay longer than the voice."""
NOTED_HURRY = 1.1
"""Words that are said so many times faster than usual are told of."""
FRAME_SECONDS = 1 / FRAME_RATE


def plan_script(
    lines: Sequence[Line], settings: LongFormSettings, drawl: float | None = None
) -> tuple[LongFormSettings, list[PlannedSegment]]:
    """As `plan_clip`, of lines with times or without.

    Args:
        drawl: how many times their time the words may take at most; None: as is usual for such lines.

    Raises:
        ValueError: as there; or a line's words cannot be said in its time, or the clip is shorter than the lines.
    """
    if lines[0].end is None:
        return plan_clip(lines, settings, DRAWL if drawl is None else drawl)
    check_passages(lines)
    lines = read_lines(lines, settings.pacing.read)
    last = lines[-1]
    if _end_of(last) > 3600 * LONGEST_HOURS:
        raise ValueError(
            f"Line {last.number} of the script is said up to {_end_of(last) / 3600:,.1f} hours, but a clip lasts "
            f"{LONGEST_HOURS} at most: look at its time."
        )
    seconds = settings.seconds or _end_of(last)
    if _end_of(last) > seconds + FRAME_SECONDS:
        raise ValueError(
            f"Line {last.number} of the script is said up to second {_end_of(last):g}, but the clip lasts "
            f"{seconds:.2f} seconds: shorten the script, or give a longer one."
        )
    settings = replace(settings, seconds=seconds)
    timeline = _Timeline(settings)
    for line in lines:
        timeline.say(line, TIMED_DRAWL if drawl is None else drawl)
    timeline.end_with(last, seconds)
    return settings, in_order(timeline.segments, settings.seed)


def hurry_notes(lines: Sequence[Line], pacing: Pacing) -> list[str]:
    """What to tell of lines with times whose words are said faster than usual, each a sentence."""
    notes = []
    for line in lines:
        words, room = _natural_seconds(line, pacing), _speaking_seconds(line)
        if line.end is not None and words > NOTED_HURRY * room:
            notes.append(
                f"Line {line.number}: its words take about {words:.1f} s, and have {room:.1f}: they are said faster."
            )
    return notes


def _end_of(line: Line) -> float:
    """Second at which a line with a time ends."""
    assert line.end is not None
    return line.end


def _natural_seconds(line: Line, pacing: Pacing) -> float:
    """Time that a line's words take as a rule, without its pauses."""
    paced = pacing.of(line.speaker)
    spoken = [passage.spoken for passage in line.passages if passage.spoken]
    return sum(paced.unit_seconds(each.units, each.language) for each in spoken)


def _speaking_seconds(line: Line) -> float:
    """Time that a line has for its words."""
    return (line.end or 0.0) - (line.start or 0.0) - sum(passage.silence_seconds for passage in line.passages)


class _Timeline:
    """Segments one behind the other, whose latent frames are counted over the whole clip."""

    def __init__(self, settings: LongFormSettings):
        self.settings = settings
        self.segments: list[PlannedSegment] = []
        self.end = 0
        """Frame of the clip at which the next segment's begin."""
        self.scene = 0
        self.line: Line | None = None
        # Ends are rounded, so that a segment may get one latent frame more than its words take.
        self.room = replace(settings, longest=settings.longest - 1).new_frames() * LATENT_SECONDS

    @property
    def position(self) -> float:
        """Second at which new sound may begin. A portrait is shown while words begin, a past is not."""
        given = self.settings.kept_frames
        return self.end / FRAME_RATE if self.segments or given == 1 else clip_seconds(given)

    def say(self, line: Line, drawl: float) -> None:
        """Add a line's words in its time.

        Raises:
            ValueError: they cannot be said in it.
        """
        self.settings.pacing.reader.step()
        pacing = self.settings.pacing.of(line.speaker)
        words, room = _natural_seconds(line, self.settings.pacing), _speaking_seconds(line)
        self._check(line, words, room)
        begins = time = line.start or 0.0
        if self.line is not None and line.scene != self.scene:
            # What is cut to is seen from its first line on.
            self.be_silent(self.line, begins)
        stretch = min(drawl, room / words, self._longest_stretch(line, pacing)) if words else 1.0
        heard = 0.0
        for passage in line.passages:
            time += passage.silence_seconds
            if passage.spoken is not None:
                paced = replace(pacing, stretch=stretch)
                start, position = time, max(time, self.position)
                time += paced.unit_seconds(passage.spoken.units, passage.spoken.language)
                self._speak(line, passage.spoken, paced, start, time)
                heard += self.end / FRAME_RATE - position
        if words:
            self._check(line, words, heard)
        self.line, self.scene = line, line.scene

    def _check(self, line: Line, words: float, room: float) -> None:
        if words > room * HURRY:
            raise ValueError(
                f"Line {line.number} of the script is said from {line.start:g} to {line.end:g} seconds, which leaves "
                f"{max(0.0, room):.1f} for words that take about {words:.1f}: give it more time, or fewer words."
            )

    def _longest_stretch(self, line: Line, pacing: Pacing) -> float:
        """How many times its time each word may take and still fit a segment; not below 1."""
        spoken = [passage.spoken for passage in line.passages if passage.spoken]
        longest = max(pacing.unit_seconds([unit], each.language) for each in spoken for unit in each.units)
        # Of a segment, silence may take as much as half.
        return max(1.0, (1 - ROUNDING) * self.room / 2 / longest)

    def _speak(self, line: Line, spoken: Spoken, pacing: Pacing, start: float, end: float) -> None:
        if start - self.position > self.room / 2:
            self.be_silent(line, start)
        silence, onset = max(0.0, start - self.position), start
        pieces = cut_words(spoken, pacing, self.room - silence, line.number)
        for index, units in enumerate(pieces):
            seconds = pacing.unit_seconds(units, spoken.language)
            part = replace(spoken, units=tuple(units))
            planned = PlannedSegment(
                line, part.text, silence, silence + seconds, None, seconds, part.written,
                onset=None if index else onset, spoken=part,
            )  # fmt: skip
            onset, silence = onset + seconds, 0.0
            self._add(planned, end if index == len(pieces) - 1 else onset)

    def be_silent(self, line: Line, until: float) -> None:
        """Add segments in which nobody speaks, less than a latent frame short of a moment."""
        while (frames := math.floor(until * FRAME_RATE) - self._first_frame(line)) >= TEMPORAL_COMPRESSION:
            seconds = min(frames * FRAME_SECONDS, self.room)
            self._add(PlannedSegment(line, "", seconds, seconds), self.end / FRAME_RATE + seconds, math.floor)

    def end_with(self, line: Line, seconds: float) -> None:
        """Add what the clip still lacks, and no segment for less than a latent frame if another one has room."""
        self.be_silent(line, seconds)
        missing = round(seconds * FRAME_RATE) - self.end
        if missing <= 0:
            return
        last, first = self.segments[-1], len(self.segments) == 1
        given = self._given(last, first)
        assert last.latent_frames is not None
        if last.latent_frames < self.settings.longest - given:
            self.segments[-1] = replace(last, latent_frames=last.latent_frames + 1)
            self.end += TEMPORAL_COMPRESSION
        else:
            silent = PlannedSegment(line, "", missing * FRAME_SECONDS, missing * FRAME_SECONDS)
            self._add(silent, seconds, math.ceil)

    def _given(self, segment: PlannedSegment, is_first: bool) -> int:
        """Latent frames that a segment is given."""
        return self.settings.kept_frames if is_first else 1 if segment.starts_scene else self.settings.past_frames

    def _first_frame(self, line: Line) -> int:
        """Frame up to which the next segment is given."""
        if not self.segments:
            return pixel_frames(self.settings.kept_frames)
        return self.end + (line.scene != self.scene)

    def _add(self, segment: PlannedSegment, until: float, rounded: Callable[[float], int] = round) -> None:
        """Add a segment that ends at about a second of the clip."""
        starts = segment.line.scene != self.scene
        segment = replace(segment, starts_scene=starts)
        given, first = self._given(segment, not self.segments), self._first_frame(segment.line)
        # Each must have a whole past to leave.
        least = max(1, self.settings.past_frames - given)
        wanted = rounded(round((until * FRAME_RATE - first) / TEMPORAL_COMPRESSION, 6))
        frames = min(max(wanted, least), self.settings.longest - given)
        self.segments.append(replace(segment, latent_frames=frames))
        self.end, self.scene = first + TEMPORAL_COMPRESSION * frames, segment.line.scene
