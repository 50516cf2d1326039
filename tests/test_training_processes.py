"""Two processes train one model together, and one of them logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from uniavgen_core.config import MEL_BANDS, audio_tokens, pixel_frames
from uniavgen_core.training.shards import Clip, Label, write_shard

FRAMES = 3
CONFIG = """
output: run
validation_data: .
precision: "no"
log_every: 2
validate_every: 4
validation_batches: 1
sizes: {blocks: 1, video_width: 128, video_ffn_width: 32, audio_width: 128, audio_ffn_width: 32, text_width: 16,
  speech_width: 16, speech_ffn_width: 16}
stages:
  - {name: all, steps: 4, tasks: {joint: 1, dubbing: 1, audio_driven: 1}, data: ., batch_size: 1, learning_rate: 1.0e-3,
     final_learning_rate: 1.0e-4}
"""


def test_two_processes_train_together_and_log_once(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="needs accelerate and tensorboard")
    tokens = audio_tokens(pixel_frames(FRAMES))
    audio, video = torch.randn(tokens, MEL_BANDS), torch.randn(48, FRAMES, 4, 4)
    clip = Clip(Label(FRAMES, "Two red birds.", "A man."), audio, audio, video, video[:, :1], torch.rand(FRAMES, 4))
    write_shard(tmp_path / "clips.safetensors", [clip])
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run(
        [sys.executable, *launch, "-m", "uniavgen_core", "train", str(tmp_path / "config.yaml")],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["step"]) for line in lines] == [("train", 2), ("train", 4), ("validation", 4)]
    checkpoint = tmp_path / "run" / "checkpoints" / "0000004"
    assert {path.name for path in checkpoint.glob("random_states_*")} == {"random_states_0.pkl", "random_states_1.pkl"}
    assert all(torch.isfinite(x).all() for x in load_file(tmp_path / "run" / "weights.safetensors").values())
