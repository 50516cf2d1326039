"""Both joint models in one form, for what must hold with each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from clips import Clip, joint, model_file, sample, state_dict
from pack.nodes import comfy_loading
from stitched_clips import picture_latent, sample_universe, stitched_weights, universe_folder


@dataclass(frozen=True)
class JointKind:
    """A joint model at small size.

    Attributes:
        name: as the pack calls it.
        file: its weights as they lie on a disk.
        weights: them by the model's names.
        latent: a LATENT of so many latent frames whose first is kept.
        sample: what the usual way of sampling makes of a MODEL and a LATENT in so many steps.
        calls: of the diffusion model, a step.
        channels: of the video stream.
        wan_layers: some that LoRAs of Wan are for.
    """

    name: str
    file: Callable[[], Path]
    weights: Callable[[], dict[str, torch.Tensor]]
    latent: Callable[[int], dict[str, Any]]
    sample: Callable[[Any, dict, int], Clip]
    calls: int
    channels: int
    wan_layers: tuple[str, ...]

    def model(self, options: dict[str, Any] | None = None) -> Any:
        """The MODEL."""
        return comfy_loading.load_model(str(self.file()), options or {"dtype": torch.float32})


UNIAVGEN = JointKind(
    "UniAVGen", model_file, state_dict, joint, sample, 2, 48,
    ("blocks.0.self_attn.q", "blocks.3.cross_attn.o", "blocks.1.ffn.0", "time_embedding.0", "head.head"),
)  # fmt: skip
UNIVERSE_1 = JointKind(
    "UniVerse-1", universe_folder, stitched_weights, picture_latent, sample_universe, 1, 16,
    ("blocks.0.self_attn.q", "blocks.1.cross_attn.o", "blocks.0.ffn.2", "time_embedding.0", "head.head"),
)  # fmt: skip
JOINT_KINDS = (UNIAVGEN, UNIVERSE_1)
