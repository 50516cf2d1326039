"""The model inside ComfyUI: the checks of comfy/seam_checks.py, all run in one process of ComfyUI's own python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from comfy.install import ComfyInstall

PACK = Path(__file__).absolute().parent.parent
SCRIPT = PACK / "tests" / "comfy" / "seam_checks.py"


def test_checks_in_comfyui(comfy_install: ComfyInstall, tmp_path: Path, subtests: pytest.Subtests) -> None:
    command = [str(comfy_install.python), str(SCRIPT), str(PACK), str(tmp_path)]
    run = subprocess.run(command, cwd=comfy_install.path, capture_output=True, text=True)
    lines = [json.loads(line.removeprefix("CHECK ")) for line in run.stdout.splitlines() if line.startswith("CHECK ")]
    for line in lines:
        with subtests.test(line["check"]):
            if "skipped" in line:
                pytest.skip(line["skipped"])
            assert line["ok"], line.get("error")
    # All were run, and there were some.
    assert lines and run.returncode == 0, run.stderr[-3000:]
