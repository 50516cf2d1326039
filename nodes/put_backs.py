"""What was made anew of a video, put back into it: a range, lips; and two clips and their bridge as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import Any

import torch
from comfy_api.latest import Input, InputImpl, Types, io
from torch import Tensor

from ..uniavgen_core.checks import check_images
from ..uniavgen_core.config import FRAME_RATE
from ..uniavgen_core.editing.given import Edit
from ..uniavgen_core.editing.replacing import PutBack, bridged_sound, put_back_bridge, put_back_retake
from ..uniavgen_core.media.container import Source
from ..uniavgen_core.media.copying import CopyPlan
from ..uniavgen_core.media.images import to_rgb
from ..uniavgen_core.media.muxing import join_bridge, replace_audio, replace_frames
from ..uniavgen_core.media.sound_splicing import SoundSplice, splice_sound
from ..uniavgen_core.media.splicing import find_stretch
from ..uniavgen_core.media.track import AudioTrack
from ..uniavgen_core.media.video import Video
from .comfy_latent import ORIGIN, VideoRegion
from .comfy_progress import check_frames_fit, check_interrupt, progress_bar
from .edits import sound_of
from .inputs import NOT_CONNECTED, frame_rate_input, linked, present
from .long_form import mono_waveform
from .media import copy_plan, tell, video_of
from .resync import new_lips_put_back
from .temporary import TemporaryVideo, temporary_path

OpenTrack = Callable[[], AbstractContextManager[AudioTrack | None]]


class PutBackNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenPutBack",
            display_name="UniAVGen Put Back",
            category="video",
            description="Puts a retake or new lips back into their video, or a bridge between its clips: colours and "
            "loudness are matched, edges are soft, the sound is crossfaded. All else stays the video's own, and its "
            "packets are copied where that can be.",
            search_aliases=[
                "retake", "splice video", "join clips", "paste back", "concatenate videos", "lip sync video", "resync",
                "stitch",
            ],
            inputs=[
                io.Latent.Input(
                    "latent",
                    tooltip="From UniAVGen Latent, task resync, retake or bridge, sampled or not: where it belongs.",
                ),
                io.MultiType.Input(
                    "video", [io.Video, io.Image], tooltip="The whole video, as UniAVGen Latent got it."
                ),
                io.MultiType.Input(
                    "next_video",
                    [io.Video, io.Image],
                    optional=True,
                    tooltip="For a bridge: the clip behind it, as UniAVGen Latent got it.",
                ),
                io.Image.Input("images", tooltip="The segment, or the new lips, from VAE Decode."),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="Its sound, from VAE Decode Audio; of new lips also the recording. Without one, new lips "
                    "keep the video's own.",
                ),
                io.Audio.Input(
                    "video_audio", optional=True, tooltip="The sound of video, where it has none of its own."
                ),
                io.Audio.Input("next_audio", optional=True, tooltip="The sound of next_video, where it has none."),
                frame_rate_input(),
                io.Float.Input(
                    "images_rate",
                    default=16.0,
                    min=1.0,
                    max=240.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Frames a second of new lips, where they were interpolated.",
                ),
            ],
            outputs=[io.Video.Output()],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        latent: dict[str, Any],
        video: Tensor | Input.Video,
        images: Tensor,
        frame_rate: float,
        images_rate: float,
        audio: Any = NOT_CONNECTED,
        next_video: Any = NOT_CONNECTED,
        video_audio: Any = NOT_CONNECTED,
        next_audio: Any = NOT_CONNECTED,
    ) -> io.NodeOutput:
        check_images("images", images)
        edit = latent.get(ORIGIN)
        if isinstance(edit, VideoRegion):
            return io.NodeOutput(new_lips_put_back(video, edit.region, images, audio, frame_rate, images_rate))
        if edit is None:
            raise ValueError(
                "latent does not say where it belongs: connect the LATENT of UniAVGen Latent with task resync, retake "
                "or bridge, or what was sampled from it."
            )
        footage = video_of("video", video, frame_rate)
        decoded = to_rgb(images.cpu())
        sound = linked("audio", audio, "the segment's sound comes from VAE Decode Audio")
        waveform = mono_waveform("audio", sound, len(decoded))

        def track() -> AbstractContextManager[AudioTrack | None]:
            return sound_of("video", footage, "video_audio", video_audio)

        if not edit.is_bridge:
            has_own = video_audio is NOT_CONNECTED
            return io.NodeOutput(_retaken(video, footage, track, has_own, edit, decoded, waveform))
        following = linked("next_video", next_video, "a bridge leads to the clip behind it")
        next_footage = video_of("next_video", following, frame_rate)

        def next_track() -> AbstractContextManager[AudioTrack | None]:
            return sound_of("next_video", next_footage, "next_audio", next_audio)

        clips, tracks = (footage, next_footage), (track, next_track)
        return io.NodeOutput(_bridged((video, following), clips, tracks, edit, decoded, waveform))


def _retaken(
    video: Tensor | Input.Video,
    footage: Video,
    track: OpenTrack,
    has_own: bool,
    edit: Edit,
    images: Tensor,
    waveform: Tensor,
) -> Input.Video:
    """The video with a segment's new part in it.

    Args:
        has_own: the track is the video's own.
    """
    with track() as heard:
        result = put_back_retake(footage, present("video_audio", heard), edit, images, waveform)
    if isinstance(video, InputImpl.VideoFromFile):
        return _retaken_file(video, track, has_own, result)
    frames, rate, _ = footage.parts()
    check_frames_fit("video", frames.shape)
    with track() as heard:
        sound = present("video_audio", heard)
        joined = torch.cat([*result.pieces(sound)], dim=-1)
    return _in_memory(result.images(frames, rate), joined, sound.sample_rate, rate)


def _retaken_file(video: InputImpl.VideoFromFile, track: OpenTrack, has_own: bool, result: PutBack) -> TemporaryVideo:
    source, plan, path = video.get_stream_source(), copy_plan("video", video), temporary_path(".mp4")
    splice = _sound_splice(source, plan, track, result) if has_own else None
    shown = progress_bar(plan.count)
    with track() as heard:
        sound = present("video_audio", heard)
        pieces = result.pieces(sound)
        if result.picture is None:
            replace_audio(
                source, path, pieces, sound.sample_rate, plan, shown, check_interrupt, sound.channels, splice=splice
            )
            return TemporaryVideo(path)
        stretch = find_stretch(source, plan, result.picture_seconds, check_interrupt)
        if isinstance(stretch, str):
            tell(f"video: the picture is encoded anew as H.264, because {stretch}.")
        replace_frames(
            source, path, pieces, sound.sample_rate, plan, None if isinstance(stretch, str) else stretch,
            result.replaced, shown, check_interrupt, sound.channels, splice,
        )  # fmt: skip
    return TemporaryVideo(path)


def _sound_splice(source: Source, plan: CopyPlan, track: OpenTrack, result: PutBack) -> SoundSplice | None:
    """How the packets of a video's own sound are copied; None where they cannot be."""
    with track() as heard:
        pieces = result.pieces(present("video_audio", heard))
        splice = splice_sound(source, plan, pieces, result.sound_seconds, check_interrupt)
    if isinstance(splice, str):
        tell(f"video: the whole sound is encoded anew as AAC, because {splice}.")
        return None
    return splice


