"""Names of UniVerse-1's tensors: the release has its video branch in diffusers' names, the model in ComfyUI's.

So that LoRAs of Wan 2.1 fit, which have ComfyUI's names. The audio branch's names stay as they are. What is left over
from the models that were stitched together, and has no effect on anything, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MARK = "blocks.0.mel_to_vid.0.weight"
"""What every UniVerse-1 model has, and none that it was made from. It is the same under both kinds of names."""

OF_RELEASE = (
    (r"condition_embedder\.time_embedder\.linear_1\.", "time_embedding.0."),
    (r"condition_embedder\.time_embedder\.linear_2\.", "time_embedding.2."),
    (r"condition_embedder\.time_proj\.", "time_projection.1."),
    (r"condition_embedder\.text_embedder\.linear_1\.", "text_embedding.0."),
    (r"condition_embedder\.text_embedder\.linear_2\.", "text_embedding.2."),
    (r"scale_shift_table$", "head.modulation"),
    (r"proj_out\.", "head.head."),
    (r"(blocks\.\d+\.)scale_shift_table$", r"\1modulation"),
    (r"(blocks\.\d+\.)attn1\.to_([qkv])\.", r"\1self_attn.\2."),
    (r"(blocks\.\d+\.)attn1\.to_out\.0\.", r"\1self_attn.o."),
    (r"(blocks\.\d+\.)attn1\.", r"\1self_attn."),
    (r"(blocks\.\d+\.)attn2\.to_([qkv])\.", r"\1cross_attn.\2."),
    (r"(blocks\.\d+\.)attn2\.to_out\.0\.", r"\1cross_attn.o."),
    (r"(blocks\.\d+\.)attn2\.", r"\1cross_attn."),
    (r"(blocks\.\d+\.)norm2\.", r"\1norm3."),
    (r"(blocks\.\d+\.)ffn\.net\.0\.proj\.", r"\1ffn.0."),
    (r"(blocks\.\d+\.)ffn\.net\.2\.", r"\1ffn.2."),
)
"""Beginnings of the release's names, and of the model's; the first that fits counts."""
PATTERNS = tuple((re.compile(pattern), replacement) for pattern, replacement in OF_RELEASE)
UNUSED = re.compile(
    r"speaker_embedder\.|projectors\.|.*\.to_add_out\."
    r"|blocks\.\d+\.(attn1|self_attn)\.(add_k_proj|norm_added_k)\."
    r"|blocks\.\d+\.(attn2|cross_attn)\.add_q_proj\."
    r"|blocks\.\d+\.mel_attn\.add_[kv]_proj\."
    r"|blocks\.\d+\.mel_cross_attn\.add_q_proj\."
)
"""Tensors of the released file that have no effect on any output."""


def is_stitched(names: Iterable[str]) -> bool:
    """Whether tensors of these names, without prefixes, are a UniVerse-1 model's."""
    return MARK in names


def is_unused(name: str) -> bool:
    """Whether a tensor of the release has no effect."""
    return UNUSED.match(name) is not None


def stitched_name(name: str) -> str:
    """The model's name of a tensor of the release; a name of the model's own stays as it is."""
    for pattern, replacement in PATTERNS:
        renamed, found = pattern.subn(replacement, name, count=1)
        if found and pattern.match(name):
            return renamed
    return name


def stitched_layer(name: str) -> str:
    """The model's name of a layer of the release, which has a weight."""
    return stitched_name(f"{name}.weight").removesuffix(".weight")
