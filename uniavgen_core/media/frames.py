"""Decoded frames as they are shown: upright, with square pixels, in the colours of an ordinary screen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import cast

import numpy as np
import torch
from av import VideoFrame, VideoStream
from av.video.reformatter import Interpolation
from numpy.typing import NDArray
from torch import Tensor

from .colour import is_wide, to_screen
from .images import crop_and_resize, to_rgb

COLOUR_CONVERSION = Interpolation.BILINEAR | 0x40000 | 0x2000
"""libswscale's flags: bilinear, accurate rounding, full chroma. Its defaults darken by one level of 255 each way."""
DEEPEST = 65535
"""Highest value of pixels of sixteen bits."""
PALETTE = "pal8"
"""Format of frames whose colours, and what is transparent of them, are in a table."""
ROWS_AT_A_TIME = 128
"""Of colours that are converted in float32."""


@dataclass(frozen=True)
class Look:
    """What a stream says about how its pixels are to be shown."""

    pixel_aspect: Fraction
    """How many times wider than high a pixel is, before the frame is turned upright."""
    transfer: int
    """Number in H.273."""
    primaries: int
    """Number in H.273."""

    @classmethod
    def of(cls, stream: VideoStream) -> Look:
        context = stream.codec_context
        aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1)
        return cls(aspect if aspect > 0 else Fraction(1), context.color_trc, context.color_primaries)

    def size(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height of a frame as it is shown."""
        width, height = max(1, round(frame.width * self.pixel_aspect)), frame.height
        return (height, width) if frame.rotation % 180 else (width, height)

    def pixels(self, frame: VideoFrame, width: int, height: int) -> Tensor:
        """A frame as it is shown, cropped and resized to (height, width, 3).

        It is uint8, or float16 of values 0..1 where the frame has more than eight bits.
        """
        stored = opaque_pixels(frame)
        deep = stored.dtype == np.uint16
        pixels = torch.from_numpy(np.ascontiguousarray(np.rot90(stored, frame.rotation // 90)))
        if deep:
            pixels = pixels.float().div_(DEEPEST)
        aspect = 1 / self.pixel_aspect if frame.rotation % 180 else self.pixel_aspect
        pixels = crop_and_resize(pixels.unsqueeze(0), width, height, float(aspect))[0]
        if is_wide(self.transfer, self.primaries):
            pixels = torch.cat([self._on_screen(band) for band in pixels.split(ROWS_AT_A_TIME)])
        return pixels.half() if deep else pixels

    def _on_screen(self, pixels: Tensor) -> Tensor:
        shown = to_screen(to_float(pixels), self.transfer, self.primaries)
        return shown.mul(255).round().byte() if pixels.dtype == torch.uint8 else shown.half()


def has_alpha(frame: VideoFrame) -> bool:
    """Whether parts of a frame may be transparent."""
    return frame.format.name == PALETTE or any(component.is_alpha for component in frame.format.components)


def opaque_pixels(frame: VideoFrame) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A frame as it is stored as RGB (height, width, 3), whose transparent parts show white.

    It is uint16 where the frame has more than eight bits.
    """
    deep = any(component.bits > 8 for component in frame.format.components)
    if not has_alpha(frame):
        pixels = frame.to_ndarray(format="gbrp16le" if deep else "rgb24", interpolation=COLOUR_CONVERSION)
        return cast("NDArray[np.uint8] | NDArray[np.uint16]", pixels)
    stored = frame.to_ndarray(format="rgba64le" if deep else "rgba", interpolation=COLOUR_CONVERSION)
    highest = DEEPEST if deep else 255
    bands = np.array_split(stored, -(-len(stored) // ROWS_AT_A_TIME))
    shown = [to_rgb(torch.from_numpy(band.astype(np.float32) / highest)) for band in bands]
    return np.concatenate([band.mul(highest).round().numpy().astype(stored.dtype) for band in shown])


def to_float(pixels: Tensor) -> Tensor:
    """Pixels as `shown_pixels` gives them as float32 of values 0..1."""
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()


def put_in(room: Tensor, frames: Iterable[Tensor]) -> Tensor:
    """Put frames (H, W, 3), as `Video` gives them, at the start of a room (F, H, W, 3); what of it they fill.

    Raises:
        ValueError: there are no frames.
    """
    made = 0
    for made, frame in enumerate(islice(frames, len(room)), start=1):
        room[made - 1] = to_float(frame)
    if not made:
        raise ValueError("The picture is empty: it has no frames.")
    return room[:made]


def stacked(frames: Iterable[Tensor], count: int, compact: bool = False) -> Tensor:
    """At most so many frames (H, W, 3), as `Video` gives them, as (F, H, W, 3) of values 0..1, each held once.

    Args:
        compact: float16 where the frames are of bytes, which it holds to a fifteenth of a step, or float16; else they
            become float32.

    Raises:
        ValueError: there are no frames.
    """
    held, made = None, 0
    for made, frame in enumerate(islice(frames, count), start=1):
        if held is None:
            small = torch.float16 if frame.dtype == torch.uint8 else frame.dtype
            held = torch.empty((count, *frame.shape), dtype=small if compact else torch.float32, device=frame.device)
        held[made - 1] = to_float(frame)
    if held is None:
        raise ValueError("The picture is empty: it has no frames.")
    return held[:made]
