"""A file's picture with some of its frames replaced: packets that hold none of them are copied as they are.

Where it can be, only the packets from the first replaced frame to the next one that needs no other are encoded, with
parameter sets of their own beside the file's. Elsewhere the whole picture is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import accumulate
from typing import NamedTuple, TypeAlias

import av
import torch
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer, OutputContainer
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from torch import Tensor

from .container import Check, Source, first_frame, never_stop, opened, packets_of, video_stream
from .copying import CopyPlan, Nowhere, PacketTimes, add_copy, packet_times, timed_frames
from .encoding import ColourTags, FileFrames, VideoEncoder, add_video
from .frames import COLOUR_CONVERSION, Look
from .h264 import AvcHeader, is_picture_unit, units_of_stream
from .images import to_bytes

Replace: TypeAlias = Callable[[Fraction, Callable[[], Tensor]], Tensor | None]
"""The frame (H, W, 3) of values 0..1 that is shown at a second instead of another one, which is made when it is wanted;
None where that stays."""

MATRICES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 7: Colorspace.SMPTE240M}
"""By H.264's number; what is not said is that of standard definition, as frames are read."""
SPLICED_PIXELS = "yuv420p"


class NewPacket(NamedTuple):
    """An encoded packet: the tick at which it is shown, its bytes, and whether it needs no other."""

    tick: int
    data: bytes
    is_key: bool

    def packet(self) -> Packet:
        made = Packet(self.data)
        made.is_keyframe = self.is_key
        return made


@dataclass(frozen=True)
class Stretch:
    """Packets of a file, in the order of decoding, that are encoded anew.

    Args:
        first, end: the first one, and the one behind the last.
        ticks: at which their frames begin and end.
        header: of the file's picture.
    """

    first: int
    end: int
    ticks: tuple[int, int]
    header: AvcHeader


def find_stretch(
    source: Source, plan: CopyPlan, seconds: tuple[Fraction, Fraction], check: Check = never_stop
) -> Stretch | str:
    """The packets that must be encoded anew where frames between two seconds are replaced.

    Returns:
        Them, or why all must be, as the end of a sentence.
    """
    header = spliced_header(source, plan)
    if isinstance(header, str):
        return header
    with opened(source) as container:
        filled = (packet for packet in packets_of(container, check, video_stream(container)) if packet.size)
        anew = [packet.is_keyframe and header.starts_anew(bytes(packet)) for packet in filled]
    start, end = (round(second / plan.time_base) for second in seconds)
    return _stretch(plan, anew, start, end, header)


def spliced_header(source: Source, plan: CopyPlan) -> AvcHeader | str:
    """The header of a file's picture to which packets of another encoder can be added, or why they cannot."""
    if not plan.packets:
        return plan.why_encoded or "its packets cannot be copied"
    with opened(source) as container:
        video = video_stream(container)
        context = video.codec_context
        header = AvcHeader.read(bytes(context.extradata or b""))
        if context.codec.canonical_name != "h264" or header is None or header.free_id() is None:
            return "only parts of H.264 in MP4 or Matroska can be replaced"
        if context.pix_fmt != SPLICED_PIXELS or (video.sample_aspect_ratio or 1) != 1:
            return "its pixels are of an unusual form"
    with first_frame(source) as (_, frame, _):
        return "it is turned" if frame.rotation else header


def _stretch(plan: CopyPlan, anew: Sequence[bool], start: int, end: int, header: AvcHeader) -> Stretch:
    shown = [times.pts for times in plan.packets]
    latest = [-1, *accumulate(shown, max)]
    soonest = [*accumulate(reversed(shown), min)][::-1]
    # Where all that is decoded before is shown before, and all behind behind, the picture can be cut.
    cuts = [index for index in range(len(shown)) if latest[index] < soonest[index]]
    first = max(index for index in cuts if soonest[index] <= max(start, soonest[0]))
    last = min((index for index in cuts if anew[index] and soonest[index] >= end and index > first), default=len(shown))
    ticks = soonest[first], soonest[last] if last < len(shown) else plan.end
    return Stretch(first, last, ticks, header)


def spliced_packets(
    source: Source,
    container: InputContainer,
    output: OutputContainer,
    plan: CopyPlan,
    stretch: Stretch,
    replaced: Replace,
    check: Check = never_stop,
) -> Iterator[Packet]:
    """Add the picture of a file to an MP4 file, and give its packets, with those of a stretch encoded anew.

    The new packets are held in memory, all others are read as they are asked for.
    """
    with opened(source) as decoding:
        new, sets = _encoded(decoding, plan, stretch, replaced, check)
    video = video_stream(container)
    copy = add_copy(output, video)
    copy.codec_context.extradata = stretch.header.with_sets(sets).to_bytes()
    shown = [times.pts for times in plan.packets]
    shown[stretch.first : stretch.end] = [one.tick for one in new]
    return _merged(container, plan, stretch, new, shown, copy, check)


