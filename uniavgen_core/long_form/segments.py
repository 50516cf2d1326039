"""How a script becomes segments: its words spread over clips that the model can make, by their estimated duration."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from itertools import accumulate, pairwise, takewhile

from ..config import FRAME_RATE, LATENT_SECONDS, TEMPORAL_COMPRESSION, clip_seconds, pixel_frames
from ..joint_latent import HURRY
from ..speech.duration import CHARACTERS_PER_SECOND, PACE_LIMIT, speech_seconds
from ..speech.english_words import ABBREVIATIONS, BEFORE_NUMBERS, TITLES
from ..speech.reader import SpeechReader, Spoken, read_of, said_of, written_of
from ..speech.rules import Unit
from ..speech.text import MARK, detect_language
from .script import Line, Passage, check_passages, read_lines

SENTENCE_END = re.compile(r"[.!?。！？][\"'”’)》]*\s*$")
CLAUSE_END = re.compile(r"(?:[,;:，；：、—-]|\.\.|…)[\"'”’)》]*\s*$")
INITIAL = re.compile(r"[\"'(]*[A-HJ-Z]\.\s*")
POINTED_LETTERS = re.compile(r"(?:\w\.)+\w")
POINTED = frozenset(word.lower() for word in ("St", *TITLES, *ABBREVIATIONS, *BEFORE_NUMBERS))
"""Words that are followed by a point where no sentence ends."""
SENTENCE_PULL, CLAUSE_PULL = 0.45, 0.3
"""By this share of a segment's time, a cut may lie off its ideal place to fall on a sentence's or clause's end."""
QUIET_PULL = 0.3
"""By this share of a segment's time, a cut may lie off its ideal place to fall on a quiet moment."""
DRAWL = PACE_LIMIT
"""Words are drawn out to this many times their time at most; what is left of a clip's is silent."""
ROUNDING = 1e-9


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
    spoken_seconds: float = field(default=0.0, compare=False)
    """Time for the words alone."""
    written: str = field(default="", compare=False)
    """The words as they stand in the script."""


@dataclass(frozen=True)
class Pacing:
    """How words take time.

    Args:
        language: "en", "zh", or None where each line's words tell.
        pace: how fast the voice is, against the usual rate of its language.
        stretch: seconds to take for each second that the words would take.
        reader: the run's.
    """

    language: str | None = None
    pace: float = 1.0
    stretch: float = 1.0
    reader: SpeechReader = field(default_factory=SpeechReader, repr=False, compare=False)

    def read(self, words: str) -> Spoken:
        """What words say."""
        return self.reader.read(words, self.language, name="script")

    def units(self, words: str) -> list[Unit]:
        """The units of words that were read before."""
        return self.reader.units(words, self.language or detect_language(words))

    def seconds(self, words: str) -> float:
        """Time for words that were read before."""
        return self.unit_seconds(self.units(words), self.language or detect_language(words)) if words else 0.0

    def unit_seconds(self, units: Sequence[Unit], language: str) -> float:
        """Time for units."""
        return self.stretch * speech_seconds(read_of(units), language, self.pace)


