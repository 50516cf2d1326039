"""The joint model: two diffusion transformers side by side, with an interaction after every other block."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from ..config import CAPTION_ROWS, TIMESTEP_CHANNELS, ModelSizes
from ..tasks import KeptParts, Switches, kept_prefix
from .aligners import AudioToVideoAligner, VideoToAudioAligner, has_face_patches, interact
from .blocks import Block, Branch, BranchInputs, Head, Hooks, TextRuns
from .plan import ClipShape, Plan, Plans
from .speech_encoder import SpeechEncoder


def embedder(input_width: int, width: int, activation: nn.Module, linear: Any, **factory_kwargs: Any) -> nn.Sequential:
    """Two linear layers with an activation between them, as Wan's models embed texts and times."""
    return nn.Sequential(
        linear(input_width, width, **factory_kwargs), activation, linear(width, width, **factory_kwargs)
    )


def embed_patches(
    latent: Tensor, patch_embedding: nn.Module, patch: tuple[int, int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """Tokens (batch, T · N, width) of a latent (batch, channels, T, h, w), and the rows and columns of a frame."""
    bottom, right = (-size % step for size, step in zip(latent.shape[3:], patch[1:], strict=True))
    if bottom or right:
        latent = functional.pad(latent, (0, right, 0, bottom, 0, 0), mode="replicate")
    patches = patch_embedding(latent)
    # Sums keep the layout of what they add to: without a copy here, all blocks would work on transposed tokens.
    tokens = rearrange(patches, "b c t rows columns -> b (t rows columns) c").contiguous()
    return tokens, (patches.shape[3], patches.shape[4])


def unpatchify(patches: Tensor, grid: tuple[int, int], patch: tuple[int, int, int]) -> Tensor:
    """Latent (batch, channels, T, h, w) of patches (batch, T · N, row · column · channel)."""
    _, down, across = patch
    return rearrange(
        patches, "b (t rows columns) (down across c) -> b c t (rows down) (columns across)",
        rows=grid[0], columns=grid[1], down=down, across=across,
    )  # fmt: skip


class JointDiT(nn.Module):
    """UniAVGen's joint diffusion transformer. Parameter names are the released checkpoint's."""

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        video, audio = sizes.video_width, sizes.audio_width
        gelu = nn.GELU(approximate="tanh")
        linear, float32_linear = operations.Linear, operations.Float32Linear
        self.sizes = sizes
        self.dtype = dtype
        self.operations = operations

        self.patch_embedding = operations.Conv3d(
            sizes.latent_channels, video, kernel_size=sizes.patch, stride=sizes.patch, **factory_kwargs
        )
        self.audio_embedding = embedder(sizes.mel_bands, audio, gelu, linear, **factory_kwargs)
        self.audio_padding = nn.Parameter(torch.empty(audio, **factory_kwargs))
        self.text_embedding_video = embedder(sizes.text_width, video, gelu, linear, **factory_kwargs)
        self.text_embedding = SpeechEncoder(sizes, operations, **factory_kwargs)
        self.text_proj = linear(sizes.speech_width, audio, bias=False, **factory_kwargs)

        self.time_embedding = embedder(TIMESTEP_CHANNELS, video, nn.SiLU(), float32_linear, **factory_kwargs)
        self.time_projection = nn.Sequential(nn.SiLU(), float32_linear(video, 6 * video, **factory_kwargs))
        self.time_embedding_audio = embedder(TIMESTEP_CHANNELS, audio, nn.SiLU(), float32_linear, **factory_kwargs)
        self.time_projection_audio = nn.Sequential(nn.SiLU(), float32_linear(audio, 6 * audio, **factory_kwargs))

        self.blocks = nn.ModuleList(
            Block(video, sizes.video_ffn_width, operations, **factory_kwargs) for _ in range(sizes.blocks)
        )
        self.audio_blocks = nn.ModuleList(
            Block(audio, sizes.audio_ffn_width, operations, **factory_kwargs) for _ in range(sizes.blocks)
        )
        self.a2v_blocks = nn.ModuleList(
            AudioToVideoAligner(sizes, operations, **factory_kwargs) for _ in range(sizes.interactions)
        )
        self.v2a_blocks = nn.ModuleList(
            VideoToAudioAligner(sizes, operations, **factory_kwargs) for _ in range(sizes.interactions)
        )
        patch_values = sizes.latent_channels * sizes.patch[1] * sizes.patch[2]
        self.head = Head(video, patch_values, operations, **factory_kwargs)
        self.head_audio = Head(audio, sizes.mel_bands, operations, **factory_kwargs)

    def encode_caption(self, rows: Tensor) -> Tensor:
        """Caption features (batch, rows, video width) of text encoder rows (batch, rows, text width).

        Fewer than 512 rows are padded with zero vectors first, and the padding takes part in attention.
        """
        missing = max(0, CAPTION_ROWS - rows.shape[1])
        return self.text_embedding_video(functional.pad(rows, (0, 0, 0, missing)))

    def encode_speech(self, symbols: Tensor, dtype: torch.dtype) -> Tensor:
        """Speech features (batch, max(S, 10), audio width) of symbols (batch, S), all texts of one length."""
        return self.text_proj(self.text_embedding(symbols, dtype))

    def forward(
        self,
        x: Sequence[Tensor],
        timestep: Tensor,
        caption_features: Tensor,
        speech_features: Tensor,
        *,
        reference_image: Tensor,
        reference_audio: Tensor | None = None,
        kept: KeptParts | None = None,
        switches: Switches = Switches(),  # noqa: B008 - frozen
        speech_mask: Tensor | None = None,
        caption_mask: Tensor | None = None,
        caption_frames: Sequence[int] | None = None,
        plans: Plans | None = None,
        options: dict[str, Any] | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008 - without state
    ) -> list[Tensor]:
        """Velocities (noise - data) of both streams, in float32.

            caption_features = model.encode_caption(text_encoder_rows)
            speech_features = model.encode_speech(symbols, dtype)
            video, audio = model(
                [noisy_video, noisy_mel], timestep, caption_features, speech_features, reference_image=portrait
            )

        Args:
            x: video latent (batch, 48, T, h, w) and normalised log-mel (batch, 1, L, 80), kept parts clean.
            timestep: (batch,) in [0, 1000], of the parts that are not kept.
            caption_features: (batch, rows, video width) from `encode_caption`.
            speech_features: (batch, S, audio width) from `encode_speech`.
            reference_image: latent (batch or 1, 48, 1, h, w).
            reference_audio: normalised log-mel (batch or 1, R, 80).
            kept: the latent frames, or video tokens, and the audio tokens that are kept; None keeps none.
            switches: the interaction's directions and the block left out.
            speech_mask: added to the scores of the speech (batch, 1, S), for a batch of texts of unequal lengths.
            caption_mask: added to the scores of the caption (batch or 1, 1, rows).
            caption_frames: the index of each latent frame's caption (T), where `caption_features` are of several
                (batch, captions, rows, video width); the reference frame has the first frame's.
            plans: the run's plans; None makes one for this call.
            options: handed to the host's attention; `patches` and `patches_replace` as in ComfyUI.
            hooks: what the host does in the blocks.

        Returns:
            Video (batch, 48, T, h, w) and audio (batch, 1, L, 80); zeros where a stream is kept entirely.
        """
        latent, mel = x[0], rearrange(x[1], "b 1 l bands -> b l bands")
        frames, height, width = latent.shape[2:]
        options = options or {}
        video, grid = self._embed_video(latent, reference_image)  # (b, (t + 1) n, c), and rows and columns of n
        audio, reference_tokens = self._embed_audio(mel, reference_audio)  # (b, r + l, c), and r
        shape = ClipShape(
            latent_frames=frames,
            rows=grid[0],
            columns=grid[1],
            audio_tokens=mel.shape[1],
            reference_tokens=reference_tokens,
            symbols=speech_features.shape[1],
            kept=kept or kept_prefix(frames, mel.shape[1]),
            device=latent.device,
        )
        plan = (Plans() if plans is None else plans)(shape)
        video_blocks, audio_blocks = self._blocks_to_run(plan, switches, options)
        video_time, video_projected = self._embed_time(timestep, self.time_embedding, self.time_projection)
        audio_time, audio_projected = self._embed_time(timestep, self.time_embedding_audio, self.time_projection_audio)
        of_video = BranchInputs(
            video_projected, plan.video_times, plan.video_table, caption_features, caption_mask, options,
            text_runs=_caption_runs(caption_frames, grid[0] * grid[1]),
        )  # fmt: skip
        of_audio = BranchInputs(
            audio_projected, plan.audio_times, plan.audio_table, speech_features, speech_mask, options,
            text_tables=(plan.audio_table, plan.symbol_table),
        )  # fmt: skip

        def both_blocks(index: int, video: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
            if index < video_blocks:
                video = self.blocks[index](video, of_video, hooks.inside(index, Branch.VIDEO))
            if index < audio_blocks:
                audio = self.audio_blocks[index](audio, of_audio, hooks.inside(index, Branch.AUDIO))
            if index % self._interval:
                return video, audio
            return interact(
                video, audio, self._aligners(index // self._interval), plan, layer=index // self._interval,
                time=video_time, switches=switches, options=options,
            )  # fmt: skip

        replacements = options.get("patches_replace", {}).get("dit", {})
        for index in range(self.sizes.blocks):
            if index == switches.skip_block:
                continue
            hooks.before_block(index)
            block: BothBlocks = partial(both_blocks, index)
            if (replace := replacements.get(("double_block", index))) is not None:
                block = replaced_block(replace, block, of_video.time[:, 1:], of_video.table, options)
            video, audio = block(video, audio)
            if index < video_blocks:
                video = hooks.after_block(index, video, video_time)

        of_both = [torch.zeros_like(part, dtype=torch.float32) for part in x]
        if len(plan.generated_frames):
            video = self.head(video, video_time, plan.video_times)[:, grid[0] * grid[1] :]  # (b, t n, a b channels)
            of_both[0] = unpatchify(video, grid, self.sizes.patch)[..., :height, :width]
        if len(plan.generated_tokens):
            audio = self.head_audio(audio, audio_time, plan.audio_times)[:, reference_tokens:]
            of_both[1] = rearrange(audio, "b l bands -> b 1 l bands")
        return of_both

    @property
    def _interval(self) -> int:
        """Blocks from one interaction to the next, the first after block 0."""
        return math.ceil(self.sizes.blocks / len(self.a2v_blocks))

    def _blocks_to_run(self, plan: Plan, switches: Switches, options: dict[str, Any]) -> tuple[int, int]:
        """How many blocks of each branch run, from the first.

        All of them where something of the stream is generated; else those up to the last interaction in which the
        other stream, or who looks at face masks, reads it; none where nothing does.
        """
        last_read = self._interval * (len(self.a2v_blocks) - 1) + 1
        is_seen, is_heard = plan.updates_audio(switches) or has_face_patches(options), plan.updates_video(switches)
        video = self.sizes.blocks if len(plan.generated_frames) else last_read * is_seen
        audio = self.sizes.blocks if len(plan.generated_tokens) else last_read * is_heard
        return video, audio

    def _embed_video(self, latent: Tensor, reference: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens (batch, (T + 1) · N, width), the reference frame first, and the rows and columns of a frame."""
        reference = reference.expand(latent.shape[0], -1, -1, -1, -1)
        latent = torch.cat((reference, latent), dim=2)
        return embed_patches(latent, self.patch_embedding, self.sizes.patch)

    def _embed_audio(self, mel: Tensor, reference: Tensor | None) -> tuple[Tensor, int]:
        """Tokens (batch, R + L, width), the reference audio first, and R."""
        if reference is None:
            return self.audio_embedding(mel), 0
        reference = reference.expand(mel.shape[0], -1, -1)
        return self.audio_embedding(torch.cat((reference, mel), dim=1)), reference.shape[1]

    def _embed_time(self, timestep: Tensor, embedding: nn.Module, projection: nn.Module) -> tuple[Tensor, Tensor]:
        """Embeddings (batch, 2, width) of timestep 0 and the step's, and their projections (batch, 2, 6, width)."""
        time = embedding(self.operations.sinusoid(torch.stack((torch.zeros_like(timestep), timestep), dim=1)))
        return time, rearrange(projection(time), "b two (six c) -> b two six c", six=6)

    def _aligners(self, layer: int) -> tuple[AudioToVideoAligner, VideoToAudioAligner]:
        to_video, to_audio = self.a2v_blocks[layer], self.v2a_blocks[layer]
        return cast(AudioToVideoAligner, to_video), cast(VideoToAudioAligner, to_audio)


BothBlocks = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _caption_runs(frames: Sequence[int] | None, tokens: int) -> TextRuns:
    """Neighbouring video tokens of one caption, the reference frame's before the others, of so many tokens a frame."""
    if frames is None:
        return ()
    return tuple((tokens * len(list(run)), index) for index, run in groupby((frames[0], *frames)))


def replaced_block(
    replace: Callable[..., dict[str, Any]], block: BothBlocks, time: Tensor, table: Tensor, options: dict[str, Any]
) -> BothBlocks:
    """What a host puts in place of a block of both branches and the interaction after it, as ComfyUI's hosts do.

    Args:
        replace: called with the tokens, the video branch's time embedding and rotary table, and the options.
        block: what it may call.
    """

    def original_block(args: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(("img", "txt"), block(args["img"], args["txt"]), strict=True))

    def replaced(video: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        args = {"img": video, "txt": audio, "vec": time, "pe": table, "transformer_options": options}
        out = replace(args, {"original_block": original_block})
        return out["img"], out.get("txt", audio)

    return replaced
