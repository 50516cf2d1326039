"""Whether a portrait shows a face that is large enough to speak."""

from __future__ import annotations

from torch import Tensor

from ..media.images import to_bytes, to_rgb
from .detection import FaceDetector

SMALL_PART = 0.08
"""Height of a face in heights of the picture below which its mouth has too few pixels."""


def portrait_fault(name: str, picture: Tensor, detector: FaceDetector) -> str | None:
    """What is wrong with a portrait, or None.

    Args:
        name: of the input that it came from.
        picture: (1, height, width, channels) of values 0..1.
        detector: finds its face.
    """
    face = detector.largest_face(to_bytes(to_rgb(picture[0])))
    if face is None:
        return (
            f"No face is found in {name}. A drawing or an animal may speak all the same; else give a picture that "
            "shows a face from the front."
        )
    part = float(face.box[3] - face.box[1]) / picture.shape[1]
    if part < SMALL_PART:
        return (
            f"The face in {name} takes {part:.0%} of its height; below {SMALL_PART:.0%} the mouth is too small to "
            "speak well. Crop the picture with UniAVGen Face Portrait."
        )
    return None
