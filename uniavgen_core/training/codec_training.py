"""Training of the small model's picture codec."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from tqdm import trange

from ..backend import torch_operations
from ..config import LATENT_CHANNELS
from ..tiny.bundle import CODEC_WIDTHS
from ..tiny.codec import Codec, change_blocks, picture_blocks
from .average import moving_average
from .config import CodecConfig
from .corpus import SPLITS, make_clip
from .voice import Synthesiser

WINDOWS = 384
"""Windows of frames whose principal components are taken."""


def train_codec(config: CodecConfig) -> Path:
    """Train the codec; the path of its weights."""
    output = config.path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    clips = _render(config, output / "frames.npy")
    codec = Codec(CODEC_WIDTHS, torch_operations).to(memory_format=torch.channels_last_3d)
    generator = torch.Generator().manual_seed(config.seed)
    windows = [_draw(clips, config, generator) for _ in range(WINDOWS // config.batch_size)]
    initialise_codec(codec, torch.cat(windows), config.seed)
    weights = output / "codec.safetensors"
    save_codec(codec, weights)
    average = moving_average(codec, config.ema_decay)
    optimizer = torch.optim.AdamW(codec.refiner.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=1e-4)
    with (output / "log.jsonl").open("w", encoding="utf-8") as log:
        bar = trange(config.steps, desc="codec", unit="step")
        for step in bar:
            optimizer.param_groups[0]["lr"] = _learning_rate(config, step)
            losses = _losses(codec, _draw(clips, config, generator), config, generator)
            losses["loss"].backward()
            torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            average.update_parameters(codec)
            if (step + 1) % config.log_every == 0:
                values = {name: value.item() for name, value in losses.items()}
                log.write(json.dumps({"step": step + 1, **values}) + "\n")
                log.flush()
                bar.set_postfix({name: f"{value:.4f}" for name, value in values.items()})
    save_codec(average.module, weights)
    return weights


def save_codec(codec: Codec, path: Path) -> None:
    """Write a codec's weights. Latents depend on the linear maps alone, which stand from the start of a run."""
    save_file({name: x.contiguous() for name, x in codec.state_dict().items()}, path)


@torch.no_grad()
def initialise_codec(codec: Codec, pixels: Tensor, seed: int) -> None:
    """Set the linear maps to principal components of clips (batch, 3, F, height, width); the network adds nothing yet.

    Latents get the square root of the components' deviations, scaled to unit variance over all: strong components stay
    stronger, so that the model learns them first.
    """
    torch.manual_seed(seed)
    for layer in codec.refiner.modules():
        if isinstance(layer, torch.nn.Conv3d):
            torch.nn.init.kaiming_normal_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    torch.nn.init.zeros_(codec.refiner.out.weight)
    _set_components(codec.encode_picture, codec.decode_picture, picture_blocks(pixels[:, :, :1]))
    _set_components(codec.encode_change, codec.decode_change, change_blocks(pixels))


def _set_components(encode: torch.nn.Linear, decode: torch.nn.Linear, blocks: Tensor) -> None:
    rows = blocks.flatten(0, -2)
    mean = rows.mean(dim=0)
    _, values, components = torch.pca_lowrank(rows - mean, LATENT_CHANNELS, center=False, niter=4)
    deviation = values / math.sqrt(len(rows))
    wanted = deviation.sqrt() / deviation.mean().sqrt()
    encode.weight.copy_((components * (wanted / deviation)).T)
    encode.bias.copy_(-encode.weight @ mean)
    decode.weight.copy_(components * (deviation / wanted))
    decode.bias.copy_(mean)


def _render(config: CodecConfig, path: Path) -> numpy.ndarray:
    """Windows of frames (clips, frames, 128, 128, 3) in bytes, mapped into memory; drawn once."""
    if not path.is_file():
        synthesiser = Synthesiser()
        windows = []
        for index in trange(config.clips, desc="draw", unit="clip"):
            frames = make_clip(SPLITS["train"].start + 2 * index, synthesiser).frames
            whole = len(frames) // config.frames * config.frames
            windows.append(frames[:whole].reshape(-1, config.frames, *frames.shape[1:]))
        numpy.save(path, numpy.concatenate(windows))
    return numpy.load(path, mmap_mode="r")


def _draw(clips: numpy.ndarray, config: CodecConfig, generator: torch.Generator) -> Tensor:
    """A batch (batch, 3, frames, 128, 128) in -1..1."""
    places = torch.randint(len(clips), (config.batch_size,), generator=generator).tolist()
    pixels = torch.from_numpy(numpy.stack([clips[place] for place in places]))
    return pixels.float().div(127.5).sub(1).movedim(-1, 1)


def _losses(codec: Codec, pixels: Tensor, config: CodecConfig, generator: torch.Generator) -> dict[str, Tensor]:
    with torch.no_grad():
        latent = codec.encode(pixels)
    noise = torch.randn(latent.shape, generator=generator) * config.latent_noise
    with torch.autocast("cpu", torch.bfloat16):
        decoded = codec.decode(latent + noise).float()
    error = decoded - pixels
    moving = (pixels - pixels[:, :, :1]).abs().amax(dim=1, keepdim=True)
    weight = 1 + config.motion_weight * functional.max_pool3d(moving, (1, 5, 5), 1, (0, 2, 2)).clamp(max=1)
    return {
        "loss": (weight * (error.square() + 0.1 * error.abs())).mean(),
        "psnr": 10 * torch.log10(4 / error.square().mean()),
    }


def _learning_rate(config: CodecConfig, step: int) -> float:
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
