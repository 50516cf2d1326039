"""The registry archive holds what the nodes load and what a user reads, and nothing else."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from archive import OLDEST_DATE, NoCheckoutError, archived_files, write_archive
from imports import ROOT, arrows, loaded_by

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


@pytest.fixture
def archive() -> set[str]:
    """Files of the archive, by their paths from the root."""
    try:
        return set(archived_files())
    except NoCheckoutError as error:
        pytest.skip(str(error))


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


def test_the_archive_holds_what_the_nodes_load_and_nothing_else(archive: set[str]) -> None:
    modules = loaded("__init__.py", CONVERT)
    wanted = modules | data_beside(modules, archive)
    rest = {name for name in archive - wanted if name not in FOR_READERS and not name.startswith(FOR_COMFYUI)}
    assert rest == set(), "nothing of the nodes loads it: leave it out in .comfyignore, or move it to the lab"
    assert wanted <= archive, "the nodes load it, but .comfyignore leaves it out"
    assert all(name.startswith(("__init__.py", "nodes/", "uniavgen_core/")) for name in wanted)


def test_the_same_files_make_the_same_archive(archive: set[str], tmp_path: Path) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    assert write_archive(first) == write_archive(second) == len(archive)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as file:
        assert set(file.namelist()) == archive
        assert {entry.date_time for entry in file.infolist()} == {OLDEST_DATE}
        assert file.read("pyproject.toml") == (ROOT / "pyproject.toml").read_bytes()


AT_START = {
    "PIL",
    "av",
    "cn2an",
    "einops",
    "num2words",
    "numpy",
    "opencc_purepy",
    "safetensors",
    "torch",
    "torchaudio",
    "tqdm",
}
"""Libraries that are loaded with the nodes: what ComfyUI loads itself, and what costs milliseconds."""
OF_COMFYUI = {
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfy_extras",
    "folder_paths",
    "latent_preview",
    "node_helpers",
    "nodes",
}


def test_a_start_loads_nothing_heavy() -> None:
    # insightface, OpenCV, onnxruntime, transformers, jieba and SciPy wait for the node that needs them: the pack loads
    # where one of them cannot be installed.
    libraries = {
        arrow.imported
        for file in loaded_by("__init__.py")
        for arrow in arrows(file)
        if not arrow.is_ours and not arrow.in_function and arrow.imported not in sys.stdlib_module_names
    }
    assert libraries - OF_COMFYUI == AT_START
