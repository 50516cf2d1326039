"""The benchmarks run; what they measure is theirs to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).absolute().parent.parent / "benchmarks"


MORE_BYTES = 1.5e7
"""The frames of 12 more seconds alone would be 38 MB."""
RETURN_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""What is freed goes back to the system: otherwise peaks of equal runs differ by more."""


def test_memory_of_a_long_clip_does_not_grow_with_it() -> None:
    short, long = (made(seconds) for seconds in (4, 16))
    assert long["segments"] > short["segments"] >= 2
    assert long["peak_bytes"] - short["peak_bytes"] < MORE_BYTES


def test_face_masks_take_fewer_detections_and_hardly_differ(shared_data: Path) -> None:
    pytest.importorskip("insightface", reason="needs insightface")
    clip, detector = shared_data / "grid" / "G_swiz3n.mpg", shared_data / "face" / "scrfd_500m_kps.onnx"
    command = [sys.executable, str(BENCHMARKS / "face_mask.py"), str(clip), "--detector", str(detector)]
    command += ["--frames", "17", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(result.stdout.splitlines()[-1])
    assert figures["every_frame"]["detections"] == figures["frames"] == 17
    assert figures["automatic"]["detections"] <= 9
    assert figures["automatic"]["found"] == 1 and figures["least_alike"] > 0.9


def made(seconds: int) -> dict[str, float]:
    command = [sys.executable, str(BENCHMARKS / "long_form_memory.py"), "--seconds", str(seconds), "--steps", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | RETURN_AT_ONCE)
    row: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    assert row["seconds"] == pytest.approx(seconds, abs=1 / 16)
    return row
