"""Faces of real pictures and clips as masks, and as portraits."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from uniavgen_core.face.choice import Numbered, every_face, largest
from uniavgen_core.face.detection import Face, FaceDetector, area
from uniavgen_core.face.masks import Search, describe, draw_faces, find_faces, frames_without, outline_faces
from uniavgen_core.face.models import POINTS, FaceMesh, open_detector
from uniavgen_core.face.portrait import portrait_crop, portrait_fault
from uniavgen_core.face.shapes import BOX, ELLIPSE, HULL, Style, draw_shape
from uniavgen_core.face.tracks import Timing, Trajectory
from uniavgen_core.media.images import read_image, to_rgb
from uniavgen_lab.video_files import read_video

BOX_OF_FACE = numpy.array([30.0, 20.0, 70.0, 84.0])
SQUARE = numpy.array([[40.0, 40.0], [60.0, 40.0], [60.0, 60.0], [40.0, 60.0]])


def drawn(style: Style, points: NDArray[numpy.float64] = SQUARE, size: tuple[int, int] = (100, 100)) -> NDArray:
    mask = numpy.zeros(size, dtype=numpy.float32)
    draw_shape(mask, BOX_OF_FACE, points, style)
    return mask


@pytest.mark.parametrize(("shape", "pixels"), [(BOX, 40 * 64), (ELLIPSE, numpy.pi * 20 * 32), (HULL, 20 * 20)])
def test_shapes_fill_what_they_should(shape: str, pixels: float) -> None:
    if shape == HULL:
        pytest.importorskip("cv2", reason="needs OpenCV")
    face = numpy.sqrt(40 * 64)
    sharp, soft, grown = (drawn(Style(shape, *style)) for style in ((0.0, 0.0), (0.0, 0.2), (0.1, 0.0)))
    assert sharp.sum() == pytest.approx(pixels, rel=0.03)
    assert soft.sum() == pytest.approx(pixels, rel=0.15)
    assert ((soft > 0.5) == (sharp > 0.5)).mean() > 0.995
    row = soft[52]
    steps = abs(numpy.diff(row))
    assert steps.max() == pytest.approx(1 / (0.2 * face), rel=0.25)
    for axis in (0, 1):
        width, wider = (numpy.flatnonzero((mask > 0.5).any(axis=axis)) for mask in (sharp, grown))
        assert len(wider) - len(width) == pytest.approx(2 * 0.1 * face, abs=2)


@pytest.mark.parametrize("shape", [BOX, ELLIPSE, HULL])
def test_faces_over_the_border_are_cut_and_those_beyond_are_nothing(shape: str) -> None:
    if shape == HULL:
        pytest.importorskip("cv2", reason="needs OpenCV")
    whole = drawn(Style(shape, 0.05, 0.1))
    part = drawn(Style(shape, 0.05, 0.1), size=(50, 50))
    assert abs(part - whole[:50, :50]).max() < 1e-6
    assert not drawn(Style(shape, 0.05, 0.1), size=(10, 10)).any()


def trajectory(start: int, visible: list[bool]) -> Trajectory:
    count = len(visible)
    return Trajectory(start, numpy.tile(BOX_OF_FACE, (count, 1)), numpy.zeros((count, 5, 2)), numpy.array(visible), {})


def test_the_report_names_frames_without_a_face() -> None:
    faces = [trajectory(2, [True, True, False, True]), trajectory(8, [True])]
    assert frames_without(faces, 10) == [range(0, 2), range(4, 5), range(6, 8), range(9, 10)]
    text = describe(faces, 10, 16.0)
    assert "4 of 10 frames show a face" in text
    assert "0–1 (0.00–0.12 s), 4 (0.25 s), 6–7 (0.38–0.50 s), 9 (0.56 s)" in text
    assert "without" not in describe([trajectory(0, [True] * 4)], 4, 16.0)


def test_masks_are_drawn_where_faces_are_there() -> None:
    done: list[int] = []
    masks = draw_faces(torch.zeros(5, 100, 100, 3), [trajectory(1, [True, False, True])], Style(BOX), done.append)
    assert masks.dtype == torch.float32 and masks.shape == (5, 100, 100)
    assert [bool(mask.any()) for mask in masks] == [False, True, False, True, False]
    assert done == [1, 2, 3, 4, 5]


class CountingMesh(FaceMesh):
    """Finds the points on a line as far right as it has looked often, and notes each picture's first pixel."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def points(self, picture: NDArray[numpy.uint8], face: Face) -> NDArray[numpy.float64]:
        assert face.keypoints.shape == (5, 2)
        self.seen.append(int(picture[0, 0, 0]))
        return numpy.full((POINTS, 2), float(len(self.seen)))


def numbered_frames(count: int) -> Tensor:
    return (torch.arange(count) / 255).view(-1, 1, 1, 1).expand(-1, 100, 100, 3)


