"""Which passes each step of a guided run makes, and with which switches."""

from __future__ import annotations

from typing import Any

import comfy.samplers
import pytest
import torch
from clips import (
    assert_equal,
    assert_kept,
    guider_of,
    ksampler,
    sample,
    sample_guided,
    watch_switches,
)
from pack.tests.common import relative_error
from pack.uniavgen_core.sampling.schedule import flow_sigmas

POSITIVE = -1
"""Block that a positive pass leaves out: none."""


def sigmas_of(patcher: Any, schedule: str, steps: int) -> torch.Tensor:
    if schedule == "uniavgen":
        return flow_sigmas(steps)
    return comfy.samplers.calculate_sigmas(patcher.get_model_object("model_sampling"), schedule, steps)


@pytest.mark.parametrize("steps", [1, 2, 5, 6])
@pytest.mark.parametrize("schedule", ["uniavgen", "simple", "karras", "beta"])
def test_guided_steps_are_the_first_half(patcher: Any, short_latent: dict, schedule: str, steps: int) -> None:
    sigmas = sigmas_of(patcher, schedule, steps)
    seen = watch_switches(patcher)
    sample_guided(guider_of(patcher), short_latent, sigmas)
    passes = [(switches.audio_to_video, switches.video_to_audio, switches.skip_block) for _, switches in seen]
    ran = len(sigmas) - 1
    unimodal = ran // 2
    assert passes.count((False, False, 1)) == unimodal
    assert passes.count((True, True, 1)) == ran - unimodal
    assert passes.count((True, True, POSITIVE)) == ran
    assert len(passes) == 2 * ran


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "lcm"])
@pytest.mark.parametrize(
    ("steps", "end", "negatives"), [(6, 0.0, 0), (6, 0.5, 3), (1, 0.5, 0), (5, 0.9, 4), (6, 1.0, 6)]
)
def test_guidance_ends_where_it_is_said(
    patcher: Any, short_latent: dict, sampler: str, steps: int, end: float, negatives: int
) -> None:
    seen = watch_switches(patcher)
    sample(patcher, short_latent, steps, sampler_name=sampler, end_percent=end)
    skipped = [switches.skip_block for _, switches in seen]
    assert (skipped.count(1), skipped.count(POSITIVE)) == (negatives, steps)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "lcm"])
@pytest.mark.parametrize(
    ("steps", "start", "unimodal", "plain"),
    [(6, 0.0, 3, 3), (6, 0.2, 2, 3), (6, 0.5, 0, 3), (5, 0.9, 0, 1), (6, 1.0, 0, 0)],
)
def test_guidance_begins_where_it_is_said(
    patcher: Any, short_latent: dict, sampler: str, steps: int, start: float, unimodal: int, plain: int
) -> None:
    seen = watch_switches(patcher)
    sample(patcher, short_latent, steps, sampler_name=sampler, start_percent=start)
    passes = [(switches.audio_to_video, switches.skip_block) for _, switches in seen]
    assert [passes.count(of) for of in ((False, 1), (True, 1), (True, POSITIVE))] == [unimodal, plain, steps]


# Steps before the middle of the noise levels are not guided, whichever part of the schedule a sampler gets.
@pytest.mark.parametrize(("part", "negatives"), [("denoise", 6), ("first", 0), ("second", 6)])
def test_a_partial_schedule_begins_to_guide_at_the_same_level(
    patcher: Any, short_latent: dict, part: str, negatives: int
) -> None:
    whole = sigmas_of(patcher, "simple", 12)
    sigmas, full = {"denoise": (whole[6:], None), "first": (whole[:7], whole), "second": (whole[6:], whole)}[part]
    seen = watch_switches(patcher)
    sample_guided(guider_of(patcher, sigmas=full, start_percent=0.5), short_latent, sigmas)
    skipped = [switches.skip_block for _, switches in seen]
    assert (skipped.count(1), skipped.count(POSITIVE)) == (negatives, len(sigmas) - 1)


