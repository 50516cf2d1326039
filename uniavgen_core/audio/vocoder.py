"""Vocoders: natural-log mel back to sound, 240 samples at 24 kHz a mel frame.

Both take (B, frames, 80) log-mel, not normalised, and return (B, frames * 240) float32 samples within -1..1.
`GriffinLim` needs no weights; `load_bigvgan` reads those of the released model's own vocoder.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchaudio.functional
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from ..checkpoint import Checkpoint, name_list
from ..config import HOP_LENGTH, MEL_BANDS
from ..files import needed, parsed_json
from .mel import FFT_LENGTH, mel_filters

logger = logging.getLogger(__name__)

ITERATIONS = 60
"""Rounds of phase estimation."""
MOMENTUM = 0.99
SILENT_FRAMES = 2
"""Frames added at both ends: enough for the transform of the algorithm, however short the sound."""
BIGVGAN_SIZES = (
    "mel_dim",
    "upsample_initial_channel",
    "resblock_kernel_sizes",
    "resblock_dilation_sizes",
    "upsample_rates",
    "upsample_kernel_sizes",
)
"""What a config.json says about a BigVGAN; anything else in it is of no concern here."""
MOST_CONFIG_BYTES, MOST_LAYERS, WIDEST = 10**6, 16, 4096
"""What no config.json goes beyond; the release's is 1536 wide and has six layers."""
FIRST_WEIGHT = "conv_pre.weight"
NAMES_SHOWN = 5
TRANSFORMERS_MODULE = "transformers.models.qwen2_5_omni.modeling_qwen2_5_omni"
BIGVGAN_PURPOSE = "in version 4.52 or newer for BigVGAN, but not for Griffin-Lim"


class Vocoder(nn.Module):
    """Mel to sound, one clip at a time, so that a clip sounds the same in any batch.

    Products of other sizes round differently, and what follows them here can make that heard.
    """

    def forward(self, log_mel: Tensor) -> Tensor:
        """(B, frames, 80) natural-log mel to (B, frames * 240) samples, on the device of the mel."""
        return torch.cat([self.waveform_of_clip(clip) for clip in log_mel.split(1)])

    def waveform_of_clip(self, log_mel: Tensor) -> Tensor:
        """(1, frames, 80) natural-log mel to (1, frames * 240) samples."""
        raise NotImplementedError


class GriffinLim(Vocoder):
    """Sound without weights: least-squares inversion of the mel filters, then the fast Griffin-Lim algorithm.

    The phase starts at zero, so the same mel gives the same sound. Computes in float32 whatever its buffers' type.
    """

    inverse_filters: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Its product with a mel is what torchaudio's InverseMelScale(driver="gelsd") solves for, which is CPU-only.
        self.register_buffer("inverse_filters", torch.linalg.pinv(mel_filters().double()).float())
        self.register_buffer("window", torch.hann_window(FFT_LENGTH))

    def waveform_of_clip(self, log_mel: Tensor) -> Tensor:
        magnitude = (log_mel.float().exp() @ self.inverse_filters.float()).clamp_min(0)
        magnitude = rearrange(magnitude, "b frames frequencies -> b frequencies frames")
        # The inverse STFT is centred: its frame i lies on sample 240 i, ours half a hop later. So with silent frames
        # before it, the sound begins half a hop before its first frame.
        waveform = torchaudio.functional.griffinlim(
            functional.pad(magnitude, (SILENT_FRAMES, SILENT_FRAMES)),
            window=self.window.float(),
            n_fft=FFT_LENGTH,
            hop_length=HOP_LENGTH,
            win_length=FFT_LENGTH,
            power=1.0,
            n_iter=ITERATIONS,
            momentum=MOMENTUM,
            length=None,
            rand_init=False,
        )
        start = SILENT_FRAMES * HOP_LENGTH - HOP_LENGTH // 2
        return waveform[:, start : start + log_mel.shape[1] * HOP_LENGTH].clamp(-1, 1)


