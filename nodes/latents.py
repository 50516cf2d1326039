"""The joint latent of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from comfy_api.latest import Types, io
from torch import Tensor

from ..uniavgen_core.checks import check_one_sound, check_picture, check_sound
from ..uniavgen_core.config import (
    SHORT_SIDE,
    SIZE_MULTIPLE,
    TRAINED_LATENT_FRAMES,
    audio_tokens,
    clip_seconds,
    latent_frames,
    pixel_frames,
)
from ..uniavgen_core.given import at_model_rate, driving_mel, past_mel, past_pictures, whole_latents
from ..uniavgen_core.joint_latent import check_past, check_seconds, check_shapes, check_size, last_tokens, stream_shapes
from ..uniavgen_core.media.images import automatic_size
from ..uniavgen_core.speech.duration import seconds_for_speech
from ..uniavgen_core.speech.text import check_speech
from ..uniavgen_core.tasks import PAST_FRAMES, TASKS
from .comfy_model import joint_latent, streams
from .face_models import warn_of_portrait
from .language import language_input, pace_of_voice, resolve_language
from .options import chosen, sound
from .pictures import encode_frames, frame_rate_input, video_parts


@dataclass(frozen=True)
class Source:
    """What a task is given: pictures (4(n-1)+1, H, W, channels) of the first n latent frames, and sound as log-mel."""

    pictures: Tensor
    latent_frames: int
    mel: Tensor | None = None


def _joint(task: dict[str, Any]) -> Source:
    check_picture("portrait", task["portrait"])
    return Source(task["portrait"][:1], check_seconds(_seconds(task)))


def _continuation(task: dict[str, Any]) -> Source:
    parts = video_parts("past", task["past"], task["frame_rate"])
    frames = at_model_rate(parts.images, parts.frame_rate)
    past = task["past_frames"]
    length = check_past(check_seconds(_seconds(task)), past)
    return Source(past_pictures(frames, past), length, _past_mel(task.get("sound"), parts, len(frames), past))


def _past_mel(given: dict[str, Any] | None, parts: Types.VideoComponents, frames: int, past: int) -> Tensor:
    """The past's sound: of the LATENT that it was generated as, of an AUDIO, or the VIDEO's own."""
    if given is not None and "samples" in given:
        stream_parts = streams(given)
        check_shapes([stream.shape for stream in stream_parts])
        check_one_sound("sound", stream_parts[1])
        return last_tokens(stream_parts[1], past)
    audio = sound("sound", given if given is not None else parts.audio)
    return past_mel(audio["waveform"], audio["sample_rate"], frames, past)


def _dubbing(task: dict[str, Any]) -> Source:
    parts = video_parts("video", task["video"], task["frame_rate"])
    check_seconds(len(parts.images) / float(parts.frame_rate), "video")
    pictures = whole_latents(at_model_rate(parts.images, parts.frame_rate))
    return Source(pictures, latent_frames(len(pictures)))


def _audio_driven(task: dict[str, Any]) -> Source:
    check_picture("portrait", task["portrait"])
    audio = sound("sound", task["sound"])
    check_sound("sound", audio["waveform"])
    length = check_seconds(audio["waveform"].shape[-1] / audio["sample_rate"], "sound")
    mel = driving_mel(audio["waveform"], audio["sample_rate"], audio_tokens(pixel_frames(length)))
    return Source(task["portrait"][:1], length, mel)


SOURCES: dict[str, Callable[[dict[str, Any]], Source]] = {
    "joint": _joint,
    "continuation": _continuation,
    "dubbing": _dubbing,
    "audio_driven": _audio_driven,
}


def _size(size: dict[str, Any], picture: Tensor) -> tuple[int, int]:
    if size["size"] == "custom":
        check_size(size["width"], size["height"])
        return size["width"], size["height"]
    return automatic_size(picture.shape[2], picture.shape[1])


def _seconds(task: dict[str, Any]) -> float:
    length = chosen("length", task.get("length"))
    if length["length"] == "seconds":
        return length["seconds"]
    language = resolve_language(length["language"], length["speech"])
    check_speech(length["speech"], language)
    return seconds_for_speech(length["speech"], language, _own_pace(length))


def _own_pace(length: dict[str, Any]) -> float:
    """How fast the reference voice is, where one is given."""
    audio, transcript = length.get("reference_audio"), length.get("reference_transcript")
    if audio is None or not transcript:
        return 1.0
    check_sound("reference_audio", audio["waveform"])
    return pace_of_voice(audio, transcript)


def _length_input() -> io.DynamicCombo.Input:
    options = [
        io.DynamicCombo.Option(
            "auto",
            [
                io.String.Input("speech", force_input=True, tooltip="The same words that UniAVGen Conditioning gets."),
                language_input(),
                io.Audio.Input(
                    "reference_audio", optional=True, tooltip="The reference voice, to use its own rate of speech."
                ),
                io.String.Input(
                    "reference_transcript", optional=True, force_input=True, tooltip="What the reference says."
                ),
            ],
        ),
        io.DynamicCombo.Option(
            "seconds",
            [
                io.Float.Input(
                    "seconds",
                    default=clip_seconds(TRAINED_LATENT_FRAMES),
                    min=0.0,
                    max=3600.0,
                    step=0.25,
                    tooltip="Rounded up to a whole latent frame (a quarter of a second). The released model was "
                    "trained on 5.0625.",
                )
            ],
        ),
    ]
    return io.DynamicCombo.Input("length", options=options, tooltip="auto: as long as the words take to say.")


def _task_options() -> list[io.DynamicCombo.Option]:
    """Each task with the inputs that it needs. The first option needs a widget: the frontend cannot do without."""
    portrait = io.Image.Input("portrait", tooltip="The person who speaks. It becomes the first frame.")
    past = [
        io.MultiType.Input("past", [io.Video, io.Image], tooltip="The clip that goes on. Its end is kept."),
        io.MultiType.Input(
            "sound",
            [io.Audio, io.Latent],
            optional=True,
            tooltip="The past's sound, or the sampled LATENT that the past was generated as. A VIDEO brings its own.",
        ),
        frame_rate_input(),
        io.Int.Input(
            "past_frames",
            default=PAST_FRAMES,
            min=1,
            max=TRAINED_LATENT_FRAMES - 1,
            advanced=True,
            tooltip="Latent frames of the past that are kept, with their sound: 3 are 9 frames, 0.56 seconds.",
        ),
        _length_input(),
    ]
    video = io.MultiType.Input("video", [io.Video, io.Image], tooltip="The clip that gets a voice.")
    driving = io.Audio.Input("sound", tooltip="The recording that the person speaks. It sets the length.")
    return [
        io.DynamicCombo.Option("joint", [portrait, _length_input()]),
        io.DynamicCombo.Option("continuation", past),
        io.DynamicCombo.Option("dubbing", [video, frame_rate_input()]),
        io.DynamicCombo.Option("audio_driven", [portrait, driving]),
    ]


class Latent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
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
                io.DynamicCombo.Input(
                    "task",
                    options=_task_options(),
                    tooltip="joint: picture and voice from a portrait. continuation: a clip goes on. dubbing: a voice "
                    "for a video. audio_driven: a picture that speaks a recording.",
                ),
                io.DynamicCombo.Input(
                    "size",
                    options=size,
                    tooltip=f"auto: the picture's aspect with a short side of {SHORT_SIDE}, cropped in the middle to "
                    f"multiples of {SIZE_MULTIPLE}.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=64, advanced=True, tooltip="Clips made at once."),
            ],
            outputs=[io.Latent.Output()],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        vae: Any,
        batch_size: int,
        task: dict[str, Any] | None = None,
        size: dict[str, Any] | None = None,
        **of_other_options: Any,
    ) -> io.NodeOutput:
        task = chosen("task", task)
        name = task["task"]
        source = SOURCES[name](task)
        if "portrait" in task:
            warn_of_portrait("portrait", task["portrait"])
        width, height = _size(chosen("size", size), source.pictures)
        video = encode_frames(vae, source.pictures, width, height)
        shapes = stream_shapes(source.latent_frames, width, height, batch_size)
        kept = TASKS[name].kept(source.latent_frames, shapes[1][2], past_frames=video.shape[2])
        return io.NodeOutput(joint_latent(shapes, kept, video, source.mel))
