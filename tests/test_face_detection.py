"""Face detection: faces of real pictures, frames without one, masks for training, and what is said of wrong files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy
import pytest
import torch
from numpy.typing import NDArray

from uniavgen_core.face.detection import INPUT_SIDE, Face, FaceDetector
from uniavgen_core.face.models import FaceRecogniser, is_detector, is_recogniser, may_be_detector, open_detector
from uniavgen_core.face.shapes import ellipses
from uniavgen_core.files import NotInstalledError
from uniavgen_core.media.images import read_image, to_bytes
from uniavgen_lab.video_files import read_video

SCRFD, YUNET = "scrfd_500m_kps.onnx", "yunet_n_640_640.onnx"
BOTH = pytest.mark.parametrize("name", [SCRFD, YUNET])
GROUP_PHOTO = "data/images/t1.jpg"
"""Of six people; insightface ships it."""


class KnownFaces(FaceDetector):
    """Finds the face that a frame's first pixel is the number of."""

    def __init__(self, boxes: dict[int, list[float]]) -> None:
        self.boxes = boxes

    def largest_face(self, frame: NDArray[numpy.uint8]) -> Face | None:
        box = self.boxes.get(int(frame[0, 0, 0]))
        return None if box is None else Face(numpy.array(box, dtype=numpy.float32), numpy.zeros((5, 2)))


def numbered_frames(count: int) -> torch.Tensor:
    return (torch.arange(count) / 255).view(-1, 1, 1, 1).expand(-1, 8, 8, 3)


def test_missed_frames_take_what_lies_between_their_neighbours() -> None:
    detector = KnownFaces({1: [0, 0, 4, 4], 4: [3, 0, 7, 4]})
    boxes = detector.face_boxes(numbered_frames(6))
    assert boxes[:, 0].tolist() == [0, 0, 1, 2, 3, 3]
    assert boxes[:, 2].tolist() == [4, 4, 5, 6, 7, 7]
    assert detector.face_masks(numbered_frames(6)).shape == (6, 8, 8)


def test_frames_without_any_face_are_refused() -> None:
    with pytest.raises(ValueError, match="No face is found in any of 3 frames"):
        KnownFaces({}).face_masks(numbered_frames(3))


