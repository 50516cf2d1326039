"""How a script becomes segments: its words spread over clips that the model can make, by their estimated duration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from itertools import pairwise, takewhile

from ..config import FRAME_RATE, LATENT_SECONDS, SEEDS, TEMPORAL_COMPRESSION, clip_seconds, pixel_frames
from ..joint_latent import HURRY
from ..speech.duration import PACE_LIMIT
from ..speech.reader import Spoken
from .pacing import ROUNDING, Pacing, cut_words
from .script import Line, Passage, check_passages, read_lines

QUIET_PULL = 0.3
"""By this fraction of a segment's time, a cut may lie off its ideal to fall on a quiet moment."""
DRAWL = PACE_LIMIT
"""Words are drawn out to this many times their time at most; what is left of a clip's is silent."""
LONGEST_SILENCE_SECONDS = {"within a passage": 0.1, "between lines": 0.3}
"""Silence that may follow a segment's words where the script asks for none; more is cut off, in whole latent frames."""


@dataclass(frozen=True)
class LongFormSettings:
    """How a long clip is made.

    Args:
        longest: latent frames that a segment may have, its past included.
        past_frames: latent frames that each segment but the first keeps of the one before.
        kept_frames: latent frames that the first one is given.
        seed: of the first segment; each next one has the next number, but for lines with seeds of their own.
        seconds: length of the whole clip, over which the words are spread; None makes it as long as they take.
    """

    pacing: Pacing
    longest: int
    past_frames: int
    kept_frames: int = 1
    seed: int = 0
    seconds: float | None = None

    def new_frames(self) -> int:
        """Latent frames that a segment has for what is new.

        Raises:
            ValueError: there is none.
        """
        if self.longest <= self.past_frames:
            raise ValueError(
                f"A segment lasts {clip_seconds(self.longest):.2f} seconds, and its kept past "
                f"{clip_seconds(self.past_frames):.2f} of them: give a longer first LATENT, or keep fewer past_frames."
            )
        return self.longest - self.past_frames


@dataclass(frozen=True)
class PlannedSegment:
    """One clip of a long one, before it is made."""

    line: Line
    words: str
    pause_seconds: float
    """Silence that the script wants between the last words and this segment's, or its end where nobody speaks."""
    seconds: float
    """What the segment adds to the clip: its share of the pause, and the words."""
    latent_frames: int | None = None
    """Latent frames that it adds, where the length of the whole clip is given."""
    spoken_seconds: float = 0.0
    """Time for the words alone."""
    written: str = ""
    """The words as they stand in the script."""
    seed: int = 0
    starts_scene: bool = False
    """Whether it starts from a picture, and not from the end of the segment before."""
    silence_after: float = 0.0
    """Seconds of silence that may be behind its words."""
    is_silence_exact: bool = False
    """Whether the script asks for that silence: what lacks is added to the next segment."""
    is_last: bool = False
    onset: float | None = None
    """Second of the clip at which its words begin, where the script says it."""
    spoken: Spoken | None = None
    """The words, where they are known."""


def frames_for(seconds: float) -> int:
    """Fewest latent frames behind a past that last at least so long."""
    return max(1, math.ceil(round(seconds / LATENT_SECONDS, 6)))


def plan_clip(
    lines: Sequence[Line], settings: LongFormSettings, drawl: float = DRAWL
) -> tuple[LongFormSettings, list[PlannedSegment]]:
    """The segments of a script, and the settings with the pacing that they are made with.

    Args:
        drawl: how many times their time the words may take at most; nobody speaks in what is left then.

    Raises:
        ValueError: as in `plan_segments`, a line is a caption alone, or the words do not fit the length.
    """
    check_passages(lines)
    lines = read_lines(lines, settings.pacing.read)
    seconds = settings.seconds
    if seconds is None:
        return settings, plan_segments(lines, settings)
    start = pixel_frames(settings.kept_frames)
    # A portrait is shown while the words begin, a past is not.
    room = seconds if settings.kept_frames == 1 else seconds - start / FRAME_RATE
    # Whole latent frames are counted over the whole clip, so that a segment may get one more than its words take.
    shorter = replace(settings, longest=settings.longest - 1)
    pacing = paced_to(lines, settings.pacing, room)
    drawl = min(drawl, _longest_drawl(lines, pacing, shorter.new_frames() * LATENT_SECONDS))
    if pacing.stretch > drawl:
        pacing = replace(pacing, stretch=drawl)
        lines = [*lines[:-1], _with_silence(lines[-1], room - _script_seconds(lines, pacing))]
    plan = plan_segments(lines, replace(shorter, pacing=pacing))
    settings = replace(settings, pacing=pacing)
    # A scene begins with one frame, its picture's, before whole latent frames.
    cuts = sum(segment.starts_scene for segment in plan[1:])
    wanted = math.ceil((round(seconds * FRAME_RATE) - start - cuts) / TEMPORAL_COMPRESSION)
    return settings, allot(plan, settings, wanted)


