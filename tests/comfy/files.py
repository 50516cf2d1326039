"""Model files in the real formats, at small size, with random weights; and what is in a saved clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import av
import torch
from golden_weights import weight_by_rule, weights_by_rule
from release_names import name_in_release
from safetensors.torch import save_file
from small_vocoder import build_small_bigvgan
from torch import Tensor, nn

from comfy.install import ComfyInstall
from uniavgen_core.backend import torch_operations
from uniavgen_core.config import LATENT_CHANNELS, MEL_BANDS, ModelSizes
from uniavgen_core.joint_latent import denormalise_mel
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.universe1.stitched_dit import StitchedDiT
from uniavgen_core.universe1.stitched_sizes import StitchedSizes

VIDEO_VAE_SCRIPT = Path(__file__).with_name("video_vae_script.py")
SHARD_NAME = "diffusion_pytorch_model"
VOCODER_LOUDNESS = 0.1
"""Deviation of the vocoder's sound, where full scale is 1."""


def write_joint_model(folder: Path, sizes: ModelSizes, shards: int = 2) -> Path:
    """The joint model as the release has it, a folder of shards with an index; returns the folder."""
    return write_shards(folder, joint_weights(sizes), shards)


def joint_weights(sizes: ModelSizes) -> dict[str, Tensor]:
    """A float32 state dict of the joint model, each parameter made from its name."""
    return weights_by_rule(JointDiT(sizes, torch_operations, device="meta"))


def write_universe_model(folder: Path, text_width: int, shards: int = 2) -> Path:
    """A small UniVerse-1 as the release has it, a folder of shards with an index; returns the folder."""
    sizes = StitchedSizes(
        blocks=2, video_width=256, video_ffn_width=384, audio_width=128, audio_ffn_width=320, text_width=text_width,
        sound_text_width=768, vocabulary_rows=6693, lyric_width=64, lyric_heads=4, lyric_ffn_width=96, lyric_layers=2,
        patch_width=64,
    )  # fmt: skip
    empty = StitchedDiT(sizes, torch_operations, device="meta").state_dict()
    shapes = {name_in_release(name): tuple(tensor.shape) for name, tensor in empty.items()}
    return write_shards(folder, {name: weight_by_rule(name, shape) for name, shape in shapes.items()}, shards)


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


def write_video_model(file: Path, sizes: ModelSizes) -> Path:
    """A model in the form of Wan 2.2 5B, whose names are those of the joint model's video branch; returns the file."""
    shared = ("patch_embedding.", "time_embedding.", "time_projection.", "blocks.", "head.")
    weights = {
        name.replace("text_embedding_video.", "text_embedding."): tensor
        for name, tensor in joint_weights(sizes).items()
        if name.startswith((*shared, "text_embedding_video."))
    }
    # ComfyUI takes captions to be 4096 wide unless the file says otherwise.
    save_file(weights, file, metadata={"config": json.dumps({"transformer": {"text_dim": sizes.text_width}})})
    return file


def write_upscaler(file: Path, scale: int = 2, width: int = 4) -> Path:
    """A Real-ESRGAN Compact whose weights are zero, so that it repeats each pixel; returns the file."""
    weights = {
        **convolution("body.0", 3, width, 3),
        "body.1.weight": torch.zeros(width),
        **convolution("body.2", width, 3 * scale**2, 3),
    }
    save_file(weights, file)
    return file


def write_interpolator(file: Path, width: int = 8) -> Path:
    """A RIFE 4.26 of small width whose weights are zero: it sees no motion, and averages; returns the file."""
    weights = convolution("encode.cnn0", 3, 16, 3)
    weights |= convolution("encode.cnn1", 16, 16, 3) | convolution("encode.cnn2", 16, 16, 3)
    weights |= transposed_convolution("encode.cnn3", 16, 4, 4)
    # Two pictures, four features of each, time; then also the mask, features and flow of the block before.
    for number, channels in enumerate((15, 28, 28, 28, 28)):
        block = f"block{number}"
        weights |= convolution(f"{block}.conv0.0.0", channels, width // 2, 3)
        weights |= convolution(f"{block}.conv0.1.0", width // 2, width, 3)
        for layer in range(8):
            weights |= convolution(f"{block}.convblock.{layer}.conv", width, width, 3)
            weights[f"{block}.convblock.{layer}.beta"] = torch.zeros(1, width, 1, 1)
        weights |= transposed_convolution(f"{block}.lastconv.0", width, 52, 4)
    save_file(weights, file)
    return file


def convolution(name: str, inputs: int, outputs: int, size: int) -> dict[str, Tensor]:
    """Weights of a convolution, all zero."""
    return {f"{name}.weight": torch.zeros(outputs, inputs, size, size), f"{name}.bias": torch.zeros(outputs)}


def transposed_convolution(name: str, inputs: int, outputs: int, size: int) -> dict[str, Tensor]:
    """Weights of a transposed convolution, all zero."""
    return {f"{name}.weight": torch.zeros(inputs, outputs, size, size), f"{name}.bias": torch.zeros(outputs)}


def picture_packets(file: Path) -> list[str]:
    """Digests of a video's picture packets."""
    with av.open(file) as container:
        return [sha256(bytes(packet)).hexdigest() for packet in container.demux(video=0) if packet.size]
