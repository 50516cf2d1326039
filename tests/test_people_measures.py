"""The measures on real clips."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy
import pytest
import torch

from uniavgen_core.face.detection import Face
from uniavgen_core.face.models import MESH, open_detector
from uniavgen_core.face.mouth_landmarks import MouthLandmarks
from uniavgen_core.media.images import to_bytes
from uniavgen_lab.evaluation import real_people as people
from uniavgen_lab.evaluation import syncnet
from uniavgen_lab.evaluation.real_people import find_detector, find_mesh, measure_own_clip
from uniavgen_lab.video_files import read_video


def test_landmarks_see_a_mouth_open(shared_data: Path):
    for module in ("insightface", "onnxruntime", "cv2"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    folder = shared_data / "face"
    frames, _, _ = read_video(shared_data / "grid" / "G_lwbsza.mpg")
    pictures = to_bytes(frames)
    detector, landmarks = open_detector(find_detector(folder)), MouthLandmarks(find_mesh(folder))
    openings = []
    for picture in pictures[[0, 2, 22, 26, 30, 34]]:
        face = detector.largest_face(picture)
        assert face is not None
        openings.append(landmarks.opening(picture, face))
    assert 0 <= min(openings) and max(openings) < 0.3
    assert max(openings) > 1.5 * min(openings)
    assert detector.largest_face(numpy.zeros_like(pictures[0])) is None


def test_absent_face_models_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"detector.*--face-models"):
        find_detector(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"face_landmark\.onnx.*--face-models"):
        find_mesh(tmp_path)


class SomeFaces:
    """Finds a face in each frame that is not black, and its mouth as far open as the frame is bright."""

    def __init__(self, path: Path) -> None:
        pass

    def largest_face(self, frame: numpy.ndarray) -> Face | None:
        return Face(numpy.zeros(4), numpy.zeros((5, 2))) if frame.any() else None

    def opening(self, frame: numpy.ndarray, face: Face) -> float:
        return float(frame.mean())


@pytest.fixture
def some_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models that are `SomeFaces`."""
    (tmp_path / "scrfd.onnx").touch()
    monkeypatch.setattr(people, "open_detector", SomeFaces)
    monkeypatch.setattr(people, "MouthLandmarks", SomeFaces)
    (tmp_path / MESH).touch()
    return tmp_path


def own_clip(face_models: Path, brightness: list[int]) -> people.OwnClip:
    """A clip whose mouth is as far open as its sound is loud, at 16 frames a second."""
    frames = numpy.array(brightness, dtype=numpy.uint8).reshape(-1, 1, 1, 1).repeat(3, axis=3)
    sound = (numpy.array(brightness) / 255).repeat(1500).astype(numpy.float32)
    return people.OwnClip(frames, 16.0, sound, None, None, face_models, None)


def test_lip_sync_is_measured_where_most_frames_show_a_face(some_faces: Path):
    brightness = (100 + 90 * numpy.cos(numpy.arange(32) / 2)).astype(int).tolist()
    measures = people._lip_sync(own_clip(some_faces, brightness))
    assert measures["lip_sync"] > 0.95 and measures["lip_sync_margin"] > 0.3
    with pytest.raises(ValueError, match="Only 12 of 32 frames show a face: give a clip of one speaker"):
        people._lip_sync(own_clip(some_faces, [0] * 20 + brightness[:12]))


def test_what_is_not_measured_says_why(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    for module in ("speechmos.dnsmos", "speechmos", "faster_whisper"):
        monkeypatch.setitem(sys.modules, module, None)
    measures = measure_own_clip(shared_data / "grid" / "G_swiz3n.mpg", text="set white in z three now")
    assert measures["lip_sync"] == "not measured: give --face-models"
    assert measures["lse_d"] == "not measured: give --face-models and --syncnet"
    assert measures["voice_likeness"] == "not measured: give --voice"
    assert "pip install '.[people]'" in measures["naturalness"]
    assert "pip install '.[evaluation]'" in measures["word_error_rate"]


def test_syncnet_has_the_names_and_forms_of_its_release():
    network = syncnet.SyncNet().eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["netcnnaud.18.weight"] == (512, 256, 5, 4)
    assert shapes["netcnnlip.18.weight"] == (512, 256, 1, 6, 6)
    assert shapes["netcnnlip.15.running_mean"] == (256,)
    assert shapes["netfclip.3.weight"] == shapes["netfcaud.3.weight"] == (1024, 512)
    with torch.no_grad():
        assert network.hear(torch.zeros(1, 1, 13, 20)).shape == (1, 1024)
        assert network.see(torch.zeros(1, 3, 5, 224, 224)).shape == (1, 1024)


@pytest.mark.parametrize("late", [-3, 0, 5])
def test_syncnet_finds_the_offset(late: int):
    features = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    found = syncnet.offsets(features[20:50], features[20 - late : 50 - late])
    assert found["sound_late_frames"] == late
    assert found["lse_c"] > found["lse_d"]


def test_syncnet_looks_at_the_face():
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    pytest.importorskip("scipy", reason="SciPy is not installed")
    frames = numpy.zeros((20, 120, 160, 3), dtype=numpy.uint8)
    frames[:, 40:80, 60:100] = 255
    faces = syncnet.face_crops(frames, numpy.tile(numpy.array([60.0, 40, 100, 80]), (20, 1)))
    assert faces.shape == (20, 224, 224, 3)
    rows, columns = numpy.nonzero(faces[10, ..., 0] > 128)
    assert (rows.min(), rows.max()) == pytest.approx((0, 160), abs=2)
    assert (columns.min(), columns.max()) == pytest.approx((32, 192), abs=2)


def test_other_weights_are_refused(tmp_path: Path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="SyncNet's weights"):
        syncnet.load_syncnet(tmp_path / "other.pth")
