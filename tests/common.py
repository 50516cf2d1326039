"""What tests of several subjects share, with and without ComfyUI."""

from __future__ import annotations

from torch import Tensor


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """‖ours - theirs‖ / ‖theirs‖ in float64; infinite where the shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())
