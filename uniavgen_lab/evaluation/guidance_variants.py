"""Other ways to guide than the model's own, to be measured beside it: `python -m uniavgen_lab ablations variants`.

A variant is a function of a `Step`, which makes the passes that it asks for, and returns the velocities of both
streams. Those that help are in `sampling.guidance`; here they are as short as their formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import torch
from einops import repeat
from torch import Tensor

from uniavgen_core.audio.mel import silence_mel
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.plan import Plans
from uniavgen_core.sampling.euler import Clip, Condition
from uniavgen_core.sampling.guidance import Guidance, first_steps, guide, resolve_skip_block
from uniavgen_core.sampling.schedule import TIMESTEPS
from uniavgen_core.tasks import KeptParts, Switches, task_switches

from .predicted_masks import face_patches

Streams = list[Tensor]
"""Video (batch, 48, T, h, w) and audio (batch, 1, L, 80)."""


@dataclass(frozen=True)
class Run:
    """What all steps of a sampling run have in common."""

    model: JointDiT
    clip: Clip
    guidance: Guidance
    with_words: tuple[Tensor, Tensor]
    """Features of caption and speech."""
    without_words: tuple[Tensor, Tensor]
    plans: Plans

    @property
    def scales(self) -> tuple[float, float]:
        return self.guidance.video_scale, self.guidance.audio_scale

    def switches(self, negative: bool) -> Switches:
        """Those of the task."""
        return task_switches(self.clip.kept, self.clip.reference_audio is not None, negative)


@dataclass(frozen=True)
class Step:
    """One step: where it is, and its passes, each made once and only if it is asked for."""

    run: Run
    x: Streams
    """The clip at this noise level, kept parts clean."""
    sigma: float
    index: int
    steps: int

    @property
    def is_unimodal(self) -> bool:
        """Whether the model's own guidance takes the unimodal estimate for its negative."""
        return self.index < first_steps(self.steps, self.run.guidance.unimodal_end_percent)

    @cached_property
    def positive(self) -> Streams:
        return self._positive_and_face[0]

    @cached_property
    def face(self) -> Tensor:
        """Face mask (batch, 1, T, h, w) of the positive pass, the mean of the interactions, at the latent's size."""
        mask = torch.stack(self._positive_and_face[1]).mean(dim=0)
        down, across = self.run.model.sizes.patch[1:]
        return repeat(
            mask, "b t (rows columns) -> b 1 t (rows down) (columns across)",
            rows=self.x[0].shape[-2] // down, down=down, across=across,
        )  # fmt: skip

    @cached_property
    def _positive_and_face(self) -> tuple[Streams, list[Tensor]]:
        masks: list[Tensor] = []

        def note(mask: Tensor, layer: int, options: dict[str, Any]) -> Tensor:
            masks.append(mask)
            return mask

        with face_patches(self.run.model, lambda timestep: [note]):
            return self._velocity(self.run.with_words, self.run.switches(negative=False)), masks

    @cached_property
    def negative(self) -> Streams:
        """Without caption and words, with the interactions."""
        return self._velocity(self.run.without_words, self._skipping(self.run.switches(negative=True)))

    @cached_property
    def unimodal(self) -> Streams:
        """Without caption and words, without the interactions."""
        return self._velocity(self.run.without_words, self._skipping(Switches(False, False)))

    @cached_property
    def severed(self) -> Streams:
        """With caption and words, without the interactions."""
        return self._velocity(self.run.with_words, Switches(False, False))

    @cached_property
    def wrong_signal(self) -> Streams:
        """Without caption and words: the picture of somebody who hears silence, the sound of somebody who is still."""
        latent, mel = self.x
        switches = self._skipping(self.run.switches(negative=True))
        kept = self.run.clip.kept
        silence = normalise_mel(silence_mel(mel.shape[2])).expand_as(mel)
        still = self.run.clip.reference_image.expand_as(latent)
        all_audio, all_video = (True,) * len(kept.audio), (True,) * len(kept.video)
        picture = self._velocity(
            self.run.without_words, replace(switches, video_to_audio=False),
            x=[latent, silence], kept=KeptParts(kept.video, all_audio),
        )  # fmt: skip
        sound = self._velocity(
            self.run.without_words, replace(switches, audio_to_video=False),
            x=[still, mel], kept=KeptParts(all_video, kept.audio),
        )  # fmt: skip
        return [picture[0], sound[1]]

    def clean(self, velocity: Streams) -> Streams:
        """Where a velocity leads: the estimate of the clean streams, as far as they are generated."""
        estimate = [x - self.sigma * u for x, u in zip(self.x, velocity, strict=True)]
        return self.run.clip.put_back(estimate)

    def towards(self, clean: Streams) -> Streams:
        """The velocity that leads to clean streams."""
        return [(x - end) / self.sigma for x, end in zip(self.x, clean, strict=True)]

    def _skipping(self, switches: Switches) -> Switches:
        model = self.run.model
        return replace(switches, skip_block=resolve_skip_block(self.run.guidance.skip_block, model.sizes.blocks))

    def _velocity(
        self,
        features: tuple[Tensor, Tensor],
        switches: Switches,
        x: Streams | None = None,
        kept: KeptParts | None = None,
    ) -> Streams:
        clip = self.run.clip
        return self.run.model(
            x or self.x, torch.full((self.x[0].shape[0],), self.sigma * TIMESTEPS), *features,
            reference_image=clip.reference_image, reference_audio=clip.reference_audio, kept=kept or clip.kept,
            switches=switches, plans=self.run.plans,
        )  # fmt: skip


