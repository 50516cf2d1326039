"""The small model's caption encoder: a byte-level transformer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..config import CAPTION_ROWS
from ..model.speech_encoder import position_table

BYTE_VALUES = 256
EMPTY = BYTE_VALUES
"""Token of the empty caption."""
HEADS = 2
LAYERS = 2


class Layer(nn.Module):
    """Self-attention and feed-forward, each behind a LayerNorm and added to its input."""

    def __init__(self, width: int, operations: Any, factory_kwargs: dict[str, Any]):
        super().__init__()
        self.operations = operations
        self.norm1 = operations.LayerNorm(width, **factory_kwargs)
        self.qkv = operations.Linear(width, 3 * width, **factory_kwargs)
        self.out = operations.Linear(width, width, **factory_kwargs)
        self.norm2 = operations.LayerNorm(width, **factory_kwargs)
        self.ffn = nn.Sequential(
            operations.Linear(width, 4 * width, **factory_kwargs),
            nn.GELU(),
            operations.Linear(4 * width, width, **factory_kwargs),
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.out(self.operations.attention(q, k, v, HEADS))
        return x + self.ffn(self.norm2(x))


class CaptionEncoder(nn.Module):
    """Rows of features for a caption, one a byte of its UTF-8 form.

    Args:
        width: width of the rows.
        operations: namespace of the layers and of attention.
    """

    def __init__(self, width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.embedding = operations.Embedding(BYTE_VALUES + 1, width, **factory_kwargs)
        self.layers = nn.ModuleList(Layer(width, operations, factory_kwargs) for _ in range(LAYERS))
        self.norm = operations.LayerNorm(width, **factory_kwargs)

    @staticmethod
    def tokenize(text: str) -> list[int]:
        """Tokens of a caption, one a byte; what is longer than 512 bytes is cut. The empty caption has one token."""
        return list(text.encode()[:CAPTION_ROWS]) or [EMPTY]

    def forward(self, tokens: Tensor) -> Tensor:
        """Features (batch, n, width) of tokens (batch, n), all captions of one length."""
        x = self.embedding(tokens)
        x = x + position_table(x.shape[1], x.shape[2], x)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)
