"""A bed of sound under a voice: music, or the ambience of a place, as loud and as long as it should be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from .loudness import Stretches
from .soundtrack import fade_gain
from .waveforms import LEFT_WEIGHTS, PIECE_SAMPLES, ResampledWaveform

BED_RATE = 48_000
"""Samples a second of a voice with beds, in stereo."""
LOOP_SECONDS = 0.05
"""In which the end of a bed goes over into its start, where it is repeated."""
SHORTEST_LOOP_SECONDS = 0.5
LEVELS_A_SECOND = 100
LEVEL_SAMPLES = BED_RATE // LEVELS_A_SECOND
VOICE_BELOW_DB, FAINTEST_DB = 30.0, -60.0
"""So far below its loud parts a voice still counts as one, and no softer sound does."""
LOUD_QUANTILE = 0.95
HOLD_SECONDS = 0.3
"""A bed stays down for so long after the voice: between two words it does not come up."""
SETTLED = 3.0
"""Time constants after which a gain is where it should be, to a twentieth."""


@dataclass(frozen=True)
class Bed:
    """A sound that lies under a voice.

    Args:
        waveform: (1, channels, samples), full scale = 1.
        sample_rate: samples a second.
        gain_db: how much louder it is made.
        duck_db: by how much it goes down where the voice is heard.
        attack, release: seconds in which it goes down, before the voice sets in, and comes up again.
        fade_in, fade_out: seconds in which it comes up at the start of the whole, and goes down at the end.
        loops: whether it is repeated where it is shorter; else it ends.

    Raises:
        ValueError: it is too short to be repeated.
    """

    waveform: Tensor
    sample_rate: int
    gain_db: float = -12.0
    duck_db: float = 12.0
    attack: float = 0.2
    release: float = 0.8
    fade_in: float = 0.5
    fade_out: float = 1.5
    loops: bool = True

    def __post_init__(self) -> None:
        seconds = self.waveform.shape[-1] / self.sample_rate
        if self.loops and seconds < SHORTEST_LOOP_SECONDS:
            raise ValueError(
                f"The bed lasts {seconds:.2f} seconds, too short to be repeated: give one of {SHORTEST_LOOP_SECONDS} "
                "seconds at least, or turn loop of UniAVGen Sound Bed off."
            )


def stereo(waveform: Tensor, sample_rate: int) -> Stretches:
    """Any stretch of a sound (1, any channels, samples) as stereo at 48 kHz, without holding more than that."""
    channels = 2 if waveform.shape[1] == 2 or waveform.shape[1] in LEFT_WEIGHTS else 1
    resampled = ResampledWaveform(waveform, sample_rate, BED_RATE, channels)
    return lambda start, end: resampled.stretch(start, end).expand(2, -1)


class LaidBed:
    """A bed under a voice of so many samples at 48 kHz, before it makes room for the voice."""

    def __init__(self, bed: Bed, samples: int):
        self.bed, self.samples = bed, samples
        self.sound = stereo(bed.waveform, bed.sample_rate)
        self.length = math.ceil(Fraction(bed.waveform.shape[-1] * BED_RATE, bed.sample_rate))
        self.overlap = round(LOOP_SECONDS * BED_RATE) if bed.loops and self.length < samples else 0
        self.gain = 10 ** (bed.gain_db / 20)
        # Half of a short sound at most.
        self.fades = [min(round(fade * BED_RATE), samples // 2) for fade in (bed.fade_in, bed.fade_out)]

    def stretch(self, start: int, end: int) -> Tensor:
        """Samples (2, end - start)."""
        step, made = max(1, self.length - self.overlap), torch.zeros(2, end - start)
        last = (end - 1) // step if self.bed.loops else 0
        for repeat in range(max(0, (start - self.length) // step), last + 1):
            offset = repeat * step
            first, beyond = max(start, offset), min(end, offset + self.length)
            if first < beyond:
                made[:, first - start : beyond - start] += self._repeat(repeat, first - offset, beyond - offset)
        return made * (self.gain * fade_gain(start, end, self.samples, *self.fades))

    def _repeat(self, repeat: int, start: int, end: int) -> Tensor:
        """A stretch of a repeat of the bed, which goes over into the next. Powers add up: the ends are unlike."""
        part = self.sound(start, end)
        if not self.overlap:
            return part
        return part * fade_gain(start, end, self.length, self.overlap if repeat else 0, self.overlap).sqrt()


class Ducking:
    """How far beds go down for a voice: an envelope that follows it, from levels of a hundredth of a second.

    Args:
        levels: of the voice in decibels, as `voice_levels` gives them.
    """

    def __init__(self, levels: Tensor, bed: Bed):
        ahead, held = (round(seconds * LEVELS_A_SECOND) for seconds in (bed.attack, HOLD_SECONDS))
        audible = levels[levels > FAINTEST_DB]
        loud = float(audible.quantile(LOUD_QUANTILE)) if len(audible) else math.inf
        is_voice = (levels > max(FAINTEST_DB, loud - VOICE_BELOW_DB)).float()
        # Down from a moment before the voice until a moment after it.
        around = functional.pad(is_voice[None, None], (held, ahead))
        wanted = functional.max_pool1d(around, held + ahead + 1, stride=1)[0, 0]
        self.envelope = -bed.duck_db * _followed(wanted, bed.attack, bed.release)

    def gain(self, start: int, end: int) -> Tensor:
        """Gain (samples) of a stretch at 48 kHz, from level to level in straight lines of decibels."""
        index = torch.arange(start, end, dtype=torch.float64)
        place = ((index + 0.5) / LEVEL_SAMPLES - 0.5).clamp(0, len(self.envelope) - 1)
        before = place.long().clamp(max=max(0, len(self.envelope) - 2))
        after = (before + 1).clamp(max=len(self.envelope) - 1)
        decibels = torch.lerp(self.envelope[before], self.envelope[after], (place - before).float())
        return torch.pow(10.0, decibels / 20)


def _followed(wanted: Tensor, attack: float, release: float) -> Tensor:
    """What follows values of 0 and 1, a hundred a second, upwards within one time and downwards within another."""
    up, down = (
        1 - math.exp(-SETTLED / (seconds * LEVELS_A_SECOND)) if seconds else 1.0 for seconds in (attack, release)
    )
    level, followed = 0.0, list[float]()
    for value in wanted.tolist():
        level += (value - level) * (up if value > level else down)
        followed.append(level)
    return torch.tensor(followed)


def voice_levels(voice: Stretches, samples: int) -> Tensor:
    """Levels in decibels of each hundredth of a second of a voice of so many samples at 48 kHz."""
    step = PIECE_SAMPLES // LEVEL_SAMPLES * LEVEL_SAMPLES
    whole = -(-samples // LEVEL_SAMPLES) * LEVEL_SAMPLES
    powers = [
        voice(start, min(start + step, whole)).square().mean(dim=0).unflatten(0, (-1, LEVEL_SAMPLES)).mean(dim=-1)
        for start in range(0, whole, step)
    ]
    return 10 * torch.cat([*powers, torch.zeros(0 if powers else 1)]).clamp_min(1e-12).log10()


class BeddedVoice:
    """A voice with beds under it, in stereo at 48 kHz, of which any stretch is made when it is asked for.

    Args:
        waveform: the voice (1, channels, samples), full scale = 1.
        sample_rate: its samples a second.
        samples: how long the whole gets, at 48 kHz: the voice is cut, or followed by the beds alone.
    """

    def __init__(self, waveform: Tensor, sample_rate: int, samples: int, beds: Sequence[Bed]):
        self.samples, self.voice = samples, stereo(waveform, sample_rate)
        levels = voice_levels(self.voice, samples)
        self.beds = [(LaidBed(bed, samples), Ducking(levels, bed)) for bed in beds]

    def stretch(self, start: int, end: int) -> Tensor:
        """Samples (2, end - start); what is beyond the whole is silence."""
        first, beyond = max(0, start), min(end, self.samples)
        if first >= beyond:
            return torch.zeros(2, end - start)
        made = self.voice(first, beyond).clone()
        for bed, ducking in self.beds:
            made += bed.stretch(first, beyond) * ducking.gain(first, beyond)
        return functional.pad(made, (first - start, end - beyond))
