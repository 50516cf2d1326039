"""LoRAs: thin matrices that learn beside a model that stays as it is (arXiv 2106.09685), in ComfyUI's names.

The file holds `diffusion_model.<layer>.lora_A.weight` (rank, columns), `….lora_B.weight` (rows, rank) and `….alpha`, by
the layers' names in the released checkpoint: ComfyUI's LoraLoaderModelOnly takes it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from uniavgen_core.files import needed, whole_file
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.tiny.bundle import MODEL_PREFIX

from .frozen_weights import freeze
from .learner import Learner
from .training_config import LoraSettings

PREFIX = "diffusion_model."
"""What ComfyUI's names of a model's layers begin with."""
DOWN, UP, ALPHA = ".lora_A.weight", ".lora_B.weight", ".alpha"
ADAPTER = "default"
"""peft's name of the only LoRA."""
LEARNT = ".lora_"
"""Part of the names of what learns."""


def add_lora(learner: Learner, settings: LoraSettings) -> None:
    """Freeze a learner and put a LoRA beside its model, which is as before it until the LoRA has learned something.

    From then on the learner's state is the LoRA's alone, so that checkpoints are as small as it.

    Raises:
        ValueError: a setting cannot be, or a pattern of the targets is of no layer.
        NotInstalledError: peft is not installed.
    """
    peft = needed("peft", "to train a LoRA", "training")
    _check(settings)
    layers = lora_layers(learner.model, settings.targets)
    freeze(learner.model, settings.base_weights)
    if learner.caption_encoder is not None:
        learner.caption_encoder.requires_grad_(False)
    config = peft.LoraConfig(r=settings.rank, lora_alpha=settings.alpha or settings.rank, target_modules=layers)
    peft.inject_adapter_in_model(config, learner.model, ADAPTER)
    adapted: list[Any] = [layer for layer in learner.model.modules() if hasattr(layer, "cast_input_dtype_enabled")]
    for layer in adapted:
        layer.cast_input_dtype_enabled = False  # Autocast does that, without a copy of the input in float32.
    for name, parameter in learner.named_parameters():
        if LEARNT in name:
            parameter.data = parameter.data.float()
    _keep_what_learns(learner)


def lora_layers(model: JointDiT, targets: list[str]) -> list[str]:
    """Names of a model's Linears that patterns stand for, in the model's order.

    Raises:
        ValueError: a pattern is of none; it says what there is.
    """
    linears = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    idle = [target for target in targets if not any(fnmatchcase(name, target) for name in linears)]
    if idle or not targets:
        rooms = ", ".join(dict.fromkeys(f"{name.split('.')[0]}.*" for name in linears))
        raise ValueError(
            f"lora: targets has {', '.join(map(repr, idle)) or 'no pattern'}, which is no Linear of the model: give "
            f"patterns of names such as 'blocks.0.self_attn.q' or '*.ffn.*'. There are {rooms}."
        )
    return [name for name in linears if any(fnmatchcase(name, target) for target in targets)]


def _check(settings: LoraSettings) -> None:
    if settings.rank < 1:
        raise ValueError(f"lora: rank is {settings.rank}: give a whole number from 1; 8 to 64 are usual.")
    if settings.alpha < 0:
        raise ValueError(f"lora: alpha is {settings.alpha:g}: give a number above 0, or leave it out.")


def _keep_what_learns(learner: Learner) -> None:
    """Leave frozen weights out of the learner's state, and do not miss them in one.

    Processes do not compare them either: each has read them for itself.
    """
    frozen = tuple(name for name in learner.state_dict() if LEARNT not in name)

    def leave_out(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
        for name in frozen:
            state.pop(prefix + name, None)

    def do_not_miss(module: nn.Module, keys: Any) -> None:
        keys.missing_keys[:] = [name for name in keys.missing_keys if not name.endswith(frozen)]

    learner.register_state_dict_post_hook(leave_out)
    learner.register_load_state_dict_post_hook(do_not_miss)
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(learner, list(frozen))


def save_lora(state: Mapping[str, Tensor], path: Path, settings: LoraSettings, metadata: Mapping[str, str]) -> None:
    """Write what a learner with a LoRA has learned, in ComfyUI's names.

    Args:
        state: the learner's, with or without what is frozen.
        path: of the file, which appears only when it is whole.
        settings: what the LoRA was made with.
        metadata: what the file tells of itself.
    """
    ending = f".{ADAPTER}.weight"
    tensors = {}
    for name, weight in state.items():
        if LEARNT in name:
            layer = f"{PREFIX}{name.removeprefix(MODEL_PREFIX).removesuffix(ending)}"
            tensors[f"{layer}.weight"] = weight.detach().cpu().contiguous()
            tensors[f"{layer.rpartition(LEARNT)[0]}{ALPHA}"] = torch.tensor(float(settings.alpha or settings.rank))
    with whole_file(path) as unfinished:
        save_file(tensors, unfinished, metadata=dict(metadata))


@torch.no_grad()
def merge_lora(model: JointDiT, path: Path, strength: float = 1.0) -> None:
    """Add a LoRA's product to a model's weights.

    Args:
        path: of a file of `save_lora`.
        strength: what the product is multiplied by.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no LoRA in these names, or one for a model of other layers or sizes.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no LoRA {path}.")
    tensors = load_file(path)
    layers = [name.removesuffix(DOWN).removeprefix(PREFIX) for name in tensors if name.endswith(DOWN)]
    if not layers:
        raise ValueError(f"{path} is no LoRA with names such as '{PREFIX}blocks.0.self_attn.q{DOWN}'.")
    weights = dict(model.named_parameters())
    for layer in layers:
        down, up = (tensors[f"{PREFIX}{layer}{end}"].float() for end in (DOWN, UP))
        alpha = tensors.get(f"{PREFIX}{layer}{ALPHA}")
        scale = 1.0 if alpha is None else float(alpha) / len(down)
        weight = weights.get(f"{layer}.weight")
        if weight is None or weight.shape != (len(up), down.shape[1]):
            raise ValueError(f"{path} is of another model: it has {layer} with {len(up)} × {down.shape[1]} weights.")
        weight.add_((strength * scale * (up @ down)).to(weight))