def test_a_mask_is_the_ellipse_that_fills_the_box() -> None:
    mask = ellipses(torch.tensor([[10.0, 20.0, 50.0, 90.0]]), 100, 64)[0]
    rows, columns = torch.nonzero(mask, as_tuple=True)
    assert mask.dtype == torch.uint8 and set(mask.unique().tolist()) == {0, 255}
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 89, 10, 49)
    assert len(rows) == pytest.approx(torch.pi * 20 * 35, rel=0.01)


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no face detector .*nowhere.onnx: put one"):
        open_detector(tmp_path / "nowhere.onnx")
    pytest.importorskip("insightface", reason="needs insightface")
    for name, fault in (("damaged.onnx", "is damaged or no ONNX file"), ("yunet.onnx", "is damaged or not YuNet")):
        (tmp_path / name).write_text("hello", encoding="utf-8")
        with pytest.raises(ValueError, match=f"{name} {fault}"):
            open_detector(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>" * 50, b"\x89PNG\r\n\x1a\n" + bytes(999)])
def test_a_file_of_another_format_is_named(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("insightface", reason="needs insightface")
    kinds = {"det_10g.onnx": open_detector, "yunet.onnx": open_detector, "w600k_r50.onnx": FaceRecogniser}
    for name, load in kinds.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is (damaged|no face detector|no recognition model)"):
            load(tmp_path / name)


def test_a_cut_off_file_is_named(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("insightface", reason="needs insightface")
    for name in (SCRFD, YUNET):
        whole = (shared_data / "face" / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            open_detector(tmp_path / name)


@pytest.mark.parametrize(("name", "package"), [("detector.onnx", "insightface"), ("yunet.onnx", "opencv-python")])
def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    (tmp_path / name).touch()
    for module in ("insightface.model_zoo", "cv2"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotInstalledError, match=f"{package} is needed to find faces .*: run pip install -U {package}"):
        open_detector(tmp_path / name)


@pytest.mark.parametrize(
    ("other", "name"), [(YUNET, "det_10g.onnx"), ("face_landmark.onnx", "face.onnx"), (SCRFD, "yunet.onnx")]
)
def test_a_model_of_another_kind_is_named(shared_data: Path, tmp_path: Path, other: str, name: str) -> None:
    pytest.importorskip("insightface", reason="needs insightface")
    shutil.copyfile(shared_data / "face" / other, tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is (no face detector of insightface|damaged or not YuNet)"):
        open_detector(tmp_path / name)


def test_models_are_told_by_their_names() -> None:
    names = ["models/buffalo_l/det_10g.onnx", "face_detection_yunet_2023mar.onnx", "SCRFD_10g_bnkps.onnx"]
    assert all(is_detector(name) for name in names)
    others = ["models/buffalo_l/2d106det.onnx", "inswapper_128.onnx", "scrfd_person_2.5g.onnx", "face_landmark.onnx"]
    assert not any(is_detector(name) or may_be_detector(name) for name in [*others, "models/buffalo_l/w600k_r50.onnx"])
    assert is_recogniser("models/buffalo_l/w600k_r50.onnx") and not is_recogniser("models/buffalo_l/det_10g.onnx")
    assert may_be_detector("mine.onnx") and not is_detector("mine.onnx")


@pytest.mark.parametrize("outputs", [6, 10])
def test_a_detector_without_keypoints_is_named(tmp_path: Path, outputs: int) -> None:
    pytest.importorskip("insightface", reason="needs insightface")
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    values = [onnx.helper.make_tensor_value_info(f"output_{number}", 1, [1]) for number in range(outputs)]
    nodes = [onnx.helper.make_node("Constant", [], [value.name], value_float=0.0) for value in values]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "boxes", [], values)), tmp_path / "boxes.onnx")
    with pytest.raises(ValueError, match="boxes.onnx is no face detector of insightface with keypoints: give"):
        open_detector(tmp_path / "boxes.onnx")


def test_real_faces_are_found_and_a_black_frame_is_filled(shared_data: Path) -> None:
    pytest.importorskip("insightface", reason="needs insightface")
    frames = read_video(shared_data / "grid" / "G_bbaf2n.mpg")[0][:40:10]
    detector = open_detector(shared_data / "face" / SCRFD)
    boxes = detector.face_boxes(frames)
    face = detector.largest_face(to_bytes(frames[0]))
    assert face is not None and face.box.tolist() == boxes[0].tolist()
    eyes, nose, mouth = face.keypoints[:2], face.keypoints[2], face.keypoints[3:]
    assert eyes[0, 0] < nose[0] < eyes[1, 0] and (eyes[:, 1] < nose[1]).all() and (nose[1] < mouth[:, 1]).all()
    left, top, right, bottom = boxes.T
    assert ((60 < left) & (left < 140) & (160 < right) & (right < 260)).all()
    assert ((60 < top) & (top < 140) & (210 < bottom) & (bottom < 280)).all()
    frames[2] = 0
    filled = detector.face_boxes(frames)
    assert torch.allclose(filled[2], (filled[1] + filled[3]) / 2)
    assert torch.equal(filled[[0, 1, 3]], boxes[[0, 1, 3]])


@pytest.fixture(scope="module")
def group_photo() -> torch.Tensor:
    insightface = pytest.importorskip("insightface", reason="needs insightface")
    return read_image(Path(insightface.__file__).parent / GROUP_PHOTO)


@BOTH
def test_all_faces_of_a_group_are_found(shared_data: Path, group_photo: torch.Tensor, name: str) -> None:
    detector = open_detector(shared_data / "face" / name)
    faces = detector.faces(group_photo[0].numpy())
    assert len(faces) == 6
    for box, points, score in faces:
        assert (box[:2] < points.min(axis=0)).all() and (points.max(axis=0) < box[2:]).all()
        assert points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0] and 0.3 <= score <= 1
    # Bytes are the same picture but for their rounding, and the mirrored one has its faces on the other side.
    (width, boxes), again = (
        (group_photo.shape[2], [face.box for face in faces]),
        detector.faces(to_bytes(group_photo)[0]),
    )
    assert numpy.allclose([face.box for face in again], boxes, atol=1)
    mirrored = detector.faces(group_photo[0].flip(1).numpy())
    assert sorted(round(width - face.box[2]) for face in mirrored) == pytest.approx(sorted(b[0] for b in boxes), abs=12)


@BOTH
def test_many_faces_and_tiny_pictures(shared_data: Path, name: str) -> None:
    detector = open_detector(shared_data / "face" / name)
    face = read_image(shared_data / "portraits" / "woman.png")[0, 200:840:4, 140:620:4]
    assert len(detector.faces(face.repeat(5, 10, 1).numpy())) == 50
    for height, width in ((1, 1), (1, INPUT_SIDE), (3000, 2), (17, 31)):
        assert detector.faces(numpy.zeros((height, width, 3), dtype=numpy.float32)) == []


def test_a_face_that_is_found_twice_counts_once() -> None:
    class Twice(FaceDetector):
        def detect(self, picture: NDArray[numpy.uint8]) -> list[Face]:
            boxes = [[0, 0, 100, 100], [20, 20, 90, 90], [300, 0, 400, 100]]
            return [
                Face(numpy.float32(box), numpy.zeros((5, 2)), score)
                for box, score in zip(boxes, (0.4, 0.9, 0.6), strict=True)
            ]

    faces = Twice().faces(numpy.zeros((320, 320, 3), dtype=numpy.uint8))
    assert [face.box.tolist() for face in faces] == [[10, 10, 45, 45], [150, 0, 200, 50]]


def test_a_recogniser_gives_unit_features(shared_data: Path, group_photo: torch.Tensor, tmp_path: Path) -> None:
    """Through insightface, with a model that only takes the mean of each quarter of a face."""
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    make = onnx.helper
    nodes = [
        make.make_node("AveragePool", ["picture"], ["means"], kernel_shape=[56, 56], strides=[56, 56]),
        make.make_node("Flatten", ["means"], ["features"]),
    ]
    values = {"picture": (1, 3, 112, 112), "features": (1, 12)}
    inputs, outputs = ([make.make_tensor_value_info(name, 1, shape)] for name, shape in values.items())
    model = make.make_model(make.make_graph(nodes, "means", inputs, outputs), opset_imports=[make.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "w600k_mean.onnx")
    picture = to_bytes(group_photo)[0]
    first, second, *_ = open_detector(shared_data / "face" / SCRFD).faces(picture)
    recogniser = FaceRecogniser(tmp_path / "w600k_mean.onnx")
    features = recogniser.features(picture, first)
    assert features.shape == (12,) and features @ features == pytest.approx(1)
    assert features @ recogniser.features(picture, second) < 0.999
    with pytest.raises(ValueError, match="no recognition model of insightface: give a file such as w600k_r50"):
        FaceRecogniser(shared_data / "face" / SCRFD)
