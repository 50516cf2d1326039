"""Rates, shapes and sizes: every length of the pack is computed here.

A clip is described by its number of video latent frames T. T latent frames stand for F = 4(T-1)+1
pixel frames at 16 a second, and for L = floor(F / 16 * 100) audio tokens, one a mel frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch

FRAME_RATE = 16
"""Pixel frames a second."""
SAMPLE_RATE = 24_000
"""Sound samples a second."""
HOP_LENGTH = 240
"""Sound samples a mel frame."""
MEL_BANDS = 80
AUDIO_TOKENS_PER_SECOND = SAMPLE_RATE // HOP_LENGTH
SAMPLES_A_FRAME = SAMPLE_RATE // FRAME_RATE
"""Sound samples of a pixel frame."""
LATENT_CHANNELS = 48
TEMPORAL_COMPRESSION = 4
LATENT_SECONDS = TEMPORAL_COMPRESSION / FRAME_RATE
"""Seconds of each latent frame but a clip's first."""
SPATIAL_COMPRESSION = 16
SIZE_MULTIPLE = 32
"""Width and height in pixels are multiples of this: the codec's 16 times the patch's 2."""
SHORT_SIDE = 736
"""Short side in pixels that the released model was trained at."""
TRAINED_LATENT_FRAMES = 21
"""Latent frames of the released model's clips: 81 pixel frames, 5.0625 s."""
MAX_PAST_FRAMES = TRAINED_LATENT_FRAMES - 1
"""Latent frames that a clip may keep of the one before it: one at least of a trained clip is generated."""
MAX_LATENT_FRAMES = 81
"""Latent frames that one segment may have: 321 pixel frames, 20.0625 s."""

SEEDS = 2**64
"""Seeds that torch's generators take: 0 to one less."""

HEAD_WIDTH = 128
CAPTION_ROWS = 512
"""The caption is padded with zero vectors to this many rows."""
TIMESTEP_CHANNELS = 256
"""Width of the sinusoidal embedding of a timestep."""


def pixel_frames(latent_frames: int) -> int:
    """Pixel frames F of T latent frames: the first latent frame stands for one, the others for four."""
    return TEMPORAL_COMPRESSION * (latent_frames - 1) + 1


def latent_frames(pixel_frames: int) -> int:
    """Fewest latent frames that cover this many pixel frames."""
    return math.ceil((pixel_frames - 1) / TEMPORAL_COMPRESSION) + 1


def whole_latent_frames(pixel_frames: int) -> int:
    """Most latent frames that this many pixel frames fill."""
    return (pixel_frames - 1) // TEMPORAL_COMPRESSION + 1


def audio_tokens(pixel_frames: int) -> int:
    """Audio tokens L that sound as long as F pixel frames."""
    return pixel_frames * AUDIO_TOKENS_PER_SECOND // FRAME_RATE


def latent_frames_for_seconds(seconds: float) -> int:
    """Fewest latent frames that last at least this many seconds."""
    return latent_frames(max(1, math.ceil(round(seconds * FRAME_RATE, 6))))


def clip_seconds(latent_frames: int) -> float:
    """Length in seconds of T latent frames."""
    return pixel_frames(latent_frames) / FRAME_RATE


def is_still(latent_frames: int, tokens: int) -> bool:
    """Whether the picture of a clip is a still: one latent frame for more audio tokens than sound along with it."""
    return latent_frames == 1 and tokens > audio_tokens(pixel_frames(1))


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of a joint model. Both branches have the same number of blocks and a head width of 128."""

    blocks: int
    video_width: int
    video_ffn_width: int
    audio_width: int
    audio_ffn_width: int
    text_width: int
    vocabulary_rows: int = 2546
    speech_width: int = 512
    speech_ffn_width: int = 1024
    speech_blocks: int = 4
    latent_channels: int = LATENT_CHANNELS
    mel_bands: int = MEL_BANDS
    patch: tuple[int, int, int] = (1, 2, 2)

    @property
    def video_heads(self) -> int:
        return self.video_width // HEAD_WIDTH

    @property
    def audio_heads(self) -> int:
        return self.audio_width // HEAD_WIDTH

    @property
    def interactions(self) -> int:
        """An interaction follows each even block."""
        return (self.blocks + 1) // 2

    @classmethod
    def from_state_dict(cls, state: Mapping[str, torch.Tensor]) -> ModelSizes:
        """Read the sizes off a checkpoint's tensors (only shapes and dtypes, so meta tensors do).

        Linear weights are asked for their first dimension only, because 4-bit files pack the second. The caption's
        width stands nowhere else: there, a packed weight is known by its dtype.

        Raises:
            KeyError: a tensor that the sizes are read off is missing; the message is its name.
        """

        def rows(name: str) -> int:
            return state[name].shape[0]

        def count(prefix: str) -> int:
            return len({name.split(".")[prefix.count(".")] for name in state if name.startswith(prefix)})

        patch = cast("tuple[int, int, int]", tuple(state["patch_embedding.weight"].shape[2:]))
        caption = state["text_embedding_video.0.weight"]
        values_a_byte = 2 if caption.dtype == torch.uint8 else 1
        return cls(
            blocks=count("blocks."),
            video_width=rows("blocks.0.self_attn.norm_q.weight"),
            video_ffn_width=rows("blocks.0.ffn.0.weight"),
            audio_width=rows("audio_blocks.0.self_attn.norm_q.weight"),
            audio_ffn_width=rows("audio_blocks.0.ffn.0.weight"),
            text_width=caption.shape[1] * values_a_byte,
            vocabulary_rows=rows("text_embedding.text_embed.weight"),
            speech_width=rows("text_embedding.text_blocks.0.norm.weight"),
            speech_ffn_width=rows("text_embedding.text_blocks.0.pwconv1.weight"),
            speech_blocks=count("text_embedding.text_blocks."),
            latent_channels=rows("head.head.weight") // math.prod(patch),
            mel_bands=rows("head_audio.head.weight"),
            patch=patch,
        )


RELEASED_SIZES = ModelSizes(
    blocks=30, video_width=3072, video_ffn_width=14336, audio_width=1536, audio_ffn_width=8960, text_width=4096
)
"""The released model's."""
MEMORY_WIDTH = 2222
"""A host that reserves memory for Wan models does so in proportion to their width over this."""
