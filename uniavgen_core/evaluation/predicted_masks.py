"""The face masks that the model predicts while it samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
from torch import Tensor

from ..model.joint_dit import FACE_MASK_PATCH, JointDiT


class PredictedMasks:
    """Masks (T, N) of each interaction in the latest step's first pass, which is the positive one."""

    def __init__(self) -> None:
        self._timestep: float | None = None
        self._masks: list[Tensor] = []

    def watch(self, timestep: Tensor) -> list[Any]:
        """The patches for a pass at this timestep."""
        now = float(timestep[0])
        if now == self._timestep:
            return []
        self._timestep, self._masks = now, []
        return [self._keep]

    def _keep(self, mask: Tensor, layer: int, options: dict[str, Any]) -> Tensor:
        self._masks.append(mask[0])
        return mask

    def numpy(self) -> numpy.ndarray:
        """(interactions, T, N) of values 0..1."""
        return numpy.stack([mask.float().cpu().numpy() for mask in self._masks])


@contextmanager
def predicted_masks(model: JointDiT) -> Iterator[PredictedMasks]:
    """Collect the masks of all passes inside the block."""
    masks = PredictedMasks()

    def add_patches(module: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        options = keywords.get("options") or {}
        return args, {**keywords, "options": {**options, "patches": {FACE_MASK_PATCH: masks.watch(args[1])}}}

    handle = model.register_forward_pre_hook(add_patches, with_kwargs=True)
    try:
        yield masks
    finally:
        handle.remove()
