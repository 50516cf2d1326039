"""Files in and out: pictures, sound and video as tensors.

Everything that is written appears whole or not at all: it grows under another name beside the target and is renamed
when it is complete, so an interrupt or an error leaves the target as it was.
"""

from __future__ import annotations

import heapq
import io
import math
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import av
import numpy as np
import torch
import torchaudio
from av import AudioFrame, AudioResampler, AudioStream, Packet, VideoFrame, VideoStream
from av.container import InputContainer, OutputContainer
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from .config import SHORT_SIDE, SIZE_MULTIPLE

Source: TypeAlias = str | os.PathLike[str] | BinaryIO
"""What can be read: a path, or an open file that can seek."""

LONGEST_STILL_SECONDS = 60
"""A frame that is shown for longer has a wrong time."""
LONGEST_ASPECT = 2
"""The automatic size's long side is at most this many times its short side."""
PICTURE_QUALITY = 17
"""Constant rate factor of H.264: visually lossless, far smaller than lossless."""
AAC_BITS_PER_CHANNEL = 128_000
"""Bits a second and channel, where the sample rate allows as many."""
AAC_BITS_PER_SAMPLE = 5
"""AAC takes at most six bits a sample."""
SRGB_PRIMARIES, SRGB_TRANSFER, BT601_MATRIX = 1, 13, 6
"""Numbers from H.264's tables of colours. The matrix is the one that libswscale converts with."""
COLOUR_CONVERSION = Interpolation.BILINEAR | 0x40000 | 0x2000
"""libswscale's flags: bilinear, accurate rounding, full chroma. Its defaults darken by one level of 255 each way."""
PEAK_LIMIT = 10 ** (-1 / 20)
"""Loudest sample after a change of loudness: 1 dB below full scale."""
MEASURED_PEAK = 0.1
"""Loudness is measured of a copy whose peak is no higher: torchaudio's filters clip at full scale."""
MEASURED_CHANNELS = 5
"""Most channels whose loudness torchaudio measures."""
LOUDNESS_BLOCK_SECONDS = 0.4
"""Loudness (ITU-R BS.1770) is measured over blocks of this length, so it needs one at least."""
CHANNEL_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
MP4_OPTIONS = {"movflags": "+faststart", "movie_timescale": "48000"}
"""The index at the front, so that a browser can start early; lengths exact to a sample, not to a millisecond."""
SOUND_CODECS = {"matroska": "flac", "webm": "libopus"}
"""Sound codec of a container, lossless where players expect that it may be; AAC in all others."""


@dataclass(frozen=True)
class StreamSummary:
    """What a media file holds. Fields of a stream that is not there are None, and its counts 0.

    Seconds are those of what a player shows: the frames' presentation times, the sound without the codec's padding.
    """

    picture_codec: str | None = None
    width: int = 0
    height: int = 0
    frames: int = 0
    frame_rate: Fraction | None = None
    picture_seconds: float = 0.0
    sound_codec: str | None = None
    sample_rate: int = 0
    channels: int = 0
    sound_seconds: float = 0.0


# Pictures


def read_image(path: str | os.PathLike[str]) -> Tensor:
    """Read a picture upright as (1, height, width, 3), float 0..1, transparent parts over white.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a picture, or damaged.
    """
    try:
        with Image.open(path) as file:
            pixels = _pixels(ImageOps.exif_transpose(file))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: there is no such picture file.") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a picture in a known format. Save it as PNG or JPEG.") from error
    except OSError as error:
        raise ValueError(f"{path} is damaged or cut off and cannot be read as a picture ({error}).") from error
    return to_rgb(pixels).unsqueeze(0)


def _pixels(image: Image.Image) -> Tensor:
    """(height, width, channels) float 0..1 of a picture in any of Pillow's modes."""
    if image.mode == "F":
        return torch.from_numpy(np.array(image, dtype=np.float32)).clamp(0, 1).unsqueeze(-1)
    if image.mode.startswith("I"):
        # Sixteen bits of grey; Pillow's own conversion to eight bits clips them instead of scaling.
        return torch.from_numpy(np.array(image, dtype=np.float32)).div(65535).clamp(0, 1).unsqueeze(-1)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return torch.from_numpy(np.array(image)).float().div(255)


def to_rgb(image: Tensor) -> Tensor:
    """Bring a picture (…, height, width, channels) of values 0..1 to three channels.

    One channel is grey, two are grey and alpha, four are RGB and alpha; what is transparent shows white.

    Raises:
        ValueError: any other number of channels.
    """
    channels = image.shape[-1]
    if channels not in (1, 2, 3, 4):
        raise ValueError(
            f"The image has {channels} channels. Give a grey (1), grey with alpha (2), RGB (3) or RGBA (4) image."
        )
    colour = image[..., : 1 if channels < 3 else 3]
    if channels in (2, 4):
        alpha = image[..., -1:]
        colour = colour * alpha + (1 - alpha)
    return colour.expand(*colour.shape[:-1], 3)


