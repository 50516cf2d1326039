"""Weights that stay as they are, kept in few bits: what a LoRA is trained beside."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Storage(NamedTuple):
    """How the weights of a Linear are kept."""

    dtype: torch.dtype
    largest: float | None = None
    """The largest number of the rows, which are brought to it by a scale each; None where there is no scale."""


STORAGES = {
    "float32": Storage(torch.float32),
    "bf16": Storage(torch.bfloat16),
    "fp8": Storage(torch.float8_e4m3fn, 448.0),
    "int8": Storage(torch.int8, 127.0),
}
"""By name. Of the two of 8 bits, int8 is the nearer to the weights: its steps are even in a row."""


def freeze(model: nn.Module, storage: str) -> None:
    """Let a model learn nothing more, and keep the weights of its Linears so; all else is kept in float32.

    Linears that compute in float32 are few, and stay as they are.

    Raises:
        ValueError: there is no such way to keep them.
    """
    if storage not in STORAGES:
        raise ValueError(f"base_weights is '{storage}': choose from {', '.join(STORAGES)}.")
    model.requires_grad_(False)
    for module in list(model.modules()):
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.float() if type(module) is not nn.Linear else parameter.data
        for name, layer in list(module.named_children()):
            # Not those of its subclasses.
            if type(layer) is nn.Linear:
                setattr(module, name, FrozenLinear(layer, STORAGES[storage]))


class FrozenLinear(nn.Linear):
    """x · (scale · weight)ᵀ + bias, in the dtype of autocast or else of x, with a weight of a `Storage`.

    The weight is multiplied out anew in the backward pass, so that it is never kept twice.
    """

    def __init__(self, layer: nn.Linear, storage: Storage):
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        weight, scale = _stored(layer.weight.detach(), storage)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = layer.bias
        self.register_buffer("scale", scale)

    def forward(self, input: Tensor) -> Tensor:
        device = input.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else input.dtype
        return _FrozenProduct.apply(input.to(dtype), self.weight, self.scale, self.bias)


def _stored(weight: Tensor, storage: Storage) -> tuple[Tensor, Tensor | None]:
    """A weight (rows, columns) in the storage's dtype, and the scale (rows, 1) of each row, where it has one."""
    if storage.largest is None:
        return weight.to(storage.dtype), None
    rows = weight.float()
    scale = (rows.abs().amax(dim=1, keepdim=True) / storage.largest).clamp_min(torch.finfo(torch.float32).tiny)
    scaled = rows / scale
    return (scaled if storage.dtype.is_floating_point else scaled.round()).to(storage.dtype), scale


def _multiplied_out(weight: Tensor, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    return weight.to(dtype) if scale is None else weight.to(dtype) * scale.to(dtype)


class _FrozenProduct(torch.autograd.Function):
    """A Linear's product whose gradient goes to its input alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor | None, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight, scale)
        return functional.linear(x, _multiplied_out(weight, scale, x.dtype), None if bias is None else bias.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        weight, scale = ctx.saved_tensors
        return gradient @ _multiplied_out(weight, scale, gradient.dtype), None, None, None
