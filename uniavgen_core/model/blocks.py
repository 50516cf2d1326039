"""Transformer blocks of both branches: Wan's, the audio branch's on one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..config import HEAD_WIDTH
from .plan import TokenTimes


def modulate(x: Tensor, shift: Tensor, scale: Tensor, times: TokenTimes) -> Tensor:
    """x · (1 + scale) + shift, for x (batch, tokens, width) and rows (batch, 2, width) in float32."""
    return _at_times(_scale_and_shift, (x,), (1 + scale, shift), times)


def gated_sum(x: Tensor, update: Tensor, gate: Tensor, times: TokenTimes) -> Tensor:
    """x + gate · update, for x and update (batch, tokens, width) and rows (batch, 2, width) in float32."""
    return _at_times(torch.addcmul, (x, update), (gate,), times)


def _scale_and_shift(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(shift, x, scale)


def _at_times(
    function: Callable[..., Tensor], tokens: Sequence[Tensor], rows: Sequence[Tensor], times: TokenTimes
) -> Tensor:
    """A function of tokens (batch, tokens, width), each with those rows (batch, 2, width) that its timestep has.

    Rows are broadcast over groups of tokens; the few others are computed once more for themselves, which costs less
    than rows for every single token.
    """
    rows = [both.to(tokens[0].dtype) for both in rows]
    groups = [rearrange(x, "b (groups n) c -> b groups n c", n=times.size) for x in tokens]
    result = function(*groups, *(both.index_select(1, times.rows).unsqueeze(2) for both in rows))
    result = rearrange(result, "b groups n c -> b (groups n) c")
    for row, others in times.others:
        own = function(*(x.index_select(1, others) for x in tokens), *(both[:, row, None] for both in rows))
        result.index_copy_(1, others, own)
    return result


TextRuns = tuple[tuple[int, int], ...]
"""Neighbouring tokens that read one text: (count, index of the text)."""

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention of queries, keys and values (batch, tokens, width), before its output is projected."""


RotaryTables = tuple[Tensor | None, Tensor | None]
"""Tables of queries and of keys; those of None are not rotated."""


class Branch(Enum):
    """One of the two transformers."""

    VIDEO = auto()
    AUDIO = auto()


