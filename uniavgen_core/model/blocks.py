"""Transformer blocks of both branches: Wan's, the audio branch's on one axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..config import HEAD_WIDTH
from .plan import Runs


def modulate(x: Tensor, shift: Tensor, scale: Tensor, runs: Runs) -> Tensor:
    """x · (1 + scale) + shift, for x (batch, tokens, width) and rows (batch, 2, width) in float32."""
    shift, scale = (_spread(rows.to(x.dtype), runs) for rows in (shift, 1 + scale))
    return torch.addcmul(shift, _in_groups(x, shift), scale).flatten(1, 2)


def gated_sum(x: Tensor, update: Tensor, gate: Tensor, runs: Runs) -> Tensor:
    """x + gate · update, for x and update (batch, tokens, width) and rows (batch, 2, width) in float32."""
    gate = _spread(gate.to(x.dtype), runs)
    return torch.addcmul(_in_groups(x, gate), _in_groups(update, gate), gate).flatten(1, 2)


def _spread(rows: Tensor, runs: Runs) -> Tensor:
    """Rows (batch, groups, 1, width) of the largest groups of tokens, all of one size, that the runs are made of."""
    size = math.gcd(*(count for count, _ in runs))
    spread = [rows[:, row : row + 1].expand(-1, count // size, -1) for count, row in runs]
    return torch.cat(spread, dim=1).unsqueeze(2)


def _in_groups(x: Tensor, rows: Tensor) -> Tensor:
    """Tokens (batch, groups, tokens a group, width), as many groups as there are rows."""
    return x.unflatten(1, (rows.shape[1], -1))


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


class Attention(nn.Module):
    """Self- or cross-attention with an RMSNorm over the whole width of queries and keys."""

    def __init__(self, width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        place = {"device": device, "dtype": dtype}
        self.heads = width // HEAD_WIDTH
        self.operations = operations
        self.q = operations.Linear(width, width, **place)
        self.k = operations.Linear(width, width, **place)
        self.v = operations.Linear(width, width, **place)
        self.o = operations.Linear(width, width, **place)
        self.norm_q = operations.RMSNorm(width, eps=1e-6, **place)
        self.norm_k = operations.RMSNorm(width, eps=1e-6, **place)

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        query_table: Tensor | None,
        key_table: Tensor | None,
        options: dict[str, Any],
        mask: Tensor | None = None,
        hook: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """Attention of x (batch, tokens, width) to context (batch, keys, width); tables of None do not rotate.

        `hook` is a method of `BlockHooks` that takes the place of the attention between the projections.
        """
        q = self._rotate(self.norm_q(self.q(x)), query_table)
        k = self._rotate(self.norm_k(self.k(context)), key_table)
        attend: Callable[..., Tensor] = partial(self.operations.attention, heads=self.heads, mask=mask, options=options)
        if hook is not None:
            attend = partial(hook, attend)
        return self.o(attend(q, k, self.v(context)))

    def _rotate(self, x: Tensor, table: Tensor | None) -> Tensor:
        if table is None:
            return x
        return self.operations.rotate(x.unflatten(-1, (self.heads, -1)), table).flatten(-2)


class Block(nn.Module):
    """Self-attention, cross-attention to the text and a feed-forward net, modulated by the timestep."""

    def __init__(self, width: int, ffn_width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        place = {"device": device, "dtype": dtype}
        self.cast = operations.cast
        self.modulation = nn.Parameter(torch.empty(1, 6, width, **place))
        self.norm1 = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, **place)
        self.self_attn = Attention(width, operations, **place)
        self.norm3 = operations.LayerNorm(width, eps=1e-6, **place)
        self.cross_attn = Attention(width, operations, **place)
        self.norm2 = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, **place)
        self.ffn = nn.Sequential(
            operations.Linear(width, ffn_width, **place),
            nn.GELU(approximate="tanh"),
            operations.Linear(ffn_width, width, **place),
        )

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        runs: Runs,
        table: Tensor,
        text: Tensor,
        text_tables: tuple[Tensor | None, Tensor | None],
        options: dict[str, Any],
        text_mask: Tensor | None = None,
        hooks: BlockHooks | None = None,
    ) -> Tensor:
        """One block.

        Args:
            x: tokens (batch, tokens, width).
            time: projected time embeddings (batch, 2, 6, width) of timestep 0 and of the step, float32.
            runs: which of the two the tokens have.
            table: rotary table of the tokens.
            text: caption or speech features (batch, rows, width).
            text_tables: rotary tables of the tokens and of the text in cross-attention.
            text_mask: added to the scores of cross-attention (batch, 1, rows).
            hooks: what a host does in this block.
        """
        attend, attend_to_text = (hooks.self_attention, hooks.cross_attention) if hooks else (None, None)
        add_text: Callable[..., Tensor] = hooks.add_text if hooks else torch.add
        e = (self.cast(self.modulation, time)[:, None] + time).unbind(2)
        y = modulate(self.norm1(x), e[0], e[1], runs)
        x = gated_sum(x, self.self_attn(y, y, table, table, options, hook=attend), e[2], runs)
        x = add_text(x, self.cross_attn(self.norm3(x), text, *text_tables, options, text_mask, attend_to_text))
        y = modulate(self.norm2(x), e[3], e[4], runs)
        return gated_sum(x, self.ffn(y), e[5], runs)


class Head(nn.Module):
    """The output layer of a branch, computed in float32."""

    def __init__(self, width: int, channels: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        place = {"device": device, "dtype": dtype}
        self.cast = operations.cast
        self.norm = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, **place)
        self.head = operations.Float32Linear(width, channels, **place)
        self.modulation = nn.Parameter(torch.empty(1, 2, width, **place))

    def forward(self, x: Tensor, time: Tensor, runs: Runs) -> Tensor:
        """Velocities (batch, tokens, channels) of x (batch, tokens, width); time embeddings (batch, 2, width)."""
        shift, scale = (self.cast(self.modulation, time)[:, None] + time.unsqueeze(2)).unbind(2)
        return self.head(modulate(self.norm(x.float()), shift, scale, runs))
