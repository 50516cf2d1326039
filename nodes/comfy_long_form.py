"""Long form in ComfyUI: what samples, encodes and decodes its segments, and what they are known by."""

from __future__ import annotations

import copy
import os
import posixpath
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import latent_preview
from torch import Tensor

from ..uniavgen_core.config import SAMPLE_RATE, SPATIAL_COMPRESSION
from ..uniavgen_core.joint_latent import check_shapes, stream_shapes
from ..uniavgen_core.long_form.pacing import Pacing
from ..uniavgen_core.long_form.script import Line
from ..uniavgen_core.long_form.step import SegmentRequest
from ..uniavgen_core.speech.reader import SpeechReader
from ..uniavgen_core.tasks import kept_prefix
from .comfy_face import guide_faces
from .comfy_latent import joint_latent, kept_parts, streams
from .comfy_model import CAPTION_CHANGES, LANGUAGE, PACE, READER, REFERENCE_IMAGE, SPEECH_SECONDS, SYMBOLS, TRANSCRIPT
from .comfy_patches import REPORT, PatchReport
from .comfy_progress import check_interrupt
from .conditioning import LANGUAGE_CODES, speech_symbols


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
        self, latent: dict, caption: Tensor, symbols: Tensor, seed: int, face_mask: Tensor | None = None
    ) -> list[Tensor]:
        """Both streams of a segment.

        Args:
            latent: joint LATENT with its masks.
            caption: rows (1, rows, width) instead of the guider's own.
            symbols: (1, S) instead of the guider's own.
            seed: below 2^64.
            face_mask: (1, height, width) of who speaks, instead of the model's own.
        """
        guider, noise = self._saying(caption, symbols), copy.copy(self.noise)
        if face_mask is not None:
            guider.model_patcher = guide_faces(guider.model_patcher, face_mask)
        noise.seed = seed
        samples = guider.sample(
            noise.generate_noise(latent), latent["samples"], self.sampler, self.sigmas,
            denoise_mask=latent["noise_mask"], callback=self._progress,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED, seed=seed,
        )  # fmt: skip
        return samples.to(comfy.model_management.intermediate_device()).unbind()

    def _saying(self, caption: Tensor, symbols: Tensor) -> Any:
        """A copy of the guider with another caption and other words in its positive pass."""
        guider = copy.copy(self.guider)
        conds = {
            name: [{REFERENCE_IMAGE: self.first_frame} | cond for cond in own]
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
        speakers: masks (people, height, width) of who may speak.
        key: of all that the segments are made with.
    """

    def __init__(
        self,
        sampler: SegmentSampler,
        latent: dict[str, Any],
        vae: Any,
        audio_vae: Any,
        script: EncodedScript,
        speakers: Tensor | None,
        key: str,
    ):
        self.sampler, self.vae, self.audio_vae, self.script = sampler, vae, audio_vae, script
        self.speakers, self.key = speakers, key
        self.video, self.mel = streams(latent)
        kept = kept_parts(latent)
        self.kept_frames, self.kept_tokens = sum(kept.video), sum(kept.audio)
        self.language = condition_value(sampler.guider, LANGUAGE) or "auto"
        self.transcript = condition_value(sampler.guider, TRANSCRIPT)
        self.reader = condition_value(sampler.guider, READER) or SpeechReader(step=check_interrupt)
        self.longest = self.video.shape[2]
        self.size = self.video.shape[-1] * SPATIAL_COMPRESSION, self.video.shape[-2] * SPATIAL_COMPRESSION

    def pacing(self, pace: float) -> Pacing:
        """How words take time, against the usual pace or the reference voice's."""
        own = condition_value(self.sampler.guider, PACE) or 1.0
        return Pacing(LANGUAGE_CODES.get(self.language), pace * own, reader=self.reader)

    def start(self) -> tuple[Tensor, Tensor]:
        return self.video[:, :, : self.kept_frames].cpu(), self.mel[:, :, : self.kept_tokens].cpu()

    def identity(self) -> str:
        return self.key

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
    kept = kept_parts(latent)
    start = kept_prefix(len(kept.video), len(kept.audio), sum(kept.video), sum(kept.audio))
    if kept != start or not any(kept.video) or all(kept.video) or all(kept.audio):
        raise ValueError(
            "A long clip starts with a portrait or with the end of a clip: make the LATENT with UniAVGen Latent, task "
            "joint or continuation. A video to dub, or a sound to speak, goes to recording."
        )


def check_speakers(lines: Sequence[Line], speakers: Tensor | None) -> None:
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
    models = [path for paths, *_ in folder_paths.folder_names_and_paths.values() for path in paths]
    # No name leads out of the folders.
    inside = posixpath.normpath(f"/{name}").lstrip("/")
    found = [Path(root) / inside for root in ([base] if base else [folder_paths.get_input_directory(), *models])]
    if name.endswith("/") and inside:
        found = [file for folder in found if os.path.isdir(folder) for file in sorted(folder.iterdir())]
    stats = [os.stat(file) for file in found if os.path.isfile(file)]
    return [(stat.st_size, stat.st_mtime_ns) for stat in stats]
