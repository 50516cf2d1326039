"""Faces through a clip: its shots, where faces are looked for, which are the same, and where each is in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy
from numpy.typing import NDArray
from torch import Tensor

from ..files import needed
from .detection import CERTAIN_SCORE, FIND_FACES, Face

THUMBNAIL_SIDE = 24
"""Samples along a frame's shorter side that are compared."""
CUT = (0.06, 0.8)
"""Two frames with a mean difference of brightness (0..1) above the first and a correlation below the second are of
different shots."""
LIKELY_CUT = (0.03, 0.92)
"""Two frames that differ by this much are so if those around them hardly do: two shots of one studio look alike."""
STANDS_OUT = 4
"""So many times the difference of the frames before or after."""


def find_shots(frames: Tensor) -> list[range]:
    """Runs of frames (F, height, width, 3) of values 0..1 between cuts."""
    if len(frames) == 0:
        return []
    thumbnails = _thumbnails(frames)
    difference = abs(numpy.diff(thumbnails, axis=0)).mean(axis=1)
    centred = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    length = numpy.sqrt((centred**2).sum(axis=1)) + 1e-6
    correlation = (centred[1:] * centred[:-1]).sum(axis=1) / (length[1:] * length[:-1])
    around = numpy.pad(difference, 1)
    stands_out = difference > STANDS_OUT * numpy.maximum(around[:-2], around[2:])
    sure, likely = ((difference > least) & (correlation < most) for least, most in (CUT, LIKELY_CUT))
    cuts = numpy.flatnonzero(sure | (likely & stands_out)) + 1
    edges = [0, *cuts.tolist(), len(frames)]
    return [range(start, end) for start, end in zip(edges, edges[1:], strict=False)]


