"""Weights before training."""

from __future__ import annotations

import torch
from torch import nn

from uniavgen_core.model.aligners import CrossModalAttention, FaceMaskHead
from uniavgen_core.model.blocks import Block, Head
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.speech_encoder import GlobalResponseNorm

GATES = (2, 5)
"""Rows of a block's modulation that scale what the block adds."""


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Start as plain pre-norm transformers whose interactions, heads and timesteps say nothing yet."""
    for layer in module.modules():
        _initialise_layer(layer)
    for part in module.modules():
        _initialise_part(part)


def _initialise_layer(layer: nn.Module) -> None:
    if isinstance(layer, nn.Embedding):
        nn.init.normal_(layer.weight, std=0.5)
    elif isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv3d)):
        nn.init.xavier_uniform_(layer.weight.flatten(1))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, (nn.LayerNorm, nn.RMSNorm)):
        # Norms without weights have none to set; an RMSNorm has no bias.
        for name, value in layer.named_parameters():
            nn.init.constant_(value, 1.0 if name == "weight" else 0.0)


def _initialise_part(part: nn.Module) -> None:
    if isinstance(part, Block):
        nn.init.zeros_(part.modulation)
        part.modulation[:, GATES] = 1
    elif isinstance(part, (Head, FaceMaskHead)):
        nn.init.zeros_(part.modulation)
        nn.init.zeros_(part.head.weight)
    elif isinstance(part, CrossModalAttention):
        nn.init.zeros_(part.o.weight)
    elif isinstance(part, GlobalResponseNorm):
        nn.init.zeros_(part.gamma)
        nn.init.zeros_(part.beta)
    elif isinstance(part, JointDiT):
        nn.init.normal_(part.audio_padding, std=0.02)
        for projection in (part.time_projection, part.time_projection_audio):
            nn.init.zeros_(projection.get_parameter("1.weight"))
