"""New lips in a video: the region that is made anew, and its way back into the video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import Input, InputImpl, Types
from torch import Tensor

from ..uniavgen_core.checks import check_one_waveform
from ..uniavgen_core.config import FRAME_RATE, LATENT_SECONDS, MAX_LATENT_FRAMES, clip_seconds, latent_frames
from ..uniavgen_core.face.mouth import mouth_masks
from ..uniavgen_core.joint_latent import check_finite
from ..uniavgen_core.media.cues import Cue
from ..uniavgen_core.media.encoding import even_size
from ..uniavgen_core.media.frames import to_float
from ..uniavgen_core.media.muxing import write_video
from ..uniavgen_core.media.pasting import check_made, paste_back
from ..uniavgen_core.media.region import Region, region_of
from ..uniavgen_core.media.soundtrack import playable, soundtrack_pieces
from ..uniavgen_core.media.track import AudioTrack, whole_track
from ..uniavgen_core.media.video import Video, VideoFile
from ..uniavgen_core.media.waveforms import fitted_pieces
from .comfy_latent import VideoRegion
from .comfy_progress import check_interrupt, progress_bar
from .faces import any_detector
from .inputs import NOT_CONNECTED, present
from .media import check_masks, video_of
from .temporary import TemporaryVideo, temporary_path


def new_lips(
    name: str, video_name: str, mask: Tensor | None, video: Video, latent_frames: int, clip: tuple[int, int] | None
) -> Region:
    """The region of a video that is made anew: that of a mask, or the mouth, which is looked for.

    Args:
        name, video_name: of the inputs.
        mask: one, or one for each frame; None lets it be found.
        latent_frames: T, of the clip.
        clip: its width and height; None takes what is usual.

    Raises:
        FileNotFoundError: there is neither a mask nor a detector.
        ValueError: the mask is empty or not of the video, or there is no face.
    """
    if mask is None:
        detector = any_detector(f"Connect a mask of the mouth and the chin to {name}")
        masks = mouth_masks(video_name, video, detector, progress_bar(video.frames))
    else:
        masks = check_masks(name, mask)
    return region_of(name, masks, video, latent_frames, clip)


def check_not_longer(name: str, seconds: float, video: Video) -> None:
    """Refuse a sound that the video would cut off. One that is shorter is followed by silence.

    Raises:
        ValueError: it is longer by more than a latent frame; it names the input.
    """
    if seconds > float(video.seconds) + LATENT_SECONDS:
        raise ValueError(
            f"{name} lasts {seconds:.2f} seconds, the video {float(video.seconds):.2f}: trim the sound, or give a "
            "longer video. The video keeps its length; a shorter sound is followed by silence."
        )


def check_seconds_of_lips(video: Video) -> int:
    """Latent frames of a video that gets new lips in one segment.

    Raises:
        ValueError: it is longer than a segment.
    """
    frames = latent_frames(video.frames)
    if frames > MAX_LATENT_FRAMES:
        raise ValueError(
            f"video lasts {float(video.seconds):.2f} seconds, more than one segment takes, which is "
            f"{clip_seconds(MAX_LATENT_FRAMES):.2f}: set seconds to 5.0625, and connect the LATENT to UniAVGen Long "
            "Form, with the new sound as its recording."
        )
    return frames


def new_lips_put_back(
    video: Tensor | Input.Video, region: Region, images: Tensor, audio: Any, frame_rate: float, images_rate: float
) -> Input.Video:
    """A video with new lips in it, at its own size and rate.

    Args:
        images: frames (F, h, w, channels) of the region's window, as decoded.
        audio: the new sound; where none is connected, the video keeps its own.
        frame_rate: of frames that are given as the video.
        images_rate: frames a second of images.

    Raises:
        ValueError: images or sound cannot be of that region; it names the input.
    """
    check_finite("images", images)
    check_made("images", len(images), images_rate, region)
    footage = video_of("video", video, frame_rate)
    frames = paste_back(footage, images, Fraction(images_rate).limit_denominator(1001), region)
    depth = 8 if isinstance(video, Tensor) else video.get_bit_depth()
    return pasted_video(footage, frames, _sound(audio, footage), depth)


def _sound(audio: Any, footage: Video) -> Input.Audio | None:
    """The new sound, or the video's own."""
    if audio is NOT_CONNECTED:
        with footage.track() as track:
            return None if track is None else {"waveform": whole_track(track), "sample_rate": track.sample_rate}
    given = present("audio", audio)
    check_one_waveform("audio", given["waveform"])
    check_finite("audio", given["waveform"])
    return given


def pasted_video(footage: Video, frames: Iterator[Tensor], sound: Input.Audio | None, depth: int = 8) -> Input.Video:
    """A VIDEO of a video's own frames: of a file another file, which is written frame by frame; else in memory."""
    if sound is None:
        pieces, sample_rate, channels = None, None, 1
    else:
        waveform, sample_rate = playable(sound["waveform"].cpu(), int(sound["sample_rate"]))
        pieces, channels = soundtrack_pieces(waveform, sample_rate, footage.seconds), waveform.shape[1]
    if isinstance(footage, VideoFile):
        return written_video(footage, frames, pieces, sample_rate, channels)
    width, height = even_size(*footage.size)
    images = torch.stack([frame[:height, :width] for frame in frames])
    track = None if pieces is None else {"waveform": torch.cat([*pieces], dim=-1)[None], "sample_rate": sample_rate}
    made = Types.VideoComponents(images=images, audio=track, frame_rate=footage.rate)
    return InputImpl.VideoFromComponents(made, depth)


def written_video(
    footage: Video,
    frames: Iterator[Tensor],
    pieces: Iterable[Tensor] | None,
    sample_rate: int | None,
    channels: int,
    cues: Sequence[Cue] = (),
) -> TemporaryVideo:
    """A VIDEO in a file of a video's own frames, a sound in pieces (channels, samples), and subtitles."""
    path, shown = temporary_path(".mp4"), progress_bar(footage.own_frames)
    write_video(path, map(to_float, frames), footage.rate, pieces, sample_rate, 0, shown, channels, cues)
    return TemporaryVideo(path)


def with_new_lips(
    target: VideoRegion, made: Path, track: AudioTrack | None, cues: Sequence[Cue] = ()
) -> TemporaryVideo:
    """A long video with new lips in it, of which no more than a frame is held.

    Args:
        made: a file of the region's window at 16 frames a second, with the sound that was made.
        track: the sound, where it was given.
        cues: subtitles for a track of the file.
    """
    lips = VideoFile(made, check=check_interrupt)
    frames = paste_back(target.video, lips.own_images(), FRAME_RATE, target.region)
    with lips.track() if track is None else nullcontext(track) as sound:
        heard = present("recording", sound)
        pieces = fitted_pieces(heard.pieces, round(target.video.seconds * heard.sample_rate))
        return written_video(target.video, frames, pieces, heard.sample_rate, heard.channels, cues)
