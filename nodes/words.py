"""Words, and what will be said of them, without a model."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..uniavgen_core.long_form.pacing import Pacing
from ..uniavgen_core.long_form.words_report import report_on_words
from ..uniavgen_core.speech.reader import SpeechReader
from ..uniavgen_core.speech.text import LANGUAGE_CODES
from .comfy_progress import check_interrupt, show_text


class Words(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenWords",
            display_name="UniAVGen Words",
            category="model/conditioning",
            description="Shows what will be said of a text, and how long it takes, in a moment and without any model: "
            "run this node alone. Its text goes to speech of UniAVGen Conditioning, or to script of UniAVGen Script.",
            search_aliases=["preview words", "speech length", "how long", "script preview", "speech calculator"],
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    default="Hello. [pause 0.5] I have news.",
                    tooltip="What a person says, or a script: caption | speech line by line, or subtitles.",
                ),
                io.Combo.Input(
                    "language",
                    options=["auto", *LANGUAGE_CODES],
                    tooltip="auto: Chinese where the words hold a Chinese character, else English.",
                ),
                io.Float.Input(
                    "pace",
                    default=1.0,
                    min=0.25,
                    max=4.0,
                    step=0.05,
                    tooltip="How fast people speak, against the usual rate. A reference voice brings its own.",
                ),
                io.Boolean.Input(
                    "read_numbers",
                    default=True,
                    advanced=True,
                    tooltip="As in UniAVGen Conditioning: numbers, dates and the like are written out.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="text"),
                io.Float.Output(display_name="seconds"),
                io.String.Output(display_name="report"),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, text: str, language: str, pace: float, read_numbers: bool) -> io.NodeOutput:
        reader = SpeechReader(read_numbers, check_interrupt)
        report = report_on_words(text, Pacing(LANGUAGE_CODES.get(language), pace, reader=reader))
        show_text(report.text)
        return io.NodeOutput(text, report.seconds, report.text, ui=ui.PreviewText(report.text))
