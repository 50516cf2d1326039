"""Core's own guidance of joint models: its nodes do to this model what their formulas say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from clips import (
    assert_apart,
    assert_close,
    assert_equal,
    guider_of,
    ksampler,
    model,
    one_step,
    sample,
    sample_guided,
    warnings_of_ours,
)
from comfy_extras import nodes_lt
from pack.nodes import comfy_joint
from pack.tests.common import relative_error
from pack.uniavgen_core.sampling.schedule import flow_sigmas

DIRECTIONS = pytest.mark.parametrize(("to_video", "to_audio"), [(False, False), (False, True), (True, False)])


def set_switches(patcher: Any, **switches: Any) -> Any:
    """A MODEL with switches in its `transformer_options`."""
    patched = patcher.clone()
    patched.model_options["transformer_options"] |= switches
    return patched


def switched_off(conds: Any, to_video: bool, to_audio: bool) -> Any:
    """CONDITIONING with the model's own switches."""
    off = {comfy_joint.AUDIO_TO_VIDEO: to_video, comfy_joint.VIDEO_TO_AUDIO: to_audio}
    values = {name: False for name, on in off.items() if not on}
    return tuple([[rows, {**given, **values}] for rows, given in cond] for cond in conds)


def values_only(*blocks: int) -> Any:
    """A MODEL in whose blocks self-attention is written out as the values alone."""
    patcher = model()
    for index in blocks:
        for branch in (patcher.model.diffusion_model.blocks, patcher.model.diffusion_model.audio_blocks):
            attention = branch[index].self_attn
            attention.forward = lambda x, *_, attention=attention, **__: attention.o(attention.v(x))
    return patcher


def away_from(plain: list, perturbed: list, scale: float, start: list | None = None) -> list[torch.Tensor]:
    """start + scale · (plain - perturbed), in which a clip's units of measurement do not matter."""
    return [a + scale * (b - c) for a, b, c in zip(start or plain, plain, perturbed, strict=True)]


def core_node(name: str) -> Any:
    """A node of comfy_extras/nodes_lt.py."""
    if not hasattr(nodes_lt, name):
        pytest.skip("this ComfyUI has no guidance of joint models")
    return getattr(nodes_lt, name)


@DIRECTIONS
def test_switches_of_core_are_the_models_own(
    patcher: Any, latent: dict, conds: Any, to_video: bool, to_audio: bool
) -> None:
    ours = one_step(set_switches(patcher, a2v_cross_attn=to_video, v2a_cross_attn=to_audio), latent, conds)
    assert_equal(ours, one_step(patcher, latent, switched_off(conds, to_video, to_audio)))
    before = one_step(patcher, latent, conds)
    video_changed, audio_changed = (relative_error(a, b) > 1e-5 for a, b in zip(ours, before, strict=True))
    assert video_changed >= (not to_video) and audio_changed >= (not to_audio)


@DIRECTIONS
def test_what_is_switched_off_by_the_task_stays_so(
    patcher: Any, latent: dict, conds: Any, to_video: bool, to_audio: bool
) -> None:
    off = switched_off(conds, to_video, to_audio)
    on = set_switches(patcher, a2v_cross_attn=True, v2a_cross_attn=True)
    assert_equal(one_step(on, latent, off), one_step(patcher, latent, off))


@pytest.mark.parametrize("blocks", [(0,), (1, 3), (0, 1, 2, 3)], ids=str)
def test_self_attention_of_blocks_is_their_values(
    patcher: Any, latent: dict, conds: Any, blocks: tuple[int, ...]
) -> None:
    ours = one_step(set_switches(patcher, stg_self_attn_blocks=frozenset(blocks)), latent, conds)
    assert_equal(ours, one_step(values_only(*blocks), latent, conds))
    assert_apart(ours, one_step(patcher, latent, conds), 1e-4)


