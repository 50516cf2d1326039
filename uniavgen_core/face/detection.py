"""Face detection with insightface: a box a frame, and masks of the face in it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

INPUT_SIZE = (640, 640)
"""Width and height in pixels that a frame is resized to for the detector."""
OUTPUTS = (6, 9, 10, 15)
"""Numbers of outputs that insightface's detectors (SCRFD, RetinaFace) have."""
FULL = 255
"""Value of a mask's pixels that are face."""


class FaceDetector:
    """Finds the largest face of each frame.

    Args:
        path: a face detector of insightface in ONNX form (SCRFD).

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: insightface is not installed.
        ValueError: the file is no such detector.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no face detector {path}: put one of insightface's there (scrfd_….onnx, or det_….onnx of its "
                "model packs), or say where it lies."
            )
        try:
            zoo = import_module("insightface.model_zoo")
        except ImportError as error:
            raise ImportError(f"Face masks need insightface, run: pip install insightface ({error})") from error
        _check_detector(path)
        self._detector: Any = zoo.get_model(str(path))
        self._detector.prepare(ctx_id=0, input_size=INPUT_SIZE)

    def largest_face(self, frame: NDArray[numpy.uint8]) -> NDArray[numpy.float32] | None:
        """Left, top, right and bottom in pixels of a frame's (height, width, 3) largest face, or None without one."""
        boxes, _ = self._detector.detect(numpy.ascontiguousarray(frame[..., ::-1]))
        if len(boxes) == 0:
            return None
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return boxes[areas.argmax(), :4]

    def face_boxes(self, frames: Tensor) -> Tensor:
        """The largest face's box in each frame, (F, 4): left, top, right and bottom in pixels.

        A frame in which no face is found takes what lies between its neighbours' boxes.

        Args:
            frames: (F, height, width, 3) of values 0..1.

        Raises:
            ValueError: no frame shows a face.
        """
        pictures = frames.mul(255).round().byte().cpu().numpy()
        boxes = [self.largest_face(picture) for picture in pictures]
        seen = [place for place, box in enumerate(boxes) if box is not None]
        if not seen:
            raise ValueError(f"No face is found in any of {len(frames)} frames: give a clip that shows a face.")
        sides = numpy.stack([box for box in boxes if box is not None], axis=1)
        filled = [numpy.interp(range(len(frames)), seen, side) for side in sides]
        return torch.from_numpy(numpy.stack(filled, axis=1)).float()

    def face_masks(self, frames: Tensor) -> Tensor:
        """Masks (F, height, width) of bytes, 255 in the ellipse that fills the face's box.

        Arguments and errors as in `face_boxes`.
        """
        return ellipses(self.face_boxes(frames), *frames.shape[1:3])


def ellipses(boxes: Tensor, height: int, width: int) -> Tensor:
    """Masks (F, height, width) of bytes, 255 in the ellipse that fills each box (F, 4) of sides in pixels."""
    left, top, right, bottom = boxes.view(-1, 4, 1, 1).unbind(1)
    rows, columns = torch.arange(height).view(1, -1, 1) + 0.5, torch.arange(width).view(1, 1, -1) + 0.5
    across = (2 * columns - left - right) / (right - left)
    down = (2 * rows - top - bottom) / (bottom - top)
    return (across.square() + down.square() <= 1).byte() * FULL


def _check_detector(path: Path) -> None:
    """Refuse a file that is no model, or a model of another kind, which insightface would take for a detector."""
    onnx, protobuf = import_module("onnx"), import_module("google.protobuf.message")
    try:
        outputs = len(onnx.load(path, load_external_data=False).graph.output)
    except protobuf.DecodeError as error:
        raise ValueError(f"{path} is damaged or no ONNX file: download it again.") from error
    if outputs not in OUTPUTS:
        raise ValueError(f"{path} is no face detector of insightface: give a file such as scrfd_….onnx or det_….onnx.")
