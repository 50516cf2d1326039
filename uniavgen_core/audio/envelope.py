"""How loud a sound is at each video frame."""

from __future__ import annotations

import numpy

from ..config import SAMPLES_A_FRAME


def rms_envelope(sound: numpy.ndarray, frames: int) -> numpy.ndarray:
    """Root mean square of a sound (samples) at 24 kHz around each frame i, at i / 16 s: (frames)."""
    padded = numpy.pad(sound.astype(numpy.float64), (SAMPLES_A_FRAME // 2, SAMPLES_A_FRAME * frames))
    windows = padded[: SAMPLES_A_FRAME * frames].reshape(frames, SAMPLES_A_FRAME)
    return numpy.sqrt(numpy.square(windows).mean(axis=1))
