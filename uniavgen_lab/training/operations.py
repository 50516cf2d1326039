"""Layers for training: the same functions as elsewhere, in forms whose gradients are quick in mixed precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniavgen_core.backend import torch_operations


class training_operations(torch_operations):  # noqa: N801 - a namespace, named as its base
    """What `torch_operations` offers, for autocast. Layers that are listed as float32 stay in float32."""

    class RMSNorm(nn.RMSNorm):
        """In the input's dtype, with the mean of squares in float32."""

        def forward(self, x: Tensor) -> Tensor:
            norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
            scale = torch.rsqrt(norm.square() / x.shape[-1] + self.eps)
            return x * scale.to(x.dtype) * self.weight.to(x.dtype)

    class Float32Linear(nn.Linear):
        """A Linear that autocast leaves alone."""

        def forward(self, input: Tensor) -> Tensor:
            with torch.autocast(input.device.type, enabled=False):
                return functional.linear(input.float(), self.weight, self.bias)

    class LayerNorm(nn.LayerNorm):
        """In the input's dtype, as everywhere else: autocast would hand on float32 on a GPU."""

        def forward(self, input: Tensor) -> Tensor:
            weight, bias = (None if x is None else x.to(input.dtype) for x in (self.weight, self.bias))
            with torch.autocast(input.device.type, enabled=False):
                return functional.layer_norm(input, self.normalized_shape, weight, bias, self.eps)

    @staticmethod
    def attention(
        q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, options: dict[str, Any] | None = None
    ) -> Tensor:
        """As the base's. On the CPU, short sequences are quicker as two products of matrices."""
        if q.device.type != "cpu":
            return torch_operations.attention(q, k, v, heads, mask, options)
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores + mask.unsqueeze(1).to(scores.dtype)
        return (scores.softmax(dim=-1).to(v.dtype) @ v).transpose(1, 2).flatten(2)
