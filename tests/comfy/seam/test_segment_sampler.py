"""Segments of a long clip: sampled by the user's guider, and known by what they are sampled with."""

from __future__ import annotations

from typing import Any

import comfy.samplers
import pytest
from clips import EULER, SPEECH, assert_equal, caption, conditions, guider_of, left_half, refused, warnings_of_ours
from comfy_extras.nodes_custom_sampler import Noise_RandomNoise
from comfy_extras.nodes_model_advanced import ModelSamplingSD3
from pack.nodes import comfy_model
from pack.nodes.comfy_guider import SegmentSampler
from pack.nodes.long_form import LongForm
from pack.uniavgen_core.sampling.schedule import flow_sigmas

import nodes as comfy_nodes


@pytest.fixture
def shifted(patcher: Any) -> Any:
    """The MODEL with a patch of core's."""
    return ModelSamplingSD3().patch(patcher, 3.0)[0]


def segments(
    patcher: Any, latent: dict, seed: int = 7, sampler: str = "euler", speech: str = SPEECH, **changes: Any
) -> SegmentSampler:
    guider = guider_of(patcher, conditions(speech=speech), **changes)
    first_frame = latent["samples"].unbind()[0][:, :, :1]
    return SegmentSampler(
        guider, comfy.samplers.sampler_object(sampler), flow_sigmas(2), Noise_RandomNoise(seed), first_frame
    )


def words_of_segment(sampler: SegmentSampler) -> tuple[Any, Any]:
    """A caption and the symbols of a speech."""
    return caption(5)[0][0], sampler.guider.original_conds["positive"][0][comfy_model.SYMBOLS]


def test_seeds_are_taken_modulo_two_to_the_64(shifted: Any, latent: dict) -> None:
    sampler = segments(shifted, latent)
    ours, theirs = (sampler.sample(latent, *words_of_segment(sampler), seed=seed) for seed in (7, 2**64 + 7))
    assert_equal(ours, theirs)


def test_identity_is_that_of_the_settings(patcher: Any, shifted: Any, latent: dict) -> None:
    first = segments(shifted, latent)
    before = first.identity()
    first.sample(latent, *words_of_segment(first), seed=7)
    assert before == first.identity() == segments(shifted, latent, seed=8).identity()
    assert before == segments(shifted, latent, speech="Other words.").identity(), "the script has the words"
    others = [
        segments(patcher, latent),
        segments(ModelSamplingSD3().patch(patcher, 4.0)[0], latent),
        segments(shifted, latent, sampler="ddim"),
        segments(shifted, latent, video_scale=3.5),
        segments(shifted, latent, end_percent=0.5),
        segments(shifted, latent),
    ]
    others[-1].noise.strength = 0.5
    assert len({before, *(other.identity() for other in others)}) == 7


def test_all_segments_of_a_clip_name_a_patch_without_effect_once(patcher: Any, short_latent: dict) -> None:
    patcher.set_model_patch(lambda *args: 1 / 0, "output_block_patch")
    sampler = segments(patcher, short_latent)
    with warnings_of_ours() as said:
        for seed in (1, 2):
            sampler.sample(short_latent, *words_of_segment(sampler), seed=seed)
    assert len(said) == 1


def test_a_long_clip_refuses_a_mask_within_a_frame(patcher: Any, latent: dict) -> None:
    masked = comfy_nodes.SetLatentNoiseMask().set_mask(latent, left_half())[0]
    # What it would need next is not there: the mask is looked at first.
    given = (guider_of(patcher), EULER, flow_sigmas(2), Noise_RandomNoise(7), masked, None, None, None, 0.0, 1.0, 3)
    with refused("from 0 to 1 in latent frame 0.", "whole latent frames"):
        LongForm.execute(*given)
