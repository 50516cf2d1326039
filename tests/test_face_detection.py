"""Face detection: the largest face, frames without one, masks, and what is said of wrong files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy
import pytest
import torch
from numpy.typing import NDArray

from uniavgen_core.extras import NotInstalledError
from uniavgen_core.face.detection import Face, FaceDetector, ellipses
from uniavgen_core.media import read_video, to_bytes

DETECTOR = Path("face/scrfd_500m_kps.onnx")


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
        FaceDetector(tmp_path / "nowhere.onnx")
    pytest.importorskip("insightface", reason="needs insightface")
    (tmp_path / "damaged.onnx").write_text("hello", encoding="utf-8")
    with pytest.raises(ValueError, match="damaged.onnx is damaged or no ONNX file"):
        FaceDetector(tmp_path / "damaged.onnx")


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "detector.onnx").touch()
    monkeypatch.setitem(sys.modules, "insightface.model_zoo", None)
    with pytest.raises(NotInstalledError, match="needed to find faces .*: run pip install insightface"):
        FaceDetector(tmp_path / "detector.onnx")


@pytest.mark.parametrize("other", ["yunet_n_640_640.onnx", "face_landmark.onnx"])
def test_a_model_of_another_kind_is_named(shared_data: Path, other: str) -> None:
    pytest.importorskip("insightface", reason="needs insightface")
    with pytest.raises(ValueError, match=f"{other} is no face detector of insightface"):
        FaceDetector(shared_data / "face" / other)


@pytest.mark.parametrize("outputs", [6, 10])
def test_a_detector_without_keypoints_is_named(tmp_path: Path, outputs: int) -> None:
    pytest.importorskip("insightface", reason="needs insightface")
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    values = [onnx.helper.make_tensor_value_info(f"output_{number}", 1, [1]) for number in range(outputs)]
    nodes = [onnx.helper.make_node("Constant", [], [value.name], value_float=0.0) for value in values]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "boxes", [], values)), tmp_path / "boxes.onnx")
    with pytest.raises(ValueError, match="boxes.onnx is no face detector of insightface with keypoints: give"):
        FaceDetector(tmp_path / "boxes.onnx")


def test_real_faces_are_found_and_a_black_frame_is_filled(shared_data: Path) -> None:
    pytest.importorskip("insightface", reason="needs insightface")
    frames = read_video(shared_data / "grid" / "G_bbaf2n.mpg")[0][:40:10]
    detector = FaceDetector(shared_data / DETECTOR)
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
