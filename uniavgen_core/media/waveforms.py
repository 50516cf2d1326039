"""Sound as a tensor: of one channel, of a rate, of a length."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

import torch
import torchaudio
from einops import rearrange
from torch import Tensor
from torch.nn import functional

MIX_BLOCK_SECONDS = 0.05
"""Whether channels cancel each other is asked of so long a block."""
CANCELLED_POWER = 0.25
"""A mean whose power is below this fraction of what the channels would have, were they unlike, has lost something."""
LOUD_POWER = 0.1
"""A channel is loud that has this fraction of the loudest one's power."""
BASS_CHANNEL = 3
"""Of 5.1 and 7.1 sound, in the order of WAVE files. It is not mixed (ITU-R BS.775)."""
SURROUND_CHANNELS = (6, 8)
SIDE = 0.5**0.5
"""Weight that a channel beside the front ones has of a mix to stereo (ITU-R BS.775)."""
LEFT_WEIGHTS = {
    3: (1, 0, SIDE),
    4: (1, 0, SIDE, 0),
    5: (1, 0, SIDE, SIDE, 0),
    6: (1, 0, SIDE, SIDE, SIDE, 0),
    7: (1, 0, SIDE, SIDE, 0, SIDE, 0),
    8: (1, 0, SIDE, SIDE, SIDE, 0, SIDE, 0),
}
"""Weights that the channels of 3.0, quad, 5.0, 5.1, 7.0 and 7.1 have of the left one of stereo, before scaling."""
RIGHT_WEIGHTS = {
    3: (0, 1, SIDE),
    4: (0, 1, 0, SIDE),
    5: (0, 1, SIDE, 0, SIDE),
    6: (0, 1, SIDE, SIDE, 0, SIDE),
    7: (0, 1, SIDE, 0, SIDE, 0, SIDE),
    8: (0, 1, SIDE, SIDE, 0, SIDE, 0, SIDE),
}
PIECE_SAMPLES = 1 << 20
"""Samples of a channel that are worked on at a time."""


def to_mono(waveform: Tensor, sample_rate: int) -> Tensor:
    """Mix a sound (batch, channels, samples) to (batch, samples), float32, in such a way that no voice is cancelled.

    The mix is the channels' mean. Where they cancel each other in it, as with one inverted channel, it is the first of
    the loud channels, block by block and faded from one to the other. The bass channel of surround sound is left out,
    but where it is the only loud one: then it is no bass.
    """
    return mixed(waveform, sample_rate, 1)[:, 0]


def mixed(waveform: Tensor, sample_rate: int, channels: int) -> Tensor:
    """Mix a sound (batch, any channels, samples) to (batch, channels, samples), float32.

    Each channel is a weighted mean, so that nothing gets louder than it is, and otherwise as `to_mono` says.

    Args:
        channels: as many as there are, or 1, or 2 for those of `LEFT_PARTS`.
    """
    return _mixed(waveform, max(1, round(MIX_BLOCK_SECONDS * sample_rate)), channels)


def _mixed(waveform: Tensor, block: int, channels: int) -> Tensor:
    waveform, count = waveform.float(), waveform.shape[1]
    if count == channels or not waveform.shape[-1]:
        return waveform[:, :channels]
    powers = torch.stack([_block_powers(waveform[:, channel], block) for channel in range(count)], dim=1)
    rows = [[1.0] * count] if channels == 1 else [LEFT_WEIGHTS[count], RIGHT_WEIGHTS[count]]
    return torch.stack([_mean(waveform, powers, powers.new_tensor(row), block) for row in rows], dim=1)


def _mean(waveform: Tensor, powers: Tensor, channel_weights: Tensor, block: int) -> Tensor:
    """The channels' mean (batch, samples) by their weights, in which they do not cancel each other."""
    weights = channel_weights[:, None] * ~_left_out(powers)
    weights = weights / weights.sum(dim=1, keepdim=True)
    shares = weights.square() * powers
    mean = _weighted(waveform, weights, block)
    cancelled = _block_powers(mean, block) < CANCELLED_POWER * shares.sum(dim=1)
    chosen = (shares >= LOUD_POWER * shares.amax(dim=1, keepdim=True)).byte().argmax(dim=1)
    only = functional.one_hot(chosen, len(channel_weights)).movedim(-1, 1).to(weights)
    changed = torch.where(cancelled[:, None], only, weights)
    if torch.equal(changed, weights[..., :1].expand_as(weights)):
        return mean
    return _weighted(waveform, changed, block, faded=True)


def _left_out(powers: Tensor) -> Tensor:
    """Which channels are not in a mix, as `powers` (batch, channels, blocks): that of bass, where it is one."""
    left_out = torch.zeros_like(powers, dtype=torch.bool)
    if powers.shape[1] in SURROUND_CHANNELS:
        left_out[:, BASS_CHANNEL] = ~_is_alone(powers)
    return left_out


def _is_alone(powers: Tensor) -> Tensor:
    """Whether only the bass channel is loud, of powers (batch, channels, …)."""
    others = [channel for channel in range(powers.shape[1]) if channel != BASS_CHANNEL]
    return powers[:, others].amax(dim=1) < LOUD_POWER * powers[:, BASS_CHANNEL]