def test_self_attention_of_all_blocks_is_their_values(patcher: Any, latent: dict, conds: Any) -> None:
    everywhere = one_step(set_switches(patcher, stg_skip_self_attn=True), latent, conds)
    assert_equal(everywhere, one_step(values_only(0, 1, 2, 3), latent, conds))


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_modality_guidance_equals_its_formula(patcher: Any, latent: dict, conds: Any, cfg: float) -> None:
    guided = core_node("LTXVModalityGuidance").execute(patcher, 3.0, 0.0, 1.0)[0]
    severed = one_step(set_switches(patcher, a2v_cross_attn=False, v2a_cross_attn=False), latent, conds)
    before, ours = (one_step(which, latent, conds, cfg) for which in (patcher, guided))
    assert_close(ours, away_from(one_step(patcher, latent, conds), severed, 2.0, before), 1e-4)
    assert_apart(ours, before, 1e-3)


def test_modality_guidance_goes_with_our_own(patcher: Any, latent: dict, conds: Any) -> None:
    """Which is plain where there is one step: the scales are the streams' own."""
    guided = core_node("LTXVModalityGuidance").execute(patcher, 3.0, 0.0, 1.0)[0]
    severed = one_step(set_switches(patcher, a2v_cross_attn=False, v2a_cross_attn=False), latent, conds)
    before, ours = (sample(which, latent, 1, conds=conds) for which in (patcher, guided))
    assert_close(ours, away_from(one_step(patcher, latent, conds), severed, 2.0, before), 1e-4)
    with warnings_of_ours() as said:
        sample(guided, latent, 2)
    assert said == []


def test_spatio_temporal_guidance_equals_its_formula(patcher: Any, latent: dict, conds: Any) -> None:
    guided = core_node("LTXVSpatioTemporalGuidance").execute(patcher, 1.5, "1, 2", 0.0, 1.0)[0]
    perturbed, positive = (one_step(which, latent, conds) for which in (values_only(1, 2), patcher))
    assert_close(one_step(guided, latent, conds), away_from(positive, perturbed, 1.5), 1e-4)
    before, ours = (sample(which, latent, 1, conds=conds) for which in (patcher, guided))
    assert_close(ours, away_from(positive, perturbed, 1.5, before), 1e-4)
    assert_apart(ours, before, 1e-3)


def test_spatio_temporal_guidance_of_a_block_that_is_not_there_is_named(patcher: Any, latent: dict) -> None:
    # The node's default is the last block of LTX.
    guided = core_node("LTXVSpatioTemporalGuidance").execute(patcher, 1.0, "29", 0.0, 1.0)[0]
    with warnings_of_ours() as said:
        sample(guided, latent, 2)
    (text,) = said
    assert "block 29 of stg_self_attn_blocks (the blocks here are 0 to 3)" in text


def test_a_dual_guider_equals_plain_guidance_of_two_scales(patcher: Any, latent: dict, conds: Any) -> None:
    dual = core_node("LTXVDualCFGGuider").execute(patcher, *conds, 3.0, 2.0)[0]
    own = guider_of(patcher, conds, unimodal_end_percent=0.0, skip_block={"skip_block": "none"})
    ours, theirs = (sample_guided(guider, latent, flow_sigmas(3))["samples"].unbind() for guider in (dual, own))
    assert_close(ours, theirs, 1e-5)


def test_normalised_attention_guidance_acts_where_both_passes_run_together(
    patcher: Any, latent: dict, conds: Any
) -> None:
    from comfy_extras.nodes_nag import NAGuidance

    strong, none = (NAGuidance.execute(patcher, 5.0, alpha, 2.5)[0] for alpha in (0.5, 0.0))
    before = ksampler(patcher, latent, conds, 2)
    assert_close(ksampler(none, latent, conds, 2), before, 1e-5)
    with warnings_of_ours() as said:
        changed = ksampler(strong, latent, conds, 2)
    assert said == []
    assert_apart(changed, before, 1e-3)
    with warnings_of_ours() as said:
        ours = sample(strong, latent, 2, conds=conds)
    (text,) = said
    assert "attn1_output_patch of NAGuidance" in text and "one at a time" in text
    assert_equal(ours, sample(patcher, latent, 2, conds=conds))
