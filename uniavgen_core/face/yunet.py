"""YuNet, a face detector that may be used for any purpose, through OpenCV."""

from __future__ import annotations

from pathlib import Path

import numpy
from numpy.typing import NDArray

from .detection import INPUT_SIDE, LEAST_SCORE, Face, FaceDetector, library

OVERLAP = 0.3
"""Boxes that overlap more (IoU) are one face."""
MOST_FACES = 5000


class YuNetDetector(FaceDetector):
    """Finds faces with YuNet.

    Args:
        path: its ONNX file.

    Raises:
        NotInstalledError: OpenCV is not installed.
        ValueError: the file is not YuNet.
    """

    def __init__(self, path: Path) -> None:
        cv2 = library("cv2", "opencv-python")
        # As bytes: on Windows, OpenCV opens no path with letters outside ASCII.
        model, configuration = numpy.fromfile(path, dtype=numpy.uint8), numpy.zeros(0, dtype=numpy.uint8)
        size = (INPUT_SIDE, INPUT_SIDE)
        try:
            self._detector = cv2.FaceDetectorYN.create(
                "onnx", model, configuration, size, LEAST_SCORE, OVERLAP, MOST_FACES
            )
            self._detector.detect(numpy.zeros((*size, 3), dtype=numpy.uint8))
        except cv2.error as error:
            raise ValueError(
                f"{path} is damaged or not YuNet: download face_detection_yunet_2023mar.onnx again."
            ) from error

    def detect(self, picture: NDArray[numpy.uint8]) -> list[Face]:
        height, width = picture.shape[:2]
        self._detector.setInputSize((width, height))
        rows = self._detector.detect(numpy.ascontiguousarray(picture[..., ::-1]))[1]
        return [] if rows is None else [_face(row) for row in rows]


def _face(row: NDArray[numpy.float32]) -> Face:
    """A face of left, top, width, height, five points and score, (15)."""
    left, top, width, height = row[:4]
    box = numpy.array([left, top, left + width, top + height], dtype=numpy.float32)
    return Face(box, row[4:14].reshape(5, 2), float(row[14]))
