"""Picture and sound into one video."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import Input, io
from torch import Tensor

from ..uniavgen_core.checks import check_finite
from .options import chosen, sound
from .pictures import frame_rate_input
from .video_sound import LENGTHS, PICTURE, with_sound


class AVMux(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        loudness = [
            io.DynamicCombo.Option("as it is", []),
            io.DynamicCombo.Option(
                "even",
                [
                    io.Float.Input(
                        "lufs", default=-16.0, min=-60.0, max=-5.0, step=0.5, tooltip="Loudness after ITU-R BS.1770."
                    )
                ],
            ),
        ]
        return io.Schema(
            node_id="UniAVGenAVMux",
            display_name="UniAVGen AV Mux",
            category="video",
            description="Joins picture and sound: one of them keeps its length, the other one is cut or padded to it. "
            "The picture of a VIDEO is copied, not encoded again, where players show it and all of it is kept.",
            search_aliases=["mux", "combine audio and video", "replace audio", "dub"],
            inputs=[
                io.MultiType.Input("picture", [io.Image, io.Video], tooltip="Frames, or a VIDEO to give new sound to."),
                io.Audio.Input("audio"),
                frame_rate_input(),
                io.Float.Input(
                    "fade",
                    default=0.0,
                    min=0.0,
                    max=5.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Seconds in which the sound comes up at the start and goes down at the end.",
                ),
                io.Combo.Input(
                    "length",
                    options=list(LENGTHS),
                    default=PICTURE,
                    tooltip="Which one keeps its length. picture: the sound is cut, or padded with silence. sound: the "
                    "picture is cut, or its last frame held, and the sound stays as it is.",
                ),
                io.DynamicCombo.Input("loudness", options=loudness, tooltip="as it is: the sound is not touched."),
            ],
            outputs=[io.Video.Output()],
        )

    @classmethod
    def execute(
        cls,
        picture: Tensor | Input.Video,
        audio: Input.Audio,
        frame_rate: float,
        fade: float,
        length: str,
        loudness: dict[str, Any] | None = None,
        **of_other_options: Any,
    ) -> io.NodeOutput:
        check_finite("audio", sound("audio", audio)["waveform"])
        target = chosen("loudness", loudness).get("lufs")
        if not isinstance(picture, Tensor) and audio["waveform"].shape[0] > 1:
            raise ValueError(
                f"The audio is {audio['waveform'].shape[0]} sounds for one VIDEO: pick one, or set batch_size to 1 in "
                "UniAVGen Latent."
            )
        return io.NodeOutput(with_sound("picture", picture, audio, frame_rate, target, fade, length))
