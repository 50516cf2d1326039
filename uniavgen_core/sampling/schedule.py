"""The noise schedule: the released model's, and one for few steps and multistep solvers."""

from __future__ import annotations

import torch
from torch import Tensor

DEFAULT_STEPS = 50
DEFAULT_SHIFT = 5.0
TIMESTEPS = 1000
"""A timestep is this many times sigma."""
RELEASED, SIMPLE = "released", "simple"
SCHEDULES = (RELEASED, SIMPLE)


def flow_sigmas(steps: int = DEFAULT_STEPS, shift: float = DEFAULT_SHIFT, schedule: str = RELEASED) -> Tensor:
    """Noise levels (steps + 1) from 1 to 0, shifted by s·σ / (1 + (s - 1)·σ).

    A clip at level σ is (1 - σ) · data + σ · noise, the model's velocity is noise - data, and its timestep 1000 · σ.

        for sigma, next_sigma in pairwise(flow_sigmas(50)):
            x = x + velocity(x, sigma * TIMESTEPS) * (next_sigma - sigma)

    Args:
        schedule: "released", timesteps evenly from 1000 to 1, then 0: with few steps a long step and a tiny one after
            it, which multistep solvers reckon wrong; or "simple", evenly from 1000 to 0.

    Raises:
        ValueError: fewer than one step, a shift that is not positive, or another schedule.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}: sampling takes at least one step.")
    if shift <= 0:
        raise ValueError(f"shift is {shift}: it must be greater than 0 (the released model uses {DEFAULT_SHIFT:g}).")
    if schedule not in SCHEDULES:
        raise ValueError(f"There is no schedule '{schedule}': choose {' or '.join(SCHEDULES)}.")
    if schedule == RELEASED:
        timesteps = torch.linspace(TIMESTEPS, 1, steps, dtype=torch.float64)
        timesteps = torch.cat((timesteps, timesteps.new_zeros(1)))
    else:
        timesteps = torch.linspace(TIMESTEPS, 0, steps + 1, dtype=torch.float64)
    return shift_sigma(timesteps / TIMESTEPS, shift).float()


def shift_sigma(sigma: Tensor, shift: float) -> Tensor:
    """Noise levels in 0..1, moved towards noise: s·σ / (1 + (s - 1)·σ); a shift of 1 leaves them as they are."""
    return shift * sigma / (1 + (shift - 1) * sigma)


TWICE_SHIFT = 15.0
"""The shift that UniVerse-1 was trained with."""
TWICE_STEPS = 35
LEAST_NOISE = 0.001
"""What the schedule's beginning is below 1, before it is shifted for the first time."""


def twice_shifted_sigmas(steps: int = TWICE_STEPS, shift: float = TWICE_SHIFT) -> Tensor:
    """Noise levels (steps + 1) as UniVerse-1 is sampled: the first one is shifted twice, so that it is just below 1.

    Raises:
        ValueError: fewer than one step, or a shift that is not positive.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}: sampling takes at least one step.")
    if shift <= 0:
        raise ValueError(f"shift is {shift}: it must be greater than 0 (the released model uses {TWICE_SHIFT:g}).")
    first = shift_sigma(torch.tensor(1 - LEAST_NOISE, dtype=torch.float64), shift)
    even = first * (1 - torch.arange(steps + 1, dtype=torch.float64) / steps)
    return shift_sigma(even, shift).float()


def whole_timestep(sigma: Tensor) -> Tensor:
    """The timestep ⌊1000 · σ⌋ of noise levels in float32."""
    return (sigma * TIMESTEPS).floor()
