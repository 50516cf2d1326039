"""What the model is told to say: the symbols of both passes and the sound of a reference voice."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..audio.mel import log_mel, peak_scale, to_model_waveform
from ..checks import check_sound
from ..config import SAMPLE_RATE
from .reader import SpeechReader

SPACE = 0
NO_SYMBOL = -1
NEGATIVE_LENGTH = 10
SILENCE_SECONDS = 0.3
"""Silence after a reference voice, so that its last word does not run into the first new one."""
MAX_REFERENCE_SECONDS = 30


def positive_symbols(
    text: str, language: str, transcript: str | None = None, reader: SpeechReader | None = None
) -> list[int]:
    """Symbols of the words, after those of the reference voice where there is one.

    Args:
        text, transcript: what is said, as `reader.Spoken.text` has it.
        language: "en" or "zh".
        reader: the run's; None makes one.

    Raises:
        ValueError: there are no words.
    """
    if not text.strip():
        raise ValueError("The speech is empty: write what the person says.")
    said = text.strip() if transcript is None else f"{transcript.strip()} {text.strip()}"
    return (reader or SpeechReader()).symbols(said, language)


def negative_symbols(language: str, transcript: str | None = None, reader: SpeechReader | None = None) -> list[int]:
    """Symbols of the unconditional pass: nothing said, or only what the reference voice says.

    Arguments as in `positive_symbols`.
    """
    if transcript is None:
        return [SPACE] + [NO_SYMBOL] * (NEGATIVE_LENGTH - 1)
    return (reader or SpeechReader()).symbols(transcript.strip(), language) + [SPACE]


def reference_mel(waveform: Tensor, sample_rate: int, transcript: str) -> Tensor:
    """Natural log-mel (1, R, 80) of a reference voice (batch, channels, samples); the batch's first is used.

    Raises:
        ValueError: the sound is empty, silent, too long or not of numbers, or nothing is said what it says.
    """
    if not transcript.strip():
        raise ValueError("The reference transcript is empty: write what the reference voice says, word by word.")
    check_sound("reference_audio", waveform)
    if waveform.shape[-1] > MAX_REFERENCE_SECONDS * sample_rate:
        raise ValueError(
            f"reference_audio lasts {waveform.shape[-1] / sample_rate:.0f} seconds: give at most "
            f"{MAX_REFERENCE_SECONDS} seconds of the voice, with their transcript."
        )
    sound = peak_scale(to_model_waveform(waveform[:1], sample_rate))
    return log_mel(functional.pad(sound, (0, round(SILENCE_SECONDS * SAMPLE_RATE))))