def test_the_mesh_looks_only_where_a_face_is_and_tells_after_each_look() -> None:
    mesh, done = CountingMesh(), list[int]()
    faces = [trajectory(1, [True, True, False, False, True]), trajectory(8, [True])]
    first, second = outline_faces(mesh, numbered_frames(12), faces, 0, done.append)
    assert mesh.seen == [1, 2, 5, 8]
    assert done == [3, 6, 9, 12]
    assert first.keypoints.shape == (5, POINTS, 2)
    assert first.keypoints[first.visible, 0, 0].tolist() == [1, 2, 3] and second.keypoints[0, 0, 0] == 4
    assert outline_faces(mesh, numbered_frames(12), [], 0, done.append) == []


def test_no_point_moves_towards_frames_without_the_face() -> None:
    faces = [trajectory(0, [True] * 9 + [False] * 9 + [True] * 9)]
    (outlined,) = outline_faces(CountingMesh(), numbered_frames(27), faces, 7, lambda done: None)
    places = outlined.keypoints[outlined.visible, 0, 0]
    assert places == pytest.approx(numpy.arange(1, 19))


def test_a_cancel_ends_the_mesh_after_one_look() -> None:
    def cancel(done: int) -> None:
        raise KeyboardInterrupt

    mesh = CountingMesh()
    with pytest.raises(KeyboardInterrupt):
        outline_faces(mesh, numbered_frames(9), [trajectory(0, [True] * 9)] * 3, 0, cancel)
    assert len(mesh.seen) == 1


@pytest.mark.parametrize(
    ("size", "aspect"), [((1000, 1000), 0.75), ((1000, 1000), 16 / 9), ((300, 900), 1.0), ((900, 240), 0.75)]
)
def test_a_portrait_stays_in_the_picture_and_shows_the_face(size: tuple[int, int], aspect: float) -> None:
    for left, top in ((0.0, 0.0), (100.0, 60.0), (size[0] - 100.0, size[1] - 120.0)):
        box = numpy.array([left, top, left + 100, top + 120])
        crop = portrait_crop(size, box, aspect, 0.4)
        assert 0 <= crop.left and crop.left + crop.width <= size[0]
        assert 0 <= crop.top and crop.top + crop.height <= size[1]
        assert crop.width / crop.height == pytest.approx(aspect, rel=0.02)
        assert crop.left <= left and left + 100 <= crop.left + crop.width
        assert crop.top <= top and top + 120 <= crop.top + crop.height


def test_a_portrait_has_room_above_and_shoulders_below() -> None:
    crop = portrait_crop((2000, 2000), numpy.array([950.0, 900.0, 1050.0, 1020.0]), 0.75, 0.4)
    assert (crop.height, crop.width) == (300, 225)
    assert crop.left + crop.width / 2 == pytest.approx(1000, abs=1)
    above, below = 900 - crop.top, crop.top + crop.height - 1020
    assert 0.2 < above / crop.height < below / crop.height


# Real pictures


@pytest.fixture(scope="module")
def detector(shared_data: Path) -> FaceDetector:
    pytest.importorskip("insightface", reason="needs insightface")
    return open_detector(shared_data / "face" / "scrfd_500m_kps.onnx")


class Forgetful(FaceDetector):
    """Another detector, which misses what it is asked at some turns, and counts them."""

    def __init__(self, other: FaceDetector, missed: range = range(0)) -> None:
        self.other, self.missed, self.asked = other, missed, 0

    def faces(self, picture: NDArray) -> list[Face]:
        self.asked += 1
        return [] if self.asked - 1 in self.missed else self.other.faces(picture)


def masks_of(
    frames: Tensor, detector: FaceDetector, every: int = 0, choice=largest, rate: Fraction | float = 25
) -> tuple[Tensor, list[Trajectory]]:
    search = Search(choice, Timing.of_seconds(1.0, 0.4, float(rate)), every)
    faces = find_faces(frames, detector, search, lambda done: None).chosen
    return draw_faces(frames, faces, Style(), lambda done: None), faces


def iou(first: Tensor, second: Tensor) -> float:
    return float(torch.minimum(first, second).sum() / torch.maximum(first, second).sum())


@pytest.mark.parametrize("clip", ["clips/speaker_at_table.mp4", "grid/G_swiz3n.mpg"])
def test_a_clip_is_followed_with_a_quarter_of_the_detections(
    shared_data: Path, detector: FaceDetector, clip: str
) -> None:
    frames, rate, _ = read_video(shared_data / clip)
    frames = frames[:33]
    seldom, always = Forgetful(detector), Forgetful(detector)
    sparse, faces = masks_of(frames, seldom, rate=rate)
    dense, _ = masks_of(frames, always, every=1, rate=rate)
    assert always.asked == len(frames) and seldom.asked <= 0.4 * len(frames)
    assert frames_without(faces, len(frames)) == []
    agreement = [iou(first, second) for first, second in zip(sparse, dense, strict=True)]
    assert numpy.mean(agreement) > 0.95 and min(agreement) > 0.85
    steady = [iou(first, second) for first, second in zip(sparse, sparse[1:], strict=False)]
    assert numpy.mean(steady) > 0.93 and min(steady) > 0.85


