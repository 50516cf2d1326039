"""Modulation by timestep: two timesteps a stream, broadcast over runs of tokens."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .plan import Runs


def modulate(x: Tensor, shift: Tensor, scale: Tensor, runs: Runs) -> Tensor:
    """x · (1 + scale) + shift, for x (batch, tokens, width) and rows (batch, 2, width) in float32."""
    shift, scale = shift.to(x.dtype), (1 + scale).to(x.dtype)
    return _by_run(x, runs, lambda part, _, row: torch.addcmul(shift[:, row], part, scale[:, row]))


def gated_sum(x: Tensor, update: Tensor, gate: Tensor, runs: Runs) -> Tensor:
    """x + gate · update, for x and update (batch, tokens, width) and rows (batch, 2, width) in float32."""
    gate = gate.to(x.dtype)
    return _by_run(x, runs, lambda part, span, row: torch.addcmul(part, update[:, span], gate[:, row]))


def _by_run(x: Tensor, runs: Runs, compute: Callable[[Tensor, slice, slice], Tensor]) -> Tensor:
    parts, start = [], 0
    for count, row in runs:
        span = slice(start, start + count)
        parts.append(compute(x[:, span], span, slice(row, row + 1)))
        start += count
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
