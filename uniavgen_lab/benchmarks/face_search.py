"""Speed and steadiness of face masks: python -m uniavgen_lab.benchmarks.face_search clip.mp4 --detector det_500m.onnx

Masks the largest face of a clip at 720p twice, looking at every frame and at as few as its motion allows, and prints of
both how many detections that took, frames a second, the processors' work, in how many frames the face was found, and
how alike the masks of neighbouring frames are (IoU); and how alike the masks of the two runs are. On a loaded machine,
read the work and the ratio of the two speeds, not the frames a second.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from uniavgen_core.face.choice import largest
from uniavgen_core.face.detection import Face, FaceDetector
from uniavgen_core.face.masks import (
    LONGEST_GAP_SECONDS,
    SMOOTHING_SECONDS,
    Search,
    draw_faces,
    find_faces,
    frames_without,
)
from uniavgen_core.face.models import open_detector
from uniavgen_core.face.shapes import Style
from uniavgen_core.face.tracks import Timing, Trajectory

from ..video_files import read_video

HEIGHT, WIDTH = 720, 1280
STYLE = Style(margin=0.1, feather=0.1)
MODES = {"every frame": 1, "automatic": 0}


class Counting(FaceDetector):
    """A detector that counts its detections."""

    def __init__(self, other: FaceDetector) -> None:
        self.other, self.count = other, 0

    def detect(self, image: NDArray[numpy.uint8]) -> list[Face]:
        self.count += 1
        return self.other.detect(image)


def at_720p(frames: Tensor) -> Tensor:
    """Frames (F, 720, 1280, 3), whatever their aspect was: a face stays one if it is a little wider."""
    resized = [functional.interpolate(frame.movedim(-1, 0)[None], (HEIGHT, WIDTH))[0] for frame in frames]
    return torch.stack(resized).movedim(1, -1)


def follow_largest(frames: Tensor, rate: float, detector: FaceDetector, every: int = 0) -> list[Trajectory]:
    """Where the largest face is, as UniAVGen Face Mask follows it; 0 looks at as few frames as its motion allows."""
    timing = Timing.of_seconds(LONGEST_GAP_SECONDS, SMOOTHING_SECONDS, rate)
    return find_faces(frames, detector, Search(largest, timing, every), lambda done: None).chosen


def fraction_found(faces: list[Trajectory], frames: int) -> float:
    """The share of the frames in which a face is found."""
    return 1 - sum(len(gap) for gap in frames_without(faces, frames)) / frames


def measure_search(frames: Tensor, rate: float, other: FaceDetector, every: int) -> tuple[dict[str, Any], Tensor]:
    """One run's row, and its masks."""
    detector = Counting(other)
    start, start_of_work = time.perf_counter(), time.process_time()
    faces = follow_largest(frames, rate, detector, every)
    masks = draw_faces(frames, faces, STYLE, lambda done: None)
    seconds, work = time.perf_counter() - start, time.process_time() - start_of_work
    steadiness = [iou(first, second) for first, second in zip(masks, masks[1:], strict=False)]
    row = {
        "detections": detector.count,
        "frames_per_second": len(frames) / seconds,
        "work_milliseconds_a_frame": 1000 * work / len(frames),
        "found": fraction_found(faces, len(frames)),
        "steadiness": float(numpy.mean(steadiness)),
        "least_steadiness": min(steadiness),
    }
    return row, masks


def iou(first: Tensor, second: Tensor) -> float:
    """How alike two masks are; where both are empty, entirely."""
    union = torch.maximum(first, second).sum()
    return float(torch.minimum(first, second).sum() / union) if union else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--detector", type=Path, required=True, help="YuNet, or a detector of insightface")
    parser.add_argument("--frames", type=int, default=81, help="at most so many of the clip")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON on the last line")
    arguments = parser.parse_args()
    frames, rate, _ = read_video(arguments.clip)
    frames, detector = at_720p(frames[: arguments.frames]), open_detector(arguments.detector)
    detector.faces(frames[0].numpy())
    runs = {name: measure_search(frames, float(rate), detector, every) for name, every in MODES.items()}
    print("looks at     detections  frames/s  work ms/frame  found  steadiness  least")
    for name, (row, _) in runs.items():
        print(
            f"{name:11s}  {row['detections']:10d}  {row['frames_per_second']:8.1f}  "
            f"{row['work_milliseconds_a_frame']:13.1f}  {row['found']:5.0%}  {row['steadiness']:10.3f}  "
            f"{row['least_steadiness']:5.3f}"
        )
    (every, dense), (automatic, sparse) = runs.values()
    alike = [iou(first, second) for first, second in zip(sparse, dense, strict=True)]
    both = {
        "frames": len(frames),
        "speed_ratio": automatic["frames_per_second"] / every["frames_per_second"],
        "alike": float(numpy.mean(alike)),
        "least_alike": min(alike),
    }
    print(f"{both['speed_ratio']:.1f} times as fast; IoU {both['alike']:.3f} (at least {both['least_alike']:.3f})")
    if arguments.json:
        print(json.dumps({**both, **{name.replace(" ", "_"): row for name, (row, _) in runs.items()}}))


if __name__ == "__main__":
    main()
