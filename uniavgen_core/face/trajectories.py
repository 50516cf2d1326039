"""A face's place in every frame: gaps filled, jitter smoothed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from .detection import Face
from .tracks import Track

POLYNOMIAL = 2
"""Degree of the curve that is laid through a face's places: a motion that slows down or speeds up stays as it is."""
BORDER = 0.02
"""A face whose box ends this near the picture's border, in sides of the picture, may have come or gone over it."""


@dataclass(frozen=True)
class Timing:
    """Lengths in frames.

    Attributes:
        longest_gap: for how long a face that is not found is taken to be there still.
        smoothing: how many frames a place is smoothed over.
    """

    longest_gap: int
    smoothing: int

    @classmethod
    def of_seconds(cls, longest_gap: float, smoothing: float, frame_rate: float) -> Timing:
        return cls(round(longest_gap * frame_rate), round(smoothing * frame_rate))


@dataclass(frozen=True)
class Trajectory:
    """A face's places in the frames from its first to its last.

    Attributes:
        start: its first frame.
        boxes: left, top, right and bottom in pixels, (n, 4).
        keypoints: (n, 5, 2), or (n, 468, 2) of the mesh.
        visible: whether the face is there, (n) bool.
        sightings: the face by the frames in which it was found.
    """

    start: int
    boxes: NDArray[numpy.float64]
    keypoints: NDArray[numpy.float64]
    visible: NDArray[numpy.bool_]
    sightings: dict[int, Face] = field(repr=False)

    @property
    def areas(self) -> NDArray[numpy.float64]:
        """Pixels of the boxes, (n)."""
        areas: NDArray[numpy.float64] = (self.boxes[:, 2:] - self.boxes[:, :2]).clip(0).prod(axis=1)
        return areas

    @property
    def frames(self) -> NDArray[numpy.int64]:
        """The frames in which the face is there."""
        return numpy.flatnonzero(self.visible) + self.start


def follow(track: Track, shot: range, size: tuple[int, int], timing: Timing) -> Trajectory:
    """A track's place in every frame of a shot from where the face comes to where it goes.

    Between two sightings the face moves evenly. It counts as there unless it was looked for and missed for longer than
    the longest gap. Where the shot begins or ends within such a gap of it, it was there before or is after, unless it
    may have come or gone over the picture's border. The smoothing looks as far ahead as back, so nothing lags.

    Args:
        track: the face in some frames.
        shot: its frames.
        size: height and width of the frames in pixels.
        timing: longest gap and smoothing.
    """
    seen = numpy.array(sorted(track.sightings))
    faces = [track.sightings[frame] for frame in seen.tolist()]
    start = _extended(int(seen[0]), shot[0], faces[0], size, timing)
    end = _extended(int(seen[-1]), shot[-1], faces[-1], size, timing)
    frames = numpy.arange(start, end + 1)
    values = numpy.stack([numpy.concatenate([face.box, face.keypoints.ravel()]) for face in faces], axis=1)
    places = numpy.stack([numpy.interp(frames, seen, row) for row in values], axis=1)
    visible = numpy.ones(len(frames), dtype=bool)
    for before, after in zip(seen.tolist(), seen.tolist()[1:], strict=False):
        missed = any(before < frame < after for frame in track.looked)
        if missed and after - before - 1 > timing.longest_gap:
            visible[before + 1 - start : after - start] = False
    places = smooth_runs(places, visible, timing.smoothing)
    return Trajectory(start, places[:, :4], places[:, 4:].reshape(-1, 5, 2), visible, track.sightings)


def smooth(rows: NDArray[numpy.float64], window: int) -> NDArray[numpy.float64]:
    """Rows (n, …) of values, each laid on the curve through those around it."""
    window = min(window, len(rows))
    window -= 1 - window % 2
    return rows if window <= POLYNOMIAL + 1 else savgol_filter(rows, window, POLYNOMIAL, axis=0, mode="interp")


def smooth_runs(places: NDArray[numpy.float64], visible: NDArray[numpy.bool_], window: int) -> NDArray[numpy.float64]:
    """Places (n, …), smoothed within each run of frames in which the face is there, (n)."""
    edges = numpy.flatnonzero(numpy.diff(visible)) + 1
    return numpy.concatenate([smooth(run, window) for run in numpy.split(places, edges)])


def _extended(frame: int, edge: int, face: Face, size: tuple[int, int], timing: Timing) -> int:
    """The shot's edge where a face was there, too; else the frame."""
    if abs(frame - edge) > timing.longest_gap:
        return frame
    height, width = size
    left, top, right, bottom = face.box
    inside = left > BORDER * width and right < (1 - BORDER) * width
    return edge if inside and top > BORDER * height and bottom < (1 - BORDER) * height else frame
