"""A clip that was made of a video's crop goes back into the video, at the video's own size and rate.

What the region leaves out is not touched: those pixels are the video's own, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional

from ..config import FRAME_RATE
from .frames import to_float
from .region import FULL, Region
from .video import Video, shown_at

RING_CELLS = 4
"""Width of the ring around a region in which colours are compared."""


def check_made(name: str, frames: int, frame_rate: float, region: Region) -> None:
    """Refuse a clip that does not go with a region.

    Raises:
        ValueError: it lasts longer or shorter; it names the input.
    """
    seconds, wanted = frames / frame_rate, len(region.weights) / FRAME_RATE
    # Interpolation makes no frames behind the last one.
    if abs(seconds - wanted) > 1 / FRAME_RATE + 1 / frame_rate:
        raise ValueError(
            f"{name} holds {frames} frames, {frame_rate:g} a second ({seconds:.2f} seconds), but the LATENT was made "
            f"for {wanted:.2f}: connect all that VAE Decode makes of it, with batch_size 1 and seconds 0 in UniAVGen "
            "Latent, and set images_rate to theirs. UniAVGen Long Form pastes back by itself."
        )


def paste_back(video: Video, made: Iterable[Tensor], frame_rate: Fraction | float, region: Region) -> Iterator[Tensor]:
    """All frames of a video, as `own_images` gives them, with what was made of its region in them.

    At each frame the made one is taken that is nearest in time, and its colours are moved by what differs around the
    region, as the codec does not hold them exactly.

    Args:
        made: frames (height, width, channels) of the region's window, of bytes or of values 0..1; each is taken once.
        frame_rate: of the made frames.
    """
    following, reached, shown = iter(made), -1, None
    for index, frame in enumerate(video.own_images()):
        second = shown_at(index, video.rate)
        weights = region.weights[min(len(region.weights) - 1, int(second * FRAME_RATE))]
        # The last one stays.
        for newest in islice(following, max(0, int(second * Fraction(frame_rate)) - reached)):
            shown, reached = newest, reached + 1
        if shown is None or not bool(weights.any()):
            yield frame
        else:
            yield pasted(frame, to_float(shown)[..., :3], region, weights)


def pasted(frame: Tensor, made: Tensor, region: Region, weights: Tensor) -> Tensor:
    """A frame with a made one in its region.

    Args:
        frame: (H, W, 3) of bytes, or of floats 0..1.
        made: (height, width, 3) of values 0..1.
        weights: (rows, columns) of bytes.

    Returns:
        A new frame of the same kind.
    """
    window = region.window
    own = window.of(frame)
    made = made.to(frame.device, torch.float32).movedim(-1, 0)[None]
    share = weights.to(frame.device).float()[None, None] / FULL
    patch = made + _difference(to_float(own).movedim(-1, 0)[None], made, share)
    size = window.height, window.width
    patch = functional.interpolate(patch, size, mode="bicubic", antialias=True) if patch.shape[2:] != size else patch
    share = functional.interpolate(share, size, mode="bilinear", align_corners=False)
    patch, share = patch.clamp(0, 1)[0].movedim(0, -1), share[0].movedim(0, -1)
    scale = FULL if frame.dtype == torch.uint8 else 1
    mixed = torch.lerp(own.float(), patch * scale, share)
    mixed = mixed.round() if scale == FULL else mixed
    whole = frame.clone()
    window.of(whole).copy_(torch.where(share > 0, mixed.to(frame.dtype), own))
    return whole


def _difference(own: Tensor, made: Tensor, share: Tensor) -> Tensor:
    """By how much the video's colours (1, 3, 1, 1) differ from the made ones in the ring around the region.

    Args:
        own, made: (1, 3, height, width) of values 0..1, of any sizes.
        share: (1, 1, rows, columns) of values 0..1.
    """
    side = 2 * RING_CELLS + 1
    near = functional.max_pool2d((share > 0).float(), side, stride=1, padding=RING_CELLS)
    ring = near * (share == 0)
    if not bool(ring.any()):
        return own.new_zeros(1)
    cells = tuple(share.shape[2:])
    before, after = (functional.interpolate(image, cells, mode="area") for image in (own, made))
    return ((before - after) * ring).sum(dim=(2, 3), keepdim=True) / ring.sum()
