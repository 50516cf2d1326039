"""The interaction of both branches: asymmetric, aligned in time, and aware of the face (arXiv 2511.03334, section 3.3).

After every second block, each video token hears the sound around its frame, and each audio token sees the frame that
is interpolated at its time. One value of each video token, the face mask, weighs what it hears and how far it is seen.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..config import ModelSizes
from ..tasks import Switches
from .blocks import rotate_heads
from .plan import Plan, VideoToAudioPlan

FACE_MASK_PATCH = "uniavgen_face_mask"
"""Patches under this name are called as patch(mask (batch, T, N), layer, options) and return the mask to use."""
FRAMES_A_CHUNK = 4
"""Frames whose tokens are in memory in float32 at once."""
MIXED_TOKENS_A_CHUNK = 16
"""Audio tokens whose mixed contexts are in memory at once."""


class FaceMaskHead(nn.Module):
    """Predicts how much each video token belongs to the face.

    With the shift m₀ and the scale m₁ of each frame's timestep:

        mask = sigmoid(linear(LN(video) · (1 + m₁) + m₀))

    In training it is pulled to the real face mask at first, and then let go (`uniavgen_lab.training`).
    """

    def __init__(self, width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.cast = operations.cast
        self.norm = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, **factory_kwargs)
        self.head = operations.Float32Linear(width, 1, **factory_kwargs)
        self.modulation = nn.Parameter(torch.empty(1, 2, width, **factory_kwargs))

    def forward(self, video: Tensor, time: Tensor, frame_rows: Tensor) -> Tensor:
        """Face mask (batch, T, N) in (0, 1), computed in float32.

        Args:
            video: tokens (batch, T, N, width) as the block left them.
            time: video time embeddings (batch, 2, width) of timestep 0 and of the step, float32.
            frame_rows: (T, 1) which of the two each frame has, or (T, N) each token.
        """
        # (1, 1, 2, c) + (b, 2, 1, c): shift and scale of both timesteps
        shift, scale = (self.cast(self.modulation, time)[:, None] + time[:, :, None]).unbind(2)
        chunks = zip(video.split(FRAMES_A_CHUNK, dim=1), frame_rows.split(FRAMES_A_CHUNK), strict=True)
        scores = torch.cat([self._scores(x, shift, 1 + scale, rows) for x, rows in chunks], dim=1)
        return rearrange(scores.sigmoid(), "b t n 1 -> b t n")

    def _scores(self, video: Tensor, shift: Tensor, scale: Tensor, rows: Tensor) -> Tensor:
        """Scores (batch, t, N, 1) of some frames, each or each token with one of two rows (batch, 2, width)."""
        shift, scale = (x.index_select(1, rows.flatten()).unflatten(1, rows.shape) for x in (shift, scale))
        return self.head(torch.addcmul(shift, self.norm(video.float()), scale))


class CrossModalAttention(nn.Module):
    """Projections and norms of an aligner; the attention runs at the width of the branch that asks."""

    def __init__(
        self, query_width: int, context_width: int, heads: int, operations: Any, device: Any = None, dtype: Any = None
    ):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.heads = heads
        self.operations = operations
        self.q = operations.Linear(query_width, query_width, **factory_kwargs)
        self.k = operations.Linear(context_width, query_width, **factory_kwargs)
        self.v = operations.Linear(context_width, query_width, **factory_kwargs)
        self.o = operations.Linear(query_width, query_width, **factory_kwargs)
        self.norm_q = operations.RMSNorm(query_width, eps=1e-6, **factory_kwargs)
        self.norm_k = operations.RMSNorm(query_width, eps=1e-6, **factory_kwargs)

    def rotate(self, x: Tensor, table: Tensor) -> Tensor:
        return rotate_heads(x, self.heads, table, self.operations)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, options: dict[str, Any], mask: Tensor | None = None) -> Tensor:
        return self.operations.attention(q, k, v, self.heads, mask=mask, options=options)


class AudioToVideoAligner(CrossModalAttention):
    """Each latent frame's tokens attend to the audio around that frame.

    For latent frame i with its tokens V_i (N of them), its face mask M_i and the audio tokens A_i of its window
    (`plan.audio_windows`), the update of the frame is

        o(M_i · attention(q(V_i), k(A_i), v(A_i)))

    with o's bias outside the mask. Queries are turned by their row and column, keys by their position in the window.
    """

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__(sizes.video_width, sizes.audio_width, sizes.video_heads, operations, device, dtype)
        self.mask_head = FaceMaskHead(sizes.video_width, operations, device, dtype)

    def forward(self, video: Tensor, audio: Tensor, mask: Tensor, plan: Plan, *, options: dict[str, Any]) -> Tensor:
        """Update of the frames of which something is generated, as they are in `video`.

        Args:
            video: tokens (batch, frames, N, video width) of the generated frames.
            audio: tokens (batch, L, audio width), without reference audio.
            mask: face mask (batch, frames, N) of the generated frames.
        """
        frames = video.shape[1]
        k = self.norm_k(self.k(audio)).index_select(1, plan.windows)
        v = self.v(audio).index_select(1, plan.windows)
        k, v = (rearrange(x, "b (t window) c -> (b t) window c", t=frames) for x in (k, v))
        q = rearrange(self.norm_q(self.q(video)), "b t n c -> (b t) n c")
        heard = self.attend(self.rotate(q, plan.frame_table), self.rotate(k, plan.window_table), v, options=options)
        heard = rearrange(heard, "(b t) n c -> b t n c", t=frames)
        return self.o(heard * mask.unsqueeze(-1).to(heard.dtype))


class VideoToAudioAligner(CrossModalAttention):
    """Each audio token attends to the video frame that is interpolated at its time.

    For audio token A_j between the pixel frames a and b, with weights w of `plan.frame_contexts`, the update is

        o(attention(q(A_j), k(C_j), v(C_j)))    with the context    C_j = w_a · M_a · V_a + w_b · M_b · V_b

    of the N tokens V and the face masks M of both frames. Keys are turned by their row and column, queries are not.
    """

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__(sizes.audio_width, sizes.video_width, sizes.audio_heads, operations, device, dtype)

    def forward(self, audio: Tensor, video: Tensor, mask: Tensor, plan: Plan, *, options: dict[str, Any]) -> Tensor:
        """Update of the generated audio tokens.

        Args:
            audio: the generated tokens (batch, tokens, audio width).
            video: tokens (batch, T, N, video width).
            mask: face mask (batch, T, N).

        A context is a sum of frames with weights, so that frames are projected first and summed after. Where the
        weights sum to 1, the projections' biases do too; where they sum to 2, the frame is doubled before.
        """
        plan_of_tokens = plan.video_to_audio
        masked = video * mask.unsqueeze(-1).to(video.dtype)
        masked = torch.cat((masked, 2 * masked[:, -1:]), dim=1)  # (b, t + 1, n, c)
        q, k, v = self.norm_q(self.q(audio)), self.k(masked), self.v(masked)
        seen = [self._grouped(q, k, v, plan, options=options)] if len(plan_of_tokens.group_queries) else []
        for chunk in range(0, len(plan_of_tokens.mixed_queries), MIXED_TOKENS_A_CHUNK):
            tokens = slice(chunk, chunk + MIXED_TOKENS_A_CHUNK)
            seen.append(self._mixed(q, k, v, plan, tokens=tokens, options=options))
        return self.o(torch.cat(seen, dim=1).index_select(1, plan_of_tokens.order))

    def _grouped(self, q: Tensor, k: Tensor, v: Tensor, plan: Plan, *, options: dict[str, Any]) -> Tensor:
        """Tokens that see a frame as it is, one group a frame."""
        frames = plan.video_to_audio.group_frames
        q = q.index_select(1, plan.video_to_audio.group_queries)
        q = rearrange(q, "b (groups size) c -> (b groups) size c", groups=len(frames))
        k, v = (rearrange(x.index_select(1, frames), "b groups n c -> (b groups) n c") for x in (k, v))
        seen = self.attend(q, self.rotate(self.norm_k(k), plan.frame_table), v, options=options)
        return rearrange(seen, "(b groups) size c -> b (groups size) c", groups=len(frames))

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor, plan: Plan, *, tokens: slice, options: dict[str, Any]) -> Tensor:
        """Tokens that see a mixture of two frames, each its own."""
        q = q.index_select(1, plan.video_to_audio.mixed_queries[tokens])
        k, v = (rearrange(_mix(x, plan.video_to_audio, tokens), "b l n c -> (b l) n c") for x in (k, v))
        k = self.rotate(self.norm_k(k), plan.frame_table)
        seen = self.attend(rearrange(q, "b l c -> (b l) 1 c"), k, v, options=options)
        return rearrange(seen, "(b l) 1 c -> b l c", b=q.shape[0])


def _mix(frames: Tensor, plan: VideoToAudioPlan, tokens: slice) -> Tensor:
    """Contexts (batch, tokens, N, width) of projected frames (batch, T + 1, N, width), mixed in float32."""
    left = frames.index_select(1, plan.left[tokens]) * plan.left_weight[tokens, None, None]
    right = frames.index_select(1, plan.right[tokens]) * plan.right_weight[tokens, None, None]
    return (left + right).to(frames.dtype)


def has_face_patches(options: dict[str, Any]) -> bool:
    """Whether somebody looks at the face masks, or changes them."""
    return bool(_face_patches(options))


def _face_patches(options: dict[str, Any]) -> list[Any]:
    patches: list[Any] = options.get("patches", {}).get(FACE_MASK_PATCH, [])
    return patches


def interact(
    video: Tensor,
    audio: Tensor,
    aligners: tuple[AudioToVideoAligner, VideoToAudioAligner],
    plan: Plan,
    *,
    layer: int,
    time: Tensor,
    switches: Switches,
    options: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """Tokens of both branches after one interaction.

    Both aligners read what the blocks left; only what is generated takes updates.

        aligners = model.a2v_blocks[layer], model.v2a_blocks[layer]
        video, audio = interact(video, audio, aligners, plan, layer=layer, time=time, switches=switches, options={})

    Args:
        video: tokens (batch, (T + 1) · N, video width), the reference frame first.
        audio: tokens (batch, R + L, audio width), the reference audio first.
        layer: the number of the interaction, for patches.
        time: video time embeddings (batch, 2, video width) of timestep 0 and of the step, float32.
        options: the host's, for its attention; `patches` of FACE_MASK_PATCH.
    """
    audio_to_video, video_to_audio = aligners
    to_video, to_audio = plan.updates_video(switches), plan.updates_audio(switches)
    patches = _face_patches(options)
    if not (to_video or to_audio or patches):
        return video, audio

    all_frames = rearrange(video, "b (t n) c -> b t n c", t=plan.latent_frames + 1)
    frames = all_frames[:, 1:]
    mask = audio_to_video.mask_head(frames, time, plan.frame_rows)
    for patch in patches:
        mask = patch(mask, layer, options)

    new_video, new_audio = video, audio
    if to_video:
        generated, generated_mask = (x.index_select(1, plan.generated_frames) for x in (frames, mask))
        heard = audio[:, plan.reference_tokens :]
        update = audio_to_video(generated, heard, generated_mask, plan, options=options)
        if plan.generated_in_frames is not None:
            update = update * plan.generated_in_frames.unsqueeze(-1).to(update.dtype)
        new_video = all_frames.index_add(1, plan.generated_frames + 1, update)
        new_video = rearrange(new_video, "b t n c -> b (t n) c")
    if to_audio:
        indices = plan.generated_tokens + plan.reference_tokens
        update = video_to_audio(audio.index_select(1, indices), frames, mask, plan, options=options)
        new_audio = audio.index_add(1, indices, update)
    return new_video, new_audio
