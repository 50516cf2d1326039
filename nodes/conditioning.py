"""What the model is given beside the caption: the words, the voice, and who speaks."""

from __future__ import annotations

from typing import Any

import node_helpers
import torch
from comfy_api.latest import io

from ..uniavgen_core.captions import CaptionChange
from ..uniavgen_core.checks import check_images
from ..uniavgen_core.config import SPATIAL_COMPRESSION
from ..uniavgen_core.joint_latent import check_finite, check_shapes
from ..uniavgen_core.long_form.cast import recorded_voice
from ..uniavgen_core.speech.pauses import read_clip
from ..uniavgen_core.speech.reader import SpeechReader
from ..uniavgen_core.speech.text import LANGUAGE_CODES
from .comfy_latent import streams
from .comfy_model import (
    CAPTION_CHANGES,
    LANGUAGE,
    PACE,
    READER,
    REFERENCE_AUDIO,
    REFERENCE_IMAGE,
    SPEECH_SECONDS,
    SYMBOLS,
    TRANSCRIPT,
)
from .comfy_progress import check_interrupt, warn
from .faces import warn_of_portrait
from .inputs import NOT_CONNECTED, present
from .media import encode_frames


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
                    "given sound: what is said in it, as far as you know. [pause 0.5] is a pause in seconds; "
                    "[Nguyen|win] and [银行|yin2 hang2] say how a word is read.",
                ),
                io.Combo.Input(
                    "language",
                    options=["auto", *LANGUAGE_CODES],
                    tooltip="auto: Chinese where the words hold a Chinese character, else English.",
                ),
                io.String.Input(
                    "reference_transcript",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="What reference_audio says, word by word.",
                ),
                io.Boolean.Input(
                    "read_numbers",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Numbers, dates, money, units, abbreviations and the like are written out, as they are "
                    "read aloud. Off: the model gets them as they stand.",
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
        read_numbers: bool = True,
    ) -> io.NodeOutput:
        reader = SpeechReader(read_numbers, check_interrupt)
        values: dict[str, Any] = {LANGUAGE: language, PACE: 1.0, READER: reader}
        seconds, notes = 0.0, list[str]()
        if reference_audio is not NOT_CONNECTED:
            audio = present("reference_audio", reference_audio)
            voice = recorded_voice(reader, audio["waveform"], audio["sample_rate"], reference_transcript)
            values |= {REFERENCE_AUDIO: voice.mel, TRANSCRIPT: voice.transcript.text, PACE: voice.pace}
            notes += [f"Transcript: {note}" for note in voice.transcript.notes()]
        said = ""
        if speech.strip():
            clip = read_clip(reader, speech, LANGUAGE_CODES.get(language))
            said, seconds = clip.spoken.text, clip.seconds(values[PACE])
            notes = [*clip.notes(), *notes]
        symbols, of_negative = reader.speech_symbols(said, language, values.get(TRANSCRIPT))
        warn("UniAVGen Conditioning", notes, f"Says, in about {seconds:.1f} s: {said}" if said else "")
        return io.NodeOutput(
            node_helpers.conditioning_set_values(
                positive, values | {SYMBOLS: torch.tensor([symbols]), SPEECH_SECONDS: seconds}
            ),
            node_helpers.conditioning_set_values(negative, values | {SYMBOLS: torch.tensor([of_negative])}),
        )


class ChangeCaption(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenCaptionChange",
            display_name="UniAVGen Caption Change",
            category="model/conditioning",
            description="From a moment of the clip on, another caption holds: the mood or the manner changes while the "
            "person speaks. Chain several, in order of time.",
            search_aliases=["uniavgen prompt relay", "prompt travel", "mood change", "timed prompt"],
            inputs=[
                io.Conditioning.Input(
                    "positive", tooltip="The caption that holds until then, or UniAVGen Conditioning."
                ),
                io.Conditioning.Input("caption", tooltip="The caption that holds from then on."),
                io.Float.Input(
                    "seconds",
                    default=2.0,
                    min=0.01,
                    max=3600.0,
                    step=0.05,
                    tooltip="When it changes, from the clip's start, the kept past of a continuation included.",
                ),
            ],
            outputs=[io.Conditioning.Output(display_name="positive")],
        )

    @classmethod
    def execute(cls, positive: list, caption: list, seconds: float) -> io.NodeOutput:
        changes = [CaptionChange(seconds, rows) for rows, _ in caption]
        if len(changes) != 1:
            raise ValueError(
                f"caption holds {len(changes)} captions: connect one CLIP Text Encode, and chain UniAVGen Caption "
                "Change nodes for more."
            )
        # Each caption of `positive` goes on with it, as where several are combined.
        return io.NodeOutput(
            [
                [rows, {**values, CAPTION_CHANGES: (*values.get(CAPTION_CHANGES, ()), *changes)}]
                for rows, values in positive
            ]
        )


class ReferenceImage(io.ComfyNode):
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
        parts = streams(latent)
        check_shapes([part.shape for part in parts])
        check_images("image", image)
        check_finite("image", image)
        warn_of_portrait("image", image)
        height, width = (size * SPATIAL_COMPRESSION for size in parts[0].shape[-2:])
        values = {REFERENCE_IMAGE: encode_frames(vae, image[:1], width, height)}
        return io.NodeOutput(
            node_helpers.conditioning_set_values(positive, values),
            node_helpers.conditioning_set_values(negative, values),
        )
