"""Three ways to give a video new lips, compared on corpus clips: what the model is told of the part that stays.

kept        what stays is clean and has timestep 0, as a past has in training. The model's own way, and the nodes'.
noised      what stays is noised anew to each step's level and has its timestep: RePaint, arXiv 2201.09865.
difference  the clip moves by the difference of the velocities for the new sound and for its own, seen from the clip
            noised to the step's level, from a later step on: FlowEdit, arXiv 2412.08629; OmniEdit, arXiv 2603.09084.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uniavgen_core.audio.mel import log_mel, peak_scale
from uniavgen_core.face.lip_sync import mouth_open_area
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.model.plan import Plans
from uniavgen_core.sampling.euler import Clip, Condition
from uniavgen_core.sampling.guidance import first_steps, guide
from uniavgen_core.sampling.schedule import TIMESTEPS, flow_sigmas
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tasks import KeptParts, Switches, kept_masks, task_switches
from uniavgen_core.tiny.bundle import TinyBundle, load_tiny

from ..pipeline import condition, decode_video, draw_noise, sample_clip
from ..world.synthesiser import Synthesiser
from .generate import LANGUAGE, Sampling
from .measures import SpeechJudges
from .resyncs import Resync, ask, measure_resync, mouth_region, pair_of, paste, report_resyncs, write_sheet


@dataclass(frozen=True)
class Way:
    """One way, with its settings."""

    name: str
    scale: float
    """How far the new lips are guided away from no words and no interaction."""
    start: float = 0.0
    """Of a difference: the fraction of the steps before which nothing moves."""

    @property
    def title(self) -> str:
        return f"{self.name}, scale {self.scale:g}" + (f", from {self.start:.0%} of the steps" if self.start else "")


KEPT, NOISED, DIFFERENCE = "kept", "noised", "difference"
WAYS = (
    *(Way(name, scale) for name in (KEPT, NOISED, DIFFERENCE) for scale in (2.0, 4.5)),
    Way(DIFFERENCE, 4.5, start=0.3),
)


def run_edit_ways(arguments: argparse.Namespace, sampling: Sampling) -> int:
    """Measure, and print a table and, if asked for, one line of JSON; frames go to a folder that is named."""
    work = partial(_measure_group, arguments.weights, sampling, arguments.frames_to)
    return report_resyncs(arguments, work, [way.title for way in WAYS])


def _measure_group(
    weights: Path, sampling: Sampling, frames_to: Path | None, seeds: Sequence[int]
) -> list[dict[str, Any]]:
    bundle, judges, synthesiser = load_tiny(weights), SpeechJudges(), Synthesiser()
    measured = []
    for seed in seeds:
        said, video = pair_of(seed, synthesiser)
        work = Resync(video, said, mouth_region(video), has_recording=True)
        clip: dict[str, Any] = {"mouth": mouth_open_area(said.frames), "waveform": said.waveform}
        for way in WAYS:
            made = decode_video(bundle, _made(bundle, work, way, sampling))
            frames = paste(work, made)
            clip[way.title] = measure_resync(bundle, judges, work, made, frames, work.waveform.numpy())
            if frames_to is not None:
                write_sheet(frames_to / f"{seed}_{way.title.replace(' ', '_')}.png", video.frames, frames)
        measured.append(clip)
    return measured


@torch.no_grad()
def _made(bundle: TinyBundle, work: Resync, way: Way, how: Sampling) -> Tensor:
    """Video latent (1, 48, T, h, w) with new lips."""
    clip, positive, negative = ask(bundle, work)
    if way.name == KEPT:
        guidance = replace(how.settings(), video_scale=way.scale)
        return sample_clip(
            bundle, clip, positive, negative,
            seed=work.video.seed, steps=how.steps, shift=how.shift, guidance=guidance,
        )[0]  # fmt: skip
    edit = _Edit(bundle, clip, positive, negative, how, work.video.seed)
    return edit.noised(way) if way.name == NOISED else edit.difference(_own(bundle, work, clip), way)


def _own(bundle: TinyBundle, work: Resync, clip: Clip) -> tuple[Condition, Tensor]:
    """The words and the sound (1, 1, L, 80) that the video has of its own."""
    words = SpeechReader().positive_symbols(work.video.speech, LANGUAGE)
    mel = normalise_mel(log_mel(peak_scale(torch.from_numpy(work.video.waveform)[None])))
    return condition(bundle, work.video.caption, words), mel[:, : clip.audio.shape[2]].unsqueeze(1)


class _Edit:
    """Edits of one clip whose sound is given, in which all of the picture has the step's timestep."""

    def __init__(
        self, bundle: TinyBundle, clip: Clip, positive: Condition, negative: Condition, how: Sampling, seed: int
    ):
        self.bundle, self.clip, self.guidance = bundle, clip, how.settings()
        self.positive, self.negative = positive, negative
        self.sigmas, self.plans = flow_sigmas(how.steps, how.shift), Plans()
        self.noise = draw_noise((clip.video.shape, clip.audio.shape), seed)[0]
        self.stays = kept_masks(clip.kept, *clip.video.shape[3:])[0]
        self.sound_alone = KeptParts((False,) * clip.video.shape[2], clip.kept.audio)

    def noised(self, way: Way) -> Tensor:
        x = self.noise
        for step, (sigma, next_sigma) in enumerate(pairwise(self.sigmas)):
            x = torch.where(self.stays, self._at(sigma), x)
            x = x + self._guided(x, step, way.scale) * (next_sigma - sigma)
        return torch.where(self.stays, self.clip.video, x)

    def difference(self, own: tuple[Condition, Tensor], way: Way) -> Tensor:
        edited = self.clip.video
        first = first_steps(len(self.sigmas) - 1, way.start)
        for step, (sigma, next_sigma) in enumerate(pairwise(self.sigmas)):
            if step < first:
                continue
            before = self._at(sigma)
            towards = self._guided(edited + before - self.clip.video, step, way.scale)
            away = self._velocity(before, sigma, own[0], own[1], task_switches(self.sound_alone, False, negative=False))
            moved = edited + (towards - away) * (next_sigma - sigma)
            edited = torch.where(self.stays, self.clip.video, moved)
        return edited

    def _at(self, sigma: Tensor) -> Tensor:
        """The given video at a noise level."""
        return (1 - sigma) * self.clip.video + sigma * self.noise

    def _guided(self, x: Tensor, step: int, scale: float) -> Tensor:
        sigma, steps = self.sigmas[step], len(self.sigmas) - 1
        on = task_switches(self.sound_alone, False, negative=False)
        towards = self._velocity(x, sigma, self.positive, self.clip.audio, on)
        if step >= first_steps(steps, self.guidance.end_percent):
            return towards
        unimodal = step < first_steps(steps, self.guidance.unimodal_end_percent)
        off = Switches(False, False) if unimodal else on
        off = replace(off, skip_block=self.guidance.skip_block)
        return guide(towards, self._velocity(x, sigma, self.negative, self.clip.audio, off), scale)

    def _velocity(self, x: Tensor, sigma: Tensor, said: Condition, sound: Tensor, switches: Switches) -> Tensor:
        model = self.bundle.model
        return model(
            [x, sound], (sigma * TIMESTEPS).expand(1), model.encode_caption(said.caption),
            model.encode_speech(said.symbols, said.caption.dtype), reference_image=self.clip.reference_image,
            kept=self.sound_alone, switches=switches, plans=self.plans,
        )[0]  # fmt: skip
