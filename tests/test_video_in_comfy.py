"""Videos inside ComfyUI: each check of comfy/video_checks.py, all run in one process of ComfyUI's own python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from comfy.install import ComfyInstall
from test_writing import CASES, EVENLY, write_source

PACK = Path(__file__).absolute().parent.parent
SCRIPT = PACK / "tests" / "comfy" / "video_checks.py"
LIMIT_SECONDS = 900
CHECKS = (
    "trimmed", "held", "cut", "images", "one_image", "long_still", "batch", "sounds", "components",
    "trimmed_components", "refused",
)  # fmt: skip
SOURCES = {
    f"{index}_{case.codec}_{case.name}": case
    for index, case in enumerate(CASES)
    if case.ticks == EVENLY and case.options.get("bf") != "0" and min(case.size) > 16
}


@pytest.fixture(scope="module")
def results(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each check said."""
    folder = tmp_path_factory.mktemp("video")
    sources = [write_source(folder / name, case) for name, case in SOURCES.items()]
    (folder / "comfy").mkdir()
    command = [str(comfy_install.python), str(SCRIPT), str(PACK), str(folder / "comfy"), *map(str, sources)]
    run = subprocess.run(command, cwd=comfy_install.path, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    lines = [json.loads(line.removeprefix("CHECK ")) for line in run.stdout.splitlines() if line.startswith("CHECK ")]
    assert lines, run.stderr[-3000:]
    return {line["check"]: line for line in lines}


@pytest.mark.parametrize("name", [*(f"copied_or_encoded {name}" for name in SOURCES), *CHECKS])
def test_in_comfyui(results: dict[str, dict[str, Any]], name: str) -> None:
    assert name in results, "the process ended before this check"
    assert results[name]["ok"], results[name].get("error")
