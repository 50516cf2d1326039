"""Voices of real people: whether two sounds are of one speaker, and how natural a sound is."""

from __future__ import annotations

import numpy
import torch
import torchaudio.functional

from uniavgen_core.config import SAMPLE_RATE
from uniavgen_core.files import needed

VOICE_RATE = 16_000
"""Samples a second that both models take."""
EXTRA = "people"
"""Optional extra of this package that installs both."""


def speaker_likeness(waveform: numpy.ndarray, reference: numpy.ndarray) -> float:
    """Cosine similarity of the voices of two sounds (samples) at 24 kHz, by Resemblyzer.

    Clips of one speaker have about 0.7 to 0.8, clips of two 0.45 to 0.65.

    Raises:
        NotInstalledError: Resemblyzer is not installed.
    """
    resemblyzer = needed("resemblyzer", "to compare voices", EXTRA)
    encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)
    one, other = (
        encoder.embed_utterance(resemblyzer.preprocess_wav(_at_voice_rate(wave), source_sr=VOICE_RATE))
        for wave in (waveform, reference)
    )
    return float(numpy.dot(one, other))


def naturalness(waveform: numpy.ndarray) -> dict[str, float]:
    """DNSMOS of a sound (samples) at 24 kHz: opinion scores from 1 to 5 of speech, background and both together.

    Raises:
        NotInstalledError: speechmos is not installed.
    """
    dnsmos = needed("speechmos.dnsmos", "to judge how natural a voice is", EXTRA)
    wave = _at_voice_rate(waveform).clip(-1, 1)
    scores = dnsmos.run(wave, sr=VOICE_RATE)
    return {name: float(scores[f"{key}_mos"]) for name, key in _SCORES.items()}


_SCORES = {"naturalness": "ovrl", "naturalness_speech": "sig", "naturalness_background": "bak"}


def _at_voice_rate(waveform: numpy.ndarray) -> numpy.ndarray:
    wave = torch.from_numpy(numpy.ascontiguousarray(waveform, dtype=numpy.float32))
    return torchaudio.functional.resample(wave, SAMPLE_RATE, VOICE_RATE).numpy()
