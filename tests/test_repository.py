"""What the repository says of itself in several places, and what Manager will install."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
import tomllib
import torch
from comfy.install import ComfyInstall
from packaging.requirements import Requirement

from uniavgen_core import convert_gguf
from uniavgen_core import files as extras
from uniavgen_core.checkpoint import Checkpoint
from uniavgen_core.config import SAMPLE_RATE
from uniavgen_core.tiny import bundle as tiny_bundle
from uniavgen_lab.evaluation import evaluate, syncnet, voice_measures, word_errors
from uniavgen_lab.training import video_codecs
from uniavgen_lab.verse_bench import sound_models

ROOT = Path(__file__).absolute().parent.parent
NEVER = {"flash-attn", "torchvision", "xformers"}


def read_requirements(file: Path) -> dict[str, Requirement]:
    """The requirements of a file by their names in lower case, without comments and included files."""
    lines = [line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    requirements = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {requirement.name.lower(): requirement for requirement in requirements}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def installed_by_manager() -> dict[str, Requirement]:
    return read_requirements(ROOT / "requirements.txt")


def test_both_lists_of_requirements_agree(
    project: dict[str, Any], installed_by_manager: dict[str, Requirement]
) -> None:
    declared = {str(Requirement(line)) for line in project["dependencies"]}
    frontend = {line for line in declared if line.startswith("comfyui-frontend-package")}
    assert len(frontend) == 1
    assert declared - frontend == {str(requirement) for requirement in installed_by_manager.values()}


def test_pinned_versions_satisfy_the_requirements(installed_by_manager: dict[str, Requirement]) -> None:
    pinned = read_requirements(ROOT / "requirements-dev.txt")
    for name, requirement in installed_by_manager.items():
        (pin,) = pinned[name].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), name


def test_pinned_versions_hold_what_the_tests_of_training_need(project: dict[str, Any]) -> None:
    pinned = read_requirements(ROOT / "requirements-dev.txt")
    for requirement in map(Requirement, project["optional-dependencies"]["training"]):
        (pin,) = pinned[requirement.name].specifier
        assert requirement.specifier.contains(pin.version), requirement.name
    assert "matplotlib" in pinned


def test_messages_name_extras_that_there_are(
    project: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr(extras, "import_module", absent)
    second = numpy.zeros(SAMPLE_RATE, dtype=numpy.float32)
    users: list[Callable[[], Any]] = [
        word_errors.WordRecogniser,
        evaluate.require_extras,
        partial(voice_measures.naturalness, second),
        partial(voice_measures.speaker_likeness, second, second),
        partial(syncnet.face_crops, numpy.zeros((1, 8, 8, 3), dtype=numpy.uint8), numpy.zeros((1, 4))),
        partial(sound_models.SoundClasses, [tmp_path], torch.device("cpu")),
        partial(video_codecs.WanCodec, tmp_path),
        partial(convert_gguf.GgufFile, Checkpoint(tiny_bundle.WEIGHTS_FILE), [], "q8_0"),
    ]
    named = set()
    for use in users:
        with pytest.raises(extras.NotInstalledError) as caught:
            use()
        named |= set(re.findall(r"'\.\[(\w+)\]'", str(caught.value)))
    # What many clips need, the tool itself asks for.
    assert named == project["optional-dependencies"].keys() - {"batch"}


def test_manager_never_changes_the_torch_build(installed_by_manager: dict[str, Requirement]) -> None:
    assert not NEVER & installed_by_manager.keys()
    assert not installed_by_manager["torch"].specifier
    assert not installed_by_manager["torchaudio"].specifier


def test_nothing_is_narrower_than_in_comfyui(
    comfy_install: ComfyInstall, installed_by_manager: dict[str, Requirement]
) -> None:
    theirs = read_requirements(comfy_install.path / "requirements.txt")
    shared = theirs.keys() & installed_by_manager.keys()
    narrower = [name for name in shared if installed_by_manager[name].specifier not in ("", theirs[name].specifier)]
    assert {"torch", "transformers", "av"} <= shared
    assert narrower == []
