"""Tensors as video files.

Everything that is written appears whole or not at all: it grows under another name beside the target and is renamed
when it is complete, so an interrupt or an error leaves the target as it was.
"""

from __future__ import annotations

import heapq
import io
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import cast

import av
import torchaudio
from av import AudioFrame, AudioStream, Packet, VideoFrame, VideoStream
from av.container import InputContainer, OutputContainer
from av.video.reformatter import ColorRange, VideoReformatter
from torch import Tensor

from .container import Source, opened, picture_stream, said_rate
from .frames import COLOUR_CONVERSION
from .images import to_bytes, to_rgb

PICTURE_QUALITY = 17
"""Constant rate factor of H.264: visually lossless, far smaller than lossless."""
AAC_BITS_PER_CHANNEL = 128_000
"""Bits a second and channel, where the sample rate allows as many."""
AAC_BITS_PER_SAMPLE = 5
"""AAC takes at most six bits a sample."""
SRGB_PRIMARIES, SRGB_TRANSFER, BT601_MATRIX = 1, 13, 6
"""Numbers from H.264's tables of colours. The matrix is the one that libswscale converts with."""
CHANNEL_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
MP4_OPTIONS = {"movflags": "+faststart", "movie_timescale": "48000"}
"""The index at the front, so that a browser can start early; lengths exact to a sample, not to a millisecond."""
SOUND_CODECS = {"matroska": "flac", "webm": "libopus"}
"""Sound codec of a container, lossless where players expect that it may be; AAC in all others."""


@contextmanager
def _whole_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside the target that becomes the target when the block ends well, and goes away when it does not."""
    path = Path(target)
    part = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _create(path: Path) -> OutputContainer:
    options = MP4_OPTIONS if path.suffix.lower() in (".mp4", ".m4v", ".mov") else {}
    return av.open(os.fspath(path), "w", options=options)


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[Tensor],
    frame_rate: Fraction | float,
    waveform: Tensor | None = None,
    sample_rate: int | None = None,
) -> None:
    """Write H.264 (8 bits, 4:2:0) and sound (AAC in MP4) to a file, all or nothing.

    Args:
        path: the target; its ending chooses the container.
        frames: (frames, height, width, 3) float 0..1, or any iterable of (height, width, 3). Where width or height is
            odd, the last column or row is cut off, because 4:2:0 needs even sizes.
        frame_rate: frames a second.
        waveform: (channels, samples), full scale = 1, or None for no sound. It starts with the first frame.
        sample_rate: samples a second of the waveform.

    Raises:
        ValueError: there are no frames, they are smaller than 2 × 2 pixels, or the channels are no known layout.
    """
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise ValueError("There are no frames to write.")
    height, width = (size - size % 2 for size in first.shape[:2])
    if not height or not width:
        raise ValueError(f"Frames of {first.shape[1]} × {first.shape[0]} pixels are too small for a video.")
    with _whole_file(path) as part, _create(part) as output:
        stream = output.add_stream("libx264", rate=Fraction(frame_rate).limit_denominator(65535))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(PICTURE_QUALITY)}
        context = stream.codec_context
        context.color_primaries, context.color_trc = SRGB_PRIMARIES, SRGB_TRANSFER
        context.colorspace, context.color_range = BT601_MATRIX, ColorRange.MPEG
        packets = [_encode_picture(stream, chain([first], remaining))]
        if waveform is not None and sample_rate is not None:
            packets.append(_encode_sound(output, waveform, sample_rate))
        _mux(output, *packets)


def _encode_picture(stream: VideoStream, frames: Iterable[Tensor]) -> Iterator[Packet]:
    reformatter = VideoReformatter()
    for index, pixels in enumerate(frames):
        picture = to_bytes(to_rgb(pixels)[: stream.height, : stream.width])
        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        frame = reformatter.reformat(frame, format="yuv420p", interpolation=COLOUR_CONVERSION)
        frame.pts, frame.time_base = index, 1 / stream.codec_context.framerate
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _encode_sound(output: OutputContainer, waveform: Tensor, sample_rate: int) -> Iterator[Packet]:
    """Add a sound stream in the container's codec and return its packets, encoded as they are asked for."""
    stream = _add_sound(output, waveform.shape[0], sample_rate)
    if stream.rate != sample_rate:
        waveform = torchaudio.functional.resample(waveform, sample_rate, stream.rate)
    return _sound_packets(stream, waveform.split(stream.rate, dim=-1))


def _add_sound(output: OutputContainer, channels: int, sample_rate: int) -> AudioStream:
    if channels not in CHANNEL_LAYOUTS:
        raise ValueError(f"Sound of {channels} channels cannot be written. Mix it down to mono or stereo.")
    codec = SOUND_CODECS.get(output.format.name, "aac")
    rate = _nearest_rate(codec, sample_rate)
    stream = cast(AudioStream, output.add_stream(codec, rate=rate, layout=CHANNEL_LAYOUTS[channels]))
    if codec == "flac":
        stream.format = "s32"
    if codec == "aac":
        stream.bit_rate = channels * min(AAC_BITS_PER_CHANNEL, AAC_BITS_PER_SAMPLE * rate)
    return stream


def _nearest_rate(codec: str, sample_rate: int) -> int:
    """The sample rate that a codec takes for a sound: its own, else the next higher, else the highest."""
    rates = av.Codec(codec, "w").audio_rates
    if not rates or sample_rate in rates:
        return sample_rate
    return min((rate for rate in rates if rate > sample_rate), default=max(rates))