def paced_to(lines: Sequence[Line], pacing: Pacing, seconds: float) -> Pacing:
    """The pacing with which a script lasts so many seconds.

    Raises:
        ValueError: nothing is said, or the words would have to be hurried too much.
    """
    silent = sum(passage.silence_seconds for line in lines for passage in line.passages)
    spoken = _script_seconds(lines, pacing) - silent
    if not any(line.speech for line in lines):
        raise ValueError("The script says nothing, so its length follows from its pauses: leave seconds at 0.")
    if spoken > (seconds - silent) * HURRY:
        raise _too_short(silent + spoken, silent)
    return replace(pacing, stretch=(seconds - silent) / spoken)


def _script_seconds(lines: Sequence[Line], pacing: Pacing) -> float:
    """Time that a script takes, its pauses included."""
    passages = [(passage, pacing.of(line.speaker)) for line in lines for passage in line.passages]
    return sum(passage.silence_seconds + _passage_seconds(passage, paced) for passage, paced in passages)


def _passage_seconds(passage: Passage, pacing: Pacing) -> float:
    """Time for the words of a passage."""
    if not passage.words:
        return 0.0
    spoken = passage.spoken or pacing.read(passage.words)
    return pacing.unit_seconds(spoken.units, spoken.language)


def _longest_drawl(lines: Sequence[Line], pacing: Pacing, room: float) -> float:
    """How many times its time each word may take and still fit a segment; not below 1."""
    passages = [(passage, pacing.of(line.speaker)) for line in lines for passage in line.passages if passage.spoken]
    # Of a segment, a pause may take as much as half.
    room /= 2 if any(passage.silence_seconds for passage, _ in passages) else 1
    longest = max(
        paced.unit_seconds([unit], passage.spoken.language) / paced.stretch
        for passage, paced in passages
        if passage.spoken
        for unit in passage.spoken.units
    )
    return max(1.0, (1 - ROUNDING) * room / longest)


def _with_silence(line: Line, seconds: float) -> Line:
    return replace(line, passages=(*line.passages, Passage(seconds, "")))


def _too_short(wanted: float, silent: float) -> ValueError:
    return ValueError(
        f"The script wants about {wanted:.1f} seconds, {silent:.1f} of them pauses: give it more time, or shorten it."
    )


def drawl_note(lines: Sequence[Line], plan: Sequence[PlannedSegment]) -> str | None:
    """What to tell of a clip in which the words end long before it does; None where they do not."""
    silent = sum(segment.seconds for segment in takewhile(lambda segment: not segment.words, reversed(plan)))
    if lines[-1].end is not None or any(not passage.words for passage in lines[-1].passages[-1:]) or not silent:
        return None
    return (
        f"The words are drawn out as far as they can be, and the last {silent:.1f} seconds are silent. [pause 5] in "
        "the script says where nobody speaks."
    )


def plan_segments(lines: Sequence[Line], settings: LongFormSettings) -> list[PlannedSegment]:
    """The segments of a script, each short enough for its latent frames; the clip's length is not looked at.

    Raises:
        ValueError: a segment is no longer than its past, or a single word is longer than a segment.
        What the reader's `step` raises, which is called for each passage and each word.
    """
    room = settings.new_frames() * LATENT_SECONDS
    segments, pause, scene = list[PlannedSegment](), 0.0, 0
    passages = [(line, passage) for line in lines for passage in line.passages]
    for line, passage in passages:
        settings.pacing.reader.step()
        pacing, starts = settings.pacing.of(line.speaker), line.scene != scene
        made = list[PlannedSegment]()
        if starts:
            # Where only a portrait is given, the whole first segment is new. What was silent before it does not count.
            given = settings.kept_frames if not segments else 1
            made = _as_one(line, passage, pacing, room + (settings.past_frames - given) * LATENT_SECONDS)
            pause, scene = 0.0, line.scene
        made = made or [*_of_passage(line, passage, pause, pacing, room)]
        segments += [replace(made[0], starts_scene=starts), *made[1:]]
        pause = 0.0 if passage.words else pause + passage.silence_seconds
    return in_order(segments, settings.seed)


def _as_one(line: Line, passage: Passage, pacing: Pacing, room: float) -> list[PlannedSegment]:
    """The passage as one segment, or none where it does not fit or nobody speaks."""
    if not passage.words:
        return []
    spoken = passage.spoken or pacing.read(passage.words)
    spoken_seconds = pacing.unit_seconds(spoken.units, spoken.language)
    silence = passage.silence_seconds
    if silence + spoken_seconds > room:
        return []
    seconds = silence + spoken_seconds
    return [PlannedSegment(line, spoken.text, silence, seconds, None, spoken_seconds, spoken.written, spoken=spoken)]


