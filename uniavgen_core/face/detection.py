"""Faces in pictures, whichever detector finds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..files import needed
from ..media.images import to_bytes
from .shapes import ellipses

FIND_FACES = "to find faces"
INPUT_SIDE = 640
"""Pixels of the longer side that a picture is shrunk or grown to for a detector."""
LEAST_SIDE = 16
"""Pixels of the shorter side below which nothing is looked for then."""
LEAST_SCORE = 0.3
"""What a detector is less sure of is no face at all."""
CERTAIN_SCORE = 0.5
"""What a detector is this sure of is a face; what lies between may be one that was seen before."""
SAME_FACE = 0.5
"""Two boxes that share more than this fraction of the smaller one are the same face."""


class Face(NamedTuple):
    """Where a face is, in pixels of its picture.

    Attributes:
        box: left, top, right and bottom, (4).
        keypoints: x and y of eyes, nose and corners of the mouth, (5, 2), those of a pair from left to right.
        score: how sure the detector is, 0..1.
    """

    box: NDArray[numpy.float32]
    keypoints: NDArray[numpy.float32]
    score: float = 1.0


class FaceDetector:
    """Finds faces; what finds them is a subclass's `detect`."""

    def detect(self, image: NDArray[numpy.uint8]) -> list[Face]:
        """Faces of a picture (height, width, 3) whose longer side has INPUT_SIDE pixels, of LEAST_SCORE or more."""
        raise NotImplementedError

    def faces(self, image: NDArray[Any]) -> list[Face]:
        """Faces of a picture (height, width, 3) of bytes or of values 0..1, the surest first, each once."""
        height, width = image.shape[:2]
        scale = INPUT_SIDE / max(height, width)
        size = round(width * scale), round(height * scale)
        if min(size) < LEAST_SIDE:
            return []
        resized = needed("cv2", FIND_FACES, package="opencv-python").resize(image, size)
        if resized.dtype != numpy.uint8:
            resized = (resized.clip(0, 1) * 255).round().astype(numpy.uint8)
        back = numpy.array([width / size[0], height / size[1]], dtype=numpy.float32)
        found = [
            Face(face.box * numpy.tile(back, 2), face.keypoints * back, face.score) for face in self.detect(resized)
        ]
        return _distinct(found)

    def largest_face(self, frame: NDArray[numpy.uint8]) -> Face | None:
        """The largest face of a frame (height, width, 3), or None where there is none."""
        certain = [face for face in self.faces(frame) if face.score >= CERTAIN_SCORE]
        return max(certain, key=lambda face: area(face.box), default=None)

    def face_boxes(self, frames: Tensor) -> Tensor:
        """The largest face's box in each frame, (F, 4): left, top, right and bottom in pixels.

        A frame in which no face is found takes what lies between its neighbours' boxes.

        Args:
            frames: (F, height, width, 3) of values 0..1.

        Raises:
            ValueError: no frame shows a face.
        """
        faces = [self.largest_face(frame) for frame in to_bytes(frames)]
        boxes = fill_gaps([None if face is None else face.box for face in faces])
        return torch.from_numpy(boxes).float()

    def face_masks(self, frames: Tensor) -> Tensor:
        """Masks (F, height, width) of bytes, 255 in the ellipse that fills the face's box.

        Arguments and errors as in `face_boxes`.
        """
        return ellipses(self.face_boxes(frames), *frames.shape[1:3])


def area(box: NDArray[Any]) -> float:
    """Pixels of a box (4)."""
    return float((box[2] - box[0]) * (box[3] - box[1]))


def fill_gaps(rows: Sequence[NDArray[Any] | None]) -> NDArray[numpy.float64]:
    """Values (F, n) of rows (n), one a frame; where a frame has none, as it shows no face, what lies between its
    neighbours'.

    Raises:
        ValueError: no frame has any.
    """
    seen = [index for index, row in enumerate(rows) if row is not None]
    if not seen:
        raise ValueError(f"No face is found in any of {len(rows)} frames: give a clip that shows a face.")
    columns = numpy.stack([row for row in rows if row is not None], axis=1)
    return numpy.stack([numpy.interp(range(len(rows)), seen, column) for column in columns], axis=1)


def _distinct(faces: list[Face]) -> list[Face]:
    """Faces from the surest to the least sure one, without those that lie on a surer one."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_shared(face.box, other.box) <= SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _shared(first: NDArray[Any], second: NDArray[Any]) -> float:
    """The fraction of the smaller box that lies in the other one."""
    sides = numpy.minimum(first[2:], second[2:]) - numpy.maximum(first[:2], second[:2])
    return float(sides.clip(0).prod() / max(min(area(first), area(second)), 1e-6))
