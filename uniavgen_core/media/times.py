"""When a file's frames are shown, as its packets tell, and running time where times start anew."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median_low

import av
from av import Packet, VideoStream
from av.container import InputContainer

from .container import (
    Check,
    Source,
    never_stop,
    opened,
    packets_of,
    said_rate,
    shown_name,
    times_by_decoding,
    video_stream,
)

LONGEST_STILL_SECONDS = 60
"""Where nothing at all comes for longer, times are wrong, unless a file tells lengths and not times, as MP4 does."""
LONGEST_SILENCE_SECONDS = 3600
"""A sound that is missing for longer has a wrong time."""
ANEW_SECONDS = Fraction(1, 5)
"""Times that go back by more than this start anew; less is a fault of one time."""
WRONG_RATE = 0.1
"""A rate that is said is not believed where it is off by more than this fraction."""
LARGEST_DENOMINATOR = 65_535
"""Of a frame rate."""


class PlayClock:
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
        possible = [pair for pair in ahead if earliest <= time + pair[0] <= self.end + self.longest]
        self.offset, self.anew = min(possible, default=(self.end - time, self.anew))


@dataclass(frozen=True)
class VideoTimes:
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


class _AudioSpans:
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


def video_times(source: Source, check: Check = never_stop) -> VideoTimes:
    """Say when a video's frames are shown, by reading its packets without decoding them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture.
    """
    with opened(source) as container:
        return read_times(container, video_stream(container), check)


def read_times(
    container: InputContainer,
    stream: VideoStream,
    check: Check = never_stop,
    each: Callable[[Packet], None] = lambda packet: None,
) -> VideoTimes:
    """As `video_times`, of a file that is open.

    Args:
        each: is called with each packet of the picture that holds something.

    Raises:
        ValueError: the picture has no frame.
    """
    others = [track for track in container.streams.audio if track.codec_context is not None]
    by_decoding, heard = times_by_decoding(container), _AudioSpans()
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
    return _video_times(container, stream, frames, stretches, heard, max(Fraction(0), said - end))


def _video_times(
    container: InputContainer,
    stream: VideoStream,
    frames: int,
    stretches: Sequence[_Stretch],
    heard: _AudioSpans,
    missing: Fraction,
) -> VideoTimes:
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
    offsets, shown = _run_on(runs, max(1, round(step / base)))
    seconds = (shown[-1] if shown else 0) * base + lasts
    if not timed:
        shown = array("q", (round(index * step / base) for index in range(frames)))
        seconds = max(seconds, frames * step)
    measured = frames / seconds if seconds else None
    rate = said if said and (not measured or abs(said / measured - 1) <= WRONG_RATE) else measured
    if not rate or not frames:
        raise ValueError(f"{shown_name(container)}: its picture is empty.")
    rate = Fraction(rate).limit_denominator(LARGEST_DENOMINATOR)
    return VideoTimes(
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


def _run_on(runs: Iterable[Sequence[int]], step: int) -> tuple[list[int], array[int]]:
    """By how many ticks each run is moved to follow the one before at once, and when frames appear, from 0 on."""
    offsets, shown, first = list[int](), array("q"), 0
    for run in runs:
        first = first if shown else run[0]
        offsets.append(first + shown[-1] + step - run[0] if shown else 0)
        shown.extend(ticks + offsets[-1] - first for ticks in run)
    return offsets, shown
