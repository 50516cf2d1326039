"""Steering by the face: a given mask changes those that the model predicts (arXiv 2511.03334, section 3.4).

The mask decides where the picture hears the sound and where the sound looks. Whoever is masked is who speaks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config import FRAME_RATE, TEMPORAL_COMPRESSION, clip_seconds, latent_frames, pixel_frames
from ..model_rates import at_model_rate, whole_latents
from .map import tokens_of_mask


def parse_numbers(name: str, text: str) -> frozenset[int] | None:
    """Numbers such as `0, 3-5, -1`; None for `all`.

    Raises:
        ValueError: it is no such list; the message names the input.
    """
    if text.strip().lower() == "all":
        return None
    chosen = set[int]()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(?:(\d+)\s*-\s*(\d+)|(-?\d+))\s*", part)
        if match is None or (match[1] and int(match[1]) > int(match[2])):
            raise ValueError(f"{name} is “{text}”: write all, or numbers such as 0, 3-5.")
        chosen.update(range(int(match[1]), int(match[2]) + 1) if match[1] else [int(match[3])])
    return frozenset(chosen)


def check_layers(chosen: frozenset[int] | None, layers: int) -> None:
    """Refuse interactions that a model does not have.

    Raises:
        ValueError: it names those that there are.
    """
    if chosen is not None and not chosen <= set(range(layers)):
        listed = ", ".join(map(str, sorted(chosen)))
        raise ValueError(f"layers is {listed}, but this model has the layers 0 to {layers - 1}.")


REPLACE = "replace"
COMBINATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    REPLACE: lambda predicted, given: given.expand_as(predicted),
    "multiply": torch.mul,
    "at_least": torch.maximum,
}
"""What the predicted mask becomes: the given one, what both have, or the greater of both."""


@dataclass(frozen=True)
class FaceGuidance:
    """A patch of the model for predicted face masks.

    Args:
        tokens: given mask (T, N) of values 0..1.
        operation: one of `COMBINATIONS`.
        strength: 0 keeps the prediction, 1 takes the combination, linear between them.
        layers: interactions that it changes; None changes all.
        first_sigma, last_sigma: it changes them from the first noise level on, down to above the last.
    """

    tokens: Tensor
    operation: str
    strength: float = 1.0
    layers: Collection[int] | None = None
    first_sigma: float = torch.inf
    last_sigma: float = -torch.inf

    def __call__(self, mask: Tensor, layer: int, options: dict[str, Any]) -> Tensor:
        """The mask (batch, T, N) that an interaction uses.

        Args:
            mask: what it predicts.
            layer: which interaction.
            options: as ComfyUI hands them to patches: `sigmas` are the step's noise levels, `context_window` the frames
                that a pass sees, where it does not see all.
        """
        if self.layers is not None and layer not in self.layers:
            return mask
        window = options.get("context_window")
        given = (self.tokens if window is None else window.get_tensor(self.tokens, dim=0)).to(mask)
        changed = torch.lerp(mask, COMBINATIONS[self.operation](mask, given), self.strength)
        sigmas = options.get("sigmas")
        if sigmas is None:
            return changed
        # The comparison stays on the device: reading it would halt the host at each layer.
        applies = (sigmas <= self.first_sigma).all() & (sigmas > self.last_sigma).all()
        return torch.where(applies, changed, mask)


def sigma_window(sigmas: Sequence[float], start_percent: float, end_percent: float) -> tuple[float, float]:
    """`first_sigma` and `last_sigma` of the steps that begin in a window of a schedule that ends at its last sigma."""
    first, last = (math.ceil(round(edge * (len(sigmas) - 1), 6)) for edge in (start_percent, end_percent))
    return sigmas[first], sigmas[last]


def turn_mask(faces: Tensor, speaking: Tensor, rows: int, columns: int) -> Tensor:
    """The mask (T, N) of a clip's video tokens where people speak in turn or at once.

    Args:
        faces: (people, height, width) of values 0..1, the same throughout.
        speaking: (4(T-1)+1, people), whether each one speaks in each frame.
        rows, columns: of video tokens.
    """
    tokens = torch.cat([tokens_of_mask(face.unsqueeze(0), rows, columns) for face in faces])
    frames = speaking.float()
    later = frames[1:].unflatten(0, (-1, TEMPORAL_COMPRESSION)).mean(dim=1)
    shares = torch.cat((frames[:1], later))
    return (shares.unsqueeze(-1) * tokens).amax(dim=1)


def clip_mask(mask: Tensor, frame_rate: float, frames: int, rows: int, columns: int) -> Tensor:
    """The mask (T, N) of a clip's video tokens.

    Args:
        mask: (1, height, width), the same throughout, or (F, height, width) of values 0..1.
        frame_rate: of the F masks.
        frames: T, latent frames of the clip.
        rows, columns: of video tokens.

    Raises:
        ValueError: the masks last longer or shorter than the clip.
    """
    if len(mask) == 1:
        return tokens_of_mask(mask, rows, columns).expand(frames, -1)
    masks = at_model_rate(mask.unsqueeze(-1), frame_rate)
    if latent_frames(len(masks)) != frames:
        raise ValueError(
            f"There are {len(mask)} masks, {frame_rate:g} a second ({len(mask) / frame_rate:.2f} seconds), but the "
            f"clip has {pixel_frames(frames)} frames, {FRAME_RATE} a second ({clip_seconds(frames):.2f} seconds): give "
            "one mask for all of it, or one for each frame."
        )
    return tokens_of_mask(whole_latents(masks).squeeze(-1), rows, columns)
