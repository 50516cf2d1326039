"""Model files in the real formats, at small size, with random weights; and what is in a saved clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import av
import torch
from golden_weights import weights_by_rule
from safetensors.torch import save_file
from small_vocoder import build_small_bigvgan
from torch import Tensor, nn

from uniavgen_core.audio.mel import denormalise_mel
from uniavgen_core.backend import torch_operations
from uniavgen_core.config import LATENT_CHANNELS, MEL_BANDS, ModelSizes
from uniavgen_core.model.joint_dit import JointDiT

from .install import ComfyInstall

VIDEO_VAE_SCRIPT = Path(__file__).with_name("video_vae_script.py")
SHARD_NAME = "diffusion_pytorch_model"
VOCODER_LOUDNESS = 0.1
"""Deviation of the vocoder's sound, where full scale is 1."""


def small_sizes(text_width: int) -> ModelSizes:
    """Sizes of a model of four blocks that takes the released model's latents, and captions of this width."""
    return ModelSizes(
        blocks=4,
        video_width=256,
        video_ffn_width=512,
        audio_width=128,
        audio_ffn_width=256,
        text_width=text_width,
    )


def write_joint_model(folder: Path, sizes: ModelSizes, shards: int = 2) -> Path:
    """The joint model as the release has it, a folder of shards with an index; returns the folder."""
    return write_shards(folder, joint_weights(sizes), shards)


def joint_weights(sizes: ModelSizes) -> dict[str, Tensor]:
    """A float32 state dict of the joint model, each parameter made from its name."""
    return weights_by_rule(JointDiT(sizes, torch_operations, device="meta"))


def write_shards(folder: Path, tensors: Mapping[str, Tensor], shards: int) -> Path:
    """Any state dict as a folder of `shards` safetensors files with an index; returns the folder."""
    folder.mkdir(parents=True)
    files = [f"{SHARD_NAME}-{number:05d}-of-{shards:05d}.safetensors" for number in range(1, shards + 1)]
    names = list(tensors)
    parts = {file: names[number::shards] for number, file in enumerate(files)}
    for file, part in parts.items():
        save_file({name: tensors[name].contiguous() for name in part}, folder / file)
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
        "weight_map": {name: file for file, part in parts.items() for name in part},
    }
    (folder / f"{SHARD_NAME}.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    return folder


def write_vocoder(folder: Path) -> Path:
    """A small BigVGAN as the release has it, config.json and model.safetensors; returns the folder."""
    model = build_small_bigvgan()
    model.config.save_pretrained(folder)
    save_file(audible_weights(model), folder / "model.safetensors")
    return folder


@torch.no_grad()
def audible_weights(vocoder: nn.Module) -> dict[str, Tensor]:
    """Random weights with which a BigVGAN makes noise of a moderate loudness; its own first ones make silence."""
    generator = torch.Generator().manual_seed(0)
    for parameter in vocoder.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
    before_clipping: list[Tensor] = []
    hook = vocoder.conv_post.register_forward_hook(lambda layer, inputs, sound: before_clipping.append(sound))
    vocoder(denormalise_mel(torch.randn(1, MEL_BANDS, 20, generator=generator)))
    hook.remove()
    vocoder.conv_post.weight *= VOCODER_LOUDNESS / before_clipping[0].std()
    return vocoder.state_dict()


def write_video_vae(install: ComfyInstall, file: Path, latent_channels: int = LATENT_CHANNELS) -> Path:
    """What `VAELoader` takes for the VAE of Wan 2.2, or with 16 channels for that of Wan 2.1; returns the file."""
    install.run_script(VIDEO_VAE_SCRIPT, str(file), str(latent_channels))
    return file


def picture_packets(file: Path) -> list[str]:
    """Digests of a video's picture packets."""
    with av.open(file) as container:
        return [sha256(bytes(packet)).hexdigest() for packet in container.demux(video=0) if packet.size]
