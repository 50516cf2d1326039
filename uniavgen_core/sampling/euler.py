"""A plain Euler loop, for use without ComfyUI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..model.joint_dit import JointDiT, Switches
from ..model.plan import Plans
from ..tasks import KeptParts, directions
from .guidance import Guidance, first_steps, guide, resolve_skip_block
from .schedule import TIMESTEPS


@dataclass(frozen=True)
class Condition:
    """What one pass is told: caption rows (batch, rows, text width) and speech symbols (batch, S)."""

    caption: Tensor
    speech: Tensor


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

    def put_back(self, video: Tensor, audio: Tensor) -> list[Tensor]:
        """Both streams with the given parts in place."""
        kept_video = torch.tensor(self.kept.video, device=video.device).view(1, 1, -1, 1, 1)
        kept_audio = torch.tensor(self.kept.audio, device=audio.device).view(1, 1, -1, 1)
        return [torch.where(kept_video, self.video, video), torch.where(kept_audio, self.audio, audio)]


@torch.no_grad()
def sample_euler(
    model: JointDiT,
    clip: Clip,
    noise: tuple[Tensor, Tensor],
    sigmas: Tensor,
    positive: Condition,
    negative: Condition,
    guidance: Guidance = Guidance(),  # noqa: B008 - frozen
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> list[Tensor]:
    """Integrate from noise to data; the given parts come back as the solver left them (see `Clip.put_back`).

    Args:
        noise: of the shapes of `clip.video` and `clip.audio`.
        sigmas: noise levels (steps + 1) from `flow_sigmas`.
        progress: called with the number of finished steps and of all steps.
    """
    plans = Plans()
    steps = len(sigmas) - 1
    unimodal, guided = (first_steps(steps, part) for part in (guidance.unimodal_end_percent, guidance.end_percent))
    skip_block = resolve_skip_block(guidance.skip_block, model.sizes.blocks)
    has_voice = clip.reference_audio is not None
    scales = (guidance.video_scale, guidance.audio_scale)
    features = [(model.encode_caption(c.caption), model.encode_speech(c.speech, c.caption.dtype))
                for c in (positive, negative)]  # fmt: skip

    in_positive, in_negative = (
        directions(clip.kept.video, clip.kept.audio, has_voice, is_negative) for is_negative in (False, True)
    )
    positive_switches = Switches(in_positive.audio_to_video, in_positive.video_to_audio)
    negative_switches = Switches(in_negative.audio_to_video, in_negative.video_to_audio, skip_block)
    unimodal_switches = Switches(False, False, skip_block)

    def velocity(x: list[Tensor], sigma: Tensor, is_negative: bool, switches: Switches) -> list[Tensor]:
        caption, speech = features[is_negative]
        return model(
            x, (sigma * TIMESTEPS).expand(x[0].shape[0]), caption, speech, clip.reference_image,
            clip.reference_audio, clip.kept.video, clip.kept.audio, switches, plans=plans,
        )  # fmt: skip

    x = list(noise)
    for step, (sigma, next_sigma) in enumerate(pairwise(sigmas)):
        given = clip.put_back(*x)
        towards = velocity(given, sigma, False, positive_switches)
        if step < guided:
            away = velocity(given, sigma, True, unimodal_switches if step < unimodal else negative_switches)
            towards = [guide(p, n, s) for p, n, s in zip(towards, away, scales, strict=True)]
        x = [part + v * (next_sigma - sigma) for part, v in zip(x, towards, strict=True)]
        progress(step + 1, steps)
    return x
