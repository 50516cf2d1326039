"""LoRAs: they begin as nothing, learn alone, go on where they stopped, and their files do what they did in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_lora import OWN_WEIGHTS, train_lora, write_weights
from small_model import RUN, write_config, write_shards
from torch import nn

from uniavgen_core.backend import torch_operations
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_lab.training.batches import Batch, Batches, BatchSettings
from uniavgen_lab.training.frozen_weights import STORAGES, FrozenLinear
from uniavgen_lab.training.learner import Learner
from uniavgen_lab.training.lora import lora_layers, merge_lora, save_lora
from uniavgen_lab.training.start import build_learner
from uniavgen_lab.training.training_config import LoraSettings, TrainConfig, read_config
from uniavgen_lab.training.training_run import moving_average

pytest.importorskip("peft", reason="needs peft")

TARGETS = ["blocks.*", "*.cross_attn.[qv]", "a2v_blocks.0.o", "time_embedding.*"]


def lora_config(folder: Path, **settings: Any) -> TrainConfig:
    if not (folder / OWN_WEIGHTS).is_file():
        write_weights(folder)
    lora = LoraSettings(**{"rank": 3, "targets": TARGETS, **settings})
    return TrainConfig(output="run", stages=[], validation_data="", folder=folder, model=OWN_WEIGHTS, lora=lora)


def build_plain(folder: Path) -> Learner:
    """The same without a LoRA."""
    return build_learner(replace(lora_config(folder), lora=None))


def learned(learner: Learner) -> Learner:
    """A learner whose LoRA does something."""
    generator = torch.Generator().manual_seed(8)
    for name, weight in learner.named_parameters():
        if ".lora_B" in name:
            weight.data = torch.randn(weight.shape, generator=generator) / 4
    return learner


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    settings = BatchSettings(2, {"joint": 1.0}, text_dropout=0.0, interaction_dropout=0.0, timestep_shift=1.0)
    return Batches(write_shards(tmp_path / "shards"), settings, range(1), seed=0)[0]


def test_a_lora_begins_as_nothing_and_learns_alone(tmp_path: Path, batch: Batch) -> None:
    plain, learner = build_plain(tmp_path), build_learner(lora_config(tmp_path))
    assert all(torch.equal(value, learner(batch)[name]) for name, value in plain(batch).items())
    sum(learned(learner)(batch).values()).backward()
    names = {name for name, weight in learner.named_parameters() if weight.grad is not None}
    layers = lora_layers(plain.model, TARGETS)
    assert "audio_blocks.1.cross_attn.q" in layers and "audio_blocks.1.self_attn.q" not in layers
    assert names == {f"model.{layer}.lora_{end}.default.weight" for layer in layers for end in "AB"}
    assert set(learner.state_dict()) == names


def test_a_file_merged_is_the_lora_as_it_was_in_training(tmp_path: Path, batch: Batch) -> None:
    config = lora_config(tmp_path, alpha=6)
    learner = learned(build_learner(config))
    save_lora(learner.state_dict(), tmp_path / "lora.safetensors", config.lora, {"step": "5"})
    merged = build_plain(tmp_path)
    before = merged(batch)
    merge_lora(merged.model, tmp_path / "lora.safetensors")
    after, wanted = merged(batch), learner(batch)
    for name in ("video", "audio"):
        assert after[name].item() == pytest.approx(wanted[name].item(), rel=1e-4)
        assert after[name].item() != pytest.approx(before[name].item(), rel=1e-3)
    merge_lora(merged.model, tmp_path / "lora.safetensors", strength=-1)
    assert merged(batch)["video"].item() == pytest.approx(before["video"].item(), rel=1e-4)


def test_a_lora_that_stops_and_resumes_is_that_of_an_unbroken_run(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="needs accelerate and tensorboard")
    whole = load_file(train_lora(tmp_path, None))
    (tmp_path / "run").rename(tmp_path / "whole")
    broken = load_file(train_lora(tmp_path, 13, None))
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    layers = {name.removesuffix(".alpha") for name in whole if name.endswith(".alpha")}
    assert whole.keys() == {f"{layer}.{end}" for layer in layers for end in ("lora_A.weight", "lora_B.weight", "alpha")}
    assert all(layer.startswith("diffusion_model.") for layer in layers)
    assert sum(bool(whole[f"{layer}.lora_B.weight"].any()) for layer in layers) > len(layers) / 2
    assert {float(whole[f"{layer}.alpha"]) for layer in layers} == {6.0}
    checkpoint = load_file(tmp_path / "run" / "checkpoints" / "0000020" / "model.safetensors")
    assert all(".lora_" in name for name in checkpoint), "checkpoints are as small as the LoRA"


@pytest.mark.parametrize(("base_weights", "limit"), [("bf16", 0.004), ("fp8", 0.03), ("int8", 0.01)])
def test_a_frozen_linear_is_near_the_one_it_was_and_hands_the_gradient_on(base_weights: str, limit: float) -> None:
    generator = torch.Generator().manual_seed(2)
    plain = nn.Linear(64, 48)
    frozen = FrozenLinear(plain, STORAGES[base_weights])
    x = torch.randn(2, 5, 64, generator=generator, requires_grad=True)
    upstream = torch.randn(2, 5, 48, generator=generator)
    pairs = []
    for layer in (plain, frozen):
        y = layer(x)
        pairs.append((y.detach(), *torch.autograd.grad(y, x, upstream)))
    for ours, theirs in zip(*pairs, strict=True):
        assert 0 < (ours - theirs).norm() / theirs.norm() < limit
    assert frozen.weight.element_size() == (2 if base_weights == "bf16" else 1)


@pytest.mark.parametrize("base_weights", ["bf16", "int8"])
def test_a_base_of_few_bits_has_nearly_the_losses_of_the_whole(tmp_path: Path, batch: Batch, base_weights: str) -> None:
    whole = build_learner(lora_config(tmp_path))(batch)
    learner = build_learner(lora_config(tmp_path, base_weights=base_weights))
    small = learner(batch)
    for name, value in whole.items():
        assert small[name].item() == pytest.approx(value.item(), rel=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        losses = learned(learner)(batch)
    sum(losses.values()).backward()
    assert all(weight.grad is not None for weight in learner.parameters() if weight.requires_grad)


def test_an_average_has_the_frozen_weights_once(tmp_path: Path) -> None:
    learner = build_learner(lora_config(tmp_path))
    average = moving_average(learner, decay=0.5)
    for own, averaged in zip(learner.parameters(), average.module.parameters(), strict=True):
        assert (own is averaged) != own.requires_grad
    average.update_parameters(learned(learner))
    weights = {name: weight.clone() for name, weight in average.module.named_parameters()}
    average.update_parameters(learner)
    assert all(torch.equal(weight, weights[name]) for name, weight in learner.named_parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"alpha": -1}, "alpha is -1"),
        ({"targets": ["blocks.*", "blocks.*.query"]}, r"'blocks.\*.query', which is no Linear.*audio_blocks.\*"),
        ({"targets": []}, "no pattern"),
        ({"base_weights": "nf4"}, "base_weights is 'nf4': choose from float32, bf16, fp8, int8"),
    ],
)
def test_a_lora_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_learner(lora_config(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [("lora: 16", "lora is 16: write its entries"), ("lora: {ranks: 4}", "lora: unknown entries ranks.*rank, alpha")],
)
def test_wrong_entries_of_a_lora_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_config(write_config(tmp_path, RUN + text), TrainConfig)


def test_files_that_are_no_lora_of_the_model_are_named(tmp_path: Path) -> None:
    config = lora_config(tmp_path, targets=["blocks.*.q"])
    learner = build_learner(config)
    save_lora(learner.state_dict(), tmp_path / "lora.safetensors", config.lora, {})
    other = JointDiT(replace(learner.model.sizes, video_width=128), torch_operations, device="meta")
    with pytest.raises(ValueError, match=r"of another model: it has blocks.0.*q with 256 × 256"):
        merge_lora(other, tmp_path / "lora.safetensors")
    with pytest.raises(FileNotFoundError, match="There is no LoRA"):
        merge_lora(other, tmp_path / "nowhere.safetensors")
    write_shards(tmp_path / "shards")
    with pytest.raises(ValueError, match="is no LoRA with names"):
        merge_lora(other, tmp_path / "shards" / "0.safetensors")
