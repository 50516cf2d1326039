"""Two processes train one model together, and one of them logs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from patience import PATIENCE_SECONDS
from safetensors.torch import load_file
from small_model import write_config, write_shards


def test_two_processes_train_together_and_log_once(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="needs accelerate and tensorboard")
    write_shards(tmp_path / "shards")
    config = write_config(tmp_path)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run(
        [sys.executable, *launch, "-m", "uniavgen_lab", "train", str(config), "--stop-after", "10"],
        cwd=Path(__file__).parent.parent,
        check=True,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["step"]) for line in lines] == [("train", 5), ("train", 10), ("validation", 10)]
    checkpoint = tmp_path / "run" / "checkpoints" / "0000010"
    assert {path.name for path in checkpoint.glob("random_states_*")} == {"random_states_0.pkl", "random_states_1.pkl"}
    assert all(torch.isfinite(x).all() for x in load_file(tmp_path / "run" / "weights.safetensors").values())