class _Times:
    """When each of several units is said.

    Args:
        units: in order; space behind them is told from them.
        language: "en" or "zh".
    """

    def __init__(self, units: Sequence[Unit], pacing: Pacing, language: str):
        space = pacing.stretch / (pacing.pace * CHARACTERS_PER_SECOND["en"])
        gaps = [space if unit.read[-1:].isspace() else 0.0 for unit in units]
        lengths = [pacing.unit_seconds([unit], language) for unit in units]
        self.starts = [0.0, *accumulate(length + gap for length, gap in zip(lengths, gaps, strict=True))]
        self.ends = [0.0, *(start + length for start, length in zip(self.starts, lengths, strict=False))]
        """Of the first n units, without the space behind them."""

    def last(self, start: int, room: float) -> int:
        """How many of the first units there are at most, from some place on, in so many seconds."""
        return bisect_right(self.ends, self.starts[start] + room + ROUNDING) - 1


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
    drawl: float = DRAWL,
) -> tuple[Pacing, list[Segment]]:
    """The segments of a script, and the pacing that they are made with.

    Args:
        seconds: length of the whole clip, over which the words are spread; None makes it as long as they take.
        drawl: how many times their time the words may take at most; nobody speaks in what is left then. Others as in
            `plan_segments`.

    Raises:
        ValueError: as in `plan_segments`, a line is a caption alone, or the words do not fit the length.
    """
    check_passages(lines)
    lines = read_lines(lines, pacing.read)
    if seconds is None:
        return pacing, plan_segments(lines, pacing, longest, past_frames, given_frames)
    start = pixel_frames(given_frames)
    # A portrait is shown while the words begin, a past is not.
    room = seconds if given_frames == 1 else seconds - start / FRAME_RATE
    pacing = paced_to(lines, pacing, room)
    drawl = min(drawl, _longest_drawl(lines, pacing, _new_frames_room(longest - 1, past_frames) * LATENT_SECONDS))
    if pacing.stretch > drawl:
        pacing = replace(pacing, stretch=drawl)
        lines = [*lines[:-1], _with_silence(lines[-1], room - _script_seconds(lines, pacing))]
    # Whole latent frames are counted over the whole clip, so that a segment may get one more than its words take.
    plan = plan_segments(lines, pacing, longest - 1, past_frames, given_frames)
    wanted = math.ceil((round(seconds * FRAME_RATE) - start) / TEMPORAL_COMPRESSION)
    return pacing, allot(plan, pacing, wanted, longest, past_frames, given_frames)


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
    passages = [passage for line in lines for passage in line.passages]
    return sum(passage.silence_seconds + _passage_seconds(passage, pacing) for passage in passages)


def _longest_drawl(lines: Sequence[Line], pacing: Pacing, room: float) -> float:
    """How many times its time each word may take and still fit a segment; not below 1."""
    passages = [passage for line in lines for passage in line.passages if passage.spoken]
    # Of a segment, a pause may take as much as half.
    room /= 2 if any(passage.silence_seconds for passage in passages) else 1
    longest = max(
        pacing.unit_seconds([unit], passage.spoken.language) / pacing.stretch
        for passage in passages
        if passage.spoken
        for unit in passage.spoken.units
    )
    return max(1.0, (1 - ROUNDING) * room / longest)


def _passage_seconds(passage: Passage, pacing: Pacing) -> float:
    """Time for the words of a passage."""
    if not passage.words:
        return 0.0
    spoken = passage.spoken or pacing.read(passage.words)
    return pacing.unit_seconds(spoken.units, spoken.language)


def _with_silence(line: Line, seconds: float) -> Line:
    return replace(line, passages=(*line.passages, Passage(seconds, "")))


def drawl_note(lines: Sequence[Line], plan: Sequence[Segment]) -> str | None:
    """What to tell of a clip in which the words end long before it does; None where they do not."""
    silent = sum(segment.seconds for segment in takewhile(lambda segment: not segment.words, reversed(plan)))
    if any(not passage.words for passage in lines[-1].passages[-1:]) or not silent:
        return None
    return (
        f"The words are drawn out as far as they can be, and the last {silent:.1f} seconds are silent. [pause 5] in "
        "the script says where nobody speaks."
    )


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
    if not passage.words:
        return []
    spoken = passage.spoken or pacing.read(passage.words)
    spoken_seconds = pacing.unit_seconds(spoken.units, spoken.language)
    seconds = passage.silence_seconds + spoken_seconds
    if seconds > room:
        return []
    return [Segment(line, spoken.text, passage.silence_seconds, seconds, None, spoken_seconds, spoken.written)]


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
    spoken = passage.spoken or pacing.read(passage.words)
    for units in _pieces(spoken, pacing, room - silence, line.number):
        seconds = pacing.unit_seconds(units, spoken.language)
        yield Segment(line, said_of(units), pause, silence + seconds, None, seconds, written_of(units))
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


def _least_seconds(segment: Segment, pacing: Pacing) -> float:
    """Time that a segment must have: its silence, and its words, hurried as far as it goes."""
    spoken = segment.spoken_seconds
    return segment.seconds - spoken + min(spoken, spoken / pacing.stretch / HURRY)


def _pieces(spoken: Spoken, pacing: Pacing, room: float, number: int) -> list[Sequence[Unit]]:
    """The words in as few pieces of about one length as fit the room each, cut between words."""
    units = [part for unit in spoken.units for part in _fitting(unit, spoken.language, pacing, room, number)]
    times = _Times(units, pacing, spoken.language)
    cuts = _cuts(units, times, room)
    return [units[start:end] for start, end in pairwise(cuts)]


