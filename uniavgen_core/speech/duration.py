"""How long a person takes to say a text.

Speech is measured in characters of its language. Within Chinese, another character (of a foreign word, a digit,
punctuation) counts as the fraction of a Chinese one that it takes to say it.
"""

from __future__ import annotations

import re

from ..config import clip_seconds, latent_frames_for_seconds
from .text import MARK, check_language, is_ideograph

CHARACTERS_PER_SECOND = {"en": 15.0, "zh": 4.5}
PACE_LIMIT = 4.0
"""No voice is this many times faster or slower than usual."""
LETTER = re.compile(r"(?<![^\W_]|')[b-hj-z](?![^\W_]|')", re.IGNORECASE)
"""A letter that stands alone, which is said by its name."""
LETTER_NAMES = dict(
    zip(
        "bcdefghjklmnopqrstuvwxyz",
        "bee cee dee e eff gee aitch jay kay ell em en oh pee cue ar ess tee you vee double-you ex why zee".split(),
        strict=True,
    )
)


def speech_seconds(text: str, language: str, pace: float = 1.0) -> float:
    """Seconds that the words take.

    Args:
        text: what is said.
        language: "en" or "zh".
        pace: how fast the voice is, as `reference_pace` measures. At 1 it says 15 characters a second in English and
            4.5 in Chinese.

    Raises:
        ValueError: another language.
    """
    return _spoken_characters(text, language) / (pace * CHARACTERS_PER_SECOND[language])


def seconds_for_speech(text: str, language: str, pace: float = 1.0) -> float:
    """`speech_seconds` rounded up to whole latent frames: the length of the shortest clip that has room for it."""
    return clip_seconds(latent_frames_for_seconds(speech_seconds(text, language, pace)))


def reference_pace(transcript: str, language: str, seconds: float) -> float:
    """How fast a reference voice is, against the usual rate of its language; it holds for words of another, too.

    Args:
        transcript: what is said in the reference sound, numbers read out.
        language: "en" or "zh".
        seconds: how long it is said, as `voiced_seconds` tells.

    Raises:
        ValueError: no transcript, no sound, one that does not fit the other, or another language.
    """
    characters = _spoken_characters(transcript, language)
    if characters == 0:
        raise ValueError("The transcript of the reference sound is empty: write what is said in it.")
    if seconds <= 0:
        raise ValueError("The reference sound is empty: give a recording of the voice.")
    pace = characters / seconds / CHARACTERS_PER_SECOND[language]
    if not 1 / PACE_LIMIT <= pace <= PACE_LIMIT:
        raise ValueError(
            f"The transcript does not fit the reference sound: nobody says these {characters:.0f} characters in "
            f"{seconds:.1f} seconds of voice. Write all that is said in it, and nothing else."
        )
    return pace


def _spoken_characters(text: str, language: str) -> float:
    """Characters in units of the language's own."""
    check_language(language)
    characters = MARK.sub(_read_syllables, " ".join(text.split()))
    length = len(characters) + sum(len(LETTER_NAMES[letter[0].lower()]) - 1 for letter in LETTER.finditer(characters))
    if language == "en":
        return length
    own = sum(map(is_ideograph, characters))
    return own + (length - own) * CHARACTERS_PER_SECOND["zh"] / CHARACTERS_PER_SECOND["en"]


def _read_syllables(mark: re.Match[str]) -> str:
    """A Chinese character for each syllable of a reading."""
    return "字" * max(sum(map(is_ideograph, mark[1])), len(mark[2].split()))
