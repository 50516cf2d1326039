"""Detectors and recognisers in ONNX form, through insightface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from .detection import INPUT_SIDE, LEAST_SCORE, Face, FaceDetector, library

OUTPUTS = (9, 15)
"""Numbers of outputs that insightface's detectors (SCRFD, RetinaFace) with keypoints have."""


class InsightFaceDetector(FaceDetector):
    """Finds faces with a detector of insightface.

    Args:
        path: a detector with keypoints (SCRFD).

    Raises:
        NotInstalledError: insightface is not installed.
        ValueError: the file is no such detector.
    """

    def __init__(self, path: Path) -> None:
        self._detector = _load(path, "face detector", OUTPUTS)
        self._detector.prepare(ctx_id=0, input_size=(INPUT_SIDE, INPUT_SIDE), det_thresh=LEAST_SCORE)

    def detect(self, picture: NDArray[numpy.uint8]) -> list[Face]:
        boxes, keypoints = self._detector.detect(numpy.ascontiguousarray(picture[..., ::-1]))
        return [Face(box[:4], points, float(box[4])) for box, points in zip(boxes, keypoints, strict=True)]


class Recogniser:
    """Tells how much two faces are alike, with a recognition model of insightface (ArcFace).

    Args:
        path: such a model.

    Raises:
        NotInstalledError: insightface is not installed.
        ValueError: the file is no such model.
    """

    def __init__(self, path: Path) -> None:
        self._faces = library("insightface.app.common", "insightface")
        self._model = _load(path, "recognition model", (1,))
        if getattr(self._model, "taskname", None) != "recognition":
            raise ValueError(_no_such(path, "recognition model"))
        self._model.prepare(ctx_id=0)

    def features(self, picture: NDArray[numpy.uint8], face: Face) -> NDArray[numpy.float32]:
        """A unit vector (n) of a face in a picture (height, width, 3); the product of two is how alike they are."""
        found = self._faces.Face(bbox=face.box, kps=face.keypoints, det_score=face.score)
        self._model.get(numpy.ascontiguousarray(picture[..., ::-1]), found)
        unit: NDArray[numpy.float32] = found.normed_embedding
        return unit


def _load(path: Path, kind: str, outputs: tuple[int, ...]) -> Any:
    """A model with so many outputs; insightface takes a file of any other number for something."""
    zoo, onnx = library("insightface.model_zoo", "insightface"), library("onnx", "onnx")
    decode_error = library("google.protobuf.message", "protobuf").DecodeError
    try:
        count = len(onnx.load(path, load_external_data=False).graph.output)
    except decode_error as error:
        raise ValueError(f"{path} is damaged or no ONNX file: download it again.") from error
    if count not in outputs:
        raise ValueError(_no_such(path, kind))
    try:
        model = zoo.get_model(str(path))
    # The errors of onnxruntime have nothing else in common.
    except Exception as error:
        raise ValueError(f"{path} is damaged, or no {kind} of insightface ({error}): download it again.") from error
    return model


def _no_such(path: Path, kind: str) -> str:
    names = "scrfd_…_kps.onnx or det_….onnx" if kind == "face detector" else "w600k_r50.onnx"
    with_keypoints = " with keypoints" if kind == "face detector" else ""
    return f"{path} is no {kind} of insightface{with_keypoints}: give a file such as {names}."
