"""How far a drawn mouth is open, measured on pixels."""

from __future__ import annotations

import numpy
from numpy.typing import NDArray

from ..tiny.features import MOUTH_INTERIOR

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