@pytest.mark.parametrize("channels", [1, 4])
def test_pictures_of_any_channels_have_faces(shared_data: Path, detector: FaceDetector, channels: int) -> None:
    portrait = read_image(shared_data / "portraits" / "woman.png")
    grey, opaque = portrait.mean(dim=-1, keepdim=True), torch.ones(*portrait.shape[:3], 1)
    picture = grey if channels == 1 else torch.cat([portrait, opaque], dim=-1)
    assert iou(masks_of(to_rgb(picture), detector)[0], masks_of(portrait, detector)[0]) > 0.9


def test_missed_detections_leave_no_hole(shared_data: Path, detector: FaceDetector) -> None:
    frames, rate, _ = read_video(shared_data / "grid" / "G_lwbsza.mpg")
    frames = frames[:30]
    known, _ = masks_of(frames, detector, every=1, rate=rate)
    filled, faces = masks_of(frames, Forgetful(detector, range(8, 18)), every=1, rate=rate)
    assert frames_without(faces, len(frames)) == []
    assert min(iou(first, second) for first, second in zip(known, filled, strict=True)) > 0.85


def test_number_two_stays_number_two_until_the_film_is_cut(shared_data: Path, detector: FaceDetector) -> None:
    first, second = (read_video(shared_data / "grid" / f"{name}.mpg")[0][:12] for name in ("G_bbaf2n", "G_lbbc2a"))
    film = torch.cat([torch.cat([first, second], dim=2), torch.cat([second, first], dim=2)])
    masks, faces = masks_of(film, detector, choice=Numbered(2), every=4)
    assert [(face.start, len(face.boxes)) for face in faces] == [(0, 12), (12, 12)]
    alone = torch.cat([masks_of(clip, detector, every=4)[0] for clip in (second, first)])
    assert not masks[:, :, :360].any()
    assert iou(masks[:, :, 360:], alone) > 0.85
    assert len(masks_of(film, detector, choice=every_face, every=4)[1]) == 4


def test_the_mesh_hugs_the_face(shared_data: Path, detector: FaceDetector) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    portrait = read_image(shared_data / "portraits" / "woman.png")
    search = Search(largest, Timing(0, 0))
    (face,) = find_faces(portrait, detector, search, lambda done: None).chosen
    mesh = FaceMesh(shared_data / "face" / "face_landmark.onnx")
    (outlined,) = outline_faces(mesh, portrait, [face], 0, lambda done: None)
    five, many, ellipse = (
        draw_faces(portrait, [drawn_face], style, lambda done: None)
        for style, drawn_face in ((Style(HULL), face), (Style(HULL), outlined), (Style(ELLIPSE), face))
    )
    assert float((five * many).sum() / five.sum()) > 0.99
    assert 0.75 < iou(many, ellipse) < 0.99
    assert five.sum() < 0.4 * many.sum()


def test_a_file_that_is_no_mesh_is_named(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    (tmp_path / "face_landmark.onnx").write_text("hello", encoding="utf-8")
    with pytest.raises(ValueError, match="face_landmark.onnx is damaged or no ONNX file"):
        FaceMesh(tmp_path / "face_landmark.onnx")
    with pytest.raises(ValueError, match="is not MediaPipe's face mesh"):
        FaceMesh(shared_data / "face" / "scrfd_500m_kps.onnx")


def test_portraits_with_small_faces_or_none_have_a_fault(shared_data: Path, detector: FaceDetector) -> None:
    portrait = read_image(shared_data / "portraits" / "woman.png")
    assert portrait_fault("portrait", portrait, detector) is None
    assert portrait_fault("portrait", portrait.mean(dim=-1, keepdim=True), detector) is None
    far = torch.zeros(1, 1500, 1000, 3)
    far[:, 600:856, 400:592] = portrait[:, ::4, ::4]
    fault = portrait_fault("portrait", far, detector)
    assert fault is not None and "below 8%" in fault and "UniAVGen Face Portrait" in fault
    assert "No face is found in portrait" in (portrait_fault("portrait", far[:, :300], detector) or "")


@pytest.mark.parametrize("name", ["woman", "second"])
def test_a_portrait_of_a_portrait_is_framed_as_asked(shared_data: Path, detector: FaceDetector, name: str) -> None:
    picture = read_image(shared_data / "portraits" / f"{name}.png")
    canvas = torch.zeros(1, 1400, 1600, 3)
    canvas[:, 200 : 200 + picture.shape[1], 300 : 300 + picture.shape[2]] = picture
    face = detector.largest_face((canvas[0] * 255).byte().numpy())
    assert face is not None
    crop = portrait_crop((1600, 1400), face.box, 0.75, 0.5)
    cut = canvas[0, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    again = detector.largest_face((cut * 255).byte().numpy())
    assert again is not None
    assert (again.box[3] - again.box[1]) / crop.height == pytest.approx(0.5, abs=0.05)
    assert area(again.box) == pytest.approx(area(face.box), rel=0.1)
