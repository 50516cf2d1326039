"""Which file is which model, by its name."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path, PurePath

from .detection import FaceDetector
from .insightface_models import InsightFaceDetector
from .yunet import YuNetDetector

YUNET = "*yunet*"
DETECTORS = ("det_*", "*scrfd*", "*retinaface*", YUNET)
RECOGNISERS = ("w600k*", "glint*", "*arcface*", "*webface*", "ms1m*")
MESH = "face_landmark.onnx"
"""MediaPipe's face mesh of 468 points."""
OTHERS = ("1k3d68*", "2d106det*", "genderage*", "*inswapper*", "*scrfd_person*", "face_landmark*", "*reswapper*")
"""What else lies in insightface's folders."""


def is_detector(name: str) -> bool:
    """Whether an ONNX file is a face detector."""
    return _is_one(name, DETECTORS) and not _is_one(name, OTHERS)


def may_be_detector(name: str) -> bool:
    """Whether an ONNX file is nothing else that is known."""
    return not _is_one(name, (*RECOGNISERS, *OTHERS))


def is_recogniser(name: str) -> bool:
    """Whether an ONNX file is a recognition model of insightface."""
    return _is_one(name, RECOGNISERS)


def open_detector(path: Path) -> FaceDetector:
    """A face detector: YuNet where the file's name says so, else one of insightface.

    Raises:
        FileNotFoundError: there is no such file.
        NotInstalledError: insightface, or OpenCV for YuNet, is not installed.
        ValueError: the file is no such detector.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no face detector {path}: put one of insightface's there (scrfd_…_kps.onnx, or det_….onnx of its "
            "model packs) or YuNet (face_detection_yunet_2023mar.onnx), or say where it lies."
        )
    return YuNetDetector(path) if _is_one(path.name, (YUNET,)) else InsightFaceDetector(path)


def _is_one(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(PurePath(name).name.lower(), pattern) for pattern in patterns)
