"""What will be said, with its seconds, before anything is sampled: of one clip, or of a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import MAX_LATENT_FRAMES, clip_seconds, latent_frames_for_seconds
from ..media.cues import is_timed
from ..speech.pauses import read_clip
from .pacing import Pacing
from .script import Line, has_captions, parse_script, read_lines, script_hints
from .timed_planning import hurry_notes


@dataclass(frozen=True)
class WordsReport:
    """What words say.

    Args:
        seconds: about how long they take, with their pauses.
        text: for people: what is said when, and what is to be known of it.
    """

    seconds: float
    text: str


def report_on_words(text: str, pacing: Pacing) -> WordsReport:
    """What a text says: a script, where it has captions or times, else the words of one clip.

    Raises:
        ValueError: it is empty, or something of it cannot be said; a script's line is named.
    """
    if not text.strip():
        raise ValueError("There are no words: write what is said.")
    if is_timed(text) or has_captions(text):
        # A caption is not what is asked for here.
        return report_on_script(parse_script(text, "-"), pacing, script_hints(text))
    clip = read_clip(pacing.reader, text, pacing.language)
    seconds = clip.seconds(pacing.pace)
    rows = [f"About {seconds:.1f} s: {clip.spoken.text}", *clip.notes()]
    longest = clip_seconds(MAX_LATENT_FRAMES)
    if seconds > longest:
        rows.append(f"One clip takes {longest:.2f} s at most: shorten it, or use UniAVGen Long Form.")
    else:
        rows.append(f"A clip of {clip_seconds(latent_frames_for_seconds(seconds)):.2f} s has room for it.")
    return WordsReport(seconds, "\n".join(rows))


def report_on_script(lines: Sequence[Line], pacing: Pacing, hints: Sequence[str] = ()) -> WordsReport:
    """What the lines of a script say, each with the time that it has, or about takes.

    Raises:
        ValueError: a line cannot be said; it is named.
    """
    read = read_lines(lines, pacing.read)
    rows, time = list[str](), 0.0
    for line in read:
        spoken = [passage.spoken for passage in line.passages if passage.spoken]
        words = sum(pacing.unit_seconds(each.units, each.language) for each in spoken)
        silent = sum(passage.silence_seconds for passage in line.passages)
        start = time if line.start is None else line.start
        time = start + words + silent if line.end is None else line.end
        said = " ".join(each.text for each in spoken) or "(no words)"
        taken = "" if line.end is None or not words else f" (takes {words + silent:.1f})"
        rows.append(f"line {line.number}  {start:.1f} to {time:.1f} s{taken}  {said}")
    notes = [
        f"Line {line.number}: {note}"
        for line in read
        for passage in line.passages
        if passage.spoken
        for note in passage.spoken.notes()
    ]
    length = "" if lines[0].end is not None else "about "
    text = [f"In all {length}{time:.1f} s", *rows, *hurry_notes(read, pacing), *notes, *hints]
    return WordsReport(time, "\n".join(text))
