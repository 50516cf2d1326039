"""How much arithmetic a forward pass needs, from its shapes alone: each row that is needed, once."""

from __future__ import annotations

from dataclasses import dataclass

from uniavgen_core.config import CAPTION_ROWS, TIMESTEP_CHANNELS, ModelSizes, audio_tokens, pixel_frames
from uniavgen_core.model.plan import audio_windows

SIZES = ModelSizes(
    blocks=4, video_width=768, video_ffn_width=2048, audio_width=384, audio_ffn_width=1024, text_width=256
)
"""A model that a CPU runs in seconds."""
EMBEDDINGS = "embeddings and heads"
BRANCHES = {"blocks": "video", "audio_blocks": "audio", "a2v_blocks": "A→V", "v2a_blocks": "V→A"}
"""What the model's lists of blocks and interactions are called in the tables."""


@dataclass(frozen=True)
class Workload:
    """A model and a clip: T latent frames of some rows and columns, both even, with as much sound, all generated."""

    sizes: ModelSizes = SIZES
    latent_frames: int = 21
    latent_rows: int = 16
    latent_columns: int = 28
    symbols: int = 60
    batch: int = 1

    @property
    def audio_tokens(self) -> int:
        return audio_tokens(pixel_frames(self.latent_frames))

    @property
    def frame_tokens(self) -> int:
        """Tokens of a latent frame."""
        return self.latent_rows * self.latent_columns // 4

    @property
    def generated_tokens(self) -> int:
        """Tokens of all latent frames but the reference frame."""
        return self.latent_frames * self.frame_tokens


def operations_by_part(work: Workload) -> dict[str, int]:
    """Operations of a forward pass, caption and speech included: two a multiplication with its addition."""
    sizes = work.sizes
    video, audio = sizes.video_width, sizes.audio_width
    video_tokens = work.generated_tokens + work.frame_tokens
    video_linears, video_attention = _block(video_tokens, CAPTION_ROWS, video, sizes.video_ffn_width)
    audio_linears, audio_attention = _block(work.audio_tokens, work.symbols, audio, sizes.audio_ffn_width)
    window = len(audio_windows(work.latent_frames, work.audio_tokens)[-1])
    products = {
        "video: Linears": sizes.blocks * video_linears,
        "video: attention": sizes.blocks * video_attention,
        "audio: Linears": sizes.blocks * audio_linears,
        "audio: attention": sizes.blocks * audio_attention,
        "A→V: Linears": sizes.interactions
        * (2 * work.generated_tokens * video * video + 2 * work.audio_tokens * audio * video),
        "A→V: attention": sizes.interactions * 2 * work.generated_tokens * window * video,
        "V→A: Linears": sizes.interactions
        * (2 * work.audio_tokens * audio * audio + 2 * work.generated_tokens * video * audio),
        "V→A: attention": sizes.interactions * 2 * work.audio_tokens * work.frame_tokens * audio,
        EMBEDDINGS: _embeddings(work, video_tokens),
    }
    return {part: 2 * work.batch * count for part, count in products.items()}


def _block(tokens: int, context: int, width: int, ffn_width: int) -> tuple[int, int]:
    """Multiplications of a block's Linears (six of the tokens, two of the context, the FFN) and of its attention."""
    linears = tokens * (6 * width * width + 2 * width * ffn_width) + context * 2 * width * width
    return linears, 2 * tokens * (tokens + context) * width


def _embeddings(work: Workload, video_tokens: int) -> int:
    """Multiplications of what comes before and after the blocks, and of the face masks."""
    sizes = work.sizes
    video, audio, speech = sizes.video_width, sizes.audio_width, sizes.speech_width
    patch = sizes.latent_channels * 4
    speech_block = 2 * speech * sizes.speech_ffn_width + 7 * speech
    return sum((
        (video_tokens + work.generated_tokens) * patch * video,
        work.audio_tokens * (2 * sizes.mel_bands * audio + audio * audio),
        CAPTION_ROWS * (sizes.text_width * video + video * video),
        work.symbols * (sizes.speech_blocks * speech_block + speech * audio),
        *(2 * width * (TIMESTEP_CHANNELS + 7 * width) for width in (video, audio)),
        sizes.interactions * work.generated_tokens * video,
    ))  # fmt: skip
