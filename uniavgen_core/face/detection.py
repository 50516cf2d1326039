"""Face detection with insightface: the largest face of each frame, and masks of it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..extras import NotInstalledError
from ..media import to_bytes

INPUT_SIZE = (640, 640)
"""Width and height in pixels that a frame is resized to for the detector."""
OUTPUTS = (9, 15)
"""Numbers of outputs that insightface's detectors (SCRFD, RetinaFace) with keypoints have."""
FULL = 255
"""Value of a mask's pixels that are face."""


class Face(NamedTuple):
    """Where a face is, in pixels of its frame.

    Attributes:
        box: left, top, right and bottom, (4).
        keypoints: x and y of eyes, nose and corners of the mouth, (5, 2), those of a pair from left to right.
    """

    box: NDArray[numpy.float32]
    keypoints: NDArray[numpy.float32]


class FaceDetector:
    """Finds the largest face of each frame.

    Args:
        path: a face detector of insightface with keypoints in ONNX form (SCRFD).

    Raises:
        FileNotFoundError: there is no such file.
        NotInstalledError: insightface is not installed.
        ValueError: the file is no such detector.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no face detector {path}: put one of insightface's there (scrfd_…_kps.onnx, or det_….onnx of "
                "its model packs), or say where it lies."
            )
        try:
            zoo = import_module("insightface.model_zoo")
        except ImportError as error:
            raise NotInstalledError(
                f"insightface is needed to find faces ({error}): run pip install insightface."
            ) from error
        _check_detector(path)
        self._detector: Any = zoo.get_model(str(path))
        self._detector.prepare(ctx_id=0, input_size=INPUT_SIZE)

    def largest_face(self, frame: NDArray[numpy.uint8]) -> Face | None:
        """The largest face of a frame (height, width, 3), or None where there is none."""
        boxes, keypoints = self._detector.detect(numpy.ascontiguousarray(frame[..., ::-1]))
        if len(boxes) == 0:
            return None
        largest = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).argmax()
        return Face(boxes[largest, :4], keypoints[largest])

    def face_boxes(self, frames: Tensor) -> Tensor:
        """The largest face's box in each frame, (F, 4): left, top, right and bottom in pixels.

        A frame in which no face is found takes what lies between its neighbours' boxes.

        Args:
            frames: (F, height, width, 3) of values 0..1.

        Raises:
            ValueError: no frame shows a face.
        """
        faces = [self.largest_face(picture) for picture in to_bytes(frames)]
        boxes = fill_gaps([None if face is None else face.box for face in faces])
        return torch.from_numpy(boxes).float()

    def face_masks(self, frames: Tensor) -> Tensor:
        """Masks (F, height, width) of bytes, 255 in the ellipse that fills the face's box.

        Arguments and errors as in `face_boxes`.
        """
        return ellipses(self.face_boxes(frames), *frames.shape[1:3])


def fill_gaps(rows: Sequence[NDArray[Any] | None]) -> NDArray[numpy.float64]:
    """Values (F, n) of rows (n), one a frame; where a frame has none, as it shows no face, what lies between its
    neighbours'.

    Raises:
        ValueError: no frame has any.
    """
    seen = [place for place, row in enumerate(rows) if row is not None]
    if not seen:
        raise ValueError(f"No face is found in any of {len(rows)} frames: give a clip that shows a face.")
    columns = numpy.stack([row for row in rows if row is not None], axis=1)
    return numpy.stack([numpy.interp(range(len(rows)), seen, column) for column in columns], axis=1)


def ellipses(boxes: Tensor, height: int, width: int) -> Tensor:
    """Masks (F, height, width) of bytes, 255 in the ellipse that fills each box (F, 4) of sides in pixels."""
    left, top, right, bottom = boxes.view(-1, 4, 1, 1).unbind(1)
    rows, columns = torch.arange(height).view(1, -1, 1) + 0.5, torch.arange(width).view(1, 1, -1) + 0.5
    across = (2 * columns - left - right) / (right - left)
    down = (2 * rows - top - bottom) / (bottom - top)
    return (across.square() + down.square() <= 1).byte() * FULL


def _check_detector(path: Path) -> None:
    """Refuse a file that is no model, a detector without keypoints, and what insightface would take for a detector."""
    onnx, protobuf = import_module("onnx"), import_module("google.protobuf.message")
    try:
        outputs = len(onnx.load(path, load_external_data=False).graph.output)
    except protobuf.DecodeError as error:
        raise ValueError(f"{path} is damaged or no ONNX file: download it again.") from error
    if outputs not in OUTPUTS:
        raise ValueError(
            f"{path} is no face detector of insightface with keypoints: give a file such as scrfd_…_kps.onnx or "
            "det_….onnx."
        )
