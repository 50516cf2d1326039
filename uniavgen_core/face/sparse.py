"""Detection on as few frames as a shot's motion allows."""

from __future__ import annotations

from collections.abc import Callable

from .detection import CERTAIN_SCORE, Face
from .tracks import change, matches

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
        every: look at each so-manieth frame; 0 looks at some, and closer where a face does not move evenly, comes,
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


def _expected(before: list[Face], middle: list[Face], after: list[Face], part: float) -> bool:
    """Whether the faces of a frame lie where those before and after it let expect, none more and none less."""
    pairs = matches(before, after)
    between = [_between(before[first], after[second], part) for first, second in pairs]
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


def _without(faces: list[Face], places: set[int]) -> list[Face]:
    return [face for place, face in enumerate(faces) if place not in places]


def _between(first: Face, second: Face, part: float) -> Face:
    box = first.box + part * (second.box - first.box)
    points = first.keypoints + part * (second.keypoints - first.keypoints)
    return Face(box, points, max(first.score, second.score))
