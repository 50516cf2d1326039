"""The benchmarks run; what they measure is theirs to say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmark_figures import benchmark, figures_of, start_benchmark
from torch import Tensor

from uniavgen_lab.benchmarks import gpu
from uniavgen_lab.benchmarks.node_memory import BASE, CASES
from uniavgen_lab.benchmarks.processes import RETURN_AT_ONCE

LENGTHS_SECONDS = (4, 10)
MORE_BYTES = 8e6
"""The frames of 6 more seconds alone would be 19 MB."""


def test_memory_of_a_long_clip_does_not_grow_with_it() -> None:
    flags = (("--seconds", str(seconds), "--steps", "1") for seconds in LENGTHS_SECONDS)
    running = [start_benchmark("long_form_memory", *each, **RETURN_AT_ONCE) for each in flags]
    short, long = map(figures_of, running)
    assert [short["seconds"], long["seconds"]] == pytest.approx(LENGTHS_SECONDS, abs=1 / 16)
    assert long["segments"] > short["segments"] >= 2
    assert long["peak_bytes"] - short["peak_bytes"] < MORE_BYTES


def test_memory_of_reading_is_that_of_the_frames_wanted() -> None:
    """However many frames a video has, 81 of float16 are held, and what decodes them."""
    wanted = 81 * 736 * 992 * 3 * 2
    row = figures_of(start_benchmark("reading_memory", "--form", "96x128@60", **RETURN_AT_ONCE))
    assert row["read"] == 81 and wanted * 0.5 < row["bytes"] < wanted * 1.5


def test_a_node_holds_no_more_than_its_bound() -> None:
    rows = benchmark("node_memory", "--quick")
    assert {*rows} == {*CASES}
    assert {name: row for name, row in rows.items() if not 0 <= row["bytes"] < row["bound"]} == {}


def test_half_an_hour_of_sound_takes_less_than_200_megabytes() -> None:
    case = CASES["Long Form, a sound"]
    assert case.full.seconds == 1800 and BASE + case.bound(case.full) < 200e6


def test_face_masks_take_fewer_detections_and_hardly_differ(shared_data: Path) -> None:
    pytest.importorskip("insightface", reason="needs insightface")
    clip, detector = shared_data / "grid" / "G_swiz3n.mpg", shared_data / "face" / "scrfd_500m_kps.onnx"
    figures = benchmark("face_search", str(clip), "--detector", str(detector), "--frames", "17")
    assert figures["every_frame"]["detections"] == figures["frames"] == 17
    assert figures["automatic"]["detections"] <= 9
    assert figures["automatic"]["found"] == 1 and figures["least_alike"] > 0.9


def test_a_step_is_measured_and_what_cannot_be_had_is_named() -> None:
    flags = ["--device", "cpu", "--sizes", "smaller", "--latent-frames", "2", "--pictures", "96x64", "--runs", "1"]
    figures = benchmark("gpu", *flags, "--backend", "none_such")
    rows = {(row["precision"], row["compile"]): row for row in figures["rows"]}
    assert figures["matmul_rate"] > 0
    measured = rows["bf16", "no"]
    assert "note" not in measured and 1e-4 < measured["error"] < gpu.LIMITS["bf16"]
    assert measured["seconds_a_step"] > 0 and measured["share_of_matmul_rate"] > 0
    assert "none_such" in rows["bf16", "yes"]["note"]
    for compiled in ("no", "yes"):
        row = rows["fp8", compiled]
        assert "not measured on a processor" in row["note"] and row["note"] in gpu.format_row(row)


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
    process = start_benchmark("few_steps", COMFYUI_PATH=str(tmp_path), PYTHONPATH="")
    _, said = process.communicate()
    assert process.returncode == 1 and "COMFYUI_PATH is no folder of ComfyUI" in said
