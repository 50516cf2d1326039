"""How loud a sound is at each video frame."""

from __future__ import annotations

import numpy

from ..config import FRAME_RATE, SAMPLE_RATE

WINDOW = SAMPLE_RATE // FRAME_RATE
"""Samples of one video frame."""


def rms_envelope(sound: numpy.ndarray, frames: int) -> numpy.ndarray:
    """Root mean square of a sound (samples) at 24 kHz around each frame i, at i / 16 s: (frames)."""
    padded = numpy.pad(sound.astype(numpy.float64), (WINDOW // 2, WINDOW * frames))
    windows = padded[: WINDOW * frames].reshape(frames, WINDOW)
    return numpy.sqrt(numpy.square(windows).mean(axis=1))
