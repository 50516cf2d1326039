"""The sinusoidal embedding of a timestep."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import TIMESTEP_CHANNELS


def sinusoid(timestep: Tensor) -> Tensor:
    """Embed timesteps (…) in [0, 1000] as (…, 256) float32: cosines, then sines, computed in float64."""
    half = TIMESTEP_CHANNELS // 2
    exponent = torch.arange(half, dtype=torch.float64, device=timestep.device) / half
    angle = timestep.double().unsqueeze(-1) * torch.pow(10_000.0, -exponent)
    return torch.cat((angle.cos(), angle.sin()), dim=-1).float()