class BlockHooks:
    """What a host does inside one block of one branch: here nothing, a host replaces some methods."""

    def self_attention(self, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """In place of attend(q, k, v) among the tokens; queries and keys are rotated."""
        return attend(q, k, v)

    def cross_attention(self, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """In place of attend(q, k, v) of the tokens to the text."""
        return attend(q, k, v)

    def add_text(self, x: Tensor, update: Tensor) -> Tensor:
        """In place of x + update, the tokens (batch, tokens, width) and what cross-attention gives them."""
        return x + update


class Hooks:
    """What a host does in the blocks of one forward pass: here nothing, a host replaces some methods."""

    def before_block(self, index: int) -> None:
        """Block `index` of both branches comes next."""

    def inside(self, index: int, branch: Branch) -> BlockHooks | None:
        """What is done inside a branch's block; None leaves the block as it is, at no cost."""
        return None

    def after_block(self, index: int, video: Tensor, time: Tensor) -> Tensor:
        """Video tokens (batch, (T + 1) · N, width) in place of those after a block and its interaction.

        Args:
            time: video time embeddings (batch, 2, width) of timestep 0 and of the step, float32.
        """
        return video


@dataclass(frozen=True)
class BranchInputs:
    """What all blocks of one branch are given in a forward pass, beside the tokens."""

    time: Tensor
    """Projected time embeddings (batch, 2, 6, width) of timestep 0 and of the step, float32."""
    times: TokenTimes
    """Which of the two the tokens have."""
    table: Tensor
    """Rotary table of the tokens."""
    text: Tensor
    """Caption or speech features (batch, rows, width)."""
    text_mask: Tensor | None
    """Added to the scores of cross-attention (batch or 1, 1, rows)."""
    options: dict[str, Any]
    """The host's, for its attention."""
    text_tables: RotaryTables = (None, None)
    """Of the tokens and of the text in cross-attention."""
    text_runs: TextRuns = ()
    """Neighbouring tokens that share one of several texts (batch, texts, rows, width), as (count, index)."""


class Attention(nn.Module):
    """Self- or cross-attention with an RMSNorm over the whole width of queries and keys."""

    def __init__(self, width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.heads = width // HEAD_WIDTH
        self.operations = operations
        self.q = operations.Linear(width, width, **factory_kwargs)
        self.k = operations.Linear(width, width, **factory_kwargs)
        self.v = operations.Linear(width, width, **factory_kwargs)
        self.o = operations.Linear(width, width, **factory_kwargs)
        self.norm_q = operations.RMSNorm(width, eps=1e-6, **factory_kwargs)
        self.norm_k = operations.RMSNorm(width, eps=1e-6, **factory_kwargs)

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        tables: RotaryTables,
        *,
        options: dict[str, Any],
        mask: Tensor | None = None,
        hook: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """Attention of x (batch, tokens, width) to context (batch, keys, width).

        `hook` is a method of `BlockHooks` that takes the place of the attention between the projections.
        """
        q = self._rotate(self.norm_q(self.q(x)), tables[0])
        k = self._rotate(self.norm_k(self.k(context)), tables[1])
        attend: Callable[..., Tensor] = partial(self.operations.attention, heads=self.heads, mask=mask, options=options)
        if hook is not None:
            attend = partial(hook, attend)
        return self.o(attend(q, k, self.v(context)))

    def _rotate(self, x: Tensor, table: Tensor | None) -> Tensor:
        return x if table is None else rotate_heads(x, self.heads, table, self.operations)


def rotate_heads(x: Tensor, heads: int, table: Tensor, operations: Any) -> Tensor:
    """Rotary embedding of x (batch, tokens, width), head by head."""
    x = rearrange(x, "b n (heads d) -> b n heads d", heads=heads)
    return rearrange(operations.rotate(x, table), "b n heads d -> b n (heads d)")


class Block(nn.Module):
    """Self-attention, cross-attention to the text and a feed-forward net, modulated by the timestep.

    With e = modulation + time projection, six rows:

        x = x + e₂ · self_attn(LN(x) · (1 + e₁) + e₀)
        x = x + cross_attn(norm3(x), text)
        x = x + e₅ · ffn(LN(x) · (1 + e₄) + e₃)
    """

    def __init__(self, width: int, ffn_width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.cast = operations.cast
        self.modulation = nn.Parameter(torch.empty(1, 6, width, **factory_kwargs))
        self.norm1 = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, **factory_kwargs)
        self.self_attn = Attention(width, operations, **factory_kwargs)
        self.norm3 = operations.LayerNorm(width, eps=1e-6, **factory_kwargs)
        self.cross_attn = Attention(width, operations, **factory_kwargs)
        self.norm2 = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, **factory_kwargs)
        self.ffn = nn.Sequential(
            operations.Linear(width, ffn_width, **factory_kwargs),
            nn.GELU(approximate="tanh"),
            operations.Linear(ffn_width, width, **factory_kwargs),
        )

    def forward(self, x: Tensor, inputs: BranchInputs, hooks: BlockHooks | None = None) -> Tensor:
        """Tokens (batch, tokens, width) after the block; `hooks` are what a host does in it."""
        attend, attend_to_text = (hooks.self_attention, hooks.cross_attention) if hooks else (None, None)
        add_text: Callable[..., Tensor] = hooks.add_text if hooks else torch.add
        times, options = inputs.times, inputs.options
        e = (rearrange(self.cast(self.modulation, inputs.time), "1 six c -> 1 1 six c") + inputs.time).unbind(2)

        y = modulate(self.norm1(x), e[0], e[1], times)
        x = gated_sum(x, self.self_attn(y, y, (inputs.table, inputs.table), options=options, hook=attend), e[2], times)
        x = add_text(x, self._attend_to_text(self.norm3(x), inputs, attend_to_text))
        y = modulate(self.norm2(x), e[3], e[4], times)
        return gated_sum(x, self.ffn(y), e[5], times)

    def _attend_to_text(self, x: Tensor, inputs: BranchInputs, hook: Callable[..., Tensor] | None) -> Tensor:
        """What cross-attention gives tokens (batch, tokens, width), each of its own text."""
        attend = partial(self.cross_attn, tables=inputs.text_tables, options=inputs.options, hook=hook)
        if not inputs.text_runs:
            return attend(x, inputs.text, mask=inputs.text_mask)
        pieces = x.split([count for count, _ in inputs.text_runs], dim=1)
        texts = [inputs.text[:, index] for _, index in inputs.text_runs]
        updates = [attend(piece, text) for piece, text in zip(pieces, texts, strict=True)]
        return torch.cat(updates, dim=1)


class Head(nn.Module):
    """The output layer of a branch, computed in float32."""

    def __init__(self, width: int, channels: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.cast = operations.cast
        self.norm = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, **factory_kwargs)
        self.head = operations.Float32Linear(width, channels, **factory_kwargs)
        self.modulation = nn.Parameter(torch.empty(1, 2, width, **factory_kwargs))

    def forward(self, x: Tensor, time: Tensor, times: TokenTimes) -> Tensor:
        """Velocities (batch, tokens, channels) of x (batch, tokens, width); time embeddings (batch, 2, width)."""
        # (1, 1, 2, c) + (b, 2, 1, c): shift and scale of both timesteps
        shift, scale = (self.cast(self.modulation, time)[:, None] + time[:, :, None]).unbind(2)
        return self.head(modulate(self.norm(x.float()), shift, scale, times))
