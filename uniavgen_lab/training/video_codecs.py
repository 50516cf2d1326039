"""Picture codecs that training can use: the small model's, and the Wan 2.2 VAE from a diffusers folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import LATENT_CHANNELS
from uniavgen_core.files import needed
from uniavgen_core.tiny.bundle import CODEC_WIDTHS, load_tiny
from uniavgen_core.tiny.codec import Codec

from .training_config import TrainConfig

BUILT_IN = "tiny"
"""Name of the codec that the pack ships with."""
VAE_FOLDER = "vae"
"""Name of the codec's folder in that of a whole diffusers model."""


class WanCodec(nn.Module):
    """The Wan 2.2 VAE of diffusers, with its latents normalised by the channels' mean and deviation.

    Args:
        folder: holds the VAE's `config.json` and weights.

    Raises:
        NotInstalledError: diffusers is not installed.
        ValueError: the VAE has not the 48 channels of Wan 2.2's.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, folder: Path) -> None:
        super().__init__()
        diffusers = needed("diffusers", "for the Wan 2.2 VAE", "diffusers")
        self.vae: Any = diffusers.AutoencoderKLWan.from_pretrained(folder, local_files_only=True)
        config = self.vae.config
        if config.z_dim != LATENT_CHANNELS or len(config.latents_mean) != LATENT_CHANNELS:
            raise ValueError(
                f"The VAE in {folder} has {config.z_dim} channels, the model takes {LATENT_CHANNELS}: give the VAE of "
                "Wan 2.2 TI2V 5B."
            )
        self.register_buffer("mean", torch.tensor(config.latents_mean).view(1, -1, 1, 1, 1))
        self.register_buffer("deviation", torch.tensor(config.latents_std).view(1, -1, 1, 1, 1))

    def encode_frames(self, frames: Tensor) -> Tensor:
        """Latent (1, 48, T, h, w) of frames (F, 16h, 16w, 3) of values 0..1; F is 1, 5, 9, …"""
        pixels = frames.movedim(-1, 0).unsqueeze(0) * 2 - 1
        return (self.vae.encode(pixels).latent_dist.mode() - self.mean) / self.deviation

    def decode_frames(self, latent: Tensor) -> Tensor:
        """Frames (batch, F, 16h, 16w, 3) of values 0..1 of a latent (batch, 48, T, h, w)."""
        pixels = self.vae.decode(latent * self.deviation + self.mean).sample
        return pixels.movedim(1, -1).add(1).div(2).clamp(0, 1)


VideoCodec: TypeAlias = Codec | WanCodec
"""Frames to latents that are normalised for the model, and back."""


def load_codec(name: str | Path) -> VideoCodec:
    """The codec of a name, on the CPU: `tiny`, a file of the small codec's weights, or a folder of the Wan 2.2 VAE.

    Raises:
        FileNotFoundError: there is no such file or folder.
        NotInstalledError: diffusers is not installed.
        ValueError: the VAE is another than Wan 2.2's, or the small model has no trained weights.
    """
    if name == BUILT_IN:
        bundle = load_tiny()
        if not bundle.trained:
            raise ValueError("The small model has no trained weights here: give the weights of a picture codec.")
        return bundle.codec
    path = Path(name)
    if path.is_file():
        codec = Codec(CODEC_WIDTHS, torch_operations).eval()
        codec.load_state_dict(load_file(path))
        return codec
    folder = path / VAE_FOLDER if (path / VAE_FOLDER).is_dir() else path
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"There is no picture codec {path}: give '{BUILT_IN}', the small codec's weights, or a diffusers folder of "
            "the Wan 2.2 VAE, with its config.json."
        )
    return WanCodec(folder).eval()


def load_codec_of(config: TrainConfig) -> VideoCodec:
    """The codec that a run names, as `load_codec` gives it."""
    return load_codec(config.codec if config.codec == BUILT_IN else config.path(config.codec))
