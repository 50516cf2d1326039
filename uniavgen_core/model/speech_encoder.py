"""The speech encoder: symbols of the spoken text to features, after F5-TTS's text embedding."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from ..config import ModelSizes

MIN_SYMBOLS = 10
MAX_POSITION = 4095
FILLER = 0
"""Row of the embedding that stands for no symbol; symbol s has row s + 1."""


class GlobalResponseNorm(nn.Module):
    """Global response normalisation of ConvNeXt V2: γ · x · G / mean(G) + β + x, G the norm of a channel over time."""

    def __init__(self, width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        self.cast = operations.cast
        self.gamma = nn.Parameter(torch.empty(1, 1, width, device=device, dtype=dtype))
        self.beta = nn.Parameter(torch.empty(1, 1, width, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        response = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        share = response / (response.mean(dim=-1, keepdim=True) + 1e-6)  # (b, 1, c)
        return self.cast(self.gamma, x) * (x * share) + self.cast(self.beta, x) + x


class ConvNeXtBlock(nn.Module):
    """A ConvNeXt V2 block over a sequence (batch, symbols, width)."""

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        width, hidden = sizes.speech_width, sizes.speech_ffn_width
        factory_kwargs = {"device": device, "dtype": dtype}
        self.dwconv = operations.Conv1d(width, width, kernel_size=7, padding=3, groups=width, **factory_kwargs)
        self.norm = operations.LayerNorm(width, eps=1e-6, **factory_kwargs)
        self.pwconv1 = operations.Linear(width, hidden, **factory_kwargs)
        self.grn = GlobalResponseNorm(hidden, operations, **factory_kwargs)
        self.pwconv2 = operations.Linear(hidden, width, **factory_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dwconv(rearrange(x, "b s c -> b c s"))
        y = self.norm(rearrange(y, "b c s -> b s c"))
        return x + self.pwconv2(self.grn(functional.gelu(self.pwconv1(y))))


def position_table(positions: int, width: int, like: Tensor) -> Tensor:
    """Positions as [cos, sin] halves (positions, width); past 4095 the last one repeats."""
    frequencies = torch.pow(10_000.0, -2 * torch.arange(width // 2, device=like.device) / width)
    indices = torch.arange(positions, device=like.device).clamp(max=MAX_POSITION)
    angle = indices.float().unsqueeze(-1) * frequencies
    return torch.cat((angle.cos(), angle.sin()), dim=-1).to(like.dtype)


class SpeechEncoder(nn.Module):
    """Symbols (batch, S) of one length to features (batch, max(S, 10), speech width); -1 stands for no symbol.

    The normalisation runs over the whole sequence, so that texts of different lengths must be encoded one by one.
    """

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.text_embed = operations.Embedding(sizes.vocabulary_rows, sizes.speech_width, **factory_kwargs)
        self.text_blocks = nn.ModuleList(
            ConvNeXtBlock(sizes, operations, **factory_kwargs) for _ in range(sizes.speech_blocks)
        )

    def forward(self, symbols: Tensor, dtype: torch.dtype) -> Tensor:
        rows = functional.pad(symbols, (0, max(0, MIN_SYMBOLS - symbols.shape[1])), value=-1) + 1
        silent = (rows == FILLER).unsqueeze(-1)
        x = self.text_embed(rows).to(dtype)
        x = (x + position_table(x.shape[1], x.shape[2], x)).masked_fill(silent, 0)
        for block in self.text_blocks:
            x = block(x).masked_fill(silent, 0)
        return x