def _in_memory(images: Tensor, waveform: Tensor, sample_rate: int, rate: Fraction) -> Input.Video:
    audio: Any = {"waveform": waveform.unsqueeze(0), "sample_rate": sample_rate}
    return InputImpl.VideoFromComponents(Types.VideoComponents(images=images, audio=audio, frame_rate=rate))


def _bridged(
    videos: tuple[Any, Any],
    clips: tuple[Video, Video],
    tracks: tuple[OpenTrack, OpenTrack],
    edit: Edit,
    images: Tensor,
    waveform: Tensor,
) -> Input.Video:
    """Both clips and the bridge between them."""
    with tracks[0]() as heard, tracks[1]() as heard_next:
        sounds = present("video_audio", heard), present("next_audio", heard_next)
        bridge = put_back_bridge(clips, sounds, edit, images, waveform)
    with tracks[0]() as heard, tracks[1]() as heard_next:
        sounds = present("video_audio", heard), present("next_audio", heard_next)
        rate, channels = sounds[0].sample_rate, sounds[0].channels
        pieces = bridged_sound(bridge, clips, sounds)
        if all(isinstance(video, InputImpl.VideoFromFile) for video in videos):
            plans = [copy_plan(name, video) for name, video in zip(("video", "next_video"), videos, strict=True)]
            sources = [video.get_stream_source() for video in videos]
            path, shown = temporary_path(".mp4"), progress_bar(sum(plan.count for plan in plans))
            told = join_bridge(sources, plans, path, bridge.frames(), pieces, rate, shown, check_interrupt, channels)
            for line in told:
                tell(line)
            return TemporaryVideo(path)
        joined = torch.cat([*pieces], dim=-1)
    frames_rate = clips[0].parts()[1]
    return _in_memory(_bridged_images(clips, bridge.frames(), frames_rate), joined, rate, frames_rate)


def _bridged_images(clips: tuple[Video, Video], between: Iterator[Tensor], rate: Fraction) -> Tensor:
    """All frames at a rate; each of the bridge, and of the clip behind it, is the one that is shown then."""
    (first, _, _), (last, last_rate, _) = (clip.parts() for clip in clips)
    made = torch.stack([*between])

    def shown(frames: Tensor, own_rate: Fraction) -> Tensor:
        count = max(1, round(len(frames) / own_rate * rate))
        index = [min(len(frames) - 1, int((number + Fraction(1, 2)) / rate * own_rate)) for number in range(count)]
        return frames[index]

    parts = [to_rgb(first), shown(made, Fraction(FRAME_RATE)), shown(to_rgb(last), last_rate)]
    check_frames_fit("video", (sum(map(len, parts)), *first.shape[1:]))
    return torch.cat(parts)
