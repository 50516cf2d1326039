"""Media files: opened, read as far as they go, and the times of what they hold."""

from __future__ import annotations

import io
import logging
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median_low
from typing import BinaryIO, Literal, TypeAlias, cast

import av
from av import AudioFrame, AudioStream, Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.stream import Disposition, Stream

logger = logging.getLogger(__name__)

Source: TypeAlias = str | os.PathLike[str] | BinaryIO
"""What can be read: a path, or an open file that can seek."""
Check: TypeAlias = Callable[[], None]
"""Is called again and again while a file is read; it may raise to stop that."""
LONGEST_STILL_SECONDS = 60
"""Where nothing at all comes for longer, times are wrong, unless a file tells lengths and not times, as MP4 does."""
LONGEST_SILENCE_SECONDS = 3600
"""A sound that is missing for longer has a wrong time."""
ANEW_SECONDS = Fraction(1, 5)
"""Times that go back by more than this start anew; less is a fault of one time."""
WRONG_RATE = 0.1
"""A rate that is said is not believed where it is off by more than this fraction."""
SEEKING_SECONDS = 2
"""What is farther than this from the start is sought, not decoded to."""
LARGEST_DENOMINATOR = 65_535
"""Of a frame rate."""


def never_stop() -> None:
    """The check of what need not be stopped."""


def name_of(source: Source) -> str:
    """What a file is called in a sentence."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "The given video"))


@contextmanager
def opened(source: Source) -> Iterator[InputContainer]:
    """Open a media file for reading; libav's own error becomes a sentence about the file."""
    name = name_of(source)
    file: str | BinaryIO = name
    if isinstance(source, str | os.PathLike):
        if not os.path.isfile(name):
            raise FileNotFoundError(f"{name}: there is no such media file.")
        if not os.path.getsize(name):
            raise ValueError(f"{name} is empty: it has no bytes. Copy or download it again.")
    elif isinstance(source, io.BytesIO):
        # Of its own, because it may be read in two places at once; the bytes are shared.
        file = io.BytesIO(source.getvalue())
    else:
        source.seek(0)
        file = source
    try:
        container = av.open(file, "r", metadata_errors="replace")
    except PermissionError as error:
        raise ValueError(
            f"{name} may not be read by ComfyUI ({error.strerror}). Allow it to read the file, or copy the file into "
            "ComfyUI's input folder."
        ) from error
    except av.FFmpegError as error:
        raise ValueError(
            f"{name} is damaged or not a sound or video file ({error.strerror}). Copy or record it again, or convert "
            "it to MP4."
        ) from error
    with container:
        try:
            yield container
        finally:
            _rest(container)


def _rest(container: InputContainer) -> None:
    """Wait for the threads of decoders that were left half-way.

    Closing a file holds Python's lock; a thread that has something to log waits for that lock, and both for ever.
    Flushing lets go of it.
    """
    for stream in container.streams:
        if isinstance(stream, VideoStream) and stream.codec_context is not None and stream.codec_context.is_open:
            stream.codec_context.flush_buffers()


def sound_stream(container: InputContainer) -> AudioStream | None:
    """The sound track that is heard: the best one whose form FFmpeg knows, or None."""
    tracks = _by_preference(container, "audio")
    known = [track for track in tracks if track.codec_context is not None]
    if len(known) < len(tracks):
        heard = f"track {known[0].index} is heard" if known else "it is not heard"
        logger.warning("%s has sound in a form that FFmpeg does not know: %s.", shown_name(container), heard)
    return cast(AudioStream, known[0]) if known else None


def picture_stream(container: InputContainer) -> VideoStream:
    """The picture that is shown.

    Raises:
        ValueError: there is none, or FFmpeg does not know it.
    """
    name = shown_name(container)
    tracks = picture_tracks(container)
    if not tracks:
        raise ValueError(f"{name} has no picture.")
    known = [track for track in tracks if track.codec_context is not None]
    if not known:
        raise ValueError(f"{name}: its picture is in a form that FFmpeg does not know. Convert it to MP4 with H.264.")
    return cast(VideoStream, known[0])


