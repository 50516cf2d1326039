"""How a script becomes segments: its words spread over clips that the model can make, by their estimated duration."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..config import FRAME_RATE, LATENT_SECONDS, TEMPORAL_COMPRESSION, clip_seconds, pixel_frames
from ..speech.duration import HURRY, speech_seconds
from ..speech.text import detect_language, words_of
from .script import Line, Passage, check_passages

SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’)]*\s*$")
CLAUSE_END = re.compile(r"[,;:，；：、—-][\"'”’)]*\s*$")
SENTENCE_PULL, CLAUSE_PULL = 0.45, 0.3
"""By this share of a segment's time, a cut may lie off its ideal place to fall on a sentence's or clause's end."""
QUIET_PULL = 0.3
"""By this share of a segment's time, a cut may lie off its ideal place to fall on a quiet moment."""


@dataclass(frozen=True)
class Segment:
    """One clip of a long one, as it is planned."""

    line: Line
    words: str
    pause_seconds: float
    """Silence that the script wants between the last words and this segment's, or its end where nobody speaks."""
    seconds: float
    """What the segment adds to the clip: its share of the pause, and the words."""
    latent_frames: int | None = None
    """Latent frames that it adds, where the length of the whole clip is given."""


@dataclass(frozen=True)
class Pacing:
    """How words take time.

    Args:
        language: "en", "zh", or None where each line's words tell.
        pace: how fast the voice is, against the usual rate of its language.
        stretch: seconds to take for each second that the words would take.
    """

    language: str | None = None
    pace: float = 1.0
    stretch: float = 1.0

    def seconds(self, words: str) -> float:
        """Time for these words."""
        if not words:
            return 0.0
        return self.stretch * speech_seconds(words, self.language or detect_language(words), self.pace)


def new_frames(seconds: float) -> int:
    """Fewest latent frames behind a past that last at least so long."""
    return max(1, math.ceil(round(seconds / LATENT_SECONDS, 6)))


def plan_clip(
    lines: Sequence[Line],
    pacing: Pacing,
    longest: int,
    past_frames: int,
    given_frames: int = 1,
    seconds: float | None = None,
) -> tuple[Pacing, list[Segment]]:
    """The segments of a script, and the pacing that they are made with.

    Args:
        seconds: length of the whole clip, over which the words are spread; None makes it as long as they take.
            Others as in `plan_segments`.

    Raises:
        ValueError: as in `plan_segments`, a line is a caption alone, or the words do not fit the length.
    """
    check_passages(lines)
    if seconds is None:
        return pacing, plan_segments(lines, pacing, longest, past_frames, given_frames)
    start = pixel_frames(given_frames)
    # A portrait is shown while the words begin, a past is not.
    pacing = paced_to(lines, pacing, seconds if given_frames == 1 else seconds - start / FRAME_RATE)
    # Whole latent frames are counted over the whole clip, so that a segment may get one more than its words take.
    plan = plan_segments(lines, pacing, longest - 1, past_frames, given_frames)
    wanted = math.ceil((round(seconds * FRAME_RATE) - start) / TEMPORAL_COMPRESSION)
    return pacing, allot(plan, pacing, wanted, longest, past_frames, given_frames)


def paced_to(lines: Sequence[Line], pacing: Pacing, seconds: float) -> Pacing:
    """The pacing with which a script lasts so many seconds.

    Raises:
        ValueError: nothing is said, or the words would have to be hurried too much.
    """
    passages = [passage for line in lines for passage in line.passages]
    silent = sum(passage.silence_seconds for passage in passages)
    spoken = sum(pacing.seconds(passage.words) for passage in passages)
    if not spoken:
        raise ValueError("The script says nothing, so its length follows from its pauses: leave seconds at 0.")
    if spoken > (seconds - silent) * HURRY:
        raise _too_short(silent + spoken, silent)
    return replace(pacing, stretch=(seconds - silent) / spoken)


def _too_short(wanted: float, silent: float) -> ValueError:
    return ValueError(
        f"The script wants about {wanted:.1f} seconds, {silent:.1f} of them pauses: give it more time, or shorten it."
    )


