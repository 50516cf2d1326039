"""Videos, in a file or in memory: both are asked for frames by the times at which they are shown."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from functools import cached_property
from itertools import chain
from typing import cast

import av
from av import VideoFrame, VideoStream
from av.container import InputContainer
from torch import Tensor

from ..config import FRAME_RATE
from .container import (
    SEEKING_SECONDS,
    Check,
    Source,
    decoded,
    first_frame,
    never_stop,
    opened,
    packets_of,
    raw_time,
    sought,
    source_name,
    times_by_decoding,
    video_stream,
)
from .frames import Look, stacked
from .images import crop_and_resize, to_rgb
from .times import PlayClock, video_times
from .track import AudioTrack, Span, open_track, track_of, whole_track

logger = logging.getLogger(__name__)

CUT_OFF_SECONDS = Fraction(1, 2)
"""A file that ends so much earlier than it says is cut off."""
DECODING_THREADS = 4
"""Each holds a frame."""


def shown_at(index: int, rate: Fraction | int = FRAME_RATE) -> Fraction:
    """Second at which a frame of so many a second is on the screen, whatever else is: the rule for all frames.

    It is the middle of the frame's time, because times that are rounded, as to milliseconds, would now and then show
    the frame before at a start.
    """
    return (index + Fraction(1, 2)) / rate


def frame_shown(index: int, frame_rate: Fraction | float) -> int:
    """Which frame at a rate is shown in the index-th sixteenth of a second."""
    return int(shown_at(index) * Fraction(frame_rate))


def frames_shown(count: int, frame_rate: Fraction | float) -> list[int]:
    """Which of so many frames at a rate is shown in each sixteenth of a second.

    Raises:
        ValueError: the frame rate is not positive.
    """
    if frame_rate <= 0:
        raise ValueError(f"frame_rate is {float(frame_rate):g}: give the frames a second that the pictures have.")
    wanted = frame_count(count / Fraction(frame_rate))
    return [min(count - 1, frame_shown(index, frame_rate)) for index in range(wanted)]


def frame_count(seconds: Fraction, rate: Fraction | int = FRAME_RATE) -> int:
    """Frames at a rate that last as long as a picture, one at least."""
    return max(1, round(seconds * rate))


class Video(ABC):
    """Frames with their times, and the audio that goes with them. The first frame is shown at second 0."""

    seconds: Fraction
    """How long the pictures are shown."""
    size: tuple[int, int]
    """Width and height in pixels, as they are shown."""

    @property
    def frames(self) -> int:
        """How many frames it has at the model's rate."""
        return frame_count(self.seconds)

    @abstractmethod
    def images(self, width: int, height: int, first: int = 0, last: int | None = None) -> Iterator[Tensor]:
        """Frames at 16 a second, cropped and resized to (height, width, 3), one at a time.

        Each is the one that `shown_at` says. They are uint8, or of floats 0..1.

        Args:
            first, last: which ones, as of a slice; None is to the end.
        """

    @property
    @abstractmethod
    def rate(self) -> Fraction:
        """Frames a second, on average where they are uneven."""

    @property
    def own_frames(self) -> int:
        """How many frames `own_images` gives, as far as nothing is damaged."""
        return frame_count(self.seconds, self.rate)

    @abstractmethod
    def own_images(self) -> Iterator[Tensor]:
        """As `images`, of its own size and at even times, as many a second as its rate."""

    @abstractmethod
    def track(self) -> AbstractContextManager[AudioTrack | None]:
        """The sound from the first frame on, or None."""

    @abstractmethod
    def parts(self) -> tuple[Tensor, Fraction, tuple[Tensor, int] | None]:
        """All frames (F, H, W, channels) of values 0..1 at even times, how many a second, and the sound."""


class VideoInMemory(Video):
    """Frames (F, H, W, channels) of values 0..1 at a rate, and a sound (1, channels, samples) that starts with them.

    Raises:
        ValueError: the frame rate is not positive.
    """

    def __init__(self, frames: Tensor, frame_rate: Fraction | float, audio: tuple[Tensor, int] | None = None):
        self.stored, self.shown, self.audio = frames, frames_shown(len(frames), frame_rate), audio
        self.frame_rate = Fraction(frame_rate)
        self.seconds = len(frames) / self.frame_rate
        self.size = frames.shape[2], frames.shape[1]

    @property
    def rate(self) -> Fraction:
        return self.frame_rate

    def own_images(self) -> Iterator[Tensor]:
        yield from map(to_rgb, self.stored)

    def images(self, width: int, height: int, first: int = 0, last: int | None = None) -> Iterator[Tensor]:
        for index in self.shown[first:last]:
            yield crop_and_resize(to_rgb(self.stored[index : index + 1]), width, height)[0]

    def track(self) -> AbstractContextManager[AudioTrack | None]:
        return nullcontext(None if self.audio is None else track_of(*self.audio))

    def parts(self) -> tuple[Tensor, Fraction, tuple[Tensor, int] | None]:
        """The frames as they are."""
        return self.stored, self.rate, self.audio


