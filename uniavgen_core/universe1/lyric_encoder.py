"""ACE-Step's lyric encoder: speech tokens to features, by self-attention over relative positions."""

from __future__ import annotations

import math
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from .stitched_sizes import StitchedSizes


def relative_positions(length: int, width: int, like: Tensor) -> Tensor:
    """Sinusoids (2 · length - 1, width) of the distances length - 1 down to 1 - length: sine and cosine in turn."""
    distances = torch.arange(length - 1, -length, -1, dtype=torch.float32)
    frequencies = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10_000.0) / width))
    angles = torch.outer(distances, frequencies)
    table = rearrange(torch.stack((angles.sin(), angles.cos()), dim=-1), "n pairs two -> n (pairs two)")
    return table.to(like)


class RelativeAttention(nn.Module):
    """Self-attention that knows how far apart two tokens are (Transformer-XL).

    score(i, j) = ((q_i + u) · k_j + (q_i + v) · P_{i-j}) / √d
    """

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        width, self.heads = sizes.lyric_width, sizes.lyric_heads
        self.cast = operations.cast
        self.linear_q = operations.Linear(width, width, **factory_kwargs)
        self.linear_k = operations.Linear(width, width, **factory_kwargs)
        self.linear_v = operations.Linear(width, width, **factory_kwargs)
        self.linear_out = operations.Linear(width, width, **factory_kwargs)
        self.linear_pos = operations.Linear(width, width, bias=False, **factory_kwargs)
        self.pos_bias_u = nn.Parameter(torch.empty(self.heads, width // self.heads, **factory_kwargs))
        self.pos_bias_v = nn.Parameter(torch.empty(self.heads, width // self.heads, **factory_kwargs))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Tokens (batch, S, width) after attention; positions (2 · S - 1, width) from `relative_positions`."""
        tokens = x.shape[1]
        q, k, v = (self._heads(linear(x)) for linear in (self.linear_q, self.linear_k, self.linear_v))
        p = self._heads(self.linear_pos(positions[None]))
        u, w = (rearrange(self.cast(bias, q), "heads d -> heads 1 d") for bias in (self.pos_bias_u, self.pos_bias_v))
        by_content = (q + u) @ k.mT
        by_distance = (q + w) @ p.mT  # (b, heads, s, 2s - 1), of which token i reads s of its own
        index = torch.arange(tokens, device=x.device)
        of_pair = (tokens - 1 - index[:, None] + index).expand_as(by_content)
        scores = (by_content + by_distance.gather(-1, of_pair)) / math.sqrt(q.shape[-1])
        return self.linear_out(rearrange(scores.softmax(dim=-1) @ v, "b heads n d -> b n (heads d)"))

    def _heads(self, x: Tensor) -> Tensor:
        return rearrange(x, "b n (heads d) -> b heads n d", heads=self.heads)


class LyricFeedForward(nn.Module):
    """Two layers with SiLU between them."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.w_1 = operations.Linear(sizes.lyric_width, sizes.lyric_ffn_width, **factory_kwargs)
        self.w_2 = operations.Linear(sizes.lyric_ffn_width, sizes.lyric_width, **factory_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(functional.silu(self.w_1(x)))


class LyricLayer(nn.Module):
    """Attention and a feed-forward net, each behind a LayerNorm."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.self_attn = RelativeAttention(sizes, operations, **factory_kwargs)
        self.feed_forward = LyricFeedForward(sizes, operations, **factory_kwargs)
        self.norm_mha = operations.LayerNorm(sizes.lyric_width, eps=1e-5, **factory_kwargs)
        self.norm_ff = operations.LayerNorm(sizes.lyric_width, eps=1e-5, **factory_kwargs)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        x = x + self.self_attn(self.norm_mha(x), positions)
        return x + self.feed_forward(self.norm_ff(x))


class LyricEmbedding(nn.Module):
    """A Linear and a LayerNorm, scaled by the root of the width."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        width = sizes.lyric_width
        self.scale = math.sqrt(width)
        self.out = nn.Sequential(
            operations.Linear(width, width, **factory_kwargs), operations.LayerNorm(width, eps=1e-5, **factory_kwargs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x) * self.scale


class LyricEncoder(nn.Module):
    """Embedded speech tokens (batch, S, width) to features of the same shape."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.embed = LyricEmbedding(sizes, operations, **factory_kwargs)
        self.encoders = nn.ModuleList(
            LyricLayer(sizes, operations, **factory_kwargs) for _ in range(sizes.lyric_layers)
        )
        self.after_norm = operations.LayerNorm(sizes.lyric_width, eps=1e-5, **factory_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        positions = relative_positions(x.shape[1], x.shape[2], x)
        x = self.embed(x)
        for layer in self.encoders:
            x = layer(x, positions)
        return self.after_norm(x)
