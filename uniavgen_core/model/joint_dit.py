"""The joint model: two diffusion transformers side by side, with an interaction after every other block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..config import CAPTION_ROWS, TIMESTEP_CHANNELS, ModelSizes
from .aligners import AudioToVideo, VideoToAudio
from .blocks import Block, Branch, Head, Hooks
from .plan import NOISY, ClipShape, Plan, Plans
from .rope import audio_table
from .speech_encoder import SpeechEncoder

FACE_MASK_PATCH = "uniavgen_face_mask"
"""Patches under this name are called as patch(mask (batch, T, N), layer, options) and return the mask to use."""


@dataclass(frozen=True)
class Switches:
    """What of the model runs: both directions of the interaction, and the block that is left out (-1: none)."""

    audio_to_video: bool = True
    video_to_audio: bool = True
    skip_block: int = -1


@dataclass
class _Streams:
    """What the blocks of one forward pass share."""

    plan: Plan
    video_time: Tensor
    video_time_projected: Tensor
    audio_time: Tensor
    audio_time_projected: Tensor
    caption: Tensor
    speech: Tensor
    speech_mask: Tensor | None
    caption_mask: Tensor | None
    switches: Switches
    options: dict[str, Any]
    hooks: Hooks
    frames: int
    reference_tokens: int
    audio_text_tables: tuple[Tensor, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        tokens = sum(count for count, _ in self.plan.audio_runs)
        self.audio_text_tables = (
            self.plan.audio_table[:, :tokens],
            self.plan.audio_table[:, : self.speech.shape[1]],
        )


def _embedder(input_width: int, width: int, activation: nn.Module, linear: Any, place: dict[str, Any]) -> nn.Sequential:
    return nn.Sequential(linear(input_width, width, **place), activation, linear(width, width, **place))


class JointDiT(nn.Module):
    """UniAVGen's joint diffusion transformer. Parameter names are the released checkpoint's."""

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        place = {"device": device, "dtype": dtype}
        video, audio = sizes.video_width, sizes.audio_width
        gelu = nn.GELU(approximate="tanh")
        linear, float32_linear = operations.Linear, operations.Float32Linear
        self.sizes = sizes
        self.dtype = dtype
        self.operations = operations

        self.patch_embedding = operations.Conv3d(
            sizes.latent_channels, video, kernel_size=sizes.patch, stride=sizes.patch, **place
        )
        self.audio_embedding = _embedder(sizes.mel_bands, audio, gelu, linear, place)
        self.audio_padding = nn.Parameter(torch.empty(audio, **place))
        self.text_embedding_video = _embedder(sizes.text_width, video, gelu, linear, place)
        self.text_embedding = SpeechEncoder(sizes, operations, **place)
        self.text_proj = linear(sizes.speech_width, audio, bias=False, **place)

        self.time_embedding = _embedder(TIMESTEP_CHANNELS, video, nn.SiLU(), float32_linear, place)
        self.time_projection = nn.Sequential(nn.SiLU(), float32_linear(video, 6 * video, **place))
        self.time_embedding_audio = _embedder(TIMESTEP_CHANNELS, audio, nn.SiLU(), float32_linear, place)
        self.time_projection_audio = nn.Sequential(nn.SiLU(), float32_linear(audio, 6 * audio, **place))

        self.blocks = nn.ModuleList(
            Block(video, sizes.video_ffn_width, operations, **place) for _ in range(sizes.blocks)
        )
        self.audio_blocks = nn.ModuleList(
            Block(audio, sizes.audio_ffn_width, operations, **place) for _ in range(sizes.blocks)
        )
        self.a2v_blocks = nn.ModuleList(AudioToVideo(sizes, operations, **place) for _ in range(sizes.interactions))
        self.v2a_blocks = nn.ModuleList(VideoToAudio(sizes, operations, **place) for _ in range(sizes.interactions))
        patch_values = sizes.latent_channels * sizes.patch[1] * sizes.patch[2]
        self.head = Head(video, patch_values, operations, **place)
        self.head_audio = Head(audio, sizes.mel_bands, operations, **place)

    def encode_caption(self, caption: Tensor) -> Tensor:
        """Caption features (batch, rows, video width) of text encoder rows (batch, rows, text width).

        Fewer than 512 rows are padded with zero vectors first, and the padding takes part in attention.
        """
        missing = max(0, CAPTION_ROWS - caption.shape[1])
        return self.text_embedding_video(functional.pad(caption, (0, 0, 0, missing)))

    def encode_speech(self, symbols: Tensor, dtype: torch.dtype) -> Tensor:
        """Speech features (batch, max(S, 10), audio width) of symbols (batch, S), all texts of one length."""
        return self.text_proj(self.text_embedding(symbols, dtype))

    def forward(
        self,
        x: Sequence[Tensor],
        timestep: Tensor,
        caption: Tensor,
        speech: Tensor,
        reference_image: Tensor,
        reference_audio: Tensor | None = None,
        kept_video: Sequence[bool] | None = None,
        kept_audio: Sequence[bool] | None = None,
        switches: Switches = Switches(),  # noqa: B008 - frozen
        speech_mask: Tensor | None = None,
        caption_mask: Tensor | None = None,
        plans: Plans | None = None,
        options: dict[str, Any] | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008 - without state
    ) -> list[Tensor]:
        """Velocities (noise - data) of both streams, in float32.

        Args:
            x: video latent (batch, 48, T, h, w) and normalised log-mel (batch, 1, L, 80), kept parts clean.
            timestep: (batch,) in [0, 1000], of the parts that are not kept.
            caption: features (batch, rows, video width) from `encode_caption`.
            speech: features (batch, S, audio width) from `encode_speech`.
            reference_image: latent (batch or 1, 48, 1, h, w).
            reference_audio: normalised log-mel (batch or 1, R, 80).
            kept_video: for each of the T frames, whether it is kept; None keeps none.
            kept_audio: for each of the L tokens, whether it is kept; None keeps none.
            switches: the interaction's directions and the block left out.
            speech_mask: added to the scores of the speech (batch, 1, S), for a batch of texts of unequal lengths.
            caption_mask: added to the scores of the caption (batch or 1, 1, rows).
            plans: the run's plans; None makes one for this call.
            options: handed to the host's attention; `patches` and `patches_replace` as in ComfyUI.
            hooks: what the host does in the blocks.

        Returns:
            Video (batch, 48, T, h, w) and audio (batch, 1, L, 80).
        """
        video_latent, mel = x[0], x[1].squeeze(1)
        batch, _, frames, height, width = video_latent.shape
        video, grid = self._embed_video(video_latent, reference_image)
        audio, reference_tokens = self._embed_audio(mel, reference_audio)
        shape = ClipShape(
            latent_frames=frames,
            rows=grid[0],
            columns=grid[1],
            audio_tokens=mel.shape[1],
            reference_tokens=reference_tokens,
            symbols=speech.shape[1],
            kept_video=tuple(kept_video or (False,) * frames),
            kept_audio=tuple(kept_audio or (False,) * mel.shape[1]),
            device=video_latent.device,
        )
        video_time, video_projected = self._embed_time(timestep, self.time_embedding, self.time_projection)
        audio_time, audio_projected = self._embed_time(timestep, self.time_embedding_audio, self.time_projection_audio)
        streams = _Streams(
            plan=(Plans() if plans is None else plans)(shape),
            video_time=video_time,
            video_time_projected=video_projected,
            audio_time=audio_time,
            audio_time_projected=audio_projected,
            caption=caption,
            speech=speech,
            speech_mask=speech_mask,
            caption_mask=caption_mask,
            switches=switches,
            options=options or {},
            hooks=hooks,
            frames=frames,
            reference_tokens=reference_tokens,
        )
        for index in range(self.sizes.blocks):
            if index != switches.skip_block:
                hooks.before_block(index)
                video, audio = self._block(index, video, audio, streams)
                video = hooks.after_block(index, video, video_time)

        video = self.head(video, video_time, streams.plan.video_runs).unflatten(1, (frames + 1, -1))[:, 1:]
        audio = self.head_audio(audio, audio_time, streams.plan.audio_runs)[:, reference_tokens:]
        return [self._unpatchify(video, grid)[..., :height, :width], audio.unsqueeze(1)]

    def audio_velocity(
        self,
        mel: Tensor,
        timestep: Tensor,
        speech: Tensor,
        speech_mask: Tensor | None = None,
        reference_audio: Tensor | None = None,
        options: dict[str, Any] | None = None,
    ) -> Tensor:
        """Velocity (batch, 1, L, 80) of the audio branch alone, as with both directions off and nothing kept.

        Args:
            mel: normalised log-mel (batch, 1, L, 80).
            timestep, speech, speech_mask, reference_audio: as in `forward`.
            options: handed to the host's attention.
        """
        audio, reference_tokens = self._embed_audio(mel.squeeze(1), reference_audio)
        time, projected = self._embed_time(timestep, self.time_embedding_audio, self.time_projection_audio)
        tokens, symbols = audio.shape[1], speech.shape[1]
        table = audio_table(max(tokens, symbols), audio.device)
        tables = (table[:, :tokens], table[:, :symbols])
        runs = ((tokens, NOISY),)
        for block in self.audio_blocks:
            audio = block(audio, projected, runs, tables[0], speech, tables, options or {}, speech_mask)
        return self.head_audio(audio, time, runs)[:, reference_tokens:].unsqueeze(1)

    def _embed_video(self, latent: Tensor, reference: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens (batch, (T + 1) · N, width), the reference frame first, and the rows and columns of a frame."""
        reference = reference.expand(latent.shape[0], -1, -1, -1, -1)
        latent = torch.cat((reference, latent), dim=2)
        bottom, right = (-size % step for size, step in zip(latent.shape[3:], self.sizes.patch[1:], strict=True))
        if bottom or right:
            latent = functional.pad(latent, (0, right, 0, bottom, 0, 0), mode="replicate")
        tokens = self.patch_embedding(latent)
        # Sums keep the layout of what they add to: without a copy here, all blocks would work on transposed tokens.
        return tokens.flatten(2).transpose(1, 2).contiguous(), (tokens.shape[3], tokens.shape[4])

    def _embed_audio(self, mel: Tensor, reference: Tensor | None) -> tuple[Tensor, int]:
        """Tokens (batch, R + L, width), the reference audio first, and R."""
        if reference is None:
            return self.audio_embedding(mel), 0
        reference = reference.expand(mel.shape[0], -1, -1)
        return self.audio_embedding(torch.cat((reference, mel), dim=1)), reference.shape[1]

    def _embed_time(self, timestep: Tensor, embedding: nn.Module, projection: nn.Module) -> tuple[Tensor, Tensor]:
        """Embeddings (batch, 2, width) of timestep 0 and the step's, and their projections (batch, 2, 6, width)."""
        rows = torch.stack((torch.zeros_like(timestep), timestep), dim=1)
        time = embedding(self.operations.sinusoid(rows))
        return time, projection(time).unflatten(-1, (6, -1))

    def _block(self, index: int, video: Tensor, audio: Tensor, streams: _Streams) -> tuple[Tensor, Tensor]:
        """Block `index` of both branches and the interaction after it; a host may replace it as ComfyUI's do."""
        replace = streams.options.get("patches_replace", {}).get("dit", {}).get(("double_block", index))
        if replace is None:
            return self._joint_block(index, video, audio, streams)

        def original_block(args: dict[str, Any]) -> dict[str, Any]:
            img, txt = self._joint_block(index, args["img"], args["txt"], streams)
            return {"img": img, "txt": txt}

        args = {"img": video, "txt": audio, "transformer_options": streams.options}
        args |= {"vec": streams.video_time_projected[:, 1:], "pe": streams.plan.video_table}
        out = replace(args, {"original_block": original_block})
        return out["img"], out.get("txt", audio)

    def _joint_block(self, index: int, video: Tensor, audio: Tensor, streams: _Streams) -> tuple[Tensor, Tensor]:
        plan = streams.plan
        tables: tuple[Tensor | None, Tensor | None] = (None, None)
        video = self.blocks[index](
            video, streams.video_time_projected, plan.video_runs, plan.video_table,
            streams.caption, tables, streams.options, streams.caption_mask, streams.hooks.inside(index, Branch.VIDEO),
        )  # fmt: skip
        audio = self.audio_blocks[index](
            audio, streams.audio_time_projected, plan.audio_runs, streams.audio_text_tables[0],
            streams.speech, streams.audio_text_tables, streams.options, streams.speech_mask,
            streams.hooks.inside(index, Branch.AUDIO),
        )  # fmt: skip
        if index % 2:
            return video, audio
        return self._interact(index // 2, video, audio, streams)

    def _interact(self, layer: int, video: Tensor, audio: Tensor, streams: _Streams) -> tuple[Tensor, Tensor]:
        """Both directions, from the blocks' outputs; only generated frames and tokens take updates."""
        plan, switches, options = streams.plan, streams.switches, streams.options
        to_video = switches.audio_to_video and len(plan.generated_frames) > 0
        to_audio = switches.video_to_audio and len(plan.generated_tokens) > 0
        patches = options.get("patches", {}).get(FACE_MASK_PATCH, [])
        if not (to_video or to_audio or patches):
            return video, audio

        frames = video.unflatten(1, (streams.frames + 1, -1))[:, 1:]
        audio_to_video = cast(AudioToVideo, self.a2v_blocks[layer])
        mask = audio_to_video.mask_head(frames, streams.video_time, plan.frame_rows)
        for patch in patches:
            mask = patch(mask, layer, options)

        new_video, new_audio = video, audio
        if to_video:
            generated, generated_mask = (x.index_select(1, plan.generated_frames) for x in (frames, mask))
            heard = audio[:, streams.reference_tokens :]
            update = audio_to_video(generated, heard, generated_mask, plan, options)
            places = plan.generated_frames + 1
            new_video = video.unflatten(1, (streams.frames + 1, -1)).index_add(1, places, update).flatten(1, 2)
        if to_audio:
            places = plan.generated_tokens + streams.reference_tokens
            generated = audio.index_select(1, places)
            update = self.v2a_blocks[layer](generated, frames, mask, plan, options)
            new_audio = audio.index_add(1, places, update)
        return new_video, new_audio

    def _unpatchify(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Latent (batch, channels, T, h, w) of patches (batch, T, N, row · column · channel)."""
        patches = patches.unflatten(3, (*self.sizes.patch[1:], -1)).unflatten(2, grid)
        return patches.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)
