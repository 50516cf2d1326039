"""Pictures as packets of H.264, and sound as packets of what a container takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from typing import cast

import av
import numpy as np
import torch
from av import AudioFrame, AudioResampler, AudioStream, Packet, VideoFrame, VideoStream
from av.container import OutputContainer
from av.filter import Graph
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from torch import Tensor

from .colour import HLG, PQ
from .frames import COLOUR_CONVERSION, PALETTE, Look, has_alpha, opaque_pixels, to_float
from .images import to_bytes, to_rgb
from .waveforms import LEFT_WEIGHTS, PIECE_SAMPLES, at_rate, fit_audio

VIDEO_QUALITY = 17
"""Constant rate factor of H.264: visually lossless, far smaller than lossless."""
LARGEST_SIDE = 16_384
"""Pixels that the encoder of H.264 takes."""
BT709, SRGB = 1, 13
"""Numbers from H.264's tables of colours: the first stands for primaries, transfer and matrix, the other for a
transfer."""
MATRICES, UNKNOWN_MATRIX = {1, 4, 5, 6, 7, 9, 10}, 2
"""Those that libswscale knows, and what stands for all others."""
GROUP_FRAMES = 250
"""So many frames of a picture that is held are encoded; their packets are repeated."""
AAC_BITS_PER_CHANNEL = 128_000
"""Bits a second and channel, where the sample rate allows as many."""
AAC_BITS_PER_SAMPLE = 5
"""AAC takes at most six bits a sample."""
PLAYED_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
"""Layouts that every player knows, by their number of channels."""
AUDIO_CODECS = {"matroska": "flac", "webm": "libopus"}
"""Sound codec of a container, lossless where players expect that it may be; AAC in all others."""


TURNS: tuple[tuple[tuple[str, str | None], ...], ...] = (
    (),
    (("transpose", "cclock"),),
    (("hflip", None), ("vflip", None)),
    (("transpose", "clock"),),
)
"""libav's filters that turn a frame counter-clockwise by as many quarters."""
GREY = "gray"


@dataclass(frozen=True)
class ColourTags:
    """Numbers from H.264's tables of colours: primaries, transfer and matrix."""

    primaries: int = BT709
    transfer: int = SRGB
    matrix: int = BT709


def even_size(width: int, height: int) -> tuple[int, int]:
    """A size of frames without the last column or row where it is odd, because 4:2:0 needs even sizes.

    Raises:
        ValueError: it is too small or too large for a video.
    """
    if width < 2 or height < 2:
        raise ValueError(f"Frames of {width} × {height} pixels are too small for a video.")
    if max(width, height) > LARGEST_SIDE:
        raise ValueError(f"Frames of {width} × {height} pixels are too large: a video takes {LARGEST_SIDE} at most.")
    return width - width % 2, height - height % 2


def add_video(
    output: OutputContainer,
    size: tuple[int, int],
    frame_rate: Fraction,
    time_base: Fraction | None = None,
    colours: ColourTags | None = None,
    pixel_aspect: Fraction = Fraction(1),
    is_even: bool = True,
) -> VideoStream:
    """Add a picture in H.264 (8 bits, 4:2:0, limited range) to a file.

    Args:
        size: width and height, both even.
        frame_rate: frames a second, more or less.
        time_base: seconds of a tick; None: of a frame.
        pixel_aspect: width of a pixel by its height.
        is_even: all frames are shown for about as long. Others are not reordered: MP4 counts in the order of decoding.
    """
    rate = frame_rate.limit_denominator(65535)
    stream = output.add_stream("libx264", rate=rate)
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    stream.options = {"crf": str(VIDEO_QUALITY), "forced-idr": "1"}
    context = stream.codec_context
    colours = colours or ColourTags()
    context.time_base = time_base or 1 / rate
    context.color_primaries, context.color_trc = colours.primaries, colours.transfer
    context.colorspace, context.color_range = colours.matrix, ColorRange.MPEG
    context.sample_aspect_ratio = pixel_aspect
    if not is_even:
        context.max_b_frames = 0
    return stream


