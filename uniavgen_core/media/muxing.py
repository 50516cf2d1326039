"""Video files: frames and sound, a file's picture with another sound, several files as one.

Everything that is written appears whole or not at all: it grows under another name beside the target and is renamed
when it is complete, so an interrupt or an error leaves the target as it was.
"""

from __future__ import annotations

import errno
import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from operator import attrgetter

import av
from av import Packet, VideoStream
from av.container import InputContainer, OutputContainer
from torch import Tensor

from ..files import FORBIDDEN, FULL, whole_file
from .bridging import BridgedPicture
from .container import Check, Source, never_stop, opened, video_stream
from .copying import CopyPlan, add_copy, copied_packets, plan_copy, timed_frames
from .cues import Cue
from .encoding import FileFrames, VideoEncoder, add_audio, add_video, audio_packets, even_size, pixel_frames_as_yuv
from .frames import Look
from .sound_splicing import SoundSplice, spliced_sound_packets
from .splicing import Replace, Stretch, replaced_frames, spliced_packets
from .subtitle_track import add_subtitles

MP4_OPTIONS = {"movflags": "+faststart", "movie_timescale": "48000"}
"""The index at the front, so that a browser can start early; lengths exact to a sample, not to a millisecond."""


FRAMES_BETWEEN_PROGRESS = 16


@contextmanager
def _created(target: str | os.PathLike[str]) -> Iterator[OutputContainer]:
    """A media file to write, which appears whole or not at all; libav's own errors become a sentence about it."""
    with whole_file(target) as unfinished:
        options = MP4_OPTIONS if unfinished.suffix.lower() in (".mp4", ".m4v", ".mov") else {}
        try:
            with av.open(os.fspath(unfinished), "w", options=options) as output:
                yield output
        except av.FFmpegError as error:
            if error.errno in FULL | FORBIDDEN | {errno.ENOENT}:
                raise
            raise ValueError(
                f"{os.fspath(target)} cannot be written ({error.strerror}): FFmpeg does not encode its picture or "
                "sound. Give frames of another size, or update PyAV (pip install -U av)."
            ) from error


def _nothing(done: int) -> None:
    """Progress that nobody looks at."""


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[Tensor],
    frame_rate: Fraction | float,
    waveform: Tensor | Iterable[Tensor] | None = None,
    sample_rate: int | None = None,
    held: int = 0,
    progress: Callable[[int], None] = _nothing,
    channels: int = 1,
    cues: Sequence[Cue] = (),
) -> None:
    """Write H.264 (8 bits, 4:2:0) and sound (AAC in MP4) to a file, all or nothing.

    Args:
        path: the target; its ending chooses the container.
        frames: (frames, height, width, channels) of values 0..1, or any iterable of (height, width, channels), as
            `to_rgb` takes them. Where width or height is odd, the last column or row is cut off, because 4:2:0 needs
            even sizes.
        frame_rate: frames a second.
        waveform: (channels, samples), full scale = 1, or pieces of it, or None for no sound. It starts with the first
            frame.
        sample_rate: samples a second of the waveform.
        held: how many times the last frame is shown again; whatever the number, it takes no memory.
        progress: called with the number of frames that are done, every now and then.
        channels: of the pieces.
        cues: subtitles for a track of MP4, as `add_subtitles` takes them.

    Raises:
        ValueError: there are no frames, or they are too small or too large for a video.
    """
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise ValueError("There are no frames to write.")
    size = even_size(first.shape[1], first.shape[0])
    with _created(path) as output:
        stream = add_video(output, size, Fraction(frame_rate))
        frames_as_yuv = pixel_frames_as_yuv(chain([first], remaining), size)
        packets = [_reported(VideoEncoder(stream, frames_as_yuv, held=held).packets(), progress)]
        if waveform is not None and sample_rate is not None:
            packets.append(_audio(output, waveform, sample_rate, channels))
        _mux(output, *packets, *_subtitles(output, cues))


