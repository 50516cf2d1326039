"""Which of the faces of a shot are meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy
from numpy.typing import NDArray
from torch import Tensor

from ..media.images import to_bytes
from .detection import Face, FaceDetector
from .tracks import Trajectory

LEAST_LIKENESS = 0.25
"""Product of two faces' features below which they belong to different people."""
COMPARED = 3
"""Sightings of a face that are compared with the one that is looked for."""

Choice: TypeAlias = Callable[[list[Trajectory]], list[Trajectory]]
"""Gives those of a shot's faces that are meant."""


class ComparesFaces(Protocol):
    """What tells how much faces are alike."""

    def features(self, image: NDArray[numpy.uint8], face: Face) -> NDArray[numpy.float32]:
        """A unit vector of a face in a picture."""


def every_face(trajectories: list[Trajectory]) -> list[Trajectory]:
    """All."""
    return trajectories


def largest(trajectories: list[Trajectory]) -> list[Trajectory]:
    """The face that is largest over the whole shot; where it is not there, the next one."""
    ranked = sorted(trajectories, key=lambda trajectory: -trajectory.areas[trajectory.visible].sum())
    chosen: list[Trajectory] = []
    taken: set[int] = set()
    for trajectory in ranked:
        frames = numpy.arange(len(trajectory.visible)) + trajectory.start
        free = trajectory.visible & ~numpy.isin(frames, list(taken))
        taken |= set(frames[free].tolist())
        if free.any():
            chosen.append(replace(trajectory, visible=free))
    return chosen


@dataclass(frozen=True)
class Numbered:
    """The face with a number, counted from 1, from left to right by where each is for most of the shot."""

    number: int

    def __call__(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        ranked = sorted(trajectories, key=_middle)
        return ranked[self.number - 1 : self.number]


def like_portrait(
    portrait: NDArray[numpy.uint8], detector: FaceDetector, recogniser: ComparesFaces, frames: Tensor
) -> MostAlike:
    """The face that is most like the one of a portrait (height, width, 3). Other arguments as in `MostAlike`.

    Raises:
        ValueError: no face is found in the portrait.
    """
    wanted = detector.largest_face(portrait)
    if wanted is None:
        raise ValueError("No face is found in portrait: give a picture that shows the person's face from the front.")
    return MostAlike(recogniser, recogniser.features(portrait, wanted), frames)


class MostAlike:
    """The face that is most like another one, if it can be the same person's.

    Args:
        recogniser: tells how much faces are alike.
        wanted: features of the face that is looked for.
        frames: of the clip (F, height, width, 3) of values 0..1.
    """

    def __init__(self, recogniser: ComparesFaces, wanted: NDArray[numpy.float32], frames: Tensor) -> None:
        self._recogniser, self._wanted, self._frames = recogniser, wanted, frames

    def __call__(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        likeness = [self._likeness(trajectory) for trajectory in trajectories]
        if not likeness or max(likeness) < LEAST_LIKENESS:
            return []
        return [trajectories[int(numpy.argmax(likeness))]]

    def _likeness(self, trajectory: Trajectory) -> float:
        """Of the surest sightings, on average."""
        surest = sorted(trajectory.sightings.items(), key=lambda sighting: -sighting[1].score)[:COMPARED]
        features = [self._recogniser.features(to_bytes(self._frames[frame]), face) for frame, face in surest]
        return float(numpy.mean([self._wanted @ other for other in features]))


def _middle(trajectory: Trajectory) -> float:
    return float(numpy.median((trajectory.boxes[:, 0] + trajectory.boxes[:, 2]) / 2))
