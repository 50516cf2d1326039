"""Whether the picture of a file can be copied into MP4 packet by packet, and the times that its frames get there."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, pairwise
from typing import Any, NamedTuple, cast

import av
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer, OutputContainer

from .container import (
    ANEW_SECONDS,
    LONGEST_STILL_SECONDS,
    Check,
    Source,
    decoded,
    name_of,
    never_stop,
    opened,
    packets_of,
    picture_stream,
    said_rate,
    shown_name,
    times_by_decoding,
)
from .encoding import even_size

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
LATE = "it does not start with a whole frame"


class PacketTimes(NamedTuple):
    """Times of a packet in ticks: of its presentation, of its decoding, and how long it is shown."""

    pts: int
    dts: int
    duration: int


@dataclass(frozen=True)
class PicturePlan:
    """How the picture of a file gets into an MP4 file.

    Args:
        time_base: seconds of a tick.
        frames: ticks at which the frames are shown, from 0 on, in their order.
        end: tick at which the last frame ends.
        origin: tick of the file that is 0 here; None where the file's own times are of no use.
        why_encoded: why the packets cannot be copied, as the end of a sentence; None where they can.
        start: tick at which what is wanted starts.
        held: how many more times the last frame is shown after the end.
        packets: of each packet, in the order of the file; empty where they cannot be copied.
    """

    time_base: Fraction
    frames: Sequence[int]
    end: int
    origin: int | None = None
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
        return sum(self.start <= frame < self.end for frame in self.frames) + self.held

    @property
    def step(self) -> int:
        """Ticks for which a frame is shown, as a rule."""
        return _usual_step(self.frames) or max(1, self.end - self.frames[-1])

    @property
    def is_even(self) -> bool:
        """Whether all frames but the last are shown for about as long as each other."""
        return all(2 * (after - before) < 3 * self.step for before, after in pairwise(self.frames))

    def part(self, start_seconds: float, seconds: float) -> PicturePlan:
        """The plan of the frames that begin in a span of time; 0 seconds go on to the end.

        Raises:
            ValueError: no frame does.
        """
        if not start_seconds and not seconds:
            return self
        # A frame begins in the span if it does so to the nearest tick: seconds of a user are rounded.
        first, last = round(start_seconds / self.time_base), round((start_seconds + seconds) / self.time_base)
        shown = [frame for frame in self.frames if frame >= first and (not seconds or frame < last)]
        if not shown:
            lasts = float(self.seconds)
            raise ValueError(f"No frame is shown from second {start_seconds:g} on: the video lasts {lasts:.2f}.")
        end = min(self.end, max(last, shown[-1] + 1)) if seconds else self.end
        return replace(self, start=shown[0], end=end, why_encoded="it is trimmed", packets=())

    def lasting(self, seconds: Fraction) -> PicturePlan:
        """The plan of a picture that is cut, or whose last frame is held, to the frame in which that time ends."""
        step = self.step * self.time_base
        more = math.ceil((seconds - self.seconds) / step)
        if not more:
            return self
        if more > 0:
            return replace(self, held=more, why_encoded="its last frame is held", packets=())
        end = max(self.start + 1, self.start + math.ceil(seconds / self.time_base))
        return replace(self, end=end, why_encoded="it is cut", packets=())

    def starting_at(self, time: int | None) -> PicturePlan:
        """The plan of a picture of which nothing before that tick of the file can be read."""
        if self.origin is None or time is None or time <= self.origin:
            return self
        late = time - self.origin
        frames = [frame - late for frame in self.frames if frame >= late] or [0]
        return replace(self, frames=frames, end=max(self.end - late, frames[-1] + 1), origin=time)


def plan_picture(source: Source, check: Check = never_stop) -> PicturePlan:
    """Read all packets of a file's picture, and say how it gets into an MP4 file.

    What is said to be copied has been tried: nothing can fail later but the disk.

    Args:
        check: is called again and again while the file is read; it may raise to stop that.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture, or one that is too small or too large for a video.
    """
    with opened(source) as container:
        picture = picture_stream(container)
        packets = [_Read.of(packet) for packet in _filled(container, picture, check)]
        plan = _plan(container, picture, packets)
    first = _first_time(source)
    is_late = plan.origin is not None and first is not None and first > plan.origin
    why = plan.why_encoded or (LATE if is_late else _why_not_one(source, check) or _why_not_taken(source, plan, check))
    return replace(plan, why_encoded=why, packets=()).starting_at(first) if why else plan


class _Read(NamedTuple):
    pts: int | None
    dts: int | None
    duration: int
    is_key: bool
    is_hidden: bool

    @classmethod
    def of(cls, packet: Packet) -> _Read:
        return cls(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, packet.is_discard)


def _filled(container: InputContainer, picture: VideoStream, check: Check = never_stop) -> Iterator[Packet]:
    """The packets that hold something."""
    return (packet for packet in packets_of(container, check, picture) if packet.size)


def _plan(container: InputContainer, picture: VideoStream, packets: Sequence[_Read]) -> PicturePlan:
    shown = [packet for packet in packets if not packet.is_hidden]
    if not shown:
        raise ValueError(f"{shown_name(container)}: its picture is empty.")
    time_base = cast(Fraction, picture.time_base)
    rate = said_rate(picture)
    nominal, longest = max(1, round(1 / (rate * time_base))) if rate else 1, int(LONGEST_STILL_SECONDS / time_base)
    times, untrue = _times(container, picture, shown, nominal)
    runs = _runs(times, [packet.dts for packet in shown], int(ANEW_SECONDS / time_base))
    frames, odd = _in_order(runs, nominal, longest)
    step = _usual_step(frames) or nominal
    last = max(shown, key=lambda packet: packet.pts or 0).duration
    end = frames[-1] + (last if 0 < last <= longest and not untrue else step)
    mended = untrue or odd
    origin = None if mended else min(times)
    plan = PicturePlan(time_base, frames, end, origin, _why_not_played(picture) or mended or _why_not_whole(packets))
    return plan if plan.why_encoded else replace(plan, packets=_packet_times(packets, plan))


def _usual_step(times: Sequence[int]) -> int:
    """The mean distance of times in their order, or 0 where there is but one."""
    return round((times[-1] - times[0]) / (len(times) - 1)) if len(times) > 1 else 0


def _times(
    container: InputContainer, picture: VideoStream, shown: Sequence[_Read], nominal: int
) -> tuple[list[int], str | None]:
    """A time of each packet, and why it is not the one that the packet says it is shown at."""
    presented, decoded = [packet.pts for packet in shown], [packet.dts for packet in shown]
    reordered = picture.codec_context.has_b_frames and times_by_decoding(container)
    if not reordered and None not in presented:
        return cast("list[int]", presented), None
    kind = container.format.name.upper()
    why = f"{kind} does not tell when reordered frames are shown" if reordered else "times of frames are missing"
    if None in decoded:
        return [*range(0, nominal * len(shown), nominal)], why
    return cast("list[int]", decoded), why


def _in_order(runs: Iterable[Sequence[int]], nominal: int, longest: int) -> tuple[list[int], str | None]:
    """Packets' times as ticks from 0 on at which frames are shown, in that order, and what had to be mended in them.

    Where times start anew, or go on by more than the longest still, the next frame follows at once.
    """
    ordered: list[int] = []
    trouble = None
    for run in runs:
        if ordered:
            trouble = "its times start anew"
        ordered.append(ordered[-1] + nominal if ordered else 0)
        for before, after in pairwise(sorted(run)):
            distance = after - before
            if distance > longest:
                distance, trouble = nominal, f"its times leap by more than {LONGEST_STILL_SECONDS} seconds"
            elif not distance:
                distance, trouble = 1, "several frames have one time"
            ordered.append(ordered[-1] + distance)
    return ordered, trouble


def _runs(times: Sequence[int], decoding: Sequence[int | None], anew: int) -> Iterator[Sequence[int]]:
    """Spans of packets whose decoding times never go back by more than so many ticks."""
    start, latest = 0, None
    for index, time in enumerate(decoding):
        if time is None:
            continue
        if latest is not None and time < latest - anew:
            yield times[start:index]
            start = index
        latest = time
    yield times[start:]


def _why_not_played(picture: VideoStream) -> str | None:
    context = picture.codec_context
    codec, pixels = context.codec.canonical_name, context.pix_fmt
    if codec not in PLAYED:
        return f"few players show {codec} in MP4"
    if pixels not in PLAYED[codec]:
        return f"few players show {codec} with pixels of kind {pixels}"
    if codec in CODECS_WITH_HEADER and not context.extradata:
        return "its header is missing"
    if picture.width % 2 or picture.height % 2:
        return f"its size of {picture.width} × {picture.height} is odd"
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


def _packet_times(packets: Sequence[_Read], plan: PicturePlan) -> list[PacketTimes]:
    """Times of packets, those of decoding made from those of presentation.

    Matroska leaves decoding times out where frames are reordered, and other containers say them wrongly. A packet is
    decoded as many frames early as the one needs that comes the longest before its turn.
    """
    times = [cast(int, packet.pts) for packet in packets]
    ordered = sorted(times)
    origin = min(cast(int, packet.pts) for packet in packets if not packet.is_hidden)
    ranks = {time: rank for rank, time in enumerate(ordered)}
    early = max(index - ranks[time] for index, time in enumerate(times))
    ends = [*ordered[1:], origin + plan.end]
    durations = [ends[ranks[time]] - time for time in times]
    # A player that adds up the distances of decoding comes to the same length: so much is decoded before the first.
    span = max(early, ends[-1] - ordered[-1 - early] - durations[-1])
    before = [ordered[0] - span * count // early for count in range(early, 0, -1)]
    return [
        PacketTimes(time - origin, dts - origin, duration)
        for time, dts, duration in zip(times, chain(before, ordered), durations, strict=False)
    ]


class _Nowhere(io.RawIOBase):
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
        if SAYING_ONCE & {*container.format.name.split(",")}:
            return None
        picture_stream(container).codec_context.skip_frame = "NONKEY"
        shapes = {(frame.width, frame.height, frame.format.name) for frame in _decoded(container, check)}
        return "its size changes" if len(shapes) > 1 else None


def _why_not_taken(source: Source, plan: PicturePlan, check: Check) -> str | None:
    """Try the copy."""
    with opened(source) as container:
        try:
            with av.open(_Nowhere(), "w", format="mp4") as output:
                for packet in copied_packets(container, output, plan):
                    check()
                    output.mux_one(packet)
        except av.FFmpegError as error:
            return f"MP4 does not take it ({error.strerror})"
    return None


def add_copy(output: OutputContainer, picture: VideoStream) -> VideoStream:
    """Add a picture to a file as it is in another one.

    Raises:
        ValueError: the container does not take the codec.
    """
    # Opaque: by codec, not by the decoder that was chosen, whose name an encoder need not have.
    copy = output.add_stream_from_template(picture, opaque=True)
    copy.codec_context.sample_aspect_ratio = picture.sample_aspect_ratio or SQUARE
    tag = APPLE_TAG.get(picture.codec_context.codec.canonical_name)
    if tag:
        copy.codec_context.codec_tag = tag
    return copy


def copied_packets(container: InputContainer, output: OutputContainer, plan: PicturePlan) -> Iterator[Packet]:
    """Add the picture of a file to an MP4 file, and give its packets with the times of a plan."""
    picture = picture_stream(container)
    return _with_times(_filled(container, picture), add_copy(output, picture), plan)


def _with_times(packets: Iterator[Packet], copy: VideoStream, plan: PicturePlan) -> Iterator[Packet]:
    for packet, times in zip(packets, plan.packets, strict=False):
        packet.pts, packet.dts, packet.duration = times
        packet.stream = copy
        yield packet


def timed_frames(container: InputContainer, plan: PicturePlan) -> Iterator[tuple[int, VideoFrame]]:
    """The frames that a plan wants, each with the tick at which it is shown, counted from the plan's start."""
    latest = -1
    for index, frame in enumerate(_decoded(container)):
        if plan.origin is not None and frame.pts is not None:
            time = frame.pts - plan.origin
        else:
            time = plan.frames[index] if index < len(plan.frames) else latest + plan.step
        latest = max(time, latest + 1)
        if latest >= plan.end:
            return
        if latest >= plan.start:
            yield latest - plan.start, frame


def _decoded(container: InputContainer, check: Check = never_stop) -> Iterator[VideoFrame]:
    """The frames of a file's picture as they are shown. What is damaged is passed over."""
    picture = picture_stream(container)
    picture.thread_type = "AUTO"
    for packet in packets_of(container, check, picture):
        yield from cast("list[VideoFrame]", decoded(packet) or [])


def _first_time(source: Source) -> int | None:
    """The tick of the first frame that can be read.

    Raises:
        ValueError: there is none, or it has a size that no video takes.
    """
    with opened(source) as container:
        first = next(_decoded(container), None)
    if first is None:
        raise ValueError(
            f"{name_of(source)} is damaged: none of its picture can be decoded. Copy or record it again, or convert it "
            "to MP4 with H.264."
        )
    even_size(first.width, first.height)
    return first.pts
