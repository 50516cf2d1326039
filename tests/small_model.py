"""A joint model of test size, and a run that trains one on clips of noise."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from uniavgen_core.config import MEL_BANDS, ModelSizes, audio_tokens, pixel_frames
from uniavgen_lab.training.shards import Label, Shards, TrainingClip, write_shard

SMALL = {
    "blocks": 2,
    "video_width": 256,
    "video_ffn_width": 64,
    "audio_width": 128,
    "audio_ffn_width": 64,
    "text_width": 16,
    "speech_width": 16,
    "speech_ffn_width": 32,
}
"""Sizes as a configuration names them."""
FRAMES = 3
"""Latent frames of the clips of noise."""
TOKENS = audio_tokens(pixel_frames(FRAMES))
RUN = f"""
output: run
validation_data: shards
precision: "no"
log_every: 5
validate_every: 10
validation_batches: 2
save_every: 7
sizes: {json.dumps(SMALL)}
stages:
  - {{name: audio, steps: 8, tasks: {{audio: 1, audio_reference_voice: 1}}, data: shards, batch_size: 2,
     learning_rate: 1.0e-3, final_learning_rate: 1.0e-4, warmup_steps: 2}}
  - {{name: all, steps: 12, tasks: {{joint: 4, reference_voice: 1, continuation: 1, dubbing: 2, audio_driven: 2}},
     data: shards, batch_size: 2, learning_rate: 1.0e-3, final_learning_rate: 1.0e-4, face_mask_weight: [0.1, 0.0]}}
"""


def small_sizes(**changes: int) -> ModelSizes:
    """The small sizes, but for some."""
    return ModelSizes(**{**SMALL, **changes})


def write_shards(folder: Path) -> Shards:
    """Two shards of clips of noise, in pairs of one voice."""
    generator = torch.Generator().manual_seed(0)
    folder.mkdir()
    for shard in range(2):
        write_shard(folder / f"{shard}.safetensors", [_clip_of_noise(index, generator) for index in range(8)])
    return Shards(folder)


def _clip_of_noise(index: int, generator: torch.Generator) -> TrainingClip:
    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    audio = noise(TOKENS, MEL_BANDS)
    return TrainingClip(
        Label(FRAMES, f"Two red birds {index}.", "A man talks.", starts_at_rest=index % 4 != 3, partner=index ^ 1),
        audio,
        loud_audio=audio + 1,
        video=noise(48, FRAMES, 4, 4),
        portrait=noise(48, 1, 4, 4),
        face_mask=noise(FRAMES, 4).sigmoid(),
    )


def write_config(folder: Path, text: str = RUN) -> Path:
    """A configuration in a folder."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path
