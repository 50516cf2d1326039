"""The ComfyUI that the tests run: where it lies and which Python runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

HOW_TO_SET = "set COMFYUI_PATH (and COMFYUI_PYTHON where it has no venv of its own) to run ComfyUI's tests"
RUN_SCRIPT = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
"""Runs a script with the working folder, not the script's own, first among the places that modules come from."""
PYTHONS = ("venv/bin/python", ".venv/bin/python")


@dataclass(frozen=True)
class ComfyInstall:
    """A ComfyUI folder and the Python that has its requirements and the pack's."""

    path: Path
    python: Path

    def run_script(self, script: Path, *arguments: str) -> None:
        """Run a Python script with ComfyUI's modules importable; its output is in the error when it fails."""
        command = [str(self.python), "-c", RUN_SCRIPT, str(script), *arguments]
        result = subprocess.run(command, cwd=self.path, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if result.returncode:
            raise RuntimeError(f"{script.name} failed in ComfyUI's Python:\n{result.stdout}{result.stderr}")


def find_install(environment: Mapping[str, str], pack: Path) -> ComfyInstall | None:
    """ComfyUI at COMFYUI_PATH, else the one whose `custom_nodes` folder holds `pack`, else None.

    Raises ValueError when COMFYUI_PATH is set to something that cannot be run: a test run that was asked for
    ComfyUI may not pass without it.
    """
    asked = environment.get("COMFYUI_PATH")
    path = Path(asked).resolve() if asked else pack.parent.parent
    if not asked and pack.parent.name != "custom_nodes":
        return None
    if not (path / "main.py").is_file():
        if asked:
            raise ValueError(f"COMFYUI_PATH is {path}, which has no main.py: set it to ComfyUI's folder")
        return None
    python = find_python(environment, path)
    if python is None and asked:
        raise ValueError(f"{path} has neither venv nor .venv: set COMFYUI_PYTHON to the Python that runs ComfyUI")
    return ComfyInstall(path, python) if python else None


def find_python(environment: Mapping[str, str], comfy: Path) -> Path | None:
    """COMFYUI_PYTHON, else the Python of a virtual environment inside ComfyUI's folder."""
    asked = environment.get("COMFYUI_PYTHON")
    if asked:
        return Path(asked).absolute()
    return next((comfy / python for python in PYTHONS if (comfy / python).is_file()), None)


def newest_frontend() -> Path | None:
    """Folder of the frontend that requirements-dev.txt pins, for `--front-end-root`; None where it is not installed."""
    try:
        return Path(str(files("comfyui_frontend_package"))) / "static"
    except ModuleNotFoundError:
        return None
