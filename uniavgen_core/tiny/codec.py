"""The small model's picture codec: a causal video autoencoder with the strides of the Wan 2.2 VAE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional

from ..config import LATENT_CHANNELS, SPATIAL_COMPRESSION, TEMPORAL_COMPRESSION, latent_frames, pixel_frames

COLOURS = 3
PICTURE_BLOCK = COLOURS * SPATIAL_COMPRESSION**2
CHANGE_BLOCK = PICTURE_BLOCK * TEMPORAL_COMPRESSION
PIXEL_SQUARE = 4
"""Side of the squares of pixels that become channels for the decoder's network."""


def _unshuffled(pixels: Tensor, side: int) -> Tensor:
    """The values of each square of pixels, frame by frame: contiguous, as products of other layouts round otherwise."""
    return rearrange(pixels, "b c f (h p) (w q) -> b f (c p q) h w", p=side, q=side)


def _shuffled(values: Tensor, side: int) -> Tensor:
    """The inverse of `_unshuffled`."""
    frames = rearrange(values, "b f (c p q) h w -> b f c (h p) (w q)", p=side, q=side)
    return rearrange(frames, "b f c h w -> b c f h w")


def picture_blocks(pixels: Tensor) -> Tensor:
    """Squares of 16 × 16 pixels (batch, F, h, w, 768) of frames (batch, 3, F, 16h, 16w)."""
    return rearrange(_unshuffled(pixels, SPATIAL_COMPRESSION), "b f values h w -> b f h w values")


def change_blocks(pixels: Tensor) -> Tensor:
    """What each four of frames (batch, 3, F > 1, 16h, 16w) differ from the first: (batch, T - 1, h, w, 3072)."""
    squares = picture_blocks(pixels[:, :, 1:] - pixels[:, :, :1])
    return rearrange(squares, "b (t f) h w c -> b t h w (f c)", f=TEMPORAL_COMPRESSION)


def _pictures(blocks: Tensor) -> Tensor:
    """The inverse of `picture_blocks`."""
    return _shuffled(rearrange(blocks, "b f h w values -> b f values h w"), SPATIAL_COMPRESSION)


def _changes(blocks: Tensor) -> Tensor:
    """The inverse of `change_blocks`: differences from the first frame (batch, 3, F - 1, 16h, 16w)."""
    return _pictures(rearrange(blocks, "b t h w (f c) -> b (t f) h w c", f=TEMPORAL_COMPRESSION))


def _spatial(inputs: int, outputs: int, operations: Any, factory_kwargs: dict[str, Any], stride: int = 1) -> nn.Module:
    """A 3 × 3 convolution of each frame by itself."""
    return operations.Conv3d(
        inputs, outputs, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), **factory_kwargs
    )


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions of each frame by itself, added to the input."""

    def __init__(self, channels: int, operations: Any, factory_kwargs: dict[str, Any]):
        super().__init__()
        self.layers = nn.Sequential(
            nn.SiLU(),
            _spatial(channels, channels, operations, factory_kwargs),
            nn.SiLU(),
            _spatial(channels, channels, operations, factory_kwargs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Refiner(nn.Module):
    """What to add to decoded frames: a small U-Net that sees each frame beside the clip's first."""

    def __init__(self, widths: Sequence[int], operations: Any, factory_kwargs: dict[str, Any]):
        super().__init__()
        fine, coarse = widths
        square = COLOURS * PIXEL_SQUARE**2
        self.start = _spatial(2 * square, fine, operations, factory_kwargs)
        self.fine = ResidualBlock(fine, operations, factory_kwargs)
        self.down = _spatial(fine, coarse, operations, factory_kwargs, stride=2)
        self.coarse = ResidualBlock(coarse, operations, factory_kwargs)
        self.up = _spatial(coarse, fine, operations, factory_kwargs)
        self.last = ResidualBlock(fine, operations, factory_kwargs)
        self.out = _spatial(fine, square, operations, factory_kwargs)

    def forward(self, frames: Tensor) -> Tensor:
        """Change of frames; both (batch, 3, F, height, width)."""
        squares = rearrange(_unshuffled(frames, PIXEL_SQUARE), "b f values h w -> b values f h w")
        x = self.fine(self.start(torch.cat((squares, squares[:, :, :1].expand_as(squares)), dim=1)))
        wide = repeat(self.up(self.coarse(self.down(x))), "b c f h w -> b c f (h 2) (w 2)")
        change = self.out(functional.silu(self.last(x + wide)))
        return _shuffled(rearrange(change, "b values f h w -> b f values h w"), PIXEL_SQUARE)


