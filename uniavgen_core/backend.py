"""What the host supplies to the model: layer classes, attention, rotary embedding and casts.

A model takes an `operations` namespace and uses nothing else that depends on the host. `torch_operations` is plain
PyTorch; a host such as ComfyUI passes its own, so that its casting, offload and kernels are used.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from .config import TIMESTEP_CHANNELS


def sinusoid(timestep: Tensor) -> Tensor:
    """Embed timesteps (…) in [0, 1000] as (…, 256) float32: cosines, then sines, computed in float64."""
    half = TIMESTEP_CHANNELS // 2
    exponent = torch.arange(half, dtype=torch.float64, device=timestep.device) / half
    angle = timestep.double().unsqueeze(-1) * torch.pow(10_000.0, -exponent)
    return torch.cat((angle.cos(), angle.sin()), dim=-1).float()


class torch_operations:  # noqa: N801 - a namespace, named as hosts name theirs
    """Plain PyTorch layers and functions."""

    Linear = nn.Linear
    LayerNorm = nn.LayerNorm
    RMSNorm = nn.RMSNorm
    GroupNorm = nn.GroupNorm
    Conv1d = nn.Conv1d
    Conv2d = nn.Conv2d
    Conv3d = nn.Conv3d
    Embedding = nn.Embedding
    sinusoid = staticmethod(sinusoid)

    class Float32Linear(nn.Linear):
        """A Linear that computes in its float32 input's dtype, whatever its weights are stored in."""

        def forward(self, input: Tensor) -> Tensor:
            bias = None if self.bias is None else self.bias.to(input.dtype)
            return functional.linear(input, self.weight.to(input.dtype), bias)

    @staticmethod
    def cast(parameter: Tensor, like: Tensor) -> Tensor:
        """A raw parameter with the dtype and device of `like`."""
        return parameter.to(like)

    @staticmethod
    def rotate(x: Tensor, table: Tensor) -> Tensor:
        """Rotary embedding of x (batch, tokens, heads, width) by a table (1, tokens, 1, width / 2, 2, 2).

        The table's last two axes are the rotation matrix of a pair of neighbouring channels.
        """
        pairs = rearrange(x.to(table.dtype), "b n heads (pairs two) -> b n heads pairs two", two=2)
        if torch.compiler.is_compiling():  # Compilers fuse real arithmetic; complex numbers they leave apart.
            even, odd = pairs.unbind(-1)
            cosine, sine = table[..., 0, 0], table[..., 1, 0]
            rotated = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
        else:
            turns = torch.view_as_complex(table[..., 0].contiguous())
            rotated = torch.view_as_real(torch.view_as_complex(pairs) * turns)
        return rearrange(rotated, "b n heads pairs two -> b n heads (pairs two)").to(x.dtype)

    @staticmethod
    def attention(
        q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, options: dict[str, Any] | None = None
    ) -> Tensor:
        """Attention of q (batch, queries, width) to k and v (batch, keys, width), each split into heads.

        `mask` (batch, queries or 1, keys) is added to the scores. `options` are the host's own.
        """
        q, k, v = (rearrange(x, "b n (heads d) -> b heads n d", heads=heads) for x in (q, k, v))
        mask = None if mask is None else mask.unsqueeze(1)  # (b, 1, queries or 1, keys)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return rearrange(attended, "b heads n d -> b n (heads d)")
