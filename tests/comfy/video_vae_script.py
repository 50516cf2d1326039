"""Run by ComfyUI's own Python: write a random TAEHV, which `VAELoader` takes for the video VAE of Wan 2.2.

    python video_vae_script.py FILE LATENT_CHANNELS

48 channels pass for Wan 2.2, 16 for Wan 2.1. The last layers are scaled to give latents of deviation 1 and pictures
around mid grey, so that what is decoded is neither constant nor clipped.
"""

from __future__ import annotations

import sys

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from comfy.cli_args import args

PICTURE_MEAN, PICTURE_DEVIATION = 0.5, 0.15


def new_vae(latent_channels: int) -> nn.Module:
    """ComfyUI's TAEHV on the CPU, which has to be asked for before any other module of ComfyUI is imported."""
    args.cpu = True
    from comfy.taesd.taehv import TAEHV

    return TAEHV(latent_channels=latent_channels)


def fill(vae: nn.Module) -> None:
    """Random weights that keep the deviation of what passes through; ComfyUI's layers start uninitialised."""
    for name, parameter in vae.named_parameters():
        fan_in = parameter[0].numel()
        nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.normal_(parameter, std=fan_in**-0.5)


def scale_output(layer: nn.Conv2d, output: Tensor, mean: float, deviation: float) -> None:
    """Change the last layer so that the output it gave gets this mean and deviation."""
    layer.weight *= deviation / output.std()
    layer.bias += mean - output.mean() * deviation / output.std()


@torch.no_grad()
def main(file: str, latent_channels: int) -> None:
    torch.manual_seed(0)
    vae = new_vae(latent_channels)
    fill(vae)
    picture = torch.rand(1, 3, 1, 128, 128)
    scale_output(vae.encoder[-1], vae.encode(picture), mean=0.0, deviation=1.0)
    video = vae.decode(torch.randn(1, latent_channels, 3, 8, 8))
    scale_output(vae.decoder[-1], video, PICTURE_MEAN, PICTURE_DEVIATION)
    save_file({name: tensor.contiguous() for name, tensor in vae.state_dict().items()}, file)


main(sys.argv[1], int(sys.argv[2]))
