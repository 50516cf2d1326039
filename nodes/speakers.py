"""Several people in a long clip: their voices, their recordings, and the pictures that it is cut to.

Lists grow by nodes, one behind the other, and not by sockets of one node: frontends exchange or lose links to sockets
that come and go (1.49.6 where a subgraph is made of what feeds them).
"""

from __future__ import annotations

from typing import Any, TypeVar

from comfy_api.latest import Input, io
from torch import Tensor

from ..uniavgen_core.checks import check_images
from ..uniavgen_core.joint_latent import check_finite
from ..uniavgen_core.long_form.cast import ReferenceVoice, SceneStart, recorded_voice
from ..uniavgen_core.long_form.turns import SpokenTurns
from ..uniavgen_core.media.images import to_rgb
from ..uniavgen_core.speech.reader import SpeechReader
from .comfy_progress import check_interrupt, show_text, warn
from .faces import warn_of_portrait
from .inputs import NOT_CONNECTED, present
from .media import check_masks

VOICES = io.Custom("UNIAVGEN_VOICES")
SCENES = io.Custom("UNIAVGEN_SCENES")
RECORDINGS = io.Custom("UNIAVGEN_RECORDINGS")
AT_ONCE, IN_TURN = "at once", "in turn"
MOST_RECORDINGS = 4


T = TypeVar("T")


def _those_before(name: str, given: tuple[T, ...] | None) -> tuple[T, ...]:
    """What a chain of nodes holds before this one.

    Raises:
        ValueError: the node before gave nothing, so that numbers would be other ones.
    """
    if given is None:
        raise ValueError(f"{name} is missing: the node before this one gives nothing. Connect another one, or none.")
    return given


class SpeakerVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSpeakerVoice",
            display_name="UniAVGen Speaker Voice",
            category="model/conditioning",
            description="A voice for one of several people in UniAVGen Long Form. The first of these nodes is the "
            "voice of [speaker 1], the one behind it that of [speaker 2], and so on.",
            search_aliases=["uniavgen voices", "dialogue voice", "multi speaker", "voice clone"],
            inputs=[
                io.Audio.Input("audio", tooltip="The voice to speak in: a few seconds of one person, without noise."),
                VOICES.Input(
                    "voices",
                    optional=True,
                    tooltip="The voices of the speakers before this one, from another UniAVGen Speaker Voice. Not "
                    "connected: this is speaker 1.",
                ),
                io.String.Input("transcript", multiline=True, default="", tooltip="What audio says, word by word."),
            ],
            outputs=[VOICES.Output(display_name="voices")],
        )

    @classmethod
    def execute(
        cls, audio: Input.Audio | None, transcript: str, voices: tuple[ReferenceVoice, ...] | None = ()
    ) -> io.NodeOutput:
        before = _those_before("voices", voices)
        given, number = present("audio", audio), len(before) + 1
        try:
            reader = SpeechReader(step=check_interrupt)
            voice = recorded_voice(reader, given["waveform"].cpu(), given["sample_rate"], transcript)
        except ValueError as error:
            raise ValueError(f"Voice of speaker {number}: {error}") from error
        notes = [f"Transcript: {note}" for note in voice.transcript.notes()]
        warn("UniAVGen Speaker Voice", notes, f"The voice of [speaker {number}].")
        return io.NodeOutput((*before, voice))


class SceneNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenScene",
            display_name="UniAVGen Scene",
            category="model/conditioning",
            description="Another picture that UniAVGen Long Form is cut to. The first of these nodes is [scene 2] in "
            "the script, the one behind it [scene 3], and so on; scene 1 is how the clip starts.",
            search_aliases=["uniavgen cut", "second portrait", "shot reverse shot", "dialogue by cuts"],
            inputs=[
                io.Image.Input(
                    "portrait",
                    tooltip="Who is seen in this scene. It becomes its first frame, cropped in the middle to the "
                    "clip's size.",
                ),
                io.Mask.Input(
                    "speakers",
                    optional=True,
                    tooltip="Where several people are in this picture: one mask for each speaker's face, as a batch, a "
                    "black one for who is not there.",
                ),
                SCENES.Input(
                    "scenes",
                    optional=True,
                    tooltip="The scenes before this one, from another UniAVGen Scene. Not connected: this is scene 2.",
                ),
            ],
            outputs=[SCENES.Output(display_name="scenes")],
        )

    @classmethod
    def execute(
        cls, portrait: Tensor, speakers: Tensor | None = None, scenes: tuple[SceneStart, ...] | None = ()
    ) -> io.NodeOutput:
        before = _those_before("scenes", scenes)
        check_images("portrait", portrait)
        check_finite("portrait", portrait)
        warn_of_portrait("portrait", portrait)
        masks = None if speakers is None else check_masks("speakers", speakers).cpu()
        show_text(f"This is [scene {len(before) + 2}].")
        return io.NodeOutput((*before, SceneStart(to_rgb(portrait[:1]).cpu(), masks)))


class Recordings(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        others = [
            io.Audio.Input(f"audio_{number}", optional=True, tooltip=f"What speaker {number} says.")
            for number in range(3, MOST_RECORDINGS + 1)
        ]
        return io.Schema(
            node_id="UniAVGenRecordings",
            display_name="UniAVGen Recordings",
            category="audio",
            description="Recordings of several people as one, for UniAVGen Long Form: who is loud, speaks, and the "
            "masks of the faces follow.",
            search_aliases=["uniavgen multi speaker", "two speakers audio", "multitalk", "podcast"],
            inputs=[
                io.Audio.Input("audio_1", tooltip="What speaker 1 says, whose face is the first mask."),
                io.Audio.Input("audio_2", tooltip="What speaker 2 says."),
                *others,
                io.Combo.Input(
                    "order",
                    options=[AT_ONCE, IN_TURN],
                    tooltip="at once: each is as long as the clip, silent where its speaker listens, as microphones of "
                    "their own record it. in turn: one follows the other.",
                ),
            ],
            outputs=[
                RECORDINGS.Output(display_name="recording"),
                io.Audio.Output(display_name="audio"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(
        cls,
        audio_1: Input.Audio | None,
        audio_2: Input.Audio | None,
        order: str,
        audio_3: Any = NOT_CONNECTED,
        audio_4: Any = NOT_CONNECTED,
    ) -> io.NodeOutput:
        inputs = {"audio_1": audio_1, "audio_2": audio_2, "audio_3": audio_3, "audio_4": audio_4}
        given = {name: present(name, audio) for name, audio in inputs.items() if audio is not NOT_CONNECTED}
        if "audio_4" in given and "audio_3" not in given:
            raise ValueError("audio_4 is connected, but audio_3 is not: connect speaker 3's recording, or move it up.")
        tracks = [(audio["waveform"].cpu(), audio["sample_rate"]) for audio in given.values()]
        turns = SpokenTurns(tracks, [*given], order == IN_TURN)
        report = turns.describe()
        show_text(report)
        mix = {"waveform": turns.waveform, "sample_rate": turns.sample_rate}
        return io.NodeOutput(turns, mix, report)