def picture_tracks(container: InputContainer) -> list[Stream]:
    """The pictures of a file, the best one first; the cover of a sound file is a video track, but no picture."""
    return [t for t in _by_preference(container, "video") if not t.disposition & Disposition.attached_pic]


def _by_preference(container: InputContainer, kind: Literal["audio", "video"]) -> list[Stream]:
    best = container.streams.best(kind)
    tracks = [track for track in container.streams if track.type == kind]
    return sorted(tracks, key=lambda track: track is not best)


def said_rate(stream: VideoStream) -> Fraction | None:
    """Frames a second, as the file says or as PyAV guesses."""
    return stream.average_rate or stream.guessed_rate


def shown_name(container: InputContainer) -> str:
    """What an open file is called in a sentence."""
    return container.name or "The given video"


def packets_of(container: InputContainer, check: Check, *streams: Stream, was_told: bool = False) -> Iterator[Packet]:
    """The packets of streams as far as the file can be read, the empty ones at the end included.

    Args:
        was_told: whether the user knows how far that is.
    """
    packets = container.demux(*streams)
    while True:
        check()
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            if not was_told:
                logger.warning("%s is damaged (%s): it is read up to there.", shown_name(container), error.strerror)
            return
        except IndexError:
            # At the end PyAV turns to streams, too, that appeared in the middle and that it does not have.
            return
        if packet is None:
            return
        yield packet


def decoded(packet: Packet) -> list[VideoFrame] | list[AudioFrame] | None:
    """The frames that a packet completes, or None where it is damaged."""
    try:
        return packet.decode()
    except av.FFmpegError:
        return None


def times_by_decoding(container: InputContainer) -> bool:
    """Whether a file has no times at which frames are shown, only the order in which they are decoded."""
    return container.format.name == "avi"


def raw_time(container: InputContainer, frame: VideoFrame) -> Fraction | None:
    """When a frame is shown, in seconds as the file counts them."""
    ticks = frame.dts if times_by_decoding(container) else frame.pts
    return None if ticks is None or frame.time_base is None else ticks * frame.time_base


def sought(container: InputContainer, stream: VideoStream, time: Fraction) -> bool:
    """Whether a file can be sought in, to the last frame before a time that needs no other one."""
    try:
        container.seek(int(time / (stream.time_base or Fraction(1, av.time_base))), stream=stream)
    except av.FFmpegError:
        return False
    return True


class Clock:
    """The running time of a stream whose times may start anew in the middle, as where files are glued together.

    They start anew where they go back. Where they go on by more than a still, they do only if the picture did so, too;
    else nothing came for so long.

    Args:
        offsets: what is added to the file's times for each time that the picture's have started anew; what is missing
            follows from the stream itself, which goes on at once.
        longest: seconds for which nothing may come.
    """

    def __init__(self, offsets: Sequence[Fraction] = (), longest: float = LONGEST_SILENCE_SECONDS):
        self.offsets, self.longest, self.anew = offsets, longest, 0
        self.offset = Fraction(0)
        self.last: Fraction | None = None
        self.end = Fraction(0)

    def running(self, time: Fraction | None, duration: Fraction) -> Fraction:
        """The running time of the next frame, in the file's seconds until they start anew."""
        if time is None:
            now = self.end
        elif self.last is None:
            now = time
        else:
            now = time + self.offset
            if now < self.last - ANEW_SECONDS or now > self.end + LONGEST_STILL_SECONDS:
                self._start_anew(time, self.last - ANEW_SECONDS)
                now = time + self.offset
            now = max(now, self.last)
        self.last, self.end = now, now + duration
        return now

    def _start_anew(self, time: Fraction, earliest: Fraction) -> None:
        """Take the offset with which a time follows the soonest, the one of now among them."""
        ahead = [(self.offset, self.anew)]
        ahead += [(self.offsets[index], index) for index in range(self.anew + 1, len(self.offsets))]
        possible = [told for told in ahead if earliest <= time + told[0] <= self.end + self.longest]
        self.offset, self.anew = min(possible, default=(self.end - time, self.anew))


