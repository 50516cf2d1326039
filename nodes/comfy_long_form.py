"""Long form in ComfyUI: what samples, encodes and decodes its segments, and what they are known by."""

from __future__ import annotations

import copy
import os
import posixpath
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import latent_preview
import torch
from torch import Tensor

from ..uniavgen_core.config import SAMPLE_RATE, SPATIAL_COMPRESSION, is_still
from ..uniavgen_core.joint_latent import check_shapes, stream_shapes
from ..uniavgen_core.long_form.cast import Cast
from ..uniavgen_core.long_form.pacing import Pacing
from ..uniavgen_core.long_form.script import Line
from ..uniavgen_core.long_form.step import SegmentRequest
from ..uniavgen_core.speech.reader import SpeechReader
from ..uniavgen_core.speech.text import LANGUAGE_CODES
from ..uniavgen_core.tasks import KeptParts, kept_prefix
from .comfy_face import guide_segment
from .comfy_latent import joint_latent, kept_parts, region_of_latent, streams
from .comfy_model import (
    CAPTION_CHANGES,
    LANGUAGE,
    PACE,
    READER,
    REFERENCE_AUDIO,
    REFERENCE_IMAGE,
    SPEECH_SECONDS,
    SYMBOLS,
    TRANSCRIPT,
    sizes_of,
)
from .comfy_patches import REPORT, PatchReport
from .comfy_progress import check_interrupt
from .inputs import SHARDS


@dataclass(frozen=True)
class EncodedScript:
    """The lines of a script, and what encodes their captions."""

    lines: tuple[Line, ...]
    clip: Any

    def caption(self, text: str) -> Tensor:
        """Caption rows (1, rows, width)."""
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))[0][0]


def condition_value(guider: Any, name: str) -> Any:
    """A value of a guider's positive conditioning, or None."""
    conds = guider.original_conds.get("positive") or [{}]
    return conds[0].get(name)


class SegmentSampler:
    """Samples the segments of a long clip with one guider, and shows one progress bar over all of them.

    Args:
        first_frame: latent (1, 48, 1, h, w) of the clip's: who speaks in all segments, where no picture says it.
    """

    def __init__(self, guider: Any, sampler: Any, sigmas: Tensor, noise: Any, first_frame: Tensor):
        sizes_of(guider.model_patcher)  # Another model is refused.
        self.guider, self.sampler, self.sigmas, self.noise = guider, sampler, sigmas, noise
        self.first_frame = first_frame
        self.steps = sigmas.shape[-1] - 1
        self.report = PatchReport()
        self.callback: Callable[..., None] | None = None
        self.segments = self.done = 0

    def start_progress(self, segments: int) -> None:
        """Show no segment of so many as done."""
        self.segments, self.done = segments, 0
        self.callback = latent_preview.prepare_callback(self.guider.model_patcher, segments * self.steps)

    def finished(self, index: int) -> None:
        """A segment is done, whether sampled now or kept."""
        check_interrupt()
        self.done = index + 1

    def sample(
        self,
        latent: dict,
        caption: Tensor,
        symbols: Tensor,
        seed: int,
        values: Mapping[str, Any] | None = None,
        guided: Callable[[Any], Any] = lambda model: model,
    ) -> list[Tensor]:
        """Both streams of a segment.

        Args:
            latent: joint LATENT with its masks.
            caption: rows (1, rows, width) instead of the guider's own.
            symbols: (1, S) instead of the guider's own, of its positive pass.
            seed: below 2^64.
            values: of the conditioning of both passes, instead of the guider's own.
            guided: what samples, of the guider's MODEL.
        """
        guider, noise = self._saying(caption, symbols, values or {}), copy.copy(self.noise)
        guider.model_patcher = guided(guider.model_patcher)
        noise.seed = seed
        samples = guider.sample(
            noise.generate_noise(latent), latent["samples"], self.sampler, self.sigmas,
            denoise_mask=latent["noise_mask"], callback=self._progress,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED, seed=seed,
        )  # fmt: skip
        return samples.to(comfy.model_management.intermediate_device()).unbind()

    def _saying(self, caption: Tensor, symbols: Tensor, values: Mapping[str, Any]) -> Any:
        """A copy of the guider with other values in both passes, and another caption and other words in one."""
        guider = copy.copy(self.guider)
        conds = {
            name: [{REFERENCE_IMAGE: self.first_frame} | cond | values for cond in own]
            for name, own in self.guider.original_conds.items()
        }
        conds["positive"] = [
            {name: value for name, value in cond.items() if name not in (SPEECH_SECONDS, CAPTION_CHANGES)}
            | {"cross_attn": caption, SYMBOLS: symbols, "uuid": uuid.uuid4()}
            for cond in conds["positive"]
        ]
        guider.original_conds = conds
        # One report for all segments, so that a long clip says once what has no place in the model.
        guider.model_options = comfy.model_patcher.create_model_options_clone(self.guider.model_options)
        guider.model_options.setdefault("transformer_options", {})[REPORT] = self.report
        return guider

    def _progress(self, step: int, denoised: Any, x: Any, steps: int) -> None:
        if self.callback is not None:
            self.callback(self.done * self.steps + step, denoised, x, self.segments * self.steps)


