"""A LoRA that `train` has made, through ComfyUI's own node: as if it were merged into the weights.

TRAINED_LORA names a folder with a model, the LoRA, and the model with it merged in; see test_seam.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths
import pytest
import torch
from clips import SPEECH, Clip, assert_apart, assert_close, joint, sample
from pack.nodes import comfy_loading
from pack.nodes.conditioning import Conditioning
from safetensors.torch import load_file

import nodes as comfy_nodes

FOLDER = Path(os.environ["TRAINED_LORA"])
LORA = "lora.safetensors"
TEXT_WIDTH = 16


def made(patcher: object) -> Clip:
    captions = [
        [[torch.randn(1, 12, TEXT_WIDTH, generator=torch.Generator().manual_seed(seed)), {}]] for seed in (2, 3)
    ]
    out = Conditioning.execute(*captions, SPEECH, "auto")
    return sample(patcher, joint(frames=2, width=64), 2, conds=(out[0], out[1]))


def load(name: str) -> object:
    return comfy_loading.load_model(str(FOLDER / name), {"dtype": torch.float32})


def test_a_trained_lora_does_what_merged_weights_do(caplog: pytest.LogCaptureFixture) -> None:
    folder_paths.add_model_folder_path("loras", str(FOLDER))
    plain = load("model.safetensors")
    before = made(plain)
    patched = comfy_nodes.LoraLoaderModelOnly().load_lora_model_only(plain, LORA, 1.0)[0]
    layers = {name.removesuffix(".alpha") for name in load_file(FOLDER / LORA) if name.endswith(".alpha")}
    assert set(patched.patches) == {f"{layer}.weight" for layer in layers} and len(layers) > 40
    assert "lora key not loaded" not in caplog.text
    through_comfyui = made(patched)
    assert_close(through_comfyui, made(load("merged.safetensors")), 1e-4)
    assert_apart(through_comfyui, before, 1e-3)