class VideoEncoder:
    """Encodes frames, and holds the last one.

    Args:
        stream: of `add_video`.
        frames: each with the tick at which it is shown.
        end: tick at which the last of them ends; None: a step after it starts.
        step: ticks for which a held frame is shown.
        held: how many times the last frame is shown again after the end. Few of them are encoded, whatever the number.
    """

    def __init__(
        self,
        stream: VideoStream,
        frames: Iterable[tuple[int, VideoFrame]],
        end: int | None = None,
        step: int = 1,
        held: int = 0,
    ):
        self.stream, self.frames, self.end, self.step, self.held = stream, frames, end, step, held
        self.durations: dict[int, int] = {}

    def packets(self) -> Iterator[Packet]:
        latest: tuple[int, VideoFrame] | None = None
        for time, frame in self.frames:
            if latest is not None:
                self.durations[latest[0]] = time - latest[0]
            latest = time, frame
            yield from self._encode(time, frame)
        if latest is None:
            raise ValueError("There are no frames to write.")
        end = latest[0] + self.step if self.end is None else self.end
        self.durations[latest[0]] = end - latest[0]
        yield from self._hold(latest[1], end)

    def _hold(self, frame: VideoFrame, end: int) -> Iterator[Packet]:
        """Packets of a frame that is shown again and again, after those that the encoder still keeps."""
        groups, single = divmod(self.held, GROUP_FRAMES)
        start = end + single * self.step
        group: list[tuple[bytes, int, int, bool]] = []
        for packet in self._hold_once(frame, end, single + min(groups, 1) * GROUP_FRAMES, single):
            pts, dts = cast(int, packet.pts), cast(int, packet.dts)
            if groups > 1 and pts >= start:
                group.append((bytes(packet), pts, dts, packet.is_keyframe))
            yield packet
        for repeat in range(1, groups):
            offset = repeat * GROUP_FRAMES * self.step
            yield from (self._moved(packet, offset) for packet in group)

    def _hold_once(self, frame: VideoFrame, end: int, count: int, first_of_group: int) -> Iterator[Packet]:
        for index in range(count):
            time = end + index * self.step
            self.durations[time] = self.step
            yield from self._encode(time, frame, is_key=index == first_of_group)
        yield from self._timed(self.stream.encode(None))

    def _encode(self, time: int, frame: VideoFrame, is_key: bool = False) -> Iterator[Packet]:
        frame.pts, frame.time_base = time, self.stream.codec_context.time_base
        # What a decoder says of its own frame would be obeyed by the encoder.
        frame.pict_type = PictureType.I if is_key else PictureType.NONE
        return self._timed(self.stream.encode(frame))

    def _timed(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        for packet in packets:
            packet.duration = self.durations.pop(cast(int, packet.pts), self.step)
            yield packet

    def _moved(self, packet: tuple[bytes, int, int, bool], offset: int) -> Packet:
        data, pts, dts, is_key = packet
        copy = Packet(data)
        copy.stream, copy.time_base = self.stream, self.stream.codec_context.time_base
        copy.pts, copy.dts, copy.duration, copy.is_keyframe = pts + offset, dts + offset, self.step, is_key
        return copy


def pixel_frames_as_yuv(frames: Iterable[Tensor], size: tuple[int, int]) -> Iterator[tuple[int, VideoFrame]]:
    """Frames (height, width, channels) of values 0..1 as the encoder takes them, with their number."""
    width, height = size
    reformatter = VideoReformatter()
    for index, pixels in enumerate(frames):
        frame = VideoFrame.from_ndarray(to_bytes(to_rgb(pixels[:height, :width])), format="rgb24")
        yield index, _from_rgb(reformatter, frame)


def _from_rgb(reformatter: VideoReformatter, frame: VideoFrame) -> VideoFrame:
    return reformatter.reformat(
        frame,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=COLOUR_CONVERSION,
    )


class FileFrames:
    """Frames of a file as the encoder takes them: upright, opaque, of one even size.

    Their colours stay what the file says, but for RGB and HDR, which become what `Colours` says.

    Args:
        frames: as they are decoded, each with its time.
        look: of the file's picture.

    Raises:
        ValueError: the first frame has no size that a video takes.
    """

    def __init__(self, frames: Iterator[tuple[int, VideoFrame]], look: Look):
        first = next(frames, None)
        if first is None:
            raise ValueError("There are no frames to write.")
        self.frames = chain([first], frames)
        frame = first[1]
        self.turns = frame.rotation // 90 % 4
        self.size = even_size(*_upright_size(frame, self.turns))
        self.pixel_aspect = 1 / look.pixel_aspect if self.turns % 2 else look.pixel_aspect
        self.hdr = replace(look, pixel_aspect=Fraction(1)) if look.transfer in (PQ, HLG) else None
        is_kept = self.hdr is None and not _is_rgb(_opaque(frame))
        matrix = frame.colorspace if frame.colorspace in MATRICES else UNKNOWN_MATRIX
        self.colours = ColourTags(frame.color_primaries, frame.color_trc, matrix) if is_kept else ColourTags()
        self.reformatter = VideoReformatter()
        self.shape: tuple[int, int, str] | None = None
        self.graph = Graph()

    def __iter__(self) -> Iterator[tuple[int, VideoFrame]]:
        for time, frame in self.frames:
            if self.hdr is not None:
                pixels = to_bytes(to_float(self.hdr.pixels(frame, *self.size)))
                frame = VideoFrame.from_ndarray(pixels, format="rgb24")
            else:
                frame = self._upright(_opaque(frame))
            yield time, self._converted(frame)

    def _upright(self, frame: VideoFrame) -> VideoFrame:
        filters = [*TURNS[self.turns]]
        rows_and_columns = _upright_size(frame, self.turns)
        if rows_and_columns != self.size and even_size(*rows_and_columns) == self.size:
            filters.append(("crop", f"{self.size[0]}:{self.size[1]}:0:0"))
        if not filters:
            return frame
        shape = frame.width, frame.height, frame.format.name
        if shape != self.shape:
            self.shape, self.graph = shape, _graph(frame, filters)
        self.graph.vpush(frame)
        return self.graph.vpull()

    def _converted(self, frame: VideoFrame) -> VideoFrame:
        width, height = self.size
        if frame.colorspace not in MATRICES:
            frame.colorspace = UNKNOWN_MATRIX
        if _is_rgb(frame):
            return _from_rgb(self.reformatter, self.reformatter.reformat(frame, width, height, "rgb24"))
        return self.reformatter.reformat(
            frame,
            width,
            height,
            "yuv420p",
            src_color_range=ColorRange.JPEG if _is_full_range(frame) else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=COLOUR_CONVERSION,
        )


def _upright_size(frame: VideoFrame, turns: int) -> tuple[int, int]:
    return (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)


def _is_rgb(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.name == PALETTE


def _is_full_range(frame: VideoFrame) -> bool:
    name = frame.format.name
    unsaid = frame.color_range == ColorRange.UNSPECIFIED
    return frame.color_range == ColorRange.JPEG or name.startswith("yuvj") or (unsaid and name.startswith(GREY))


def _opaque(frame: VideoFrame) -> VideoFrame:
    """The frame, or one whose transparent parts show white."""
    if not has_alpha(frame):
        return frame
    pixels = opaque_pixels(frame)
    return VideoFrame.from_ndarray(pixels, format="rgb24" if pixels.dtype == np.uint8 else "rgb48le")


def _graph(frame: VideoFrame, filters: Sequence[tuple[str, str | None]]) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1)
    )
    graph.link_nodes(source, *(graph.add(name, options) for name, options in filters), graph.add("buffersink"))
    graph.configure()
    return graph


