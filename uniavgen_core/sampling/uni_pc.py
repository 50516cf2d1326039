"""UniPC of order 2, "bh2", predicting data (arXiv 2302.04867), as UniVerse-1 is sampled.

With noise levels σ, λ = ln((1 - σ) / σ), h the step in λ and E = e^(-h) - 1, a step goes

    x' = (σ' / σ) · x - (1 - σ') · E · m        (order 1: the data m that the model sees in x)

and is corrected by what the model sees behind it. Of order 2, the difference to the step before is weighed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

Streams = list[Tensor]
"""Tensors that are sampled together; every formula goes value by value."""
Denoise = Callable[[Streams, int], Streams]
"""The data that the model sees in x at the noise level of a step."""


@dataclass(frozen=True)
class Seen:
    """A step that was made: its λ and the data that the model saw."""

    log_ratio: float
    data: Streams


def log_ratio(sigma: float) -> float:
    """λ = ln((1 - σ) / σ)."""
    return math.log1p(-sigma) - math.log(sigma)


def sample_uni_pc(
    denoise: Denoise,
    x: Streams,
    sigmas: Sequence[float],
    after_step: Callable[[int, Streams, Streams], None] = lambda step, x, data: None,
) -> Streams:
    """Follow noise levels (steps + 1), below 1 and falling.

    Args:
        denoise: called once a step.
        x: at the first level.
        after_step: called with each step's number, x behind it and the data that the model saw.

    Returns:
        x at the last level; where that is 0, the data of the last step.

    Raises:
        ValueError: the levels do not fall, or do not begin below 1.
    """
    _check_levels(sigmas)
    steps, seen, order = len(sigmas) - 1, list[Seen](), 0
    before = x
    for step in range(steps):
        data = denoise(x, step)
        now = Seen(log_ratio(sigmas[step]), data)
        if seen:
            x = _corrected(before, now, seen, sigmas[step - 1], sigmas[step], order)
        seen = [*seen[-1:], now]
        order = 1 if step in (0, steps - 1) else 2
        before, x = x, _predicted(x, seen, sigmas[step], sigmas[step + 1], order)
        after_step(step, x, data)
    return x


def _check_levels(sigmas: Sequence[float]) -> None:
    falling = all(later < earlier for earlier, later in zip(sigmas, sigmas[1:], strict=False))
    if len(sigmas) > 1 and not (falling and sigmas[0] < 1 and sigmas[-1] >= 0):
        raise ValueError(
            "This solver takes noise levels that fall from below 1, as 'UniVerse-1 Schedule' gives them; connect its "
            "sigmas, or choose another sampler for these."
        )


def _growth(now: float, then: float) -> float:
    """E = e^(-h) - 1 for a step of h in λ; -1 for the last one, to σ = 0."""
    return math.expm1(now - then)


def _predicted(x: Streams, seen: list[Seen], sigma: float, next_sigma: float, order: int) -> Streams:
    now = seen[-1]
    then = log_ratio(next_sigma) if next_sigma else math.inf
    weight = (1 - next_sigma) * _growth(now.log_ratio, then)
    ahead = [next_sigma / sigma * stream - weight * m for stream, m in zip(x, now.data, strict=True)]
    if order == 1:
        return ahead
    earlier = seen[-2]
    ratio = (earlier.log_ratio - now.log_ratio) / (then - now.log_ratio)
    change = weight / 2 / ratio
    return [y - change * (m - at) for y, m, at in zip(ahead, earlier.data, now.data, strict=True)]


def _corrected(before: Streams, now: Seen, seen: list[Seen], last_sigma: float, sigma: float, order: int) -> Streams:
    """x at this step's level, from where the last step began and what the model saw at both ends of it.

    Args:
        before: where the last step began, corrected.
        now: what the model saw behind the step, before this correction.
        order: the last step's.
    """
    last = seen[-1]
    step = now.log_ratio - last.log_ratio
    growth = _growth(last.log_ratio, now.log_ratio)
    weight = (1 - sigma) * growth
    base = [sigma / last_sigma * x - weight * m for x, m in zip(before, last.data, strict=True)]
    if order == 1:
        return [x - weight / 2 * (m - at) for x, m, at in zip(base, now.data, last.data, strict=True)]
    earlier = seen[-2]
    ratio = (earlier.log_ratio - last.log_ratio) / step
    first = growth / -step - 1
    second = first / -step - 0.5
    sums = first / growth, 2 * second / growth  # ρ₁ + ρ₂ and r · ρ₁ + ρ₂
    of_earlier = (sums[0] - sums[1]) / (1 - ratio)
    of_now = sums[0] - of_earlier
    changes = zip(base, earlier.data, last.data, now.data, strict=True)
    return [x - weight * (of_earlier / ratio * (old - at) + of_now * (m - at)) for x, old, at, m in changes]
