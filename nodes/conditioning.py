"""What the model is told besides the caption: the words, the reference picture and the reference voice."""

from __future__ import annotations

import logging
from typing import Any

import node_helpers
import torch
from comfy_api.latest import io

from ..uniavgen_core.checks import check_finite, check_picture
from ..uniavgen_core.config import SPATIAL_COMPRESSION, clip_seconds
from ..uniavgen_core.joint_latent import check_shapes
from ..uniavgen_core.speech.duration import check_fits
from ..uniavgen_core.speech.prompt import negative_symbols, positive_symbols, reference_mel
from ..uniavgen_core.speech.text import check_speech, unknown_symbols
from .comfy_model import LANGUAGE, REFERENCE_AUDIO, REFERENCE_IMAGE, SPEECH, TRANSCRIPT, kept_parts, streams
from .face_models import warn_of_portrait
from .language import language_input, pace_of_voice, prompt_language, resolve_language
from .options import chosen, sound
from .pictures import encode_frames


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
                io.String.Input(
                    "speech",
                    multiline=True,
                    tooltip="What the person says in the whole clip, the kept past of a continuation included. With a "
                    "given sound: what is said in it, as far as you know.",
                ),
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
        if "reference_image" in picture:
            warn_of_portrait("reference_image", picture["reference_image"])
        given = all(kept_parts(latent)[1])
        voice_values, pace = _reference_voice(voice, given)
        values |= voice_values | {LANGUAGE: language}
        if given and not speech.strip():
            spoken = unspoken = torch.tensor([negative_symbols(resolve_language(language, speech))])
        else:
            check_fits(speech, resolve_language(language, speech), clip_seconds(video.shape[2]), pace)
            spoken, unspoken = speech_symbols(speech, language, values.get(TRANSCRIPT))
        return io.NodeOutput(
            node_helpers.conditioning_set_values(positive, values | {SPEECH: spoken}),
            node_helpers.conditioning_set_values(negative, values | {SPEECH: unspoken}),
        )


def _reference_voice(voice: dict[str, Any], sound_is_given: bool) -> tuple[dict[str, Any], float]:
    """The conditioning values of a reference voice, and how fast it is."""
    if voice["voice"] != "reference":
        return {}, 1.0
    if sound_is_given:
        raise ValueError(
            "This LATENT's sound is given, so no voice is generated that could follow the reference: set voice to "
            "'free'."
        )
    audio, transcript = sound("reference_audio", voice["reference_audio"]), voice["reference_transcript"]
    mel = reference_mel(audio["waveform"], audio["sample_rate"], transcript)
    return {REFERENCE_AUDIO: mel, TRANSCRIPT: transcript}, pace_of_voice(audio, transcript)


def speech_symbols(speech: str, language: str, transcript: str | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Symbols (1, S) of the positive and of the negative pass; a warning names what the model cannot say.

    Raises:
        ValueError: there are no words, or none that the model can say.
    """
    check_speech(speech, resolve_language(language, speech))
    code = prompt_language(language, speech, transcript)
    unknown = [symbol for symbol in unknown_symbols(f"{transcript or ''} {speech}", code) if symbol.strip()]
    if unknown:
        logging.warning("UniAVGen: no sound is known for %s; they become pauses.", " ".join(unknown))
    spoken = torch.tensor([positive_symbols(speech, code, transcript)])
    return spoken, torch.tensor([negative_symbols(code, transcript)])


def _reference_image(picture: dict[str, Any], video: torch.Tensor) -> torch.Tensor:
    """Latent (1, 48, 1, h, w) of the picture that says who speaks."""
    if picture["picture"] == "first frame":
        return video[:1, :, :1].clone()
    height, width = (size * SPATIAL_COMPRESSION for size in video.shape[-2:])
    check_picture("reference_image", picture["reference_image"])
    return encode_frames(picture["vae"], picture["reference_image"][:1], width, height)
