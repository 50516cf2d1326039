"""A small UniVerse-1 in ComfyUI, and what it is given."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from clips import Clip, base, guider_of, sample_guided
from pack.nodes import comfy_loading
from pack.nodes.comfy_universe import LINKED, SOUND_ROWS, SPEECH_IDS, universe_latent
from pack.nodes.universe import UniverseSchedule
from pack.tests.golden_weights import weight_by_rule
from pack.tests.release_names import name_in_release
from pack.uniavgen_core.backend import torch_operations
from pack.uniavgen_core.universe1.stitched_dit import StitchedDiT
from pack.uniavgen_core.universe1.stitched_latent import universe_shapes
from pack.uniavgen_core.universe1.stitched_sizes import StitchedSizes
from safetensors.torch import save_file

STITCHED_SIZES = StitchedSizes(
    blocks=2, video_width=256, video_ffn_width=384, audio_width=128, audio_ffn_width=320, text_width=64,
    sound_text_width=48, vocabulary_rows=6693, lyric_width=64, lyric_heads=4, lyric_ffn_width=96, lyric_layers=2,
    patch_width=64,
)  # fmt: skip
UNIVERSE_SCALES = {"video_scale": 1.2, "audio_scale": 5.0, "unimodal_end_percent": 0.0}
UNUSED_WEIGHTS = ("speaker_embedder.weight", "blocks.0.attn1.add_k_proj.weight", "blocks.1.mel_attn.add_v_proj.bias")
"""Some of those that the release holds without use."""


@cache
def stitched_weights() -> dict[str, torch.Tensor]:
    """By the model's names."""
    empty = StitchedDiT(STITCHED_SIZES, torch_operations, device="meta").state_dict()
    return {name: weight_by_rule(name_in_release(name), tuple(x.shape)) for name, x in empty.items()}


@cache
def universe_folder() -> Path:
    """A folder of two shards and an index, under the release's names and with weights that nothing uses."""
    folder = base() / "UniVerse-1-Base"
    folder.mkdir()
    weights = {name_in_release(name): tensor for name, tensor in stitched_weights().items()}
    weights |= {name: torch.ones(4) for name in UNUSED_WEIGHTS}
    names = sorted(weights)
    files = [f"diffusion_pytorch_model-{number:05}-of-00002.safetensors" for number in (1, 2)]
    index = {name: files[order % 2] for order, name in enumerate(names)}
    for file in files:
        save_file({name: weights[name] for name in names if index[name] == file}, folder / file)
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


def universe(options: dict[str, Any] | None = None) -> Any:
    """The MODEL."""
    return comfy_loading.load_model(str(universe_folder()), options or {"dtype": torch.float32})


def picture_latent(frames: int = 3, width: int = 64, height: int = 48, batch: int = 1) -> dict[str, Any]:
    """A LATENT of random pictures whose first frame is kept."""
    shapes = universe_shapes(frames, width, height, batch)
    picture = torch.randn((1, 16, 1, *shapes[0][3:]), generator=torch.Generator().manual_seed(1))
    return universe_latent(shapes, picture)


def stitched_conds(said: tuple[int, ...] = (261, 30, 40, 2), sound_rows: int = 5) -> tuple[list, list]:
    """The positive and the negative CONDITIONING, as UniVerse-1 Conditioning gives them."""
    generator = torch.Generator().manual_seed(3)
    captions = [torch.randn(1, 512, STITCHED_SIZES.text_width, generator=generator) for _ in range(2)]
    sound = torch.randn(1, sound_rows, STITCHED_SIZES.sound_text_width, generator=generator)
    speech = torch.tensor([said])
    of_null = {SOUND_ROWS: torch.zeros_like(sound), SPEECH_IDS: torch.zeros_like(speech), LINKED: False}
    return (
        [[captions[0], {SOUND_ROWS: sound, SPEECH_IDS: speech, LINKED: True}]],
        [[captions[1], of_null]],
    )


def sample_universe(
    patcher: Any, latent: dict, steps: int = 4, conds: Any = None, sampler: Any = None, **changes: Any
) -> Clip:
    """What SamplerCustomAdvanced makes with the schedule, the solver and the scales of the release."""
    sigmas, solver = UniverseSchedule.execute(steps, 15.0).args
    guider = guider_of(patcher, conds or stitched_conds(), **UNIVERSE_SCALES | changes)
    return sample_guided(guider, latent, sigmas, sampler or solver)["samples"].unbind()
