"""GGUF files, read with the pack ComfyUI-GGUF where it is installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import folder_paths
import torch
from torch import Tensor, nn

import nodes

from ..uniavgen_core.backend import torch_operations
from ..uniavgen_core.checkpoint import CheckpointError, with_optional
from ..uniavgen_core.model.joint_dit import JointDiT
from ..uniavgen_core.recognition import empty_model
from .comfy_model import make_patcher

FILES = "unet_gguf"
"""ComfyUI-GGUF's name for the GGUF files in models/diffusion_models."""
LOADER = "UnetLoaderGGUF"
"""The node by which ComfyUI-GGUF is found: where a pack lies, and what it is called, is the user's choice."""
PARTS = {"loader": "gguf_sd_loader", "ops": "GGMLOps", "nodes": "GGUFModelPatcher", "dequant": "dequantize_tensor"}
"""What is used of ComfyUI-GGUF, by module."""


def reads_gguf() -> bool:
    """Whether ComfyUI-GGUF is installed."""
    return FILES in folder_paths.folder_names_and_paths and LOADER in nodes.NODE_CLASS_MAPPINGS


def gguf_files() -> list[str]:
    """Names of GGUF files in models/diffusion_models; none where ComfyUI-GGUF is not installed."""
    return folder_paths.get_filename_list(FILES) if reads_gguf() else []


def load_gguf(path: str, disable_dynamic: bool = False) -> Any:
    """Load a joint model from a GGUF file as a ModelPatcher; its weights stay as they are stored until they are used.

    Raises:
        CheckpointError: the file is damaged or of another model, or ComfyUI-GGUF is of another version.
    """
    pack = _pack()
    name = Path(path).name
    try:
        state = pack["gguf_sd_loader"](path)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise CheckpointError(
            f"{name} cannot be read as a GGUF file of a model ({error}): download it or convert it again."
        ) from error
    meta = {key: torch.empty(tensor.shape, device="meta") for key, tensor in state.items()}
    model = empty_model(meta, name)
    for key in state.keys() - _quantised(model):
        state[key] = _plain(state[key], pack["dequantize_tensor"])
    patcher = make_patcher(
        model.sizes, with_optional(state), None, {"custom_operations": pack["GGMLOps"]}, True, (load_gguf, (path,))
    )
    return pack["GGUFModelPatcher"].clone(patcher)


def _pack() -> dict[str, Any]:
    """What is used of ComfyUI-GGUF, by name."""
    try:
        package = sys.modules[nodes.NODE_CLASS_MAPPINGS[LOADER].__module__].__package__
        return {part: getattr(importlib.import_module(f".{module}", package), part) for module, part in PARTS.items()}
    except (ImportError, AttributeError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"The ComfyUI-GGUF that is installed is of another version ({error}): update it, or take the model's "
            "safetensors file."
        ) from error


def _quantised(model: JointDiT) -> set[str]:
    """Weights of the layers that can take quantised ones."""
    return {
        f"{name}.weight"
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and not isinstance(layer, torch_operations.Float32Linear)
    }


def _plain(tensor: Tensor, dequantise: Any) -> Tensor:
    """A tensor as PyTorch keeps it: float32 and float16 as they are, all else in bf16."""
    kept = tensor.dtype in (torch.float32, torch.float16)
    return dequantise(tensor, tensor.dtype if kept else torch.bfloat16).as_subclass(Tensor)
