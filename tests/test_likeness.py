"""Which pictures pass for the small model's people."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from uniavgen_core.media.images import crop_and_resize, read_image, to_rgb
from uniavgen_core.tiny.bundle import SHORT_SIDE, TinyBundle, load_tiny
from uniavgen_core.tiny.drawing import draw_portrait
from uniavgen_core.tiny.knowledge import is_drawn, unknown_words
from uniavgen_core.tiny.people import KINDS

SAMPLES = Path(__file__).parent.parent / "web" / "samples"


@pytest.fixture(scope="module")
def bundle() -> TinyBundle:
    return load_tiny()


@torch.no_grad()
def decoded(bundle: TinyBundle, image: Tensor) -> Tensor:
    """What the codec makes of a picture (128, 128, 3)."""
    return bundle.codec.decode_frames(bundle.codec.encode_frames(image[None]))[0, 0]


def small(image: Tensor) -> Tensor:
    return crop_and_resize(to_rgb(image), SHORT_SIDE, SHORT_SIDE)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_people_pass_and_so_does_what_the_codec_makes_of_them(bundle: TinyBundle, kind: str) -> None:
    for person in range(8):
        image = draw_portrait(person, kind)[0]
        made = decoded(bundle, image)
        assert is_drawn(image, made)
        assert is_drawn(made, decoded(bundle, made))


@pytest.mark.parametrize("name", ["uniavgen_portrait.png", "uniavgen_portrait_2.png"])
def test_the_samples_pass(bundle: TinyBundle, name: str) -> None:
    image = small(read_image(SAMPLES / name))
    assert is_drawn(image, decoded(bundle, image))


@pytest.mark.parametrize("name", ["woman", "second"])
def test_photographs_do_not(bundle: TinyBundle, shared_data: Path, name: str) -> None:
    image = small(read_image(shared_data / "portraits" / f"{name}.png"))
    assert not is_drawn(image, decoded(bundle, image))


def test_noise_does_not(bundle: TinyBundle) -> None:
    image = torch.rand(SHORT_SIDE, SHORT_SIDE, 3, generator=torch.Generator().manual_seed(0))
    assert not is_drawn(image, decoded(bundle, image))


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="64"):
        is_drawn(torch.zeros(64, 64, 3), torch.zeros(64, 64, 3))


def test_unknown_words_are_named_once_each() -> None:
    assert unknown_words("Hello, three red birds!") == []
    assert unknown_words("Hello elephant, my ELEPHANT: seven spoons.") == ["elephant", "spoons"]