def _thumbnails(frames: Tensor) -> NDArray[numpy.float32]:
    """Brightness (F, samples) on a coarse grid."""
    step = max(1, min(frames.shape[1:3]) // THUMBNAIL_SIDE)
    samples = frames[:, step // 2 :: step, step // 2 :: step].mean(dim=-1)
    return samples.flatten(1).float().cpu().numpy()


MOST_CHANGE = 1.0
"""Faces farther apart than this are not the same: the way between their middles in sizes of the face, plus how much
larger one is (the logarithm of the ratio of their sizes)."""
FEW_LOOKS = 5
"""In a shot in which faces were looked for this often, one that was seen once only is a mistake."""


@dataclass(frozen=True)
class FaceTrack:
    """One face through a shot.

    Attributes:
        sightings: the face by the frames in which it was seen.
        looked: all frames of the shot in which faces were looked for, in order.
    """

    sightings: dict[int, Face]
    looked: list[int]


def change(first: Face, second: Face) -> float:
    """How far apart two faces are in place and size (see MOST_CHANGE)."""
    boxes = numpy.stack([first.box, second.box]).astype(float)
    sizes = numpy.sqrt((boxes[:, 2:] - boxes[:, :2]).clip(1).prod(axis=1))
    middles = (boxes[:, 2:] + boxes[:, :2]) / 2
    way = numpy.hypot(*(middles[1] - middles[0])) / numpy.sqrt(sizes.prod())
    return float(way + abs(numpy.log(sizes[1] / sizes[0])))


def matches(first: list[Face], second: list[Face]) -> list[tuple[int, int]]:
    """Indices of the faces in two lists that are the same, paired so that they change least in all."""
    if not first or not second:
        return []
    costs = numpy.array([[change(face, other) for other in second] for face in first])
    assign = needed("scipy.optimize", FIND_FACES, package="scipy").linear_sum_assignment
    pairs = zip(*assign(costs.clip(None, 2 * MOST_CHANGE)), strict=True)
    return [(int(row), int(column)) for row, column in pairs if costs[row, column] <= MOST_CHANGE]


def find_tracks(found: dict[int, list[Face]]) -> list[FaceTrack]:
    """The faces of a shot.

    A face keeps its track however long it is not seen, if it is found again near the place where it was last. Unsure
    faces go on with a track, but start none.

    Args:
        found: faces by the frames in which they were looked for.
    """
    looked = sorted(found)
    tracks: list[dict[int, Face]] = []
    for frame in looked:
        faces = found[frame]
        last = [sightings[max(sightings)] for sightings in tracks]
        pairs = matches(last, faces)
        for track, index in pairs:
            tracks[track][frame] = faces[index]
        known = {index for _, index in pairs}
        tracks += [
            {frame: face} for index, face in enumerate(faces) if index not in known and face.score >= CERTAIN_SCORE
        ]
    fewest = 2 if len(looked) >= FEW_LOOKS else 1
    return [FaceTrack(sightings, looked) for sightings in tracks if len(sightings) >= fewest]


POLYNOMIAL = 2
"""Degree of the curve that is laid through a face's places: a motion that slows down or speeds up stays as it is."""
BORDER = 0.02
"""A face whose box ends this near the picture's border, in sides of the picture, may have come or gone over it."""


@dataclass(frozen=True)
class Timing:
    """Lengths in frames.

    Attributes:
        longest_gap: for how long a face that is not found is taken to be there still.
        smoothing: how many frames a place is smoothed over.
    """

    longest_gap: int
    smoothing: int

    @classmethod
    def of_seconds(cls, longest_gap: float, smoothing: float, frame_rate: float) -> Timing:
        return cls(round(longest_gap * frame_rate), round(smoothing * frame_rate))


@dataclass(frozen=True)
class Trajectory:
    """A face's places in the frames from its first to its last.

    Attributes:
        start: its first frame.
        boxes: left, top, right and bottom in pixels, (n, 4).
        keypoints: (n, 5, 2), or (n, 468, 2) of the mesh.
        visible: whether the face is there, (n) bool.
        sightings: the face by the frames in which it was found.
    """

    start: int
    boxes: NDArray[numpy.float64]
    keypoints: NDArray[numpy.float64]
    visible: NDArray[numpy.bool_]
    sightings: dict[int, Face] = field(repr=False)

    @property
    def areas(self) -> NDArray[numpy.float64]:
        """Pixels of the boxes, (n)."""
        areas: NDArray[numpy.float64] = (self.boxes[:, 2:] - self.boxes[:, :2]).clip(0).prod(axis=1)
        return areas

    @property
    def frames(self) -> NDArray[numpy.int64]:
        """The frames in which the face is there."""
        return numpy.flatnonzero(self.visible) + self.start


def follow(track: FaceTrack, shot: range, size: tuple[int, int], timing: Timing) -> Trajectory:
    """A track's place in every frame of a shot from where the face comes to where it goes.

    Between two sightings the face moves evenly. It counts as there unless it was looked for and missed for longer than
    the longest gap. Where the shot begins or ends within such a gap of it, it was there before or is after, unless it
    may have come or gone over the picture's border. The smoothing looks as far ahead as back, so nothing lags.

    Args:
        track: the face in some frames.
        shot: its frames.
        size: height and width of the frames in pixels.
        timing: longest gap and smoothing.
    """
    seen = numpy.array(sorted(track.sightings))
    faces = [track.sightings[frame] for frame in seen.tolist()]
    start = _extended(int(seen[0]), shot[0], faces[0], size, timing)
    end = _extended(int(seen[-1]), shot[-1], faces[-1], size, timing)
    frames = numpy.arange(start, end + 1)
    values = numpy.stack([numpy.concatenate([face.box, face.keypoints.ravel()]) for face in faces], axis=1)
    places = numpy.stack([numpy.interp(frames, seen, row) for row in values], axis=1)
    visible = numpy.ones(len(frames), dtype=bool)
    for before, after in zip(seen.tolist(), seen.tolist()[1:], strict=False):
        missed = any(before < frame < after for frame in track.looked)
        if missed and after - before - 1 > timing.longest_gap:
            visible[before + 1 - start : after - start] = False
    places = smooth_runs(places, visible, timing.smoothing)
    return Trajectory(start, places[:, :4], places[:, 4:].reshape(-1, 5, 2), visible, track.sightings)


def smooth(rows: NDArray[numpy.float64], window: int) -> NDArray[numpy.float64]:
    """Rows (n, …) of values, each laid on the curve through those around it."""
    window = min(window, len(rows))
    window -= 1 - window % 2
    if window <= POLYNOMIAL + 1:
        return rows
    signal = needed("scipy.signal", FIND_FACES, package="scipy")
    smoothed: NDArray[numpy.float64] = signal.savgol_filter(rows, window, POLYNOMIAL, axis=0, mode="interp")
    return smoothed


def smooth_runs(places: NDArray[numpy.float64], visible: NDArray[numpy.bool_], window: int) -> NDArray[numpy.float64]:
    """Places (n, …), smoothed within each run of frames in which the face is there, (n)."""
    edges = numpy.flatnonzero(numpy.diff(visible)) + 1
    return numpy.concatenate([smooth(run, window) for run in numpy.split(places, edges)])


def _extended(frame: int, edge: int, face: Face, size: tuple[int, int], timing: Timing) -> int:
    """The shot's edge where a face was there, too; else the frame."""
    if abs(frame - edge) > timing.longest_gap:
        return frame
    height, width = size
    left, top, right, bottom = face.box
    inside = left > BORDER * width and right < (1 - BORDER) * width
    return edge if inside and top > BORDER * height and bottom < (1 - BORDER) * height else frame


AUTOMATIC_STEP = 8
"""Frames between two detections; with the one in the middle, which checks them, every fourth frame at least is seen."""
TOLERANCE = 0.1
"""Change of a face (as in `tracks`) from what lies between its neighbours up to which it counts as moving evenly."""


def detect_shot(
    detect: Callable[[int], list[Face]], shot: range, every: int, seen: Callable[[int], None]
) -> dict[int, list[Face]]:
    """Faces by the frames of a shot in which they were looked for; the first and the last one are among them.

    Args:
        detect: the faces of a frame.
        shot: its frames.
        every: frames from one look to the next; 0 looks at some, and closer where a face does not move evenly, comes,
            goes or is missed.
        seen: told up to which frame the shot is done.
    """
    found = {shot.start: detect(shot.start)}
    step = every or AUTOMATIC_STEP
    for start in range(shot.start, shot[-1], step):
        end = min(start + step, shot[-1])
        found[end] = detect(end)
        if not every:
            _look_between(detect, found, start, end)
        seen(end)
    seen(shot.stop)
    return found


def _look_between(detect: Callable[[int], list[Face]], found: dict[int, list[Face]], start: int, end: int) -> None:
    """Halve the way between two frames until what is in the middle is what its ends let expect."""
    if end - start < 2:
        return
    middle = (start + end) // 2
    found[middle] = detect(middle)
    if not _expected(found[start], found[middle], found[end], (middle - start) / (end - start)):
        _look_between(detect, found, start, middle)
        _look_between(detect, found, middle, end)


def _expected(before: list[Face], middle: list[Face], after: list[Face], fraction: float) -> bool:
    """Whether the faces of a frame lie where those before and after it let expect, none more and none less."""
    pairs = matches(before, after)
    between = [_between(before[first], after[second], fraction) for first, second in pairs]
    found = matches(between, middle)
    alone = [
        *_without(before, {first for first, _ in pairs}),
        *_without(after, {second for _, second in pairs}),
        *_without(between, {first for first, _ in found}),
        *_without(middle, {second for _, second in found}),
    ]
    if any(face.score >= CERTAIN_SCORE for face in alone):
        return False
    return all(change(between[first], middle[second]) <= TOLERANCE for first, second in found)


def _without(faces: list[Face], indices: set[int]) -> list[Face]:
    return [face for index, face in enumerate(faces) if index not in indices]


def _between(first: Face, second: Face, fraction: float) -> Face:
    box = first.box + fraction * (second.box - first.box)
    points = first.keypoints + fraction * (second.keypoints - first.keypoints)
    return Face(box, points, max(first.score, second.score))
