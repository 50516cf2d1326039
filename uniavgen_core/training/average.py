"""Moving averages of weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a model's weights, over fewer steps while there are few."""
    return AveragedModel(model, multi_avg_fn=_update(decay))


def _update(decay: float) -> Callable[[Any, Any, Any], None]:
    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor) -> None:
        steps = int(count)
        torch._foreach_lerp_(list(averaged), list(current), 1 - min(decay, (1 + steps) / (10 + steps)))

    return update
