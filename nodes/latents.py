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
from ..uniavgen_core.media.track import track_of
from ..uniavgen_core.media.video import Video
from ..uniavgen_core.model_rates import driving_mel, dubbed_images, past_images, past_mel
from ..uniavgen_core.tasks import TASKS, kept_prefix
from .comfy_latent import joint_latent, streams
from .comfy_model import REFERENCE_AUDIO, SPEECH_SECONDS, check_speech_fits
from .faces import warn_of_portrait
from .inputs import NOT_CONNECTED, chosen, frame_rate_input, linked, past_frames_input, present
from .media import check_vae, encode_frames, video_of


@dataclass(frozen=True)
class Source:
    """What a task is given: images (4(n-1)+1, H, W, channels) of the first n latent frames, and sound as log-mel."""

    images: Tensor
    latent_frames: int
    mel: Tensor | None = None


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
    check_one_waveform("audio", given["waveform"])
    return past_mel(track_of(given["waveform"], given["sample_rate"]), footage.frames, past)


def _whole_video(given: LatentInputs, task: str) -> Source:
    video = linked("video", given.video, f"task '{task}' needs the clip that gets a voice")
    if isinstance(video, Input.Video) and not isinstance(video, InputImpl.VideoFromFile):
        # Before it hands over its frames. A file says more exactly how long it is.
        check_seconds(video.get_duration(), "video")
    footage = video_of("video", video, given.frame_rate)
    check_seconds(float(footage.seconds), "video")
    images = dubbed_images(footage, *_size(given.size, *footage.size))
    return Source(images, latent_frames(len(images)))


def _portrait_and_audio(given: LatentInputs, task: str) -> Source:
    portrait = _portrait(given, task)
    audio = present("audio", linked("audio", given.audio, f"task '{task}' needs the recording that is spoken"))
    if "samples" in audio:
        raise ValueError(f"audio is a LATENT: task '{task}' takes the recording as AUDIO.")
    check_waveform("audio", audio["waveform"])
    length = check_seconds(audio["waveform"].shape[-1] / audio["sample_rate"], "audio")
    mel = driving_mel(audio["waveform"], audio["sample_rate"], audio_tokens(pixel_frames(length)))
    return Source(portrait, length, mel)


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
                "continue video", "extend video",
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
                    "a voice.",
                ),
                io.MultiType.Input(
                    "audio",
                    [io.Audio, io.Latent],
                    optional=True,
                    tooltip="For audio_driven: the recording that the person speaks; it sets the length. For "
                    "continuation: the sound of the clip that goes on, or the sampled LATENT that it was generated as; "
                    "a VIDEO brings its own.",
                ),
                io.Combo.Input(
                    "task",
                    options=[*SOURCES, VOICE],
                    tooltip="joint: picture and voice from a portrait. continuation: a clip goes on. dubbing: a voice "
                    "for a video. audio_driven: a picture that speaks a recording. voice: sound alone, at a tenth of "
                    "the cost.",
                ),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=0.25,
                    tooltip="For joint, continuation and voice: length of the clip, rounded up to a whole latent frame "
                    "(a quarter of a second). 0: as long as the words take. The released model was trained on 5.0625.",
                ),
                frame_rate_input(),
                past_frames_input(
                    "For continuation: latent frames of the past that are kept, with their sound. 3 are 9 frames, 0.56 "
                    "seconds."
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
        size: dict[str, Any] | None = None,
        **of_other_options: Any,
    ) -> io.NodeOutput:
        check_vae(vae)
        size = chosen("size", size)
        given = LatentInputs(portrait, video, audio, conditioning, seconds, frame_rate, past_frames, size)
        if task == VOICE:
            return io.NodeOutput(_voice(given, vae, batch_size))
        source = SOURCES[task](given, task)
        width, height = _size(size, source.images.shape[2], source.images.shape[1])
        shapes = stream_shapes(source.latent_frames, width, height, batch_size)
        kept = TASKS[task].kept(source.latent_frames, shapes[1][2], past_frames=latent_frames(len(source.images)))
        _check_speeches(conditioning, source.latent_frames, all(kept.audio))
        latents = encode_frames(vae, source.images, width, height)
        return io.NodeOutput(joint_latent(shapes, kept, latents, source.mel))
