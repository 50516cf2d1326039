"""What the model is told besides the caption: the words, the reference picture and the reference voice."""

from __future__ import annotations

import logging
from typing import Any

import node_helpers
import torch
from comfy_api.latest import io

from ..uniavgen_core.checks import check_finite
from ..uniavgen_core.config import SPATIAL_COMPRESSION, clip_seconds
from ..uniavgen_core.joint_latent import check_shapes
from ..uniavgen_core.speech.duration import check_fits
from ..uniavgen_core.speech.prompt import negative_symbols, positive_symbols, reference_mel
from ..uniavgen_core.speech.text import check_speech, detect_language, unknown_symbols
from .comfy_model import REFERENCE_AUDIO, REFERENCE_IMAGE, SPEECH, streams
from .language import language_input, pace_of_voice, resolve_language
from .latents import encode_picture
from .options import chosen, sound


class Conditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        voice = [
            io.DynamicCombo.Option("free", []),
            io.DynamicCombo.Option(
                "reference",
                [
                    io.Audio.Input("reference_audio", tooltip="A few seconds of the voice, without noise."),
                    io.String.Input(
                        "reference_transcript", multiline=True, tooltip="What the reference says, word by word."
                    ),
                ],
            ),
        ]
        picture = [
            io.DynamicCombo.Option("first frame", []),
            io.DynamicCombo.Option(
                "image", [io.Vae.Input("vae", tooltip="The Wan 2.2 VAE."), io.Image.Input("reference_image")]
            ),
        ]
        return io.Schema(
            node_id="UniAVGenConditioning",
            display_name="UniAVGen Conditioning",
            category="model/conditioning",
            description="Adds the words, the reference picture and the voice to the captions. It reads size and length "
            "from the LATENT and says when the words do not fit.",
            search_aliases=["uniavgen speech", "reference voice"],
            inputs=[
                io.Conditioning.Input("positive", tooltip="The caption: who, where, in what mood."),
                io.Conditioning.Input("negative", tooltip="Usually an empty caption."),
                io.Latent.Input("latent", tooltip="From UniAVGen Latent."),
                io.String.Input("speech", multiline=True, tooltip="What the person says."),
                language_input(),
                io.DynamicCombo.Input(
                    "voice", options=voice, tooltip="free: a voice that suits the face. reference: the one given."
                ),
                io.DynamicCombo.Input(
                    "picture",
                    options=picture,
                    tooltip="Who speaks. first frame: as in the latent's first frame.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
            ],
        )

    @classmethod
    def execute(
        cls,
        positive: list,
        negative: list,
        latent: dict[str, Any],
        speech: str,
        language: str,
        voice: dict[str, Any] | None = None,
        picture: dict[str, Any] | None = None,
        **of_other_options: Any,
    ) -> io.NodeOutput:
        voice, picture = chosen("voice", voice), chosen("picture", picture)
        streams_of_latent = streams(latent)
        check_shapes([stream.shape for stream in streams_of_latent])
        video = streams_of_latent[0]
        check_finite("latent", video)
        values: dict[str, Any] = {REFERENCE_IMAGE: _reference_image(picture, video)}
        transcript, pace = None, 1.0
        if voice["voice"] == "reference":
            audio, transcript = sound("reference_audio", voice["reference_audio"]), voice["reference_transcript"]
            values[REFERENCE_AUDIO] = reference_mel(audio["waveform"], audio["sample_rate"], transcript)
            pace = pace_of_voice(audio, transcript)
        check_fits(speech, resolve_language(language, speech), clip_seconds(video.shape[2]), pace)
        check_speech(speech, resolve_language(language, speech))
        # One text is made of both, and Chinese text may hold English words, but not the other way round.
        code = "zh" if detect_language(transcript or "") == "zh" else resolve_language(language, speech)
        unknown = [symbol for symbol in unknown_symbols(f"{transcript or ''} {speech}", code) if symbol.strip()]
        if unknown:
            logging.warning("UniAVGen: no sound is known for %s; they become pauses.", " ".join(unknown))

        spoken = torch.tensor([positive_symbols(speech, code, transcript)])
        unspoken = torch.tensor([negative_symbols(code, transcript)])
        return io.NodeOutput(
            node_helpers.conditioning_set_values(positive, values | {SPEECH: spoken}),
            node_helpers.conditioning_set_values(negative, values | {SPEECH: unspoken}),
        )


def _reference_image(picture: dict[str, Any], video: torch.Tensor) -> torch.Tensor:
    """Latent (1, 48, 1, h, w) of the picture that says who speaks."""
    if picture["picture"] == "first frame":
        return video[:1, :, :1].clone()
    height, width = (size * SPATIAL_COMPRESSION for size in video.shape[-2:])
    return encode_picture(picture["vae"], "reference_image", picture["reference_image"], width, height)
