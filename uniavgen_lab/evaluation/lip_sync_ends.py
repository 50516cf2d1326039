"""What a value of lip sync is worth: between the floor, mouths with the sound of other clips, and the ceiling, real
clips; and against the same clip with its sound moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE
from uniavgen_core.face.lip_sync import correlation, lip_sync, rms_envelope

SHIFT_SECONDS = 0.4
"""How far the sound is moved, both ways, to show that the measure hears it."""


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
    return lip_sync(mouth_area, waveform) - sum(shifted) / 2


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
