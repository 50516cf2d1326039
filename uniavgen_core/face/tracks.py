"""Which faces of several frames are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from scipy.optimize import linear_sum_assignment

from .detection import CERTAIN_SCORE, Face

MOST_CHANGE = 1.0
"""Faces farther apart than this are not the same: the way between their middles in sizes of the face, plus how much
larger one is (the logarithm of the ratio of their sizes)."""
FEW_LOOKS = 5
"""In a shot in which faces were looked for this often, one that was seen once only is a mistake."""


@dataclass(frozen=True)
class Track:
    """One face through a shot.

    Attributes:
        sightings: the face by the frames in which it was seen.
        looked: all frames of the shot in which faces were looked for, in order.
    """

    sightings: dict[int, Face]
    looked: list[int]


def change(first: Face, second: Face) -> float:
    """How far apart two faces are in place and size (see MOST_CHANGE)."""
    boxes = numpy.stack([first.box, second.box]).astype(float)
    sizes = numpy.sqrt((boxes[:, 2:] - boxes[:, :2]).clip(1).prod(axis=1))
    middles = (boxes[:, 2:] + boxes[:, :2]) / 2
    way = numpy.hypot(*(middles[1] - middles[0])) / numpy.sqrt(sizes.prod())
    return float(way + abs(numpy.log(sizes[1] / sizes[0])))


def matches(first: list[Face], second: list[Face]) -> list[tuple[int, int]]:
    """Places of the faces in two lists that are the same, paired so that they change least in all."""
    if not first or not second:
        return []
    costs = numpy.array([[change(face, other) for other in second] for face in first])
    pairs = zip(*linear_sum_assignment(costs.clip(None, 2 * MOST_CHANGE)), strict=True)
    return [(int(row), int(column)) for row, column in pairs if costs[row, column] <= MOST_CHANGE]


def find_tracks(found: dict[int, list[Face]]) -> list[Track]:
    """The faces of a shot.

    A face keeps its track however long it is not seen, if it is found again near the place where it was last. Unsure
    faces go on with a track, but start none.

    Args:
        found: faces by the frames in which they were looked for.
    """
    looked = sorted(found)
    tracks: list[dict[int, Face]] = []
    for frame in looked:
        faces = found[frame]
        last = [track[max(track)] for track in tracks]
        pairs = matches(last, faces)
        for place, number in pairs:
            tracks[place][frame] = faces[number]
        known = {number for _, number in pairs}
        tracks += [
            {frame: face} for number, face in enumerate(faces) if number not in known and face.score >= CERTAIN_SCORE
        ]
    fewest = 2 if len(looked) >= FEW_LOOKS else 1
    return [Track(sightings, looked) for sightings in tracks if len(sightings) >= fewest]
