"""The benchmarks run; what they measure is theirs to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu
import pytest
import torch
from torch import Tensor

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
    measured = rows["bf16", "no"]
    assert "note" not in measured and 1e-4 < measured["error"] < gpu.LIMITS["bf16"]
    assert measured["seconds_a_step"] > 0 and measured["share_of_matmul_rate"] > 0
    assert "none_such" in rows["bf16", "yes"]["note"]
    for compiled in ("no", "yes"):
        assert "not measured on a processor" in rows["fp8", compiled]["note"]
        assert "not measured on a processor" in result.stdout


def test_fp8_layers_keep_to_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the product spelled out: torch's own takes minutes on a processor."""

    def product(
        rows: Tensor, weight: Tensor, *, scale_a: Tensor, scale_b: Tensor, bias: Tensor | None, out_dtype: torch.dtype
    ) -> Tensor:
        assert rows.dtype == weight.dtype == gpu.FLOAT8
        made = (rows.float() * scale_a) @ (weight.float() * scale_b)
        return (made if bias is None else made + bias).to(out_dtype)

    monkeypatch.setattr(torch, "_scaled_mm", product)
    with torch.inference_mode():
        error = gpu.check("fp8", None, torch.device("cpu"))
    assert gpu.LIMITS["bf16"] < error < gpu.LIMITS["fp8"]


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
