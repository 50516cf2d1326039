"""What a run starts from: random weights, those of another run, and a checkpoint in the released form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from small_model import SMALL

from uniavgen_core.backend import torch_operations
from uniavgen_core.checkpoint import CheckpointError
from uniavgen_core.config import RELEASED_SIZES
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.tiny.bundle import MODEL_SIZES
from uniavgen_lab.training.start import build_learner
from uniavgen_lab.training.training_config import TrainConfig, read_config

FULL = Path(__file__).parent.parent / "uniavgen_lab" / "configs" / "full.yaml"


def config(folder: Path, **entries: Any) -> TrainConfig:
    return TrainConfig(output="run", stages=[], validation_data="", folder=folder, **entries)


def write_released(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """A folder of two shards and their index."""
    folder.mkdir()
    names = sorted(weights)
    places = {name: f"model-{1 + number % 2:05d}-of-00002.safetensors" for number, name in enumerate(names)}
    for file in set(places.values()):
        save_file({name: weights[name].bfloat16() for name in names if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")


def test_random_weights_follow_from_the_seed_and_have_the_sizes_asked_for(tmp_path: Path) -> None:
    one, same, other = (build_learner(config(tmp_path, sizes=SMALL, seed=seed)) for seed in (0, 0, 1))
    assert one.model.sizes == replace(MODEL_SIZES, **SMALL)
    states = [learner.state_dict() for learner in (one, same, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])
    with pytest.raises(ValueError, match="unknown entries depth"):
        build_learner(config(tmp_path, sizes={"depth": 3}))


def test_a_run_goes_on_from_the_weights_of_another(tmp_path: Path) -> None:
    first = build_learner(config(tmp_path, sizes=SMALL))
    parts = {"model": first.model, "caption": first.caption_encoder}
    state = {f"{prefix}.{name}": x for prefix, part in parts.items() for name, x in part.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    second = build_learner(config(tmp_path, model="weights.safetensors", seed=1))
    assert second.model.sizes == first.model.sizes
    assert all(torch.equal(x, second.state_dict()[name]) for name, x in first.state_dict().items())
    frozen = build_learner(config(tmp_path, model="weights.safetensors", frozen_captions=True))
    assert frozen.caption_encoder is None
    with pytest.raises(ValueError, match="has blocks 2: leave out sizes"):
        build_learner(config(tmp_path, model="weights.safetensors", sizes={"blocks": 3}))


def test_a_run_starts_from_a_checkpoint_in_the_released_form(tmp_path: Path) -> None:
    model = build_learner(config(tmp_path, sizes=SMALL)).model
    write_released(tmp_path / "released", model.state_dict())
    learner = build_learner(config(tmp_path, model="released", frozen_captions=True))
    weights = learner.model.state_dict()
    assert all(weight.requires_grad and weight.dtype == torch.float32 for weight in learner.parameters())
    assert all(torch.equal(x.bfloat16().float(), weights[name]) for name, x in model.state_dict().items())


def test_a_checkpoint_of_another_kind_is_named(tmp_path: Path) -> None:
    save_file({"blocks.0.self_attn.q.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="other.safetensors looks like .*not like UniAVGen or UniVerse-1"):
        build_learner(config(tmp_path, model="other.safetensors"))
    with pytest.raises(FileNotFoundError, match="There is no file or folder"):
        build_learner(config(tmp_path, model="nowhere"))


def test_the_full_size_is_that_of_the_released_model() -> None:
    full = read_config(FULL, TrainConfig)
    sizes = replace(MODEL_SIZES, **full.sizes)
    assert sizes == RELEASED_SIZES
    parameters = sum(x.numel() for x in JointDiT(sizes, torch_operations, device="meta").parameters())
    assert parameters == pytest.approx(7.1e9, rel=0.02)
    assert full.gradient_checkpointing and full.frozen_captions


@pytest.mark.parametrize("path", sorted(FULL.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_are_read(path: Path) -> None:
    if "stages" in yaml.safe_load(path.read_text(encoding="utf-8")):
        assert read_config(path, TrainConfig).steps > 0
