"""A picture with another sound, as a VIDEO."""

from __future__ import annotations

import logging
import uuid
from fractions import Fraction
from pathlib import Path

import folder_paths
from comfy_api.latest import Input, InputImpl, Types
from torch import Tensor

from ..uniavgen_core.audio.soundtrack import held_seconds, hold_last, playable, soundtrack
from ..uniavgen_core.config import FRAME_RATE
from ..uniavgen_core.media.copying import PicturePlan, plan_picture
from ..uniavgen_core.media.encoding import even_size
from ..uniavgen_core.media.images import to_rgb
from ..uniavgen_core.media.writing import replace_audio, write_video
from .comfy_progress import check_interrupt, progress_bar, show_text
from .pictures import video_parts

logger = logging.getLogger(__name__)

PICTURE, SOUND = LENGTHS = ("picture", "sound")
"""Which of the two keeps its length."""


def with_sound(
    name: str,
    picture: Tensor | Input.Video,
    audio: Input.Audio,
    frame_rate: float = FRAME_RATE,
    lufs: float | None = None,
    fade: float = 0.0,
    length: str = PICTURE,
) -> Input.Video:
    """Frames or a VIDEO with this sound.

    With length `picture` the sound is cut, or padded with silence; with `sound` the picture is cut, or its last frame
    held. Of a file the picture packets are copied where they can be and where all of it is shown; else the picture is
    encoded anew, frame by frame.

    Args:
        name: the picture's input.
        frame_rate: of frames.
        lufs, fade: as `target_lufs` and `fade_seconds` of `soundtrack`.

    Raises:
        ValueError: there is no picture, or it cannot be written; with length `sound`, the sound is empty, too long, or
            there are several.
    """
    audio = _playable(audio)
    seconds = held_seconds(audio["waveform"], audio["sample_rate"]) if length == SOUND else None
    if isinstance(picture, InputImpl.VideoFromFile):
        return _file_with_sound(name, picture, audio, seconds, lufs, fade)
    return _frames_with_sound(name, picture, audio, frame_rate, seconds, lufs, fade)


def check_video(name: str, video: Input.Video) -> None:
    """Refuse a VIDEO whose picture cannot get another sound, before any work is done.

    Raises:
        ValueError: it is damaged, has no picture, or one that cannot be written.
    """
    if isinstance(video, InputImpl.VideoFromFile):
        _plan(name, video)
    else:
        images = video_parts(name, video, FRAME_RATE).images
        even_size(images.shape[2], images.shape[1])


def temporary_file(suffix: str) -> Path:
    """A new name in ComfyUI's temp folder."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"uniavgen_{uuid.uuid4().hex}{suffix}"


def _playable(audio: Input.Audio) -> Input.Audio:
    """The sound in a form that Save Video can write."""
    waveform, sample_rate = playable(audio["waveform"], int(audio["sample_rate"]))
    if waveform.shape[1] != audio["waveform"].shape[1]:
        _tell(f"audio: its {audio['waveform'].shape[1]} channels are mixed down to {waveform.shape[1]}.")
    return {"waveform": waveform, "sample_rate": sample_rate}


def _tell(line: str) -> None:
    logger.warning(line)
    show_text(line)


def _plan(name: str, video: InputImpl.VideoFromFile) -> PicturePlan:
    try:
        return plan_picture(video.get_stream_source(), check_interrupt).part(*video.get_active_trim_window())
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def _file_with_sound(
    name: str,
    video: InputImpl.VideoFromFile,
    audio: Input.Audio,
    seconds: Fraction | None,
    lufs: float | None,
    fade: float,
) -> InputImpl.VideoFromFile:
    plan = _plan(name, video)
    if seconds is not None:
        plan = plan.lasting(seconds)
    if plan.why_encoded:
        _tell(f"{name}: the picture is encoded anew as H.264, because {plan.why_encoded}.")
    track = soundtrack(audio["waveform"], audio["sample_rate"], None if seconds else plan.seconds, lufs, fade)[0]
    path = temporary_file(".mp4")
    shown = progress_bar(plan.count)
    replace_audio(video.get_stream_source(), path, track, audio["sample_rate"], plan, shown, check_interrupt)
    return InputImpl.VideoFromFile(str(path))


def _frames_with_sound(
    name: str,
    picture: Tensor | Input.Video,
    audio: Input.Audio,
    frame_rate: float,
    seconds: Fraction | None,
    lufs: float | None,
    fade: float,
) -> Input.Video:
    parts = video_parts(name, picture, frame_rate)
    rate, sample_rate = Fraction(parts.frame_rate), audio["sample_rate"]
    width, height = even_size(parts.images.shape[2], parts.images.shape[1])
    images, held = parts.images[:, :height, :width], 0
    if seconds is not None:
        images, held = hold_last(images, rate, seconds)
    track = soundtrack(audio["waveform"], sample_rate, None if seconds else len(images) / rate, lufs, fade)
    if held:
        path = temporary_file(".mp4")
        write_video(path, images, rate, track[0], sample_rate, held, progress_bar(len(images) + held))
        return InputImpl.VideoFromFile(str(path))
    components = Types.VideoComponents(
        images=to_rgb(images).contiguous(), audio={"waveform": track, "sample_rate": sample_rate}, frame_rate=rate
    )
    return InputImpl.VideoFromComponents(components, 8 if isinstance(picture, Tensor) else picture.get_bit_depth())