def replace_audio(
    source: Source,
    target_path: str | os.PathLike[str],
    waveform: Tensor | Iterable[Tensor],
    sample_rate: int,
    plan: CopyPlan | None = None,
    progress: Callable[[int], None] = _nothing,
    check: Check = never_stop,
    channels: int = 1,
    cues: Sequence[Cue] = (),
    splice: SoundSplice | None = None,
) -> None:
    """Write a video's picture to a new MP4 file with another sound (AAC), all or nothing.

    Its packets are copied unchanged where they can be, and encoded as H.264 where not; frame for frame, each at its
    time, with the pixels' aspect and the colours that the file says.

    Args:
        source: the video; it may be the target itself.
        target_path: ends in .mp4.
        waveform: (channels, samples), full scale = 1, or pieces of it. It starts with the first frame that is shown.
        sample_rate: samples a second of the waveform.
        plan: of `plan_copy` and what it offers; None takes the whole picture.
        progress: called with the number of frames that are done, every now and then.
        check: is called again and again while the file is read; it may raise to stop that.
        channels: of the pieces.
        cues: subtitles for a track of the file, as `add_subtitles` takes them.
        splice: how the source's own sound is copied with a stretch replaced, of `splice_sound`, in place of the
            waveform; None encodes that.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: the source is damaged or has no picture, or is too small or too large for a video.
    """
    plan = plan or plan_copy(source, check)
    with _created(target_path) as output, opened(source) as container, opened(source) as sounding:
        if plan.packets:
            video = copied_packets(container, output, plan, check)
        else:
            video = _encoded_again(container, output, plan, check)
        audio = _sound(sounding, output, splice, check) or _audio(output, waveform, sample_rate, channels)
        _mux(output, _reported(video, progress), audio, *_subtitles(output, cues))


def replace_frames(
    source: Source,
    target_path: str | os.PathLike[str],
    pieces: Iterable[Tensor],
    sample_rate: int,
    plan: CopyPlan,
    stretch: Stretch | None,
    replaced: Replace,
    progress: Callable[[int], None] = _nothing,
    check: Check = never_stop,
    channels: int = 1,
    splice: SoundSplice | None = None,
) -> None:
    """As `replace_audio`, of a video some of whose frames are replaced, too.

    Args:
        stretch: the packets that are encoded anew, of `find_stretch`; None: all are.
        replaced: what is shown instead of a frame.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: the source is damaged or has no picture, or is too small or too large for a video.
    """
    with _created(target_path) as output, opened(source) as container, opened(source) as sounding:
        if stretch is None:
            video = _encoded_again(container, output, plan, check, replaced)
        else:
            video = spliced_packets(source, container, output, plan, stretch, replaced, check)
        audio = _sound(sounding, output, splice, check) or _audio(output, pieces, sample_rate, channels)
        _mux(output, _reported(video, progress), audio)


def _sound(
    container: InputContainer, output: OutputContainer, splice: SoundSplice | None, check: Check
) -> Iterator[Packet] | None:
    """A file's own sound with a stretch replaced, where that can be."""
    return None if splice is None else spliced_sound_packets(container, output, splice, check)


def _encoded_again(
    container: InputContainer, output: OutputContainer, plan: CopyPlan, check: Check, replaced: Replace | None = None
) -> Iterator[Packet]:
    frames = FileFrames(timed_frames(container, plan, check), Look.of(video_stream(container)))
    rate = 1 / (plan.step * plan.time_base)
    stream = add_video(output, frames.size, rate, plan.time_base, frames.colours, frames.pixel_aspect, plan.is_even)
    shown = frames if replaced is None else replaced_frames(frames, plan, replaced)
    return VideoEncoder(stream, shown, plan.end - plan.start, plan.step, plan.held).packets()


