"""The model that a run starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, cast

import torch
from torch import Tensor

from uniavgen_core.checkpoint import Checkpoint, load_into
from uniavgen_core.config import ModelSizes
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.recognition import recognise
from uniavgen_core.tiny.bundle import (
    CAPTION_PREFIX,
    MODEL_PREFIX,
    MODEL_SIZES,
    WEIGHTS_FILE,
    assign_weights,
    under,
    unpack,
)
from uniavgen_core.tiny.caption import CaptionEncoder

from .ablations import apply_variant
from .initialise import initialise
from .learner import Learner
from .lora import add_lora
from .operations import training_operations
from .training_config import TrainConfig
from .video_codecs import BUILT_IN


def build_learner(config: TrainConfig) -> Learner:
    """The model with the weights that the run starts from, or random ones that follow from the run's seed.

    Raises:
        FileNotFoundError, CheckpointError: the weights are not there, damaged, or of another kind.
        ValueError: the configuration gives sizes that the weights have not, an unknown interaction or face mask, or a
            LoRA that cannot be.
        NotInstalledError: peft is not installed, and a LoRA is asked for.
    """
    torch.manual_seed(config.seed)
    model, caption = _first_weights(config)
    apply_variant(model, config.interaction, config.face_mask)
    learner = Learner(model, _caption_encoder(config, model.sizes, caption), config.gradient_checkpointing)
    if config.lora is not None:
        add_lora(learner, config.lora)
    return learner


def _first_weights(config: TrainConfig) -> tuple[JointDiT, dict[str, Tensor]]:
    """The model, and the weights of the caption encoder that learnt with it, if there are such."""
    if not config.model:
        model = JointDiT(_changed(MODEL_SIZES, config.sizes), training_operations)
        initialise(model)
        return model, {}
    checkpoint = Checkpoint(WEIGHTS_FILE if config.model == BUILT_IN else config.path(config.model))
    of_a_run = any(name.startswith(MODEL_PREFIX) for name in checkpoint.meta)
    model = _model_of_a_run(checkpoint) if of_a_run else _released_model(checkpoint, _dtype(config))
    _check_sizes(config, model.sizes)
    return model, _load_under(CAPTION_PREFIX, checkpoint) if of_a_run else {}


def _dtype(config: TrainConfig) -> torch.dtype:
    """What a released checkpoint is read as: weights that are to be kept in few bits never take four bytes each."""
    in_few_bits = config.lora is not None and config.lora.base_weights != "float32"
    return torch.bfloat16 if in_few_bits else torch.float32


def _released_model(checkpoint: Checkpoint, dtype: torch.dtype) -> JointDiT:
    """The model of a checkpoint in the released form."""
    model = _empty_model(recognise(checkpoint.meta, str(checkpoint.path)))
    load_into(model, checkpoint, dtype)
    return model


def _model_of_a_run(checkpoint: Checkpoint) -> JointDiT:
    """The model of weights that a run has written, or of a bundle of them, in float32."""
    model = _empty_model(recognise(under(MODEL_PREFIX, checkpoint.meta), str(checkpoint.path)))
    assign_weights(model, _load_under(MODEL_PREFIX, checkpoint), str(checkpoint.path))
    return model


def _changed(sizes: ModelSizes, changes: Mapping[str, int]) -> ModelSizes:
    unknown = sorted(set(changes) - {entry.name for entry in fields(sizes)})
    if unknown:
        raise ValueError(f"sizes has unknown entries {', '.join(unknown)}.")
    return replace(sizes, **cast("dict[str, Any]", changes))


def _empty_model(sizes: ModelSizes) -> JointDiT:
    return JointDiT(sizes, training_operations, device="meta")


def _caption_encoder(config: TrainConfig, sizes: ModelSizes, state: dict[str, Tensor]) -> CaptionEncoder | None:
    """The caption encoder that learns with the model: with these weights, or with random ones where there are none."""
    if config.frozen_captions:
        return None
    encoder = CaptionEncoder(sizes.text_width, training_operations)
    if state:
        assign_weights(encoder, state, f"{config.model} (its caption encoder)")
    else:
        initialise(encoder)
    return encoder


def _load_under(prefix: str, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """A checkpoint's tensors whose names begin so, by the rest of their names, in float32 and as they were packed."""
    return unpack({name: checkpoint.load(prefix + name) for name in under(prefix, checkpoint.meta)})


def _check_sizes(config: TrainConfig, sizes: ModelSizes) -> None:
    wrong = [name for name, value in config.sizes.items() if getattr(sizes, name, None) != value]
    if wrong:
        found = ", ".join(f"{name} {getattr(sizes, name, None)}" for name in wrong)
        raise ValueError(f"The model in {config.model} has {found}: leave out sizes, they are those of the model.")
