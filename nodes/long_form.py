"""Clips as long as wanted: a script, the long form, and the joint of a clip and its continuation."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy_api.latest import Input, io
from torch import Tensor

from ..uniavgen_core.checks import check_images
from ..uniavgen_core.config import FRAME_RATE, SAMPLE_RATE, SAMPLES_A_FRAME, SPATIAL_COMPRESSION, pixel_frames
from ..uniavgen_core.long_form.cast import Cast, ReferenceVoice, SceneStart
from ..uniavgen_core.long_form.maker import FinishedSegment, LongClip
from ..uniavgen_core.long_form.pacing import Pacing
from ..uniavgen_core.long_form.planning import LongFormSettings, PlannedSegment, drawl_note
from ..uniavgen_core.long_form.recording import AudioRecording, NewLips, SourceRecording, VideoRecording
from ..uniavgen_core.long_form.script import Line, parse_script, read_lines, script_hints
from ..uniavgen_core.long_form.seams import join_clips
from ..uniavgen_core.long_form.store import SegmentStore
from ..uniavgen_core.long_form.timed_planning import hurry_notes
from ..uniavgen_core.long_form.timeline import phrases_of, report
from ..uniavgen_core.long_form.turns import SpokenTurns
from ..uniavgen_core.long_form.words_report import report_on_script
from ..uniavgen_core.media.cues import Cue, subtitles
from ..uniavgen_core.media.frames import put_in
from ..uniavgen_core.media.images import to_rgb
from ..uniavgen_core.media.track import AudioTrack
from ..uniavgen_core.media.waveforms import fit_audio, mono_at_rate
from ..uniavgen_core.speech.reader import SpeechReader
from .comfy_latent import VideoRegion, kept_parts, region_of_latent, streams
from .comfy_long_form import (
    ComfyHost,
    EncodedScript,
    SegmentSampler,
    check_audio_vae,
    check_start,
    condition_value,
    files_named,
)
from .comfy_model import REFERENCE_AUDIO
from .comfy_progress import check_frames_fit, check_interrupt, is_watched, show_video, warn
from .graph_key import graph_key
from .inputs import NOT_CONNECTED, frame_rate_input, past_frames_input, present
from .media import check_masks, check_vae, check_video, encode_frames, given_track, video_of, with_pieces
from .resync import check_not_longer, with_new_lips
from .small_world import script_notes
from .speakers import RECORDINGS, SCENES, VOICES
from .temporary import TemporaryFile, TemporaryVideo, show_temporary, temporary_path

logger = logging.getLogger(__name__)

FOLDER = "uniavgen_long_form"
"""In ComfyUI's output folder: the finished segments."""
KEPT_BYTES = 10 * 10**9
"""What they may take of the disk: about 500 segments of the released size, more than half an hour."""

SCRIPT = io.Custom("UNIAVGEN_SCRIPT")


class Script(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenScript",
            display_name="UniAVGen Script",
            category="model/conditioning",
            description="A script for UniAVGen Long Form, line by line: caption | speech. Subtitles are one, too.",
            search_aliases=["uniavgen dialogue", "screenplay", "srt", "webvtt", "subtitles to speech", "timed script"],
            inputs=[
                io.Clip.Input("clip", tooltip="Encodes the captions."),
                io.String.Input(
                    "script",
                    multiline=True,
                    default="A calm woman looks at the camera and speaks. | Hello. [pause 0.5] I have news.",
                    tooltip="Line by line: caption | speech. A line without | keeps the caption. [pause 0.5] is a "
                    "silence in seconds, [seed 7] sets the line's seed, [speaker 2] who of several speaks it, "
                    "[scene 2] the picture that is cut to, [Nguyen|win] how a word is read, \\| is the sign itself. "
                    "Along a recorded sound the speech may be empty. SRT, WebVTT, or 00:01.0 --> 00:04.0 before the "
                    "words say when they are said.",
                ),
                io.String.Input(
                    "caption",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="What is seen, for lines before the first one with a caption of its own: subtitles have "
                    "none.",
                ),
            ],
            outputs=[SCRIPT.Output(display_name="script")],
        )

    @classmethod
    def execute(cls, clip: Any, script: str, caption: str = "") -> io.NodeOutput:
        lines = parse_script(script, caption)
        notes = [*script_hints(script), *script_notes(clip, lines)]
        warn("UniAVGen Script", notes, report_on_script(lines, Pacing(reader=SpeechReader(step=check_interrupt))).text)
        return io.NodeOutput(EncodedScript(lines, clip))