def _sound_packets(stream: AudioStream, pieces: Iterable[Tensor]) -> Iterator[Packet]:
    position = 0
    for piece in pieces:
        samples = piece.detach().float().clamp(-1, 1).cpu().contiguous().numpy()
        frame = AudioFrame.from_ndarray(samples, format="fltp", layout=CHANNEL_LAYOUTS[piece.shape[0]])
        frame.sample_rate, frame.pts, frame.time_base = stream.rate, position, Fraction(1, stream.rate)
        position += piece.shape[-1]
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _mux(output: OutputContainer, *streams: Iterator[Packet]) -> None:
    """Write packets in the order of their decoding times, so that a player finds picture and sound side by side."""
    for packet in heapq.merge(*streams, key=lambda packet: (packet.dts or 0) * packet.time_base):
        output.mux_one(packet)


def can_copy(source: Source, container_format: str) -> bool:
    """Whether a container, by its name in FFmpeg, takes a video's picture packets.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or has no picture.
    """
    with opened(source) as container, av.open(io.BytesIO(), "w", format=container_format) as output:
        picture = picture_stream(container)
        try:
            _add_copy(output, picture)
        except ValueError:
            return False
        return True


def replace_audio(source: Source, target_path: str | os.PathLike[str], waveform: Tensor, sample_rate: int) -> None:
    """Copy a video's picture packets unchanged to a new file and give it another sound, all or nothing.

    Args:
        source: the video; it may be the target itself.
        target_path: its ending chooses the container, which must take the source's picture codec.
        waveform: (channels, samples), full scale = 1. It starts with the first frame that the source shows.
        sample_rate: samples a second of the waveform.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: the source is damaged or has no picture, or the container does not take its codec.
    """
    with _whole_file(target_path) as part:
        with opened(source) as container, _create(part) as output:
            picture = picture_stream(container)
            copy = _add_copy(output, picture)
            sound = _encode_sound(output, waveform, sample_rate)
            _mux(output, _copied_packets(container, picture, copy), sound)


def join_videos(
    sources: Sequence[str | os.PathLike[str]],
    target_path: str | os.PathLike[str],
    sound: Iterable[Tensor],
    sample_rate: int,
    channels: int = 1,
) -> None:
    """Copy the picture packets of several videos of `write_video` after each other to an MP4 file, with one sound.

    However long it gets, no more is held than a few packets and a piece of sound.

    Args:
        sources: videos of one size and frame rate.
        target_path: ends in .mp4.
        sound: pieces (channels, samples) of the sound, full scale = 1.
        sample_rate: samples a second, such as AAC takes.
        channels: as many as `aac_form` says.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: a source is damaged or has no picture.
    """
    with _whole_file(target_path) as part, opened(sources[0]) as first, _create(part) as output:
        copy = _add_copy(output, picture_stream(first))
        stream = _add_sound(output, channels, sample_rate)
        _mux(output, _joined_packets(sources, copy), _sound_packets(stream, sound))


def _joined_packets(sources: Iterable[str | os.PathLike[str]], copy: VideoStream) -> Iterator[Packet]:
    end = 0
    for source in sources:
        offset = end
        with opened(source) as container:
            for packet in _copied_packets(container, picture_stream(container), copy):
                packet.pts, packet.dts = (packet.pts or 0) + offset, (packet.dts or 0) + offset
                end = max(end, packet.pts + (packet.duration or 0))
                yield packet


def _add_copy(output: OutputContainer, picture: VideoStream) -> VideoStream:
    try:
        # Opaque: by codec, not by the decoder that was chosen, whose name an encoder need not have.
        return output.add_stream_from_template(picture, opaque=True)
    except ValueError as error:
        kind, codec = output.format.name, picture.codec_context.name
        raise ValueError(f"A {kind} file cannot hold {codec} video. Choose .mp4, .mov or .mkv.") from error


def _copied_packets(container: InputContainer, picture: VideoStream, copy: VideoStream) -> Iterator[Packet]:
    """The picture's packets with times that count from the first frame shown."""
    start = picture.start_time or 0
    for packet in _with_decoding_times(container, picture):
        packet.pts = None if packet.pts is None else packet.pts - start
        packet.dts = (packet.dts or 0) - start
        packet.stream = copy
        yield packet


def _with_decoding_times(container: InputContainer, picture: VideoStream) -> Iterator[Packet]:
    """The picture's packets, each with a decoding time.

    Matroska leaves it out where reordered frames start; there the packets are set a frame apart.
    """
    rate = said_rate(picture)
    waiting: list[Packet] = []
    for packet in container.demux(picture):
        if not packet.size:
            continue
        if packet.dts is None:
            waiting.append(packet)
            continue
        step = round(1 / (rate * packet.time_base)) if rate else 1
        for distance, earlier in enumerate(reversed(waiting), start=1):
            earlier.dts = packet.dts - distance * step
        yield from waiting
        waiting.clear()
        yield packet
    for packet in waiting:
        packet.dts = packet.pts
        yield packet


def aac_form(channels: int, sample_rate: int) -> tuple[int, int]:
    """Channels and samples a second that AAC takes for a sound: its own, else one channel, and the nearest rate."""
    return channels if channels in CHANNEL_LAYOUTS else 1, _nearest_rate("aac", sample_rate)