@dataclass(frozen=True)
class PictureTimes:
    """When a file's frames are shown, as its packets tell."""

    frames: int
    seconds: Fraction
    """How long they are shown all together."""
    rate: Fraction
    """Frames a second on average."""
    step: Fraction
    """Seconds from frame to frame, mostly."""
    first: Fraction
    """Running time at which the first frame appears, in seconds as the file counts them."""
    shown: Sequence[int]
    """Ticks of running time at which frames appear, in their order, from 0 on."""
    base: Fraction
    """Seconds of a tick."""
    offsets: tuple[Fraction, ...]
    """What a `Clock` adds to the file's times for each time that they have started anew."""
    missing: Fraction
    """Seconds by which picture and sound end earlier than the file says."""
    is_exact: bool
    """Whether a decoded frame has the time that its packet tells."""

    @property
    def last(self) -> Fraction:
        """Running time at which the last frame appears, in seconds as the file counts them."""
        return self.first + self.shown[-1] * self.base

    def late(self, frame: Fraction | None) -> Fraction:
        """Seconds that are lost at the start, where that is the running time of the first frame that is decoded."""
        return max(Fraction(0), frame - self.first) if self.is_exact and frame is not None else Fraction(0)


class _Stretch:
    """Ticks at which frames are shown, until they are decoded from an earlier time on."""

    def __init__(self, by_decoding: bool) -> None:
        self.by_decoding = by_decoding
        self.ticks = array("q")
        self.decoding: int | None = None
        self.latest = self.duration = 0

    def goes_on(self, packet: Packet) -> bool:
        if self.decoding is None or packet.dts is None:
            return True
        return (packet.dts - self.decoding) * packet.time_base >= -ANEW_SECONDS

    def add(self, packet: Packet) -> None:
        ticks = packet.dts if packet.pts is None or self.by_decoding else packet.pts
        self.decoding = self.decoding if packet.dts is None else packet.dts
        if ticks is None:
            return
        if not self.ticks or ticks >= self.latest:
            self.latest, self.duration = ticks, packet.duration or 0
        self.ticks.append(ticks)

    def runs(self, is_still: Callable[[int, int], bool]) -> Iterator[list[int]]:
        """The ticks in order, parted where one frame is not shown from one to the next."""
        run = list[int]()
        for ticks in sorted(self.ticks):
            if run and not is_still(run[-1], ticks):
                yield run
                run = []
            run.append(ticks)
        if run:
            yield run


class _Heard:
    """Spans of time in which sound comes, however thinly."""

    def __init__(self) -> None:
        self.spans: list[tuple[Fraction, Fraction]] = []

    def add(self, packet: Packet) -> None:
        if packet.pts is None or not packet.time_base:
            return
        start, end = packet.pts * packet.time_base, (packet.pts + (packet.duration or 0)) * packet.time_base
        first, last = self.spans[-1] if self.spans else (start, end)
        if self.spans and first <= start <= last + LONGEST_STILL_SECONDS:
            self.spans[-1] = first, max(last, end)
        else:
            self.spans.append((start, end))

    def is_throughout(self, start: Fraction, end: Fraction) -> bool:
        """Whether it is never away for long between two times."""
        near = LONGEST_STILL_SECONDS
        return any(first <= start + near and end - near <= last for first, last in self.spans)


def picture_times(source: Source, check: Check = never_stop) -> PictureTimes:
    """Say when a video's frames are shown, by reading its packets without decoding them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture.
    """
    with opened(source) as container:
        return read_times(container, picture_stream(container), check)


def read_times(
    container: InputContainer,
    stream: VideoStream,
    check: Check = never_stop,
    each: Callable[[Packet], None] = lambda packet: None,
) -> PictureTimes:
    """As `picture_times`, of a file that is open.

    Args:
        each: is called with each packet of the picture that holds something.

    Raises:
        ValueError: the picture has no frame.
    """
    others = [track for track in container.streams.audio if track.codec_context is not None]
    by_decoding, heard = times_by_decoding(container), _Heard()
    stretches, frames, end = [_Stretch(by_decoding)], 0, Fraction(0)
    for packet in packets_of(container, check, stream, *others):
        if packet.pts is not None and packet.time_base:
            end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        if packet.stream is not stream:
            heard.add(packet)
        elif packet.size:
            each(packet)
        if packet.stream is not stream or not packet.size or packet.is_discard:
            continue
        frames += 1
        if not stretches[-1].goes_on(packet):
            stretches.append(_Stretch(by_decoding))
        stretches[-1].add(packet)
    said = Fraction((container.start_time or 0) + (container.duration or 0), av.time_base)
    return _picture_times(container, stream, frames, stretches, heard, max(Fraction(0), said - end))


