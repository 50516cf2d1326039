"""The pictures of two files with frames between them as one: copied packet by packet as far as that can be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from av import Packet, VideoFrame
from av.container import InputContainer, OutputContainer
from torch import Tensor

from ..config import FRAME_RATE
from .container import Check, Source, packets_of, video_stream
from .copying import CopyPlan, add_copy, packet_times, timed_frames
from .encoding import FileFrames, VideoEncoder, add_video
from .frames import Look
from .h264 import AvcHeader
from .splicing import Converter, encoded_packets, rgb_pixels, spliced_header

ENCODED = "the picture is encoded anew as H.264, because"


class BridgedPicture:
    """Two files' pictures and what lies between them.

    Args:
        sources, plans: both files, of one size, and how their pictures get into MP4.
        containers: both, opened.
        between: frames (H, W, 3) of values 0..1, 16 a second.

    Attributes:
        told: what is encoded anew and why, sentences.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        containers: Sequence[InputContainer],
        plans: Sequence[CopyPlan],
        between: Iterable[Tensor],
        check: Check,
    ):
        self.sources, self.containers, self.plans, self.check = sources, containers, plans, check
        self.between = [*between]
        self.headers = [spliced_header(source, plan) for source, plan in zip(sources, plans, strict=True)]
        self.told = [f"video: {ENCODED} {self.headers[0]}."] if isinstance(self.headers[0], str) else []
        if not self.told and not self._is_alike:
            self.told = [f"next_video: {ENCODED} video was encoded in another way."]
        first = plans[0]
        self.base = first.time_base
        self.start = first.end - first.start
        """Tick at which the bridge begins."""
        self.end = self.start + round(Fraction(len(self.between), FRAME_RATE) / self.base)

    @property
    def _is_alike(self) -> bool:
        """Whether packets of the second file can be read with the header of the first."""
        return isinstance(self.headers[1], AvcHeader) and self.headers[0] == self.headers[1]

    @property
    def _whole(self) -> CopyPlan:
        """All of it, in the first file's ticks."""
        last = self.plans[1]
        lasts = round((last.end - last.start) * last.time_base / self.base)
        return replace(self.plans[0], start=0, end=self.end + lasts, packets=())

    def packets(self, output: OutputContainer) -> Iterator[Packet]:
        """Add it to an MP4 file, and give its packets."""
        header, plan = self.headers[0], self._whole
        if isinstance(header, str):
            return self._all_encoded(output, plan)
        return self._copied(output, plan, header)

    def _all_encoded(self, output: OutputContainer, plan: CopyPlan) -> Iterator[Packet]:
        first = self._frames(0)
        rate = 1 / (plan.step * plan.time_base)
        stream = add_video(output, first.size, rate, self.base, first.colours, first.pixel_aspect, is_even=False)
        return VideoEncoder(stream, self._timed(first), plan.end, plan.step).packets()

    def _timed(self, first: FileFrames) -> Iterator[tuple[int, VideoFrame]]:
        yield from first
        yield from self._behind(first)

    def _behind(self, form: FileFrames, with_last: bool = True) -> Iterator[tuple[int, VideoFrame]]:
        """The bridge's frames, and those of the second file unless its packets are copied."""
        converted, (width, height) = Converter(form.colours), form.size
        for index, pixels in enumerate(self.between):
            tick = self.start + round(Fraction(index, FRAME_RATE) / self.base)
            yield tick, converted(pixels[:height, :width])
        if not with_last:
            return
        last = self._frames(1)
        for tick, frame in last:
            alike = last.colours == form.colours
            yield self._tick(tick), frame if alike else converted(rgb_pixels(frame))

    def _frames(self, index: int) -> FileFrames:
        container = self.containers[index]
        return FileFrames(timed_frames(container, self.plans[index], self.check), Look.of(video_stream(container)))

    def _tick(self, tick: int) -> int:
        """A tick of the second file in all of it."""
        return self.end + round(tick * self.plans[1].time_base / self.base)

    def _copied(self, output: OutputContainer, plan: CopyPlan, header: AvcHeader) -> Iterator[Packet]:
        first, last = self.plans
        form = self._frames(0)
        self.containers[0].seek(0)
        copies_last = self._is_alike
        part = replace(plan, start=self.start, end=self.end if copies_last else plan.end)
        timed = ((tick - self.start, frame) for tick, frame in self._behind(form, with_last=not copies_last))
        new, sets = encoded_packets(timed, form, part, header, is_even=False)
        copy = add_copy(output, video_stream(self.containers[0]))
        copy.codec_context.extradata = header.with_sets(sets).to_bytes()
        shown = [*(times.pts for times in first.packets), *(one.tick for one in new)]
        if copies_last:
            shown += [self._tick(times.pts) for times in last.packets]

        def merged() -> Iterator[Packet]:
            yield from self._own(0)
            yield from (one.packet() for one in new)
            if copies_last:
                yield from self._own(1)

        for packet, times in zip(merged(), packet_times(shown, plan.end), strict=False):
            packet.pts, packet.dts, packet.duration = times
            packet.time_base, packet.stream = self.base, copy
            yield packet

    def _own(self, index: int) -> Iterator[Packet]:
        container = self.containers[index]
        return (packet for packet in packets_of(container, self.check, video_stream(container)) if packet.size)
