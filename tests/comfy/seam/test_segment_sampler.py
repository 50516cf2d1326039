"""Segments of a long clip, sampled by the user's guider."""

from __future__ import annotations

from typing import Any

from clips import EULER, caption, guider_of, left_half, refused, warnings_of_ours
from comfy_extras.nodes_custom_sampler import Noise_RandomNoise
from pack.nodes import comfy_model
from pack.nodes.comfy_long_form import SegmentSampler
from pack.nodes.long_form import LongForm
from pack.uniavgen_core.sampling.schedule import flow_sigmas

import nodes as comfy_nodes


def segments(patcher: Any, latent: dict) -> SegmentSampler:
    first_frame = latent["samples"].unbind()[0][:, :, :1]
    return SegmentSampler(guider_of(patcher), EULER, flow_sigmas(2), Noise_RandomNoise(7), first_frame)


def words_of_segment(sampler: SegmentSampler) -> tuple[Any, Any]:
    """A caption and the symbols of a speech."""
    return caption(5)[0][0], sampler.guider.original_conds["positive"][0][comfy_model.SYMBOLS]


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
    with refused("A long clip starts with a portrait", "UniAVGen Latent"):
        LongForm.execute(*given)
