"""ComfyUI in this process, on the processor and with a folder of its own, and the pack in it as `pack`.

These tests are run by ComfyUI's own Python in ComfyUI's folder; see test_seam.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

PACK = Path(__file__).absolute().parents[3]
BASE = TemporaryDirectory()

# ComfyUI reads the command line when it is first imported.
arguments, sys.argv = sys.argv, ["main.py", "--cpu", "--base-directory", BASE.name]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.cli_args  # noqa: E402, F401

sys.argv = arguments

import torch  # noqa: E402

import nodes  # noqa: E402, F401

spec = spec_from_file_location("pack", PACK / "__init__.py", submodule_search_locations=[str(PACK)])
sys.modules["pack"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["pack"])

import clips  # noqa: E402
from joint_kinds import JOINT_KINDS, JointKind  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def inference_mode() -> Iterator[None]:
    """As ComfyUI runs its nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(params=JOINT_KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> JointKind:
    """Each of both joint models."""
    return request.param


@pytest.fixture
def patcher() -> Any:
    """The MODEL."""
    return clips.model()


@pytest.fixture
def latent() -> dict[str, Any]:
    """A LATENT of three latent frames whose first is kept."""
    return clips.joint()


@pytest.fixture
def short_latent() -> dict[str, Any]:
    """A LATENT of two latent frames whose first is kept."""
    return clips.joint(frames=2)


@pytest.fixture
def conds() -> tuple[list, list]:
    """The positive and negative CONDITIONING."""
    return clips.conditions()
