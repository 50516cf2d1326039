"""A stitched block: a block of Wan for the video, one of ACE-Step for the audio, and the connectors between them.

Audio column f and latent frame f belong together: each hears the other, and all others, by its own projections. Both
streams are summed up in float32; what a layer multiplies is in the model's data type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn
from torch.nn import functional

from ..model.blocks import Attention, BlockHooks
from .stitched_sizes import StitchedSizes
from .stitched_tables import StitchedTables, Tables, ace_rotate

LEAST_SUM = 1e-15
"""Added to the sum of weights of linear attention."""


@dataclass(frozen=True)
class StitchedInputs:
    """What all blocks are given in a forward pass, beside the tokens."""

    video_time: Tensor
    """Projected time embedding (batch, 6, video width), float32."""
    audio_time: Tensor
    """Projected time embedding (batch, 6, audio width), float32."""
    caption: Tensor
    """Caption features (batch, rows, video width)."""
    sound: Tensor
    """Features (batch, rows, audio width) of the sound's text and the speech."""
    sound_mask: Tensor | None
    """Added to the scores of the audio's cross-attention (batch, 1, rows + T)."""
    linked: Tensor
    """(batch, 1, 1): 1 where video and audio hear each other by cross-attention, 0 in a null row."""
    tables: StitchedTables
    frames: int
    options: dict[str, Any]
    """The host's, for its attention."""


