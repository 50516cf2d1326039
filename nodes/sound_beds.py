"""Beds of sound: music, or a video's own ambience, under a voice."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import Input, io

from ..uniavgen_core.config import FRAME_RATE
from ..uniavgen_core.media.beds import Bed
from ..uniavgen_core.media.track import whole_track
from .inputs import present
from .media import BEDS, audio_sound, beds_of, video_of


def _seconds(name: str, default: float, most: float, tooltip: str, advanced: bool = False) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=0.0, max=most, step=0.05, advanced=advanced, tooltip=tooltip)


class SoundBed(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSoundBed",
            display_name="UniAVGen Sound Bed",
            category="audio",
            description="Music or ambience for UniAVGen AV Mux to lay under the voice: how loud it is, how far it goes "
            "down while somebody speaks, and how it comes and goes. Several of these nodes, one behind the other, are "
            "laid on each other.",
            search_aliases=["background music", "ducking", "sidechain", "ambience", "music bed", "mix audio"],
            inputs=[
                io.MultiType.Input(
                    "sound",
                    [io.Audio, io.Video],
                    tooltip="What lies under the voice. VIDEO: its own sound, such as the ambience of a clip that is "
                    "dubbed.",
                ),
                BEDS.Input("bed", optional=True, tooltip="Another UniAVGen Sound Bed, which is heard as well."),
                io.Float.Input(
                    "gain",
                    default=-12.0,
                    min=-60.0,
                    max=24.0,
                    step=0.5,
                    tooltip="Decibels by which it is made louder; below 0, softer.",
                ),
                io.Float.Input(
                    "ducking",
                    default=12.0,
                    min=0.0,
                    max=60.0,
                    step=0.5,
                    tooltip="Decibels by which it goes down while the voice is heard. 0: not at all.",
                ),
                _seconds("fade_in", 0.5, 60.0, "Seconds in which it comes up at the start of the clip."),
                _seconds("fade_out", 1.5, 60.0, "Seconds in which it goes down at the end of the clip."),
                io.Boolean.Input(
                    "loop", default=True, tooltip="It is repeated where it is shorter than the clip. Off: it ends."
                ),
                _seconds("attack", 0.2, 5.0, "Seconds in which it goes down, before the voice sets in.", advanced=True),
                _seconds("release", 0.8, 10.0, "Seconds in which it comes up again after the voice.", advanced=True),
            ],
            outputs=[BEDS.Output(display_name="bed")],
        )

    @classmethod
    def execute(
        cls,
        sound: Input.Audio | Input.Video | None,
        gain: float,
        ducking: float,
        fade_in: float,
        fade_out: float,
        loop: bool,
        attack: float,
        release: float,
        bed: Any = (),
    ) -> io.NodeOutput:
        before = beds_of("bed", bed)
        waveform, rate = audio_sound("sound", _own_sound(sound) if isinstance(sound, Input.Video) else sound)
        made = Bed(waveform, rate, gain, ducking, attack, release, fade_in, fade_out, loop)
        return io.NodeOutput((*before, made))


def _own_sound(video: Input.Video) -> Input.Audio:
    """The sound of a VIDEO.

    Raises:
        ValueError: it has none.
    """
    with video_of("sound", video, FRAME_RATE).track() as track:
        heard = present("sound", track)
        return {"waveform": whole_track(heard), "sample_rate": heard.sample_rate}
