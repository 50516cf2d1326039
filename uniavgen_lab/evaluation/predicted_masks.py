"""How well the face masks that the model predicts while it samples agree with the true face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy
from torch import Tensor

from uniavgen_core.model.aligners import FACE_MASK_PATCH
from uniavgen_core.model.joint_dit import JointDiT

from .image_measures import mask_iou


class MaskAgreement:
    """IoU of the mask of each interaction in each step's first pass, which is the positive one.

    Args:
        face: the true mask (T, N) of values 0..1.
    """

    def __init__(self, face: numpy.ndarray) -> None:
        self._face = face
        self._timestep: float | None = None
        self._sum = 0.0
        self.count = 0
        """Masks that were compared."""

    def watch(self, timestep: Tensor) -> list[Any]:
        """The patches for a pass at this timestep."""
        now = float(timestep[0])
        if now == self._timestep:
            return []
        self._timestep = now
        return [self._compare]

    def _compare(self, mask: Tensor, layer: int, options: dict[str, Any]) -> Tensor:
        self._sum += mask_iou(mask[0].float().cpu().numpy(), self._face)
        self.count += 1
        return mask

    def mean(self) -> float:
        """Mean of all interactions and steps."""
        return self._sum / self.count


@contextmanager
def mask_agreement(model: JointDiT, face: numpy.ndarray) -> Iterator[MaskAgreement]:
    """Compare the masks of all steps inside the block with the true face (T, N)."""
    agreement = MaskAgreement(face)

    with face_patches(model, agreement.watch):
        yield agreement


@contextmanager
def face_patches(model: JointDiT, patches: Callable[[Tensor], list[Any]]) -> Iterator[None]:
    """Patch predicted face masks inside the block, before any patches that are there already.

    Args:
        patches: the patches of a pass, of its timestep (batch,).
    """

    def add(module: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        options = keywords.get("options") or {}
        there = options.get("patches", {}).get(FACE_MASK_PATCH, [])
        return args, {**keywords, "options": {**options, "patches": {FACE_MASK_PATCH: [*patches(args[1]), *there]}}}

    handle = model.register_forward_pre_hook(add, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
