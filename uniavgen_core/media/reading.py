"""Sound and video files as tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise, repeat
from typing import BinaryIO, TypeAlias, cast

import av
import numpy as np
import torch
from av import AudioResampler, AudioStream, Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.video.reformatter import Interpolation
from torch import Tensor
from torch.nn import functional

Source: TypeAlias = str | os.PathLike[str] | BinaryIO
"""What can be read: a path, or an open file that can seek."""
LONGEST_STILL_SECONDS = 60
"""A frame that is shown for longer has a wrong time."""
COLOUR_CONVERSION = Interpolation.BILINEAR | 0x40000 | 0x2000
"""libswscale's flags: bilinear, accurate rounding, full chroma. Its defaults darken by one level of 255 each way."""


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


@contextmanager
def opened(source: Source) -> Iterator[InputContainer]:
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


def picture_stream(container: InputContainer) -> VideoStream:
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
    with opened(source) as container:
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
    with opened(source) as container:
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
    with opened(source) as container:
        for frame in _even_frames(container):
            yield _upright(frame).float().div_(255)


def frame_count(source: Source) -> tuple[int, Fraction]:
    """How many frames `read_frames` gives, as its packets tell it, and how many a second.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture.
    """
    with opened(source) as container:
        packets = _shown_packets(container, picture_stream(container))
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
    stream = picture_stream(container)
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
    stream = picture_stream(container)
    rate = said_rate(stream)
    if not frames or not rate:
        raise ValueError(f"{container.name or 'The given video'}: its picture is empty.")
    return Fraction(rate)


def said_rate(stream: VideoStream) -> Fraction | None:
    """Frames a second, as the file says or as PyAV guesses."""
    return stream.average_rate or stream.guessed_rate


def _upright(frame: VideoFrame) -> Tensor:
    """A frame as (height, width, 3) uint8, turned as its display matrix says."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24", interpolation=COLOUR_CONVERSION), frame.rotation // 90)
    return torch.from_numpy(np.ascontiguousarray(pixels))


def _sound_from(source: Source, picture_start: float) -> tuple[Tensor, int] | None:
    """A file's sound from that second of the container's time on, or None where it has none."""
    with opened(source) as container:
        stream = _sound_stream(container)
        if stream is None:
            return None
        waveform, sample_rate, start = _decode_sound(container, stream)
    return functional.pad(waveform, (round((start - picture_start) * sample_rate), 0)), sample_rate


def stream_summary(source: Source) -> StreamSummary:
    """Say what a media file holds, by reading its packets and decoding its sound."""
    fields: dict[str, object] = {}
    with opened(source) as container:
        if container.streams.video:
            fields.update(_picture_fields(container))
    with opened(source) as container:
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
    with opened(source) as container:
        stream = picture_stream(container)
        return _shown_seconds(stream, _shown_packets(container, stream))


def _shown_packets(container: InputContainer, stream: VideoStream) -> list[Packet]:
    return [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]


def _shown_seconds(stream: VideoStream, packets: Sequence[Packet]) -> float:
    rate = said_rate(stream)
    frame_seconds = 1 / rate if rate else Fraction(0)
    times = [packet.pts * packet.time_base for packet in packets if packet.pts is not None]
    return float(max(times) - min(times) + frame_seconds if times else len(packets) * frame_seconds)


def _picture_fields(container: InputContainer) -> dict[str, object]:
    stream = picture_stream(container)
    packets = _shown_packets(container, stream)
    return {
        "picture_codec": stream.codec_context.name,
        "width": stream.width,
        "height": stream.height,
        "frames": len(packets),
        "frame_rate": said_rate(stream),
        "picture_seconds": _shown_seconds(stream, packets),
    }
