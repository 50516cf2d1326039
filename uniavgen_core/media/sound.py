"""Sound as a tensor: of a length, faded, of a loudness."""

from __future__ import annotations

import math

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional

PEAK_LIMIT = 10 ** (-1 / 20)
"""Loudest sample after a change of loudness: 1 dB below full scale."""
MEASURED_PEAK = 0.1
"""Loudness is measured of a copy whose peak is no higher: torchaudio's filters clip at full scale."""
MEASURED_CHANNELS = 5
"""Most channels whose loudness torchaudio measures."""
LOUDNESS_BLOCK_SECONDS = 0.4
"""Loudness (ITU-R BS.1770) is measured over blocks of this length, so it needs one at least."""


def fit_audio(waveform: Tensor, samples: int) -> Tensor:
    """Cut a waveform (…, samples) at its end, or pad it with silence there, to that many samples."""
    return functional.pad(waveform, (0, samples - waveform.shape[-1]))


def fade(waveform: Tensor, sample_rate: int, seconds: float) -> Tensor:
    """Fade a waveform (…, samples) in and out linearly, each over that many seconds or half the sound."""
    samples = min(round(seconds * sample_rate), waveform.shape[-1] // 2)
    if samples < 1:
        return waveform
    ramp = torch.arange(samples, device=waveform.device, dtype=waveform.dtype) / samples
    gain = waveform.new_ones(waveform.shape[-1])
    gain[:samples] = ramp
    gain[-samples:] = ramp.flip(0)
    return waveform * gain


def set_loudness(waveform: Tensor, sample_rate: int, target_lufs: float) -> Tensor:
    """Scale a waveform (…, channels, samples) to a loudness in LUFS (ITU-R BS.1770-4), with one gain a sound.

    The loudest sample stays 1 dB below full scale, so a sound with high peaks ends up softer than asked for. A sound
    that is silent, or too soft to be measured, is returned as it is.

    Raises:
        ValueError: there are more than five channels.
    """
    if waveform.shape[-2] > MEASURED_CHANNELS:
        raise ValueError(f"The sound has {waveform.shape[-2]} channels: loudness can be set for {MEASURED_CHANNELS}.")
    block = math.ceil(LOUDNESS_BLOCK_SECONDS * sample_rate)
    peak = waveform.abs().amax(dim=(-2, -1))
    softer = (MEASURED_PEAK / peak).clamp(max=1)
    heard = fit_audio(waveform * softer[..., None, None], max(block, waveform.shape[-1]))
    measured = torchaudio.functional.loudness(heard, sample_rate) - 20 * softer.log10()
    gain = torch.minimum(10 ** ((target_lufs - measured) / 20), PEAK_LIMIT / peak)
    gain = torch.where(measured.isfinite() & (peak > 0), gain, torch.ones_like(gain))
    return waveform * gain[..., None, None]