class BigVGAN(Vocoder):
    """The BigVGAN of Qwen2.5-Omni's token2wav behind the same interface.

    Its authors run it in float32; lower precision costs quality.

    Args:
        model: a transformers `Qwen2_5OmniToken2WavBigVGANModel`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def waveform_of_clip(self, log_mel: Tensor) -> Tensor:
        mel = rearrange(log_mel, "b frames bands -> b bands frames")
        waveform = self.model(mel.to(self.model.get_parameter(FIRST_WEIGHT).dtype))
        # The model squeezes a batch of one away and moves its result to the CPU.
        return waveform.reshape(1, -1).to(log_mel.device, torch.float32)


def load_bigvgan(path: str | Path) -> BigVGAN:
    """Load the released vocoder, in float32 on the CPU.

    Args:
        path: a safetensors file, or a folder of one or of shards with their index (the release's
            `code2wav_bigvgan_model`, or one in which its names carry a prefix). A `config.json` beside the weights
            gives the sizes; without one they are the defaults of the transformers class.

    Raises:
        FileNotFoundError: no such file or folder, or a shard is missing.
        ValueError: the files are damaged, or are not those of a BigVGAN for 80 mel bands at hop 240.
        NotInstalledError: transformers is absent or too old.
    """
    path = Path(path)
    checkpoint = Checkpoint(path)
    model = _build_bigvgan(_read_sizes(path if path.is_dir() else path.parent), path)
    _load_weights(model, _vocoder_tensors(checkpoint), path)
    return BigVGAN(model.eval())


def _read_sizes(folder: Path) -> dict[str, Any]:
    """Sizes of the BigVGAN in a folder's config.json, which may be that of the whole Qwen2.5-Omni; {} without one."""
    path = folder / "config.json"
    try:
        if path.is_file() and path.stat().st_size > MOST_CONFIG_BYTES:
            raise ValueError(f"it has more than {MOST_CONFIG_BYTES // 10**6} MB")
        values = parsed_json(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is not valid JSON ({error}).") from error
    for outer in ("token2wav_config", "bigvgan_config"):
        values = values.get(outer, values) if isinstance(values, dict) else {}
    sizes = {name: values[name] for name in BIGVGAN_SIZES if name in values} if isinstance(values, dict) else {}
    wrong = [name for name, value in sizes.items() if not _is_size(value)]
    if wrong:
        raise ValueError(f"{path} is damaged: {name_list(wrong)} can be no size of a vocoder. Download it again.")
    return sizes


def _is_size(value: Any, depth: int = 2) -> bool:
    """Whether this is a whole number that a vocoder can have as a size, or a short list of such."""
    if isinstance(value, list):
        return 0 < len(value) <= MOST_LAYERS and depth > 0 and all(_is_size(one, depth - 1) for one in value)
    return type(value) is int and 0 < value <= WIDEST


def _build_bigvgan(sizes: dict[str, Any], path: Path) -> nn.Module:
    transformers = needed(TRANSFORMERS_MODULE, BIGVGAN_PURPOSE, package="transformers")
    config = transformers.Qwen2_5OmniToken2WavBigVGANModel.config_class(**sizes)
    hop_length = math.prod(config.upsample_rates)
    if (config.mel_dim, hop_length) != (MEL_BANDS, HOP_LENGTH):
        raise ValueError(
            f"The vocoder {path.name} is made for {config.mel_dim} mel bands and {hop_length} samples a frame, "
            f"the model for {MEL_BANDS} and {HOP_LENGTH}: choose the code2wav_bigvgan_model of the release."
        )
    return transformers.Qwen2_5OmniToken2WavBigVGANModel(config)


def _vocoder_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The vocoder's tensors by name, without the prefix under which its first one is found; no others are read."""
    names = list(checkpoint.meta)
    prefixes = [name.removesuffix(FIRST_WEIGHT) for name in names if f".{name}".endswith(f".{FIRST_WEIGHT}")]
    if not prefixes:
        raise ValueError(
            f"{checkpoint.path.name} is not a BigVGAN vocoder: it has no {FIRST_WEIGHT}, but "
            f"{name_list(sorted(names), NAMES_SHOWN)}. Choose the code2wav_bigvgan_model of the release."
        )
    return {name.removeprefix(prefixes[0]): checkpoint.load(name) for name in names if name.startswith(prefixes[0])}


def _load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy the weights into the model."""
    expected = model.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    if missing:
        raise ValueError(f"The vocoder {path.name} does not fit: it lacks {name_list(missing, NAMES_SHOWN)}.")
    resized = [
        f"{name} {tuple(tensors[name].shape)} in place of {tuple(parameter.shape)}"
        for name, parameter in expected.items()
        if tensors[name].shape != parameter.shape
    ]
    if resized:
        raise ValueError(
            f"The vocoder {path.name} has other sizes than its config.json says "
            f"(without one, the default sizes are taken): {name_list(resized, NAMES_SHOWN)}."
        )
    unknown = sorted(tensors.keys() - expected.keys())
    if unknown:
        ignored = name_list(unknown, NAMES_SHOWN)
        logger.warning("The vocoder %s has unknown weights, which are ignored: %s", path.name, ignored)
    model.load_state_dict(tensors, strict=False)
