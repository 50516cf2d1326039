"""Vocoders: natural-log mel back to sound, 240 samples at 24 kHz a mel frame.

Both take (B, frames, 80) log-mel, not normalised, and return (B, frames * 240) float32 samples within -1..1.
`GriffinLim` needs no weights; `load_bigvgan` reads those of the released model's own vocoder.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torchaudio.functional
from einops import rearrange
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from ..checkpoint import name_list
from ..config import HOP_LENGTH, MEL_BANDS
from .mel import FFT_LENGTH, mel_filters

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
FIRST_WEIGHT = "conv_pre.weight"
NAMES_SHOWN = 5


class Vocoder(nn.Module):
    """Mel to sound, one clip at a time, so that a clip sounds the same in any batch.

    Products of other sizes round differently, and what follows them here can make that heard.
    """

    def forward(self, log_mel: Tensor) -> Tensor:
        """(B, frames, 80) natural-log mel to (B, frames * 240) samples, on the device of the mel."""
        return torch.cat([self.sound_of_clip(clip) for clip in log_mel.split(1)])

    def sound_of_clip(self, log_mel: Tensor) -> Tensor:
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

    def sound_of_clip(self, log_mel: Tensor) -> Tensor:
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

    def sound_of_clip(self, log_mel: Tensor) -> Tensor:
        mel = rearrange(log_mel, "b frames bands -> b bands frames")
        waveform = self.model(mel.to(self.model.get_parameter(FIRST_WEIGHT).dtype))
        # The model squeezes a batch of one away and moves its result to the CPU.
        return waveform.reshape(1, -1).to(log_mel.device, torch.float32)


def load_bigvgan(path: str | Path) -> BigVGAN:
    """Load the released vocoder, in float32 on the CPU.

    Args:
        path: a folder of one or more safetensors files (the release's `code2wav_bigvgan_model`, or one in which its
            names carry a prefix), or one such file. A `config.json` beside the weights gives the sizes; without one
            they are the defaults of the transformers class.

    Raises:
        FileNotFoundError: no such file or folder, no weights in it, or a shard is missing.
        ValueError: the files are damaged, or are not those of a BigVGAN for 80 mel bands at hop 240.
        ImportError: transformers is absent or too old.
    """
    path = Path(path)
    files = _weight_files(path)
    model = _build_bigvgan(_read_sizes(path if path.is_dir() else path.parent), path)
    _load_weights(model, files, path)
    return BigVGAN(model.eval())


def _weight_files(path: Path) -> list[Path]:
    """The safetensors files of a vocoder."""
    if path.is_file():
        if path.suffix != ".safetensors":
            raise ValueError(f"The vocoder {path.name} is not a safetensors file: choose one, or its folder.")
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"The vocoder {path} is neither a file nor a folder.")
    indices = [_read_json(file) for file in path.glob("*.safetensors.index.json")]
    shards = {shard for index in indices for shard in index.get("weight_map", {}).values()}
    missing = sorted(shard for shard in shards if not (path / shard).is_file())
    if missing:
        lacking = name_list(missing, NAMES_SHOWN)
        raise FileNotFoundError(f"The vocoder folder {path.name} lacks {lacking}: download it again.")
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"The vocoder folder {path} holds no .safetensors file.")
    return files


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is not valid JSON ({error}).") from error


def _read_sizes(folder: Path) -> dict:
    """Sizes of the BigVGAN in a folder's config.json, which may be that of the whole Qwen2.5-Omni; {} without one."""
    path = folder / "config.json"
    values = _read_json(path) if path.is_file() else {}
    for outer in ("token2wav_config", "bigvgan_config"):
        values = values.get(outer, values)
    return {name: values[name] for name in BIGVGAN_SIZES if name in values}


def _build_bigvgan(sizes: dict, path: Path) -> nn.Module:
    try:
        from transformers import Qwen2_5OmniToken2WavBigVGANModel
    except ImportError as error:
        raise ImportError(
            f"BigVGAN needs transformers 4.52 or newer ({error}): "
            "run pip install -U transformers, or choose Griffin-Lim."
        ) from error
    config = Qwen2_5OmniToken2WavBigVGANModel.config_class(**sizes)
    hop_length = math.prod(config.upsample_rates)
    if (config.mel_dim, hop_length) != (MEL_BANDS, HOP_LENGTH):
        raise ValueError(
            f"The vocoder {path.name} is made for {config.mel_dim} mel bands and {hop_length} samples a frame, "
            f"the model for {MEL_BANDS} and {HOP_LENGTH}: choose the code2wav_bigvgan_model of the release."
        )
    return Qwen2_5OmniToken2WavBigVGANModel(config)


def _load_weights(model: nn.Module, files: list[Path], path: Path) -> None:
    """Copy the weights into the model. Names carry the prefix under which `conv_pre.weight` is found."""
    tensors = dict(_read_vocoder_tensors(files, path))
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
        logger = logging.getLogger(__name__)
        ignored = name_list(unknown, NAMES_SHOWN)
        logger.warning("The vocoder %s has unknown weights, which are ignored: %s", path.name, ignored)
    model.load_state_dict(tensors, strict=False)


def _read_vocoder_tensors(files: list[Path], path: Path) -> Iterator[tuple[str, Tensor]]:
    """Pairs of name, without its prefix, and tensor of all weights that belong to the vocoder."""
    names = {file: _names(file) for file in files}
    prefixes = [name.removesuffix(FIRST_WEIGHT) for group in names.values() for name in group if _is_first(name)]
    if not prefixes:
        found = name_list(sorted(name for group in names.values() for name in group), NAMES_SHOWN)
        raise ValueError(
            f"{path.name} is not a BigVGAN vocoder: it has no {FIRST_WEIGHT}, but {found or 'nothing'}. "
            "Choose the code2wav_bigvgan_model of the release."
        )
    for file, group in names.items():
        with safe_open(file, framework="pt") as weights:
            for name in group:
                if name.startswith(prefixes[0]):
                    yield name.removeprefix(prefixes[0]), weights.get_tensor(name)


def _names(file: Path) -> list[str]:
    try:
        with safe_open(file, framework="pt") as weights:
            return list(weights.keys())
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or not fully downloaded ({error}).") from error


def _is_first(name: str) -> bool:
    return name == FIRST_WEIGHT or name.endswith("." + FIRST_WEIGHT)
