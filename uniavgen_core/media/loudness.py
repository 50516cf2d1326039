"""How loud a sound is (ITU-R BS.1770-4), measured in pieces: torchaudio's own measure holds a long sound many times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
import torchaudio
from torch import Tensor

from .waveforms import BASS_CHANNEL, PIECE_SAMPLES, SURROUND_CHANNELS, fit_audio, is_bass_alone, peak_of

Stretches: TypeAlias = Callable[[int, int], Tensor]
"""Gives the samples (channels, end - start) of a sound from one to another; what is beyond it is silence."""
PEAK_LIMIT = 10 ** (-1 / 20)
"""Loudest sample after a change of loudness: 1 dB below full scale."""
MEASURED_PEAK = 0.1
"""Loudness is measured of a copy whose peak is no higher: torchaudio's filters clip at full scale."""
CHANNEL_WEIGHTS = (1.0, 1.0, 1.0, 1.41, 1.41)
"""Of the channels whose loudness is measured."""
BLOCK_SECONDS, BLOCKS_OVERLAP = 0.4, 0.75
MEASURED_SAMPLES = PIECE_SAMPLES // 4
"""Of a channel that are measured at a time: the filters hold several copies."""
LEAD_SECONDS = 1
"""Heard before each piece, after which the filters have forgotten what was before."""
SILENT_LUFS, QUIETER_LUFS, OFFSET_LUFS = -70.0, -10.0, -0.691
"""Blocks below the first, and so much below all others, do not count; what is added to the power in decibels."""


def loudness_gain(waveform: Tensor, sample_rate: int, target_lufs: float, samples: int | None = None) -> float:
    """Factor that brings a sound (channels, samples) to a loudness in LUFS.

    The loudest sample stays 1 dB below full scale, so a sound with high peaks ends up softer than asked for. It is 1
    where the sound is silent, or too soft to be measured. The bass channel of 5.1 is not measured.

    Args:
        samples: how many are heard: the sound is cut, or followed by silence.

    Raises:
        ValueError: there are more than five channels, and it is not 5.1.
    """
    samples = waveform.shape[-1] if samples is None else samples
    heard = waveform[:, :samples].detach().float()
    return stretches_gain(
        lambda start, end: fit_audio(heard[:, start:end], end - start),
        samples, sample_rate, target_lufs, _measured_channels(heard),
    )  # fmt: skip


def loudness_of(waveform: Tensor, sample_rate: int) -> tuple[float | None, float]:
    """Loudness in LUFS of a sound (channels, samples), None where it is too soft to be measured, and its peak.

    Raises:
        ValueError: as of `loudness_gain`.
    """
    heard = waveform.detach().float()
    channels, samples = _measured_channels(heard), heard.shape[-1]
    peak = peak_of(heard.split(PIECE_SAMPLES, dim=-1)) if samples else 0.0
    if not peak > 0:
        return None, 0.0

    def stretch(start: int, end: int) -> Tensor:
        return fit_audio(heard[:, start:end], end - start)

    return stretches_lufs(stretch, samples, sample_rate, peak, channels), peak


def stretches_gain(
    stretch: Stretches, samples: int, sample_rate: int, target_lufs: float, channels: Sequence[int] = (0, 1)
) -> float:
    """As `loudness_gain`, of a sound of so many samples that is made by stretches.

    Args:
        channels: those that are measured, in the order of their weights.
    """
    peak = stretches_peak(stretch, samples)
    if not peak > 0:
        return 1.0
    measured = stretches_lufs(stretch, samples, sample_rate, peak, channels)
    return 1.0 if measured is None else min(10 ** ((target_lufs - measured) / 20), PEAK_LIMIT / peak)


def stretches_peak(stretch: Stretches, samples: int) -> float:
    """As `peak_of`, of a sound of so many samples that is made by stretches."""
    starts = range(0, samples, PIECE_SAMPLES)
    return peak_of(stretch(start, min(start + PIECE_SAMPLES, samples)) for start in starts)


def stretches_lufs(
    stretch: Stretches, samples: int, sample_rate: int, peak: float, channels: Sequence[int]
) -> float | None:
    """Loudness in LUFS of a sound whose loudest sample is known; None where it is too soft to be measured."""
    softer = min(1.0, MEASURED_PEAK / peak)
    energy = torch.cat([*_block_energies(stretch, channels, sample_rate, samples, softer)], dim=-1)
    measured = _gated_lufs(energy) - 20 * math.log10(softer)
    return measured if math.isfinite(measured) else None


def _measured_channels(waveform: Tensor) -> list[int]:
    """Those of a waveform (channels, samples) of which loudness is measured, in the order of their weights."""
    channels = len(waveform)
    if channels <= len(CHANNEL_WEIGHTS):
        return [*range(channels)]
    if channels != SURROUND_CHANNELS[0]:
        raise ValueError(
            f"The sound has {channels} channels: its loudness can be set where it has {len(CHANNEL_WEIGHTS)} at most, "
            "or is 5.1. Mix it down first."
        )
    # What is heard there alone is no bass, and is measured as a front channel.
    return [0, 1, BASS_CHANNEL if is_bass_alone(waveform) else 2, 4, 5]


def _block_energies(
    stretch: Stretches, channels: Sequence[int], sample_rate: int, samples: int, scale: float
) -> Iterator[Tensor]:
    """Mean power (channels, blocks) of what the ear hears of each block of a sound, in stretches."""
    block = round(BLOCK_SECONDS * sample_rate)
    step = round(block * (1 - BLOCKS_OVERLAP))
    blocks, at_once = max(0, samples - block) // step + 1, max(1, MEASURED_SAMPLES // step)
    for first in range(0, blocks, at_once):
        start, end = first * step, (min(blocks, first + at_once) - 1) * step + block
        lead = min(start, LEAD_SECONDS * sample_rate)
        piece = stretch(start - lead, end)[[*channels]] * scale
        piece = torchaudio.functional.treble_biquad(piece, sample_rate, 4.0, 1500.0, 1 / math.sqrt(2))
        piece = torchaudio.functional.highpass_biquad(piece, sample_rate, 38.0, 0.5)[:, lead:]
        yield piece.square_().unfold(-1, block, step).mean(dim=-1)


def _gated_lufs(energy: Tensor) -> float:
    """Loudness of a sound by the power (channels, blocks) of its blocks, those left out that are too soft."""
    weights = energy.new_tensor(CHANNEL_WEIGHTS[: len(energy)])
    loud = _lufs(weights @ energy)
    counted = loud > SILENT_LUFS
    counted &= loud > _lufs(weights @ energy[:, counted].mean(dim=-1)) + QUIETER_LUFS
    return float(_lufs(weights @ energy[:, counted].mean(dim=-1)))


def _lufs(power: Tensor) -> Tensor:
    return OFFSET_LUFS + 10 * power.log10()
