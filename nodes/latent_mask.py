"""The noise mask of a joint LATENT as it is used, for the eye."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.config import AUDIO_TOKENS_PER_SECOND, FRAME_RATE
from ..uniavgen_core.joint_latent import check_shapes, pixel_mask
from .comfy_latent import kept_parts, streams
from .comfy_progress import show_text


class LatentMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLatentMask",
            display_name="UniAVGen Latent Mask",
            category="image/mask",
            description="Shows what of a LATENT is kept and what is generated when it is sampled: its noise mask, "
            "grown to whole squares of 32 × 32 pixels in each latent frame.",
            search_aliases=["uniavgen noise mask", "inpaint", "latent to mask"],
            inputs=[
                io.Latent.Input(
                    "latent", tooltip="What goes to the sampler: from UniAVGen Latent, or from Set Latent Noise Mask."
                )
            ],
            outputs=[
                io.Mask.Output(
                    display_name="mask",
                    tooltip="White where the picture is generated, black where it is kept: a mask for each frame.",
                ),
                io.String.Output(
                    display_name="report", tooltip="How much of picture and sound is generated, and when."
                ),
            ],
        )

    @classmethod
    def execute(cls, latent: dict[str, Any]) -> io.NodeOutput:
        shapes = [stream.shape for stream in streams(latent)]
        check_shapes(shapes)
        kept = kept_parts(latent)
        mask = pixel_mask(kept, *shapes[0][3:])
        picture = _said("Picture", mask.mean(dim=(1, 2)), FRAME_RATE)
        sound = _said("Sound", 1 - torch.tensor(kept.audio).float(), AUDIO_TOKENS_PER_SECOND)
        report = f"{picture}\n{sound}"
        show_text(report)
        return io.NodeOutput(mask, report)


def _said(stream: str, generated: Tensor, rate: int) -> str:
    """How much of a stream is generated and when, by the share (n) that each of its frames or tokens generates."""
    where = generated.nonzero().flatten().tolist()
    if not where:
        return f"{stream}: all is kept."
    share = f"{float(generated.mean()):.0%}" if generated.min() < 1 else "all"
    return f"{stream}: {share} is generated, from {where[0] / rate:.2f} to {(where[-1] + 1) / rate:.2f} s."
