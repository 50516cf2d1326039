"""How far a real person's mouth is open, by face landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy

from uniavgen_core.face.detection import Face
from uniavgen_core.face.models import MESH, FaceMesh

UPPER_LIP, LOWER_LIP = (82, 13, 312), (87, 14, 317)
"""Points of the lips' inner edges that lie above each other."""
LEFT_EYE, RIGHT_EYE = 33, 263
"""Outer corners of the eyes."""


class MouthLandmarks:
    """Measures the mouth of a face.

    Args:
        folder: holds MediaPipe's `face_landmark.onnx`.

    Raises:
        FileNotFoundError: it is not there.
        NotInstalledError: onnxruntime or OpenCV is not installed.
        ValueError: the file is something else.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / MESH).is_file():
            raise FileNotFoundError(
                f"{folder} lacks MediaPipe's {MESH}: put it there, or give another folder with --face-models."
            )
        self._mesh = FaceMesh(folder / MESH)

    def opening(self, frame: numpy.ndarray, face: Face) -> float:
        """Distance of the inner lips over that of the eyes, of a face in a frame (H, W, 3) of bytes."""
        points = self._mesh.upright_points(frame, face)
        lips = numpy.linalg.norm(points[list(UPPER_LIP)] - points[list(LOWER_LIP)], axis=-1).mean()
        return float(lips / numpy.linalg.norm(points[LEFT_EYE] - points[RIGHT_EYE]))
