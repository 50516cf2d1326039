"""The model inside ComfyUI: each check of comfy/seam_checks.py, all run in one process of ComfyUI's own python."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from comfy.install import ComfyInstall

PACK = Path(__file__).absolute().parent.parent
SCRIPT = PACK / "tests" / "comfy" / "seam_checks.py"
NAMES = re.findall(r"^@check\ndef (\w+)", SCRIPT.read_text(), re.MULTILINE)
LIMIT_SECONDS = 900


@pytest.fixture(scope="module")
def results(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each check said."""
    command = [str(comfy_install.python), str(SCRIPT), str(PACK), str(tmp_path_factory.mktemp("seam"))]
    run = subprocess.run(command, cwd=comfy_install.path, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    lines = [json.loads(line.removeprefix("CHECK ")) for line in run.stdout.splitlines() if line.startswith("CHECK ")]
    assert lines, run.stderr[-3000:]
    return {line["check"]: line for line in lines}


@pytest.mark.parametrize("name", NAMES)
def test_in_comfyui(comfy_install: ComfyInstall, results: dict[str, dict[str, Any]], name: str) -> None:
    assert name in results, "the process ended before this check"
    if "skipped" in results[name]:
        pytest.skip(results[name]["skipped"])
    assert results[name]["ok"], results[name].get("error")