def to_bytes(pixels: Tensor) -> NDArray[np.uint8]:
    """Pixels of values 0..1 as 0..255, of the same shape; what lies beyond is cut off."""
    return pixels.clamp(0, 1).mul(255).round().byte().cpu().numpy()


def centre_crop(image: Tensor, width: int, height: int) -> Tensor:
    """The largest centre of (batch, rows, columns, channels) that has the aspect width : height."""
    rows, columns = image.shape[1:3]
    scale = min(columns / width, rows / height)
    crop_rows, crop_columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (rows - crop_rows) // 2, (columns - crop_columns) // 2
    return image[:, top : top + crop_rows, left : left + crop_columns]


def crop_and_resize(image: Tensor, width: int, height: int) -> Tensor:
    """Cut the centre of (batch, rows, columns, 3) to the wanted aspect and resize it to (batch, height, width, 3)."""
    image = centre_crop(image, width, height)
    if image.shape[1:3] == (height, width):
        return image
    # In half precision torch resizes on a GPU only.
    planes = functional.interpolate(image.movedim(-1, 1).float(), (height, width), mode="bicubic", antialias=True)
    return planes.movedim(1, -1).clamp(0, 1).to(image.dtype)


def automatic_size(width: int, height: int, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """Width and height in pixels that keep a picture's aspect at a short side, as multiples of SIZE_MULTIPLE.

    The long side is at most twice the short one: a longer picture is cropped.
    """
    aspect = max(width, height) / min(width, height)
    short = max(1, round(short_side / SIZE_MULTIPLE))
    long = max(short, min(round(short_side * aspect / SIZE_MULTIPLE), LONGEST_ASPECT * short))
    across, down = (long, short) if width > height else (short, long)
    return across * SIZE_MULTIPLE, down * SIZE_MULTIPLE


# Reading sound and video


@contextmanager
def _opened(source: Source) -> Iterator[InputContainer]:
    """Open a media file for reading; libav's own error becomes a sentence about the file."""
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        if not os.path.isfile(name):
            raise FileNotFoundError(f"{name}: there is no such media file.")
        file: str | BinaryIO = name
    else:
        source.seek(0)
        name, file = getattr(source, "name", "The given video"), source
    try:
        container = av.open(file, "r")
    except av.FFmpegError as error:
        raise ValueError(f"{name} is damaged or not a sound or video file ({error.strerror}).") from error
    with container:
        yield container


def _sound_stream(container: InputContainer) -> AudioStream | None:
    return cast("AudioStream | None", container.streams.best("audio"))


def _picture_stream(container: InputContainer) -> VideoStream:
    stream = container.streams.best("video")
    if stream is None:
        raise ValueError(f"{container.name or 'The given video'} has no picture.")
    return cast(VideoStream, stream)


def read_audio(source: Source) -> tuple[Tensor, int]:
    """Read a file's sound as (1, channels, samples) float32, full scale = 1, and its samples a second.

    Any format and sample type that libav reads; rate and channels stay the file's own.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no sound.
    """
    with _opened(source) as container:
        stream = _sound_stream(container)
        if stream is None:
            raise ValueError(f"{container.name or 'The given file'} has no sound.")
        waveform, sample_rate, _ = _decode_sound(container, stream)
        return waveform, sample_rate


def _decode_sound(container: InputContainer, stream: AudioStream) -> tuple[Tensor, int, float]:
    """A stream's waveform (1, channels, samples), samples a second, and start in seconds of the container's time."""
    resampler = AudioResampler(format="fltp")
    sample_rate, start, pieces = stream.rate, None, []
    for frame in chain(container.decode(stream), [None]):
        if frame is not None and start is None:
            start = frame.time or 0.0
        pieces += [torch.from_numpy(piece.to_ndarray()) for piece in resampler.resample(frame)]
    if not pieces:
        raise ValueError(f"{container.name or 'The given file'}: its sound is empty.")
    waveform = torch.cat(pieces, dim=-1)
    if "mp4" in container.format.name and stream.duration is not None and stream.time_base is not None:
        # The decoder drops the priming samples but keeps the padding of the last frame; the container knows its end.
        waveform = waveform[:, : round(stream.duration * stream.time_base * sample_rate)]
    return waveform.unsqueeze(0), sample_rate, start or 0.0


def read_video(source: Source) -> tuple[Tensor, Fraction, tuple[Tensor, int] | None]:
    """Read a video upright.

    Returns:
        Frames (frames, height, width, 3) float 0..1; frames a second; and the sound as read_audio gives it, or None.
        Where frames come unevenly, those are given that are shown at even times, as many a second as on average. The
        sound starts with the first frame: a stream that starts later is padded with silence, one that starts earlier
        is cut.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture.
    """
    with _opened(source) as container:
        start, shown, pictures = None, None, list[Tensor]()
        for frame in _even_frames(container):
            start = (frame.time or 0.0) if start is None else start
            pictures.append(pictures[-1] if frame is shown else _upright(frame))
            shown = frame
        frame_rate = _average_rate(container, len(pictures))
    frames = torch.stack(pictures).float().div_(255)
    return frames, frame_rate, _sound_from(source, start or 0.0)


def read_frames(source: Source) -> Iterator[Tensor]:
    """A video's frames as `read_video` gives them, (height, width, 3) each, decoded as they are asked for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture.
    """
    with _opened(source) as container:
        for frame in _even_frames(container):
            yield _upright(frame).float().div_(255)


def frame_count(source: Source) -> tuple[int, Fraction]:
    """How many frames `read_frames` gives, as its packets tell it, and how many a second.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture.
    """
    with _opened(source) as container:
        packets = _shown_packets(container, _picture_stream(container))
        rate = _average_rate(container, len(packets))
        times = sorted(packet.pts * packet.time_base for packet in packets if packet.pts is not None)
        steps = [after - before for before, after in pairwise(times)]
        seconds = sum(step for step in steps if step <= LONGEST_STILL_SECONDS)
        # Times that start anew lie beside each other here: then the packets are what counts.
        return max(len(packets), round(seconds * rate) + 1), rate


def _even_frames(container: InputContainer) -> Iterator[VideoFrame]:
    """The frames that are shown at even times, at the picture's average rate.

    Where times go back, or on by more than LONGEST_STILL_SECONDS, the next frame follows at once.
    """
    stream = _picture_stream(container)
    stream.thread_type = "AUTO"
    rate = _average_rate(container)
    start, place, shown = None, 0, None
    for frame in container.decode(stream):
        following = place + (shown is not None)
        due = following if start is None or frame.time is None else round((frame.time - start) * rate)
        if not place <= due <= place + LONGEST_STILL_SECONDS * rate:
            due, start = following, None
        if start is None and frame.time is not None:
            start = frame.time - due / rate
        if shown is not None:
            yield from repeat(shown, due - place)
        place, shown = due, frame
    if shown is not None:
        yield shown


def _average_rate(container: InputContainer, frames: int = 1) -> Fraction:
    """Frames a second of a picture that has so many frames.

    Raises:
        ValueError: it has none.
    """
    stream = _picture_stream(container)
    rate = _said_rate(stream)
    if not frames or not rate:
        raise ValueError(f"{container.name or 'The given video'}: its picture is empty.")
    return Fraction(rate)


def _said_rate(stream: VideoStream) -> Fraction | None:
    """Frames a second, as the file says or as PyAV guesses."""
    return stream.average_rate or stream.guessed_rate


def _upright(frame: VideoFrame) -> Tensor:
    """A frame as (height, width, 3) uint8, turned as its display matrix says."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24", interpolation=COLOUR_CONVERSION), frame.rotation // 90)
    return torch.from_numpy(np.ascontiguousarray(pixels))


def _sound_from(source: Source, picture_start: float) -> tuple[Tensor, int] | None:
    """A file's sound from that second of the container's time on, or None where it has none."""
    with _opened(source) as container:
        stream = _sound_stream(container)
        if stream is None:
            return None
        waveform, sample_rate, start = _decode_sound(container, stream)
    return functional.pad(waveform, (round((start - picture_start) * sample_rate), 0)), sample_rate


def stream_summary(source: Source) -> StreamSummary:
    """Say what a media file holds, by reading its packets and decoding its sound."""
    fields: dict[str, object] = {}
    with _opened(source) as container:
        if container.streams.video:
            fields.update(_picture_fields(container))
    with _opened(source) as container:
        stream = _sound_stream(container)
        if stream is not None:
            waveform, sample_rate, _ = _decode_sound(container, stream)
            fields.update(
                sound_codec=stream.codec_context.name,
                sample_rate=sample_rate,
                channels=waveform.shape[1],
                sound_seconds=waveform.shape[-1] / sample_rate,
            )
    return StreamSummary(**fields)  # type: ignore[arg-type]


def picture_seconds(source: Source) -> float:
    """Length of a video's picture, whatever the length of its sound, by reading its packets.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture.
    """
    with _opened(source) as container:
        stream = _picture_stream(container)
        return _shown_seconds(stream, _shown_packets(container, stream))


def _shown_packets(container: InputContainer, stream: VideoStream) -> list[Packet]:
    return [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]


def _shown_seconds(stream: VideoStream, packets: Sequence[Packet]) -> float:
    rate = _said_rate(stream)
    frame_seconds = 1 / rate if rate else Fraction(0)
    times = [packet.pts * packet.time_base for packet in packets if packet.pts is not None]
    return float(max(times) - min(times) + frame_seconds if times else len(packets) * frame_seconds)


def _picture_fields(container: InputContainer) -> dict[str, object]:
    stream = _picture_stream(container)
    packets = _shown_packets(container, stream)
    return {
        "picture_codec": stream.codec_context.name,
        "width": stream.width,
        "height": stream.height,
        "frames": len(packets),
        "frame_rate": _said_rate(stream),
        "picture_seconds": _shown_seconds(stream, packets),
    }


# Writing


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
    with _opened(source) as container, av.open(io.BytesIO(), "w", format=container_format) as output:
        picture = _picture_stream(container)
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
        with _opened(source) as container, _create(part) as output:
            picture = _picture_stream(container)
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
        channels: as many as `aac_sound` leaves.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: a source is damaged or has no picture.
    """
    with _whole_file(target_path) as part, _opened(sources[0]) as first, _create(part) as output:
        copy = _add_copy(output, _picture_stream(first))
        stream = _add_sound(output, channels, sample_rate)
        _mux(output, _joined_packets(sources, copy), _sound_packets(stream, sound))


def _joined_packets(sources: Iterable[str | os.PathLike[str]], copy: VideoStream) -> Iterator[Packet]:
    end = 0
    for source in sources:
        offset = end
        with _opened(source) as container:
            for packet in _copied_packets(container, _picture_stream(container), copy):
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
    rate = _said_rate(picture)
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


# Sound as a tensor


def aac_sound(waveform: Tensor, sample_rate: int) -> tuple[Tensor, int]:
    """A waveform (channels, samples) and its samples a second in a form that AAC takes: its own, else the nearest.

    Channels of no known layout are mixed to one.
    """
    if len(waveform) not in CHANNEL_LAYOUTS:
        waveform = waveform.mean(dim=0, keepdim=True)
    rate = _nearest_rate("aac", sample_rate)
    if rate == sample_rate:
        return waveform, rate
    return torchaudio.functional.resample(waveform, sample_rate, rate), rate


def fit_audio(waveform: Tensor, samples: int) -> Tensor:
    """Cut a waveform (…, samples) at its end, or pad it with silence there, to that many samples."""
    return functional.pad(waveform, (0, samples - waveform.shape[-1]))


def fade(waveform: Tensor, sample_rate: int, seconds: float) -> Tensor:
    """Fade a waveform (…, samples) in and out linearly, each over that many seconds or half the sound."""
    samples = min(round(seconds * sample_rate), waveform.shape[-1] // 2)
    if samples < 1:
        return waveform
    ramp = torch.arange(samples, device=waveform.device, dtype=waveform.dtype) / samples
    gain = waveform.new_ones(waveform.shape[-1])
    gain[:samples] = ramp
    gain[-samples:] = ramp.flip(0)
    return waveform * gain


def set_loudness(waveform: Tensor, sample_rate: int, target_lufs: float) -> Tensor:
    """Scale a waveform (…, channels, samples) to a loudness in LUFS (ITU-R BS.1770-4), with one gain a sound.

    The loudest sample stays 1 dB below full scale, so a sound with high peaks ends up softer than asked for. A sound
    that is silent, or too soft to be measured, is returned as it is.

    Raises:
        ValueError: there are more than five channels.
    """
    if waveform.shape[-2] > MEASURED_CHANNELS:
        raise ValueError(f"The sound has {waveform.shape[-2]} channels: loudness can be set for {MEASURED_CHANNELS}.")
    block = math.ceil(LOUDNESS_BLOCK_SECONDS * sample_rate)
    peak = waveform.abs().amax(dim=(-2, -1))
    softer = (MEASURED_PEAK / peak).clamp(max=1)
    heard = fit_audio(waveform * softer[..., None, None], max(block, waveform.shape[-1]))
    measured = torchaudio.functional.loudness(heard, sample_rate) - 20 * softer.log10()
    gain = torch.minimum(10 ** ((target_lufs - measured) / 20), PEAK_LIMIT / peak)
    gain = torch.where(measured.isfinite() & (peak > 0), gain, torch.ones_like(gain))
    return waveform * gain[..., None, None]