class ComfyHost:
    """Samples, encodes and decodes segments with what the node is given.

    Args:
        latent: how the clip starts; no segment gets longer.
        cast: who speaks, and the scenes.
        pictures: latent (1, 48, 1, h, w) of each scene's picture but the first's, which is the latent's.
        key: of all that the segments are made with.
    """

    def __init__(
        self,
        sampler: SegmentSampler,
        latent: dict[str, Any],
        vae: Any,
        audio_vae: Any,
        script: EncodedScript,
        cast: Cast,
        pictures: Sequence[Tensor],
        key: str,
    ):
        self.sampler, self.vae, self.audio_vae, self.script = sampler, vae, audio_vae, script
        self.cast, self.pictures, self.key = cast, [sampler.first_frame, *pictures], key
        self.video, self.mel = streams(latent)
        kept = kept_parts(latent)
        self.kept_frames, self.kept_tokens = sum(kept.whole_frames), sum(kept.audio)
        if region_of_latent(latent) is not None:
            # Of a video, whose segments each have their own.
            self.kept_frames, self.kept_tokens = 1, 0
        self.language = condition_value(sampler.guider, LANGUAGE) or "auto"
        self.transcript = condition_value(sampler.guider, TRANSCRIPT)
        self.reader = condition_value(sampler.guider, READER) or SpeechReader(step=check_interrupt)
        self.longest = self.video.shape[2]
        self.size = self.video.shape[-1] * SPATIAL_COMPRESSION, self.video.shape[-2] * SPATIAL_COMPRESSION

    def pacing(self, pace: float) -> Pacing:
        """How words take time, against the usual pace or the reference voice's."""
        own = condition_value(self.sampler.guider, PACE) or 1.0
        paces = tuple(pace * voice.pace for voice in self.cast.voices)
        return Pacing(LANGUAGE_CODES.get(self.language), pace * own, reader=self.reader, paces=paces)

    def start(self) -> tuple[Tensor, Tensor]:
        return self.video[:, :, : self.kept_frames].cpu(), self.mel[:, :, : self.kept_tokens].cpu()

    def picture(self, scene: int) -> Tensor:
        return self.pictures[scene - 1].cpu()

    def identity(self) -> str:
        return self.key

    def identity_of(self, line: Line) -> str:
        return self.cast.key(line)

    def sample(self, request: SegmentRequest) -> tuple[Tensor, Tensor]:
        shapes = stream_shapes(request.latent_frames, *self.size)
        kept = kept_prefix(request.latent_frames, shapes[1][2], request.video.shape[2], request.mel.shape[2])
        if request.kept_video is not None:
            kept = KeptParts(request.kept_video, kept.audio)
        latent = joint_latent(shapes, kept, request.video, request.mel)
        line, values = request.line, dict[str, Any]()
        voice, transcript = self.cast.voice(line.speaker), self.transcript
        if voice is not None:
            transcript = voice.transcript.text
            values = {REFERENCE_AUDIO: voice.mel, TRANSCRIPT: transcript, "uuid": uuid.uuid4()}
        said, unsaid = (
            torch.tensor([symbols]) for symbols in self.reader.speech_symbols(request.words, self.language, transcript)
        )
        if voice is not None:
            values[SYMBOLS] = unsaid
        if line.scene != 1:
            values[REFERENCE_IMAGE] = self.pictures[line.scene - 1]
        video, mel = self.sampler.sample(
            latent, self.script.caption(line.caption), said, request.seed, values,
            lambda model: guide_segment(model, self.cast, request),
        )  # fmt: skip
        return video.cpu(), mel.cpu()

    def encode(self, frames: Tensor) -> Tensor:
        return self.vae.encode(frames)

    def decode_video(self, video: Tensor) -> Tensor:
        return self.vae.decode(video)[0].cpu()

    def decode_audio(self, mel: Tensor) -> Tensor:
        return self.audio_vae.decode(mel)[0].mean(dim=-1).cpu()


