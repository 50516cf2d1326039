"""How well found faces fit drawn ones: python -m uniavgen_lab.benchmarks.drawn_faces --detector DETECTOR.onnx ...

Follows the face in clips of the corpus' test part, as UniAVGen Face Mask does with margin and feather 0, and prints of
each detector and shape in which share of the frames the face is found, and how alike found and true masks are: the mean
intersection over union by pixel, and by video token as the model's predicted masks are measured. Needs the extra
`training`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from uniavgen_core.config import FRAME_RATE
from uniavgen_core.face.detection import FaceDetector
from uniavgen_core.face.masks import draw_faces
from uniavgen_core.face.models import open_detector
from uniavgen_core.face.shapes import BOX, ELLIPSE, FULL, Style

from ..evaluation.image_measures import mask_iou
from ..training.render import token_mask
from ..world.corpus import SPLITS, CorpusClip, make_clip
from ..world.synthesiser import Synthesiser
from .face_search import follow_largest, fraction_found

SHAPES = (ELLIPSE, BOX)


def measure_masks(clip: CorpusClip, detector: FaceDetector) -> dict[str, dict[str, float]]:
    """Of each shape: the share of the frames in which the face is found, and the likeness of the masks."""
    frames = torch.from_numpy(clip.frames).float() / FULL
    faces = follow_largest(frames, FRAME_RATE, detector)
    found = fraction_found(faces, len(frames))
    true, true_tokens = clip.face_mask / FULL, token_mask(torch.from_numpy(clip.face_mask)).numpy()
    rows = {}
    for shape in SHAPES:
        masks = draw_faces(frames, faces, Style(shape), lambda done: None)
        rows[shape] = {
            "found": found,
            "pixels": fmean(mask_iou(mask, face) for mask, face in zip(masks.numpy(), true, strict=True)),
            "tokens": mask_iou(token_mask(masks * FULL).numpy(), true_tokens),
        }
    return rows


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean clip."""
    return {name: fmean(row[name] for row in rows) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", type=Path, nargs="+", required=True, help="YuNet, or a detector of insightface")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--json", action="store_true", help="print all figures as JSON on the last line")
    arguments = parser.parse_args()
    synthesiser = Synthesiser()
    # Every other seed, as two neighbours are one person.
    clips = [make_clip(seed, synthesiser) for seed in SPLITS["test"][::2][: arguments.clips]]
    figures: dict[str, Any] = {}
    print(f"{'detector':28s}  shape    found  IoU by pixel  by token")
    for path in arguments.detector:
        detector = open_detector(path)
        measured = [measure_masks(clip, detector) for clip in clips]
        figures[path.name] = {shape: mean([rows[shape] for rows in measured]) for shape in SHAPES}
        for shape, row in figures[path.name].items():
            print(f"{path.name:28s}  {shape:7s}  {row['found']:5.1%}  {row['pixels']:12.2f}  {row['tokens']:8.2f}")
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
