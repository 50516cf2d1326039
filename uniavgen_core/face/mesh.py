"""MediaPipe's face mesh: 468 points of a face."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from .detection import Face, library

CROP = 1.5
"""Side of the mesh's picture in sides of the face's box."""
SIDE = 192
"""Its width and height in pixels."""
POINTS = 468
THREADS = 1
"""A mesh is so small that a second thread waits more than it works."""


class FaceMesh:
    """Finds the points of a face.

    Args:
        path: MediaPipe's `face_landmark.onnx`.

    Raises:
        NotInstalledError: onnxruntime or OpenCV is not installed.
        ValueError: the file is something else.
    """

    def __init__(self, path: Path) -> None:
        runtime = library("onnxruntime", "onnxruntime")
        self._cv2 = library("cv2", "opencv-python")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = THREADS
        try:
            self._mesh = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        # The errors of onnxruntime have nothing else in common.
        except Exception as error:
            raise ValueError(f"{path} is damaged or no ONNX file ({error}): download it again.") from error
        self._input = self._mesh.get_inputs()[0]
        if list(self._input.shape) != [1, 3, SIDE, SIDE]:
            raise ValueError(f"{path} is not MediaPipe's face mesh: it takes pictures of another size.")

    def points(self, picture: NDArray[numpy.uint8], face: Face) -> NDArray[numpy.float64]:
        """Places (468, 2) in pixels of a picture (height, width, 3)."""
        to_crop = self._to_crop(face)
        back = self._cv2.invertAffineTransform(to_crop)
        points: NDArray[numpy.float64] = self._found(picture, to_crop)[:, :2] @ back[:, :2].T + back[:, 2]
        return points

    def upright_points(self, picture: NDArray[numpy.uint8], face: Face) -> NDArray[numpy.float32]:
        """Places (468, 3) in pixels of a picture of the face alone, with level eyes."""
        return self._found(picture, self._to_crop(face))

    def _to_crop(self, face: Face) -> NDArray[numpy.float64]:
        """The map (2, 3) from a picture to the one of the face with level eyes, (192, 192)."""
        across = face.keypoints[1] - face.keypoints[0]
        left, top, right, bottom = face.box.tolist()
        middle = ((left + right) / 2, (top + bottom) / 2)
        scale = SIDE / (CROP * max(right - left, bottom - top, 1.0))
        turn: NDArray[numpy.float64] = self._cv2.getRotationMatrix2D(
            middle, math.degrees(math.atan2(across[1], across[0])), scale
        )
        turn[:, 2] += SIDE / 2 - numpy.array(middle)
        return turn

    def _found(self, picture: NDArray[numpy.uint8], to_crop: NDArray[numpy.float64]) -> NDArray[numpy.float32]:
        crop = self._cv2.warpAffine(picture, to_crop, (SIDE, SIDE), flags=self._cv2.INTER_LINEAR)
        planes = crop.astype(numpy.float32).transpose(2, 0, 1)[None] / 255
        outputs: list[Any] = self._mesh.run(None, {self._input.name: planes})
        points: NDArray[numpy.float32] = max(outputs, key=lambda output: output.size).reshape(POINTS, 3)
        return points