def audio_layout(channels: int) -> str:
    """The layout that sound of so many channels is written in."""
    return PLAYED_LAYOUTS[played_channels(channels)]


def played_channels(channels: int) -> int:
    """Channels of the sound that is made of so many: mono, stereo and 5.1 stay, up to 7.1 become stereo, more one."""
    return channels if channels in PLAYED_LAYOUTS else 2 if channels in LEFT_WEIGHTS else 1


def add_audio(output: OutputContainer, channels: int, sample_rate: int) -> AudioStream:
    """Add a sound in the container's codec to a file."""
    codec = AUDIO_CODECS.get(output.format.name, "aac")
    rate = nearest_rate(codec, sample_rate)
    stream = cast(AudioStream, output.add_stream(codec, rate=rate, layout=audio_layout(channels)))
    if codec == "flac":
        stream.format = "s32"
    if codec == "aac":
        stream.bit_rate = stream.layout.nb_channels * min(AAC_BITS_PER_CHANNEL, AAC_BITS_PER_SAMPLE * rate)
    return stream


def nearest_rate(codec: str, sample_rate: int) -> int:
    """The sample rate that a codec takes for a sound: its own, else the next higher, else the highest."""
    rates = av.Codec(codec, "w").audio_rates
    if not rates or sample_rate in rates:
        return sample_rate
    return min((rate for rate in rates if rate > sample_rate), default=max(rates))


