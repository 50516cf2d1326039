"""The sound of a file, decoded as it is asked for."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import cast

import av
import torch
from av import AudioFrame, AudioResampler, AudioStream
from av.container import InputContainer
from torch import Tensor

from .container import Check, Source, audio_stream, decoded, never_stop, opened, packets_of, shown_name
from .times import PlayClock
from .waveforms import PIECE_SAMPLES, to_mono

logger = logging.getLogger(__name__)

GAP_SECONDS = Fraction(1, 10)
"""Sound that is missing for longer is silence; less is an inexact time."""
SPARE_SECONDS = 1
"""Of memory behind what a file says its length is."""
RESERVED_VALUES = 1 << 26
"""Values that memory is taken for at once at most (11 minutes of stereo), since what a file says may be wrong."""
USED_FRACTION = 0.9
"""Of a sound's memory; where less is used, the rest is given back."""


@dataclass(frozen=True)
class AudioTrack:
    """A sound that is being read."""

    sample_rate: int
    channels: int
    expected: int
    """Samples that the file says there are, or a few seconds of them."""
    pieces: Iterator[Tensor]
    """(channels, samples) each, float32, full scale = 1."""


def track_of(waveform: Tensor, sample_rate: int) -> AudioTrack:
    """A sound (1, channels, samples) in memory as a track."""
    pieces = iter(waveform[0].split(PIECE_SAMPLES, dim=-1))
    return AudioTrack(sample_rate, waveform.shape[1], waveform.shape[-1], pieces)


@dataclass(frozen=True)
class Span:
    """What is wanted of a sound, in running seconds as the file counts them."""

    start: Fraction | None = None
    """None: where the sound starts."""
    end: Fraction | None = None
    """None: where the sound ends."""
    offsets: Sequence[Fraction] = ()
    """As a `Clock` takes them."""


WHOLE = Span()


@contextmanager
def open_track(source: Source, span: Span = WHOLE, check: Check = never_stop) -> Iterator[AudioTrack | None]:
    """A file's sound, or None where there is none that can be decoded.

    Rate and channels are those of its start; what changes in the middle is brought to them. What starts late has
    silence before it, what starts early is cut; where packets are damaged or missing there is silence.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged.
    """
    with opened(source) as container:
        stream = audio_stream(container)
        if stream is None:
            yield None
            return
        frames = _frames(container, stream, check)
        first = next(frames, None)
        if first is None:
            logger.warning("%s: its sound is empty or damaged: none of it can be heard.", shown_name(container))
            yield None
            return
        placing = _Placing(first[1], span)
        placing.last = _exact_samples(container, stream, placing)
        seconds = Fraction(max(0, container.duration or 0), av.time_base) + SPARE_SECONDS
        expected = min(round(seconds * placing.rate), placing.end)
        yield AudioTrack(placing.rate, placing.channels, max(0, int(expected)), placing.pieces(chain([first], frames)))


def _frames(container: InputContainer, stream: AudioStream, check: Check) -> Iterator[tuple[Fraction, AudioFrame]]:
    """The frames that can be decoded, each with the seconds of the damaged packets before it."""
    lost, end, damaged = Fraction(0), Fraction(0), False
    for packet in packets_of(container, check, stream):
        frames = decoded(packet)
        if frames is None:
            if not damaged:
                logger.warning("%s is damaged at %.2f s: its sound is silent there.", shown_name(container), end)
            damaged = True
            lost += (packet.duration or 0) * (packet.time_base or 0)
            continue
        for frame in cast("list[AudioFrame]", frames):
            yield lost, frame
            lost, end = Fraction(0), (_time(frame) or end) + _seconds(frame)


def _time(frame: AudioFrame) -> Fraction | None:
    return None if frame.pts is None or not frame.time_base else frame.pts * frame.time_base


def _seconds(frame: AudioFrame) -> Fraction:
    return Fraction(frame.samples, frame.sample_rate)


def _exact_samples(container: InputContainer, stream: AudioStream, placing: _Placing) -> float:
    """Samples from the span's start to the sound's end, where the file says exactly where that is.

    The decoder of AAC drops the priming samples but keeps the padding of the last frame; MP4 knows its end.
    """
    if "mp4" not in container.format.name or stream.duration is None or stream.time_base is None:
        return math.inf
    return placing.first + round(stream.duration * stream.time_base * placing.rate)