def test_guidance_ends_within_a_step_of_two_evaluations(patcher: Any, short_latent: dict) -> None:
    seen = watch_switches(patcher)
    heun = comfy.samplers.sampler_object("heun")
    sample_guided(guider_of(patcher, end_percent=0.5), short_latent, sigmas_of(patcher, "simple", 4), heun)
    skipped = [switches.skip_block for _, switches in seen]
    # Two evaluations a step but for the last; the second of the last guided step is at the next step's noise level.
    assert (skipped.count(1), skipped.count(POSITIVE)) == (3, 7)


# The steps from the middle of the noise levels on are not guided, or not unimodal, whatever else is known.
@pytest.mark.parametrize(
    ("part", "end", "negatives", "unimodal"),
    [
        ("denoise", 0.25, 0, 0), ("denoise", 0.5, 0, 0), ("denoise", 1.0, 6, 0),
        ("first", 0.25, 3, 3), ("first", 0.5, 6, 6), ("first", 1.0, 6, 6),
        ("second", 0.25, 0, 0), ("second", 0.5, 0, 0), ("second", 1.0, 6, 0),
    ],
)  # fmt: skip
def test_each_step_of_a_partial_schedule_has_one_negative_pass(
    patcher: Any, short_latent: dict, part: str, end: float, negatives: int, unimodal: int
) -> None:
    whole = sigmas_of(patcher, "simple", 12)
    sigmas, full = {"denoise": (whole[6:], None), "first": (whole[:7], whole), "second": (whole[6:], whole)}[part]
    seen = watch_switches(patcher)
    sample_guided(guider_of(patcher, sigmas=full, end_percent=end), short_latent, sigmas)
    negative = [(sigma, switches.audio_to_video) for sigma, switches in seen if switches.skip_block != POSITIVE]
    assert len(seen) - len(negative) == len(sigmas) - 1
    assert len({sigma for sigma, _ in negative}) == len(negative), "two negative passes in a step"
    assert (len(negative), sum(not joined for _, joined in negative)) == (negatives, unimodal)


def test_patches_of_guidance_go_with_its_end(patcher: Any, short_latent: dict) -> None:
    """A patch that works with the negative estimate gets no zeros in its place."""
    from comfy_extras.nodes_apg import APG

    projected = APG.execute(patcher, 1.0, 0.0, 0.0)[0]

    def both(end: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        ours, theirs = (sample(which, short_latent, 4, end_percent=end) for which in (projected, patcher))
        return ours, theirs

    assert_equal(*both(0.0))
    throughout, half = (relative_error(ours[0], theirs[0]) for ours, theirs in (both(1.0), both(0.5)))
    assert 1e-4 < half < 2 * throughout


def test_a_solver_that_wants_the_negative_estimate_gets_it(patcher: Any, short_latent: dict) -> None:
    assert_kept(short_latent, sample(patcher, short_latent, 4, sampler_name="euler_cfg_pp", end_percent=0.5))


def test_switches_of_the_task_reach_a_plain_ksampler(patcher: Any, latent: dict, conds: Any) -> None:
    latent["noise_mask"].unbind()[1][:] = 0
    seen = watch_switches(patcher)
    made = ksampler(patcher, latent, conds, 3)
    assert {(switches.audio_to_video, switches.video_to_audio) for _, switches in seen} == {(True, False)}
    assert_kept(latent, made)


def test_positive_and_negative_go_in_one_call(patcher: Any, short_latent: dict) -> None:
    calls = []

    def record(args: dict) -> list[torch.Tensor]:
        calls.append([len(conds) for conds in args["conds"]])
        return comfy.samplers.calc_cond_batch(
            args["model"], args["conds"], args["input"], args["sigma"], args["model_options"]
        )

    patcher.model_options["sampler_calc_cond_batch_function"] = record
    sample(patcher, short_latent, 4)
    # The negative cond is there twice, for the first steps and for the later ones.
    assert calls == [[1, 2]] * 4
