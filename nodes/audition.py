"""Voices of a batch: heard one after the other, and the one that is chosen."""

from __future__ import annotations

from comfy_api.latest import Input, io

from ..uniavgen_core.checks import check_waveform
from ..uniavgen_core.media.waveforms import in_turn
from .comfy_progress import show_text
from .inputs import present

PAUSE_SECONDS = 0.6
"""Silence between two voices."""


class ChooseVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenChooseVoice",
            display_name="UniAVGen Choose Voice",
            category="audio",
            description="Lets all voices of a batch be heard one after the other, and gives the one that you choose.",
            search_aliases=["uniavgen audition", "pick voice", "audio from batch", "select audio"],
            inputs=[
                io.Audio.Input(
                    "audio", tooltip="The decoded voices: of UniAVGen Latent, task voice, with a batch_size of several."
                ),
                io.Int.Input(
                    "number",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Which voice is given on, counted from 1. Choosing another one samples no voice again.",
                ),
            ],
            outputs=[
                io.Audio.Output(display_name="voice", tooltip="The chosen one."),
                io.Audio.Output(
                    display_name="all in turn", tooltip="All voices in one sound, with silence between, to listen to."
                ),
            ],
        )

    @classmethod
    def execute(cls, audio: Input.Audio, number: int) -> io.NodeOutput:
        audio = present("audio", audio)
        voices, rate = audio["waveform"], audio["sample_rate"]
        check_waveform("audio", voices)
        if number > len(voices):
            raise ValueError(
                f"number is {number}, but audio holds {len(voices)} voices: choose one of them, or raise batch_size of "
                "the UniAVGen Latent that they were made with."
            )
        together, starts = in_turn(voices, round(PAUSE_SECONDS * rate))
        listed = (f"{index} from {start / rate:.1f} s" for index, start in enumerate(starts, 1))
        show_text(f"Voice {number} of {len(voices)}.\nAll in turn: {', '.join(listed)}")
        return io.NodeOutput(
            {"waveform": voices[number - 1 : number], "sample_rate": rate},
            {"waveform": together, "sample_rate": rate},
        )
