"""Weights of all kinds: LoRAs, formats of few bits, cast at use; and that they are freed."""

from __future__ import annotations

import gc
import json
import logging
import re
import weakref
from pathlib import Path
from typing import Any

import comfy.ops
import comfy.sd
import pytest
import torch
from clips import assert_close, assert_equal, assert_kept, lora
from comfy import quant_ops
from joint_kinds import JointKind
from pack.nodes import comfy_joint, comfy_loading
from pack.tests.common import relative_error
from pack.uniavgen_core import convert
from safetensors.torch import save_file

LOOSER = {"UniAVGen": 1, "UniVerse-1": 3}
"""How much more a model of random weights makes of what is lost in its weights."""


@pytest.fixture
def two_frames(kind: JointKind) -> dict[str, Any]:
    """A LATENT of two latent frames whose first is kept, of each of both models."""
    return kind.latent(2)


@pytest.fixture
def exact(kind: JointKind, two_frames: dict) -> list[torch.Tensor]:
    """Two steps of the float32 model."""
    return kind.sample(kind.model(), two_frames, 2)


def assert_near(kind: JointKind, clip: Any, exact: Any, limit: float) -> None:
    """The picture is near that of the exact weights, but not the same."""
    assert 1e-6 < relative_error(clip[0], exact[0]) < limit * LOOSER[kind.name]


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_a_wan_lora_changes_the_weights(kind: JointKind, two_frames: dict, form: str) -> None:
    patcher, names = kind.model(), list(kind.wan_layers)
    plain = kind.sample(patcher, two_frames, 4)
    patched, _ = comfy.sd.load_lora_for_models(patcher, None, lora(names, patcher, form), 0.5, 0.0)
    keys = set(patched.patches)
    assert keys == {f"diffusion_model.{name}.weight" for name in names}
    before = {key: patched.model.state_dict()[key].clone() for key in keys}
    changed = kind.sample(patched, two_frames, 4)
    after = patched.model.state_dict()
    assert [key for key in keys if torch.equal(before[key], after[key])] == []
    assert relative_error(changed[0], plain[0]) > 1e-3
    assert relative_error(changed[1], plain[1]) > 1e-4
    patched.detach()
    assert_equal(kind.sample(patcher, two_frames, 4), plain)


def test_a_wan_text_embedding_lora_is_reported_and_not_applied(patcher: Any, caplog: pytest.LogCaptureFixture) -> None:
    tensors = {f"diffusion_model.text_embedding.0.lora_{end}.weight": torch.ones(4, 4) for end in "AB"}
    with caplog.at_level(logging.WARNING):
        patched, _ = comfy.sd.load_lora_for_models(patcher, None, tensors, 1.0, 0.0)
    assert not patched.patches
    assert "text_embedding.0" in caplog.text


@pytest.mark.parametrize("dtype", ["fp8_e4m3fn", "fp8_e5m2"])
def test_fp8_weights_run(kind: JointKind, two_frames: dict, exact: list[torch.Tensor], dtype: str) -> None:
    samples = kind.sample(kind.model(comfy_loading.WEIGHT_DTYPES[dtype]), two_frames, 2)
    assert_kept(two_frames, samples)
    assert_near(kind, samples, exact, 0.2)


def test_a_converted_fp8_file_runs(
    kind: JointKind, two_frames: dict, exact: list[torch.Tensor], tmp_path: Path
) -> None:
    target = tmp_path / "scaled.safetensors"
    convert.convert(kind.file(), target, "fp8_e4m3fn", force=True)
    samples = kind.sample(comfy_loading.load_model(str(target)), two_frames, 2)
    assert_kept(two_frames, samples)
    assert_near(kind, samples, exact, 0.08)


@pytest.mark.parametrize("form", quant_ops.QUANT_ALGOS)
def test_files_of_comfyuis_quantised_formats_run(
    kind: JointKind, two_frames: dict, exact: list[torch.Tensor], tmp_path: Path, form: str
) -> None:
    state = dict(kind.weights())
    for name in [name for name in state if re.fullmatch(r"blocks\.\d+\.(self_attn|cross_attn)\.[qkvo]\.weight", name)]:
        layout = quant_ops.QUANT_ALGOS[form]["comfy_tensor_layout"]
        weight = quant_ops.QuantizedTensor.from_float(state.pop(name).bfloat16(), layout)
        state |= {key: tensor.contiguous() for key, tensor in weight.state_dict(name).items()}
        format = torch.tensor(list(json.dumps({"format": form}).encode()), dtype=torch.uint8)
        state[name.removesuffix("weight") + "comfy_quant"] = format
    file = tmp_path / "quantised.safetensors"
    save_file(state, file)
    samples = kind.sample(comfy_loading.load_model(str(file)), two_frames, 2)
    assert_kept(two_frames, samples)
    assert_near(kind, samples, exact, 0.12)


def test_offloaded_weights_run(
    kind: JointKind, two_frames: dict, exact: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of the model stays where it is and is cast at use, as with --lowvram."""
    patcher = kind.model({"dtype": torch.bfloat16})
    patcher.model.manual_cast_dtype = torch.float32
    cast_at_use = []

    def limited(self: Any, device: Any, extra_memory: int = 0, force_patch_weights: bool = False) -> Any:
        self.load(device, lowvram_model_memory=1, force_patch_weights=force_patch_weights)
        cast_at_use.append(sum(getattr(m, "comfy_cast_weights", False) for m in self.model.modules()))
        return 0

    monkeypatch.setattr(type(patcher), "partially_load", limited)
    samples = kind.sample(patcher, two_frames, 2)
    assert_kept(two_frames, samples)
    assert cast_at_use[0] > 50
    assert_near(kind, samples, exact, 0.02)


def fast_layer(kind: str, weight: torch.Tensor) -> Any:
    """One of our layers on top of ComfyUI's for fast fp8."""
    rows, columns = weight.shape
    layer = getattr(comfy_joint.comfy_operations(comfy.ops.fp8_ops), kind)(columns, rows, dtype=torch.float8_e4m3fn)
    layer.load_state_dict({"weight": weight, "bias": torch.zeros(rows).to(weight)})
    return layer


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_float32_layers_are_float32_with_fast_fp8() -> None:
    """The time embedding is the same with ComfyUI's fast fp8 layers as with its slow ones."""
    weight, x = (random(6, 48, 64) / 8).to(torch.float8_e4m3fn), random(7, 2, 3, 64)
    assert_close([fast_layer("Float32Linear", weight)(x)], [x @ weight.float().T], 1e-6)


def test_fast_fp8_gets_three_dimensions_and_leaves_its_input_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = fast_layer("Linear", (random(6, 48, 64) / 8).to(torch.float8_e4m3fn))
    loud = random(7, 2, 1, 3, 64) * 1000
    before, dimensions = loud.clone(), []

    def product(layer: torch.nn.Module, input: torch.Tensor) -> None:
        """As ComfyUI's, but for the product itself, which a processor does very slowly."""
        dimensions.append(input.ndim)
        input.clamp_(-448, 448)

    monkeypatch.setattr(comfy.ops, "fp8_linear", product)
    assert linear(loud).shape == (2, 1, 3, 48)
    assert dimensions == [3] and torch.equal(loud, before)


def test_a_model_is_freed_with_its_patcher(kind: JointKind) -> None:
    patcher = kind.model()
    alive = weakref.ref(patcher.model)
    gc.collect()
    gc.disable()
    try:
        del patcher
        assert alive() is None, "something holds the model"
    finally:
        gc.enable()