def is_bass_alone(waveform: Tensor) -> bool:
    """Whether the bass channel of surround sound (channels, samples) is the only loud one: then it is no bass."""
    powers = sum(piece.square().sum(dim=-1) for piece in waveform.split(PIECE_SAMPLES, dim=-1))
    return bool(_is_alone(torch.as_tensor(powers)[None, :, None]))


def _weighted(waveform: Tensor, weights: Tensor, block: int, faded: bool = False) -> Tensor:
    """Sum (batch, samples) of the channels by weights (batch, channels, blocks), faded from block to block or not."""
    total = torch.zeros_like(waveform[:, 0])
    for channel in range(waveform.shape[1]):
        weight = weights[:, channel]
        if faded:
            weight = functional.interpolate(weight.unsqueeze(1), scale_factor=block, mode="linear")[:, 0]
        else:
            weight = weight.repeat_interleave(block, dim=1)
        total.addcmul_(waveform[:, channel], weight[:, : waveform.shape[-1]])
    return total


def _block_powers(waveform: Tensor, block: int) -> Tensor:
    """Sums of squares (batch, blocks) of a sound (batch, samples)."""
    whole = functional.pad(waveform, (0, -waveform.shape[-1] % block))
    return whole.unflatten(-1, (-1, block)).square().sum(dim=-1)


class ResampledWaveform:
    """A sound at another sample rate, of which any stretch is made when it is asked for.

    However long the sound is, no more is held than itself and a stretch, and a stretch is what it is in the whole.

    Args:
        waveform: (1, channels, samples).
        sample_rate: its samples a second.
        new_rate: samples a second of the stretches.
        channels: of the stretches, as `mixed` makes them.
    """

    def __init__(self, waveform: Tensor, sample_rate: int, new_rate: int, channels: int = 1):
        self.waveform, self.sample_rate, self.new_rate, self.channels = waveform, sample_rate, new_rate, channels
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
        mix = _mixed(self.waveform[:, :, first * self.step : last * self.step], self.step, self.channels)[0]
        if not mix.shape[-1]:
            return mix.new_zeros(len(mix), end - start)
        new = torchaudio.functional.resample(mix, self.sample_rate, self.new_rate)
        skipped = first * self.new_step
        return fit_audio(new[:, start - skipped : self.samples - skipped], end - start)

    def pieces(self, samples: int | None = None) -> Iterator[Tensor]:
        """The first samples, or all, in stretches (channels, samples)."""
        samples = self.samples if samples is None else samples
        piece = max(1, PIECE_SAMPLES // self.new_step) * self.new_step
        for start in range(0, samples, piece):
            yield self.stretch(start, min(start + piece, samples))


def mono_at_rate(pieces: Iterable[Tensor], sample_rate: int, new_rate: int) -> Iterator[Tensor]:
    """As `at_rate`, of one channel."""
    return at_rate(pieces, sample_rate, new_rate, 1)


def at_rate(pieces: Iterable[Tensor], sample_rate: int, new_rate: int, channels: int) -> Iterator[Tensor]:
    """As `ResampledWaveform`, of what comes in pieces (any channels, samples): stretches (channels, samples)."""
    held, samples, skipped = list[Tensor](), 0, 0
    for piece in pieces:
        held.append(piece)
        samples += piece.shape[-1]
        if samples < PIECE_SAMPLES:
            continue
        resampled = ResampledWaveform(torch.cat(held, dim=-1).unsqueeze(0), sample_rate, new_rate, channels)
        steps = resampled.waveform.shape[-1] // resampled.step - 1
        if steps > skipped:
            yield resampled.stretch(skipped * resampled.new_step, steps * resampled.new_step)
            # A step that is behind stays, so that the next stretch hears what was before it.
            held, skipped = [resampled.waveform[0, :, (steps - 1) * resampled.step :].clone()], 1
            samples = held[0].shape[-1]
    if held:
        resampled = ResampledWaveform(torch.cat(held, dim=-1).unsqueeze(0), sample_rate, new_rate, channels)
        yield resampled.stretch(skipped * resampled.new_step, resampled.samples)


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
    """Cut a waveform (…, samples) at its end, or pad it with silence there, to that many samples.

    What is not padded is not copied.
    """
    if samples <= waveform.shape[-1]:
        return waveform[..., :samples]
    return functional.pad(waveform, (0, samples - waveform.shape[-1]))


def fitted_pieces(pieces: Iterable[Tensor], samples: int) -> Iterator[Tensor]:
    """As `fit_audio`, of a sound in pieces (channels, samples), of which there is one at least."""
    missing = samples
    channels = 1
    for piece in pieces:
        channels = len(piece)
        if missing > 0:
            yield piece[:, :missing]
        missing -= piece.shape[-1]
    for start in range(0, missing, PIECE_SAMPLES):
        yield torch.zeros(channels, min(PIECE_SAMPLES, missing - start))


def in_turn(waveforms: Tensor, pause: int) -> tuple[Tensor, list[int]]:
    """Sounds (batch, channels, samples) one after the other, (1, channels, samples), and where each begins.

    Args:
        pause: samples of silence between two of them.
    """
    step = waveforms.shape[-1] + pause
    together = rearrange(functional.pad(waveforms, (0, pause)), "b c n -> 1 c (b n)")
    return together[..., : together.shape[-1] - pause], [step * index for index in range(len(waveforms))]
