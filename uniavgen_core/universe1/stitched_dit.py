"""UniVerse-1: two diffusion transformers, stitched into one block by block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from ..config import CAPTION_ROWS, TIMESTEP_CHANNELS
from ..model.blocks import Branch, Hooks
from ..model.joint_dit import BothBlocks, embed_patches, embedder, replaced_block, unpatchify
from .lyric_encoder import LyricEncoder
from .stitched_blocks import StitchedBlock, StitchedInputs, shift_and_scale
from .stitched_sizes import AUDIO_CHANNELS, AUDIO_ROWS, SPEECH_TOKENS, StitchedSizes
from .stitched_tables import StitchedPlans, StitchedShape

GROUPS = 32
"""Of channels, that the audio's embedding is normalised in."""


def float32_sinusoid(timestep: Tensor) -> Tensor:
    """Embed timesteps (batch,) as (batch, 256): cosines, then sines, as the released model reckons them in float32."""
    half = TIMESTEP_CHANNELS // 2
    steps = torch.arange(half, dtype=torch.float32, device=timestep.device)
    angles = timestep.float().unsqueeze(-1) * torch.exp(-math.log(10_000.0) * steps / half)
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


class TimeEmbedding(nn.Module):
    """ACE-Step's embedding of a timestep."""

    def __init__(self, width: int, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        self.linear_1 = operations.Float32Linear(TIMESTEP_CHANNELS, width, **factory_kwargs)
        self.linear_2 = operations.Float32Linear(width, width, **factory_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(functional.silu(self.linear_1(x)))


class ColumnEmbedding(nn.Module):
    """Audio latent (batch, 8, 16, T) to one token a column (batch, T, width)."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        between = sizes.patch_width
        self.early_conv_layers = nn.Sequential(
            operations.Conv2d(
                AUDIO_CHANNELS, between, kernel_size=(AUDIO_ROWS, 1), stride=(AUDIO_ROWS, 1), **factory_kwargs
            ),
            operations.GroupNorm(GROUPS, between, eps=1e-6, **factory_kwargs),
            operations.Conv2d(between, sizes.audio_width, kernel_size=1, **factory_kwargs),
        )

    def forward(self, latent: Tensor) -> Tensor:
        return rearrange(self.early_conv_layers(latent), "b c 1 t -> b t c")


class VideoHead(nn.Module):
    """Wan's output layer, computed in float32."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        width, values = sizes.video_width, sizes.latent_channels * math.prod(sizes.patch)
        self.cast = operations.cast
        self.norm = operations.LayerNorm(width, eps=1e-6, elementwise_affine=False, **factory_kwargs)
        self.head = operations.Float32Linear(width, values, **factory_kwargs)
        self.modulation = nn.Parameter(torch.empty(1, 2, width, **factory_kwargs))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Velocities (batch, tokens, values) of x (batch, tokens, width); time embeddings (batch, width)."""
        shift, scale = (self.cast(self.modulation, time) + time[:, None]).unbind(1)
        return self.head(shift_and_scale(self.norm(x), shift, scale))


class AudioHead(nn.Module):
    """ACE-Step's output layer, computed in float32."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        width = sizes.audio_width
        self.cast = operations.cast
        self.norm = operations.RMSNorm(width, eps=1e-6, elementwise_affine=False, **factory_kwargs)
        self.linear = operations.Float32Linear(width, AUDIO_CHANNELS * AUDIO_ROWS, **factory_kwargs)
        self.scale_shift_table = nn.Parameter(torch.empty(2, width, **factory_kwargs))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Velocities (batch, T, 128) of x (batch, T, width); time embeddings (batch, width)."""
        shift, scale = (self.cast(self.scale_shift_table, time) + time[:, None]).unbind(1)
        return self.linear(shift_and_scale(self.norm(x), shift, scale))


class StitchedDiT(nn.Module):
    """UniVerse-1. The video branch's parameters are named as in ComfyUI's Wan model, the audio's as in ACE-Step."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        video, audio = sizes.video_width, sizes.audio_width
        linear, float32_linear = operations.Linear, operations.Float32Linear
        self.sizes = sizes
        self.dtype = dtype
        self.operations = operations

        self.patch_embedding = operations.Conv3d(
            sizes.latent_channels, video, kernel_size=sizes.patch, stride=sizes.patch, **factory_kwargs
        )
        gelu = nn.GELU(approximate="tanh")
        self.text_embedding = embedder(sizes.text_width, video, gelu, linear, **factory_kwargs)
        self.time_embedding = embedder(TIMESTEP_CHANNELS, video, nn.SiLU(), float32_linear, **factory_kwargs)
        self.time_projection = nn.Sequential(nn.SiLU(), float32_linear(video, 6 * video, **factory_kwargs))

        self.proj_in = ColumnEmbedding(sizes, operations, **factory_kwargs)
        self.timestep_embedder = TimeEmbedding(audio, operations, **factory_kwargs)
        self.t_block = nn.Sequential(nn.SiLU(), float32_linear(audio, 6 * audio, **factory_kwargs))
        self.genre_embedder = linear(sizes.sound_text_width, audio, **factory_kwargs)
        self.lyric_embs = operations.Embedding(sizes.vocabulary_rows, sizes.lyric_width, **factory_kwargs)
        self.lyric_encoder = LyricEncoder(sizes, operations, **factory_kwargs)
        self.lyric_proj = linear(sizes.lyric_width, audio, **factory_kwargs)

        self.blocks = nn.ModuleList(StitchedBlock(sizes, operations, **factory_kwargs) for _ in range(sizes.blocks))
        self.head = VideoHead(sizes, operations, **factory_kwargs)
        self.final_layer = AudioHead(sizes, operations, **factory_kwargs)

    def encode_caption(self, rows: Tensor, caption_rows: int = CAPTION_ROWS) -> Tensor:
        """Caption features (batch, rows, video width) of text encoder rows (batch, rows, text width).

        Fewer rows are padded with zero vectors first, more are cut; the padding takes part in attention.
        """
        rows = functional.pad(rows[:, :caption_rows], (0, 0, 0, max(0, caption_rows - rows.shape[1])))
        return self.text_embedding(rows)

    def encode_sound(self, rows: Tensor, speech: Tensor) -> Tensor:
        """Sound features (batch, n + S, audio width): of the sound's text first, then of the speech.

        Args:
            rows: text encoder rows (batch, n, sound text width).
            speech: speech tokens (batch, S) of one length; those beyond 128 are cut.
        """
        embedded = self.lyric_embs(speech[:, :SPEECH_TOKENS]).to(rows.dtype)
        return torch.cat((self.genre_embedder(rows), self.lyric_proj(self.lyric_encoder(embedded))), dim=1)

    def forward(
        self,
        x: Sequence[Tensor],
        timestep: Tensor,
        caption_features: Tensor,
        sound_features: Tensor,
        *,
        reference_image: Tensor,
        linked: Tensor | None = None,
        sound_mask: Tensor | None = None,
        plans: StitchedPlans | None = None,
        options: dict[str, Any] | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008 - without state
    ) -> list[Tensor]:
        """Velocities (noise - data) of both streams, in float32.

            caption_features = model.encode_caption(text_encoder_rows)
            sound_features = model.encode_sound(sound_text_rows, speech)
            video, audio = model(
                [noisy_video, noisy_audio], timestep, caption_features, sound_features, reference_image=portrait
            )

        Args:
            x: video latent (batch, 16, T, h, w) and audio latent (batch, 8, 16, T), both noisy all over.
            timestep: (batch,) whole numbers from 0 to 999.
            caption_features: (batch, 512, video width) from `encode_caption`.
            sound_features: (batch, rows, audio width) from `encode_sound`.
            reference_image: latent (batch or 1, 16, 1, h, w) of the first frame; zeros in a null row.
            linked: (batch,) 1, or 0 in a null row, whose cross-attentions neither hear nor see; None links all rows.
            sound_mask: added to the scores of the sound features (batch, 1, rows), for texts of unequal lengths.
            plans: the run's tables; None makes them for this call.
            options: handed to the host's attention; `patches_replace` as in ComfyUI.
            hooks: what the host does in the video branch's blocks.

        Returns:
            Video (batch, 16, T, h, w) and audio (batch, 8, 16, T). Frame 0 of the video means nothing.
        """
        latent, options = x[0], options or {}
        batch, _, frames, height, width = latent.shape
        video, grid = self._embed_video(latent, reference_image)  # (b, t n, c), and rows and columns of n
        audio = self.proj_in(x[1])  # (b, t, c)
        shape = StitchedShape(frames, *grid, sound_features.shape[1], self.sizes.head_width, latent.device)
        steps = float32_sinusoid(timestep)
        video_time, audio_time = self.time_embedding(steps), self.timestep_embedder(steps)
        inputs = StitchedInputs(
            video_time=rearrange(self.time_projection(video_time), "b (six c) -> b six c", six=6),
            audio_time=rearrange(self.t_block(audio_time), "b (six c) -> b six c", six=6),
            caption=caption_features,
            sound=sound_features,
            # The frames behind the sound features are never masked.
            sound_mask=None if sound_mask is None else functional.pad(sound_mask, (0, frames)),
            linked=video_time.new_ones(batch, 1, 1) if linked is None else linked.view(-1, 1, 1).to(video_time),
            tables=(StitchedPlans() if plans is None else plans)(shape),
            frames=frames,
            options=options,
        )
        video, audio = video.float(), audio.float()

        def both_blocks(index: int, video: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
            return self.blocks[index](video, audio, inputs, hooks.inside(index, Branch.VIDEO))

        replacements = options.get("patches_replace", {}).get("dit", {})
        for index in range(self.sizes.blocks):
            hooks.before_block(index)
            block: BothBlocks = partial(both_blocks, index)
            replace = replacements.get(("double_block", index))
            if replace is not None:
                block = replaced_block(replace, block, inputs.video_time, inputs.tables.video, options)
            video, audio = block(video, audio)
            video = hooks.after_block(index, video, video_time[:, None])

        audio = rearrange(self.final_layer(audio, audio_time), "b t (rows c) -> b c rows t", rows=AUDIO_ROWS)
        return [unpatchify(self.head(video, video_time), grid, self.sizes.patch)[..., :height, :width], audio]

    def _embed_video(self, latent: Tensor, reference: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens (batch, T · N, width), the reference in place of frame 0, and the rows and columns of a frame."""
        reference = reference.expand(latent.shape[0], -1, -1, -1, -1)
        latent = torch.cat((reference, latent[:, :, 1:]), dim=2)
        return embed_patches(latent, self.patch_embedding, self.sizes.patch)
