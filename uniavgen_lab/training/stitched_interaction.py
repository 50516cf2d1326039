"""Stitching, as UniVerse-1 joins its branches (arXiv 2509.06155), in the places of the small model's aligners.

Each block is joined with the block beside it: the tokens of one branch attend to all that the other branch holds, which
a layer with SiLU projects first. The picture is seen as one mean a frame, and nothing is paired by time but for the
rotary positions, which count audio tokens in both branches, so that a frame stands at its middle; in UniVerse-1, whose
sound has one column a frame, they count frames.

Two things are otherwise than there: queries and outputs are the join's own instead of the text's cross-attention's, and
so is the softmax; and the second layer of a connector, which is linear, is one with the keys' and values' projections.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from uniavgen_core.config import HEAD_WIDTH, ModelSizes
from uniavgen_core.model.aligners import AudioToVideoAligner, CrossModalAttention, VideoToAudioAligner
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.plan import Plan

from .initialise import initialise

CONNECTED_WIDTH = HEAD_WIDTH
"""Values of a projected state: with as many, the small model has 8 % more parameters than with aligners."""


def _connector(width: int, operations: Any, factory_kwargs: dict[str, Any]) -> nn.Sequential:
    return nn.Sequential(operations.Linear(width, CONNECTED_WIDTH, **factory_kwargs), nn.SiLU())


class StitchedAudioToVideo(AudioToVideoAligner):
    """Each video token attends to all audio tokens, projected."""

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__(sizes, operations, device, dtype)
        factory_kwargs = {"device": device, "dtype": dtype}
        self.connect = _connector(sizes.audio_width, operations, factory_kwargs)
        _read_connected(self, sizes.video_width, factory_kwargs)

    def forward(self, video: Tensor, audio: Tensor, mask: Tensor, plan: Plan, *, options: dict[str, Any]) -> Tensor:
        """As the base's."""
        heard = self.connect(audio)
        middles = _middles(plan, audio.shape[1]).index_select(0, plan.generated_frames)
        table = plan.audio_table.index_select(1, middles.repeat_interleave(video.shape[2]))
        q = self.rotate(self.norm_q(self.q(video)).flatten(1, 2), table)
        k = self.rotate(self.norm_k(self.k(heard)), plan.audio_table[:, : audio.shape[1]])
        attended = self.attend(q, k, self.v(heard), options=options).view_as(video)
        return self.o(attended * mask.unsqueeze(-1).to(attended.dtype))


class StitchedVideoToAudio(VideoToAudioAligner):
    """Each audio token attends to all latent frames, each the projected mean of its tokens."""

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__(sizes, operations, device, dtype)
        factory_kwargs = {"device": device, "dtype": dtype}
        self.connect = _connector(sizes.video_width, operations, factory_kwargs)
        _read_connected(self, sizes.audio_width, factory_kwargs)

    def forward(self, audio: Tensor, video: Tensor, mask: Tensor, plan: Plan, *, options: dict[str, Any]) -> Tensor:
        """As the base's."""
        seen = self.connect((video * mask.unsqueeze(-1).to(video.dtype)).mean(dim=2))
        middles = _middles(plan, plan.audio_table.shape[1] - plan.reference_tokens)
        q = self.rotate(self.norm_q(self.q(audio)), plan.audio_table.index_select(1, plan.generated_tokens))
        k = self.rotate(self.norm_k(self.k(seen)), plan.audio_table.index_select(1, middles))
        return self.o(self.attend(q, k, self.v(seen), options=options))


def stitch(model: JointDiT) -> None:
    """Join the blocks of a model one to one, in the places of its aligners. Joins say nothing before they are trained.

    A model on the meta device stays without weights.
    """
    to_video, to_audio = StitchedAudioToVideo, StitchedVideoToAudio
    device, training = model.audio_padding.device, model.training
    for name, kind in (("a2v_blocks", to_video), ("v2a_blocks", to_audio)):
        joins = nn.ModuleList(
            kind(model.sizes, model.operations, device, model.dtype) for _ in range(model.sizes.blocks)
        )
        if device.type != "meta":
            initialise(joins)
        setattr(model, name, joins.train(training))


def _read_connected(attention: CrossModalAttention, width: int, factory_kwargs: dict[str, Any]) -> None:
    """Keys and values of what a connector gives."""
    linear = attention.operations.Linear
    attention.k, attention.v = (linear(CONNECTED_WIDTH, width, **factory_kwargs) for _ in range(2))


def _middles(plan: Plan, tokens: int) -> Tensor:
    """The audio token (T) in the middle of each latent frame."""
    frames = torch.arange(plan.latent_frames, device=plan.audio_table.device)
    return ((2 * frames + 1) * tokens // (2 * plan.latent_frames)).clamp(max=tokens - 1)
