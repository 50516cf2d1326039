"""Picture: what the codec loses, whether the person stays the same, how much moves, and where the face is."""

from __future__ import annotations

import math

import numpy

LEVELS = 255
"""Greatest value of a pixel."""
IDENTITY_GRID = 16
"""A picture is compared as this many by this many mean colours."""


def psnr(frames: numpy.ndarray, reference: numpy.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of frames (..., 3) of bytes; infinite where they are equal.

    Raises:
        ValueError: the shapes differ.
    """
    if frames.shape != reference.shape:
        raise ValueError(f"Pictures of one size are compared, not {frames.shape} and {reference.shape}.")
    return _decibels(numpy.square(frames.astype(numpy.float64) - reference).mean())


def identity(frames: numpy.ndarray, reference: numpy.ndarray) -> float:
    """Likeness in dB of the person in frames (F, H, W, 3) to that of a reference picture (H, W, 3), both of bytes.

    The PSNR of coarse pictures: skin, hair, clothes and background tell drawn people apart, while lips, lids and a
    head that sways a little are too small to count. Another person is several dB below.
    """
    difference = _coarse(frames) - _coarse(reference[None])
    return _decibels(numpy.square(difference).mean())


def motion(frames: numpy.ndarray) -> float:
    """Mean absolute difference between neighbouring frames (F, H, W, 3) of bytes, in levels of 255."""
    return float(numpy.abs(numpy.diff(frames.astype(numpy.int16), axis=0)).mean())


def mask_iou(predicted: numpy.ndarray, truth: numpy.ndarray, threshold: float = 0.5) -> float:
    """Intersection over union of two masks of one shape, values 0..1; 1 where both are empty."""
    one, other = predicted > threshold, truth > threshold
    union = numpy.count_nonzero(one | other)
    return numpy.count_nonzero(one & other) / union if union else 1.0


def _coarse(frames: numpy.ndarray) -> numpy.ndarray:
    """Mean colours (F, 16, 16, 3) of the fields of a grid."""
    height, width = (size - size % IDENTITY_GRID for size in frames.shape[1:3])
    fields = frames[:, :height, :width].astype(numpy.float64)
    shape = (len(frames), IDENTITY_GRID, height // IDENTITY_GRID, IDENTITY_GRID, width // IDENTITY_GRID, 3)
    return fields.reshape(shape).mean(axis=(2, 4))


def _decibels(mean_square: float) -> float:
    return 10 * math.log10(LEVELS**2 / mean_square) if mean_square > 0 else math.inf
