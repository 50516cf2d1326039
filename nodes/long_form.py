"""Clips as long as wanted: a script, the long form, and the joint of a clip and its continuation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy_api.latest import Input, InputImpl, io
from torch import Tensor

from ..uniavgen_core.checks import check_one_sound
from ..uniavgen_core.config import FRAME_RATE, SAMPLE_RATE, SAMPLES_A_FRAME, SPATIAL_COMPRESSION, pixel_frames
from ..uniavgen_core.joint_latent import check_shapes, stream_shapes
from ..uniavgen_core.long_form.host import SegmentRequest
from ..uniavgen_core.long_form.maker import LongClip, SegmentResult, Settings, report, subtitles_of
from ..uniavgen_core.long_form.recording import Recording, SoundRecording, VideoRecording
from ..uniavgen_core.long_form.script import Line, parse_script, read_lines, script_hints
from ..uniavgen_core.long_form.seams import join_clips
from ..uniavgen_core.long_form.segments import Pacing, Segment, drawl_note
from ..uniavgen_core.long_form.store import SegmentStore
from ..uniavgen_core.media.frames import stacked
from ..uniavgen_core.media.images import to_rgb
from ..uniavgen_core.media.track import AudioTrack, track_of
from ..uniavgen_core.media.waveforms import fit_audio, mono_at_rate
from ..uniavgen_core.speech.reader import SpeechReader
from ..uniavgen_core.tasks import kept_prefix
from .comfy_guider import SegmentSampler, condition_value
from .comfy_latent import joint_latent, kept_parts, streams
from .comfy_model import LANGUAGE, PACE, READER, REFERENCE_AUDIO, TRANSCRIPT
from .comfy_progress import check_interrupt, warn
from .conditioning import LANGUAGE_CODES, speech_symbols
from .fingerprint import fingerprint
from .inputs import NOT_CONNECTED, frame_rate_input, past_frames_input, present
from .media import check_masks, check_vae, check_video, footage_of, temporary_file, with_audio

FOLDER = "uniavgen_long_form"
"""In ComfyUI's temp folder: the finished segments."""


@dataclass(frozen=True)
class EncodedScript:
    """The lines of a script, and what encodes their captions."""

    lines: tuple[Line, ...]
    clip: Any

    def caption(self, text: str) -> Tensor:
        """Caption rows (1, rows, width)."""
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))[0][0]


SCRIPT = io.Custom("UNIAVGEN_SCRIPT")


class Script(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenScript",
            display_name="UniAVGen Script",
            category="model/conditioning",
            description="A script for UniAVGen Long Form: one line a scene, caption | speech.",
            search_aliases=["uniavgen dialogue", "screenplay"],
            inputs=[
                io.Clip.Input("clip", tooltip="Encodes the captions."),
                io.String.Input(
                    "script",
                    multiline=True,
                    default="A calm woman looks at the camera and speaks. | Hello. [pause 0.5] I have news.",
                    tooltip="One line a scene: caption | speech. A line without | keeps the caption. [pause 0.5] is a "
                    "silence in seconds, [seed 7] sets the line's seed, [speaker 2] who of several speaks it, "
                    "[Nguyen|win] how a word is read, \\| is the sign itself. Along a recorded sound the speech may be "
                    "empty.",
                ),
            ],
            outputs=[SCRIPT.Output(display_name="script")],
        )

    @classmethod
    def execute(cls, clip: Any, script: str) -> io.NodeOutput:
        lines, hints = parse_script(script), script_hints(script)
        warn("UniAVGen Script", hints)
        return io.NodeOutput(EncodedScript(lines, clip))


