"""Videos: what comes in, read by its times, encoded for the model, and given another sound."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, cast

import torch
from comfy_api.latest import Input, InputImpl, Types, io
from torch import Tensor

from ..uniavgen_core.checks import check_images, check_one_waveform
from ..uniavgen_core.config import FRAME_RATE, LATENT_CHANNELS
from ..uniavgen_core.joint_latent import check_finite
from ..uniavgen_core.media.beds import Bed
from ..uniavgen_core.media.copying import CopyPlan, plan_copy
from ..uniavgen_core.media.cues import Cue, cues_within, parse_subtitles
from ..uniavgen_core.media.encoding import even_size
from ..uniavgen_core.media.images import crop_and_resize, to_rgb
from ..uniavgen_core.media.mixing import VideoSound, describe_sound
from ..uniavgen_core.media.muxing import replace_audio, write_video
from ..uniavgen_core.media.soundtrack import held_seconds, hold_last, playable
from ..uniavgen_core.media.track import AudioTrack, track_of, whole_track
from ..uniavgen_core.media.video import Video, VideoFile, VideoInMemory
from ..uniavgen_core.media.waveforms import fitted_pieces
from .comfy_progress import check_interrupt, progress_bar, show_text
from .inputs import NOT_CONNECTED, chosen, frame_rate_input, present
from .temporary import TemporaryVideo, show_temporary, temporary_path

logger = logging.getLogger(__name__)

VIDEO, AUDIO = LENGTHS = ("video", "audio")
"""Which of the two keeps its length."""
MEASURED_SECONDS = 600
"""Of longer clips no loudness is shown: it takes time."""


def video_of(name: str, video: Tensor | Input.Video | None, frame_rate: float) -> Video:
    """An IMAGE or VIDEO by its times. The frames of a file are decoded as they are asked for.

    Raises:
        ValueError: there are no frames, they hold no numbers, or the file cannot be read; the message names the input.
    """
    if isinstance(video, InputImpl.VideoFromFile):
        try:
            start, seconds = video.get_active_trim_window()
            return VideoFile(video.get_stream_source(), start, seconds, check_interrupt)
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from error
    rate, audio = Fraction(frame_rate).limit_denominator(1001), None
    if video is not None and not isinstance(video, Tensor):
        components = video.get_components()
        video, rate, audio = components.images, Fraction(components.frame_rate), components.audio
    check_images(name, video)
    frames = cast(Tensor, video)
    check_finite(name, frames)
    return VideoInMemory(frames, rate, None if audio is None else (audio["waveform"], audio["sample_rate"]))


def video_components(name: str, video: Tensor | Input.Video | None, frame_rate: float) -> Types.VideoComponents:
    """All frames, their rate and, of a VIDEO, the sound. Uneven frames of a file come at its average rate.

    Raises:
        ValueError: there are no frames, they hold no numbers, or the file cannot be read; the message names the input.
    """
    images, rate, sound = video_of(name, video, frame_rate).parts()
    audio = None if sound is None else {"waveform": sound[0], "sample_rate": sound[1]}
    return Types.VideoComponents(images=images, audio=audio, frame_rate=rate)


def check_masks(name: str, masks: Tensor) -> Tensor:
    """Masks (F, H, W) of an input, which may have fewer or more dimensions in front.

    Raises:
        ValueError: they are empty or hold no numbers; it names the input.
    """
    check_images(name, masks, dimensions=None)
    check_finite(name, masks)
    return masks.reshape(-1, *masks.shape[-2:])


def given_track(name: str, audio: Input.Audio | None) -> AudioTrack:
    """The sound of an AUDIO.

    Raises:
        ValueError: there is none, or there are several; the message names the input.
    """
    given = present(name, audio)
    check_one_waveform(name, given["waveform"])
    return track_of(given["waveform"].cpu(), given["sample_rate"])


def check_vae(vae: Any) -> None:
    """Refuse another VAE than Wan 2.2's.

    Raises:
        ValueError: it says what the VAE is and what to choose.
    """
    channels = getattr(vae, "latent_channels", None)
    if channels != LATENT_CHANNELS:
        raise ValueError(
            f"This VAE has {channels} latent channels, but UniAVGen needs the {LATENT_CHANNELS} of the Wan 2.2 VAE: "
            "choose wan2.2_vae.safetensors in Load VAE (the VAE of Wan 2.1 and of the 14B models is another one)."
        )


def encode_frames(vae: Any, frames: Tensor, width: int, height: int) -> Tensor:
    """Latent (1, 48, T, h, w) of frames (4(T-1)+1, H, W, channels), cropped to the size.

    Raises:
        ValueError: the VAE is not Wan 2.2's.
    """
    check_vae(vae)
    return vae.encode(crop_and_resize(to_rgb(frames), width, height))


def tell(line: str) -> None:
    """Say a line in the console and on the node."""
    logger.warning(line)
    show_text(line)


def with_audio(
    name: str,
    video: Tensor | Input.Video,
    audio: Input.Audio,
    frame_rate: float = FRAME_RATE,
    lufs: float | None = None,
    fade: float = 0.0,
    length: str = VIDEO,
    cues: Sequence[Cue] = (),
    beds: Sequence[Bed] = (),
    tell: Callable[[str], None] = tell,
) -> Input.Video:
    """Frames or a VIDEO with this sound.

    With length `video` the sound is cut, or padded with silence; with `audio` the picture is cut, or its last frame
    held. Of a file the picture packets are copied where they can be and where all of it is shown; else the picture is
    encoded anew, frame by frame.

    Args:
        name: the video's input.
        frame_rate: of frames.
        lufs, fade: as `target_lufs` and `fade_seconds` of `soundtrack`.
        cues: subtitles, which become a track of a file.
        beds: what lies under the sound.
        tell: is told what is done otherwise than it might be expected.

    Raises:
        ValueError: there is no picture, or it cannot be written; with length `audio`, the sound is empty, too long, or
            there are several.
    """
    audio = _playable(audio, tell)
    seconds = held_seconds(audio["waveform"], audio["sample_rate"]) if length == AUDIO else None
    sound = VideoSound(audio["waveform"].cpu(), audio["sample_rate"], lufs, fade, beds)
    if isinstance(video, InputImpl.VideoFromFile):
        plan = copy_plan(name, video)
        plan = plan if seconds is None else plan.lasting(seconds)
        pieces = sound.pieces(None if seconds else plan.seconds)
        return _written(name, video, plan, pieces, sound.sample_rate, sound.channels, cues, tell)
    return _frames_with_audio(name, video, sound, frame_rate, seconds, cues)


def with_pieces(
    name: str, video: Input.Video, pieces: Iterable[Tensor], sample_rate: int, cues: Sequence[Cue] = ()
) -> Input.Video:
    """As `with_audio`, of a VIDEO and a sound of one channel in pieces (1, samples).

    Of a file, no more than a piece of the sound is held.
    """
    if isinstance(video, InputImpl.VideoFromFile):
        plan = copy_plan(name, video)
        wanted = fitted_pieces(pieces, round(plan.seconds * sample_rate))
        return _written(name, video, plan, wanted, sample_rate, 1, cues)
    waveform = torch.cat([*pieces], dim=-1).unsqueeze(0)
    return with_audio(name, video, {"waveform": waveform, "sample_rate": sample_rate}, cues=cues)


def check_video(name: str, video: Input.Video) -> None:
    """Refuse a VIDEO whose picture cannot get another sound, before any work is done.

    Raises:
        ValueError: it is damaged, has no picture, or one that cannot be written.
    """
    if isinstance(video, InputImpl.VideoFromFile):
        copy_plan(name, video)
    else:
        images = video_components(name, video, FRAME_RATE).images
        even_size(images.shape[2], images.shape[1])


def _playable(audio: Input.Audio, tell: Callable[[str], None]) -> Input.Audio:
    """The sound in a form that Save Video can write."""
    waveform, sample_rate = playable(audio["waveform"], int(audio["sample_rate"]))
    if waveform.shape[1] != audio["waveform"].shape[1]:
        tell(f"audio: its {audio['waveform'].shape[1]} channels are mixed down to {waveform.shape[1]}.")
    return {"waveform": waveform, "sample_rate": sample_rate}


def copy_plan(name: str, video: InputImpl.VideoFromFile) -> CopyPlan:
    """How the picture of a VIDEO gets into a file.

    Raises:
        ValueError: it cannot be read; the message names the input.
    """
    try:
        return plan_copy(video.get_stream_source(), check_interrupt).part(*video.get_active_trim_window())
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def _written(
    name: str,
    video: InputImpl.VideoFromFile,
    plan: CopyPlan,
    pieces: Iterable[Tensor],
    sample_rate: int,
    channels: int,
    cues: Sequence[Cue],
    tell: Callable[[str], None] = tell,
) -> TemporaryVideo:
    """The picture of a plan with a sound that comes in pieces."""
    if plan.why_encoded:
        tell(f"{name}: the picture is encoded anew as H.264, because {plan.why_encoded}.")
    path, shown = temporary_path(".mp4"), progress_bar(plan.count)
    cues = cues_within(cues, float(plan.seconds))
    replace_audio(video.get_stream_source(), path, pieces, sample_rate, plan, shown, check_interrupt, channels, cues)
    return TemporaryVideo(path)


def describe_video(video: Input.Video) -> list[str]:
    """What a VIDEO is, in rows: how long, large and loud."""
    footage = video_of("video", video, FRAME_RATE)
    seconds, (width, height) = float(footage.seconds), footage.size
    rows = [f"{seconds:.2f} s, {footage.own_frames} frames at {float(footage.rate):g}, {width} × {height}"]
    with footage.track() as track:
        if track is not None:
            measured = whole_track(track)[0] if seconds <= MEASURED_SECONDS else None
            rows.append(describe_sound(track.sample_rate, track.channels, measured))
    return rows


def _frames_with_audio(
    name: str,
    video: Tensor | Input.Video,
    sound: VideoSound,
    frame_rate: float,
    seconds: Fraction | None,
    cues: Sequence[Cue],
) -> Input.Video:
    components = video_components(name, video, frame_rate)
    rate = Fraction(components.frame_rate)
    width, height = even_size(components.images.shape[2], components.images.shape[1])
    images, held = components.images[:, :height, :width], 0
    if seconds is not None:
        images, held = hold_last(images, rate, seconds)
    lasts = None if seconds else len(images) / rate
    cues = cues_within(cues, float((len(images) + held) / rate))
    if held or cues:
        path, shown = temporary_path(".mp4"), progress_bar(len(images) + held)
        write_video(path, images, rate, sound.pieces(lasts), sound.sample_rate, held, shown, sound.channels, cues)
        return TemporaryVideo(path)
    track = {"waveform": sound.whole(lasts), "sample_rate": sound.sample_rate}
    joined = Types.VideoComponents(images=to_rgb(images).contiguous(), audio=track, frame_rate=rate)
    return InputImpl.VideoFromComponents(joined, 8 if isinstance(video, Tensor) else video.get_bit_depth())


BEDS = io.Custom("UNIAVGEN_BEDS")
"""Sounds that lie under another one, and how."""


def beds_of(name: str, given: Any) -> tuple[Bed, ...]:
    """What UniAVGen Sound Bed gives, or an AUDIO as a bed of the usual kind.

    Raises:
        ValueError: there is none, several sounds, no numbers, or it is too short; the message names the input.
    """
    return given if isinstance(given, tuple) else (Bed(*audio_sound(name, given)),)


def audio_sound(name: str, audio: Input.Audio | None) -> tuple[Tensor, int]:
    """Waveform (1, channels, samples) and samples a second of an AUDIO of one sound, on the CPU.

    Raises:
        ValueError: there is none, several sounds, or no numbers; the message names the input.
    """
    given = present(name, audio)
    check_one_waveform(name, given["waveform"])
    check_finite(name, given["waveform"])
    return given["waveform"].detach().float().cpu(), int(given["sample_rate"])


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
            search_aliases=["mux", "combine audio and video", "replace audio", "dub", "background music", "ducking"],
            inputs=[
                io.MultiType.Input("video", [io.Image, io.Video], tooltip="Frames, or a VIDEO to give new sound to."),
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
                    default=VIDEO,
                    tooltip="Which one keeps its length. video: the sound is cut, or padded with silence. audio: the "
                    "picture is cut, or its last frame held, and the sound stays as it is.",
                ),
                io.DynamicCombo.Input("loudness", options=loudness, tooltip="as it is: the sound is not touched."),
                io.String.Input(
                    "subtitles",
                    force_input=True,
                    optional=True,
                    tooltip="SubRip (SRT) or WebVTT, such as UniAVGen Long Form gives: a track of the video, which "
                    "players show on demand. Save Video keeps it in mp4.",
                ),
                io.MultiType.Input(
                    "bed",
                    [io.Audio, BEDS],
                    optional=True,
                    tooltip="Music or ambience under the sound, as long as the clip, lower where the sound is heard; "
                    "the clip's sound is stereo at 48 kHz then. UniAVGen Sound Bed sets how loud it is and how it "
                    "makes room.",
                ),
            ],
            outputs=[io.Video.Output(), io.String.Output(display_name="report")],
        )

    @classmethod
    def execute(
        cls,
        video: Tensor | Input.Video,
        audio: Input.Audio,
        frame_rate: float,
        fade: float,
        length: str,
        loudness: dict[str, Any] | None = None,
        subtitles: str = "",
        bed: Any = NOT_CONNECTED,
        **of_other_options: Any,
    ) -> io.NodeOutput:
        check_finite("audio", present("audio", audio)["waveform"])
        lufs = chosen("loudness", loudness).get("lufs")
        if not isinstance(video, Tensor) and audio["waveform"].shape[0] > 1:
            raise ValueError(
                f"The audio is {audio['waveform'].shape[0]} sounds for one VIDEO: pick one, or set batch_size to 1 in "
                "UniAVGen Latent."
            )
        cues = parse_subtitles(subtitles or "")
        beds, notes = () if bed is NOT_CONNECTED else beds_of("bed", bed), list[str]()

        def note(line: str) -> None:
            notes.append(line)
            tell(line)

        made = with_audio("video", video, audio, frame_rate, lufs, fade, length, cues, beds, note)
        report = "\n".join([*notes, *describe_video(made)])
        show_text(report)
        show_temporary(made)
        return io.NodeOutput(made, report)
