from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import parity
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = Path(__file__).absolute().parent.parent
KINDS = {"video": 13, "audio": 14, "face_mask": 19, "speech_features": 1, "a2v_window": 7}
"""Ten forward cases of two face masks each, less the one that is skipped, and six trajectories. Streams that a case
keeps entirely are not compared."""

UNIVERSE_SUBJECTS = {
    **{"sigmas": 6, "timesteps": 6, "trajectory": 8, "trajectory_unguided": 2, "joint": 39},
    **dict.fromkeys(("cfg", "long_speech", "silent", "one_frame", "batch"), 2),
}


def kind(name: str) -> str:
    match = re.search("face_mask|a2v_window|speech_features|video$|audio$", name)
    assert match
    return match[0]


@torch.no_grad()
def test_all_reference_numbers_are_met(golden: Path) -> None:
    results = list(parity.compare(golden / "parity_a.safetensors"))
    assert [f"{result.name}: {result.error:.1e}" for result in results if not result.passed] == []
    assert Counter(kind(result.name) for result in results) == KINDS
    limits = {kind(result.name): result.limit for result in results if "trajectory" not in result.name}
    assert limits == dict.fromkeys(KINDS, 2e-6) | {"a2v_window": 0}
    assert {result.limit for result in results if "trajectory" in result.name} == {2e-5}


@torch.no_grad()
def test_all_reference_numbers_of_universe_are_met(golden: Path) -> None:
    results = list(parity.compare(golden / "universe_a.safetensors"))
    assert [f"{result.name}: {result.error:.1e}" for result in results if not result.passed] == []
    subjects = Counter(result.name.split(".")[0] for result in results)
    assert subjects == UNIVERSE_SUBJECTS
    assert {result.limit for result in results} == {0, 1e-6, 1e-5}


@pytest.fixture
def one_case(golden: Path, tmp_path: Path) -> Path:
    """A copy of the file with its first forward case only, one value of which is wrong."""
    with safe_open(golden / "parity_a.safetensors", framework="pt") as file:
        meta = json.loads(file.metadata()["meta"])
        others = [name for name in meta["cases"] if name != "joint"]
        tensors = {
            name: file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118
            if not name.startswith(tuple(f"{other}." for other in others))
        }
    tensors["joint.video"][0, 1, 0, 0] += 0.01
    path = tmp_path / "tampered.safetensors"
    save_file(tensors, path, {"meta": json.dumps(meta | {"cases": {"joint": meta["cases"]["joint"]}})})
    return path


def test_a_wrong_number_fails_the_command(one_case: Path) -> None:
    command = [sys.executable, parity.__file__, str(one_case)]
    run = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    lines = run.stdout.splitlines()
    assert run.returncode == 1, run.stderr
    assert [line.split()[-1] for line in lines if line.startswith("FAIL")] == ["joint.video"]
    assert len([line for line in lines if line.startswith("ok")]) == 7 + 1 + 3
    assert lines[-1] == "1 over the limit"
