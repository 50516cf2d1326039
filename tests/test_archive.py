"""The registry archive holds what the nodes load and what a user reads, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from imports import ROOT, loaded_by

FOR_READERS = {
    "README.md",
    "LICENSE",
    "pyproject.toml",
    "requirements.txt",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
}
FOR_COMFYUI = ("web/", "locales/", "workflows/", "example_workflows/", "subgraphs/")
"""Folders that ComfyUI reads of its own accord."""
CONVERT = "uniavgen_core/__main__.py"
"""The one command beside the nodes."""


def tracked(*options: str) -> set[str]:
    """Tracked files, as git lists them with these options."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout, or there is no git")
    # The checkout may be another user's.
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "-z", *options]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def loaded(*starts: str) -> set[str]:
    """What these modules load, directly or through others, with the packages around it."""
    modules = loaded_by(*starts)
    packages = {f"{folder}/__init__.py" for name in modules for folder in Path(name).parents if folder.name}
    return modules | {name for name in packages if (ROOT / name).is_file()}


def data_beside(modules: set[str], files: set[str]) -> set[str]:
    """Data files that a module of their own folder names, and the notices of where they come from."""
    sources = {Path(name).parent: "" for name in modules}
    for name in modules:
        sources[Path(name).parent] += (ROOT / name).read_text(encoding="utf-8")
    data = {name for name in files - modules if not name.endswith(".py")}
    return {
        name for name in data if Path(name).name in sources.get(Path(name).parent, "") or Path(name).name == "NOTICE.md"
    }


def test_the_archive_holds_what_the_nodes_load_and_nothing_else() -> None:
    archive = tracked() - tracked("--ignored", "--exclude-from=.comfyignore")
    modules = loaded("__init__.py", CONVERT)
    wanted = modules | data_beside(modules, archive)
    rest = {name for name in archive - wanted if name not in FOR_READERS and not name.startswith(FOR_COMFYUI)}
    assert rest == set(), "nothing of the nodes loads it: leave it out in .comfyignore, or move it to the lab"
    assert wanted <= archive, "the nodes load it, but .comfyignore leaves it out"
    assert all(name.startswith(("__init__.py", "nodes/", "uniavgen_core/")) for name in wanted)