class Codec(nn.Module):
    """Frames to latents and back: 16 times smaller in space, four times in time, the first frame alone.

    The first latent frame holds the first picture, each later one what four frames differ from it. Latents are linear
    in the pixels; decoding is linear too, with a network that adds detail. Both directions are causal: a latent frame
    depends on no later frame, and a frame on no later latent frame.

    Args:
        widths: channels of the network at 1/4 and 1/8 of the size.
        operations: namespace of the layers.
    """

    def __init__(self, widths: Sequence[int], operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.encode_picture = operations.Linear(PICTURE_BLOCK, LATENT_CHANNELS, **factory_kwargs)
        self.encode_change = operations.Linear(CHANGE_BLOCK, LATENT_CHANNELS, **factory_kwargs)
        self.decode_picture = operations.Linear(LATENT_CHANNELS, PICTURE_BLOCK, **factory_kwargs)
        self.decode_change = operations.Linear(LATENT_CHANNELS, CHANGE_BLOCK, **factory_kwargs)
        self.refiner = Refiner(widths, operations, factory_kwargs)

    def encode(self, pixels: Tensor) -> Tensor:
        """Latent (batch, 48, T, h, w) of frames (batch, 3, F, 16h, 16w) in -1..1.

        Raises:
            ValueError: F is not 1, 5, 9, …, or height or width is no multiple of 16.
        """
        frames, height, width = pixels.shape[2:]
        if frames != pixel_frames(latent_frames(frames)):
            raise ValueError(
                f"This clip has {frames} frames, but the codec takes 1, 5, 9, … (one and a multiple of "
                f"{TEMPORAL_COMPRESSION}). Cut it to {frames - (frames - 1) % TEMPORAL_COMPRESSION}."
            )
        if height % SPATIAL_COMPRESSION or width % SPATIAL_COMPRESSION:
            raise ValueError(
                f"Width and height must be multiples of {SPATIAL_COMPRESSION} pixels; this clip is {width} × {height}."
            )
        rows = self.encode_picture(picture_blocks(pixels[:, :, :1]))
        if frames > 1:
            rows = torch.cat((rows, self.encode_change(change_blocks(pixels))), dim=1)
        return rearrange(rows, "b t h w c -> b c t h w")

    def decode(self, latent: Tensor) -> Tensor:
        """Frames (batch, 3, F, 16h, 16w), about -1..1 and not clamped, of a latent (batch, 48, T, h, w)."""
        frames = self.decode_linear(latent)
        return frames + self.refiner(frames)

    def decode_linear(self, latent: Tensor) -> Tensor:
        """As `decode`, without the network's detail."""
        rows = rearrange(latent, "b c t h w -> b t h w c")
        frames = _pictures(self.decode_picture(rows[:, :1]))
        if latent.shape[2] == 1:
            return frames
        return torch.cat((frames, frames + _changes(self.decode_change(rows[:, 1:]))), dim=2)

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Latent (1, 48, T, h, w) of frames (F, 16h, 16w, 3) of values 0..1; errors as in `encode`."""
        return self.encode(rearrange(frames, "f h w c -> 1 c f h w") * 2 - 1)

    def decode_frames(self, latent: Tensor) -> Tensor:
        """Frames (batch, F, 16h, 16w, 3) of values 0..1 of a latent (batch, 48, T, h, w)."""
        return rearrange(self.decode(latent), "b c f h w -> b f h w c").add(1).div(2).clamp(0, 1)
