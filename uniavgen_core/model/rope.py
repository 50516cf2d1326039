"""Rotary position tables of both branches and of the aligners.

A table has the shape (1, positions, 1, pairs, 2, 2): for each position p and each pair j of neighbouring channels of
a head the rotation (cos θ, -sin θ; sin θ, cos θ) by θ = p · 10000^(-2j / width). Tables are made in float64 on the CPU
and kept in float32.

    q = operations.rotate(rearrange(q, "b n (heads c) -> b n heads c", c=HEAD_WIDTH), audio_table(n, q.device))
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from ..config import HEAD_WIDTH

PAIRS = HEAD_WIDTH // 2


def _axis_pairs(head_width: int) -> tuple[int, int]:
    """Pairs of the time axis, and of rows or columns."""
    of_row = head_width // 6
    return head_width // 2 - 2 * of_row, of_row


TIME_PAIRS = _axis_pairs(HEAD_WIDTH)[0]


def _angles(positions: int, pairs: int, width: int) -> Tensor:
    """Angles (positions, pairs) with the frequencies 10000^(-2j / width)."""
    frequencies = torch.pow(10_000.0, -2 * torch.arange(pairs, dtype=torch.float64) / width)
    return torch.arange(positions, dtype=torch.float64).unsqueeze(-1) * frequencies


def _table(angles: Tensor, device: torch.device) -> Tensor:
    cosine, sine = angles.cos(), angles.sin()
    matrices = torch.stack((cosine, -sine, sine, cosine), dim=-1)
    return rearrange(matrices, "n pairs (i j) -> 1 n 1 pairs i j", i=2).float().to(device)


def video_table(frames: int, rows: int, columns: int, device: torch.device, head_width: int = HEAD_WIDTH) -> Tensor:
    """Positions (frame, row, column), in that order; each axis has pairs and frequencies of its own."""
    of_time, of_row = _axis_pairs(head_width)
    axes = (
        _angles(frames, of_time, 2 * of_time)[:, None, None],
        _angles(rows, of_row, 2 * of_row)[None, :, None],
        _angles(columns, of_row, 2 * of_row)[None, None, :],
    )
    grid = torch.cat([axis.expand(frames, rows, columns, -1) for axis in axes], dim=-1)
    return _table(rearrange(grid, "t r c pairs -> (t r c) pairs"), device)


def audio_table(tokens: int, device: torch.device, head_width: int = HEAD_WIDTH) -> Tensor:
    """Positions of audio tokens or speech symbols, on all pairs."""
    return _table(_angles(tokens, head_width // 2, head_width), device)


def window_table(tokens: int, device: torch.device) -> Tensor:
    """Positions in an audio window: the audio branch's frequencies, on the video branch's time pairs only."""
    angles = torch.zeros(tokens, PAIRS, dtype=torch.float64)
    angles[:, :TIME_PAIRS] = _angles(tokens, TIME_PAIRS, HEAD_WIDTH)
    return _table(angles, device)
