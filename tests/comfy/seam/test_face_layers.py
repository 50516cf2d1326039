"""Face guidance and face maps decide and show what the interactions use."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from clips import (
    assert_apart,
    assert_equal,
    joint,
    left_half,
    model,
    refused,
    sample,
    windowed,
    with_face_mask,
)
from comfy.nested_tensor import NestedTensor
from pack.nodes.face_guidance import FaceGuidanceNode, FaceMapCapture, FaceMapNode
from pack.tests.common import relative_error

IMAGES = torch.zeros(9, 64, 96, 3)


def captured(patcher: Any, layers: str = "all", steps: str = "all") -> tuple[Any, Any]:
    """The MODEL whose face map is captured, and the map."""
    out = FaceMapCapture.execute(patcher, layers, steps)
    return out[0], out[1]


def test_a_capture_changes_nothing(patcher: Any, latent: dict) -> None:
    watched, seen = captured(patcher)
    assert_equal(sample(watched, latent), sample(model(), latent))
    own = seen.mean()
    assert own.shape == (3, 6) and 0 < own.min() < own.max() < 1


def test_guidance_decides_what_the_layers_use(patcher: Any, latent: dict) -> None:
    guided, seen = captured(with_face_mask(patcher, left_half(9)))
    assert_apart(sample(guided, latent), sample(patcher, latent), 1e-4)
    torch.testing.assert_close(seen.mean(), torch.tensor([1.0, 0, 0, 1, 0, 0]).expand(3, -1), rtol=0, atol=1e-6)


def test_a_capture_does_not_see_what_comes_behind(patcher: Any, latent: dict) -> None:
    watched, seen = captured(patcher)
    nowhere = sample(with_face_mask(watched, left_half() * 0), latent)
    assert seen.mean().min() > 0
    left = sample(with_face_mask(patcher, left_half(9)), latent)
    assert relative_error(nowhere[0], left[0]) > 1e-4


@pytest.mark.parametrize(("strength", "start"), [(0.0, 0.0), (1.0, 1.0)])
def test_guidance_of_no_strength_is_bit_equal(patcher: Any, latent: dict, strength: float, start: float) -> None:
    patched = FaceGuidanceNode.execute(patcher, left_half(), 16.0, "replace", strength, "all", start, 1.0)[0]
    assert_equal(sample(patched, latent), sample(patcher, latent))


def test_guidance_and_maps_go_with_context_windows(patcher: Any) -> None:
    moving = left_half(29)
    moving[13:] = 0
    guided, seen = captured(with_face_mask(patcher, moving))
    sample(windowed(guided), joint(frames=8, width=96, height=64), 2)
    expected = torch.zeros(8, 6)
    expected[:4, [0, 3]] = 1
    torch.testing.assert_close(seen.mean(), expected, rtol=0, atol=1e-6)


@pytest.fixture
def sampled(patcher: Any, latent: dict) -> tuple[Any, dict]:
    """A face map of the left third, and the LATENT that it was captured with."""
    guided, face_map = captured(with_face_mask(patcher, left_half()), "1", "0, -1")
    return face_map, {"samples": NestedTensor(sample(guided, latent))}


def test_a_face_map_is_shown_over_the_clip(sampled: tuple[Any, dict]) -> None:
    shown, mask = FaceMapNode.execute(*sampled, IMAGES, 1, 1.0).result
    assert shown.shape == IMAGES.shape and mask.shape == (9, 64, 96)
    assert (mask[:, :, :16] == 1).all() and (mask[:, :, -32:] == 0).all()
    assert (shown[:, :, 0, 0] == 1).all() and (shown[:, :, -1, 2] > 0.8).all()


def test_an_empty_face_map_is_named(patcher: Any, latent: dict) -> None:
    with refused("is empty"):
        FaceMapNode.execute(captured(patcher)[1], latent, IMAGES, -1, 0.5)


def test_what_a_face_map_is_not_shown_over_is_named(sampled: tuple[Any, dict]) -> None:
    face_map, latent = sampled
    with refused("3 latent frames, the LATENT has 4"):
        FaceMapNode.execute(face_map, joint(frames=4), IMAGES, -1, 0.5)
    with refused("8 images"):
        FaceMapNode.execute(face_map, latent, IMAGES[:8], -1, 0.5)
    with refused("Layer 0"):
        FaceMapNode.execute(face_map, latent, IMAGES, 0, 0.5)


def test_a_mask_for_each_frame_is_refused_where_frames_are_more(patcher: Any, latent: dict) -> None:
    with refused("5 masks"):
        sample(with_face_mask(patcher, left_half(5)), latent)


@pytest.mark.parametrize(
    ("mask", "message"),
    [(left_half() * float("nan"), "mask holds values that are not numbers"), (left_half(0), "mask is empty")],
    ids=["NaN", "empty"],
)
def test_a_mask_without_values_is_refused(patcher: Any, mask: torch.Tensor, message: str) -> None:
    with refused(message):
        with_face_mask(patcher, mask)


@pytest.mark.parametrize(
    ("layers", "steps", "message"),
    [
        ("2", "all", "this model has the layers 0 to 1"),
        ("first", "all", "layers is “first”"),
        ("all", "x", "steps is “x”"),
    ],
)
def test_layers_and_steps_that_are_not_there_are_refused(patcher: Any, layers: str, steps: str, message: str) -> None:
    with refused(message):
        captured(patcher, layers, steps)