def plan_segments(
    lines: Sequence[Line], pacing: Pacing, longest: int, past_frames: int, given_frames: int = 1
) -> list[Segment]:
    """The segments of a script, each short enough for its latent frames.

    Args:
        lines: of `parse_script`.
        longest: latent frames that a segment may have, its past included.
        past_frames: latent frames that each segment but the first keeps of the one before.
        given_frames: latent frames that the first one is given.

    Raises:
        ValueError: a segment is no longer than its past, or a single word is longer than a segment.
    """
    room = _new_frames_room(longest, past_frames) * LATENT_SECONDS
    passages = [(line, passage) for line in lines for passage in line.passages]
    # Where only a portrait is given, the whole first segment is new.
    first = _as_one(*passages[0], pacing, room + (past_frames - given_frames) * LATENT_SECONDS)
    segments, pause = list(first), 0.0
    for line, passage in passages[len(first) :]:
        segments += _of_passage(line, passage, pause, pacing, room)
        pause = 0.0 if passage.words else pause + passage.silence_seconds
    return segments


def plan_wordless(
    line: Line, loudness: Sequence[float], longest: int, past_frames: int, given_frames: int = 1
) -> list[Segment]:
    """As few segments as fit along a sound whose words are not known, cut where it is quiet.

    Args:
        line: whose caption holds for all of them.
        loudness: of the sound around the end of each new latent frame of the clip. Others as in `plan_segments`.

    Raises:
        ValueError: a segment is no longer than its past.
    """
    room = _new_frames_room(longest, past_frames)
    first_room = longest - given_frames
    count = 1 + max(0, math.ceil((len(loudness) - first_room) / room))
    share, ends = len(loudness) / count, [0]
    for later in range(count - 1, 0, -1):
        # The first one must have a whole past to leave.
        least, most = (1, room) if len(ends) > 1 else (max(1, past_frames - given_frames), first_room)
        earliest = max(ends[-1] + least, len(loudness) - later * room)
        latest = min(ends[-1] + most, len(loudness) - later)
        ideal = min(max(round(len(loudness) - later * share), earliest), latest)
        places = [end for end in range(earliest, latest + 1) if abs(end - ideal) <= QUIET_PULL * share]
        ends.append(min(places, key=lambda end: loudness[end - 1]))
    return [
        Segment(line, "", 0.0, (end - start) * LATENT_SECONDS, end - start)
        for start, end in pairwise([*ends, len(loudness)])
    ]


def _new_frames_room(longest: int, past_frames: int) -> int:
    """Latent frames that a segment has for what is new.

    Raises:
        ValueError: there is none.
    """
    if longest <= past_frames:
        raise ValueError(
            f"A segment lasts {clip_seconds(longest):.2f} seconds, and its kept past "
            f"{clip_seconds(past_frames):.2f} of them: give a longer first LATENT, or keep fewer past_frames."
        )
    return longest - past_frames


def _as_one(line: Line, passage: Passage, pacing: Pacing, room: float) -> list[Segment]:
    """The passage as one segment, or none where it does not fit or nobody speaks."""
    seconds = passage.silence_seconds + pacing.seconds(passage.words)
    if not passage.words or seconds > room:
        return []
    return [Segment(line, passage.words, passage.silence_seconds, seconds)]


def _of_passage(line: Line, passage: Passage, pause: float, pacing: Pacing, room: float) -> Iterator[Segment]:
    """Segments of a passage that follows so many seconds of silence, which are segments already."""
    silence = passage.silence_seconds
    while silence > (room / 2 if passage.words else 0):
        part = min(silence, room)
        pause, silence = pause + part, silence - part
        yield Segment(line, "", pause, part)
    if not passage.words:
        return
    pause += silence
    for piece in _pieces(passage.words, pacing, room - silence, line.number):
        yield Segment(line, piece, pause, silence + pacing.seconds(piece))
        pause = silence = 0.0