def _fitting(unit: Unit, language: str, pacing: Pacing, room: float, number: int) -> list[Unit]:
    """The unit, or its words where it is too long and was written out, such as a long number.

    Raises:
        ValueError: a word alone does not fit.
    """
    seconds = pacing.unit_seconds([unit], language)
    if seconds <= room:
        return [unit]
    words = re.findall(r"\S+\s*", unit.said) if language == "en" else [*_signs_and_readings(unit.said)]
    if unit.said == unit.read and unit.said != unit.written and len(words) > 1:
        written = [unit.written] + [""] * (len(words) - 1)
        return [
            part
            for text, word in zip(written, words, strict=True)
            for part in _fitting(Unit(text, word, word), language, pacing, room, number)
        ]
    advice = "give a longer first LATENT, or write it as several words"
    if pacing.stretch > 1:
        advice = (
            "the words are drawn out over the clip: add pauses where nobody speaks, such as [pause 5], or more words"
        )
    raise ValueError(
        f"Line {number} of the script: “{(unit.written or unit.said).strip()}” alone takes {seconds:.1f} seconds, and "
        f"a segment has room for {room:.1f}: {advice}."
    )


def _signs_and_readings(said: str) -> Iterator[str]:
    """The signs of a Chinese text one by one, but marks of readings whole."""
    index = 0
    for mark in MARK.finditer(said):
        yield from said[index : mark.start()]
        yield mark[0]
        index = mark.end()
    yield from said[index:]


def _cuts(units: Sequence[Unit], times: _Times, room: float) -> list[int]:
    """Where to cut words into as few pieces as fit the room, near equal times, where sentences end if that is near."""
    pieces_from = [0] * (len(units) + 1)
    """How many pieces the words from each on need."""
    for start in reversed(range(len(units))):
        pieces_from[start] = 1 + pieces_from[times.last(start, room)]
    count = pieces_from[0]
    share, cuts = times.ends[-1] / count, [0]
    for piece in range(1, count):
        latest, left = times.last(cuts[-1], room), count - piece
        possible = [place for place in range(latest, cuts[-1], -1) if pieces_from[place] <= left]
        distance = {place: abs(times.ends[place] / share - piece) - _pull(units, place) for place in possible}
        cuts.append(min(possible, key=distance.__getitem__))
    return [*cuts, len(units)]


def _pull(units: Sequence[Unit], place: int) -> float:
    """How good it is to cut before a unit: where a sentence ends, or a clause."""
    unit, following = units[place - 1], units[place] if place < len(units) else Unit("", "", "")
    if CLAUSE_END.search(unit.said):
        return CLAUSE_PULL
    return SENTENCE_PULL if ends_sentence(unit, following) else 0.0


def ends_sentence(unit: Unit, following: Unit) -> bool:
    """Whether a sentence ends with a unit: not with an abbreviation, an initial or an ellipsis."""
    if not SENTENCE_END.search(unit.said) or CLAUSE_END.search(unit.said):
        return False
    word = unit.said.rstrip().rstrip("\"'”’)》")
    if not word.endswith("."):
        return True
    # What was written out, such as a number, begins with a small letter even where a sentence does.
    if (following.written or following.said).lstrip(" \"'(")[:1].islower() or INITIAL.fullmatch(unit.written):
        return False
    last = word[:-1].split(" ")[-1].lower()
    return unit.said != unit.written or not (POINTED_LETTERS.fullmatch(last) or last in POINTED)


def words_in_the_past(words: str, voiced: tuple[float, float], start: float, pacing: Pacing) -> str:
    """The last words of a segment, as far as they are heard from some second on.

    Where they are said is not known, only estimated: the words fill the voiced part evenly.

    Args:
        words: what the segment says.
        voiced: seconds from the segment's start at which its voice sets in and ends.
        start: second from the segment's start from which on its sound is kept.
    """
    if not words:
        return ""
    units = pacing.units(words)
    times = _Times(units, pacing, pacing.language or detect_language(words))
    onset, end = voiced
    for place in range(len(units)):
        middle = (times.ends[place] + times.ends[place + 1]) / 2
        if onset + (end - onset) * middle / times.ends[-1] >= start:
            return said_of(units[place:])
    return ""
