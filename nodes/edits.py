"""A part of a video made anew: which one, and what the model is given of the video."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.editing.given import Edit, bridge_images, bridge_mel, retake_images, retake_mel
from ..uniavgen_core.editing.segment import TimeRange, check_new_words, pace_around, plan_bridge, plan_retake
from ..uniavgen_core.media.track import AudioTrack
from ..uniavgen_core.media.video import Video
from ..uniavgen_core.speech.reader import SpeechReader
from ..uniavgen_core.speech.text import is_ideograph
from .comfy_progress import check_interrupt, warn
from .inputs import NOT_CONNECTED, present
from .media import given_track

RANGE = io.Custom("UNIAVGEN_RANGE")

BOTH, PICTURE, SOUND = PARTS = ("picture and sound", "picture", "sound")
"""What is made anew in a range."""


class Range(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        def words(name: str, tooltip: str) -> io.String.Input:
            return io.String.Input(name, multiline=True, default="", tooltip=tooltip)

        return io.Schema(
            node_id="UniAVGenRange",
            display_name="UniAVGen Range",
            category="model/conditioning",
            description="Says which seconds of a video are made anew, and what is said in and around them, for task "
            "retake of UniAVGen Latent.",
            search_aliases=["retake", "replace sentence", "time range", "inpaint audio", "redo part of video"],
            inputs=[
                io.Float.Input(
                    "start", default=0.0, min=0.0, max=86400.0, step=0.01, tooltip="Second at which the range begins."
                ),
                io.Float.Input(
                    "end",
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="Second at which the range ends. 0: the end of the video.",
                ),
                io.Combo.Input(
                    "parts",
                    options=list(PARTS),
                    default=BOTH,
                    tooltip="What is made anew: picture and sound; the picture, whose lips follow the sound that is "
                    "there; or the sound, which follows the lips that are there.",
                ),
                words("words_before", "What is said in the segment before the range. The Latent says where it begins."),
                words("words", "The new words, said in the range. Checked against its seconds."),
                words("words_after", "What is said in the segment after the range."),
            ],
            outputs=[RANGE.Output(display_name="range"), io.String.Output(display_name="speech")],
        )

    @classmethod
    def execute(
        cls, start: float, end: float, parts: str, words_before: str, words: str, words_after: str
    ) -> io.NodeOutput:
        if end and end <= start:
            raise ValueError(f"end is {end:g} and start {start:g}: set an end that is later, or 0 for the video's end.")
        reader = SpeechReader(step=check_interrupt)
        kept = joined_words(words_before, words_after)
        wanted = TimeRange(
            start=start,
            end=end,
            picture=parts != SOUND,
            sound=parts != PICTURE,
            words_seconds=reader.read(words).seconds() if words.strip() else 0.0,
            kept_seconds=reader.read(kept).seconds() if kept else 0.0,
        )
        return io.NodeOutput(wanted, joined_words(words_before, words, words_after))


def joined_words(*texts: str) -> str:
    """Texts after each other, with a space between them unless Chinese characters meet."""
    joined = ""
    for text in filter(None, map(str.strip, texts)):
        apart = joined and not (is_ideograph(joined[-1]) or is_ideograph(text[0]))
        joined += f" {text}" if apart else text
    return joined


def sound_of(video_name: str, footage: Video, name: str, audio: Any) -> AbstractContextManager[AudioTrack | None]:
    """The sound that goes with a video: its own, or a connected AUDIO.

    Raises:
        ValueError: a LATENT is connected, or several sounds.
    """
    if audio is NOT_CONNECTED:
        return footage.track()
    if "samples" in present(name, audio):
        raise ValueError(f"{name} is a LATENT: give the sound of {video_name} as AUDIO.")
    return nullcontext(given_track(name, audio))


def retake_parts(
    footage: Video,
    track: AudioTrack | None,
    wanted: TimeRange,
    seconds: float,
    context: int,
    size: tuple[int, int],
) -> tuple[Tensor, Tensor, Edit]:
    """Frames and natural log-mel of the segment around a range, and where it lies. The node says what is used.

    Args:
        seconds: the segment's, at least; 0 leaves it open.
        context: latent frames that are kept on each side at least.

    Raises:
        ValueError: the range does not lie in the video, or the words do not fit into it; or there is no sound.
    """
    track = present("audio", track)
    segment = plan_retake(footage.frames, footage.seconds, wanted, seconds, context)
    mel, gain = retake_mel(track, segment)
    note = check_new_words(wanted, segment, pace_around(wanted, segment, mel))
    warn("UniAVGen Latent", [note] if note else [], segment.told(footage.seconds))
    return retake_images(footage, segment, *size), mel, Edit(segment, gain)


def bridge_parts(
    clips: Sequence[Video],
    tracks: Sequence[AudioTrack | None],
    length: int,
    kept: int,
    size: tuple[int, int],
) -> tuple[Tensor, Tensor, Edit]:
    """Frames and natural log-mel of what is kept beside a bridge, and where it lies.

    Args:
        length: latent frames of the segment.
        kept: latent frames that are kept of each clip.

    Raises:
        ValueError: the clips are of different sizes, too short, or without sound.
    """
    before, after = clips
    if before.size != after.size:
        raise ValueError(
            f"video has {before.size[0]} × {before.size[1]} pixels, next_video {after.size[0]} × {after.size[1]}: "
            "bring both to one size first, for example with Resize Image."
        )
    heard, heard_next = (present(name, track) for name, track in zip(("audio", "next_audio"), tracks, strict=True))
    segment = plan_bridge(before.frames, length, kept, after.seconds)
    mel, (gain, next_gain) = bridge_mel(heard, heard_next, before.frames, segment)
    images = bridge_images(before, after, segment, *size)
    return images, mel, Edit(segment, gain, next_gain)
