"""Sound and video files as tensors, whole or one frame at a time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from uniavgen_core.media.container import (
    Source,
    audio_stream,
    opened,
    said_rate,
    source_name,
    video_stream,
    video_tracks,
)
from uniavgen_core.media.track import open_track, whole_track
from uniavgen_core.media.video import VideoFile


@dataclass(frozen=True)
class StreamSummary:
    """What a media file holds. Fields of a stream that is not there are None, and its counts 0.

    Seconds are those of what a player shows: the frames' presentation times, the sound without the codec's padding.
    """

    video_codec: str | None = None
    width: int = 0
    height: int = 0
    frames: int = 0
    frame_rate: Fraction | None = None
    video_seconds: float = 0.0
    audio_codec: str | None = None
    sample_rate: int = 0
    channels: int = 0
    audio_seconds: float = 0.0


def read_audio(source: Source) -> tuple[Tensor, int]:
    """Read a file's sound as (1, channels, samples) float32, full scale = 1, and its samples a second.

    Any format and sample type that libav reads; rate and channels stay the file's own, as at its start. It is read as
    far as it goes; where packets are damaged there is silence.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no sound.
    """
    with open_track(source) as track:
        if track is None:
            name = source_name(source)
            raise ValueError(f"{name} has no sound that can be read. Give a file with sound, or convert it.")
        return whole_track(track), track.sample_rate


def read_video(source: Source) -> tuple[Tensor, Fraction, tuple[Tensor, int] | None]:
    """Read a video upright, with square pixels.

    Returns:
        Frames (frames, height, width, 3) float 0..1; frames a second; and the sound as read_audio gives it, or None.
        Where frames come unevenly, those are given that are shown at even times, as many a second as on average. The
        sound starts with the first frame: a stream that starts later is padded with silence, one that starts earlier
        is cut.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no picture.
    """
    return VideoFile(source).parts()


def stream_summary(source: Source) -> StreamSummary:
    """Say what a media file holds, by reading its packets and decoding its sound."""
    fields: dict[str, object] = {}
    with opened(source) as container:
        has_video = bool(video_tracks(container))
        if has_video:
            stream = video_stream(container)
            fields.update(
                video_codec=stream.codec_context.name,
                width=stream.width,
                height=stream.height,
                frame_rate=said_rate(stream),
            )
        waveform = audio_stream(container)
        if waveform is not None:
            fields.update(audio_codec=waveform.codec_context.name)
    if has_video:
        video = VideoFile(source)
        fields.update(frames=video.times.frames, video_seconds=float(video.seconds))
    with open_track(source) as track:
        if track is not None:
            samples = sum(piece.shape[-1] for piece in track.pieces)
            fields.update(
                sample_rate=track.sample_rate,
                channels=track.channels,
                audio_seconds=samples / track.sample_rate,
            )
    return StreamSummary(**fields)  # type: ignore[arg-type]
