"""Modulation by timestep: two timesteps a stream, broadcast over runs of tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor

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