class ComfyHost:
    """Samples, encodes and decodes segments with what the node is given."""

    def __init__(
        self,
        sampler: SegmentSampler,
        latent: dict[str, Any],
        vae: Any,
        audio_vae: Any,
        script: EncodedScript,
        speakers: Tensor | None,
    ):
        self.sampler, self.vae, self.audio_vae, self.script = sampler, vae, audio_vae, script
        self.speakers = speakers
        self.video, self.mel = streams(latent)
        kept = kept_parts(latent)
        self.given_video, self.given_mel = sum(kept.video), sum(kept.audio)
        self.language = condition_value(sampler.guider, LANGUAGE) or "auto"
        self.transcript = condition_value(sampler.guider, TRANSCRIPT)
        self.reader = condition_value(sampler.guider, READER) or SpeechReader(step=check_interrupt)
        self.longest = self.video.shape[2]
        self.size = self.video.shape[-1] * SPATIAL_COMPRESSION, self.video.shape[-2] * SPATIAL_COMPRESSION

    def start(self) -> tuple[Tensor, Tensor]:
        return self.video[:, :, : self.given_video].cpu(), self.mel[:, :, : self.given_mel].cpu()

    def identity(self) -> str:
        given = (self.sampler.identity(), self.start(), self.vae, self.audio_vae, self.script.clip)
        return fingerprint(given, self.video.shape, self.language, self.speakers)

    def sample(self, request: SegmentRequest) -> tuple[Tensor, Tensor]:
        shapes = stream_shapes(request.latent_frames, *self.size)
        kept = kept_prefix(request.latent_frames, shapes[1][2], request.video.shape[2], request.mel.shape[2])
        latent = joint_latent(shapes, kept, request.video, request.mel)
        caption, symbols = self.script.caption(request.caption), self._symbols(request.words)
        video, mel = self.sampler.sample(latent, caption, symbols, request.seed, self._face_of(request.speaker))
        return video.cpu(), mel.cpu()

    def _face_of(self, speaker: int | None) -> Tensor | None:
        return None if speaker is None or self.speakers is None else self.speakers[speaker - 1 : speaker]

    def _symbols(self, words: str) -> Tensor:
        return speech_symbols(self.reader, words, self.language, self.transcript)[0]

    def encode(self, frames: Tensor) -> Tensor:
        return self.vae.encode(frames)

    def decode_picture(self, video: Tensor) -> Tensor:
        return self.vae.decode(video)[0].cpu()

    def decode_sound(self, mel: Tensor) -> Tensor:
        return self.audio_vae.decode(mel)[0].mean(dim=-1).cpu()


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
                    "longer than it.",
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
                    [io.Audio, io.Video],
                    optional=True,
                    tooltip="Of any length, which the clip takes. AUDIO: a sound that the person in the picture "
                    "speaks. VIDEO: a picture that gets a voice, which says the script.",
                ),
                io.Mask.Input(
                    "speakers",
                    optional=True,
                    tooltip="One mask for each person's face, as a batch: [speaker 1] in a line of the script says "
                    "that the first of them speaks it.",
                ),
            ],
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
    ) -> io.NodeOutput:
        _check_start(latent_image)
        speakers = None if speakers is None else check_masks("speakers", speakers)
        _check_speakers(script.lines, speakers)
        check_vae(vae)
        _check_audio_vae(audio_vae)
        segments = SegmentSampler(guider, sampler, sigmas, noise, streams(latent_image)[0][:1, :, :1])
        host = ComfyHost(segments, latent_image, vae, audio_vae, script, speakers)
        along = Recording(seconds or None)
        if recording is not NOT_CONNECTED:
            along = _recording(recording, host, seconds)
        pacing = Pacing(
            LANGUAGE_CODES.get(host.language), pace * (condition_value(guider, PACE) or 1.0), reader=host.reader
        )
        lines = read_lines(script.lines, pacing.read)
        pacing, plan = along.plan(lines, pacing, host.longest, past_frames, host.given_video)
        notes = _notes(lines, plan)
        settings = Settings(pacing, host.longest, past_frames, noise.seed, along.seconds)
        store = SegmentStore(Path(folder_paths.get_temp_directory()) / FOLDER)
        clip = LongClip(host, store, plan, settings, along)
        segments.start_progress(len(plan))
        with closing(along):
            made = clip.make(segments.finished)
        return io.NodeOutput(_video(clip, made, recording), "\n".join([report(made), *notes]), subtitles_of(made))


def _recording(given: Input.Audio | Input.Video | None, host: ComfyHost, seconds: float) -> Recording:
    """What the clip works along.

    Raises:
        ValueError: there is no sound or picture in it, its picture cannot be written, or the length is set otherwise.
    """
    if seconds:
        raise ValueError(f"seconds is {seconds:g}, but the recording sets the length: set it to 0.")
    if isinstance(given, Input.Video):
        check_video("recording", given)
        return VideoRecording(footage_of("recording", given, FRAME_RATE), *host.size)
    audio = present("recording", given)
    if condition_value(host.sampler.guider, REFERENCE_AUDIO) is not None:
        raise ValueError(
            "The recording is a sound, so no voice is generated that could follow the reference: disconnect "
            "reference_audio from UniAVGen Conditioning."
        )
    return SoundRecording(audio["waveform"].cpu(), audio["sample_rate"])


