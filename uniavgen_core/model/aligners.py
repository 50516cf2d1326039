"""The asymmetric, time-aligned interaction of both branches (arXiv 2511.03334, section 3.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..config import ModelSizes
from .plan import Plan, VoicePlan

FRAMES_A_CHUNK = 4
"""Frames whose tokens are in memory in float32 at once."""


class FaceMaskHead(nn.Module):
    """Predicts how much each video token belongs to the face."""

    def __init__(self, width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        self.cast = operations.cast
        self.norm = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, device=device, dtype=dtype)
        self.head = operations.Float32Linear(width, 1, device=device, dtype=dtype)
        self.modulation = nn.Parameter(torch.empty(1, 2, width, device=device, dtype=dtype))

    def forward(self, video: Tensor, time: Tensor, frame_rows: Tensor) -> Tensor:
        """Face mask (batch, T, N) in (0, 1), computed in float32.

        Args:
            video: tokens (batch, T, N, width) as the block left them.
            time: video time embeddings (batch, 2, width) of timestep 0 and of the step, float32.
            frame_rows: (T,) which of the two each frame has.
        """
        rows = time.index_select(1, frame_rows).unsqueeze(2)
        shift, scale = (self.cast(self.modulation, time)[:, None] + rows).chunk(2, dim=2)
        chunks = zip(*(x.split(FRAMES_A_CHUNK, dim=1) for x in (video, shift, 1 + scale)), strict=True)
        return torch.cat([self._scores(*chunk) for chunk in chunks], dim=1).sigmoid().squeeze(-1)

    def _scores(self, video: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return self.head(torch.addcmul(shift, self.norm(video.float()), scale))


MIXED_TOKENS_A_CHUNK = 16
"""Audio tokens whose mixed contexts are in memory at once."""


class CrossModalAttention(nn.Module):
    """Projections and norms of an aligner; the attention runs at the width of the branch that asks."""

    def __init__(
        self, query_width: int, context_width: int, heads: int, operations: Any, device: Any = None, dtype: Any = None
    ):
        super().__init__()
        place = {"device": device, "dtype": dtype}
        self.heads = heads
        self.operations = operations
        self.q = operations.Linear(query_width, query_width, **place)
        self.k = operations.Linear(context_width, query_width, **place)
        self.v = operations.Linear(context_width, query_width, **place)
        self.o = operations.Linear(query_width, query_width, **place)
        self.norm_q = operations.RMSNorm(query_width, eps=1e-6, **place)
        self.norm_k = operations.RMSNorm(query_width, eps=1e-6, **place)

    def rotate(self, x: Tensor, table: Tensor) -> Tensor:
        return self.operations.rotate(x.unflatten(-1, (self.heads, -1)), table).flatten(-2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
        return self.operations.attention(q, k, v, self.heads, options=options)


class AudioToVideo(CrossModalAttention):
    """Each latent frame's tokens attend to the audio around that frame."""

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__(sizes.video_width, sizes.audio_width, sizes.video_heads, operations, device, dtype)
        self.mask_head = FaceMaskHead(sizes.video_width, operations, device, dtype)

    def forward(self, video: Tensor, audio: Tensor, mask: Tensor, plan: Plan, options: dict[str, Any]) -> Tensor:
        """Update of the generated frames.

        Args:
            video: tokens (batch, frames, N, video width) of the generated frames.
            audio: tokens (batch, L, audio width), without reference audio.
            mask: face mask (batch, frames, N) of the generated frames.
        """
        batch, frames = video.shape[:2]
        k = self.norm_k(self.k(audio)).index_select(1, plan.windows).unflatten(1, (frames, -1)).flatten(0, 1)
        v = self.v(audio).index_select(1, plan.windows).unflatten(1, (frames, -1)).flatten(0, 1)
        q = self.rotate(self.norm_q(self.q(video)).flatten(0, 1), plan.picture_table)
        attended = self.attend(q, self.rotate(k, plan.window_table), v, options).unflatten(0, (batch, frames))
        return self.o(attended * mask.unsqueeze(-1).to(attended.dtype))


class VideoToAudio(CrossModalAttention):
    """Each audio token attends to the video frame that is interpolated at its time."""

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__(sizes.audio_width, sizes.video_width, sizes.audio_heads, operations, device, dtype)

    def forward(self, audio: Tensor, video: Tensor, mask: Tensor, plan: Plan, options: dict[str, Any]) -> Tensor:
        """Update of the generated audio tokens.

        Args:
            audio: the generated tokens (batch, tokens, audio width).
            video: tokens (batch, T, N, video width).
            mask: face mask (batch, T, N).

        A context is a sum of frames with weights, so that frames are projected first and summed after. Where the
        weights sum to 1, the projections' biases do too; where they sum to 2, the frame is doubled before.
        """
        masked = video * mask.unsqueeze(-1).to(video.dtype)
        masked = torch.cat((masked, 2 * masked[:, -1:]), dim=1)
        q, k, v = self.norm_q(self.q(audio)), self.k(masked), self.v(masked)
        parts = [self._grouped(q, k, v, plan, options)] if len(plan.voice.group_queries) else []
        for chunk in range(0, len(plan.voice.mixed_queries), MIXED_TOKENS_A_CHUNK):
            tokens = slice(chunk, chunk + MIXED_TOKENS_A_CHUNK)
            parts.append(self._mixed(q, k, v, plan, tokens, options))
        return self.o(torch.cat(parts, dim=1).index_select(1, plan.voice.order))

    def _grouped(self, q: Tensor, k: Tensor, v: Tensor, plan: Plan, options: dict[str, Any]) -> Tensor:
        """Tokens that see a frame as it is, one group a frame."""
        batch, groups = q.shape[0], len(plan.voice.group_frames)
        q = q.index_select(1, plan.voice.group_queries).unflatten(1, (groups, -1)).flatten(0, 1)
        k = k.index_select(1, plan.voice.group_frames).flatten(0, 1)
        v = v.index_select(1, plan.voice.group_frames).flatten(0, 1)
        attended = self.attend(q, self.rotate(self.norm_k(k), plan.picture_table), v, options)
        return attended.unflatten(0, (batch, groups)).flatten(1, 2)

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor, plan: Plan, tokens: slice, options: dict[str, Any]) -> Tensor:
        """Tokens that see a mixture of two frames, each its own."""
        q = q.index_select(1, plan.voice.mixed_queries[tokens])
        k, v = _mix(k, plan.voice, tokens).flatten(0, 1), _mix(v, plan.voice, tokens).flatten(0, 1)
        k = self.rotate(self.norm_k(k), plan.picture_table)
        return self.attend(q.flatten(0, 1).unsqueeze(1), k, v, options).view_as(q)


def _mix(frames: Tensor, voice: VoicePlan, tokens: slice) -> Tensor:
    """Contexts (batch, tokens, N, width) of projected frames (batch, T + 1, N, width), mixed in float32."""
    left = frames.index_select(1, voice.left[tokens]) * voice.left_weight[tokens, None, None]
    right = frames.index_select(1, voice.right[tokens]) * voice.right_weight[tokens, None, None]
    return (left + right).to(frames.dtype)
