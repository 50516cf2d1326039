"""Log-mel features of the audio branch: from a waveform to (frames, 80), 100 frames a second.

Source: spec of the released model, whose features are those of its vocoder: 1024-point STFT at hop 240,
Slaney mel filters from 0 to 8000 Hz, natural logarithm. All computed in float32.
"""

from __future__ import annotations

import torch
import torchaudio.functional
from torch import Tensor
from torch.nn import functional

from ..config import HOP_LENGTH, MEL_BANDS, SAMPLE_RATE
from ..media.waveforms import to_mono

PEAK = 0.999146
"""Magnitude of the loudest sample of condition and reference sound."""
FFT_LENGTH = 1024
"""Samples of one STFT frame and of its window."""
PADDING = (FFT_LENGTH - HOP_LENGTH) // 2
"""Samples reflected at both ends: frame i is then centred on the middle of samples 240 i to 240 (i + 1)."""
HIGHEST_FREQUENCY_HZ = 8000.0
POWER_FLOOR = 1e-9
"""Added to the squared magnitude."""
MEL_FLOOR = 1e-5
"""Smallest mel value before the logarithm."""


def peak_scale(waveform: Tensor) -> Tensor:
    """Scale a sound so that its loudest sample has the magnitude PEAK.

    Args:
        waveform: (..., samples); each row is one whole sound and gets one gain. Scale before cutting into segments.

    Returns:
        The scaled sound. A row that is silent throughout stays as it is: whether silence is an error
        is for the caller to say.
    """
    loudest = waveform.abs().amax(dim=-1, keepdim=True)
    return waveform * torch.where(loudest > 0, PEAK / loudest, 1.0)


def to_model_waveform(waveform: Tensor, sample_rate: int) -> Tensor:
    """Mix all channels to one, as `to_mono` does, and resample to 24 kHz.

    Args:
        waveform: (B, channels, samples), float.
        sample_rate: samples a second.

    Returns:
        (B, samples) at 24 kHz, float32.

    Raises:
        ValueError: no samples, no channels, or a shape of other than three dimensions.
    """
    if waveform.ndim != 3 or waveform.numel() == 0:
        raise ValueError(
            f"The sound is empty or malformed: its shape is {tuple(waveform.shape)}, wanted (batch, channels, samples)."
        )
    return torchaudio.functional.resample(to_mono(waveform, sample_rate), sample_rate, SAMPLE_RATE)


def mel_filters(device: torch.device | None = None) -> Tensor:
    """Triangular filters of the mel scale, Slaney's scale and area normalisation: (513 frequencies, 80 bands)."""
    filters = torchaudio.functional.melscale_fbanks(
        FFT_LENGTH // 2 + 1, 0.0, HIGHEST_FREQUENCY_HZ, MEL_BANDS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return filters.to(device)


def log_mel(waveform: Tensor) -> Tensor:
    """Natural-log mel spectrogram, not normalised.

    Args:
        waveform: (..., samples) at 24 kHz, peak-scaled.

    Returns:
        (..., samples // 240, 80), float32.

    Raises:
        ValueError: fewer than 393 samples, which are too few to be reflected at the ends.
    """
    samples = waveform.shape[-1]
    if samples <= PADDING:
        raise ValueError(
            f"The sound is too short: {samples} samples at 24 kHz, at least {PADDING + 1} "
            f"({(PADDING + 1) / SAMPLE_RATE:.3f} seconds) are needed."
        )
    rows = functional.pad(waveform.float().reshape(-1, samples), (PADDING, PADDING), mode="reflect")
    window = torch.hann_window(FFT_LENGTH, device=rows.device)
    spectrum = torch.stft(rows, FFT_LENGTH, HOP_LENGTH, window=window, center=False, return_complex=True)
    magnitude = torch.view_as_real(spectrum).square().sum(dim=-1).add(POWER_FLOOR).sqrt()
    mel = magnitude.transpose(1, 2) @ mel_filters(rows.device)
    return mel.clamp_min(MEL_FLOOR).log().reshape(*waveform.shape[:-1], -1, MEL_BANDS)


def silence_mel(tokens: int) -> Tensor:
    """Natural log-mel (1, 1, tokens, 80) of silence."""
    return torch.full((1, 1, tokens, MEL_BANDS), MEL_FLOOR).log()
