"""A BigVGAN of test size with random weights, in files of the real form."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

SMALL_CHANNELS = 64


def build_small_bigvgan(seed: int = 0) -> nn.Module:
    """The transformers class with 64 channels in place of 1536."""
    from transformers import Qwen2_5OmniToken2WavBigVGANModel as Model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Model(Model.config_class(upsample_initial_channel=SMALL_CHANNELS)).eval()


def save_small_bigvgan(folder: Path, prefix: str = "", shards: int = 1, config: bool = True) -> nn.Module:
    """Write a test-size vocoder into a new folder: weights in one or several files, their index, and config.json."""
    folder.mkdir(parents=True)
    model = build_small_bigvgan()
    weights = {prefix + name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if config:
        (folder / "config.json").write_text(json.dumps(model.config.to_dict()), encoding="utf-8")
    if shards == 1:
        save_file(weights, folder / "model.safetensors")
        return model
    names = sorted(weights)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = names[shard::shards]
        save_file({name: weights[name] for name in part}, folder / file)
        weight_map.update(dict.fromkeys(part, file))
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    return model