def _picture_times(
    container: InputContainer,
    stream: VideoStream,
    frames: int,
    stretches: Sequence[_Stretch],
    heard: _Heard,
    missing: Fraction,
) -> PictureTimes:
    base, said = stream.time_base or Fraction(1, av.time_base), said_rate(stream)
    longest, tells_lengths = LONGEST_STILL_SECONDS / base, "mp4" in container.format.name

    def is_still(start: int, end: int) -> bool:
        return tells_lengths or end - start <= longest or heard.is_throughout(start * base, end * base)

    runs = [run for stretch in stretches for run in stretch.runs(is_still)]
    steps = [after - before for run in runs for before, after in pairwise(run) if after > before]
    # Streams of MPEG leave out the times of some packets: their frames follow each other at the rate that is said.
    timed = frames == sum(len(stretch.ticks) for stretch in stretches)
    step = median_low(steps) * base if steps and (timed or not said) else 1 / said if said else Fraction(0)
    by_decoding, ending = times_by_decoding(container), stretches[-1]
    # A packet of AVI lasts a tick, whatever is shown.
    believed = not by_decoding and is_still(ending.latest, ending.latest + ending.duration)
    lasts = ending.duration * base if believed and ending.duration else step
    offsets, shown = _joined(runs, max(1, round(step / base)))
    seconds = (shown[-1] if shown else 0) * base + lasts
    if not timed:
        shown = array("q", (round(index * step / base) for index in range(frames)))
        seconds = max(seconds, frames * step)
    measured = frames / seconds if seconds else None
    rate = said if said and (not measured or abs(said / measured - 1) <= WRONG_RATE) else measured
    if not rate or not frames:
        raise ValueError(f"{shown_name(container)}: its picture is empty.")
    rate = Fraction(rate).limit_denominator(LARGEST_DENOMINATOR)
    return PictureTimes(
        frames=frames,
        seconds=seconds or frames / rate,
        rate=rate,
        step=step,
        first=(runs[0][0] if runs else 0) * base,
        shown=shown,
        base=base,
        offsets=tuple(offset * base for offset in offsets),
        missing=missing,
        is_exact=timed and not by_decoding,
    )


def _joined(runs: Iterable[Sequence[int]], step: int) -> tuple[list[int], array[int]]:
    """By how many ticks each run is moved to follow the one before at once, and when frames appear, from 0 on."""
    offsets, shown, first = list[int](), array("q"), 0
    for run in runs:
        first = first if shown else run[0]
        offsets.append(first + shown[-1] + step - run[0] if shown else 0)
        shown.extend(ticks + offsets[-1] - first for ticks in run)
    return offsets, shown


@contextmanager
def first_frame(source: Source, check: Check = never_stop) -> Iterator[tuple[Fraction | None, VideoFrame, VideoStream]]:
    """The first frame of a file's picture that can be decoded, its time in seconds as the file counts them, its stream.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture, or there is no such frame.
    """
    with opened(source) as container:
        stream = picture_stream(container)
        # Threads would decode frames ahead that nobody wants.
        stream.codec_context.thread_count = 1
        packets = packets_of(container, check, stream, was_told=True)
        frames = (frame for packet in packets for frame in cast("list[VideoFrame]", decoded(packet) or []))
        first = next(frames, None)
        if first is None:
            raise ValueError(
                f"{name_of(source)} is damaged: none of its picture can be decoded. Copy or record it again, or "
                "convert it to MP4 with H.264."
            )
        yield raw_time(container, first), first, stream