def check_start(latent: dict[str, Any]) -> None:
    """Refuse a LATENT that no clip can start with.

    Raises:
        ValueError: it is no joint latent, of several clips, or leaves nothing to generate.
    """
    both = streams(latent)
    check_shapes([stream.shape for stream in both])
    if both[0].shape[0] > 1:
        raise ValueError(f"The LATENT holds {both[0].shape[0]} clips: set batch_size to 1 for a long clip.")
    if region_of_latent(latent) is not None:
        return
    kept = kept_parts(latent)
    if is_still(len(kept.video), len(kept.audio)):
        raise ValueError(
            "The LATENT is of task voice, sound alone, and a long clip has a picture: make the LATENT with task joint, "
            "from a portrait. For a longer voice alone, sample one LATENT of task voice for each part of the words."
        )
    start = kept_prefix(len(kept.video), len(kept.audio), sum(kept.whole_frames), sum(kept.audio))
    if kept != start or not any(kept.whole_frames) or kept.all_video or kept.all_audio:
        raise ValueError(
            "A long clip starts with a portrait or with the end of a clip: make the LATENT with UniAVGen Latent, task "
            "joint, continuation or resync. A video to dub, or a sound to speak, goes to recording."
        )


def check_audio_vae(audio_vae: Any) -> None:
    """Refuse a VAE that is not for sound, before anything is sampled.

    Raises:
        ValueError: it says what to connect.
    """
    rate, channels = (getattr(audio_vae, name, None) for name in ("audio_sample_rate_output", "latent_channels"))
    # Other models' audio VAEs may have the rate.
    if (rate, channels) != (SAMPLE_RATE, 1):
        raise ValueError(
            f"audio_vae does not make sound at {SAMPLE_RATE} Hz of UniAVGen's mel: connect the VAE of UniAVGen Audio "
            "Codec Loader to it, and the Wan 2.2 VAE to vae."
        )


def files_named(text: str) -> list[tuple[int, int]]:
    """Size and time of what a text names in ComfyUI's folders: a file, or with a slash behind all files of a folder.

    Nothing where it names none, as most texts do.
    """
    name, base = folder_paths.annotated_filepath(text)
    name = name[: -len(SHARDS)] if name.endswith(f"/{SHARDS}") else name
    models = [path for paths, *_ in folder_paths.folder_names_and_paths.values() for path in paths]
    # No name leads out of the folders.
    inside = posixpath.normpath(f"/{name}").lstrip("/")
    found = [Path(root) / inside for root in ([base] if base else [folder_paths.get_input_directory(), *models])]
    if name.endswith("/") and inside:
        found = [file for folder in found if os.path.isdir(folder) for file in sorted(folder.iterdir())]
    stats = [os.stat(file) for file in found if os.path.isfile(file)]
    return [(stat.st_size, stat.st_mtime_ns) for stat in stats]
