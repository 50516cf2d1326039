"""A plain loop that samples UniVerse-1, for use without ComfyUI.

A step has two passes, of a positive and of a null row: û = null + s · (positive - null), a scale s for each stream.
The null row has an empty caption, zeros in place of the picture, the sound's text and the speech, and its
cross-attentions neither hear nor see. Where both scales are 1, there is one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..sampling.guidance import guide
from ..sampling.schedule import whole_timestep
from ..sampling.uni_pc import Streams, sample_uni_pc
from .stitched_dit import StitchedDiT
from .stitched_tables import StitchedPlans

VIDEO_SCALE, AUDIO_SCALE = 1.2, 5.0
"""Guidance of the released model's script."""


@dataclass(frozen=True)
class StitchedCondition:
    """What one pass is given.

    Attributes:
        caption: features (batch, 512, video width) from `encode_caption`.
        sound: features (batch, rows, audio width) from `encode_sound`.
        reference_image: normalised latent (batch or 1, 16, 1, h, w) of the first frame.
        linked: False in a null row.
    """

    caption: Tensor
    sound: Tensor
    reference_image: Tensor
    linked: bool = True


@torch.no_grad()
def sample_stitched(
    model: StitchedDiT,
    noise: Streams,
    sigmas: Tensor,
    *,
    positive: StitchedCondition,
    null: StitchedCondition,
    scales: tuple[float, float] = (VIDEO_SCALE, AUDIO_SCALE),
    after_step: Callable[[int, Streams, Streams], None] = lambda step, x, data: None,
) -> Streams:
    """Sample both streams from noise, the first frame replaced by the picture at the end.

        video, audio = sample_stitched(model, noise, twice_shifted_sigmas(35), positive=positive, null=null)

    Args:
        noise: video (batch, 16, T, h, w) and audio (batch, 8, 16, T).
        sigmas: noise levels (steps + 1) from `twice_shifted_sigmas`.
        scales: of the video and of the audio.
        after_step: called with each step's number, x behind it and the data that the model saw.
    """
    plans = StitchedPlans()
    timesteps = whole_timestep(sigmas)

    def velocity(x: Streams, step: int, given: StitchedCondition) -> Streams:
        batch = x[0].shape[0]
        return model(
            x, timesteps[step].expand(batch), given.caption, given.sound, reference_image=given.reference_image,
            linked=x[0].new_full((batch,), float(given.linked)), plans=plans,
        )  # fmt: skip

    def denoise(x: Streams, step: int) -> Streams:
        towards = velocity(x, step, positive)
        if scales != (1.0, 1.0):
            away = velocity(x, step, null)
            towards = [guide(p, n, s) for p, n, s in zip(towards, away, scales, strict=True)]
        return [stream - sigmas[step] * v for stream, v in zip(x, towards, strict=True)]

    video, audio = sample_uni_pc(denoise, noise, sigmas.tolist(), after_step)
    reference = positive.reference_image.expand(video.shape[0], -1, -1, -1, -1)
    return [torch.cat((reference, video[:, :, 1:]), dim=2), audio]
