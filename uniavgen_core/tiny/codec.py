"""The small model's picture codec: a causal video autoencoder with the strides of the Wan 2.2 VAE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..config import LATENT_CHANNELS, SPATIAL_COMPRESSION, TEMPORAL_COMPRESSION, latent_frames, pixel_frames

PIXEL_BLOCK = 4
"""Side of the squares of pixels that become channels before the first layer. Two more halvings follow."""
COLOURS = 3
TEMPORAL_KERNEL = 3


def _spatial(inputs: int, outputs: int, operations: Any, place: dict[str, Any], stride: int = 1) -> nn.Module:
    """A 3 × 3 convolution of each frame by itself."""
    return operations.Conv3d(inputs, outputs, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), **place)


def _pointwise(inputs: int, outputs: int, operations: Any, place: dict[str, Any]) -> nn.Module:
    return operations.Conv3d(inputs, outputs, 1, **place)


class TemporalConv(nn.Module):
    """A convolution over time that sees no later frame. Before the first frame it sees the first again.

    With a stride of 2, frames 0, 2, 4, … are kept, so the first stays alone.
    """

    def __init__(self, inputs: int, outputs: int, operations: Any, place: dict[str, Any], stride: int = 1):
        super().__init__()
        self.conv = operations.Conv3d(inputs, outputs, (TEMPORAL_KERNEL, 1, 1), stride=(stride, 1, 1), **place)

    def forward(self, x: Tensor) -> Tensor:
        past = x[:, :, :1].expand(-1, -1, TEMPORAL_KERNEL - 1, -1, -1)
        return self.conv(torch.cat((past, x), dim=2))


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of each position, which leaves time unmixed, and SiLU."""

    def __init__(self, channels: int, operations: Any, place: dict[str, Any]):
        super().__init__()
        self.norm = operations.LayerNorm(channels, **place)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(self.norm(x.movedim(1, -1)).movedim(-1, 1))


class ResidualBlock(nn.Module):
    """A convolution in space, then one in time, added to the input."""

    def __init__(self, channels: int, operations: Any, place: dict[str, Any]):
        super().__init__()
        self.layers = nn.Sequential(
            ChannelNorm(channels, operations, place),
            _spatial(channels, channels, operations, place),
            ChannelNorm(channels, operations, place),
            TemporalConv(channels, channels, operations, place),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Downsample(nn.Module):
    """Halve height, width and the number of frames after the first."""

    def __init__(self, inputs: int, outputs: int, operations: Any, place: dict[str, Any]):
        super().__init__()
        self.space = _spatial(inputs, outputs, operations, place, stride=2)
        self.time = TemporalConv(outputs, outputs, operations, place, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.time(self.space(x))


class Upsample(nn.Module):
    """Double height, width and the number of frames after the first."""

    def __init__(self, inputs: int, outputs: int, operations: Any, place: dict[str, Any]):
        super().__init__()
        self.time = TemporalConv(inputs, 2 * inputs, operations, place)
        self.space = _spatial(inputs, outputs, operations, place)

    def forward(self, x: Tensor) -> Tensor:
        pairs = self.time(x).unflatten(1, (2, -1))
        frames = pairs.movedim(1, 3).flatten(2, 3)[:, :, 1:]
        wide = frames.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
        return self.space(wide)


class Codec(nn.Module):
    """Frames to latents and back: 16 times smaller in space, four times in time, the first frame alone.

    Both directions are causal: a latent frame depends on no later frame, and a frame on no later latent frame.
    The layers at the latents are plain linear maps of a position, so that training can bring the latents to zero mean
    and unit deviation by changing these weights alone.

    Args:
        widths: channels at 1/4, 1/8 and 1/16 of the size.
        operations: namespace of the layers.
    """

    def __init__(self, widths: Sequence[int], operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        place = {"device": device, "dtype": dtype}
        fine, middle, coarse = widths
        pixels = COLOURS * PIXEL_BLOCK**2
        self.encoder = nn.Sequential(
            _spatial(pixels, fine, operations, place),
            ResidualBlock(fine, operations, place),
            Downsample(fine, middle, operations, place),
            ResidualBlock(middle, operations, place),
            Downsample(middle, coarse, operations, place),
            ResidualBlock(coarse, operations, place),
            ChannelNorm(coarse, operations, place),
            _pointwise(coarse, LATENT_CHANNELS, operations, place),
        )
        self.decoder = nn.Sequential(
            _pointwise(LATENT_CHANNELS, coarse, operations, place),
            ResidualBlock(coarse, operations, place),
            Upsample(coarse, middle, operations, place),
            ResidualBlock(middle, operations, place),
            Upsample(middle, fine, operations, place),
            ResidualBlock(fine, operations, place),
            ChannelNorm(fine, operations, place),
            _spatial(fine, pixels, operations, place),
        )

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
        blocks = functional.pixel_unshuffle(pixels.movedim(1, 2), PIXEL_BLOCK)
        return self.encoder(blocks.movedim(2, 1))

    def decode(self, latent: Tensor) -> Tensor:
        """Frames (batch, 3, F, 16h, 16w), about -1..1 and not clamped, of a latent (batch, 48, T, h, w)."""
        blocks = self.decoder(latent).movedim(1, 2)
        return functional.pixel_shuffle(blocks, PIXEL_BLOCK).movedim(2, 1)

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Latent (1, 48, T, h, w) of frames (F, 16h, 16w, 3) of values 0..1; errors as in `encode`."""
        return self.encode(frames.movedim(-1, 0).unsqueeze(0) * 2 - 1)

    def decode_frames(self, latent: Tensor) -> Tensor:
        """Frames (batch, F, 16h, 16w, 3) of values 0..1 of a latent (batch, 48, T, h, w)."""
        return self.decode(latent).movedim(1, -1).add(1).div(2).clamp(0, 1)
