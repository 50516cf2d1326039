"""Where a film is cut."""

from __future__ import annotations

import numpy
from numpy.typing import NDArray
from torch import Tensor

THUMBNAIL_SIDE = 24
"""Samples along a frame's shorter side that are compared."""
CUT = (0.06, 0.8)
"""Two frames with a mean difference of brightness (0..1) above the first and a correlation below the second are of
different shots."""
LIKELY_CUT = (0.03, 0.92)
"""Two frames that differ by this much are so if those around them hardly do: two shots of one studio look alike."""
STANDS_OUT = 4
"""So many times the difference of the frames before or after."""


def find_shots(frames: Tensor) -> list[range]:
    """Runs of frames (F, height, width, 3) of values 0..1 between cuts."""
    if len(frames) == 0:
        return []
    thumbnails = _thumbnails(frames)
    difference = abs(numpy.diff(thumbnails, axis=0)).mean(axis=1)
    centred = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    length = numpy.sqrt((centred**2).sum(axis=1)) + 1e-6
    correlation = (centred[1:] * centred[:-1]).sum(axis=1) / (length[1:] * length[:-1])
    around = numpy.pad(difference, 1)
    stands_out = difference > STANDS_OUT * numpy.maximum(around[:-2], around[2:])
    sure, likely = ((difference > least) & (correlation < most) for least, most in (CUT, LIKELY_CUT))
    cuts = numpy.flatnonzero(sure | (likely & stands_out)) + 1
    edges = [0, *cuts.tolist(), len(frames)]
    return [range(start, end) for start, end in zip(edges, edges[1:], strict=False)]


def _thumbnails(frames: Tensor) -> NDArray[numpy.float32]:
    """Brightness (F, samples) on a coarse grid."""
    step = max(1, min(frames.shape[1:3]) // THUMBNAIL_SIDE)
    samples = frames[:, step // 2 :: step, step // 2 :: step].mean(dim=-1)
    return samples.flatten(1).float().cpu().numpy()
