"""Training of the small model's picture codec."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from tqdm import trange

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import LATENT_CHANNELS
from uniavgen_core.tiny.bundle import CODEC_WIDTHS
from uniavgen_core.tiny.codec import Codec, change_blocks, picture_blocks

from ..world.corpus import SPLITS, make_clip
from ..world.synthesiser import Synthesiser
from .training_config import CodecConfig
from .training_run import TrainingRun, learning_rate, means, moving_average

WINDOW_FRAMES = 9
WINDOWS = 1000
"""Windows whose principal components are taken."""


class CodecTrainer(TrainingRun):
    """A run of the picture codec: it starts, or goes on from its last checkpoint."""

    def __init__(self, config: CodecConfig, stop_after: int | None = None):
        super().__init__(config, config.precision)
        self.config = config
        self.last_step = config.steps if stop_after is None else min(config.steps, stop_after)
        self.windows = _render(config, self.output / "frames.npy")
        self.weights = self.output / "codec.safetensors"
        self.codec = self._start_codec().to(self.accelerator.device)
        self.codec.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(
            self.codec.refiner.parameters(), lr=0.0, betas=config.betas, weight_decay=config.weight_decay
        )
        self.refiner, self.optimizer = self.accelerator.prepare(self.codec.refiner, optimizer)
        self.average = moving_average(self.codec.refiner, config.ema_decay)
        self.accelerator.register_for_checkpointing(self.average)
        self.resume()

    def _start_codec(self) -> Codec:
        """The codec with its linear maps, which do not learn: latents stay what they are while the network does."""
        codec = Codec(CODEC_WIDTHS, torch_operations)
        if self.weights.is_file():
            codec.load_state_dict(load_file(self.weights))
            return codec
        generator = torch.Generator().manual_seed(self.config.seed)
        initialise_codec(codec, _draw(self.windows, WINDOWS, generator), self.config.seed)
        if self.accelerator.is_main_process:
            save_codec(codec, self.weights)
        return codec

    def run(self) -> Path:
        """Train to the end, or to the step that was asked for; the path of the weights."""
        recent: list[dict[str, float]] = []
        bar = trange(self.step, self.last_step, desc="codec", unit="step", initial=self.step)
        for _ in bar:
            recent.append(self._train())
            self.step += 1
            if self.step % self.config.log_every == 0:
                self.log("train", means(recent))
                bar.set_postfix({name: f"{value:.4f}" for name, value in means(recent).items()})
                recent = []
            if self.step % self.config.save_every == 0:
                self.save()
        self.save()
        self.codec.refiner.load_state_dict(self.average.module.state_dict())
        if self.accelerator.is_main_process:
            save_codec(self.codec, self.weights)
        self.accelerator.end_training()
        return self.weights

    def _train(self) -> dict[str, float]:
        seeds = (self.config.seed, self.accelerator.process_index, self.step)
        generator = torch.Generator().manual_seed(zlib.crc32(repr(seeds).encode()))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        pixels = _draw(self.windows, self.config.batch_size, generator).to(self.accelerator.device)
        losses = self._losses(pixels, generator)
        self.accelerator.backward(losses["loss"])
        self.accelerator.clip_grad_norm_(self.refiner.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.codec.refiner)
        return {name: value.item() for name, value in losses.items()}

    def _losses(self, pixels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """What is wrong with clips (batch, 3, F, height, width) that went through latents with noise."""
        with torch.no_grad():
            latent = self.codec.encode(pixels)
            noise = torch.randn(latent.shape, generator=generator).to(latent.device)
            blurred = self.codec.decode_linear(latent + noise * self.config.latent_noise)
        with self.accelerator.autocast():
            decoded = blurred + self.refiner(blurred).float()
        error = decoded - pixels
        moving = (pixels - pixels[:, :, :1]).abs().amax(dim=1, keepdim=True)
        near = functional.max_pool3d(moving, (1, 5, 5), 1, (0, 2, 2)).clamp(max=1)
        return {
            "loss": ((1 + self.config.motion_weight * near) * (error.square() + 0.1 * error.abs())).mean(),
            "psnr": 10 * torch.log10(4 / error.square().mean()),
        }


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
    for weight in codec.refiner.parameters():
        if weight.ndim > 1:
            torch.nn.init.kaiming_normal_(weight)
        else:
            torch.nn.init.zeros_(weight)
    torch.nn.init.zeros_(codec.refiner.get_parameter("out.weight"))
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
    """Windows (windows, 9, 128, 128, 3) in bytes, mapped into memory; drawn once.

    A window is a clip's first frame and eight in a row, as later frames are coded as changes of the first.
    """
    if not path.is_file():
        synthesiser = Synthesiser()
        windows = []
        for index in trange(config.clips, desc="draw", unit="clip"):
            frames = make_clip(SPLITS["train"].start + 2 * index, synthesiser).frames
            for start in range(1, len(frames) - WINDOW_FRAMES + 2, WINDOW_FRAMES - 1):
                windows.append(numpy.concatenate((frames[:1], frames[start : start + WINDOW_FRAMES - 1])))
        numpy.save(path, numpy.stack(windows))
    return numpy.load(path, mmap_mode="r")


def _draw(windows: numpy.ndarray, count: int, generator: torch.Generator) -> Tensor:
    """Some windows (count, 3, 9, 128, 128) in -1..1."""
    indices = torch.randint(len(windows), (count,), generator=generator).tolist()
    pixels = torch.from_numpy(numpy.stack([windows[index] for index in indices]))
    return pixels.float().div(127.5).sub(1).movedim(-1, 1)
