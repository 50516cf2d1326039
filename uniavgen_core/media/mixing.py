"""The sound of a video: one that is given, as long as the picture, and what lies under it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from torch import Tensor

from .beds import BED_RATE, Bed, BeddedVoice
from .loudness import PEAK_LIMIT, loudness_of, stretches_gain, stretches_peak
from .soundtrack import fade_gain, soundtrack, soundtrack_pieces
from .waveforms import PIECE_SAMPLES


class VideoSound:
    """A sound for a picture, made piece by piece.

    With beds it is stereo at 48 kHz, and brought to its loudness as a whole; without, it keeps its channels and rate,
    and each sound of a batch is brought to it.

    Args:
        waveform: (batch, channels, samples), of which those of a batch follow each other.
        sample_rate: samples a second.
        target_lufs, fade_seconds: as of `soundtrack_pieces`.
        beds: what lies under it.
    """

    def __init__(
        self,
        waveform: Tensor,
        sample_rate: int,
        target_lufs: float | None = None,
        fade_seconds: float = 0.0,
        beds: Sequence[Bed] = (),
    ):
        self.waveform, self.own_rate, self.beds = waveform, sample_rate, beds
        self.target_lufs, self.fade_seconds = target_lufs, fade_seconds
        self.sample_rate, self.channels = (BED_RATE, 2) if beds else (sample_rate, waveform.shape[1])

    def pieces(self, seconds: Fraction | float | None) -> Iterator[Tensor]:
        """Pieces (channels, samples), for so many seconds; None takes the sound's own."""
        if not self.beds:
            return soundtrack_pieces(self.waveform, self.own_rate, seconds, self.target_lufs, self.fade_seconds)
        return self._bedded(seconds)

    def whole(self, seconds: Fraction | float | None) -> Tensor:
        """All of it in one (1, channels, samples); beside it no more than a piece is held."""
        if not self.beds:
            return soundtrack(self.waveform, self.own_rate, seconds, self.target_lufs, self.fade_seconds)
        made, position = self.waveform.new_empty(1, 2, self._samples(seconds)), 0
        for piece in self._bedded(seconds):
            made[0, :, position : position + piece.shape[-1]] = piece
            position += piece.shape[-1]
        return made

    def _samples(self, seconds: Fraction | float | None) -> int:
        own = Fraction(len(self.waveform) * self.waveform.shape[-1], self.own_rate)
        return round((own if seconds is None else seconds) * BED_RATE)

    def _bedded(self, seconds: Fraction | float | None) -> Iterator[Tensor]:
        samples, voice = self._samples(seconds), self.waveform
        if len(voice) > 1:
            voice = soundtrack(voice, self.own_rate, seconds)
        mix = BeddedVoice(voice.detach().float(), self.own_rate, samples, self.beds)
        if self.target_lufs is None:
            # A sum may be louder than any of its parts, and than a file holds.
            peak = stretches_peak(mix.stretch, samples)
            gain = PEAK_LIMIT / peak if peak > 1 else 1.0
        else:
            gain = stretches_gain(mix.stretch, samples, BED_RATE, self.target_lufs)
        faded = min(round(self.fade_seconds * BED_RATE), samples // 2)
        for start in range(0, samples, PIECE_SAMPLES):
            end = min(start + PIECE_SAMPLES, samples)
            yield mix.stretch(start, end) * (gain * fade_gain(start, end, samples, faded, faded))


def describe_sound(sample_rate: int, channels: int, waveform: Tensor | None = None) -> str:
    """What a sound is, for people: channels, rate and, of a waveform (channels, samples), loudness and peak."""
    known = {1: "mono", 2: "stereo", 6: "5.1"}.get(channels, f"{channels} channels")
    said = f"{known}, {sample_rate / 1000:g} kHz"
    if waveform is None:
        return said
    lufs, peak = loudness_of(waveform, sample_rate)
    if not peak > 0:
        return f"{said}, silent"
    loud = "too short or soft for a loudness" if lufs is None else f"{lufs:.1f} LUFS"
    return f"{said}, {loud}, peak {20 * math.log10(peak):.1f} dB"