def _merged(
    container: InputContainer,
    plan: CopyPlan,
    stretch: Stretch,
    new: Sequence[NewPacket],
    shown: Sequence[int],
    copy: VideoStream,
    check: Check,
) -> Iterator[Packet]:
    times = iter(packet_times(shown, plan.end))
    for index, packet in enumerate(_filled(container, check)):
        if index == stretch.first:
            yield from (_timed(one.packet(), next(times), plan, copy) for one in new)
        if not stretch.first <= index < stretch.end:
            yield _timed(packet, next(times), plan, copy)


def _filled(container: InputContainer, check: Check) -> Iterator[Packet]:
    return (packet for packet in packets_of(container, check, video_stream(container)) if packet.size)


def _timed(packet: Packet, times: PacketTimes, plan: CopyPlan, copy: VideoStream) -> Packet:
    packet.pts, packet.dts, packet.duration = times
    packet.time_base, packet.stream = plan.time_base, copy
    return packet


def _encoded(
    container: InputContainer, plan: CopyPlan, stretch: Stretch, replaced: Replace, check: Check
) -> tuple[list[NewPacket], list[bytes]]:
    """Packets of a stretch and their parameter sets."""
    part = replace(plan, start=stretch.ticks[0], end=stretch.ticks[1], packets=())
    frames = FileFrames(timed_frames(container, part, check), Look.of(video_stream(container)))
    timed = replaced_frames(frames, part, replaced)
    return encoded_packets(timed, frames, part, stretch.header, part.is_even)


def encoded_packets(
    timed: Iterable[tuple[int, VideoFrame]], form: FileFrames, plan: CopyPlan, header: AvcHeader, is_even: bool
) -> tuple[list[NewPacket], list[bytes]]:
    """Packets of frames, each with the tick at which it is shown from the plan's start on, and their parameter sets.

    Args:
        form: whose size and colours they have.
        header: of the picture that they are added to.
        is_even: they are shown for about as long.
    """
    with av.open(Nowhere(), "w", format="mp4") as nowhere:
        rate = 1 / (plan.step * plan.time_base)
        stream = add_video(nowhere, form.size, rate, plan.time_base, form.colours, is_even=is_even)
        stream.options = {**stream.options, "x264-params": f"sps-id={header.free_id()}"}
        packets = [*VideoEncoder(stream, timed, plan.end - plan.start, plan.step).packets()]
        sets = units_of_stream(bytes(stream.codec_context.extradata or b""))
    new = [
        NewPacket(
            (packet.pts or 0) + plan.start,
            header.packed(filter(is_picture_unit, units_of_stream(bytes(packet)))),
            packet.is_keyframe,
        )
        for packet in packets
    ]
    return new, [unit for unit in sets if not is_picture_unit(unit)]


def replaced_frames(frames: FileFrames, plan: CopyPlan, replaced: Replace) -> Iterator[tuple[int, VideoFrame]]:
    """The frames of a plan, with others in the place of some."""
    converted = Converter(frames.colours)
    for tick, frame in frames:
        second = (plan.start + tick + Fraction(plan.step, 2)) * plan.time_base
        new = replaced(second, partial(rgb_pixels, frame))
        yield tick, frame if new is None else converted(new)


class Converter:
    """Makes frames of colours for the encoder of pixels (H, W, 3) of values 0..1."""

    def __init__(self, colours: ColourTags):
        self.matrix, self.reformatter = MATRICES.get(colours.matrix, Colorspace.ITU601), VideoReformatter()

    def __call__(self, pixels: Tensor) -> VideoFrame:
        return self.reformatter.reformat(
            VideoFrame.from_ndarray(to_bytes(pixels), format="rgb24"),
            format=SPLICED_PIXELS,
            dst_colorspace=self.matrix,
            dst_color_range=ColorRange.MPEG,
            interpolation=COLOUR_CONVERSION,
        )


def rgb_pixels(frame: VideoFrame) -> Tensor:
    """A frame as (H, W, 3) of values 0..1."""
    return torch.from_numpy(frame.to_ndarray(format="rgb24", interpolation=COLOUR_CONVERSION)).float() / 255
