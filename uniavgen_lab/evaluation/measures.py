"""All measures of one clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from uniavgen_core.face.lip_sync import lip_sync, mouth_open_area
from uniavgen_core.files import NotInstalledError

from .image_measures import identity, motion
from .judges import JUDGES_FILE, Judges, load_judges
from .lip_sync_ends import lip_sync_margin
from .word_errors import WordRecogniser, word_errors, world_context

Measures = dict[str, Any]


class SpeechJudges:
    """What judges the words, the kind and the mood of a voice: loaded once for many clips.

    Where the recogniser is not installed, `missing` says what to install and words are not measured.
    """

    def __init__(self, judges_file: Path = JUDGES_FILE) -> None:
        self.judge: Judges = load_judges(judges_file)
        self.missing: str | None = None
        self.recogniser: WordRecogniser | None = None
        try:
            self.recogniser = WordRecogniser(world_context())
        except NotInstalledError as error:
            self.missing = str(error)


def measure_clip(
    frames: numpy.ndarray,
    waveform: numpy.ndarray,
    judges: SpeechJudges,
    portrait: numpy.ndarray | None = None,
    speech: str | None = None,
    kind: str | None = None,
    mood: str | None = None,
) -> Measures:
    """Measure a clip of the small model's world.

    Args:
        frames: (F, 128, 128, 3) of bytes.
        waveform: (samples) at 24 kHz, as loud as it was made.
        portrait: who is to be seen, (128, 128, 3) of bytes; None takes the first frame.
        speech, kind, mood: what was asked for; None leaves out the measure that needs it.

    Returns:
        `lip_sync_raw`, `lip_sync_margin`, `identity` (dB) and `motion`; what was heard as `heard`, `heard_kind` and
        `heard_mood`; and `word_errors` and `words`, `timbre` and `emotion` (1 where they fit, else 0).
    """
    mouth = mouth_open_area(frames)
    measures: Measures = {
        "lip_sync_raw": lip_sync(mouth, waveform),
        "lip_sync_margin": lip_sync_margin(mouth, waveform),
        "identity": identity(frames[1:], frames[0] if portrait is None else portrait),
        "motion": motion(frames),
        **measure_voice(waveform, judges, kind, mood),
    }
    if speech is not None:
        measures |= measure_words(waveform, judges, speech)
    return measures


def measure_voice(
    waveform: numpy.ndarray, judges: SpeechJudges, kind: str | None = None, mood: str | None = None
) -> Measures:
    """Of a sound alone: `heard_kind`, `heard_mood`, and `timbre` and `emotion` where these are asked for."""
    judged = judges.judge(waveform)
    measures: Measures = {"heard_kind": judged["kind"], "heard_mood": judged["mood"]}
    if kind is not None:
        measures["timbre"] = float(judged["kind"] == kind)
    if mood is not None:
        measures["emotion"] = float(judged["mood"] == mood)
    return measures


def measure_words(waveform: numpy.ndarray, judges: SpeechJudges, speech: str) -> Measures:
    """`heard`, `word_errors` and `words` of a sound (samples) at 24 kHz; nothing where there is no recogniser."""
    if judges.recogniser is None:
        return {}
    heard = judges.recogniser(waveform)
    counted = word_errors(speech, heard)
    return {"heard": heard, "word_errors": counted.errors, "words": counted.words}
