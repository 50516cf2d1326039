"""Where a host may look into the blocks of a forward pass, and change what they do."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention of queries, keys and values (batch, tokens, width), before its output is projected."""


class Branch(Enum):
    """One of the two transformers."""

    VIDEO = auto()
    AUDIO = auto()


class BlockHooks:
    """What a host does inside one block of one branch: here nothing, a host replaces some methods."""

    def self_attention(self, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """In the place of attend(q, k, v) among the tokens; queries and keys are rotated."""
        return attend(q, k, v)

    def cross_attention(self, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """In the place of attend(q, k, v) of the tokens to the text."""
        return attend(q, k, v)

    def add_text(self, x: Tensor, update: Tensor) -> Tensor:
        """In the place of x + update, the tokens (batch, tokens, width) and what cross-attention gives them."""
        return x + update


class Hooks:
    """What a host does in the blocks of one forward pass: here nothing, a host replaces some methods."""

    def before_block(self, index: int) -> None:
        """Block `index` of both branches comes next."""

    def inside(self, index: int, branch: Branch) -> BlockHooks | None:
        """What is done inside a branch's block; None leaves the block as it is, at no cost."""
        return None

    def after_block(self, index: int, video: Tensor, time: Tensor) -> Tensor:
        """Video tokens (batch, (T + 1) · N, width) in the place of those after a block and its interaction.

        Args:
            time: video time embeddings (batch, 2, width) of timestep 0 and of the step, float32.
        """
        return video
