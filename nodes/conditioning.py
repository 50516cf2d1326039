"""What the model is told besides the caption: the words, the voice, and who speaks."""

from __future__ import annotations

import logging
from typing import Any

import node_helpers
import torch
from comfy_api.latest import io

from ..uniavgen_core.checks import check_finite, check_picture
from ..uniavgen_core.config import SPATIAL_COMPRESSION
from ..uniavgen_core.joint_latent import check_shapes
from ..uniavgen_core.speech.duration import speech_seconds
from ..uniavgen_core.speech.prompt import negative_symbols, positive_symbols, reference_mel
from ..uniavgen_core.speech.text import check_speech, unknown_symbols
from .comfy_model import (
    LANGUAGE,
    PACE,
    REFERENCE_AUDIO,
    REFERENCE_IMAGE,
    SPEECH,
    SPEECH_SECONDS,
    TRANSCRIPT,
    streams,
)
from .face_models import warn_of_portrait
from .language import language_input, pace_of_voice, prompt_language, resolve_language
from .options import NOT_CONNECTED, sound
from .pictures import encode_frames


class Conditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenConditioning",
            display_name="UniAVGen Conditioning",
            category="model/conditioning",
            description="Adds the words, and a voice to say them in, to the captions.",
            search_aliases=["uniavgen speech", "reference voice", "voice clone", "say", "text to speech"],
            inputs=[
                io.Conditioning.Input("positive", tooltip="The caption: who, where, in what mood."),
                io.Conditioning.Input("negative", tooltip="Usually an empty caption."),
                io.Audio.Input(
                    "reference_audio",
                    optional=True,
                    tooltip="The voice to speak in: a few seconds of it, without noise. Not connected: a voice that "
                    "suits the face.",
                ),
                io.String.Input(
                    "speech",
                    multiline=True,
                    tooltip="What the person says in the whole clip, the kept past of a continuation included. With a "
                    "given sound: what is said in it, as far as you know.",
                ),
                language_input(),
                io.String.Input(
                    "reference_transcript",
                    default="",
                    optional=True,
                    tooltip="What reference_audio says, word by word.",
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
        speech: str,
        language: str,
        reference_audio: Any = NOT_CONNECTED,
        reference_transcript: str = "",
    ) -> io.NodeOutput:
        values: dict[str, Any] = {LANGUAGE: language, PACE: 1.0, SPEECH_SECONDS: 0.0}
        if reference_audio is not NOT_CONNECTED:
            audio = sound("reference_audio", reference_audio)
            mel = reference_mel(audio["waveform"], audio["sample_rate"], reference_transcript)
            values |= {REFERENCE_AUDIO: mel, TRANSCRIPT: reference_transcript}
            values[PACE] = pace_of_voice(audio, reference_transcript)
        transcript = values.get(TRANSCRIPT)
        if speech.strip():
            spoken, unspoken = speech_symbols(speech, language, transcript)
            values[SPEECH_SECONDS] = speech_seconds(speech, resolve_language(language, speech), values[PACE])
        else:
            spoken = unspoken = torch.tensor([negative_symbols(prompt_language(language, "", transcript), transcript)])
        return io.NodeOutput(
            node_helpers.conditioning_set_values(positive, values | {SPEECH: spoken}),
            node_helpers.conditioning_set_values(negative, values | {SPEECH: unspoken}),
        )


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


class ReferencePicture(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenReferencePicture",
            display_name="UniAVGen Reference Picture",
            category="model/conditioning",
            description="Says who speaks by a picture of its own, where the clip's first frame does not show the face. "
            "Without this node, the first frame does.",
            search_aliases=["uniavgen reference image", "who speaks"],
            inputs=[
                io.Conditioning.Input("positive", tooltip="From UniAVGen Conditioning."),
                io.Conditioning.Input("negative", tooltip="From UniAVGen Conditioning."),
                io.Latent.Input("latent", tooltip="From UniAVGen Latent: its size is taken."),
                io.Vae.Input("vae", tooltip="The Wan 2.2 VAE."),
                io.Image.Input(
                    "image", tooltip="The person who speaks. It is cropped in the middle to the clip's size."
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
            ],
        )

    @classmethod
    def execute(
        cls, positive: list, negative: list, latent: dict[str, Any], vae: Any, image: torch.Tensor
    ) -> io.NodeOutput:
        streams_of_latent = streams(latent)
        check_shapes([stream.shape for stream in streams_of_latent])
        check_picture("image", image)
        check_finite("image", image)
        warn_of_portrait("image", image)
        height, width = (size * SPATIAL_COMPRESSION for size in streams_of_latent[0].shape[-2:])
        values = {REFERENCE_IMAGE: encode_frames(vae, image[:1], width, height)}
        return io.NodeOutput(
            node_helpers.conditioning_set_values(positive, values),
            node_helpers.conditioning_set_values(negative, values),
        )
