"""The noise schedule of the released model."""

from __future__ import annotations

import torch
from torch import Tensor

DEFAULT_STEPS = 50
DEFAULT_SHIFT = 5.0
TIMESTEPS = 1000
"""A timestep is this many times sigma."""


def flow_sigmas(steps: int = DEFAULT_STEPS, shift: float = DEFAULT_SHIFT) -> Tensor:
    """Noise levels (steps + 1): timesteps evenly from 1000 to 1, then 0, shifted by s·σ / (1 + (s - 1)·σ).

    Raises:
        ValueError: fewer than one step, or a shift that is not positive.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}: sampling takes at least one step.")
    if shift <= 0:
        raise ValueError(f"shift is {shift}: it must be greater than 0 (the released model uses {DEFAULT_SHIFT:g}).")
    sigma = torch.linspace(TIMESTEPS, 1, steps, dtype=torch.float64) / TIMESTEPS
    shifted = shift_sigma(sigma, shift)
    return torch.cat((shifted, shifted.new_zeros(1))).float()


def shift_sigma(sigma: Tensor, shift: float) -> Tensor:
    """Noise levels in 0..1, moved towards noise: s·σ / (1 + (s - 1)·σ)."""
    return shift * sigma / (1 + (shift - 1) * sigma)
