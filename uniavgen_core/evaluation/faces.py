"""The face of the speaker in each frame of a real clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from .extras import needed

DETECTORS = ("scrfd*.onnx", "det_*.onnx")
"""Names of insightface's face detectors."""
DETECTION_SIZE = (640, 640)


class FaceFinder:
    """Finds the largest face of a frame.

    Args:
        folder: holds a face detector of insightface (`scrfd….onnx` or `det_….onnx`).

    Raises:
        FileNotFoundError: there is none.
        NotInstalledError: insightface is not installed.
    """

    def __init__(self, folder: Path) -> None:
        zoo = needed("insightface.model_zoo", "to find faces in a clip", "people")
        detectors = sorted(file for pattern in DETECTORS for file in folder.glob(pattern))
        if not detectors:
            raise FileNotFoundError(
                f"{folder} lacks a face detector: put one of insightface ({' or '.join(DETECTORS)}) there, or give "
                "another folder with --face-models."
            )
        self._detector: Any = zoo.get_model(str(detectors[0]), providers=["CPUExecutionProvider"])
        self._detector.prepare(ctx_id=-1, input_size=DETECTION_SIZE)

    def __call__(self, frame: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray] | None:
        """The face's box (left, top, right, bottom) and five keypoints (5, 2), eyes first; None where there is none.

        Args:
            frame: (H, W, 3) of bytes.
        """
        boxes, keypoints = self._detector.detect(frame[..., ::-1].copy())
        if len(boxes) == 0:
            return None
        largest = int(numpy.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
        return boxes[largest, :4], keypoints[largest]