def allot(
    segments: Sequence[Segment], pacing: Pacing, latent_frames: int, longest: int, past_frames: int, given_frames: int
) -> list[Segment]:
    """The segments with so many new latent frames in all, spread by their seconds. Arguments as in `plan_segments`.

    Raises:
        ValueError: that is too little time for the pauses and the words, hurried as far as it goes.
    """
    room = [longest - given_frames] + [longest - past_frames] * (len(segments) - 1)
    least = [new_frames(_least_seconds(segment, pacing)) for segment in segments]
    least[0] = max(least[0], past_frames - given_frames)
    ideal = [segment.seconds / LATENT_SECONDS for segment in segments]
    frames = [max(low, math.floor(wanted)) for low, wanted in zip(least, ideal, strict=True)]
    while sum(frames) != latent_frames:
        change = 1 if sum(frames) < latent_frames else -1
        limits = room if change > 0 else least
        free = [place for place, limit in enumerate(limits) if change * (limit - frames[place]) > 0]
        if not free:
            silent = sum(segment.seconds - pacing.seconds(segment.words) for segment in segments)
            raise _too_short(sum(frames) * LATENT_SECONDS, silent)
        frames[max(free, key=lambda place: change * (ideal[place] - frames[place]))] += change
    return [replace(segment, latent_frames=count) for segment, count in zip(segments, frames, strict=True)]


def _least_seconds(segment: Segment, pacing: Pacing) -> float:
    """Time that a segment must have: its silence, and its words, hurried as far as it goes."""
    spoken = pacing.seconds(segment.words)
    return segment.seconds - spoken + min(spoken, spoken / pacing.stretch / HURRY)


def _pieces(words: str, pacing: Pacing, room: float, number: int) -> list[str]:
    """The words in as few pieces of about one length as fit the room each, cut between words."""
    units = words_of(words, pacing.language or detect_language(words)) if words else [""]
    for unit in units:
        seconds = pacing.seconds(unit.strip())
        if seconds > room:
            advice = (
                "give a longer first LATENT"
                if pacing.stretch <= 1
                else "ask for fewer seconds, for 0, or add words or pauses"
            )
            raise ValueError(
                f"Line {number} of the script: “{unit.strip()}” alone takes {seconds:.1f} seconds, and a segment has "
                f"room for {room:.1f}: {advice}."
            )
    ends = [pacing.seconds("".join(units[: place + 1]).strip()) for place in range(len(units))]
    for count in range(max(1, math.ceil(ends[-1] / room)), len(units)):
        cuts = _cuts(units, ends, count, room)
        if cuts:
            return ["".join(units[start:end]).strip() for start, end in pairwise(cuts)]
    return [unit.strip() for unit in units]


def _cuts(units: list[str], ends: list[float], count: int, room: float) -> list[int]:
    """Where to cut words into pieces that fit the room, near equal times; none if so many pieces do not do.

    Args:
        ends: seconds that the words up to each unit take.
    """
    share = ends[-1] / count
    cuts = [0]
    for piece in range(1, count):
        earliest, latest = cuts[-1] + 1, len(units) - (count - piece)
        before = ends[cuts[-1] - 1] if cuts[-1] else 0.0
        places = [
            place
            for place in range(earliest, latest + 1)
            if ends[place - 1] - before <= room and ends[-1] - ends[place - 1] <= (count - piece) * room
        ]
        if not places:
            return []
        cuts.append(min(places, key=lambda place: abs(ends[place - 1] / share - piece) - _pull(units[place - 1])))
    return [*cuts, len(units)]


def _pull(unit: str) -> float:
    if SENTENCE_END.search(unit):
        return SENTENCE_PULL
    return CLAUSE_PULL if CLAUSE_END.search(unit) else 0.0


def words_in_the_past(words: str, voiced: tuple[float, float], start: float, pacing: Pacing) -> str:
    """The last words of a segment, as far as they are heard from some second on.

    Where they are said is not known, only estimated: the words fill the voiced part evenly.

    Args:
        words: what the segment says.
        voiced: seconds from the segment's start at which its voice sets in and ends.
        start: second from the segment's start from which on its sound is kept.
    """
    whole = pacing.seconds(words)
    units = words_of(words, pacing.language or detect_language(words)) if words else []
    onset, end = voiced
    for place in range(len(units)):
        middle = (
            pacing.seconds("".join(units[:place]).strip()) + pacing.seconds("".join(units[: place + 1]).strip())
        ) / 2
        if onset + (end - onset) * middle / whole >= start:
            return "".join(units[place:]).strip()
    return ""