Variant = Callable[[Step], Streams]


def usual(step: Step) -> Streams:
    """The model's own way."""
    return _guided(step, step.unimodal if step.is_unimodal else step.negative)


def _guided(step: Step, negative: Streams, more: float = 1.0) -> Streams:
    scales = (1 + more * (scale - 1) for scale in step.run.scales)
    return [guide(*passes) for passes in zip(step.positive, negative, scales, strict=True)]


def stronger(step: Step, factor: float) -> Streams:
    """With larger scales: what any other variant must be better than."""
    return _guided(step, step.unimodal if step.is_unimodal else step.negative, factor)


def late(step: Step, start_percent: float) -> Streams:
    """Guidance begins after some steps: the Guider's `start_percent`."""
    return step.positive if step.index < first_steps(step.steps, start_percent) else usual(step)


def apart(step: Step, modality_scale: float, by_face: bool = False) -> Streams:
    """Words and modality by scales of their own: û = u⁺ + (s - 1)(u⁺ - u⁻) + (m - 1)(u⁺ - u_severed).

    Args:
        by_face: the second difference of the picture counts as far as the face mask says.
    """
    guided = _guided(step, step.negative)
    if not step.is_unimodal:
        return guided
    weights = (step.face if by_face else 1, 1)
    return [
        u + (modality_scale - 1) * weight * (positive - severed)
        for u, weight, positive, severed in zip(guided, weights, step.positive, step.severed, strict=True)
    ]


def in_face(step: Step, scale: float) -> Streams:
    """The picture's unimodal guidance has this scale in the face and the usual one around it."""
    video, audio = usual(step)
    if step.is_unimodal:
        video = video + (scale - step.run.guidance.video_scale) * step.face * (step.positive[0] - step.unimodal[0])
    return [video, audio]


def wrong_signal(step: Step) -> Streams:
    """Away from silence and stillness, in place of the unimodal estimate (SyncCFG, arXiv 2511.21579)."""
    return _guided(step, step.wrong_signal if step.is_unimodal else step.negative)


def projected(step: Step, factor: float) -> Streams:
    """Only what is at a right angle to the positive pass' clean estimate (APG, arXiv 2410.02416, without momentum)."""
    positive = step.clean(step.positive)
    negative = step.clean(step.unimodal if step.is_unimodal else step.negative)
    guided = []
    for plus, minus, scale in zip(positive, negative, step.run.scales, strict=True):
        difference = plus - minus
        along = (difference * plus).sum() / plus.square().sum() * plus
        guided.append(plus + factor * (scale - 1) * (difference - along))
    return step.towards(guided)


VARIANTS: dict[str, Variant] = {
    "usual": usual,
    "scales 1.5 times": partial(stronger, factor=1.5),
    "modality scale 3": partial(apart, modality_scale=3.0),
    "modality scale 3 by face": partial(apart, modality_scale=3.0, by_face=True),
    "scale 3.5 in the face": partial(in_face, scale=3.5),
    "start 0.2": partial(late, start_percent=0.2),
    "wrong signal": wrong_signal,
    "projected": partial(projected, factor=1.5),
    "lips 1.4": usual,
}
LIPS = {"lips 1.4": 1.4}
"""Factors on what the sound does to the picture."""


@torch.no_grad()
def sample_variant(
    name: str,
    model: JointDiT,
    clip: Clip,
    noise: Sequence[Tensor],
    sigmas: Tensor,
    *,
    positive: Condition,
    negative: Condition,
    guidance: Guidance,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Streams:
    """As `sample_euler`, guided as one of VARIANTS."""
    with_words, without_words = (
        (model.encode_caption(told.caption), model.encode_speech(told.symbols, told.caption.dtype))
        for told in (positive, negative)
    )
    run = Run(model, clip, guidance, with_words, without_words, Plans())
    x, steps = list(noise), len(sigmas) - 1
    with lip_strength(model, LIPS.get(name, 1.0)):
        for index, (sigma, next_sigma) in enumerate(pairwise(sigmas.tolist())):
            step = Step(run, clip.put_back(x), sigma, index, steps)
            velocity = VARIANTS[name](step)
            x = [stream + u * (next_sigma - sigma) for stream, u in zip(x, velocity, strict=True)]
            progress(index + 1, steps)
    return x


@contextmanager
def lip_strength(model: JointDiT, factor: float) -> Iterator[None]:
    """Inside the block, what the sound does to the picture counts by this factor."""
    handles = [
        aligner.register_forward_hook(lambda module, args, update: update * factor) for aligner in model.a2v_blocks
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
