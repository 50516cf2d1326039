"""The release's names of UniVerse-1's parameters: the way back from `stitched_name`, written down a second time."""

from __future__ import annotations

TO_RELEASE = {
    "time_embedding.0.": "condition_embedder.time_embedder.linear_1.",
    "time_embedding.2.": "condition_embedder.time_embedder.linear_2.",
    "time_projection.1.": "condition_embedder.time_proj.",
    "text_embedding.0.": "condition_embedder.text_embedder.linear_1.",
    "text_embedding.2.": "condition_embedder.text_embedder.linear_2.",
    "head.modulation": "scale_shift_table",
    "head.head.": "proj_out.",
    ".modulation": ".scale_shift_table",
    ".self_attn.o.": ".attn1.to_out.0.",
    ".cross_attn.o.": ".attn2.to_out.0.",
    **{f".self_attn.{part}.": f".attn1.to_{part}." for part in "qkv"},
    **{f".cross_attn.{part}.": f".attn2.to_{part}." for part in "qkv"},
    ".self_attn.": ".attn1.",
    ".cross_attn.": ".attn2.",
    ".norm3.": ".norm2.",
    ".ffn.0.": ".ffn.net.0.proj.",
    ".ffn.2.": ".ffn.net.2.",
}
"""Parts of the model's names, and what the release has in their place; the first that fits counts."""


def name_in_release(name: str) -> str:
    """The release's name of a parameter."""
    if name.startswith("lyric_encoder."):
        return name
    for part, released in TO_RELEASE.items():
        if part in name and (part.startswith(".") or name.startswith(part)):
            return name.replace(part, released, 1)
    return name
