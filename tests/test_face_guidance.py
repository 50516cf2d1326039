"""Steering by the face: masks become tokens, change the predicted ones as asked, and leave all else alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from small_model import FRAMES
from torch import Tensor

from uniavgen_core.config import pixel_frames
from uniavgen_core.face.map import FaceMap, mask_of_tokens, overlay, tokens_of_mask
from uniavgen_core.face.steering import (
    COMBINATIONS,
    FaceGuidance,
    check_layers,
    clip_mask,
    parse_numbers,
    sigma_window,
)

ROWS, COLUMNS = 3, 4
TOKENS = ROWS * COLUMNS


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# Pixels and tokens


def test_a_token_is_the_mean_of_its_pixels_and_frames() -> None:
    mask = random(9, 32 * ROWS, 32 * COLUMNS)
    tokens = tokens_of_mask(mask, ROWS, COLUMNS)
    assert tokens.shape == (3, TOKENS)
    squares = mask.view(9, ROWS, 32, COLUMNS, 32).mean(dim=(2, 4)).flatten(1)
    torch.testing.assert_close(tokens, torch.stack((squares[0], squares[1:5].mean(0), squares[5:9].mean(0))))


def test_a_mask_of_another_size_is_cropped_in_the_middle_as_pictures_are() -> None:
    wide = torch.zeros(1, 96, 300)
    wide[:, :, 150:] = 1
    tokens = tokens_of_mask(wide, ROWS, COLUMNS).view(ROWS, COLUMNS)
    torch.testing.assert_close(tokens, torch.tensor([0.0, 0, 1, 1]).expand(ROWS, -1))
    tiny = tokens_of_mask(torch.ones(1, 1, 1), ROWS, COLUMNS)
    assert torch.equal(tiny, torch.ones(1, TOKENS))


def test_a_mask_goes_to_tokens_and_back() -> None:
    tokens = random(3, 1).expand(-1, TOKENS)
    back = mask_of_tokens(tokens, ROWS, COLUMNS, 50, 70)
    assert back.shape == (9, 50, 70)
    torch.testing.assert_close(back[:, 0, 0], tokens[[0, 1, 1, 1, 1, 2, 2, 2, 2], 0])
    torch.testing.assert_close(tokens_of_mask(back, ROWS, COLUMNS), tokens)


def test_one_mask_holds_for_the_whole_clip() -> None:
    mask = random(1, 96, 128)
    tokens = clip_mask(mask, 16, 3, ROWS, COLUMNS)
    assert torch.equal(tokens, tokens_of_mask(mask, ROWS, COLUMNS).expand(3, -1))


@pytest.mark.parametrize(("frame_rate", "masks"), [(16, 9), (16, 7), (25, 14), (30, 17), (8, 4)])
def test_masks_of_any_rate_follow_the_clip(frame_rate: float, masks: int) -> None:
    late = torch.zeros(masks, 96, 128)
    late[-max(1, round(frame_rate / 16)) :] = 1
    tokens = clip_mask(late, frame_rate, 3, ROWS, COLUMNS)
    assert not tokens[:2].any() and 0 < tokens[2].min() <= 1


@pytest.mark.parametrize("masks", [2, 5, 10, 14, 100])
def test_masks_of_another_length_are_refused(masks: int) -> None:
    with pytest.raises(ValueError, match=rf"{masks} masks.*9 frames.*one mask for all"):
        clip_mask(torch.zeros(masks, 96, 128), 16, 3, ROWS, COLUMNS)


# What the mask becomes


@pytest.mark.parametrize("operation", COMBINATIONS)
def test_strength_goes_from_the_prediction_to_the_combination(operation: str) -> None:
    predicted, given = random(2, FRAMES, TOKENS), random(FRAMES, TOKENS, seed=1)
    combined = {"replace": given.expand(2, -1, -1), "multiply": predicted * given, "at_least": predicted.maximum(given)}

    def at(strength: float) -> Tensor:
        return FaceGuidance(given, operation, strength)(predicted, 0, {})

    assert torch.equal(at(0), predicted)
    torch.testing.assert_close(at(1), combined[operation])
    torch.testing.assert_close(at(0.3), predicted + 0.3 * (combined[operation] - predicted))


def test_only_chosen_layers_and_noise_levels_are_changed() -> None:
    predicted, given = random(1, FRAMES, TOKENS), torch.zeros(FRAMES, TOKENS)
    guidance = FaceGuidance(given, "replace", layers={1, 2}, first_sigma=0.9, last_sigma=0.4)
    changed = {
        (layer, sigma): not torch.equal(guidance(predicted, layer, {"sigmas": torch.tensor([sigma])}), predicted)
        for layer in range(4)
        for sigma in (1.0, 0.9, 0.6, 0.4, 0.3)
    }
    assert {place for place, is_changed in changed.items() if is_changed} == {
        (layer, sigma) for layer in (1, 2) for sigma in (0.9, 0.6)
    }


@pytest.mark.parametrize(
    ("start", "end", "steps"),
    [(0, 1, {0, 1, 2, 3}), (0, 0.5, {0, 1}), (0.5, 1, {2, 3}), (0.3, 0.6, {2}), (1, 1, set())],
)
def test_a_part_is_one_of_the_steps(start: float, end: float, steps: set[int]) -> None:
    schedule = [1.0, 0.9, 0.7, 0.3, 0.0]
    predicted = random(1, FRAMES, TOKENS)
    first, last = sigma_window(schedule, start, end)
    guidance = FaceGuidance(torch.zeros(FRAMES, TOKENS), "replace", first_sigma=first, last_sigma=last)
    changed = {
        step
        for step, sigma in enumerate(schedule[:-1])
        if not torch.equal(guidance(predicted, 0, {"sigmas": torch.tensor([sigma])}), predicted)
    }
    assert changed == steps


def window_of(*frames: int) -> SimpleNamespace:
    return SimpleNamespace(get_tensor=lambda full, dim: full.index_select(dim, torch.tensor(frames)))


def test_a_pass_over_some_frames_takes_their_mask() -> None:
    given = random(FRAMES, TOKENS)
    guided = FaceGuidance(given, "replace")(torch.zeros(1, 2, TOKENS), 0, {"context_window": window_of(1, 2)})
    assert torch.equal(guided[0], given[1:3])


# What the model looks at


def see(face_map: FaceMap, layer: int, masks: Tensor, step: int = 0, **options: object) -> None:
    schedule = torch.tensor([1.0, 0.8, 0.5, 0.0])
    face_map(masks, layer, {"sample_sigmas": schedule, "sigmas": schedule[step : step + 1], **options})


def test_a_map_is_the_mean_of_the_positive_passes() -> None:
    face_map = FaceMap(layers=None, steps=None)
    face_map.start(FRAMES, ROWS, COLUMNS)
    masks = random(4, FRAMES, TOKENS)
    see(face_map, 0, masks[:2], step=0, cond_or_uncond=[1, 0])
    see(face_map, 0, masks[2:3], step=1, cond_or_uncond=[0])
    see(face_map, 0, masks[3:], step=2, cond_or_uncond=[1])
    see(face_map, 3, masks[3:], step=2)
    torch.testing.assert_close(face_map.mean(0), masks[1:3].mean(dim=0))
    torch.testing.assert_close(face_map.mean(3), masks[3])
    torch.testing.assert_close(face_map.mean(), (masks[1:3].mean(dim=0) + masks[3]) / 2)
    assert face_map.mask(40, 60).shape == (pixel_frames(FRAMES), 40, 60)


def test_a_map_looks_at_the_chosen_layers_and_steps_only() -> None:
    face_map = FaceMap(layers={1}, steps={0, -1})
    face_map.start(FRAMES, ROWS, COLUMNS)
    masks = random(3, FRAMES, TOKENS)
    for layer in (0, 1):
        for step in range(3):
            see(face_map, layer, masks[step : step + 1], step)
    torch.testing.assert_close(face_map.mean(), masks[[0, 2]].mean(dim=0))
    with pytest.raises(ValueError, match=r"Layer 0 is not in the face map, which has 1\."):
        face_map.mean(0)


def test_a_map_joins_passes_over_some_frames_each() -> None:
    face_map = FaceMap(None, None)
    face_map.start(3, ROWS, COLUMNS)
    masks = random(2, 2, TOKENS)
    see(face_map, 0, masks[:1], context_window=window_of(0, 1))
    see(face_map, 0, masks[1:], context_window=window_of(1, 2))
    expected = torch.stack((masks[0, 0], (masks[0, 1] + masks[1, 0]) / 2, masks[1, 1]))
    torch.testing.assert_close(face_map.mean(), expected)


def test_a_map_changes_nothing_and_forgets_the_last_run() -> None:
    face_map = FaceMap(None, None)
    with pytest.raises(ValueError, match="UniAVGen Face Map Capture"):
        face_map.mean()
    face_map.start(FRAMES, ROWS, COLUMNS)
    masks = random(1, FRAMES, TOKENS)
    assert face_map(masks, 0, {}) is masks
    face_map.check_is_of(FRAMES)
    with pytest.raises(ValueError, match=f"of {FRAMES} latent frames, the LATENT has 9"):
        face_map.check_is_of(9)
    face_map.start(FRAMES, ROWS, COLUMNS)
    with pytest.raises(ValueError, match="is empty"):
        face_map.mean()


def test_an_overlay_goes_from_blue_over_yellow_to_red() -> None:
    images = torch.full((3, 2, 2, 3), 0.5)
    mask = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1).expand(-1, 2, 2)
    assert torch.equal(overlay(images, mask, 0.0), images)
    blue, yellow, red = overlay(images, mask, 1.0)[:, 0, 0]
    assert blue[2] > 0.8 > 0.3 > blue[0] and yellow[:2].min() > 0.8 and red[0] > 0.8 > 0.3 > red[1]
    with pytest.raises(ValueError, match="2 images, but the sampled clip has 3 frames"):
        overlay(images[:2], mask, 0.5)


# Numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [("all", None), (" ALL ", None), ("0", {0}), ("0, 3-5", {0, 3, 4, 5}), ("-1,2", {-1, 2}), ("7-7", {7})],
)
def test_numbers_are_listed(text: str, expected: set[int] | None) -> None:
    assert parse_numbers("layers", text) == expected


@pytest.mark.parametrize("text", ["", "x", "1;2", "5-3", "1-", "0--1", "1,,2", "1.5"])
def test_what_is_no_list_of_numbers_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="steps is “.*”: write all, or numbers"):
        parse_numbers("steps", text)


def test_layers_that_there_are_not_are_named() -> None:
    check_layers(None, 2)
    check_layers(frozenset({0, 1}), 2)
    for wrong in ({2}, {-1}, {0, 99}):
        with pytest.raises(ValueError, match="this model has the layers 0 to 1"):
            check_layers(frozenset(wrong), 2)
