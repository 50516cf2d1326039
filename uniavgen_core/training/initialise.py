"""Weights before training."""

from __future__ import annotations

import torch
from torch import nn

from ..model.joint_dit import JointDiT
from ..tiny.caption import CaptionEncoder

GATES = (2, 5)
"""Rows of a block's modulation that scale what the block adds."""


@torch.no_grad()
def initialise_model(model: JointDiT) -> None:
    """Start as a plain pre-norm transformer whose interactions and heads say nothing yet."""
    _initialise_layers(model)
    for block in (*model.blocks, *model.audio_blocks):
        block.modulation.zero_()
        block.modulation[:, GATES] = 1
    for head in (model.head, model.head_audio):
        head.modulation.zero_()
        nn.init.zeros_(head.head.weight)
    for aligner in (*model.a2v_blocks, *model.v2a_blocks):
        nn.init.zeros_(aligner.o.weight)
    for aligner in model.a2v_blocks:
        aligner.mask_head.modulation.zero_()
        nn.init.zeros_(aligner.mask_head.head.weight)
    for projection in (model.time_projection, model.time_projection_audio):
        nn.init.zeros_(projection[1].weight)
    nn.init.normal_(model.audio_padding, std=0.02)
    for block in model.text_embedding.text_blocks:
        nn.init.zeros_(block.grn.gamma)
        nn.init.zeros_(block.grn.beta)


@torch.no_grad()
def initialise_caption_encoder(encoder: CaptionEncoder) -> None:
    """Start with an encoder whose layers are small next to their input."""
    _initialise_layers(encoder)


def _initialise_layers(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, std=0.5)
        elif isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv3d)):
            nn.init.xavier_uniform_(layer.weight.flatten(1))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, (nn.LayerNorm, nn.RMSNorm)):
            if layer.weight is not None:
                nn.init.ones_(layer.weight)
            if getattr(layer, "bias", None) is not None:
                nn.init.zeros_(layer.bias)
