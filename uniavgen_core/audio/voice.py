"""A voice: where in a sound it is heard, told from the level of its log-mel, and that of a reference for others."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..checks import check_waveform
from ..config import AUDIO_TOKENS_PER_SECOND, SAMPLE_RATE
from .mel import log_mel, peak_scale, to_model_waveform

VOICE_FLOOR_DB = 30.0
"""Sound this far below a clip's loud parts is no voice."""
LOUD_QUANTILE = 0.95
AUDIBLE_DB = 40.0
"""How loud the loud parts are, is told from what is at most so far below the loudest moment: most may be silence."""
LONGEST_BREATH = 0.4
"""Seconds of silence that belong to speaking; of a longer one, as much."""
BREATH_AROUND = 0.12
"""Seconds of silence before the first word that belong to speaking, and as many behind the last."""
SHORTEST_WAVEFORM = 0.06
"""Seconds below which a sound between silences is a click, not a voice."""
SILENCE_SECONDS = 0.3
"""Silence after a reference voice, so that its last word does not run into the first new one."""
MAX_REFERENCE_SECONDS = 30
EDGE = (False, math.inf)
"""What is before a sound and behind it: no voice."""


def token_level_db(mel: Tensor) -> Tensor:
    """Level of each token of a natural log-mel (..., L, 80) in decibels: (..., L)."""
    return 20 / math.log(10) * 0.5 * torch.logsumexp(2 * mel, dim=-1)


def loud_db(mel: Tensor) -> float:
    """Level in decibels of the loud parts of a natural log-mel (L, 80)."""
    return float(token_level_db(mel).quantile(LOUD_QUANTILE))


def voiced_span(mel: Tensor, loud: float) -> tuple[float, float]:
    """Seconds at which the voice sets in and ends in a natural log-mel (L, 80); both 0 where there is none.

    Args:
        loud: level of loud parts in decibels; what is far below is no voice.
    """
    voiced = (token_level_db(mel) > loud - VOICE_FLOOR_DB).nonzero()
    if not len(voiced):
        return 0.0, 0.0
    return float(voiced[0]) / AUDIO_TOKENS_PER_SECOND, (float(voiced[-1]) + 1) / AUDIO_TOKENS_PER_SECOND


def voiced_seconds(mel: Tensor) -> float:
    """Seconds of a natural log-mel (L, 80) in which somebody speaks, with the short breaks that belong to it.

    Silence before, after and in between does not count, nor do clicks in it.
    """
    level = token_level_db(mel)
    audible = level[level > level.max() - AUDIBLE_DB]
    voiced = level > audible.quantile(LOUD_QUANTILE) - VOICE_FLOOR_DB
    values, lengths = torch.unique_consecutive(voiced, return_counts=True)
    runs = [(bool(value), int(length) / AUDIO_TOKENS_PER_SECOND) for value, length in zip(values, lengths, strict=True)]
    total, silence, breath = 0.0, 0.0, BREATH_AROUND
    for before, (is_voice, seconds), behind in zip([EDGE, *runs], runs, [*runs[1:], EDGE], strict=False):
        if not is_voice or (seconds < SHORTEST_WAVEFORM and min(before[1], behind[1]) > LONGEST_BREATH):
            silence += seconds
            continue
        total += seconds + min(silence, breath)
        silence, breath = 0.0, LONGEST_BREATH
    return total + min(silence, BREATH_AROUND)


def reference_mel(waveform: Tensor, sample_rate: int, transcript: str) -> Tensor:
    """Natural log-mel (1, R, 80) of a reference voice (batch, channels, samples); the batch's first is used.

    Raises:
        ValueError: the sound is empty, silent, too long or not of numbers, or nothing is said what it says.
    """
    if not transcript.strip():
        raise ValueError("The reference transcript is empty: write what the reference voice says, word by word.")
    check_waveform("reference_audio", waveform)
    if waveform.shape[-1] > MAX_REFERENCE_SECONDS * sample_rate:
        raise ValueError(
            f"reference_audio lasts {waveform.shape[-1] / sample_rate:.0f} seconds: give at most "
            f"{MAX_REFERENCE_SECONDS} seconds of the voice, with their transcript."
        )
    sound = peak_scale(to_model_waveform(waveform[:1], sample_rate))
    return log_mel(functional.pad(sound, (0, round(SILENCE_SECONDS * SAMPLE_RATE))))
