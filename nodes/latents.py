"""The joint latent of a task."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.checks import check_picture, check_sound
from ..uniavgen_core.config import LATENT_CHANNELS, SHORT_SIDE, SIZE_MULTIPLE, TRAINED_LATENT_FRAMES, clip_seconds
from ..uniavgen_core.joint_latent import check_seconds, check_size, stream_shapes
from ..uniavgen_core.media import automatic_size, crop_and_resize, to_rgb
from ..uniavgen_core.speech.duration import seconds_for_speech
from ..uniavgen_core.speech.text import check_speech
from ..uniavgen_core.tasks import kept_prefix
from .comfy_model import joint_latent
from .language import language_input, pace_of_voice, resolve_language
from .options import chosen


def encode_picture(vae: Any, name: str, picture: Tensor, width: int, height: int) -> Tensor:
    """Latent (1, 48, 1, h, w) of the first frame of an IMAGE, cropped to the size.

    Raises:
        ValueError: the VAE is not Wan 2.2's, or the picture holds no numbers.
    """
    channels = getattr(vae, "latent_channels", None)
    if channels != LATENT_CHANNELS:
        raise ValueError(
            f"This VAE has {channels} latent channels, but UniAVGen needs the {LATENT_CHANNELS} of the Wan 2.2 VAE: "
            "choose wan2.2_vae.safetensors in Load VAE (the VAE of Wan 2.1 and of the 14B models is another one)."
        )
    check_picture(name, picture)
    return vae.encode(crop_and_resize(to_rgb(picture[:1]), width, height))


def _size(size: dict[str, Any], picture: Tensor) -> tuple[int, int]:
    if size["size"] == "custom":
        check_size(size["width"], size["height"])
        return size["width"], size["height"]
    return automatic_size(picture.shape[2], picture.shape[1])


def _seconds(length: dict[str, Any]) -> float:
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


class Latent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        portrait = io.Image.Input("portrait", tooltip="The person who speaks. It becomes the first frame.")
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
        lengths = [
            io.DynamicCombo.Option(
                "auto",
                [
                    io.String.Input(
                        "speech", force_input=True, tooltip="The same words that UniAVGen Conditioning gets."
                    ),
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
        length = io.DynamicCombo.Input("length", options=lengths, tooltip="auto: as long as the words take to say.")
        return io.Schema(
            node_id="UniAVGenLatent",
            display_name="UniAVGen Latent",
            category="model/latent",
            description="Makes the joint latent of picture and sound for a task: what is given is kept, the rest is "
            "generated.",
            search_aliases=["uniavgen empty latent", "talking video latent"],
            inputs=[
                io.Vae.Input("vae", tooltip="The Wan 2.2 VAE."),
                # The first option needs a widget: ComfyUI's frontend cannot make the node if it has sockets only.
                io.DynamicCombo.Input(
                    "task",
                    options=[io.DynamicCombo.Option("joint", [portrait, length])],
                    tooltip="joint: picture and voice are both generated from a portrait.",
                ),
                io.DynamicCombo.Input(
                    "size",
                    options=size,
                    tooltip=f"auto: the portrait's aspect with a short side of {SHORT_SIDE}, cropped in the middle to "
                    f"multiples of {SIZE_MULTIPLE}.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=64, advanced=True, tooltip="Clips made at once."),
            ],
            outputs=[io.Latent.Output()],
        )

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
        portrait = task["portrait"]
        check_picture("portrait", portrait)
        width, height = _size(chosen("size", size), portrait)
        frames = check_seconds(_seconds(chosen("length", task.get("length"))))
        picture = encode_picture(vae, "portrait", portrait, width, height)
        shapes = stream_shapes(frames, width, height, batch_size)
        kept = kept_prefix(frames, shapes[1][2], kept_frames=1)
        return io.NodeOutput(joint_latent(shapes, kept, video_prefix=picture))
