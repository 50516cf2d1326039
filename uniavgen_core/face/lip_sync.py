"""Lip sync: how well the opening of the mouth follows the loudness of the sound.

Both are sequences at 16 values a second. The measure is their Pearson correlation at lag 0.
"""

from __future__ import annotations

import numpy
from numpy.typing import NDArray

from ..config import SAMPLES_A_FRAME
from ..tiny.features import MOUTH_INTERIOR

MOUTH_REGION = (slice(74, 112), slice(44, 84))
"""Rows and columns of a picture that hold the mouth wherever the head sways."""
LEAST_REDNESS = 10.0
"""Below this nothing counts: closed lips are hardly redder."""


def lip_sync(mouth_area: numpy.ndarray, waveform: numpy.ndarray) -> float:
    """Correlation of mouth-open area (F) with the envelope of a sound (samples) at 24 kHz."""
    return correlation(mouth_area, rms_envelope(waveform, len(mouth_area)))


def rms_envelope(waveform: NDArray[numpy.floating], frames: int) -> NDArray[numpy.float64]:
    """Root mean square of a waveform (samples) at 24 kHz around each frame i, at i / 16 s: (frames)."""
    padded = numpy.pad(waveform.astype(numpy.float64), (SAMPLES_A_FRAME // 2, SAMPLES_A_FRAME * frames))
    windows = padded[: SAMPLES_A_FRAME * frames].reshape(frames, SAMPLES_A_FRAME)
    return numpy.sqrt(numpy.square(windows).mean(axis=1))


def correlation(one: numpy.ndarray, other: numpy.ndarray) -> float:
    """Pearson correlation of two sequences of one length; 0 where one of them does not change."""
    one, other = (numpy.asarray(values, dtype=numpy.float64) for values in (one, other))
    if len(one) < 2:
        return 0.0
    one, other = one - one.mean(), other - other.mean()
    deviations = numpy.linalg.norm(one) * numpy.linalg.norm(other)
    return float(one @ other / deviations) if deviations > 0 else 0.0


def mouth_open_area(frames: NDArray[numpy.generic]) -> NDArray[numpy.float64]:
    """Area of the open mouth's inside in each frame, in square pixels, (F).

    A pixel counts by its red minus twice its green, linearly up to that of `MOUTH_INTERIOR`, because nothing else in a
    drawn face has much red without green. A pixel that is half inside counts half, so that blur hardly changes the sum.

    Args:
        frames: (F, 128, 128, 3), bytes or floats of 0..1.
    """
    mouth = numpy.asarray(frames)[(slice(None), *MOUTH_REGION)]
    values = mouth.astype(numpy.float64) * (1 if mouth.dtype == numpy.uint8 else 255)
    redness = values[..., 0] - 2 * values[..., 1]
    most = MOUTH_INTERIOR[0] - 2 * MOUTH_INTERIOR[1]
    return numpy.clip((redness - LEAST_REDNESS) / (most - LEAST_REDNESS), 0, 1).sum(axis=(1, 2))
