"""Modality-aware guidance (arXiv 2511.03334, section 3.5).

A step has two passes, and moves along û = u⁻ + s · (u⁺ - u⁻), with a scale s for each stream (`guide`). u⁺ has the
caption, the words and both directions of the interaction. u⁻ has empty ones, leaves one block out, and is, in the first
steps, the unimodal estimate: its interactions are off, so that guidance strengthens exactly what the two modalities owe
each other. In the later steps it is plain classifier-free guidance. Where guidance begins behind the first step, or
ends before the last one, the rest are one pass each.

    step                         positive pass      negative pass
    < ⌊N · start_percent⌋        interaction on     -
    < ⌊N · unimodal_end_percent⌋ on                 off, and block 11 of 30 left out
    < ⌊N · end_percent⌋          on                 on, and block 11 of 30 left out
    later                        on                 -
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..config import RELEASED_SIZES

AUTO_BLOCK = -2
"""Ask for the block that the released model leaves out, in proportion to the number of blocks."""
NO_BLOCK = -1
"""Leave no block out."""
RELEASED_SKIP_BLOCK = 11
ROUNDING = 1e-9
"""More than what is lost in a product such as 50 · 0.58, which is a little under 29."""


@dataclass(frozen=True)
class Guidance:
    """Scales of both streams, which steps they are for, and the block that the negative pass leaves out."""

    video_scale: float = 3.0
    audio_scale: float = 2.0
    unimodal_end_percent: float = 0.5
    """Where in the steps the unimodal estimate ends: 0 at the first, 1 behind the last."""
    skip_block: int = AUTO_BLOCK
    end_percent: float = 1.0
    """Where in the steps guidance ends at all."""
    start_percent: float = 0.0
    """Where in the steps guidance begins."""


def first_steps(steps: int, percent: float) -> int:
    """How many steps, from the first, end at this percentage of them, 0 to 1: of 50 at 0.58 they are 29."""
    return int(steps * percent + ROUNDING)


def sigma_after(sigmas: Sequence[float], percent: float) -> float | None:
    """The noise level that parts the first steps from the later ones; None where there is no first one.

    It lies just above the first later step's, so that a solver's evaluations inside a step stay on that step's side;
    one at a step's end, such as Heun's second, is on the next one's.
    """
    first = first_steps(len(sigmas) - 1, percent)
    if first == 0:
        return None
    return sigmas[first] + 0.01 * (sigmas[first - 1] - sigmas[first])


def resolve_skip_block(skip_block: int, blocks: int) -> int:
    """The index of the block to leave out, or `NO_BLOCK`.

    Raises:
        ValueError: the model has no such block.
    """
    if skip_block == AUTO_BLOCK:
        return RELEASED_SKIP_BLOCK * blocks // RELEASED_SIZES.blocks
    if skip_block >= blocks:
        raise ValueError(
            f"Block {skip_block} cannot be skipped: this model has {blocks} blocks, 0 to {blocks - 1}. Choose one of "
            "them, 'auto' or 'none'."
        )
    return skip_block


def guide(positive: Tensor, negative: Tensor, scale: float) -> Tensor:
    """û = u⁻ + s · (u⁺ - u⁻), of one stream: at 0 the negative velocity, at 1 the positive, and beyond it above 1."""
    return negative + scale * (positive - negative)
