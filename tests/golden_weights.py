"""Weights by rule: each parameter is made from its name, so that no file has to hold them."""

from __future__ import annotations

import math
import zlib

import numpy
import torch
from torch import Tensor, nn


def weight_by_rule(name: str, shape: tuple[int, ...], weight_seed: int = 0) -> Tensor:
    """The float32 parameter that the rule gives for this name and shape."""
    seed = (zlib.crc32(name.encode()) ^ weight_seed) % 2**32
    values = numpy.random.RandomState(seed).standard_normal(math.prod(shape)).reshape(shape)
    if name.endswith(("modulation", "scale_shift_table")):
        values = 0.2 * values
    elif len(shape) >= 2:
        values = values / math.sqrt(math.prod(shape[1:]))
    elif name.endswith(".weight"):
        values = 1 + 0.1 * values
    else:
        values = 0.1 * values
    return torch.from_numpy(values.astype(numpy.float32))


def weights_by_rule(model: nn.Module, weight_seed: int = 0) -> dict[str, Tensor]:
    """A state dict for the model, all by the rule."""
    return {
        name: weight_by_rule(name, tuple(parameter.shape), weight_seed)
        for name, parameter in model.state_dict().items()
    }
