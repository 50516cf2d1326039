"""A sound as a picture, with its words."""

from __future__ import annotations

from comfy_api.latest import Input, io, ui

from ..uniavgen_core.media.cues import parse_subtitles
from ..uniavgen_core.media.sound_picture import draw_sound
from .media import audio_sound


class WaveformNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenWaveform",
            display_name="UniAVGen Waveform",
            category="audio",
            description="Draws a sound with its words under it, each where it is said, and says how long and how loud "
            "it is.",
            search_aliases=["audio waveform", "loudness meter", "lufs", "subtitle timeline", "plot audio"],
            inputs=[
                io.Audio.Input("audio", tooltip="The sound, of any rate and channels."),
                io.String.Input(
                    "subtitles",
                    force_input=True,
                    optional=True,
                    tooltip="What is said in it, as SubRip (SRT) or WebVTT, such as UniAVGen Long Form gives.",
                ),
                io.Int.Input("width", default=1024, min=256, max=4096, step=32, tooltip="Pixels of the picture."),
                io.Float.Input(
                    "row_seconds",
                    default=8.0,
                    min=1.0,
                    max=600.0,
                    step=1.0,
                    tooltip="Seconds that a row of the picture shows.",
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            outputs=[io.Image.Output(display_name="image")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, audio: Input.Audio | None, width: int, row_seconds: float, subtitles: str = "") -> io.NodeOutput:
        waveform, rate = audio_sound("audio", audio)
        image = draw_sound(waveform[0], rate, parse_subtitles(subtitles or ""), width, row_seconds)
        return io.NodeOutput(image, ui=ui.PreviewImage(image, cls=cls))
