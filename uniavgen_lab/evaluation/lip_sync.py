"""Lip sync: how well the opening of the mouth follows the loudness of the sound.

Both are sequences at 16 values a second. The measure is their Pearson correlation at lag 0. What it is worth shows
between two ends: the floor, mouths with the sound of other clips, and the ceiling, real clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy
from numpy.typing import NDArray

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE
from uniavgen_core.tiny.features import MOUTH_INTERIOR

from ..world.animation import rms_envelope

SHIFT_SECONDS = 0.4
"""How far the sound is moved, both ways, to show that the measure hears it."""


def lip_sync(mouth_area: numpy.ndarray, waveform: numpy.ndarray) -> float:
    """Correlation of mouth-open area (F) with the envelope of a sound (samples) at 24 kHz."""
    return correlation(mouth_area, rms_envelope(waveform, len(mouth_area)))


def lip_sync_margin(mouth_area: numpy.ndarray, waveform: numpy.ndarray, seconds: float = SHIFT_SECONDS) -> float:
    """By how much `lip_sync` is above that of the same clip with its sound moved, the mean of earlier and later.

    Frames that have no sound after the move do not count.
    """
    moved = round(seconds * SAMPLE_RATE)
    silent_frames = round(seconds * FRAME_RATE + 0.5)
    heard = max(0, len(mouth_area) - silent_frames)
    earlier = rms_envelope(waveform[moved:], heard)
    later = rms_envelope(numpy.pad(waveform, (moved, 0)), len(mouth_area))[silent_frames:]
    shifted = (correlation(mouth_area[:heard], earlier), correlation(mouth_area[silent_frames:], later))
    return lip_sync(mouth_area, waveform) - fmean(shifted)


def shuffled_lip_sync(mouth_areas: Sequence[numpy.ndarray], waveforms: Sequence[numpy.ndarray]) -> float:
    """The floor: mean `lip_sync` of every mouth with the sound of every other clip, as far as both last.

    Raises:
        ValueError: fewer than two clips.
    """
    if len(mouth_areas) < 2:
        raise ValueError("The floor of lip sync is that of shuffled pairs: measure two clips or more.")
    envelopes = [rms_envelope(waveform, len(area)) for area, waveform in zip(mouth_areas, waveforms, strict=True)]
    return fmean(
        correlation(area[: len(envelope)], envelope[: len(area)])
        for mouth, area in enumerate(mouth_areas)
        for voice, envelope in enumerate(envelopes)
        if mouth != voice
    )


def share(value: float, floor: float, ceiling: float) -> float | None:
    """How much of the way from floor to ceiling a value is; below 0 and above 1 where it lies outside.

    None where the ceiling is not above the floor.
    """
    if ceiling <= floor:
        return None
    return (value - floor) / (ceiling - floor)


def correlation(one: numpy.ndarray, other: numpy.ndarray) -> float:
    """Pearson correlation of two sequences of one length; 0 where one of them does not change."""
    one, other = (numpy.asarray(values, dtype=numpy.float64) for values in (one, other))
    if len(one) < 2:
        return 0.0
    one, other = one - one.mean(), other - other.mean()
    deviations = numpy.linalg.norm(one) * numpy.linalg.norm(other)
    return float(one @ other / deviations) if deviations > 0 else 0.0


MOUTH_REGION = (slice(74, 112), slice(44, 84))
"""Rows and columns of a picture that hold the mouth wherever the head sways."""
LEAST_REDNESS = 10.0
"""Below this nothing counts: closed lips are hardly redder."""


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
