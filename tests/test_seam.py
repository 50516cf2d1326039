"""The model inside ComfyUI: each file of comfy/seam, run by ComfyUI's own Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfy.inner_pytest import FOLDER, run_seam_tests
from comfy.install import ComfyInstall
from safetensors.torch import save_file
from small_lora import OWN_WEIGHTS, train_lora
from test_writing import CASES, EVENLY, write_source

from uniavgen_lab.training.lora import merge_lora
from uniavgen_lab.training.start import build_learner
from uniavgen_lab.training.training_config import TrainConfig

OF_VIDEO, OF_LORA = "test_saved_video.py", "test_trained_lora.py"
OF_RANDOM_INPUTS = "test_random_inputs.py"
FILES = sorted({file.name for file in FOLDER.glob("test_*.py")} - {OF_VIDEO, OF_LORA, OF_RANDOM_INPUTS})


@pytest.mark.parametrize("name", [*FILES, pytest.param(OF_RANDOM_INPUTS, marks=pytest.mark.fuzz)])
def test_in_comfyui(comfy_install: ComfyInstall, tmp_path: Path, subtests: pytest.Subtests, name: str) -> None:
    run_seam_tests(comfy_install, name, tmp_path, subtests)


def test_saved_videos_in_comfyui(comfy_install: ComfyInstall, tmp_path: Path, subtests: pytest.Subtests) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    for index, case in enumerate(CASES):
        if case.ticks == EVENLY and case.options.get("bf") != "0" and min(case.size) > 16:
            write_source(sources / f"{index:02}_{case.codec}_{case.name}", case)
    run_seam_tests(comfy_install, OF_VIDEO, tmp_path, subtests, VIDEO_SOURCES=str(sources))


def test_a_trained_lora_in_comfyui(comfy_install: ComfyInstall, tmp_path: Path, subtests: pytest.Subtests) -> None:
    for needed in ("peft", "accelerate"):
        pytest.importorskip(needed, reason=f"needs {needed}")
    folder = tmp_path / "lora"
    folder.mkdir()
    train_lora(folder, None).rename(folder / "lora.safetensors")
    model = build_learner(TrainConfig(output="", stages=[], validation_data="", folder=folder, model=OWN_WEIGHTS)).model
    save_file(model.state_dict(), folder / "model.safetensors")
    merge_lora(model, folder / "lora.safetensors")
    save_file(model.state_dict(), folder / "merged.safetensors")
    run_seam_tests(comfy_install, OF_LORA, tmp_path, subtests, TRAINED_LORA=str(folder))