def shift_and_scale(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x · (1 + scale) + shift, for x (batch, tokens, width) and rows (batch, width)."""
    return torch.addcmul(rearrange(shift, "b c -> b 1 c"), x, 1 + rearrange(scale, "b c -> b 1 c"))


def add_gated(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """x + gate · update, for x and update (batch, tokens, width) and rows (batch, width)."""
    return torch.addcmul(x, rearrange(gate, "b c -> b 1 c"), update)


class HearingAttention(Attention):
    """Wan's self-attention, whose tokens also take the value of their own frame's sound."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        width = sizes.video_width
        super().__init__(width, operations, device, dtype)
        self.heads = sizes.video_heads
        self.add_v_proj = operations.Linear(width, width, device=device, dtype=dtype)

    def forward(  # type: ignore[override]  # It is called by the stitched block only.
        self, x: Tensor, heard: Tensor, inputs: StitchedInputs, hook: Callable[..., Tensor] | None
    ) -> Tensor:
        """o(attention(x) + the value of what is heard), for x (batch, T · N, width) and heard (batch, T, width)."""
        table = inputs.tables.video
        q, k = (self._rotate(rows, table) for rows in (self.norm_q(self.q(x)), self.norm_k(self.k(x))))
        attend: Callable[..., Tensor] = partial(self.operations.attention, heads=self.heads, options=inputs.options)
        attended = attend(q, k, self.v(x)) if hook is None else hook(attend, q, k, self.v(x))
        values = repeat(self.add_v_proj(heard), "b t c -> b (t n) c", n=x.shape[1] // heard.shape[1])
        return self.o(attended + values)


class CaptionAndSoundAttention(Attention):
    """Wan's cross-attention, to the caption and to the audio columns, with one softmax over all.

    Queries and the columns' keys are turned by their frame, the caption's keys are not.
    """

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        factory_kwargs = {"device": device, "dtype": dtype}
        width = sizes.video_width
        super().__init__(width, operations, **factory_kwargs)
        self.heads = sizes.video_heads
        self.add_k_proj = operations.Linear(width, width, **factory_kwargs)
        self.add_v_proj = operations.Linear(width, width, **factory_kwargs)
        self.norm_added_k = operations.RMSNorm(width, eps=1e-6, **factory_kwargs)

    def forward(  # type: ignore[override]  # It is called by the stitched block only.
        self, x: Tensor, heard: Tensor, inputs: StitchedInputs, hook: Callable[..., Tensor] | None
    ) -> Tensor:
        """Attention of x (batch, T · N, width) to the caption and to what is heard (batch, T, width)."""
        q = self._rotate(self.norm_q(self.q(x)), inputs.tables.token_frames)
        heard_keys = self._rotate(self.norm_added_k(self.add_k_proj(heard)), inputs.tables.frames)
        k = torch.cat((self.norm_k(self.k(inputs.caption)), heard_keys), dim=1)
        v = torch.cat((self.v(inputs.caption), self.add_v_proj(heard)), dim=1)
        attend: Callable[..., Tensor] = partial(self.operations.attention, heads=self.heads, options=inputs.options)
        return self.o(attend(q, k, v) if hook is None else hook(attend, q, k, v))


class AudioAttention(nn.Module):
    """Projections of ACE-Step's attention; queries and keys have no norm."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        width, self.heads = sizes.audio_width, sizes.audio_heads
        self.operations = operations
        self.to_q = operations.Linear(width, width, **factory_kwargs)
        self.to_k = operations.Linear(width, width, **factory_kwargs)
        self.to_v = operations.Linear(width, width, **factory_kwargs)
        self.to_out = nn.Sequential(operations.Linear(width, width, **factory_kwargs))

    def _rotate(self, x: Tensor, tables: Tables) -> Tensor:
        return ace_rotate(rearrange(x, "b n (heads d) -> b n heads d", heads=self.heads), tables)


class LinearAttention(AudioAttention):
    """Self-attention without softmax, in float32: weights are products of what ReLU leaves of queries and keys."""

    def forward(self, x: Tensor, tables: Tables) -> Tensor:
        q, k = (self._rotate(linear(x), tables).relu() for linear in (self.to_q, self.to_k))
        v = rearrange(self.to_v(x).float(), "b n (heads d) -> b heads n d", heads=self.heads)
        weights = torch.einsum("b i h d, b j h d -> b h i j", q, k)
        attended = weights @ v / (weights.sum(dim=-1, keepdim=True) + LEAST_SUM)
        return self.to_out(rearrange(attended, "b heads n d -> b n (heads d)").to(x.dtype))


class SoundAndVideoAttention(AudioAttention):
    """ACE-Step's cross-attention, to the sound's text, the speech and the latent frames, with one softmax over all."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        factory_kwargs = {"device": device, "dtype": dtype}
        super().__init__(sizes, operations, **factory_kwargs)
        width = sizes.audio_width
        self.add_k_proj = operations.Linear(width, width, **factory_kwargs)
        self.add_v_proj = operations.Linear(width, width, **factory_kwargs)

    def forward(self, x: Tensor, seen: Tensor, inputs: StitchedInputs) -> Tensor:
        """Attention of x (batch, T, width) to the sound's features and to what is seen (batch, T, width)."""
        k = torch.cat((self.to_k(inputs.sound), self.add_k_proj(seen)), dim=1)
        v = torch.cat((self.to_v(inputs.sound), self.add_v_proj(seen)), dim=1)
        q, k = self._turned(self.to_q(x), inputs.tables.audio), self._turned(k, inputs.tables.sound)
        attended = self.operations.attention(q, k, v, self.heads, mask=inputs.sound_mask, options=inputs.options)
        return self.to_out(attended)

    def _turned(self, x: Tensor, tables: Tables) -> Tensor:
        return rearrange(self._rotate(x, tables), "b n heads d -> b n (heads d)").to(x.dtype)


class NamedConvolution(nn.Module):
    """A convolution over time under the name `conv`."""

    def __init__(self, channels: tuple[int, int], operations: Any, **settings: Any):
        super().__init__()
        self.conv = operations.Conv1d(*channels, **settings)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class GatedConvolutions(nn.Module):
    """ACE-Step's feed-forward net: a gated linear unit that mixes each column with its neighbours."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        width, hidden = sizes.audio_width, sizes.audio_ffn_width
        both = (2 * hidden, 2 * hidden)
        self.inverted_conv = NamedConvolution((width, both[0]), operations, kernel_size=1, **factory_kwargs)
        self.depth_conv = NamedConvolution(both, operations, kernel_size=3, padding=1, groups=both[0], **factory_kwargs)
        self.point_conv = NamedConvolution((hidden, width), operations, kernel_size=1, bias=False, **factory_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Columns (batch, T, width) of columns of the same shape."""
        hidden = functional.silu(self.inverted_conv(rearrange(x, "b t c -> b c t")))
        values, gate = self.depth_conv(hidden).chunk(2, dim=1)
        return rearrange(self.point_conv(values * functional.silu(gate)), "b c t -> b t c")


class StitchedBlock(nn.Module):
    """One block of both branches.

    With m = modulation + video time and n = mel_scale_shift_table + audio time, six rows each:

        audio += n₂ · mel_attn(RMS(audio) · (1 + n₁) + n₀)
        heard  = mel_to_vid(audio)                                      one vector a frame
        video += m₂ · self_attn(LN(video) · (1 + m₁) + m₀, heard likewise)
        seen   = vid_to_mel(mean of norm3(video) over each frame)
        video += cross_attn(norm3(video), caption, norm3(heard))
        audio += mel_cross_attn(audio, sound, seen)
        video += m₅ · ffn(LN(video) · (1 + m₄) + m₃)
        audio += n₅ · mel_ff(RMS(audio) · (1 + n₄) + n₃)

    In a null row the cross-attentions get zeros for what is heard and seen.
    """

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        video, audio, between = sizes.video_width, sizes.audio_width, sizes.video_width + sizes.audio_width
        self.cast = operations.cast
        self.modulation = nn.Parameter(torch.empty(1, 6, video, **factory_kwargs))
        self.norm1 = operations.LayerNorm(video, eps=1e-6, elementwise_affine=False, **factory_kwargs)
        self.self_attn = HearingAttention(sizes, operations, **factory_kwargs)
        self.norm3 = operations.LayerNorm(video, eps=1e-6, **factory_kwargs)
        self.cross_attn = CaptionAndSoundAttention(sizes, operations, **factory_kwargs)
        self.norm2 = operations.LayerNorm(video, eps=1e-6, elementwise_affine=False, **factory_kwargs)
        self.ffn = nn.Sequential(
            operations.Linear(video, sizes.video_ffn_width, **factory_kwargs),
            nn.GELU(approximate="tanh"),
            operations.Linear(sizes.video_ffn_width, video, **factory_kwargs),
        )
        self.mel_scale_shift_table = nn.Parameter(torch.empty(6, audio, **factory_kwargs))
        self.mel_norm = operations.RMSNorm(audio, eps=1e-6, elementwise_affine=False, **factory_kwargs)
        self.mel_attn = LinearAttention(sizes, operations, **factory_kwargs)
        self.mel_cross_attn = SoundAndVideoAttention(sizes, operations, **factory_kwargs)
        self.mel_ff = GatedConvolutions(sizes, operations, **factory_kwargs)
        self.mel_to_vid, self.vid_to_mel = (
            nn.Sequential(
                operations.Linear(ends[0], between, **factory_kwargs),
                nn.SiLU(),
                operations.Linear(between, ends[1], **factory_kwargs),
            )
            for ends in ((audio, video), (video, audio))
        )

    def forward(
        self, video: Tensor, audio: Tensor, inputs: StitchedInputs, hooks: BlockHooks | None = None
    ) -> tuple[Tensor, Tensor]:
        """Tokens of both branches after the block.

        Args:
            video: tokens (batch, T · N, video width), float32.
            audio: tokens (batch, T, audio width), float32.
            hooks: what a host does in the video branch.
        """
        attend, attend_to_text = (hooks.self_attention, hooks.cross_attention) if hooks else (None, None)
        add_text: Callable[..., Tensor] = hooks.add_text if hooks else torch.add
        dtype = inputs.caption.dtype
        m = (self.cast(self.modulation, inputs.video_time) + inputs.video_time).unbind(1)
        n = (self.cast(self.mel_scale_shift_table, inputs.audio_time) + inputs.audio_time).unbind(1)

        y = shift_and_scale(self.mel_norm(audio), n[0], n[1]).to(dtype)
        audio = add_gated(audio, self.mel_attn(y, inputs.tables.audio).float(), n[2])
        heard = self.mel_to_vid(audio.to(dtype)).float()

        y, y_heard = (shift_and_scale(self.norm1(x), m[0], m[1]).to(dtype) for x in (video, heard))
        update = self.self_attn(y, y_heard, inputs, attend)
        video = add_gated(video, update.float(), m[2])

        y, y_heard = self.norm3(video), self.norm3(heard) * inputs.linked
        seen = reduce(y, "b (t n) c -> b t c", "mean", t=inputs.frames)
        update = self.cross_attn(y.to(dtype), y_heard.to(dtype), inputs, attend_to_text)
        video = add_text(video, update.float())
        seen = self.vid_to_mel(seen.to(dtype)) * inputs.linked.to(dtype)
        audio = audio + self.mel_cross_attn(audio.to(dtype), seen, inputs).float()

        y = shift_and_scale(self.norm2(video), m[3], m[4]).to(dtype)
        video = add_gated(video, self.ffn(y).float(), m[5])
        y = shift_and_scale(self.mel_norm(audio), n[3], n[4]).to(dtype)
        return video, add_gated(audio, self.mel_ff(y).float(), n[5])