def _video(clip: LongClip, made: Sequence[SegmentResult], recording: Any) -> Input.Video:
    """The finished clip: a recorded picture with the sound that is made, or the picture that is made."""
    if isinstance(recording, Input.Video):
        waveform = torch.cat([*clip.sound(made)], dim=-1).unsqueeze(0)
        return with_audio("recording", recording, {"waveform": waveform, "sample_rate": SAMPLE_RATE})
    path = temporary_file(".mp4")
    clip.write(made, path)
    return InputImpl.VideoFromFile(str(path))


def _check_start(latent: dict[str, Any]) -> None:
    """Refuse a LATENT that no clip can start with.

    Raises:
        ValueError: it is no joint latent, of several clips, or leaves nothing to generate.
    """
    parts = streams(latent)
    check_shapes([part.shape for part in parts])
    if parts[0].shape[0] > 1:
        raise ValueError(f"The LATENT holds {parts[0].shape[0]} clips: set batch_size to 1 for a long clip.")
    kept = kept_parts(latent)
    start = kept_prefix(len(kept.video), len(kept.audio), sum(kept.video), sum(kept.audio))
    if kept != start or not any(kept.video) or all(kept.video) or all(kept.audio):
        raise ValueError(
            "A long clip starts with a portrait or with the end of a clip: make the LATENT with UniAVGen Latent, task "
            "joint or continuation. A video to dub, or a sound to speak, goes to recording."
        )


def _check_speakers(lines: Sequence[Line], speakers: Tensor | None) -> None:
    """Refuse a script that lets somebody speak of whom there is no mask.

    Raises:
        ValueError: it names the script's line.
    """
    known = 0 if speakers is None else len(speakers)
    for line in lines:
        if line.speaker is not None and line.speaker > known:
            raise ValueError(
                f"Line {line.number} of the script has [speaker {line.speaker}], but speakers holds {known} masks: "
                "connect one mask for each person, as a batch."
            )


def _check_audio_vae(audio_vae: Any) -> None:
    """Refuse a VAE that is not for sound, before anything is sampled.

    Raises:
        ValueError: it says what to connect.
    """
    if getattr(audio_vae, "audio_sample_rate_output", None) != SAMPLE_RATE:
        raise ValueError(
            f"audio_vae does not make sound at {SAMPLE_RATE} Hz: connect the VAE of UniAVGen Audio Codec Loader to it, "
            "and the Wan 2.2 VAE to vae."
        )


def _notes(lines: Sequence[Line], plan: Sequence[Segment]) -> list[str]:
    """What the user should know of how the script was taken, shown on the node and in the console, too."""
    passages = [(line.number, passage.spoken) for line in lines for passage in line.passages if passage.spoken]
    notes = [f"Line {number}: {note}" for number, spoken in passages for note in spoken.notes()]
    drawn_out = drawl_note(lines, plan)
    notes += [drawn_out] if drawn_out else []
    warn("UniAVGen Long Form", notes)
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
        footage = footage_of("past", past, frame_rate)
        # A clip from a file is in main memory, one just decoded may be on the graphics card.
        images = to_rgb(images.cpu())
        before = stacked(footage.images(images.shape[2], images.shape[1]), footage.frames).cpu()
        with footage.track() if past_audio is None else nullcontext(_track("past_audio", past_audio)) as track:
            heard = _mono(present("past_audio", track), len(before))
        following = _mono(_track("audio", audio), len(images))
        joined, waveform = join_clips(before, heard, images, following, pixel_frames(past_frames))
        return io.NodeOutput(joined, {"waveform": waveform[None, None], "sample_rate": SAMPLE_RATE})


def _track(name: str, audio: Input.Audio | None) -> AudioTrack:
    given = present(name, audio)
    check_one_sound(name, given["waveform"])
    return track_of(given["waveform"].cpu(), given["sample_rate"])


def _mono(track: AudioTrack, frames: int) -> Tensor:
    """Sound (samples) at 24 kHz, as long as so many frames."""
    pieces = [*mono_at_rate(track.pieces, track.sample_rate, SAMPLE_RATE)]
    return fit_audio(torch.cat(pieces, dim=-1)[0], frames * SAMPLES_A_FRAME)
