"""How far a real person's mouth is open, by face landmarks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy

from ..extras import needed

LANDMARKS = "face_landmark.onnx"
"""MediaPipe's face mesh of 468 points."""
CROP = 1.5
"""Side of the landmark model's picture in sides of the face's box."""
SIZE = 192
"""Its width and height in pixels."""
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
    """

    def __init__(self, folder: Path) -> None:
        runtime = needed("onnxruntime", "to find the mouth in a clip", "people")
        self._cv2 = needed("cv2", "to find the mouth in a clip", "people")
        if not (folder / LANDMARKS).is_file():
            raise FileNotFoundError(
                f"{folder} lacks MediaPipe's {LANDMARKS}: put it there, or give another folder with --face-models."
            )
        self._mesh = runtime.InferenceSession(str(folder / LANDMARKS), providers=["CPUExecutionProvider"])
        self._input = self._mesh.get_inputs()[0].name

    def opening(self, frame: numpy.ndarray, box: numpy.ndarray, keypoints: numpy.ndarray) -> float:
        """Distance of the inner lips over that of the eyes, of a face in a frame (H, W, 3) of bytes."""
        points = self._points(self._upright(frame, box, keypoints))
        lips = numpy.linalg.norm(points[list(UPPER_LIP)] - points[list(LOWER_LIP)], axis=-1).mean()
        return float(lips / numpy.linalg.norm(points[LEFT_EYE] - points[RIGHT_EYE]))

    def _upright(self, frame: numpy.ndarray, box: numpy.ndarray, keypoints: numpy.ndarray) -> numpy.ndarray:
        """The face with level eyes, (192, 192, 3)."""
        across = keypoints[1] - keypoints[0]
        left, top, right, bottom = box
        middle = ((left + right) / 2, (top + bottom) / 2)
        scale = SIZE / (CROP * max(right - left, bottom - top))
        turn = self._cv2.getRotationMatrix2D(middle, math.degrees(math.atan2(across[1], across[0])), scale)
        turn[:, 2] += SIZE / 2 - numpy.array(middle)
        return self._cv2.warpAffine(frame, turn, (SIZE, SIZE), flags=self._cv2.INTER_LINEAR)

    def _points(self, face: numpy.ndarray) -> numpy.ndarray:
        """Places of the 468 landmarks in a face's picture, (468, 3)."""
        picture = face.astype(numpy.float32).transpose(2, 0, 1)[None] / 255
        outputs = self._mesh.run(None, {self._input: picture})
        return max(outputs, key=lambda output: output.size).reshape(-1, 3)