class LongForm(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLongForm",
            display_name="UniAVGen Long Form",
            category="model/sampling",
            description="Makes a clip as long as its script, or as a recording: segment after segment, each of which "
            "goes on where the one before ended. Finished segments are kept, so that a rerun goes on where a cancelled "
            "one stopped.",
            search_aliases=["uniavgen long video", "extend", "script to video", "dub video", "audio driven video"],
            inputs=[
                io.Guider.Input("guider", tooltip="From UniAVGen Guider. The script replaces its caption and words."),
                io.Sampler.Input("sampler"),
                io.Sigmas.Input("sigmas"),
                io.Noise.Input(
                    "noise",
                    tooltip="Its seed is the first segment's; each next one has the next number. Keep it fixed, so "
                    "that a rerun finds what is finished.",
                ),
                io.Latent.Input(
                    "latent_image",
                    tooltip="From UniAVGen Latent, task joint or continuation: how the clip starts. No segment gets "
                    "longer than it. With task resync, its video gets new lips, for recording or the script.",
                ),
                io.Vae.Input("vae", tooltip="The Wan 2.2 VAE."),
                io.Vae.Input("audio_vae", tooltip="From UniAVGen Audio Codec Loader."),
                SCRIPT.Input("script"),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=0.25,
                    tooltip="Length of the whole clip; the words spread over it. 0: as long as the words take.",
                ),
                io.Float.Input(
                    "pace",
                    default=1.0,
                    min=0.25,
                    max=4.0,
                    step=0.05,
                    tooltip="How fast people speak, against the usual rate, or against the reference voice's.",
                ),
                past_frames_input("Latent frames that each segment keeps of the one before: 3 are 0.56 seconds."),
                io.MultiType.Input(
                    "recording",
                    [io.Audio, io.Video, RECORDINGS],
                    optional=True,
                    tooltip="Of any length, which the clip takes. AUDIO: a sound that the person in the picture "
                    "speaks. VIDEO: a picture that gets a voice, which says the script. From UniAVGen Recordings: "
                    "several people's, which the masks of speakers follow.",
                ),
                io.Mask.Input(
                    "speakers",
                    optional=True,
                    tooltip="One mask for each person's face, as a batch: [speaker 1] in a line of the script says "
                    "that the first of them speaks it.",
                ),
                io.Boolean.Input(
                    "keep",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip=f"Finished segments stay in output/{FOLDER}, at most {KEPT_BYTES // 10**9} GB of them, for "
                    "the next run. Off: none stays, and those that are there are deleted.",
                ),
                VOICES.Input(
                    "voices",
                    optional=True,
                    tooltip="From UniAVGen Speaker Voice, one behind the other: [speaker 2] in a line of the script "
                    "lets the second of them say it.",
                ),
                SCENES.Input(
                    "scenes",
                    optional=True,
                    tooltip="From UniAVGen Scene, one behind the other: [scene 2] in a line of the script cuts to the "
                    "first of their pictures, [scene 1] back to the LATENT's.",
                ),
                io.Boolean.Input(
                    "subtitle_track",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="The VIDEO gets the subtitles as a track, which players show on demand. Save Video keeps "
                    "it in mp4.",
                ),
            ],
            # What the segments are made of is read off the graph.
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            outputs=[
                io.Video.Output(),
                io.String.Output(display_name="report"),
                io.String.Output(display_name="subtitles"),
            ],
        )

    @classmethod
    def execute(
        cls,
        guider: Any,
        sampler: Any,
        sigmas: Tensor,
        noise: Any,
        latent_image: dict[str, Any],
        vae: Any,
        audio_vae: Any,
        script: EncodedScript,
        seconds: float,
        pace: float,
        past_frames: int,
        recording: Any = NOT_CONNECTED,
        speakers: Tensor | None = None,
        keep: bool = True,
        voices: tuple[ReferenceVoice, ...] = (),
        scenes: tuple[SceneStart, ...] = (),
        subtitle_track: bool = False,
    ) -> io.NodeOutput:
        check_start(latent_image)
        faces = None if speakers is None else check_masks("speakers", speakers).cpu()
        cast = Cast((SceneStart(None, faces), *scenes), voices)
        cast.check(script.lines, recording.people if isinstance(recording, SpokenTurns) else 0)
        check_vae(vae)
        check_audio_vae(audio_vae)
        key = graph_key(cls.hidden, files_named)
        segments = SegmentSampler(guider, sampler, sigmas, noise, streams(latent_image)[0][:1, :, :1])
        pictures = [_picture(scene, vae, segments.first_frame) for scene in scenes]
        host = ComfyHost(segments, latent_image, vae, audio_vae, script, cast, pictures, key)
        lips = region_of_latent(latent_image)
        along = (
            _recording(recording, host, seconds) if lips is None else _new_lips(lips, recording, latent_image, seconds)
        )
        length = along.seconds or seconds or None
        pacing = host.pacing(pace)
        settings = LongFormSettings(pacing, host.longest, past_frames, host.kept_frames, noise.seed, length)
        lines = read_lines(script.lines, pacing.read)
        settings, plan = along.plan(lines, settings)
        notes = _notes(lines, plan, keep, cast, pacing)
        segments.start_progress(len(plan))
        with _store(keep) as store:
            clip = LongClip(host, store, settings, plan, along)
            with closing(along):
                made = clip.make(segments.finished, _Shown(clip).show)
            cues = phrases_of(made)
            track = cues if subtitle_track else []
            video = _video(clip, made, recording, track) if lips is None else _video_of_lips(clip, made, lips, track)
        show_temporary(video)
        return io.NodeOutput(video, "\n".join([report(made), *notes]), subtitles(cues))