class _Placing:
    """Puts frames at their times, all in the form of the first one."""

    def __init__(self, first: AudioFrame, span: Span):
        self.rate, self.channels = first.sample_rate, first.layout.nb_channels
        self.clock = PlayClock(span.offsets)
        time = _time(first) or Fraction(0)
        self.start = time if span.start is None else span.start
        self.first = round((time - self.start) * self.rate)
        """Samples from the span's start to the sound's."""
        self.end = math.inf if span.end is None else round((span.end - self.start) * self.rate)
        self.last: float = math.inf
        """Samples from the span's start to the sound's end."""
        self.position = min(0, self.first)
        """Samples from the span's start that are behind; below 0, what comes is cut."""
        self.is_timed = True
        """Whether the frames' times are to be trusted."""
        self.form = _form(first)
        self.resampler = self._resampler_of(first)

    def pieces(self, frames: Iterable[tuple[Fraction, AudioFrame]]) -> Iterator[Tensor]:
        """(channels, samples) from the span's start to its end, or to the sound's."""
        for lost, frame in frames:
            due = round((self.clock.running(_time(frame), _seconds(frame)) - self.start) * self.rate)
            gap = due - self.position
            starts = due == self.first and self.position <= 0
            # Behind a change of rate, files that have no times of their own count them wrongly.
            self.is_timed = self.is_timed and frame.sample_rate == self.rate
            late = self.is_timed and gap > GAP_SECONDS * self.rate
            silent = gap if starts or late else round(lost * self.rate)
            for first in range(0, silent, PIECE_SAMPLES):
                yield from self._within(torch.zeros(self.channels, min(PIECE_SAMPLES, silent - first)))
            yield from self._within(self._converted(frame))
            if self.position >= min(self.end, self.last):
                return
        yield from self._within(self._flushed())

    def _within(self, piece: Tensor) -> Iterator[Tensor]:
        """What of a piece is inside of the span; it is behind then."""
        start, end = max(0, -self.position), min(self.end, self.last) - self.position
        self.position += piece.shape[-1]
        wanted = piece[:, start : max(start, int(min(end, piece.shape[-1])))]
        if wanted.shape[-1]:
            yield wanted

    def _converted(self, frame: AudioFrame) -> Tensor:
        if _form(frame) == self.form:
            return self._joined(self.resampler.resample(frame))
        rest = self._flushed()
        self.form, self.resampler = _form(frame), self._resampler_of(frame)
        return torch.cat((rest, self._joined(self.resampler.resample(frame))), dim=-1)

    def _flushed(self) -> Tensor:
        return self._joined(self.resampler.resample(None))

    def _joined(self, frames: list[AudioFrame]) -> Tensor:
        pieces = [torch.from_numpy(frame.to_ndarray()) for frame in frames]
        return torch.cat([torch.zeros(self.channels, 0), *map(self._of_channels, pieces)], dim=-1)

    def _of_channels(self, piece: Tensor) -> Tensor:
        if len(piece) == self.channels:
            return piece
        return to_mono(piece.unsqueeze(0), self.rate).expand(self.channels, -1)

    def _resampler_of(self, frame: AudioFrame) -> AudioResampler:
        return AudioResampler(format="fltp", layout=frame.layout, rate=self.rate)


def _form(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def whole_track(track: AudioTrack) -> Tensor:
    """All of a track as (1, channels, samples), held once where it is short and the file says its length."""
    reserved = min(track.expected, RESERVED_VALUES // track.channels)
    held, samples = torch.empty(track.channels, reserved), 0
    for piece in track.pieces:
        end = samples + piece.shape[-1]
        if end > held.shape[-1]:
            larger = 2 * end if end > track.expected else min(2 * end, track.expected)
            held = torch.cat((held[:, :samples], held.new_empty(track.channels, larger - samples)), dim=-1)
        held[:, samples:end], samples = piece, end
    waveform = held[:, :samples]
    return (waveform.clone() if samples < USED_FRACTION * held.shape[-1] else waveform).unsqueeze(0)