def _of_passage(line: Line, passage: Passage, pause: float, pacing: Pacing, room: float) -> Iterator[PlannedSegment]:
    """Segments of a passage that follows so many seconds of silence, which are segments already."""
    silence = passage.silence_seconds
    while silence > (room / 2 if passage.words else 0):
        taken = min(silence, room)
        pause, silence = pause + taken, silence - taken
        yield PlannedSegment(line, "", pause, taken)
    if not passage.words:
        return
    pause += silence
    spoken = passage.spoken or pacing.read(passage.words)
    for units in cut_words(spoken, pacing, room - silence, line.number):
        seconds, part = pacing.unit_seconds(units, spoken.language), replace(spoken, units=tuple(units))
        yield PlannedSegment(line, part.text, pause, silence + seconds, None, seconds, part.written, spoken=part)
        pause = silence = 0.0


def plan_wordless(line: Line, loudness: Sequence[float], settings: LongFormSettings) -> list[PlannedSegment]:
    """As few segments as fit along a sound whose words are not known, cut where it is quiet.

    Args:
        line: whose caption holds for all of them.
        loudness: of the sound around the end of each new latent frame of the clip.

    Raises:
        ValueError: a segment is no longer than its past.
    """
    room, first_room = settings.new_frames(), settings.longest - settings.kept_frames
    count = 1 + max(0, math.ceil((len(loudness) - first_room) / room))
    ideal_frames, ends = len(loudness) / count, [0]
    for later in range(count - 1, 0, -1):
        # The first one must have a whole past to leave.
        first_least = max(1, settings.past_frames - settings.kept_frames)
        least, most = (1, room) if len(ends) > 1 else (first_least, first_room)
        earliest = max(ends[-1] + least, len(loudness) - later * room)
        latest = min(ends[-1] + most, len(loudness) - later)
        ideal = min(max(round(len(loudness) - later * ideal_frames), earliest), latest)
        near = [end for end in range(earliest, latest + 1) if abs(end - ideal) <= QUIET_PULL * ideal_frames]
        ends.append(min(near, key=lambda end: loudness[end - 1]))
    segments = [
        PlannedSegment(line, "", 0.0, (end - start) * LATENT_SECONDS, end - start, starts_scene=not start)
        for start, end in pairwise([*ends, len(loudness)])
    ]
    return in_order(segments, settings.seed)


def in_order(segments: Sequence[PlannedSegment], seed: int) -> list[PlannedSegment]:
    """The segments with what follows from those around them: seeds, silences behind, and which is the last."""
    ordered, so_far = list[PlannedSegment](), Counter[int]()
    """The latter: how many segments each line has had."""
    for index, segment in enumerate(segments):
        following = segments[index + 1] if index + 1 < len(segments) else None
        own, first = segment.line.seed, seed + index
        if own is not None:
            first = own + so_far[id(segment.line)]
        so_far[id(segment.line)] += 1
        is_same_line = following is not None and following.line is segment.line
        pause = 0.0 if following is None else following.pause_seconds
        unasked = LONGEST_SILENCE_SECONDS["within a passage" if is_same_line else "between lines"]
        ordered.append(
            replace(
                segment,
                seed=first % SEEDS,
                silence_after=pause or unasked,
                is_silence_exact=pause > 0,
                is_last=following is None,
            )
        )
    return ordered


def allot(segments: Sequence[PlannedSegment], settings: LongFormSettings, latent_frames: int) -> list[PlannedSegment]:
    """The segments with so many new latent frames in all, spread by their seconds.

    Raises:
        ValueError: that is too little time for the pauses and the words, hurried as far as it goes.
    """
    past_frames = settings.past_frames
    given = [settings.kept_frames, *(1 if segment.starts_scene else past_frames for segment in segments[1:])]
    room = [settings.longest - frames for frames in given]
    # Each must have a whole past to leave.
    least = [
        max(frames_for(_least_seconds(segment, settings.pacing)), past_frames - frames)
        for segment, frames in zip(segments, given, strict=True)
    ]
    ideal = [segment.seconds / LATENT_SECONDS for segment in segments]
    frames = [max(low, math.floor(wanted)) for low, wanted in zip(least, ideal, strict=True)]
    missing = latent_frames - sum(frames)
    change = 1 if missing > 0 else -1
    limits = room if change > 0 else least
    free = [(change * (frames[i] - ideal[i]), i) for i, limit in enumerate(limits) if change * (limit - frames[i]) > 0]
    heapify(free)
    for _ in range(abs(missing)):
        if not free:
            silent = sum(segment.seconds - segment.spoken_seconds for segment in segments)
            raise _too_short(sum(frames) * LATENT_SECONDS, silent)
        off, index = heappop(free)
        frames[index] += change
        if frames[index] != limits[index]:
            heappush(free, (off + 1, index))
    return [replace(segment, latent_frames=count) for segment, count in zip(segments, frames, strict=True)]


def _least_seconds(segment: PlannedSegment, pacing: Pacing) -> float:
    """Time that a segment must have: its silence, and its words, hurried as far as it goes."""
    spoken = segment.spoken_seconds
    return segment.seconds - spoken + min(spoken, spoken / pacing.stretch / HURRY)
