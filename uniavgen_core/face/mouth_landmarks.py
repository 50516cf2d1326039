"""How far a real person's mouth is open, by face landmarks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy
from numpy.typing import NDArray

from .detection import Face, FaceDetector, fill_gaps
from .models import FaceMesh

UPPER_LIP, LOWER_LIP = (82, 13, 312), (87, 14, 317)
"""Points of the lips' inner edges that lie above each other."""
LEFT_EYE, RIGHT_EYE = 33, 263
"""Outer corners of the eyes."""


class MouthLandmarks:
    """Measures the mouth of a face.

    Args:
        path: MediaPipe's `face_landmark.onnx`.

    Raises:
        NotInstalledError: onnxruntime or OpenCV is not installed.
        ValueError: the file is something else.
    """

    def __init__(self, path: Path) -> None:
        self._mesh = FaceMesh(path)

    def opening(self, frame: numpy.ndarray, face: Face) -> float:
        """Distance of the inner lips over that of the eyes, of a face in a frame (H, W, 3) of bytes."""
        points = self._mesh.upright_points(frame, face)
        lips = numpy.linalg.norm(points[list(UPPER_LIP)] - points[list(LOWER_LIP)], axis=-1).mean()
        return float(lips / numpy.linalg.norm(points[LEFT_EYE] - points[RIGHT_EYE]))

    def openings(
        self, frames: NDArray[numpy.uint8], detector: FaceDetector, progress: Callable[[], None] = lambda: None
    ) -> NDArray[numpy.float64]:
        """How far the largest face's mouth is open in each frame (F, H, W, 3) of bytes: (F).

        A frame in which no face is found takes what lies between its neighbours.

        Args:
            progress: called behind each frame.

        Raises:
            ValueError: no frame shows a face.
        """
        rows: list[NDArray[numpy.float64] | None] = []
        for frame in frames:
            face = detector.largest_face(frame)
            rows.append(None if face is None else numpy.array([self.opening(frame, face)]))
            progress()
        return fill_gaps(rows)[:, 0]
