"""Faces over time, with a detector that knows where they are: looking seldom, tracks, gaps, jitter, who is meant."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from uniavgen_core.face.choice import MostAlike, Numbered, every_face, largest
from uniavgen_core.face.detection import Face
from uniavgen_core.face.tracks import Timing, Trajectory, detect_shot, find_shots, find_tracks, follow

SIZE = (400, 600)
"""Height and width of the frames that nobody sees."""
TIMING = Timing(longest_gap=16, smoothing=7)


def face(x: float, y: float = 200.0, side: float = 60.0, score: float = 0.9) -> Face:
    """A square face around a point."""
    box = numpy.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], dtype=numpy.float32)
    return Face(box, numpy.full((5, 2), (x, y), dtype=numpy.float32), score)


def follow_all(
    faces: Callable[[int], list[Face]], frames: int, every: int = 1, timing: Timing = TIMING
) -> list[Trajectory]:
    shot = range(frames)
    tracks = find_tracks(detect_shot(faces, shot, every, lambda done: None))
    return [follow(track, shot, SIZE, timing) for track in tracks]


def middles(trajectory: Trajectory) -> NDArray[numpy.float64]:
    return (trajectory.boxes[:, 0] + trajectory.boxes[:, 2]) / 2


def looks(faces: Callable[[int], list[Face]], frames: int) -> list[int]:
    return sorted(detect_shot(faces, range(frames), 0, lambda done: None))


def test_what_moves_evenly_is_looked_at_every_fourth_frame() -> None:
    assert looks(lambda frame: [face(100 + 2 * frame)], 33) == list(range(0, 33, 4))
    assert looks(lambda frame: [], 33) == list(range(0, 33, 4))
    assert looks(lambda frame: [face(100)], 1) == [0]


def test_what_jumps_comes_or_goes_is_looked_at_closely() -> None:
    jumping = looks(lambda frame: [face(100 if frame < 21 else 150)], 33)
    assert {20, 21} <= set(jumping) and len(jumping) < 15
    (coming,) = follow_all(lambda frame: [face(300)] if frame >= 21 else [], 33, 0, Timing(4, 1))
    assert coming.start == 21


def test_each_so_manieth_frame_and_the_last_one() -> None:
    done: list[int] = []
    found = detect_shot(lambda frame: [], range(10, 20), 4, done.append)
    assert sorted(found) == [10, 14, 18, 19]
    assert done == sorted(done) and done[-1] == 20


def test_progress_can_end_the_work() -> None:
    def cancel(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detect_shot(lambda frame: [], range(100), 0, cancel)


def test_two_people_keep_their_tracks_as_one_is_missed() -> None:
    def faces(frame: int) -> list[Face]:
        left, right = face(200 + frame), face(290 + frame)
        # The order of what is found says nothing, and the left one turns away for a while.
        return [right] if 10 <= frame < 18 else [right, left] if frame % 2 else [left, right]

    first, second = follow_all(faces, 40)
    assert (first.start, len(first.boxes), second.start, len(second.boxes)) == (0, 40, 0, 40)
    assert first.visible.all() and second.visible.all()
    expected = numpy.arange(40)
    for trajectory, start in ((first, 200), (second, 290)):
        assert abs(middles(trajectory) - start - expected).max() < 0.5


def test_a_long_absence_is_a_gap_of_the_same_face() -> None:
    (trajectory,) = follow_all(lambda frame: [] if 20 <= frame < 60 else [face(300)], 80, 0)
    assert trajectory.visible.tolist() == [True] * 20 + [False] * 40 + [True] * 20


def test_a_face_was_there_before_it_is_found_unless_it_came_over_the_border() -> None:
    def come(x: float) -> Trajectory:
        return follow_all(lambda frame: [face(x)] if frame >= 5 else [], 20)[0]

    assert come(300).start == 0 and come(300).visible.all()
    assert come(32).start == 5


def test_unsure_faces_go_on_with_a_track_but_start_none() -> None:
    def faces(frame: int) -> list[Face]:
        return [face(200, score=0.9 if frame < 5 else 0.35), face(450, score=0.4)]

    (trajectory,) = follow_all(faces, 30, timing=Timing(0, 1))
    assert len(trajectory.boxes) == 30 and middles(trajectory).mean() == pytest.approx(200)


def test_what_is_seen_once_in_a_clip_is_a_mistake() -> None:
    assert len(follow_all(lambda frame: [face(200)] + [face(450)] * (frame == 7), 20)) == 1
    assert len(follow_all(lambda frame: [face(200), face(450)], 1)) == 2


def test_jitter_is_smoothed_and_nothing_lags() -> None:
    noise = numpy.random.default_rng(0).normal(0, 2, 120)
    path = 200 + 60 * numpy.sin(numpy.arange(120) / 9)

    (trajectory,) = follow_all(lambda frame: [face(path[frame] + noise[frame])], 120)
    error = middles(trajectory) - path
    assert error.std() < 0.7 * noise.std()
    shifted = [abs(middles(trajectory)[10:-10] - path[10 + lag : 110 + lag]).mean() for lag in (-2, -1, 0, 1, 2)]
    assert int(numpy.argmin(shifted)) == 2
    assert abs(numpy.diff(middles(trajectory), 2)).mean() < 0.4 * abs(numpy.diff(path + noise, 2)).mean()


def shown(trajectories: list[Trajectory]) -> list[tuple[float, list[int]]]:
    return [(float(middles(trajectory)[0]), trajectory.frames.tolist()) for trajectory in trajectories]


def test_who_is_meant() -> None:
    def faces(frame: int) -> list[Face]:
        large = [face(300, side=120)] if frame < 30 else []
        return [face(500), *large, face(100, side=80)]

    trajectories = follow_all(faces, 60, timing=Timing(0, 1))
    assert len(every_face(trajectories)) == 3
    assert shown(Numbered(1)(trajectories)) == [(100.0, list(range(60)))]
    assert shown(Numbered(2)(trajectories)) == [(300.0, list(range(30)))]
    assert Numbered(4)(trajectories) == []
    # The left one is the largest on the whole; where it is not, others would take its place.
    assert shown(largest(trajectories)) == [(300.0, list(range(30))), (100.0, list(range(30, 60)))]
    assert largest([]) == []


class KnownPeople:
    """Tells people by where they are: the features turn with the place."""

    def features(self, picture: NDArray[numpy.uint8], face: Face) -> NDArray[numpy.float32]:
        angle = float(face.keypoints[0, 0]) / 200
        return numpy.array([numpy.cos(angle), numpy.sin(angle)], dtype=numpy.float32)


def test_the_face_most_like_another_one() -> None:
    trajectories = follow_all(lambda frame: [face(100), face(300), face(500)], 20)
    frames = torch.zeros(20, 4, 4, 3)
    people = KnownPeople()

    def like(x: float) -> list[float]:
        chosen = MostAlike(people, people.features(numpy.zeros((4, 4, 3), dtype=numpy.uint8), face(x)), frames)
        return [round(middles(trajectory)[0]) for trajectory in chosen(trajectories)]

    assert like(310) == [300] and like(90) == [100]
    assert like(880) == []


def picture(seed: int) -> Tensor:
    """A scene: soft blobs."""
    coarse = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (90, 120), mode="bicubic").clamp(0, 1)[0].movedim(0, -1)


def test_cuts_are_found_and_flashes_are_none() -> None:
    first, second = picture(0), picture(1)
    noise = 0.02 * torch.rand(30, 90, 120, 3, generator=torch.Generator().manual_seed(2))
    film = noise + torch.stack([first.roll(frame, 1) if frame < 14 else second for frame in range(30)])
    assert find_shots(film) == [range(14), range(14, 30)]
    film = noise + first
    film[10] = film[10] * 0.5 + 0.5
    fade = torch.linspace(1, 0.1, 30).view(-1, 1, 1, 1)
    assert find_shots(film) == find_shots(film * fade) == [range(30)]
    assert find_shots(film[:1]) == [range(1)] and find_shots(film[:0]) == []


def test_unlike_pictures_are_a_shot_each() -> None:
    assert find_shots(torch.stack([picture(seed) for seed in range(4)])) == [range(i, i + 1) for i in range(4)]
