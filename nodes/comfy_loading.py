"""Model files as ComfyUI MODELs: safetensors, and GGUF by the pack ComfyUI-GGUF where it is installed."""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

import nodes

from ..uniavgen_core.backend import torch_operations
from ..uniavgen_core.checkpoint import Checkpoint, CheckpointError, is_side_tensor, with_optional
from ..uniavgen_core.model.joint_dit import JointDiT
from ..uniavgen_core.recognition import empty_model
from ..uniavgen_core.universe1.stitched_dit import StitchedDiT
from ..uniavgen_core.universe1.stitched_names import is_stitched, is_unused, stitched_name
from .comfy_joint import JointConfig, around_joint_run
from .comfy_model import UniAVGenConfig
from .comfy_universe import UniverseConfig

AnyDiT = JointDiT | StitchedDiT
"""A joint model of the core."""
CONFIGS: dict[type, type[JointConfig]] = {JointDiT: UniAVGenConfig, StitchedDiT: UniverseConfig}
"""What ComfyUI asks of each joint model's kind."""

DEFAULT_DTYPE = "default"
"""Weights stay in the data type of the file."""
WEIGHT_DTYPES: dict[str, dict[str, Any]] = {
    DEFAULT_DTYPE: {},
    "fp8_e4m3fn": {"dtype": torch.float8_e4m3fn},
    "fp8_e4m3fn_fast": {"dtype": torch.float8_e4m3fn, "fp8_optimizations": True},
    "fp8_e5m2": {"dtype": torch.float8_e5m2},
}

TRAINED_WITH_MASKS = "trained_with_masks"
"""Option of a model: whether it takes areas that are kept as it takes whole frames, see `NoisedAreas`."""

GGUF_FILES = "unet_gguf"
"""ComfyUI-GGUF's name for the GGUF files in models/diffusion_models."""
LOADER = "UnetLoaderGGUF"
"""The node by which ComfyUI-GGUF is found: where a pack lies, and what it is called, is the user's choice."""
PARTS = {"loader": "gguf_sd_loader", "ops": "GGMLOps", "nodes": "GGUFModelPatcher", "dequant": "dequantize_tensor"}
"""What is used of ComfyUI-GGUF, by module."""


def load_model(path: str, model_options: dict[str, Any] | None = None, disable_dynamic: bool = False) -> Any:
    """Load a joint model from a file or a folder of shards as a ModelPatcher, as ComfyUI loads its own.

    Raises:
        ValueError, FileNotFoundError: the file is missing, damaged or of another model.
    """
    source = Checkpoint(path)
    model = empty_model(source.meta, source.path.name)
    return make_patcher(
        model,
        _read(source, model.state_dict()),
        source.metadata,
        model_options or {},
        disable_dynamic,
        (load_model, (path, model_options)),
    )


def _read(source: Checkpoint, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's tensors, file by file in the way that ComfyUI reads its own."""
    state: dict[str, Tensor] = {}
    for file in source.files:
        tensors = comfy.utils.load_torch_file(str(file))
        for stored, name in source.names_in(file).items():
            if name in expected or is_side_tensor(name):
                state[name] = tensors[stored]
    return with_optional(state)


def make_patcher(
    core_model: AnyDiT,
    state: dict[str, Tensor],
    metadata: dict[str, str] | None,
    model_options: dict[str, Any],
    disable_dynamic: bool,
    factory: tuple[Any, tuple[Any, ...]],
) -> Any:
    """A ModelPatcher of weights for a model of the core; `factory` makes it again where ComfyUI needs a fresh one.

    Of `model_options`, `dtype`, `fp8_optimizations` and `custom_operations` count, as in ComfyUI's own loaders, and
    `TRAINED_WITH_MASKS`.
    """
    state, _ = comfy.utils.convert_old_quants(state, "", metadata=metadata)
    sizes = core_model.sizes
    config = CONFIGS[type(core_model)](sizes, model_options.get(TRAINED_WITH_MASKS, False))
    config.quant_config = comfy.utils.detect_layer_quantization(state, "")
    config.custom_operations = model_options.get("custom_operations")
    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    dtype = model_options.get("dtype") or comfy.model_management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(state),
        supported_dtypes=config.supported_inference_dtypes,
        weight_dtype=None if config.quant_config or config.custom_operations else comfy.utils.weight_dtype(state),
    )
    manual_cast_dtype = comfy.model_management.unet_manual_cast(
        None if config.quant_config else dtype, load_device, config.supported_inference_dtypes
    )
    config.set_inference_dtype(dtype, manual_cast_dtype)
    config.optimizations["fp8"] = model_options.get("fp8_optimizations", False)

    model = config.get_model(state)
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = patcher_class(model, load_device=load_device, offload_device=offload_device)
    if not comfy.model_management.is_device_cpu(offload_device):
        model.to(offload_device)
    model.load_model_weights(state, "", assign=patcher.is_dynamic())
    patcher.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "uniavgen", around_joint_run)
    patcher.cached_patcher_init = factory
    logging.info("%s: %d blocks, %d and %d wide", model.name, sizes.blocks, sizes.video_width, sizes.audio_width)
    return patcher


def host_model(model: AnyDiT, disable_dynamic: bool = False) -> Any:
    """A ModelPatcher of a model that the core has made."""
    return make_patcher(model, dict(model.state_dict()), None, {}, disable_dynamic, (host_model, (model,)))


def reads_gguf() -> bool:
    """Whether ComfyUI-GGUF is installed."""
    return GGUF_FILES in folder_paths.folder_names_and_paths and LOADER in nodes.NODE_CLASS_MAPPINGS


def gguf_files() -> list[str]:
    """Names of GGUF files in models/diffusion_models; none where ComfyUI-GGUF is not installed."""
    return folder_paths.get_filename_list(GGUF_FILES) if reads_gguf() else []


def load_gguf(path: str, model_options: dict[str, Any] | None = None, disable_dynamic: bool = False) -> Any:
    """Load a joint model from a GGUF file as a ModelPatcher; its weights stay as they are stored until they are used.

    Of `model_options`, `TRAINED_WITH_MASKS` counts.

    Raises:
        CheckpointError: the file is damaged or of another model, or ComfyUI-GGUF is of another version.
    """
    pack = _pack()
    name = Path(path).name
    try:
        state = pack["gguf_sd_loader"](path)
    # What a file that lies makes its reader stumble over.
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError, MemoryError) as error:
        raise CheckpointError(
            f"{name} cannot be read as a GGUF file of a model ({error}): download it or convert it again."
        ) from error
    if is_stitched(state):
        state = {stitched_name(key): tensor for key, tensor in state.items() if not is_unused(key)}
    meta = {key: torch.empty(tensor.shape, device="meta") for key, tensor in state.items()}
    model = empty_model(meta, name)
    for key in state.keys() - _quantised(model):
        state[key] = _plain(state[key], pack["dequantize_tensor"])
    options = {**(model_options or {}), "custom_operations": pack["GGMLOps"]}
    patcher = make_patcher(model, with_optional(state), None, options, True, (load_gguf, (path, model_options)))
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


def _quantised(model: nn.Module) -> set[str]:
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
