"""A plain Euler loop, for use without ComfyUI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..captions import CaptionChange, caption_frames, check_changes, encode_captions
from ..model.joint_dit import JointDiT
from ..model.plan import Plans
from ..tasks import KeptParts, Switches, noised_areas, put_back, task_switches
from .guidance import Guidance, first_steps, guide, resolve_skip_block
from .schedule import TIMESTEPS

Features = tuple[Tensor, Tensor, tuple[int, ...] | None]
"""Of caption and speech, and the caption of each latent frame."""


@dataclass(frozen=True)
class Condition:
    """What one pass is given: caption rows (batch, rows, text width) and speech symbols (batch, S)."""

    caption: Tensor
    symbols: Tensor
    changes: tuple[CaptionChange, ...] = ()
    """Captions that follow within the clip, in order of time."""


@dataclass(frozen=True)
class Clip:
    """What a clip is made from: both streams with their given parts, and the references.

    `video` (batch, 48, T, h, w) is a latent that is normalised for the model, `audio` (batch, 1, L, 80) and
    `reference_audio` (1, R, 80) are normalised log-mel, `reference_image` (1, 48, 1, h, w) is normalised as `video`.
    Where `kept` says no, the values of `video` and `audio` do not matter.
    """

    video: Tensor
    audio: Tensor
    kept: KeptParts
    reference_image: Tensor
    reference_audio: Tensor | None = None

    def put_back(self, streams: Sequence[Tensor]) -> list[Tensor]:
        """Generated streams with what is kept of the clip in place."""
        return put_back(self.kept, (self.video, self.audio), streams)


@torch.no_grad()
def sample_euler(
    model: JointDiT,
    clip: Clip,
    noise: tuple[Tensor, Tensor],
    sigmas: Tensor,
    *,
    positive: Condition,
    negative: Condition,
    guidance: Guidance = Guidance(),  # noqa: B008 - frozen
    trained_with_masks: bool = False,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> list[Tensor]:
    """Integrate from noise to data: x += û · (σ of the next step - σ), with û as in `sampling.guidance`.

    The given parts come back as the solver left them (see `Clip.put_back`).

        streams = sample_euler(model, clip, noise, flow_sigmas(50), positive=positive, negative=negative)
        video, audio = clip.put_back(streams)

    Args:
        noise: of the shapes of `clip.video` and `clip.audio`.
        sigmas: noise levels (steps + 1) from `flow_sigmas`.
        trained_with_masks: whether the model takes areas that are kept as it takes whole frames, see `NoisedAreas`.
        progress: called with the number of finished steps and of all steps.
    """
    plans = Plans()
    steps = len(sigmas) - 1
    unimodal_steps = first_steps(steps, guidance.unimodal_end_percent)
    guided_steps = range(first_steps(steps, guidance.start_percent), first_steps(steps, guidance.end_percent))
    scales = (guidance.video_scale, guidance.audio_scale)
    check_changes(positive.changes, clip.video.shape[2])
    said, unsaid = (_features(model, condition, clip.video.shape[2]) for condition in (positive, negative))
    skip_block = resolve_skip_block(guidance.skip_block, model.sizes.blocks)
    has_voice = clip.reference_audio is not None
    areas = None if trained_with_masks else noised_areas(clip.kept, clip.video.shape)
    kept = clip.kept if areas is None else clip.kept.of_whole_frames
    switches = task_switches(kept, has_voice, negative=False)
    negative_switches = task_switches(kept, has_voice, negative=True, skip_block=skip_block)
    unimodal_switches = Switches(False, False, skip_block)

    def velocity(x: list[Tensor], sigma: Tensor, features: Features, switches: Switches) -> list[Tensor]:
        *texts, frames = features
        return model(
            x, (sigma * TIMESTEPS).expand(x[0].shape[0]), *texts, reference_image=clip.reference_image,
            reference_audio=clip.reference_audio, kept=kept, switches=switches, plans=plans, caption_frames=frames,
        )  # fmt: skip

    x = list(noise)
    for step, (sigma, next_sigma) in enumerate(pairwise(sigmas)):
        given = clip.video if areas is None else areas.at(sigma, clip.video)
        seen = put_back(clip.kept, (given, clip.audio), x)
        towards = velocity(seen, sigma, said, switches)
        if step in guided_steps:
            off = unimodal_switches if step < unimodal_steps else negative_switches
            away = velocity(seen, sigma, unsaid, off)
            towards = [guide(p, n, s) for p, n, s in zip(towards, away, scales, strict=True)]
        x = [stream + u * (next_sigma - sigma) for stream, u in zip(x, towards, strict=True)]
        progress(step + 1, steps)
    return x


def _features(model: JointDiT, condition: Condition, latent_frames: int) -> Features:
    """What of a condition a pass of T latent frames is given."""
    return (
        encode_captions(model.encode_caption, condition.caption, condition.changes),
        model.encode_speech(condition.symbols, condition.caption.dtype),
        caption_frames(condition.changes, latent_frames),
    )
