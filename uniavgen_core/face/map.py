"""Where the model looks: the face masks that it predicts while it samples."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..config import TEMPORAL_COMPRESSION
from ..media.images import centre_crop


def tokens_of_mask(mask: Tensor, rows: int, columns: int) -> Tensor:
    """The fraction of each video token that is masked, (T, rows · columns), in float32.

    Args:
        mask: (4(T-1)+1, height, width) of values 0..1. Of another aspect than the tokens' it is cropped in the middle,
            as the clip's pictures are.
    """
    frames = centre_crop(mask.float().unsqueeze(-1), columns, rows).squeeze(-1)
    tokens = functional.adaptive_avg_pool2d(frames, (rows, columns)).flatten(1)
    later = tokens[1:].reshape(-1, TEMPORAL_COMPRESSION, rows * columns).mean(dim=1)
    return torch.cat((tokens[:1], later))


def mask_of_tokens(tokens: Tensor, rows: int, columns: int, height: int, width: int) -> Tensor:
    """A mask (4(T-1)+1, height, width) of values (T, rows · columns) of video tokens, smooth in space."""
    maps = tokens.float().unflatten(1, (1, rows, columns))
    smooth = functional.interpolate(maps, (height, width), mode="bilinear", align_corners=False).squeeze(1)
    return torch.cat((smooth[:1], smooth[1:].repeat_interleave(TEMPORAL_COMPRESSION, dim=0)))


POSITIVE = 0
"""In ComfyUI's `cond_or_uncond`: the pass that follows caption and words."""
HUES = ((0.0, 0.2, 0.9), (1.0, 0.85, 0.1), (1.0, 0.1, 0.1))
"""Colours of the values 0, 1/2 and 1."""


class FaceMap:
    """Means over steps of what chosen interactions predict in the positive pass: a sum a layer is all that is held.

    Args:
        layers: interactions to look at; None looks at all.
        steps: numbers of steps to look at; None looks at all. Negative ones count from the last.
    """

    def __init__(self, layers: Collection[int] | None, steps: Collection[int] | None):
        self.layers, self.steps = layers, steps
        self.start(0, 0, 0)

    def start(self, frames: int, rows: int, columns: int) -> None:
        """Forget what was seen: another clip of T latent frames is sampled."""
        self.frames, self.rows, self.columns = frames, rows, columns
        self._sums: dict[int, Tensor] = {}
        self._counts: dict[int, Tensor] = {}

    def __call__(self, mask: Tensor, layer: int, options: dict[str, Any]) -> Tensor:
        """A patch of the model that looks on and changes nothing. Arguments as in `FaceGuidance`."""
        if (self.layers is None or layer in self.layers) and self._is_chosen(options):
            window, indices = options.get("context_window"), torch.arange(self.frames)
            indices = (indices if window is None else window.get_tensor(indices, dim=0)).to(mask.device)
            passes = options.get("cond_or_uncond", [POSITIVE])
            for which, part in zip(passes, mask.chunk(len(passes)), strict=True):
                if which == POSITIVE:
                    self._add(layer, indices, part[0])
        return mask

    def _is_chosen(self, options: dict[str, Any]) -> bool:
        schedule = options.get("sample_sigmas")
        if self.steps is None or schedule is None:
            return True
        last = len(schedule) - 2
        step = min(int((schedule - options["sigmas"][0]).abs().argmin()), last)
        return step in self.steps or step - last - 1 in self.steps

    def _add(self, layer: int, indices: Tensor, mask: Tensor) -> None:
        if layer not in self._sums:
            self._sums[layer] = mask.new_zeros(self.frames, mask.shape[-1])
            self._counts[layer] = mask.new_zeros(self.frames, 1)
        # Passes may run on several devices.
        sums, counts = self._sums[layer], self._counts[layer]
        sums.index_add_(0, indices.to(sums.device), mask.to(sums))
        counts.index_add_(0, indices.to(counts.device), counts.new_ones(len(mask), 1))

    def check_is_of(self, frames: int) -> None:
        """Refuse a clip of another length than the one that was sampled last.

        Raises:
            ValueError: it has not T latent frames.
        """
        if self.frames and self.frames != frames:
            raise ValueError(
                f"The face map is of a clip of {self.frames} latent frames, the LATENT has {frames}: connect the one "
                "that was sampled with the MODEL of UniAVGen Face Map Capture."
            )

    def mean(self, layer: int | None = None) -> Tensor:
        """What was seen, (T, N): of one layer, or the mean of all that were looked at.

        Raises:
            ValueError: nothing was seen there.
        """
        if not self._sums:
            raise ValueError(
                "The face map is empty: sample with the MODEL of UniAVGen Face Map Capture, and choose steps that the "
                "sampler takes."
            )
        if layer is not None and layer not in self._sums:
            seen = ", ".join(map(str, sorted(self._sums)))
            raise ValueError(f"Layer {layer} is not in the face map, which has {seen}.")
        chosen = sorted(self._sums) if layer is None else [layer]
        return torch.stack([self._sums[index] / self._counts[index] for index in chosen]).mean(dim=0).cpu()

    def mask(self, height: int, width: int, layer: int | None = None) -> Tensor:
        """The same as a mask (F, height, width) of the clip's frames. Errors as in `mean`."""
        return mask_of_tokens(self.mean(layer), self.rows, self.columns, height, width)


def overlay(images: Tensor, mask: Tensor, opacity: float) -> Tensor:
    """Pictures (F, H, W, 3) under a mask (F, H, W) in colours: blue where it is 0, yellow, red where it is 1.

    Raises:
        ValueError: there are not as many pictures as the mask has frames.
    """
    if len(images) != len(mask):
        raise ValueError(
            f"There are {len(images)} images, but the sampled clip has {len(mask)} frames: connect all images that VAE "
            "Decode makes of it; with batch_size above 1, those of the first clip alone."
        )
    shown = torch.empty_like(images)
    for index, image in enumerate(images):
        shown[index] = torch.lerp(image, _colours(mask[index].to(image)), opacity)
    return shown


def _colours(values: Tensor) -> Tensor:
    """Colours (H, W, 3) of values (H, W)."""
    hues = values.new_tensor(HUES)
    position = values.clamp(0, 1).unsqueeze(-1) * (len(HUES) - 1)
    lower = position.floor().clamp(max=len(HUES) - 2)
    below = lower.long().squeeze(-1)
    return torch.lerp(hues[below], hues[below + 1], position - lower)
