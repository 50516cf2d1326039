"""Sizes of UniVerse-1, and the lengths of its clips.

A clip of T latent frames has F = 4(T - 1) + 1 pixel frames at 25 a second and exactly T columns of audio, one for each
latent frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ..config import HEAD_WIDTH, TEMPORAL_COMPRESSION, pixel_frames

UNIVERSE_FRAME_RATE = 25
"""Pixel frames a second."""
UNIVERSE_CHANNELS = 16
"""Channels of a video latent, as the Wan 2.1 VAE makes it."""
UNIVERSE_COMPRESSION = 8
"""Pixels of a latent's row or column."""
AUDIO_CHANNELS, AUDIO_ROWS = 8, 16
"""Of an audio latent (batch, 8, 16, T), as ACE-Step's codec makes it."""
CODEC_RATE = 25_600
"""Sound samples a second at which the codec is run; it was made for 44 100."""
COLUMN_SAMPLES = 4096
"""Sound samples of an audio column."""
CODEC_OFFSET = (TEMPORAL_COMPRESSION - 1) * CODEC_RATE // UNIVERSE_FRAME_RATE
"""Sound samples of three pixel frames: what the first column holds before the first frame, which stands alone."""
SPEECH_TOKENS = 128
"""Speech tokens that the model reads; later ones are cut."""
SOUND_TOKENS = 256
"""Tokens of the sound's text that the model reads, with the one that ends it."""
TRAINED_FRAMES = 32
"""Latent frames of the released model's clips: 125 pixel frames, 5 s."""
MOST_FRAMES = 64
"""Latent frames that a clip may have: 253 pixel frames, 10.12 s."""


def universe_seconds(latent_frames: int) -> float:
    """Length in seconds of T latent frames."""
    return pixel_frames(latent_frames) / UNIVERSE_FRAME_RATE


@dataclass(frozen=True)
class StitchedSizes:
    """Sizes of a stitched model. Both branches have the same number of blocks and the same head width."""

    blocks: int
    video_width: int
    video_ffn_width: int
    audio_width: int
    audio_ffn_width: int
    text_width: int
    sound_text_width: int
    vocabulary_rows: int
    lyric_width: int
    lyric_heads: int
    lyric_ffn_width: int
    lyric_layers: int
    patch_width: int
    """Channels between both convolutions that embed an audio column."""
    latent_channels: int = UNIVERSE_CHANNELS
    patch: tuple[int, int, int] = (1, 2, 2)
    head_width: int = HEAD_WIDTH

    @property
    def video_heads(self) -> int:
        return self.video_width // self.head_width

    @property
    def audio_heads(self) -> int:
        return self.audio_width // self.head_width

    @classmethod
    def of_tensors(cls, state: Mapping[str, Tensor], head_width: int = HEAD_WIDTH) -> StitchedSizes:
        """Read the sizes off a checkpoint's tensors (only shapes, so meta tensors do).

        Args:
            state: tensors under the names of the model's parameters.

        Raises:
            KeyError: a tensor that the sizes are read off is missing; the message is its name.
        """

        def rows(name: str) -> int:
            return state[name].shape[0]

        def count(prefix: str) -> int:
            return len({name.split(".")[prefix.count(".")] for name in state if name.startswith(prefix)})

        down, across = state["patch_embedding.weight"].shape[-2:]
        return cls(
            blocks=count("blocks."),
            video_width=rows("blocks.0.self_attn.norm_q.weight"),
            video_ffn_width=rows("blocks.0.ffn.0.weight"),
            audio_width=rows("genre_embedder.weight"),
            audio_ffn_width=rows("blocks.0.mel_ff.depth_conv.conv.weight") // 2,
            text_width=state["text_embedding.0.weight"].shape[1],
            sound_text_width=state["genre_embedder.weight"].shape[1],
            vocabulary_rows=rows("lyric_embs.weight"),
            lyric_width=rows("lyric_encoder.after_norm.weight"),
            lyric_heads=rows("lyric_encoder.encoders.0.self_attn.pos_bias_u"),
            lyric_ffn_width=rows("lyric_encoder.encoders.0.feed_forward.w_1.weight"),
            lyric_layers=count("lyric_encoder.encoders."),
            patch_width=rows("proj_in.early_conv_layers.0.weight"),
            latent_channels=rows("head.head.weight") // (down * across),
            patch=(1, down, across),
            head_width=head_width,
        )


RELEASED_UNIVERSE = StitchedSizes(
    blocks=30,
    video_width=1536,
    video_ffn_width=8960,
    audio_width=2560,
    audio_ffn_width=6400,
    text_width=4096,
    sound_text_width=768,
    vocabulary_rows=6693,
    lyric_width=1024,
    lyric_heads=16,
    lyric_ffn_width=4096,
    lyric_layers=6,
    patch_width=2048,
)
"""The released model's."""
