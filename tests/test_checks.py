from __future__ import annotations

import pytest
import torch
from torch import Tensor

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.checks import MIN_SOUND_SAMPLES, check_images, check_one_waveform, check_waveform
from uniavgen_core.joint_latent import check_finite


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    tensor = torch.zeros(2, 3)
    check_finite("portrait", tensor)
    tensor[1, 2] = value
    with pytest.raises(ValueError, match=r"^portrait holds values that are not numbers"):
        check_finite("portrait", tensor)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.ones(1, 1, 0), r"^voice is empty \(0 samples\)"),
        (torch.ones(1, 2, MIN_SOUND_SAMPLES - 1), r"^voice is empty \(392 samples\)"),
        (torch.full((1, 1, 500), float("nan")), r"^voice holds values that are not numbers"),
        (torch.zeros(1, 1, 500), r"^voice is silent"),
        (torch.full((1, 2, 500), -9e-5), r"^voice is silent"),
    ],
)
def test_sound_in_which_nothing_is_heard_is_refused(waveform: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_waveform("voice", waveform)


def test_what_is_no_picture_is_refused() -> None:
    check_images("portrait", torch.zeros(1, 4, 5, 3))
    check_images("mask", torch.zeros(4, 5), dimensions=None)
    for picture, message in [
        (None, "^portrait is empty"),
        (torch.zeros(0, 4, 5, 3), "^portrait is empty"),
        (torch.zeros(4, 5, 3), r"^portrait holds values of 4×5×3, not an image"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_images("portrait", picture)


def test_the_shortest_and_softest_sound_passes() -> None:
    waveform = torch.zeros(1, 1, MIN_SOUND_SAMPLES)
    waveform[..., 7] = -2e-4
    check_waveform("voice", waveform)
    assert log_mel(waveform).shape == (1, 1, 1, 80)


def test_several_sounds_are_refused() -> None:
    check_one_waveform("voice", torch.ones(1, 2, 500))
    with pytest.raises(
        ValueError, match=r"^voice holds 3 sounds, but a clip has one: pick one, or set batch_size to 1"
    ):
        check_one_waveform("voice", torch.ones(3, 1, 500))
