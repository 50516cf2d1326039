"""Sound as a tensor: of one channel, of a rate, of a length, faded, of a loudness."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

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

MIX_BLOCK_SECONDS = 0.05
"""Whether channels cancel each other is asked of so long a block."""
CANCELLED_POWER = 0.25
"""A mean whose power is below this fraction of what the channels would have, were they unlike, has lost something."""
LOUD_POWER = 0.1
"""A channel is loud that has this fraction of the loudest one's power."""
BASS_CHANNEL = 3
"""Of 5.1 and 7.1 sound, in the order of WAVE files. It is not mixed (ITU-R BS.775)."""
SURROUND_CHANNELS = (6, 8)
PIECE_SAMPLES = 1 << 20
"""Samples of a channel that are worked on at a time."""


def to_mono(waveform: Tensor, sample_rate: int) -> Tensor:
    """Mix a sound (batch, channels, samples) to (batch, samples), float32, in such a way that no voice is cancelled.

    The mix is the channels' mean. Where they cancel each other in it, as with one inverted channel, it is the first of
    the loud channels, block by block and faded from one to the other. The bass channel of surround sound is left out.
    """
    return _mixed(waveform, max(1, round(MIX_BLOCK_SECONDS * sample_rate)))


def _mixed(waveform: Tensor, block: int) -> Tensor:
    if waveform.shape[1] in SURROUND_CHANNELS:
        waveform = waveform[:, [channel for channel in range(waveform.shape[1]) if channel != BASS_CHANNEL]]
    waveform = waveform.float()
    channels, samples = waveform.shape[1:]
    if channels == 1 or not samples:
        return waveform[:, 0]
    mean = waveform.mean(dim=1)
    powers = torch.stack([_block_powers(waveform[:, channel], block) for channel in range(channels)], dim=1)
    cancelled = _block_powers(mean, block) * channels**2 < CANCELLED_POWER * powers.sum(dim=1)
    if not cancelled.any():
        return mean
    loud = powers >= LOUD_POWER * powers.amax(dim=1, keepdim=True)
    chosen = loud.byte().argmax(dim=1).repeat_interleave(block, dim=1)[:, None, :samples]
    weight = functional.interpolate(cancelled.float().unsqueeze(1), scale_factor=block, mode="linear")[:, 0, :samples]
    return torch.lerp(mean, waveform.gather(1, chosen)[:, 0], weight)


def _block_powers(sound: Tensor, block: int) -> Tensor:
    """Sums of squares (batch, blocks) of a sound (batch, samples)."""
    whole = functional.pad(sound, (0, -sound.shape[-1] % block))
    return whole.unflatten(-1, (-1, block)).square().sum(dim=-1)


class SoundAtRate:
    """A sound at another sample rate, of which any stretch is made when it is asked for.

    However long the sound is, no more is held than itself and a stretch, and a stretch is what it is in the whole.

    Args:
        waveform: (1, channels, samples).
        sample_rate: its samples a second.
        new_rate: samples a second of the stretches.
        mono: mix the channels as `to_mono` does.
    """

    def __init__(self, waveform: Tensor, sample_rate: int, new_rate: int, mono: bool = True):
        self.waveform, self.sample_rate, self.new_rate, self.mono = waveform, sample_rate, new_rate, mono
        self.samples = math.ceil(Fraction(waveform.shape[-1] * new_rate, sample_rate))
        # Stretches are made of whole steps, at which samples of both rates meet.
        meeting = sample_rate // math.gcd(sample_rate, new_rate)
        self.step = meeting * max(1, round(MIX_BLOCK_SECONDS * sample_rate / meeting))
        self.new_step = self.step * new_rate // sample_rate

    def stretch(self, start: int, end: int) -> Tensor:
        """Samples (channels, end - start) at the new rate; what is beyond the sound is silence."""
        # A step more on each side: what is near the ends hears what is really beyond them.
        first = max(0, start // self.new_step - 1)
        last = -(-end // self.new_step) + 1
        given = self.waveform[0, :, first * self.step : last * self.step]
        if self.mono:
            given = _mixed(given.unsqueeze(0), self.step)
        if not given.shape[-1]:
            return given.new_zeros(len(given), end - start)
        new = torchaudio.functional.resample(given.float(), self.sample_rate, self.new_rate)
        skipped = first * self.new_step
        return fit_audio(new[:, start - skipped : self.samples - skipped], end - start)

    def pieces(self, samples: int | None = None) -> Iterator[Tensor]:
        """The first samples, or all, in stretches (channels, samples)."""
        samples = self.samples if samples is None else samples
        piece = max(1, PIECE_SAMPLES // self.new_step) * self.new_step
        for start in range(0, samples, piece):
            yield self.stretch(start, min(start + piece, samples))


def mono_at_rate(pieces: Iterable[Tensor], sample_rate: int, new_rate: int) -> Iterator[Tensor]:
    """As `SoundAtRate`, of a sound that comes in pieces (channels, samples): stretches (1, samples)."""
    held, samples, skipped = list[Tensor](), 0, 0
    for piece in pieces:
        held.append(piece)
        samples += piece.shape[-1]
        if samples < PIECE_SAMPLES:
            continue
        sound = SoundAtRate(torch.cat(held, dim=-1).unsqueeze(0), sample_rate, new_rate)
        steps = sound.waveform.shape[-1] // sound.step - 1
        if steps > skipped:
            yield sound.stretch(skipped * sound.new_step, steps * sound.new_step)
            # A step that is behind stays, so that the next stretch hears what was before it.
            held, skipped = [sound.waveform[0, :, (steps - 1) * sound.step :].clone()], 1
            samples = held[0].shape[-1]
    if held:
        sound = SoundAtRate(torch.cat(held, dim=-1).unsqueeze(0), sample_rate, new_rate)
        yield sound.stretch(skipped * sound.new_step, sound.samples)


def peak_of(pieces: Iterable[Tensor]) -> float:
    """Magnitude of the loudest sample of a sound's pieces; NaN where one of them is not a number or infinite."""
    peak = 0.0
    for piece in pieces:
        if piece.numel():
            lowest, highest = map(float, torch.aminmax(piece))
            if not math.isfinite(lowest) or not math.isfinite(highest):
                return math.nan
            peak = max(peak, -lowest, highest)
    return peak


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
