"""Face models in ONNX form: detectors, recognition and the mesh, each told by its file's name."""

from __future__ import annotations

import math
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any

import numpy
from numpy.typing import NDArray

from ..files import needed
from .detection import FIND_FACES, INPUT_SIDE, LEAST_SCORE, Face, FaceDetector

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

    def detect(self, image: NDArray[numpy.uint8]) -> list[Face]:
        boxes, keypoints = self._detector.detect(numpy.ascontiguousarray(image[..., ::-1]))
        return [Face(box[:4], points, float(box[4])) for box, points in zip(boxes, keypoints, strict=True)]


class FaceRecogniser:
    """Tells how much two faces are alike, with a recognition model of insightface (ArcFace).

    Args:
        path: such a model.

    Raises:
        NotInstalledError: insightface is not installed.
        ValueError: the file is no such model.
    """

    def __init__(self, path: Path) -> None:
        self._faces = needed("insightface.app.common", FIND_FACES, package="insightface")
        self._model = _load(path, "recognition model", (1,))
        if getattr(self._model, "taskname", None) != "recognition":
            raise ValueError(_no_such(path, "recognition model"))
        self._model.prepare(ctx_id=0)

    def features(self, image: NDArray[numpy.uint8], face: Face) -> NDArray[numpy.float32]:
        """A unit vector (n) of a face in a picture (height, width, 3); the product of two is how alike they are."""
        found = self._faces.Face(bbox=face.box, kps=face.keypoints, det_score=face.score)
        self._model.get(numpy.ascontiguousarray(image[..., ::-1]), found)
        unit: NDArray[numpy.float32] = found.normed_embedding
        return unit


def _load(path: Path, kind: str, outputs: tuple[int, ...]) -> Any:
    """A model with so many outputs; insightface takes a file of any other number for something."""
    zoo = needed("insightface.model_zoo", FIND_FACES, package="insightface")
    onnx = needed("onnx", FIND_FACES, package="onnx")
    decode_error = needed("google.protobuf.message", FIND_FACES, package="protobuf").DecodeError
    try:
        count = len(onnx.load(path, load_external_data=False).graph.output)
    except decode_error as error:
        raise ValueError(f"{path} is damaged or no ONNX file: download it again.") from error
    if count not in outputs:
        raise ValueError(_no_such(path, kind))
    try:
        model = zoo.get_model(str(path))
    except MemoryError:
        raise
    # The errors of onnxruntime have nothing else in common.
    except Exception as error:
        raise ValueError(f"{path} is damaged, or no {kind} of insightface ({error}): download it again.") from error
    return model


def _no_such(path: Path, kind: str) -> str:
    names = "scrfd_…_kps.onnx or det_….onnx" if kind == "face detector" else "w600k_r50.onnx"
    with_keypoints = " with keypoints" if kind == "face detector" else ""
    return f"{path} is no {kind} of insightface{with_keypoints}: give a file such as {names}."


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
        cv2 = needed("cv2", FIND_FACES, package="opencv-python")
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

    def detect(self, image: NDArray[numpy.uint8]) -> list[Face]:
        height, width = image.shape[:2]
        self._detector.setInputSize((width, height))
        rows = self._detector.detect(numpy.ascontiguousarray(image[..., ::-1]))[1]
        return [] if rows is None else [_face(row) for row in rows]


def _face(row: NDArray[numpy.float32]) -> Face:
    """A face of left, top, width, height, five points and score, (15)."""
    left, top, width, height = row[:4]
    box = numpy.array([left, top, left + width, top + height], dtype=numpy.float32)
    return Face(box, row[4:14].reshape(5, 2), float(row[14]))


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
        runtime = needed("onnxruntime", FIND_FACES, package="onnxruntime")
        self._cv2 = needed("cv2", FIND_FACES, package="opencv-python")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = THREADS
        try:
            self._mesh = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except MemoryError:
            raise
        # The errors of onnxruntime have nothing else in common.
        except Exception as error:
            raise ValueError(f"{path} is damaged or no ONNX file ({error}): download it again.") from error
        self._input = self._mesh.get_inputs()[0]
        if list(self._input.shape) != [1, 3, SIDE, SIDE]:
            raise ValueError(f"{path} is not MediaPipe's face mesh: it takes pictures of another size.")

    def points(self, image: NDArray[numpy.uint8], face: Face) -> NDArray[numpy.float64]:
        """Places (468, 2) in pixels of a picture (height, width, 3)."""
        to_crop = self._to_crop(face)
        back = self._cv2.invertAffineTransform(to_crop)
        points: NDArray[numpy.float64] = self._found(image, to_crop)[:, :2] @ back[:, :2].T + back[:, 2]
        return points

    def upright_points(self, image: NDArray[numpy.uint8], face: Face) -> NDArray[numpy.float32]:
        """Places (468, 3) in pixels of a picture of the face alone, with level eyes."""
        return self._found(image, self._to_crop(face))

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

    def _found(self, image: NDArray[numpy.uint8], to_crop: NDArray[numpy.float64]) -> NDArray[numpy.float32]:
        crop = self._cv2.warpAffine(image, to_crop, (SIDE, SIDE), flags=self._cv2.INTER_LINEAR)
        planes = crop.astype(numpy.float32).transpose(2, 0, 1)[None] / 255
        outputs: list[Any] = self._mesh.run(None, {self._input.name: planes})
        points: NDArray[numpy.float32] = max(outputs, key=lambda output: output.size).reshape(POINTS, 3)
        return points


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