def audio_packets(stream: AudioStream, pieces: Iterable[Tensor], sample_rate: int) -> Iterator[Packet]:
    """Encode pieces (channels, samples) of a sound, which are mixed and resampled to the stream's form."""
    resampler = AudioResampler(format=stream.format, layout=stream.layout, rate=stream.rate)
    mixed_pieces = at_rate(pieces, sample_rate, sample_rate, stream.layout.nb_channels)
    position = 0
    for piece in chain((piece for piece in mixed_pieces if piece.shape[-1]), [None]):
        for frame in resampler.resample(None if piece is None else _audio_frame(piece.clamp(-1, 1), sample_rate)):
            frame.pts, frame.time_base = position, Fraction(1, stream.rate)
            position += frame.samples
            yield from stream.encode(frame)
    yield from stream.encode(None)


def _audio_frame(piece: Tensor, sample_rate: int) -> AudioFrame:
    """Samples (1, 2 or 6 channels, samples) as libav takes them."""
    # Channels beside each other: PyAV loses count of more than seven planes.
    samples = piece.detach().float().cpu().t().reshape(1, -1).numpy()
    frame = AudioFrame.from_ndarray(samples, format="flt", layout=PLAYED_LAYOUTS[len(piece)])
    frame.sample_rate = sample_rate
    return frame


def aac_form(channels: int, sample_rate: int) -> tuple[int, int]:
    """Channels and samples a second of what AAC, and every player, takes for a sound of this form."""
    return played_channels(channels), nearest_rate("aac", sample_rate)


def is_aac_form(channels: int, sample_rate: int) -> bool:
    """Whether AAC takes sound of this form, and every player."""
    return aac_form(channels, sample_rate) == (channels, sample_rate)


def aac_waveform(waveform: Tensor, sample_rate: int) -> tuple[Tensor, int]:
    """A waveform (channels, samples) and its samples a second in a form that AAC and every player take.

    Mono, stereo and 5.1 stay, up to 7.1 is mixed down to stereo, and more channels to one. The rate stays, or becomes
    the nearest.
    """
    if is_aac_form(len(waveform), sample_rate):
        return waveform, sample_rate
    channels, rate = aac_form(len(waveform), sample_rate)
    resampler = AudioResampler(format="fltp", layout=PLAYED_LAYOUTS[channels], rate=rate)
    pieces = at_rate(waveform.split(PIECE_SAMPLES, dim=-1), sample_rate, sample_rate, channels)
    audio_frames = (_audio_frame(piece, sample_rate) for piece in pieces if piece.shape[-1])
    frames = [frame for piece in chain(audio_frames, [None]) for frame in resampler.resample(piece)]
    made = [torch.from_numpy(frame.to_ndarray()) for frame in frames] or [waveform.new_zeros(channels, 0)]
    return fit_audio(torch.cat(made, dim=-1), round(Fraction(waveform.shape[-1] * rate, sample_rate))), rate
