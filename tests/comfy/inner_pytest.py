"""Runs the tests of the folder `seam` with ComfyUI's Python, in ComfyUI's folder."""

from __future__ import annotations

import os
import re
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from tests.comfy.install import ComfyInstall

FOLDER = Path(__file__).absolute().parent / "seam"
PYTEST = (
    "pytest",
    "pluggy",
    "iniconfig",
    "packaging",
    "pygments",
    "exceptiongroup",
    "tomli",
    "hypothesis",
    "sortedcontainers",
)
"""Distributions in pure Python that pytest and hypothesis consist of; two of them only for Python 3.10."""
LIMIT_SECONDS = 1800


def run_seam_tests(
    install: ComfyInstall, name: str, folder: Path, subtests: pytest.Subtests, **environment: str
) -> None:
    """Run one file of tests in a process of its own; its output is the failure, and what it skips is skipped here.

    Args:
        install: the ComfyUI.
        name: of the file.
        folder: an empty one for temporary files.
        subtests: of the test that asks.
        environment: more variables for the process.
    """
    environment |= {"PYTHONPATH": str(link_pytest(folder / "pytest")), "TMPDIR": str(folder)}
    command = [str(install.python), "-m", "pytest", "-c", str(FOLDER / "pytest.ini"), str(FOLDER / name)]
    run = subprocess.run(
        [*command, "--confcutdir", str(FOLDER)],
        cwd=install.path,
        env=os.environ | environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    if run.returncode:
        pytest.fail(f"{name} in ComfyUI's Python:\n{run.stdout[-20_000:]}{run.stderr[-3000:]}", pytrace=False)
    for reason in sorted(set(re.findall(r"^SKIPPED \[\d+\] \S+ (.+)$", run.stdout, re.MULTILINE))):
        with subtests.test(name):
            pytest.skip(reason)


def link_pytest(folder: Path) -> Path:
    """A folder of links to this Python's pytest, for a Python that has none; returns the folder."""
    folder.mkdir()
    for name in PYTEST:
        try:
            held = distribution(name)
        except PackageNotFoundError:
            continue
        for top in {file.parts[0] for file in held.files or []}:
            if top != "__pycache__" and (top.isidentifier() or top.endswith(".py")):
                (folder / top).symlink_to(str(held.locate_file(top)))
    return folder
