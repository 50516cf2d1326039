"""Masks between pixels and the model's video tokens.

Pixel frame 0 is latent frame 0, pixel frames 4i - 3 to 4i are latent frame i; a token is 32 × 32 pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..config import TEMPORAL_COMPRESSION
from ..media.images import centre_crop


def tokens_of_mask(mask: Tensor, rows: int, columns: int) -> Tensor:
    """The part of each video token that is masked, (T, rows · columns), in float32.

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
