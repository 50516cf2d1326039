"""Whether the picture of a file can be copied into MP4 packet by packet, and the times that its frames get there."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple, cast

import av
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer, OutputContainer

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
    times_by_decoding,
    video_stream,
)
from .encoding import even_size
from .times import ANEW_SECONDS, LONGEST_STILL_SECONDS, PlayClock, VideoTimes, read_times

PLAYED = {
    "h264": {"yuv420p", "yuvj420p"},
    "hevc": {"yuv420p", "yuvj420p", "yuv420p10le"},
    "vp9": {"yuv420p", "yuv420p10le"},
    "av1": {"yuv420p", "yuv420p10le"},
}
"""Codecs that MP4 holds and that browsers and systems play there, each with the forms of pixels that they decode.

MP4 holds MPEG-1, MPEG-2, MPEG-4 part 2 and MJPEG, too, but no browser shows them there; and H.264 of more than 8 bits
or of finer colour is refused by Safari, QuickTime and Firefox. VP8 and ProRes have no place in MP4.
"""
APPLE_TAG = {"hevc": "hvc1"}
"""What QuickTime and Safari know a codec by, where it is not what libav writes."""
CODECS_WITH_HEADER = {"h264", "hevc"}
"""Nothing is decoded without their parameter sets."""
SAYING_ONCE = {"mp4", "matroska"}
"""Containers that say in one place what their picture is."""
SQUARE = Fraction(1)
"""The aspect of pixels of which nothing is said."""
LONGEST_TICK = Fraction(1, 1000)
"""In seconds, where a user says when something starts."""
LATE = "it does not start with a whole frame"


class PacketTimes(NamedTuple):
    """Times of a packet in ticks: of its presentation, of its decoding, and how long it is shown."""

    pts: int
    dts: int
    duration: int


@dataclass(frozen=True)
class CopyPlan:
    """How the picture of a file gets into an MP4 file.

    Args:
        time_base: seconds of a tick.
        frames: ticks at which the frames are shown, from 0 on, in their order.
        end: tick at which the last frame ends.
        origin: second of the file that is 0 here; None where the file's own times are of no use.
        offsets: what a `Clock` adds to the file's times for each time that they have started anew.
        why_encoded: why the packets cannot be copied, as the end of a sentence; None where they can.
        start: tick at which what is wanted starts.
        held: how many more times the last frame is shown after the end.
        packets: of each packet, in the order of the file; empty where they cannot be copied.
    """

    time_base: Fraction
    frames: Sequence[int]
    end: int
    origin: Fraction | None = None
    offsets: Sequence[Fraction] = ()
    why_encoded: str | None = None
    start: int = 0
    held: int = 0
    packets: Sequence[PacketTimes] = ()

    @property
    def seconds(self) -> Fraction:
        """How long the picture is shown."""
        return (self.end - self.start + self.held * self.step) * self.time_base

    @property
    def count(self) -> int:
        """How many frames there are, the held ones among them."""
        return 1 + sum(self.start < frame < self.end for frame in self.frames) + self.held

    @property
    def step(self) -> int:
        """Ticks for which a frame is shown, as a rule."""
        return _usual_step(self.frames) or max(1, self.end - self.frames[-1])

    @property
    def is_even(self) -> bool:
        """Whether all frames but the last are shown for about as long as each other, the first one whole."""
        return self.start in self.frames and all(
            2 * (after - before) < 3 * self.step for before, after in pairwise(self.frames)
        )

    def part(self, start_seconds: float, seconds: float) -> CopyPlan:
        """The plan of what is shown in a span of time; 0 seconds go on to the end.

        Raises:
            ValueError: the picture ends before.
        """
        if not start_seconds and not seconds:
            return self
        plan = self._finer(math.ceil(self.time_base / LONGEST_TICK))
        first, last = round(start_seconds / plan.time_base), round((start_seconds + seconds) / plan.time_base)
        if first >= plan.end:
            lasts = float(plan.seconds)
            raise ValueError(f"No frame is shown from second {start_seconds:g} on: the video lasts {lasts:.2f}.")
        end = min(plan.end, max(last, first + 1)) if seconds else plan.end
        return replace(plan, start=first, end=end, why_encoded="it is trimmed", packets=())

    def _finer(self, factor: int) -> CopyPlan:
        """The same in smaller ticks: AVI has one a frame."""
        frames, end = [frame * factor for frame in self.frames], self.end * factor
        return replace(self, time_base=self.time_base / factor, frames=frames, end=end, packets=())

    def lasting(self, seconds: Fraction) -> CopyPlan:
        """The plan of a picture that is cut, or whose last frame is held, to the frame in which that time ends."""
        step = self.step * self.time_base
        more = math.ceil((seconds - self.seconds) / step)
        if not more:
            return self
        if more > 0:
            return replace(self, held=more, why_encoded="its last frame is held", packets=())
        end = max(self.start + 1, self.start + math.ceil(seconds / self.time_base))
        return replace(self, end=end, why_encoded="it is cut", packets=())

    def without(self, late: int) -> CopyPlan:
        """The plan of a picture of which so many ticks at the start cannot be shown."""
        if not late:
            return self
        frames = [frame - late for frame in self.frames if frame >= late] or [0]
        origin = None if self.origin is None else self.origin + late * self.time_base
        return replace(self, frames=frames, end=max(self.end - late, frames[-1] + 1), origin=origin)


def plan_copy(source: Source, check: Check = never_stop) -> CopyPlan:
    """Read all packets of a file's picture, and say how it gets into an MP4 file.

    What is said to be copied has been tried: nothing can fail later but the disk.

    Args:
        check: is called again and again while the file is read; it may raise to stop that.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture, or one that is too small or too large for a video.
    """
    packets = list[_Read]()
    with opened(source) as container:
        video = video_stream(container)
        times = read_times(container, video, check, lambda packet: packets.append(_Read.of(packet)))
        plan = _plan(container, video, packets, times)
    with first_frame(source, check) as (first, frame, _):
        even_size(frame.width, frame.height)
        late = round(times.late(first) / times.base)
    why = plan.why_encoded or (LATE if late else _why_not_one(source, check) or _why_not_taken(source, plan, check))
    return replace(plan, why_encoded=why, packets=()).without(late) if why else plan


class _Read(NamedTuple):
    pts: int | None
    dts: int | None
    duration: int
    is_key: bool
    is_hidden: bool

    @classmethod
    def of(cls, packet: Packet) -> _Read:
        return cls(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, packet.is_discard)


def _filled(container: InputContainer, video: VideoStream, check: Check = never_stop) -> Iterator[Packet]:
    """The packets that hold something."""
    return (packet for packet in packets_of(container, check, video) if packet.size)


def _plan(container: InputContainer, video: VideoStream, packets: Sequence[_Read], times: VideoTimes) -> CopyPlan:
    shown = [packet for packet in packets if not packet.is_hidden]
    odd = _why_untimed(container, video, shown) or _why_mended(shown, times)
    frames = _apart(times.shown)
    end = max(frames[-1] + 1, round(times.seconds / times.base))
    origin = None if odd else times.first
    why = _why_not_played(video) or odd or _why_not_whole(packets)
    plan = CopyPlan(times.base, frames, end, origin, times.offsets, why)
    return plan if why else replace(plan, packets=_packet_times(packets, plan))


def _usual_step(times: Sequence[int]) -> int:
    """The mean distance of times in their order, or 0 where there is but one."""
    return round((times[-1] - times[0]) / (len(times) - 1)) if len(times) > 1 else 0


def _why_untimed(container: InputContainer, video: VideoStream, shown: Sequence[_Read]) -> str | None:
    """Why packets do not say when they are shown."""
    if video.codec_context.has_b_frames and times_by_decoding(container):
        return f"{container.format.name.upper()} does not tell when reordered frames are shown"
    return "times of frames are missing" if any(packet.pts is None for packet in shown) else None


def _why_mended(shown: Sequence[_Read], times: VideoTimes) -> str | None:
    """Why frames cannot be shown at the times that packets say."""
    if len(times.offsets) > 1:
        decoding = [packet.dts for packet in shown if packet.dts is not None]
        anew = any((after - before) * times.base < -ANEW_SECONDS for before, after in pairwise(decoding))
        return "its times start anew" if anew else f"its times leap by more than {LONGEST_STILL_SECONDS} seconds"
    return "several frames have one time" if len({*times.shown}) < len(times.shown) else None


def _apart(ticks: Iterable[int]) -> list[int]:
    """Ticks in their order, each later than the one before."""
    return [*accumulate(ticks, lambda before, after: max(before + 1, after))]


def _why_not_played(video: VideoStream) -> str | None:
    context = video.codec_context
    codec, pixels = context.codec.canonical_name, context.pix_fmt
    if codec not in PLAYED:
        return f"few players show {codec} in MP4"
    if pixels not in PLAYED[codec]:
        return f"few players show {codec} with pixels of kind {pixels}"
    if codec in CODECS_WITH_HEADER and not context.extradata:
        return "its header is missing"
    if video.width % 2 or video.height % 2:
        return f"its size of {video.width} × {video.height} is odd"
    return None


def _why_not_whole(packets: Sequence[_Read]) -> str | None:
    """Why frames of packets, whose times are in order, are not shown from the first to the last."""
    first = min(packet.pts or 0 for packet in packets if not packet.is_hidden)
    if any(packet.is_hidden and (packet.pts is None or packet.pts >= first) for packet in packets):
        return "an edit hides some of its frames"
    times = [packet.pts or 0 for packet in packets]
    if not packets[0].is_key or times[0] != min(times) or len({*times}) < len(times):
        return LATE
    return None


def _packet_times(packets: Sequence[_Read], plan: CopyPlan) -> list[PacketTimes]:
    """Times of packets, those of decoding made from those of presentation.

    Matroska leaves decoding times out where frames are reordered, and other containers say them wrongly. A packet is
    decoded as many frames early as the one needs that comes the longest before its turn.
    """
    times = [cast(int, packet.pts) for packet in packets]
    origin = min(cast(int, packet.pts) for packet in packets if not packet.is_hidden)
    return packet_times([time - origin for time in times], plan.end)


def packet_times(times: Sequence[int], end: int) -> list[PacketTimes]:
    """Times of packets in the order of their decoding, of those at which their frames are shown.

    Args:
        times: ticks at which they are shown.
        end: tick at which the last one that is shown ends.
    """
    ordered = sorted(times)
    ranks = {time: rank for rank, time in enumerate(ordered)}
    early = max(index - ranks[time] for index, time in enumerate(times))
    ends = [*ordered[1:], end]
    durations = [ends[ranks[time]] - time for time in times]
    # A player that adds up the distances of decoding comes to the same length: so much is decoded before the first.
    span = max(early, ends[-1] - ordered[-1 - early] - durations[-1])
    before = [ordered[0] - span * count // early for count in range(early, 0, -1)]
    return [
        PacketTimes(time, dts, duration)
        for time, dts, duration in zip(times, chain(before, ordered), durations, strict=False)
    ]


class Nowhere(io.RawIOBase):
    """A file that keeps nothing."""

    def __init__(self) -> None:
        self.position = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        count = len(data)
        self.position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset if whence == io.SEEK_SET else self.position + offset
        return self.position

    def tell(self) -> int:
        return self.position


def _why_not_one(source: Source, check: Check) -> str | None:
    """Look at the key frames of a file that may say anew at each what follows; the header of others says it for all."""
    with opened(source) as container:
        if _says_once(container):
            return None
        video_stream(container).codec_context.skip_frame = "NONKEY"
        shapes = {(frame.width, frame.height, frame.format.name) for frame in _decoded(container, check)}
        return "its size changes" if len(shapes) > 1 else None


def _says_once(container: InputContainer) -> bool:
    return bool(SAYING_ONCE & {*container.format.name.split(",")})


def _why_not_taken(source: Source, plan: CopyPlan, check: Check) -> str | None:
    """Try the copy."""
    with opened(source) as container:
        try:
            with av.open(Nowhere(), "w", format="mp4") as output:
                for packet in copied_packets(container, output, plan, check):
                    output.mux_one(packet)
        except av.FFmpegError as error:
            return f"MP4 does not take it ({error.strerror})"
    return None


def add_copy(output: OutputContainer, video: VideoStream) -> VideoStream:
    """Add a picture to a file as it is in another one.

    Raises:
        ValueError: the container does not take the codec.
    """
    # Opaque: by codec, not by the decoder that was chosen, whose name an encoder need not have.
    copy = output.add_stream_from_template(video, opaque=True)
    copy.codec_context.sample_aspect_ratio = video.sample_aspect_ratio or SQUARE
    tag = APPLE_TAG.get(video.codec_context.codec.canonical_name)
    if tag:
        copy.codec_context.codec_tag = tag
    return copy


def copied_packets(
    container: InputContainer, output: OutputContainer, plan: CopyPlan, check: Check = never_stop
) -> Iterator[Packet]:
    """Add the picture of a file to an MP4 file, and give its packets with the times of a plan."""
    video = video_stream(container)
    return _with_times(_filled(container, video, check), add_copy(output, video), plan)


def _with_times(packets: Iterator[Packet], copy: VideoStream, plan: CopyPlan) -> Iterator[Packet]:
    for packet, times in zip(packets, plan.packets, strict=False):
        packet.pts, packet.dts, packet.duration = times
        packet.stream = copy
        yield packet


def timed_frames(
    container: InputContainer, plan: CopyPlan, check: Check = never_stop
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames that a plan wants, each with the tick at which it is shown, counted from the plan's start.

    The first is the one that is on the screen there.

    Args:
        check: is called again and again while the file is read; it may raise to stop that.
    """
    clock, step = PlayClock(plan.offsets, math.inf), plan.step * plan.time_base
    zero = plan.origin
    shown: tuple[int, VideoFrame] | None = None
    for frame in _from_start(container, plan, check):
        time = clock.running(raw_time(container, frame), step)
        zero = time if zero is None else zero
        tick = round((time - zero) / plan.time_base) - plan.start
        # Where what is before the first cannot be read, it is shown from the start on.
        tick = min(tick, 0) if shown is None else max(tick, shown[0] + 1)
        if shown is not None and tick > 0:
            yield max(0, shown[0]), shown[1]
        if tick + plan.start >= plan.end:
            return
        shown = tick, frame
    if shown is not None:
        yield max(0, shown[0]), shown[1]


def _from_start(container: InputContainer, plan: CopyPlan, check: Check) -> Iterator[VideoFrame]:
    """The frames of a file from one at or before a plan's start on; what is far before is not decoded if need be."""
    if plan.origin is None or plan.start * plan.time_base < SEEKING_SECONDS or not _says_once(container):
        return _decoded(container, check)
    start = plan.origin + plan.start * plan.time_base
    if sought(container, video_stream(container), start):
        frames = _decoded(container, check)
        head = next(frames, None)
        time = None if head is None else raw_time(container, head)
        if head is not None and time is not None and time <= start:
            return chain([head], frames)
    container.seek(0)
    return _decoded(container, check)


def _decoded(container: InputContainer, check: Check = never_stop) -> Iterator[VideoFrame]:
    """The frames of a file's picture as they are shown. What is damaged is passed over."""
    video = video_stream(container)
    if not times_by_decoding(container):
        video.thread_type = "AUTO"
    for packet in packets_of(container, check, video):
        yield from cast("list[VideoFrame]", decoded(packet) or [])
