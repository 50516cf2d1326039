"""Media files: opened, their streams, and their packets as far as they can be read."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import BinaryIO, Literal, TypeAlias, cast

import av
from av import AudioFrame, AudioStream, Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.stream import Disposition, Stream

from ..files import FORBIDDEN, FULL

logger = logging.getLogger(__name__)

Source: TypeAlias = str | os.PathLike[str] | BinaryIO
"""What can be read: a path, or an open file that can seek."""
Check: TypeAlias = Callable[[], None]
"""Is called again and again while a file is read; it may raise to stop that."""
SEEKING_SECONDS = 2
"""What is farther than this from the start is sought, not decoded to."""


def never_stop() -> None:
    """The check of what need not be stopped."""


def source_name(source: Source) -> str:
    """What a file is called in a sentence."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "The given video"))


@contextmanager
def opened(source: Source) -> Iterator[InputContainer]:
    """Open a media file for reading; libav's own errors, also later ones, become a sentence about the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be opened, or what is done with it within the block is beyond libav.
    """
    name = source_name(source)
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
        except av.FFmpegError as error:
            if error.errno in FULL | FORBIDDEN:
                # Of what is written meanwhile.
                raise
            raise ValueError(
                f"{name} cannot be read to its end ({error.strerror}): it is damaged, or its picture or sound is in a "
                "form that FFmpeg cannot convert. Copy or record it again, or convert it to MP4 with H.264."
            ) from error
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


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The sound track that is heard: the best one whose form FFmpeg knows, or None."""
    tracks = _by_preference(container, "audio")
    known = [track for track in tracks if track.codec_context is not None]
    if len(known) < len(tracks):
        heard = f"track {known[0].index} is heard" if known else "it is not heard"
        logger.warning("%s has sound in a form that FFmpeg does not know: %s.", shown_name(container), heard)
    return cast(AudioStream, known[0]) if known else None


def video_stream(container: InputContainer) -> VideoStream:
    """The picture that is shown.

    Raises:
        ValueError: there is none, or FFmpeg does not know it.
    """
    name = shown_name(container)
    tracks = video_tracks(container)
    if not tracks:
        raise ValueError(f"{name} has no picture.")
    known = [track for track in tracks if track.codec_context is not None]
    if not known:
        raise ValueError(f"{name}: its picture is in a form that FFmpeg does not know. Convert it to MP4 with H.264.")
    return cast(VideoStream, known[0])


def video_tracks(container: InputContainer) -> list[Stream]:
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


def packets_of(container: InputContainer, check: Check, *streams: Stream, is_known: bool = False) -> Iterator[Packet]:
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
            if not is_known:
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


@contextmanager
def first_frame(source: Source, check: Check = never_stop) -> Iterator[tuple[Fraction | None, VideoFrame, VideoStream]]:
    """The first frame of a file's picture that can be decoded, its time in seconds as the file counts them, its stream.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture, or there is no such frame.
    """
    with opened(source) as container:
        stream = video_stream(container)
        # Threads would decode frames ahead that nobody wants.
        stream.codec_context.thread_count = 1
        packets = packets_of(container, check, stream, is_known=True)
        frames = (frame for packet in packets for frame in cast("list[VideoFrame]", decoded(packet) or []))
        first = next(frames, None)
        if first is None:
            raise ValueError(
                f"{source_name(source)} is damaged: none of its picture can be decoded. Copy or record it again, or "
                "convert it to MP4 with H.264."
            )
        yield raw_time(container, first), first, stream