class _Shown:
    """Shows the last segment that was made on the node, with its sound; its file goes with the next one's.

    Args:
        clip: of which segments are shown, if somebody looks.
    """

    def __init__(self, clip: LongClip):
        self.clip = clip
        self.files: list[TemporaryFile] = []

    def show(self, segment: FinishedSegment) -> None:
        """Show a segment; a file that cannot be written is no reason to stop."""
        if not is_watched():
            return
        path = temporary_path(".mp4")
        try:
            if self.clip.write_segment(segment, path):
                show_video(path)
                # A browser may still load the one before.
                self.files = [*self.files[-1:], TemporaryFile(path)]
        except (OSError, ValueError) as error:
            logger.warning("A segment cannot be shown: %s", error)


def _picture(scene: SceneStart, vae: Any, first_frame: Tensor) -> Tensor:
    """Latent (1, 48, 1, h, w) of a scene's picture, as large as the clip's first frame."""
    height, width = (size * SPATIAL_COMPRESSION for size in first_frame.shape[-2:])
    assert scene.picture is not None
    return encode_frames(vae, scene.picture, width, height)


@contextmanager
def _store(keep: bool) -> Iterator[SegmentStore]:
    """Where segments are kept; a folder for this run alone where they are not, and the other one is emptied."""
    kept = SegmentStore(Path(folder_paths.get_output_directory()) / FOLDER, KEPT_BYTES)
    if keep:
        yield kept
        return
    kept.empty()
    folder = temporary_path("")
    try:
        yield SegmentStore(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _recording(recording: Any, host: ComfyHost, seconds: float) -> SourceRecording:
    """What the clip works along.

    Raises:
        ValueError: there is no sound or picture in it, its picture cannot be written, or the length is set otherwise.
    """
    if recording is NOT_CONNECTED:
        return SourceRecording()
    if seconds:
        raise ValueError(f"seconds is {seconds:g}, but the recording sets the length: set it to 0.")
    if isinstance(recording, Input.Video):
        check_video("recording", recording)
        return VideoRecording(video_of("recording", recording, FRAME_RATE), *host.size)
    audio = present("recording", recording)
    if host.cast.voices:
        raise ValueError(
            "The recording is a sound, so no voice is generated that could follow voices: disconnect voices."
        )
    if condition_value(host.sampler.guider, REFERENCE_AUDIO) is not None:
        raise ValueError(
            "The recording is a sound, so no voice is generated that could follow the reference: disconnect "
            "reference_audio from UniAVGen Conditioning."
        )
    if isinstance(audio, SpokenTurns):
        return audio
    return AudioRecording(audio["waveform"].cpu(), audio["sample_rate"])


def _new_lips(lips: VideoRegion, recording: Any, latent: dict[str, Any], seconds: float) -> NewLips:
    """A video that gets new lips, for a sound or for the script.

    Raises:
        ValueError: the recording is no sound, longer than the video, or missing where the LATENT has one.
    """
    if seconds:
        raise ValueError(f"seconds is {seconds:g}, but the video that gets new lips sets the length: set it to 0.")
    if isinstance(recording, Input.Video):
        raise ValueError("recording is a VIDEO, but this LATENT has the video already: connect the new sound to it.")
    if recording is NOT_CONNECTED:
        if kept_parts(latent).all_audio:
            raise ValueError(
                "The LATENT was made with a new sound, which is no longer than a segment there: connect the sound to "
                "recording, too, or say the script instead and disconnect audio from UniAVGen Latent."
            )
        return NewLips(lips.video, lips.region, None)
    audio = present("recording", recording)
    check_not_longer("recording", audio["waveform"].shape[-1] / audio["sample_rate"], lips.video)
    sound = AudioRecording(audio["waveform"].cpu(), audio["sample_rate"], lips.video.frames)
    return NewLips(lips.video, lips.region, sound)


def _video_of_lips(
    clip: LongClip, made: Sequence[FinishedSegment], lips: VideoRegion, cues: Sequence[Cue]
) -> Input.Video:
    """The video with the new lips, at its own size and rate."""
    path = temporary_path(".mp4")
    clip.write(made, path)
    try:
        return with_new_lips(lips, path, clip.recording.track(), cues)
    finally:
        path.unlink(missing_ok=True)


def _video(clip: LongClip, made: Sequence[FinishedSegment], recording: Any, cues: Sequence[Cue]) -> Input.Video:
    """The finished clip: a recorded picture with the sound that is made, or the picture that is made."""
    if isinstance(recording, Input.Video):
        return with_pieces("recording", recording, clip.waveform(made), SAMPLE_RATE, cues)
    path = temporary_path(".mp4")
    clip.write(made, path, cues)
    return TemporaryVideo(path)


def _notes(lines: Sequence[Line], plan: Sequence[PlannedSegment], keep: bool, cast: Cast, pacing: Pacing) -> list[str]:
    """What to know of how the script was taken. The node shows it, and where segments are; so does the console."""
    passages = [(line.number, passage.spoken) for line in lines for passage in line.passages if passage.spoken]
    notes = [f"Line {number}: {note}" for number, spoken in passages for note in spoken.notes()]
    drawn_out = drawl_note(lines, plan)
    notes += [*([drawn_out] if drawn_out else []), *hurry_notes(lines, pacing)]
    open_lines = [str(line.number) for line in lines if line.speech and line.speaker is None] if cast.voices else []
    if open_lines:
        notes.append(f"No voice of voices says line {', '.join(open_lines)}, which has no [speaker 1] or the like.")
    kept = f"Finished segments are kept in output/{FOLDER}." if keep else "No segments are kept."
    warn("UniAVGen Long Form", notes, kept)
    return notes


class Join(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenJoin",
            display_name="UniAVGen Join",
            category="video",
            description="Puts a continuation behind the clip that it continues: what they share is shown once, colours "
            "and loudness are matched, the sound is crossfaded.",
            search_aliases=["concatenate videos", "stitch", "continue video"],
            inputs=[
                io.MultiType.Input("past", [io.Video, io.Image], tooltip="The clip that went on."),
                io.Audio.Input("past_audio", optional=True, tooltip="Its sound; a VIDEO brings its own."),
                frame_rate_input(),
                io.Image.Input("images", tooltip="The continuation, from VAE Decode: the kept past and what follows."),
                io.Audio.Input("audio", tooltip="Its sound, from VAE Decode Audio."),
                past_frames_input("As in UniAVGen Latent."),
            ],
            outputs=[io.Image.Output(), io.Audio.Output()],
        )

    @classmethod
    def execute(
        cls,
        past: Tensor | Input.Video,
        frame_rate: float,
        images: Tensor,
        audio: Input.Audio,
        past_frames: int,
        past_audio: Input.Audio | None = None,
    ) -> io.NodeOutput:
        footage = video_of("past", past, frame_rate)
        check_images("images", images)
        # A clip from a file is in main memory, one just decoded may be on the graphics card.
        images = to_rgb(images.cpu())
        shared = pixel_frames(past_frames)
        size = footage.frames + max(0, len(images) - shared), *images.shape[1:]
        check_frames_fit("past", size)
        room = torch.empty(size)
        before = put_in(room, footage.images(images.shape[2], images.shape[1]))
        with footage.track() if past_audio is None else nullcontext(given_track("past_audio", past_audio)) as track:
            heard = _mono(present("past_audio", track), len(before))
        following = mono_waveform("audio", audio, len(images))
        joined, waveform = join_clips(before, heard, images, following, shared, room)
        return io.NodeOutput(joined, {"waveform": waveform[None, None], "sample_rate": SAMPLE_RATE})


def mono_waveform(name: str, audio: Input.Audio | None, frames: int) -> Tensor:
    """An AUDIO as samples at 24 kHz, as long as so many frames.

    Raises:
        ValueError: there is none, or there are several; the message names the input.
    """
    return _mono(given_track(name, audio), frames)


def _mono(track: AudioTrack, frames: int) -> Tensor:
    """Sound (samples) at 24 kHz, as long as so many frames."""
    pieces = [*mono_at_rate(track.pieces, track.sample_rate, SAMPLE_RATE)]
    return fit_audio(torch.cat(pieces, dim=-1)[0], frames * SAMPLES_A_FRAME)
