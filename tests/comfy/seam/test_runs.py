"""A run in ComfyUI equals the core's own loop, whatever node samples, and what is kept comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.sample
import comfy.samplers
import pytest
import torch
from clips import (
    SIZES,
    assert_close,
    assert_equal,
    assert_kept,
    conditions,
    guider_of,
    joint,
    ksampler,
    model,
    reference_voice,
    sample,
    sample_guided,
    state_dict,
    with_areas,
)
from comfy.nested_tensor import NestedTensor
from comfy_extras.nodes_custom_sampler import DisableNoise, DualCFGGuider, SplitSigmas
from pack.nodes import comfy_latent, comfy_model
from pack.nodes.sampling import Scheduler
from pack.tests.common import relative_error
from pack.uniavgen_core.backend import torch_operations
from pack.uniavgen_core.config import audio_tokens, pixel_frames
from pack.uniavgen_core.model.joint_dit import JointDiT
from pack.uniavgen_core.sampling.euler import Clip, Condition, sample_euler
from pack.uniavgen_core.sampling.guidance import Guidance
from pack.uniavgen_core.sampling.schedule import flow_sigmas

import nodes as comfy_nodes


def core_run(latent: dict, conds: Any, steps: int, guidance: Guidance | None = None) -> list[torch.Tensor]:
    """The core's own loop on ComfyUI's noise, in the units of the LATENT."""
    dit = JointDiT(SIZES, torch_operations)
    dit.load_state_dict(state_dict())
    loaded = model().model
    video, audio = latent["samples"].unbind()
    voice_mel = conds[0][0][1].get(comfy_model.REFERENCE_AUDIO)
    clip = Clip(
        video=loaded.latent_format.process_in(video),
        audio=comfy_model.normalise_mel(audio),
        kept=comfy_latent.kept_parts(latent),
        reference_image=loaded.latent_format.process_in(video[:1, :, :1]),
        reference_audio=None if voice_mel is None else comfy_model.normalise_mel(voice_mel),
    )
    noise = comfy.sample.prepare_noise(latent["samples"], 7).unbind()
    passes = [
        Condition(cond[0][0].expand(video.shape[0], -1, -1), cond[0][1][comfy_model.SYMBOLS].expand(video.shape[0], -1))
        for cond in conds
    ]
    samples = clip.put_back(
        sample_euler(
            dit, clip, tuple(noise), flow_sigmas(steps), positive=passes[0], negative=passes[1],
            guidance=guidance or Guidance(),
        )
    )  # fmt: skip
    return [loaded.latent_format.process_out(samples[0]), comfy_model.denormalise_mel(samples[1])]


def test_equals_the_core_loop(patcher: Any, latent: dict, conds: Any) -> None:
    assert_close(sample(patcher, latent, 5), core_run(latent, conds, 5), 1e-3)


def test_equals_the_core_loop_with_a_reference_voice(patcher: Any, latent: dict) -> None:
    conds = conditions(reference_voice(), "Hi")
    assert_close(sample(patcher, latent, 5, conds=conds), core_run(latent, conds, 5), 1e-3)


def test_equals_the_core_loop_with_some_sound_kept(patcher: Any, conds: Any) -> None:
    latent = joint(frames=4)
    video_mask, audio_mask = latent["noise_mask"].unbind()
    video_mask[:, :, :2] = 0
    audio_mask[:, :, :30] = 0
    latent["samples"].unbind()[1][:, :, :30] = -4.0
    samples = sample(patcher, latent, 4, conds=conds)
    assert_kept(latent, samples)
    assert_close(samples, core_run(latent, conds, 4), 1e-3)


@pytest.mark.parametrize("rows", [4, 5])
def test_equals_the_core_loop_with_areas_kept(patcher: Any, conds: Any, rows: int) -> None:
    latent = with_areas(joint(rows=rows))
    samples = sample(patcher, latent, 4, conds=conds)
    assert_kept(latent, samples)
    assert_close(samples, core_run(latent, conds, 4), 1e-3)


def test_equals_the_core_loop_where_guidance_ends_early(patcher: Any, short_latent: dict, conds: Any) -> None:
    window = {"start_percent": 0.2, "end_percent": 0.6}
    ours = sample(patcher, short_latent, 5, **window)
    assert_close(ours, core_run(short_latent, conds, 5, Guidance(**window)), 1e-3)


def test_same_seed_same_clip(patcher: Any, latent: dict) -> None:
    first = sample(patcher, latent)
    assert_equal(sample(patcher, latent), first)
    assert not torch.equal(sample(patcher, latent, seed=8)[0], first[0])


def test_guider_equals_sampler(patcher: Any, latent: dict) -> None:
    made = sample_guided(guider_of(patcher), latent, Scheduler.execute(4, 5.0, "released")[0])["samples"].unbind()
    assert_kept(latent, made)
    assert_equal(made, sample(patcher, latent))


@pytest.mark.parametrize("name", [name for name in comfy.samplers.SAMPLER_NAMES if "_gpu" not in name])
def test_every_sampler_brings_the_kept_part_back(patcher: Any, short_latent: dict, name: str) -> None:
    """Whole frames and tokens, and areas."""
    latent = with_areas(short_latent)
    samples = sample(patcher, latent, 3, sampler_name=name)
    for given, mask, result in zip(latent["samples"].unbind(), latent["noise_mask"].unbind(), samples, strict=True):
        kept = (mask == 0).expand_as(given)
        assert torch.equal(given[kept], result[kept])


@pytest.mark.parametrize("change", [dict, with_areas], ids=["a first frame", "areas"])
def test_split_schedule_equals_one_run(patcher: Any, latent: dict, change: Callable) -> None:
    latent = change(latent)
    sigmas = flow_sigmas(6)
    guider = guider_of(patcher, sigmas=sigmas)
    high, low = SplitSigmas.execute(sigmas, 2).args
    half = sample_guided(guider, latent, high)
    rest = sample_guided(guider, half, low, noise=DisableNoise.execute()[0])["samples"].unbind()
    assert_kept(latent, rest)
    assert_close(rest, sample(patcher, latent, 6), 1e-5)


def test_few_steps_of_a_multistep_solver_get_its_schedule(patcher: Any, short_latent: dict) -> None:
    def schedule(name: str, sampler: str) -> list[torch.Tensor]:
        return sample(patcher, short_latent, 4, sampler_name=sampler, scheduler=name)

    auto, simple, released = (schedule(name, "dpmpp_2m") for name in ("auto", "simple", "released"))
    assert_equal(auto, simple)
    assert not torch.equal(auto[0], released[0])
    assert_equal(schedule("auto", "euler"), schedule("released", "euler"))


def test_plain_ksampler_runs(patcher: Any, latent: dict, conds: Any) -> None:
    assert_kept(latent, ksampler(patcher, latent, conds, 3))


@pytest.mark.parametrize("change", [dict, with_areas], ids=["a first frame", "areas"])
def test_a_ksampler_starts_from_a_clip(patcher: Any, latent: dict, conds: Any, change: Callable) -> None:
    """With a denoise below 1."""
    latent = change(latent)
    clip = latent | {"samples": NestedTensor(sample(patcher, latent, conds=conds))}
    again = comfy_nodes.common_ksampler(patcher, 8, 4, 2.0, "euler", "simple", *conds, clip, denoise=0.4)[0]
    assert_kept(latent, again["samples"].unbind())
    assert relative_error(again["samples"].unbind()[0], clip["samples"].unbind()[0]) < 1.2


def test_a_core_guider_of_two_positives_runs(patcher: Any, short_latent: dict, conds: Any) -> None:
    guider = DualCFGGuider.execute(patcher, conds[0], *conds, 3.0, 2.0, "regular")[0]
    assert_kept(short_latent, sample_guided(guider, short_latent, flow_sigmas(3))["samples"].unbind())


@pytest.mark.parametrize("item", range(2))
@pytest.mark.parametrize("change", [dict, with_areas], ids=["a first frame", "areas"])
def test_a_clip_of_a_batch_equals_one_of_its_own(patcher: Any, change: Callable, item: int) -> None:
    pair = change(joint(batch=2))
    latent = pair | {"samples": NestedTensor([part[item : item + 1] for part in pair["samples"].unbind()])}
    noise = comfy.sample.prepare_noise(pair["samples"], 7).unbind()

    class GivenNoise:
        seed = 7

        def generate_noise(self, latent: dict) -> NestedTensor:
            return NestedTensor([part[item : item + 1] for part in noise])

    single = sample_guided(guider_of(patcher), latent, flow_sigmas(4), noise=GivenNoise())["samples"].unbind()
    assert_close([part[item : item + 1] for part in sample(patcher, pair)], single, 1e-4)


def test_two_runs_of_different_sizes(patcher: Any, short_latent: dict) -> None:
    first = sample(patcher, short_latent)
    sample(patcher, joint(frames=4, width=64, height=128))
    assert_equal(sample(patcher, short_latent), first)


def test_one_latent_frame(patcher: Any) -> None:
    latent = joint(frames=1)
    latent["noise_mask"].unbind()[0][:] = 1
    samples = sample(patcher, latent, conds=conditions(speech="I"))
    assert samples[0].shape[2] == 1 and samples[1].shape[2] == audio_tokens(pixel_frames(1))
    assert_kept(latent, samples)


def test_latents_that_are_no_multiple_of_the_patch(patcher: Any, conds: Any) -> None:
    latent = joint(frames=2, rows=5)
    samples = sample(patcher, latent)
    assert samples[0].shape[3:] == (5, 7)
    assert_close(samples, core_run(latent, conds, 4), 1e-3)