class VideoFile(Video):
    """A video file, or a part of it.

    It is read as far as it goes; warnings say what is damaged, and how far it goes.

    Args:
        start: second from which it is wanted.
        seconds: how much is wanted; 0 is all.
        check: is called again and again while the file is read; it may raise to stop that.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, has no picture, or ends before the start.
    """

    def __init__(self, source: Source, start: float = 0.0, seconds: float = 0.0, check: Check = never_stop):
        self.source, self.check = source, check
        self.warned = set[str]()
        self.times = times = video_times(source, check)
        if times.missing > CUT_OFF_SECONDS and len(times.offsets) < 2:
            logger.warning(
                "%s is damaged or cut off at %.2f s of %.2f: it is read up to there.",
                source_name(source), times.seconds, times.seconds + times.missing,
            )  # fmt: skip
        self.first, self.size = self._first_shown()
        late = times.late(self.first)
        if late:
            logger.warning(
                "%s does not start with a whole frame: its first %.2f s cannot be shown.", source_name(source), late
            )
        lasts = times.seconds - late
        self.start = Fraction(start).limit_denominator(av.time_base)
        rest = lasts - self.start
        if rest <= 0:
            raise ValueError(
                f"{source_name(source)} lasts {float(lasts):.2f} s, but is wanted from {start:.2f} s on: trim less."
            )
        self.trimmed = bool(seconds) and seconds < rest
        self.seconds = Fraction(seconds).limit_denominator(av.time_base) if self.trimmed else rest

    def _first_shown(self) -> tuple[Fraction, tuple[int, int]]:
        """When the first frame is shown, in seconds as the file counts them, and its size."""
        with first_frame(self.source, self.check) as (time, frame, stream):
            return time or Fraction(0), Look.of(stream).size(frame)

    def images(self, width: int, height: int, first: int = 0, last: int | None = None) -> Iterator[Tensor]:
        last = self.frames if last is None else min(last, self.frames)
        return self._at_rate(Fraction(FRAME_RATE), (width, height), first, last)

    @property
    def rate(self) -> Fraction:
        return self.times.rate

    def own_images(self) -> Iterator[Tensor]:
        return self._at_rate(self.times.rate, self.size, 0, self.own_frames)

    def parts(self) -> tuple[Tensor, Fraction, tuple[Tensor, int] | None]:
        """As many frames a second as the file has on average."""
        frames = stacked(self.own_images(), self.own_frames)
        with self.track() as track:
            audio = None if track is None else (whole_track(track), track.sample_rate)
        return frames, self.times.rate, audio

    def track(self) -> AbstractContextManager[AudioTrack | None]:
        start = self.first + self.start
        span = Span(start, start + self.seconds if self.trimmed else None, self.times.offsets)
        return open_track(self.source, span, self.check)

    def _at_rate(self, rate: Fraction, size: tuple[int, int], first: int, last: int) -> Iterator[Tensor]:
        """Frames first to last of those at a rate: each is the one that `shown_at` says."""

        def time_of(index: int) -> Fraction:
            return self.start + shown_at(index, rate)

        index, shown = first, None
        for time, following in self._shown_from(time_of(first), size):
            while shown is not None and index < last and time_of(index) < time:
                yield shown.pixels
                index += 1
            if index >= last:
                return
            if following is None and shown is not None and index == first:
                yield shown.pixels
            shown = following

    def _shown_from(self, time: Fraction, size: tuple[int, int]) -> Iterator[tuple[Fraction | float, _Shown | None]]:
        """Frames with the second at which they appear, from one at or before a second on, and when the last one goes.

        Where the file cannot be sought in, they are decoded from its start.
        """
        start = self.first
        for seeking in (True, False) if self._is_worth_seeking(time) else (False,):
            with opened(self.source) as container:
                stream = video_stream(container)
                if seeking and not sought(container, stream, start + time):
                    continue
                frames = self._decoded(container, stream)
                head = next(frames)
                if seeking and (head[1] is None or head[0] > start + time):
                    continue
                for shown, frame in chain([head], frames):
                    yield shown - start, None if frame is None else _Shown(frame, Look.of(stream), size)
                return

    def _is_worth_seeking(self, time: Fraction) -> bool:
        return time > SEEKING_SECONDS and len(self.times.offsets) == 1

    def _decoded(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[tuple[Fraction | float, VideoFrame | None]]:
        """Frames with their running time, in seconds as the file counts them, and the time at which the last one goes.

        The last one stays, unless frames behind it cannot be decoded.
        """
        if not times_by_decoding(container):
            stream.thread_type, stream.codec_context.thread_count = "AUTO", DECODING_THREADS
        clock, size = PlayClock(self.times.offsets, math.inf), None
        for packet in packets_of(container, self.check, stream, is_known=True):
            frames = decoded(packet)
            if frames is None:
                self._warn(clock, "is damaged at {}: what cannot be decoded is left out.")
            for frame in cast("list[VideoFrame]", frames or []):
                if size not in (None, (frame.width, frame.height)):
                    self._warn(clock, "changes its size at {}: all of it is cropped to one size.")
                size = frame.width, frame.height
                yield clock.running(raw_time(container, frame), self.times.step), frame
        if clock.last is not None and self.times.last - clock.last > CUT_OFF_SECONDS:
            self._warn(clock, "is damaged at {}: its picture is read up to there.")
            yield clock.end, None
        yield math.inf, None

    def _warn(self, clock: PlayClock, sentence: str) -> None:
        """Say it once of a file, where it is met first."""
        if sentence in self.warned:
            return
        self.warned.add(sentence)
        seconds = max(Fraction(0), clock.end - self.first)
        logger.warning("%s %s", source_name(self.source), sentence.format(f"{float(seconds):.2f} s"))


class _Shown:
    """A frame that is on the screen; its pixels are made once, where they are wanted."""

    def __init__(self, frame: VideoFrame, look: Look, size: tuple[int, int]):
        self.frame, self.look, self.size = frame, look, size

    @cached_property
    def pixels(self) -> Tensor:
        return self.look.pixels(self.frame, *self.size)
