"""The small model says where it is asked for more than it knows, and says nothing elsewhere."""

from __future__ import annotations

import pytest
import torch
from clips import caption, tiny_vae, warnings_of_ours
from pack.nodes.comfy_codecs import TinyCaptionEncoder
from pack.nodes.conditioning import Conditioning
from pack.nodes.latents import Latent
from pack.nodes.long_form import Script
from pack.uniavgen_core.tiny.bundle import load_tiny
from pack.uniavgen_core.tiny.drawing import draw_portrait

WOMAN, MAN = draw_portrait(3, "woman"), draw_portrait(4, "man")
NOBODY = torch.rand(1, 200, 160, 3, generator=torch.Generator().manual_seed(0))
SETTINGS = {"task": "joint", "seconds": 1.0, "frame_rate": 16.0, "past_frames": 3, "batch_size": 1}


def said_of(portrait: torch.Tensor, width: int, height: int) -> str:
    """What UniAVGen Latent says of a portrait and a size."""
    size = {"size": "custom", "width": width, "height": height}
    with warnings_of_ours() as lines:
        Latent.execute(vae=tiny_vae(), portrait=portrait, size=size, **SETTINGS)
    return "\n".join(lines)


def test_nothing_is_said_of_its_people() -> None:
    assert said_of(WOMAN, 128, 128) == ""
    assert said_of(torch.cat((WOMAN, MAN), dim=2), 256, 128) == ""


def test_another_picture_is_named() -> None:
    assert "none of the small model's people" in said_of(NOBODY, 128, 128)


def test_one_stranger_of_two_is_seen() -> None:
    assert "none of the small model's people" in said_of(torch.cat((WOMAN, torch.rand_like(MAN)), dim=2), 256, 128)


def test_a_larger_size_is_named() -> None:
    said = said_of(WOMAN, 192, 160)
    assert "192 × 160" in said and "128 × 128" in said and "people" not in said.replace("for two people", "")


@pytest.fixture
def clip() -> TinyCaptionEncoder:
    return TinyCaptionEncoder(load_tiny().caption_encoder)


@pytest.mark.parametrize(
    ("speech", "unknown"), [("Hello, three red birds.", []), ("Hello, 2 elephants.", ["elephants"])]
)
def test_unknown_words_are_named(clip: TinyCaptionEncoder, speech: str, unknown: list[str]) -> None:
    positive, negative = (clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("A woman speaks.", ""))
    with warnings_of_ours() as lines:
        Conditioning.execute(positive, negative, speech, "auto")
    assert [word for word in ("hello", "two", "elephants") if f": {word}" in "".join(lines)] == unknown
    with warnings_of_ours() as lines:
        Script.execute(clip, f"A woman speaks. | {speech.replace('2', 'two')}")
    assert ("cannot say" in "".join(lines)) == bool(unknown)


def test_other_models_say_what_they_like() -> None:
    with warnings_of_ours() as lines:
        Conditioning.execute(caption(2), caption(3), "Hello, elephants.", "auto")
    assert lines == []
