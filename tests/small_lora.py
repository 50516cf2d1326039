"""A LoRA of a joint model of test size, trained for a few steps on clips of noise."""

from __future__ import annotations

from pathlib import Path

from small_model import RUN, SMALL, write_config, write_shards

from uniavgen_core.tiny.bundle import random_state_dict
from uniavgen_lab.training.start import build_learner
from uniavgen_lab.training.trainer import Trainer, save_weights
from uniavgen_lab.training.training_config import TrainConfig, read_config

OWN_WEIGHTS = "weights.safetensors"
WITH_LORA = (
    RUN
    + f"""
model: {OWN_WEIGHTS}
lora: {{rank: 3, alpha: 6, targets: [blocks.*, audio_blocks.*, a2v_blocks.*.o]}}
ema_decay: 0.5
"""
)


def write_weights(folder: Path) -> None:
    """A run's weights whose heads and interactions say something."""
    learner = build_learner(TrainConfig(output="run", stages=[], validation_data="", folder=folder, sizes=SMALL))
    weights = random_state_dict({name: x.shape for name, x in learner.state_dict().items()})
    save_weights(weights, folder / OWN_WEIGHTS, {})


def train_lora(folder: Path, *stops: int | None) -> Path:
    """Train a LoRA in as many runs as there are stops; its file."""
    if not (folder / OWN_WEIGHTS).is_file():
        write_shards(folder / "shards")
        write_weights(folder)
    for stop in stops:
        Trainer(read_config(write_config(folder, WITH_LORA), TrainConfig), stop).run()
    return folder / "run" / "lora.safetensors"