def _reported(packets: Iterator[Packet], progress: Callable[[int], None]) -> Iterator[Packet]:
    done = 0
    for done, packet in enumerate(packets, start=1):
        if done % FRAMES_BETWEEN_PROGRESS == 0:
            progress(done)
        yield packet
    progress(done)


def _audio(
    output: OutputContainer, waveform: Tensor | Iterable[Tensor], sample_rate: int, channels: int
) -> Iterator[Packet]:
    """Add a sound, in one or in pieces of so many channels."""
    if isinstance(waveform, Tensor):
        channels, waveform = len(waveform), waveform.split(sample_rate, dim=-1)
    return audio_packets(add_audio(output, channels, sample_rate), waveform, sample_rate)


def _subtitles(output: OutputContainer, cues: Sequence[Cue]) -> list[Iterator[Packet]]:
    """A track of subtitles, where there are any."""
    return [add_subtitles(output, cues)] if cues else []


def _mux(output: OutputContainer, *streams: Iterator[Packet]) -> None:
    """Write packets in the order of their decoding times, so that a player finds picture and sound side by side."""
    for packet in heapq.merge(*streams, key=lambda packet: (packet.dts or 0) * packet.time_base):
        output.mux_one(packet)


def join_videos(
    sources: Sequence[str | os.PathLike[str]],
    target_path: str | os.PathLike[str],
    audio: Iterable[Tensor],
    sample_rate: int,
    channels: int = 1,
    cues: Sequence[Cue] = (),
) -> None:
    """Copy the picture packets of several videos of `write_video` after each other to an MP4 file, with one sound.

    However long it gets, no more is held than a few packets and a piece of sound.

    Args:
        sources: videos of one size and frame rate.
        target_path: ends in .mp4.
        audio: pieces (channels, samples) of the sound, full scale = 1.
        sample_rate: samples a second.
        channels: of the sound.
        cues: subtitles for a track of the file, as `add_subtitles` takes them.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: a source is damaged or has no picture.
    """
    with _created(target_path) as output, opened(sources[0]) as first:
        copy = add_copy(output, video_stream(first))
        sound = _audio(output, audio, sample_rate, channels)
        _mux(output, _joined_packets(sources, copy), sound, *_subtitles(output, cues))


def join_bridge(
    sources: Sequence[Source],
    plans: Sequence[CopyPlan],
    target_path: str | os.PathLike[str],
    between: Iterable[Tensor],
    pieces: Iterable[Tensor],
    sample_rate: int,
    progress: Callable[[int], None] = _nothing,
    check: Check = never_stop,
    channels: int = 1,
) -> list[str]:
    """Write two videos with frames between them to an MP4 file, with one sound, all or nothing.

    Packets of the first video are copied where they can be, those of the second where it was encoded as the first was.

    Args:
        sources, plans: both videos, of one size, and what `plan_copy` says of them.
        between: frames (H, W, 3) of values 0..1, 16 a second.
        pieces: of the sound, (channels, samples).

    Returns:
        What is encoded anew and why, sentences.

    Raises:
        FileNotFoundError: there is no such source.
        ValueError: a source is damaged or has no picture.
    """
    with _created(target_path) as output, opened(sources[0]) as first, opened(sources[1]) as last:
        joint = BridgedPicture(sources, (first, last), plans, between, check)
        _mux(output, _reported(joint.packets(output), progress), _audio(output, pieces, sample_rate, channels))
    return joint.told


def _joined_packets(sources: Iterable[str | os.PathLike[str]], copy: VideoStream) -> Iterator[Packet]:
    end = 0
    for source in sources:
        offset = end
        with opened(source) as container:
            video = video_stream(container)
            start = video.start_time or 0
            for packet in filter(attrgetter("size"), container.demux(video)):
                packet.pts, packet.dts = (packet.pts or 0) - start + offset, (packet.dts or 0) - start + offset
                packet.stream = copy
                end = max(end, packet.pts + (packet.duration or 0))
                yield packet
