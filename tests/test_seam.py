"""The model inside ComfyUI: each file of comfy/seam, run by ComfyUI's own Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfy.inner_pytest import FOLDER, run_seam_tests
from comfy.install import ComfyInstall
from test_writing import CASES, EVENLY, write_source

OF_VIDEO = "test_saved_video.py"
OF_RANDOM_INPUTS = "test_random_inputs.py"
FILES = sorted({file.name for file in FOLDER.glob("test_*.py")} - {OF_VIDEO, OF_RANDOM_INPUTS})


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
