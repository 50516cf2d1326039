"""A VIDEO with another sound."""

from __future__ import annotations

import logging
import uuid
from fractions import Fraction
from pathlib import Path
from typing import TypeGuard

import folder_paths
from comfy_api.latest import Input, InputImpl, Types
from torch import Tensor

from ..uniavgen_core.audio.soundtrack import soundtrack
from ..uniavgen_core.config import FRAME_RATE
from ..uniavgen_core.media.reading import frame_count, picture_seconds, read_frames
from ..uniavgen_core.media.writing import can_copy, replace_audio, write_video
from .pictures import video_parts

logger = logging.getLogger(__name__)

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Formats of the files that are kept; a picture from another one goes into Matroska if that takes it."""
MATROSKA = ".mkv"


def with_sound(
    name: str,
    picture: Tensor | Input.Video,
    audio: Input.Audio,
    frame_rate: float = FRAME_RATE,
    lufs: float | None = None,
    fade: float = 0.0,
) -> Input.Video:
    """Frames or a VIDEO with this sound, cut or padded with silence to the picture.

    Of a whole file the picture packets are copied, not encoded again, if its own kind of file or Matroska holds them.

    Args:
        name: the picture's input.
        frame_rate: of frames.
        lufs, fade: as `target_lufs` and `fade_seconds` of `soundtrack`.

    Raises:
        ValueError: there is no picture.
    """
    if is_whole_file(picture):
        return _file_with_sound(name, picture, audio, lufs, fade)
    parts = video_parts(name, picture, frame_rate)
    seconds = len(parts.images) / parts.frame_rate
    track = soundtrack(audio["waveform"], audio["sample_rate"], seconds, lufs, fade)
    return video_of(parts.images, parts.frame_rate, track, audio["sample_rate"])


def is_whole_file(picture: Tensor | Input.Video) -> TypeGuard[InputImpl.VideoFromFile]:
    """Whether this is a VIDEO from a file of which nothing is trimmed."""
    return isinstance(picture, InputImpl.VideoFromFile) and picture.get_active_trim_window() == (0.0, 0.0)


def video_of(images: Tensor, frame_rate: Fraction, waveform: Tensor, sample_rate: int) -> Input.Video:
    """A VIDEO of frames and their sound."""
    audio: Input.Audio = {"waveform": waveform, "sample_rate": sample_rate}
    return InputImpl.VideoFromComponents(Types.VideoComponents(images=images, audio=audio, frame_rate=frame_rate))


def temporary_file(suffix: str) -> Path:
    """A new name in ComfyUI's temp folder."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"uniavgen_{uuid.uuid4().hex}{suffix}"


def _file_with_sound(
    name: str, video: InputImpl.VideoFromFile, audio: Input.Audio, lufs: float | None, fade: float
) -> InputImpl.VideoFromFile:
    source, sample_rate = video.get_stream_source(), audio["sample_rate"]
    # The VIDEO's own duration is the container's, which an old sound can make longer than the picture.
    track = soundtrack(audio["waveform"], sample_rate, picture_seconds(source), lufs, fade)[0]
    own = Path(source).suffix.lower() if isinstance(source, str) else ".mp4"
    fitting = (kind for kind in (own, MATROSKA) if kind in CONTAINERS and can_copy(source, CONTAINERS[kind]))
    suffix = next(fitting, None)
    path = temporary_file(suffix or ".mp4")
    if suffix:
        replace_audio(source, path, track, sample_rate)
    else:
        logger.warning("%s: no container takes a copy of this picture, so it is encoded as H.264.", name)
        write_video(path, read_frames(source), frame_count(source)[1], track, sample_rate)
    return InputImpl.VideoFromFile(str(path))
