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


def test_a_step_is_measured_and_what_cannot_be_had_is_named() -> None:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--device", "cpu", "--sizes", "smaller", "--json"]
    command += ["--latent-frames", "2", "--pictures", "96x64", "--runs", "1", "--backend", "none_such"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(result.stdout.splitlines()[-1])
    rows = {(row["precision"], row["compile"]): row for row in figures["rows"]}
    assert figures["matmul_rate"] > 0
    for precision, limit in (("bf16", 2e-2), ("fp8", 8e-2)):
        measured, refused = rows[precision, "no"], rows[precision, "yes"]
        assert "none_such" in refused["note"]
        if "note" not in measured:
            assert 1e-4 < measured["error"] < limit
            assert measured["seconds_a_step"] > 0 and measured["share_of_matmul_rate"] > 0
    assert "note" not in rows["bf16", "no"]


def test_few_steps_are_measured_in_comfyui_alone(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "few_steps.py")]
    environment = os.environ | {"COMFYUI_PATH": str(tmp_path), "PYTHONPATH": ""}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 1 and "COMFYUI_PATH is no folder of ComfyUI" in result.stderr


def made(seconds: int) -> dict[str, float]:
    command = [sys.executable, str(BENCHMARKS / "long_form_memory.py"), "--seconds", str(seconds), "--steps", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | RETURN_AT_ONCE)
    row: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    assert row["seconds"] == pytest.approx(seconds, abs=1 / 16)
    return row
