"""The faces of a clip as masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..media.images import to_bytes
from .choice import Choice
from .detection import Face, FaceDetector
from .models import POINTS, FaceMesh
from .shapes import Style, draw_shape
from .tracks import Timing, Trajectory, detect_shot, find_shots, find_tracks, follow, smooth_runs

LONGEST_GAP_SECONDS = 1.0
"""For how long a face that is not found is taken to be there still."""
SMOOTHING_SECONDS = 0.4
"""Over how long places are smoothed."""

Progress: TypeAlias = Callable[[int], None]
"""Told how many frames are done; what it raises ends the work."""


@dataclass(frozen=True)
class Search:
    """How faces are looked for.

    Attributes:
        choice: which of them are meant.
        timing: how long a gap may last, and how much is smoothed.
        every: frames from one look to the next; 0 looks at as few as their motion allows.
    """

    choice: Choice
    timing: Timing
    every: int = 0


class Found(NamedTuple):
    """Faces of a clip.

    Attributes:
        chosen: those that are meant, shot by shot.
        most: how many faces a shot has at most.
    """

    chosen: list[Trajectory]
    most: int


def find_faces(frames: Tensor, detector: FaceDetector, search: Search, progress: Progress) -> Found:
    """The faces that are meant, each from where it comes to where it goes or the film is cut.

    Args:
        frames: (F, height, width, 3) of values 0..1.
        detector: finds faces in a picture.
        search: how they are looked for.
        progress: told how many frames are done.
    """

    def detect(frame: int) -> list[Face]:
        return detector.faces(frames[frame].float().cpu().numpy())

    chosen: list[Trajectory] = []
    most = 0
    size = frames.shape[1], frames.shape[2]
    for shot in find_shots(frames):
        found = detect_shot(detect, shot, search.every, progress)
        faces = [follow(track, shot, size, search.timing) for track in find_tracks(found)]
        most = max(most, len(faces))
        chosen += search.choice(faces)
    return Found(chosen, most)


def outline_faces(
    mesh: FaceMesh, frames: Tensor, faces: list[Trajectory], smoothing: int, progress: Progress
) -> list[Trajectory]:
    """Faces with the mesh's points (n, 468, 2) in place of the detector's five.

    Args:
        mesh: finds the points; it looks at the frames in which a face is there.
        frames: (F, height, width, 3) of values 0..1.
        faces: whose points are looked for.
        smoothing: frames that the points are smoothed over.
        progress: told after each look how much is done, in frames of the clip.
    """
    looks, done = sum(len(face.frames) for face in faces), 0
    outlined = []
    for face in faces:
        points = numpy.zeros((len(face.visible), POINTS, 2))
        for frame in face.frames.tolist():
            index = frame - face.start
            points[index] = mesh.points(to_bytes(frames[frame]), Face(face.boxes[index], face.keypoints[index]))
            done += 1
            progress(len(frames) * done // looks)
        outlined.append(replace(face, keypoints=smooth_runs(points, face.visible, smoothing)))
    return outlined


def draw_faces(frames: Tensor, faces: list[Trajectory], style: Style, progress: Progress) -> Tensor:
    """Masks (F, height, width) of values 0..1.

    Args:
        frames: (F, height, width, 3) of values 0..1.
        faces: which are drawn; a hull is that of their points.
        style: how they are drawn.
        progress: told how many frames are done.
    """
    masks = numpy.zeros(frames.shape[:3], dtype=numpy.float32)
    outlines: dict[int, list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    for face in faces:
        for frame in face.frames.tolist():
            index = frame - face.start
            outlines.setdefault(frame, []).append((face.boxes[index], face.keypoints[index]))
    for frame, mask in enumerate(masks):
        for box, points in outlines.get(frame, []):
            draw_shape(mask, box, points, style)
        progress(frame + 1)
    return torch.from_numpy(masks)


def frames_without(faces: list[Trajectory], frames: int) -> list[range]:
    """Runs of frames in which none of the faces is there."""
    seen = numpy.zeros(frames, dtype=bool)
    for face in faces:
        seen[face.frames] = True
    edges = numpy.flatnonzero(numpy.diff(seen, prepend=True, append=True))
    return [range(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def describe(faces: list[Trajectory], frames: int, frame_rate: float) -> str:
    """In how many frames the faces are, and which are without, in frames and seconds."""
    gaps = frames_without(faces, frames)
    without = sum(len(gap) for gap in gaps)
    lines = [f"{frames - without} of {frames} frames show a face that is meant."]
    if gaps:
        lines.append("Frames without one: " + ", ".join(_said(gap, frame_rate) for gap in gaps) + ".")
    return "\n".join(lines)


def _said(frames: range, frame_rate: float) -> str:
    if len(frames) == 1:
        return f"{frames.start} ({frames.start / frame_rate:.2f} s)"
    return f"{frames.start}–{frames[-1]} ({frames.start / frame_rate:.2f}–{frames.stop / frame_rate:.2f} s)"
