"""Two clips in one video, to compare them."""

from __future__ import annotations

from fractions import Fraction

from comfy_api.latest import Input, InputImpl, Types, io

from ..uniavgen_core.config import FRAME_RATE
from ..uniavgen_core.media.side_by_side import WAYS, LabelledClip, beside
from .comfy_progress import check_frames_fit
from .media import video_components


class SideBySide(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSideBySide",
            display_name="UniAVGen Side by Side",
            category="video",
            description="Puts two videos beside each other, each under its label and with its sound, whatever their "
            "sizes and rates.",
            search_aliases=["compare videos", "universe-1", "uniavgen compare"],
            inputs=[
                io.Video.Input("left", tooltip="The video on the left."),
                io.Video.Input("right", tooltip="The video on the right."),
                io.String.Input("left_label", tooltip="What is written above the one on the left."),
                io.String.Input("right_label", tooltip="What is written above the one on the right."),
                io.Combo.Input(
                    "play",
                    options=list(WAYS),
                    tooltip="in turn: first the left one, then the right one, each with its sound. together: both at "
                    "once, each heard on its side.",
                ),
            ],
            outputs=[io.Video.Output(tooltip="Both in one video.")],
        )

    @classmethod
    def execute(
        cls, left: Input.Video, right: Input.Video, left_label: str, right_label: str, play: str
    ) -> io.NodeOutput:
        clips = [_clip("left", left, left_label), _clip("right", right, right_label)]
        _check_memory(clips)
        images, rate, waveform, sample_rate = beside(clips[0], clips[1], play)
        audio: Input.Audio = {"waveform": waveform, "sample_rate": sample_rate}
        components = Types.VideoComponents(images=images, audio=audio, frame_rate=rate)
        return io.NodeOutput(InputImpl.VideoFromComponents(components))


def _clip(name: str, video: Input.Video, label: str) -> LabelledClip:
    parts = video_components(name, video, FRAME_RATE)
    sound = None if parts.audio is None else (parts.audio["waveform"][:1].cpu(), parts.audio["sample_rate"])
    return LabelledClip(label, parts.images.cpu(), Fraction(parts.frame_rate), sound)


def _check_memory(clips: list[LabelledClip]) -> None:
    """Refuse what main memory cannot hold, as if both were played in turn."""
    rate = max(clip.frame_rate for clip in clips)
    frames = int(sum(clip.seconds for clip in clips) * rate)
    height = min(clip.images.shape[1] for clip in clips)
    width = sum(round(clip.images.shape[2] * height / clip.images.shape[1]) for clip in clips)
    check_frames_fit("left and right", (frames, height, width, 3))
