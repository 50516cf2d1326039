"""The joint latent of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import Input, InputImpl, io
from torch import Tensor

from ..uniavgen_core.checks import check_images, check_one_waveform, check_waveform
from ..uniavgen_core.config import (
    MAX_LATENT_FRAMES,
    SHORT_SIDE,
    SIZE_MULTIPLE,
    audio_tokens,
    clip_seconds,
    latent_frames,
    latent_frames_for_seconds,
    pixel_frames,
)
from ..uniavgen_core.editing.given import Edit
from ..uniavgen_core.editing.segment import TimeRange
from ..uniavgen_core.joint_latent import (
    check_past,
    check_seconds,
    check_shapes,
    check_size,
    last_tokens,
    stream_shapes,
    voice_shapes,
)
from ..uniavgen_core.media.images import automatic_size
from ..uniavgen_core.media.video import Video
from ..uniavgen_core.model_rates import driving_mel, dubbed_images, past_images, past_mel, region_images
from ..uniavgen_core.tasks import TASKS, KeptParts, kept_of_region, kept_prefix
from .comfy_latent import ORIGIN, VideoRegion, joint_latent, streams
from .comfy_model import REFERENCE_AUDIO, SPEECH_SECONDS, check_speech_fits
from .comfy_progress import warn
from .edits import RANGE, bridge_parts, retake_parts, sound_of
from .faces import warn_of_portrait
from .inputs import NOT_CONNECTED, chosen, frame_rate_input, linked, past_frames_input, present
from .media import check_vae, encode_frames, given_track, video_of
from .resync import check_not_longer, check_seconds_of_lips, new_lips
from .small_world import picture_notes


@dataclass(frozen=True)
class Source:
    """What a task is given: images (4(n-1)+1, H, W, channels) of the first n latent frames, and sound as log-mel."""

    images: Tensor
    latent_frames: int
    mel: Tensor | None = None
    origin: Edit | VideoRegion | None = None
    """Where the result belongs: of a task that makes a time of a video anew, or a region of it."""

    def kept(self, task: str, tokens: int) -> KeptParts:
        """What stays as it is of so many audio tokens and of the picture."""
        if isinstance(self.origin, Edit):
            return self.origin.segment.kept()
        if self.origin is not None:
            part = self.origin.region.part(0, pixel_frames(self.latent_frames))
            return kept_of_region(part.kept_video(), tokens, has_audio=self.mel is not None)
        return TASKS[task].kept(self.latent_frames, tokens, past_frames=latent_frames(len(self.images)))


@dataclass(frozen=True)
class LatentInputs:
    """What is connected to the node, and the settings that a task may ask for."""

    portrait: Any
    video: Any
    audio: Any
    conditioning: list | None
    seconds: float
    frame_rate: float
    past_frames: int
    size: dict[str, Any]
    mask: Tensor | None = None
    wanted: TimeRange | Any = NOT_CONNECTED
    next_video: Any = NOT_CONNECTED
    next_audio: Any = NOT_CONNECTED


def _portrait_alone(given: LatentInputs, task: str) -> Source:
    return Source(_portrait(given, task), check_seconds(_seconds(given)))


def _portrait(given: LatentInputs, task: str) -> Tensor:
    portrait = linked("portrait", given.portrait, f"task '{task}' needs a picture of the person who speaks")
    check_images("portrait", portrait)
    warn_of_portrait("portrait", portrait)
    return portrait[:1]


def _past(given: LatentInputs, task: str) -> Source:
    video = linked("video", given.video, f"task '{task}' needs the clip that goes on")
    footage, past = video_of("video", video, given.frame_rate), given.past_frames
    length = check_past(check_seconds(_seconds(given)), past)
    images = past_images(footage, past, *_size(given.size, *footage.size))
    return Source(images, length, _past_mel(given.audio, footage, past))


def _past_mel(given: Any, footage: Video, past: int) -> Tensor:
    """The past's sound: of the LATENT that it was generated as, of an AUDIO, or the VIDEO's own."""
    if given is NOT_CONNECTED or given is None:
        with footage.track() as track:
            return past_mel(present("audio", track), footage.frames, past)
    if "samples" in given:
        stream_parts = streams(given)
        check_shapes([stream.shape for stream in stream_parts])
        check_one_waveform("audio", stream_parts[1])
        return last_tokens(stream_parts[1], past)
    return past_mel(given_track("audio", given), footage.frames, past)


def _whole_video(given: LatentInputs, task: str) -> Source:
    footage = _short_video(given, f"task '{task}' needs the clip that gets a voice")
    images = dubbed_images(footage, *_size(given.size, *footage.size))
    return Source(images, latent_frames(len(images)))


def _short_video(given: LatentInputs, need: str) -> Video:
    """A video of which one segment takes all."""
    video = linked("video", given.video, need)
    if isinstance(video, Input.Video) and not isinstance(video, InputImpl.VideoFromFile):
        # Before it hands over its frames. A file says more exactly how long it is.
        check_seconds(video.get_duration(), "video")
    footage = video_of("video", video, given.frame_rate)
    check_seconds(float(footage.seconds), "video")
    return footage


def _video_and_region(given: LatentInputs, task: str) -> Source:
    need = f"task '{task}' needs the clip that gets new lips"
    # Of a longer video it is the first segment, which UniAVGen Long Form goes on from.
    footage = video_of("video", linked("video", given.video, need), given.frame_rate)
    whole = latent_frames(footage.frames)
    length = min(whole, check_seconds(given.seconds)) if given.seconds else check_seconds_of_lips(footage)
    mel = _new_mel(given, footage, audio_tokens(pixel_frames(length)), task)
    clip = _size(given.size, *footage.size) if given.size["size"] == "custom" else None
    region = new_lips("mask", "video", given.mask, footage, whole, clip)
    return Source(region_images(footage, region, pixel_frames(length)), length, mel, VideoRegion(footage, region))


def _new_mel(given: LatentInputs, footage: Video, tokens: int, task: str) -> Tensor | None:
    """The new sound as log-mel (1, 1, L, 80); none where words are said."""
    if given.audio is NOT_CONNECTED:
        if given.conditioning is None:
            raise ValueError(
                f"Task '{task}' needs what is said now: connect the new recording to audio, or the positive output of "
                "UniAVGen Conditioning, with the new words, to conditioning."
            )
        return None
    audio = _recording(given, task)
    check_not_longer("audio", audio["waveform"].shape[-1] / audio["sample_rate"], footage)
    return driving_mel(audio["waveform"], audio["sample_rate"], tokens)


def _recording(given: LatentInputs, task: str) -> Input.Audio:
    audio = present("audio", linked("audio", given.audio, f"task '{task}' needs the recording that is spoken"))
    if "samples" in audio:
        raise ValueError(f"audio is a LATENT: task '{task}' takes the recording as AUDIO.")
    check_waveform("audio", audio["waveform"])
    return audio


def _portrait_and_audio(given: LatentInputs, task: str) -> Source:
    portrait, audio = _portrait(given, task), _recording(given, task)
    length = check_seconds(audio["waveform"].shape[-1] / audio["sample_rate"], "audio")
    mel = driving_mel(audio["waveform"], audio["sample_rate"], audio_tokens(pixel_frames(length)))
    return Source(portrait, length, mel)


def _retake(given: LatentInputs, task: str) -> Source:
    video = linked("video", given.video, f"task '{task}' needs the video of which a part is made anew")
    wanted = linked("range", given.wanted, f"task '{task}' needs the seconds that are made anew, from UniAVGen Range")
    footage = video_of("video", video, given.frame_rate)
    size = _size(given.size, *footage.size)
    with sound_of("video", footage, "audio", given.audio) as track:
        images, mel, edit = retake_parts(footage, track, wanted, given.seconds, given.past_frames, size)
    return Source(images, edit.segment.latent_frames, mel, edit)


def _bridge(given: LatentInputs, task: str) -> Source:
    video = linked("video", given.video, f"task '{task}' needs the clip before the bridge")
    following = linked("next_video", given.next_video, f"task '{task}' needs the clip behind the bridge")
    footage = video_of("video", video, given.frame_rate)
    next_footage = video_of("next_video", following, given.frame_rate)
    size, length = _size(given.size, *footage.size), check_seconds(_seconds(given))
    with (
        sound_of("video", footage, "audio", given.audio) as track,
        sound_of("next_video", next_footage, "next_audio", given.next_audio) as next_track,
    ):
        sounds = (track, next_track)
        images, mel, edit = bridge_parts((footage, next_footage), sounds, length, given.past_frames, size)
    return Source(images, length, mel, edit)


def _voice(given: LatentInputs, vae: Any, batch_size: int) -> dict[str, Any]:
    """The joint LATENT of a sound and a still, which is generated with it so that the voice suits the face.

    Without a portrait there is nothing that it could suit, and a reference voice need not: then the still is kept.
    """
    frames = check_seconds(_seconds(given))
    if given.portrait is NOT_CONNECTED:
        width = height = SIZE_MULTIPLE
        still = torch.zeros(stream_shapes(1, width, height)[0])
    else:
        portrait = _portrait(given, VOICE)
        width, height = _size(given.size, portrait.shape[2], portrait.shape[1])
        still = encode_frames(vae, portrait, width, height)
    _check_speeches(given.conditioning, frames, audio_is_kept=False)
    shapes = voice_shapes(frames, width, height, batch_size)
    kept = TASKS[VOICE].kept(frames, shapes[1][2])
    if given.portrait is NOT_CONNECTED or _has_reference_voice(given.conditioning):
        kept = kept_prefix(1, shapes[1][2], kept_frames=1)
    return joint_latent(shapes, kept, still)


VOICE = "voice"
SOURCES: dict[str, Callable[[LatentInputs, str], Source]] = {
    "joint": _portrait_alone,
    "continuation": _past,
    "dubbing": _whole_video,
    "audio_driven": _portrait_and_audio,
    "resync": _video_and_region,
    "retake": _retake,
    "bridge": _bridge,
}
"""Where what a task keeps comes from. A reference voice comes with the conditioning: here it is joint generation."""


def _has_reference_voice(conditioning: list | None) -> bool:
    return any(values.get(REFERENCE_AUDIO) is not None for _, values in conditioning or [])


def _check_speeches(conditioning: list | None, latent_frames: int, audio_is_kept: bool) -> None:
    """Refuse words that do not fit a clip of so many latent frames."""
    for _, values in conditioning or []:
        check_speech_fits(values, clip_seconds(latent_frames), audio_is_kept)


def _size(size: dict[str, Any], width: int, height: int) -> tuple[int, int]:
    """Width and height of the clip that is made of a picture of this size."""
    if size["size"] == "custom":
        check_size(size["width"], size["height"])
        return size["width"], size["height"]
    return automatic_size(width, height)


def _seconds(given: LatentInputs) -> float:
    """The length that is asked for, or that the words take."""
    if given.seconds:
        return given.seconds
    if given.conditioning is None:
        raise ValueError(
            "seconds is 0, which is as long as the words take, but no words are connected: connect the positive "
            "output of UniAVGen Conditioning to conditioning, or set seconds."
        )
    lengths = [values[SPEECH_SECONDS] for _, values in given.conditioning if SPEECH_SECONDS in values]
    if not lengths:
        raise ValueError(
            "conditioning holds no speech: connect the positive output of UniAVGen Conditioning, not a caption's."
        )
    seconds = max(lengths)
    if not seconds:
        raise ValueError(
            "seconds is 0, which is as long as the words take, but UniAVGen Conditioning says nothing: write what the "
            "person says in its speech, or set seconds."
        )
    longest = clip_seconds(MAX_LATENT_FRAMES)
    if seconds > longest:
        raise ValueError(
            f"The speech wants about {seconds:.2f} seconds, more than one segment takes, which is {longest:.2f}: make "
            "the clip with UniAVGen Long Form, or shorten the speech."
        )
    return clip_seconds(latent_frames_for_seconds(seconds))


class Latent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        # Newer frontends lose sockets in a dynamic combo, and links to widgets behind it: in every node of the pack it
        # holds no sockets, and is the last widget.
        size = [
            io.DynamicCombo.Option("auto", []),
            io.DynamicCombo.Option(
                "custom",
                [
                    io.Int.Input("width", default=SHORT_SIDE, min=SIZE_MULTIPLE, max=4096, step=SIZE_MULTIPLE),
                    io.Int.Input("height", default=992, min=SIZE_MULTIPLE, max=4096, step=SIZE_MULTIPLE),
                ],
            ),
        ]
        return io.Schema(
            node_id="UniAVGenLatent",
            display_name="UniAVGen Latent",
            category="model/latent",
            description="Makes the joint latent of picture and sound for a task: what is given is kept, the rest is "
            "generated.",
            search_aliases=[
                "uniavgen empty latent", "talking video latent", "dub video", "lip sync", "audio driven video",
                "continue video", "extend video", "resync lips", "lip sync video", "new lips", "retake",
                "replace sentence", "bridge clips", "transition",
            ],
            inputs=[
                io.Vae.Input("vae", tooltip="The Wan 2.2 VAE."),
                io.Conditioning.Input(
                    "conditioning",
                    optional=True,
                    tooltip="The positive output of UniAVGen Conditioning. Its words set the length where seconds is "
                    "0, and must fit it elsewhere.",
                ),
                io.Image.Input(
                    "portrait",
                    optional=True,
                    tooltip="For joint and audio_driven: the person who speaks. It becomes the first frame. For voice, "
                    "where you like: the face that the voice suits.",
                ),
                io.MultiType.Input(
                    "video",
                    [io.Video, io.Image],
                    optional=True,
                    tooltip="For continuation: the clip that goes on; its end is kept. For dubbing: the clip that gets "
                    "a voice. For resync: the clip that gets new lips. For retake: the video of which a part is made "
                    "anew, of any length. For bridge: the clip before the bridge; its end is kept.",
                ),
                io.MultiType.Input(
                    "audio",
                    [io.Audio, io.Latent],
                    optional=True,
                    tooltip="For audio_driven: the recording that the person speaks; it sets the length. For "
                    "continuation: the sound of the clip that goes on, or the sampled LATENT that it was generated as; "
                    "a VIDEO brings its own. For resync: the new recording, no longer than the video; without one, the "
                    "words of conditioning are said. For retake and bridge: the sound of video, where it has none.",
                ),
                RANGE.Input(
                    "range",
                    optional=True,
                    tooltip="For retake: from UniAVGen Range, which seconds of the video are made anew.",
                ),
                io.MultiType.Input(
                    "next_video",
                    [io.Video, io.Image],
                    optional=True,
                    tooltip="For bridge: the clip behind the bridge; its beginning is kept.",
                ),
                io.Audio.Input(
                    "next_audio", optional=True, tooltip="For bridge: the sound of next_video; a VIDEO brings its own."
                ),
                io.Combo.Input(
                    "task",
                    options=[*SOURCES, VOICE],
                    tooltip="joint: picture and voice from a portrait. continuation: a clip goes on. dubbing: a voice "
                    "for a video. audio_driven: a picture that speaks a recording. resync: new lips in a video, for a "
                    "new recording or new words. retake: a part of a video made anew. bridge: what lies between two "
                    "clips. voice: sound alone, at a tenth of the cost.",
                ),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=0.25,
                    tooltip="For joint, continuation, bridge and voice: length of the clip with what is kept, rounded "
                    "up to a whole latent frame (a quarter of a second). 0: as long as the words take. For retake: of "
                    "the segment around the range; 0: 5.0625, which the released model was trained on. For resync with "
                    "UniAVGen Long Form: length of a segment; 0: of the whole video.",
                ),
                frame_rate_input(),
                past_frames_input(
                    "For continuation: latent frames of the past that are kept, with their sound. 3 are 9 frames, 0.56 "
                    "seconds. For retake and bridge: at least so many on each side."
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="For resync: what is made anew, such as the mouth and the chin: one mask, or one for each "
                    "frame of the video. Without one, it is found, where a face detector is among your models.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=64, advanced=True, tooltip="Clips made at once."),
                io.DynamicCombo.Input(
                    "size",
                    options=size,
                    tooltip=f"auto: the picture's aspect with a short side of {SHORT_SIDE}, cropped in the middle to "
                    f"multiples of {SIZE_MULTIPLE}.",
                ),
            ],
            outputs=[io.Latent.Output()],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        vae: Any,
        task: str,
        seconds: float,
        frame_rate: float,
        past_frames: int,
        batch_size: int,
        conditioning: list | None = None,
        portrait: Any = NOT_CONNECTED,
        video: Any = NOT_CONNECTED,
        audio: Any = NOT_CONNECTED,
        mask: Tensor | None = None,
        range: Any = NOT_CONNECTED,
        next_video: Any = NOT_CONNECTED,
        next_audio: Any = NOT_CONNECTED,
        size: dict[str, Any] | None = None,
        **of_other_options: Any,
    ) -> io.NodeOutput:
        check_vae(vae)
        size = chosen("size", size)
        given = LatentInputs(
            portrait, video, audio, conditioning, seconds, frame_rate, past_frames, size, mask, range, next_video,
            next_audio,
        )  # fmt: skip
        if task == VOICE:
            return io.NodeOutput(_voice(given, vae, batch_size))
        source = SOURCES[task](given, task)
        width, height = _size(size, source.images.shape[2], source.images.shape[1])
        shapes = stream_shapes(source.latent_frames, width, height, batch_size)
        kept = source.kept(task, shapes[1][2])
        # Of a region only a part of a face may be seen.
        shown = None if isinstance(source.origin, VideoRegion) else source.images
        warn("UniAVGen Latent", picture_notes(vae, shown, width, height))
        _check_speeches(conditioning, source.latent_frames, kept.all_audio)
        latents = encode_frames(vae, source.images, width, height)
        latent = joint_latent(shapes, kept, latents, source.mel)
        return io.NodeOutput(latent if source.origin is None else latent | {ORIGIN: source.origin})
