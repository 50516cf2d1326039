"""Modality-aware guidance (arXiv 2511.03334, section 3.5).

The unconditional estimate of the first steps is unimodal: its interactions are off, so that guidance strengthens
exactly the exchange of the two modalities. In the later steps it is plain classifier-free guidance. The unconditional
pass leaves one block out at all steps. Where guidance ends before the last step, the rest are one pass each.
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
    """Scales of both streams, which part of the steps they are for, and the block that the negative pass leaves out."""

    video_scale: float = 3.0
    audio_scale: float = 2.0
    unimodal_end_percent: float = 0.5
    """Part of the steps, from the first, that have the unimodal estimate."""
    skip_block: int = AUTO_BLOCK
    end_percent: float = 1.0
    """Part of the steps, from the first, that have guidance at all."""


def first_steps(steps: int, part: float) -> int:
    """How many steps, from the first, a part of them is."""
    return int(steps * part + ROUNDING)


def sigma_after(sigmas: Sequence[float], part: float) -> float | None:
    """The noise level that parts the first steps from the later ones; None where the part has no step.

    It lies just above the first later step's, so that a solver's evaluations inside a step stay on that step's side;
    one at a step's end, such as Heun's second, is on the next one's.
    """
    first = first_steps(len(sigmas) - 1, part)
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
    """negative + scale · (positive - negative)."""
    return negative + scale * (positive - negative)
