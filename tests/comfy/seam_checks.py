"""What must hold inside ComfyUI: run by its python in its folder, one JSON line a check.

python seam_checks.py PACK FOLDER [NAME …]: PACK is the pack's folder, FOLDER an empty one for files.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

PACK, FOLDER, WANTED = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
sys.argv = ["main.py", "--cpu", "--base-directory", str(FOLDER)]
sys.path.insert(0, str(Path.cwd()))

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import torch  # noqa: E402
from comfy_extras.nodes_custom_sampler import (  # noqa: E402
    DisableNoise,
    Noise_RandomNoise,
    SamplerCustomAdvanced,
    SplitSigmas,
)
from comfy_extras.nodes_easycache import EasyCacheNode  # noqa: E402
from comfy_extras.nodes_torch_compile import TorchCompileModel  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import comfy.conds  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.ops  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.samplers  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import nodes as comfy_nodes  # noqa: E402
from comfy.nested_tensor import NestedTensor  # noqa: E402


def load_module(name: str, path: Path) -> ModuleType:
    """Import a file or package under a made-up name, as ComfyUI imports packs."""
    spec = importlib.util.spec_from_file_location(
        name, path / "__init__.py" if path.is_dir() else path, submodule_search_locations=[str(path)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


load_module("pack", PACK)
rule = load_module("golden_weights", PACK / "tests" / "golden_weights.py")

from pack.nodes import comfy_latent, comfy_loading, comfy_model  # noqa: E402
from pack.nodes.conditioning import Conditioning, ReferenceImage  # noqa: E402
from pack.nodes.sampling import Guider, Sampler, Scheduler  # noqa: E402
from pack.uniavgen_core.backend import torch_operations  # noqa: E402
from pack.uniavgen_core.config import ModelSizes, audio_tokens, pixel_frames  # noqa: E402
from pack.uniavgen_core.joint_latent import stream_shapes  # noqa: E402
from pack.uniavgen_core.model.joint_dit import JointDiT  # noqa: E402
from pack.uniavgen_core.sampling.euler import Clip, Condition, sample_euler  # noqa: E402
from pack.uniavgen_core.sampling.guidance import Guidance  # noqa: E402
from pack.uniavgen_core.sampling.schedule import flow_sigmas  # noqa: E402
from pack.uniavgen_core.tasks import KeptParts, kept_prefix  # noqa: E402

SIZES = ModelSizes(
    blocks=4, video_width=256, video_ffn_width=384, audio_width=128, audio_ffn_width=256, text_width=64,
    speech_width=64, speech_ffn_width=96,
)  # fmt: skip
SPEECH = "Hello"
GUIDED = Guidance()
GUIDANCE = {
    "video_scale": 3.0, "audio_scale": 2.0, "unimodal_end_percent": 0.5, "skip_block": {"skip_block": "auto"},
    "audio_to_video": "auto", "video_to_audio": "auto", "end_percent": 1.0,
}  # fmt: skip
CHECKS: dict[str, Callable[[], Any]] = {}


class Skipped(Exception):
    """Something that a check needs is not here; the message says what."""


def check(function: Callable[[], Any]) -> Callable[[], Any]:
    CHECKS[function.__name__] = function
    return function


def state_dict() -> dict[str, torch.Tensor]:
    return rule.weights_by_rule(JointDiT(SIZES, torch_operations, device="meta"))


def model_file(name: str = "model", **changes: Any) -> Path:
    path = FOLDER / f"{name}.safetensors"
    if not path.exists():
        save_file(changes.get("state") or state_dict(), path, changes.get("metadata"))
    return path


def model(options: dict[str, Any] | None = None) -> Any:
    return comfy_loading.load_model(str(model_file()), options or {"dtype": torch.float32})


def joint(frames: int = 3, width: int = 96, height: int = 64, batch: int = 1, rows: int | None = None) -> dict:
    """A joint latent with a random first frame that is kept."""
    shapes = stream_shapes(frames, width, height, batch)
    if rows is not None:
        shapes = ((*shapes[0][:3], rows, rows + 2), shapes[1])
    picture = torch.randn((1, 48, 1, *shapes[0][3:]), generator=torch.Generator().manual_seed(1))
    return comfy_latent.joint_latent(shapes, kept_prefix(frames, shapes[1][2], 1), picture)


def caption(seed: int, rows: int = 12) -> list:
    return [[torch.randn(1, rows, SIZES.text_width, generator=torch.Generator().manual_seed(seed)), {}]]


def conditions(voice: dict | None = None, speech: str = SPEECH) -> tuple[list, list]:
    out = Conditioning.execute(caption(2), caption(3), speech, "auto", **voice or {})
    return out[0], out[1]


def voice() -> dict:
    sound = torch.randn(1, 2, 24000, generator=torch.Generator().manual_seed(4)) * 0.1
    return {
        "reference_audio": {"waveform": sound, "sample_rate": 24000},
        "reference_transcript": "Selected forms.",
    }


def sample(patcher: Any, latent: dict, steps: int = 4, seed: int = 7, conds=None, **changes: Any) -> list[torch.Tensor]:
    positive, negative = conds or conditions()
    settings = {"shift": 5.0, "scheduler": "auto", "sampler_name": "euler", **GUIDANCE, **changes}
    out = Sampler.execute(patcher, positive, negative, latent, seed, steps, **settings)
    return out[0]["samples"].unbind()


def error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def assert_close(ours: list[torch.Tensor], theirs: list[torch.Tensor], limit: float) -> list[float]:
    errors = [error(a, b) for a, b in zip(ours, theirs, strict=True)]
    assert all(value <= limit for value in errors), f"relative errors {errors}, limit {limit}"
    return errors


def assert_kept(latent: dict, samples: list[torch.Tensor]) -> None:
    for given, mask, result in zip(latent["samples"].unbind(), latent["noise_mask"].unbind(), samples, strict=True):
        kept = (mask == 0).expand_as(given)
        assert torch.equal(given[kept], result[kept]), "the kept part did not come back exactly"
        assert torch.isfinite(result).all(), "not finite"


def core_run(
    latent: dict, conds: tuple[list, list], steps: int, seed: int = 7, guidance: Guidance = GUIDED
) -> list[torch.Tensor]:
    """The core's own loop on ComfyUI's noise, in the units of the LATENT."""
    dit = JointDiT(SIZES, torch_operations)
    dit.load_state_dict(state_dict())
    loaded = model().model
    video, audio = latent["samples"].unbind()
    masks = [mask.expand_as(part) for mask, part in zip(latent["noise_mask"].unbind(), (video, audio), strict=True)]
    kept = KeptParts(
        tuple((masks[0].amax(dim=(0, 1, 3, 4)) == 0).tolist()), tuple((masks[1].amax(dim=(0, 1, 3)) == 0).tolist())
    )
    positive, negative = conds
    voice_mel = positive[0][1].get(comfy_model.REFERENCE_AUDIO)
    clip = Clip(
        video=loaded.latent_format.process_in(video),
        audio=comfy_model.normalise_mel(audio),
        kept=kept,
        reference_image=loaded.latent_format.process_in(video[:1, :, :1]),
        reference_audio=None if voice_mel is None else comfy_model.normalise_mel(voice_mel),
    )
    noise = comfy.sample.prepare_noise(latent["samples"], seed).unbind()
    told = [
        Condition(cond[0][0].expand(video.shape[0], -1, -1), cond[0][1][comfy_model.SYMBOLS].expand(video.shape[0], -1))
        for cond in conds
    ]
    samples = clip.put_back(
        sample_euler(dit, clip, tuple(noise), flow_sigmas(steps), positive=told[0], negative=told[1], guidance=guidance)
    )
    return [loaded.latent_format.process_out(samples[0]), comfy_model.denormalise_mel(samples[1])]


@check
def equals_the_core_loop() -> Any:
    latent = joint()
    return assert_close(sample(model(), latent, 5), core_run(latent, conditions(), 5), 1e-3)


@check
def equals_the_core_loop_with_a_reference_voice() -> Any:
    latent = joint()
    conds = conditions(voice(), "Hi")
    return assert_close(sample(model(), latent, 5, conds=conds), core_run(latent, conds, 5), 1e-3)


@check
def equals_the_core_loop_with_some_sound_kept() -> Any:
    latent = joint(frames=4)
    video_mask, audio_mask = latent["noise_mask"].unbind()
    video_mask[:, :, :2] = 0
    audio_mask[:, :, :30] = 0
    latent["samples"].unbind()[1][:, :, :30] = -4.0
    conds = conditions()
    samples = sample(model(), latent, 4, conds=conds)
    assert_kept(latent, samples)
    return assert_close(samples, core_run(latent, conds, 4), 1e-3)


@check
def same_seed_same_clip() -> Any:
    patcher, latent = model(), joint()
    first, second, other = sample(patcher, latent), sample(patcher, latent), sample(patcher, latent, seed=8)
    assert all(map(torch.equal, first, second)), "the same seed gave another clip"
    assert not torch.equal(first[0], other[0]), "another seed gave the same clip"
    return None


@check
def guider_equals_sampler() -> Any:
    patcher, latent = model(), joint()
    positive, negative = conditions()
    guider = Guider.execute(patcher, positive, negative, **GUIDANCE)[0]
    sampler = comfy.samplers.sampler_object("euler")
    sigmas = Scheduler.execute(4, 5.0, "released")[0]
    out = SamplerCustomAdvanced.execute(Noise_RandomNoise(7), guider, sampler, sigmas, latent)
    assert_kept(latent, out[0]["samples"].unbind())
    return assert_close(out[0]["samples"].unbind(), sample(patcher, latent), 0.0)


@check
def segments_are_told_by_what_they_are_sampled_with() -> Any:
    from comfy_extras.nodes_model_advanced import ModelSamplingSD3
    from pack.nodes.comfy_guider import SegmentSampler

    plain, latent = model(), joint()
    shifted = {shift: ModelSamplingSD3().patch(plain, shift)[0] for shift in (3.0, 4.0)}

    def segments(patcher: Any, seed: int = 7, sampler: str = "euler", speech: str = SPEECH, **changes: Any) -> Any:
        guider = Guider.execute(patcher, *conditions(speech=speech), **{**GUIDANCE, **changes})[0]
        first_frame = latent["samples"].unbind()[0][:, :, :1]
        sampler_object = comfy.samplers.sampler_object(sampler)
        return SegmentSampler(guider, sampler_object, flow_sigmas(2), Noise_RandomNoise(seed), first_frame)

    first = segments(shifted[3.0])
    before = first.identity()
    told = caption(5)[0][0], first.guider.original_conds["positive"][0][comfy_model.SYMBOLS]
    ours, theirs = (first.sample(latent, *told, seed=seed) for seed in (7, 2**64 + 7))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)), "seeds are taken modulo 2^64"
    assert before == first.identity() == segments(shifted[3.0], seed=8).identity()
    assert before == segments(shifted[3.0], speech="Other words.").identity(), "the script has the words"
    others = [
        segments(plain), segments(shifted[4.0]), segments(shifted[3.0], sampler="ddim"),
        segments(shifted[3.0], video_scale=3.5), segments(shifted[3.0], end_percent=0.5), segments(shifted[3.0]),
    ]  # fmt: skip
    others[-1].noise.strength = 0.5
    assert len({before, *(other.identity() for other in others)}) == 7
    return None


@check
def every_sampler_brings_the_kept_part_back() -> Any:
    patcher, latent = model(), joint(frames=2)
    names = [name for name in comfy.samplers.SAMPLER_NAMES if "_gpu" not in name]
    for name in names:
        try:
            samples = sample(patcher, latent, 3, sampler_name=name)
        except Exception as fault:
            raise AssertionError(f"{name}: {fault!r}") from fault
        for given, mask, result in zip(latent["samples"].unbind(), latent["noise_mask"].unbind(), samples, strict=True):
            kept = (mask == 0).expand_as(given)
            assert torch.equal(given[kept], result[kept]), f"{name}: the kept part did not come back exactly"
    return len(names)


@check
def split_schedule_equals_one_run() -> Any:
    patcher, latent = model(), joint()
    positive, negative = conditions()
    sigmas = flow_sigmas(6)
    guider = Guider.execute(patcher, positive, negative, **GUIDANCE, full_sigmas=sigmas)[0]
    sampler = comfy.samplers.sampler_object("euler")
    high, low = SplitSigmas.execute(sigmas, 2).args
    half = SamplerCustomAdvanced.execute(Noise_RandomNoise(7), guider, sampler, high, latent)[0]
    rest = SamplerCustomAdvanced.execute(DisableNoise.execute()[0], guider, sampler, low, half)[0]
    assert_kept(latent, rest["samples"].unbind())
    return assert_close(rest["samples"].unbind(), sample(patcher, latent, 6), 1e-5)


@check
def guided_steps_are_the_first_half() -> Any:
    patcher, latent = model(), joint(frames=2)
    positive, negative = conditions()
    seen: list[tuple[bool, bool, int]] = []

    def record(apply_model: Callable, args: dict) -> torch.Tensor:
        switches = args["c"]["switches"]
        seen.append((switches.audio_to_video, switches.video_to_audio, switches.skip_block))
        return apply_model(args["input"], args["timestep"], **args["c"])

    patcher.set_model_unet_function_wrapper(record)
    for steps in (1, 2, 5, 6):
        for scheduler in ("uniavgen", "simple", "karras", "beta"):
            seen.clear()
            sigmas = flow_sigmas(steps)
            if scheduler != "uniavgen":
                sigmas = comfy.samplers.calculate_sigmas(patcher.get_model_object("model_sampling"), scheduler, steps)
            guider = Guider.execute(patcher, positive, negative, **GUIDANCE)[0]
            sampler = comfy.samplers.sampler_object("euler")
            SamplerCustomAdvanced.execute(Noise_RandomNoise(7), guider, sampler, sigmas, latent)
            ran = len(sigmas) - 1
            off = seen.count((False, False, 1))
            assert len(seen) == 2 * ran, f"{scheduler}, {steps} steps: {len(seen)} forwards in {ran} steps"
            assert off == ran // 2, f"{scheduler}, {steps} steps: {off} guided"
            assert seen.count((True, True, -1)) == ran and seen.count((True, True, 1)) == ran - off, seen
    return None


@check
def guidance_ends_where_it_is_told() -> Any:
    latent = joint(frames=2)
    conds = conditions()
    ended = Guidance(end_percent=0.5)
    close = assert_close(sample(model(), latent, 5, end_percent=0.5), core_run(latent, conds, 5, guidance=ended), 1e-3)
    patcher, seen = model(), []

    def record(apply_model: Callable, args: dict) -> torch.Tensor:
        seen.append(args["c"]["switches"].skip_block)
        return apply_model(args["input"], args["timestep"], **args["c"])

    patcher.set_model_unet_function_wrapper(record)
    sampling = patcher.get_model_object("model_sampling")
    for steps, end, negatives in ((6, 0.0, 0), (6, 0.5, 3), (1, 0.5, 0), (5, 0.9, 4), (6, 1.0, 6)):
        for sampler in ("euler", "dpmpp_2m", "lcm"):
            seen.clear()
            sample(patcher, latent, steps, sampler_name=sampler, end_percent=end)
            assert seen.count(1) == negatives and seen.count(-1) == steps, (sampler, steps, end, seen)
    seen.clear()
    guider = Guider.execute(patcher, *conds, **{**GUIDANCE, "end_percent": 0.5})[0]
    heun = comfy.samplers.sampler_object("heun")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", 4)
    SamplerCustomAdvanced.execute(Noise_RandomNoise(7), guider, heun, sigmas, latent)
    # Two evaluations a step but for the last; the second of the last guided step is at the next step's noise level.
    assert seen.count(1) == 3 and seen.count(-1) == 7, seen
    return close


@check
def each_step_of_a_partial_schedule_has_one_negative_pass() -> Any:
    patcher, latent = model(), joint(frames=2)
    conds = conditions()
    seen: list[tuple[float, bool, int]] = []

    def record(apply_model: Callable, args: dict) -> torch.Tensor:
        switches = args["c"]["switches"]
        seen.append((round(float(args["timestep"][0]), 4), switches.audio_to_video, switches.skip_block))
        return apply_model(args["input"], args["timestep"], **args["c"])

    patcher.set_model_unet_function_wrapper(record)
    sampling = patcher.get_model_object("model_sampling")
    whole = comfy.samplers.calculate_sigmas(sampling, "simple", 12)
    parts = {"denoise": (whole[6:], None), "first": (whole[:7], whole), "second": (whole[6:], whole)}
    euler, out = comfy.samplers.sampler_object("euler"), {}
    for name, (sigmas, full) in parts.items():
        for end in (0.25, 0.5, 1.0):
            seen.clear()
            guider = Guider.execute(patcher, *conds, **{**GUIDANCE, "end_percent": end}, full_sigmas=full)[0]
            SamplerCustomAdvanced.execute(Noise_RandomNoise(7), guider, euler, sigmas, latent)
            negatives = [(sigma, on) for sigma, on, skipped in seen if skipped != -1]
            assert len(seen) - len(negatives) == len(sigmas) - 1, seen
            assert len({sigma for sigma, _ in negatives}) == len(negatives), f"{name}: two negative passes in a step"
            out[f"{name} {end}"] = [len(negatives), sum(not on for _, on in negatives)]
    # The steps from the middle of the noise levels on are not guided, or not unimodal, whatever else is known.
    assert out == {
        "denoise 0.25": [0, 0], "denoise 0.5": [0, 0], "denoise 1.0": [6, 0],
        "first 0.25": [3, 3], "first 0.5": [6, 6], "first 1.0": [6, 6],
        "second 0.25": [0, 0], "second 0.5": [0, 0], "second 1.0": [6, 0],
    }, out  # fmt: skip
    return out


@check
def patches_of_guidance_go_with_its_end() -> Any:
    """A solver that wants the negative estimate gets it, and a patch that works with it gets no zeros in its place."""
    from comfy_extras.nodes_apg import APG

    patcher, latent = model(), joint(frames=2)
    projected = APG.execute(patcher, 1.0, 0.0, 0.0)[0]

    def both(end: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return sample(projected, latent, 4, end_percent=end), sample(patcher, latent, 4, end_percent=end)

    assert all(map(torch.equal, *both(0.0))), "a patch of guidance changed a run without any"
    throughout, half = (error(ours[0], theirs[0]) for ours, theirs in (both(1.0), both(0.5)))
    assert 1e-4 < half < 2 * throughout, (half, throughout)
    assert_kept(latent, sample(patcher, latent, 4, sampler_name="euler_cfg_pp", end_percent=0.5))
    return half, throughout


@check
def few_steps_of_a_multistep_solver_get_its_schedule() -> Any:
    patcher, latent = model(), joint(frames=2)

    def schedule(name: str) -> list[torch.Tensor]:
        return sample(patcher, latent, 4, sampler_name="dpmpp_2m", scheduler=name)

    auto, simple, released = map(schedule, ("auto", "simple", "released"))
    assert all(map(torch.equal, auto, simple)) and not torch.equal(auto[0], released[0])
    euler = [sample(patcher, latent, 4, scheduler=name) for name in ("auto", "released")]
    assert all(map(torch.equal, *euler))
    return None


@check
def task_switches_reach_a_plain_ksampler() -> Any:
    latent = joint(frames=3)
    latent["noise_mask"].unbind()[1][:] = 0
    patcher = model()
    positive, negative = conditions()
    seen = set()

    def record(apply_model: Callable, args: dict) -> torch.Tensor:
        seen.add((args["c"]["switches"].audio_to_video, args["c"]["switches"].video_to_audio))
        return apply_model(args["input"], args["timestep"], **args["c"])

    patcher.set_model_unet_function_wrapper(record)
    out = comfy_nodes.common_ksampler(patcher, 7, 3, 3.0, "euler", "simple", positive, negative, latent)[0]
    assert seen == {(True, False)}, seen
    assert_kept(latent, out["samples"].unbind())
    return None


@check
def plain_ksampler_runs() -> Any:
    latent = joint()
    positive, negative = conditions()
    out = comfy_nodes.common_ksampler(model(), 7, 3, 3.0, "euler", "simple", positive, negative, latent)[0]
    assert_kept(latent, out["samples"].unbind())
    return None


@check
def batch_of_two_equals_two_single_runs() -> Any:
    patcher = model()
    pair = joint(batch=2)
    conds = conditions()
    noise = comfy.sample.prepare_noise(pair["samples"], 7).unbind()
    both = sample(patcher, pair, conds=conds)

    class GivenNoise:
        seed = 7

        def __init__(self, item: int):
            self.item = item

        def generate_noise(self, latent: dict) -> NestedTensor:
            return NestedTensor([part[self.item : self.item + 1] for part in noise])

    errors = []
    for item in range(2):
        guider = Guider.execute(patcher, *conds, **GUIDANCE)[0]
        sampler = comfy.samplers.sampler_object("euler")
        single = SamplerCustomAdvanced.execute(GivenNoise(item), guider, sampler, flow_sigmas(4), joint())[0]
        errors += assert_close([part[item : item + 1] for part in both], single["samples"].unbind(), 1e-4)
    return errors


@check
def two_runs_of_different_sizes() -> Any:
    patcher = model()
    first = sample(patcher, joint(frames=2))
    sample(patcher, joint(frames=4, width=64, height=128))
    again = sample(patcher, joint(frames=2))
    assert all(map(torch.equal, first, again)), "a run in between changed the result"
    return None


@check
def one_latent_frame() -> Any:
    latent = joint(frames=1)
    latent["noise_mask"].unbind()[0][:] = 1
    samples = sample(model(), latent, conds=conditions(speech="I"))
    assert samples[0].shape[2] == 1 and samples[1].shape[2] == audio_tokens(pixel_frames(1))
    assert_kept(latent, samples)
    return None


@check
def latents_that_are_no_multiple_of_the_patch() -> Any:
    latent = joint(frames=2, rows=5)
    samples = sample(model(), latent)
    assert samples[0].shape[3:] == (5, 7)
    return assert_close(samples, core_run(latent, conditions(), 4), 1e-3)


def lora(names: list[str], patcher: Any, form: str) -> dict[str, torch.Tensor]:
    weights = patcher.model.diffusion_model.state_dict()
    out, generator = {}, torch.Generator().manual_seed(5)
    for name in names:
        rows, columns = weights[f"{name}.weight"].shape[:2]
        down, up = torch.randn(4, columns, generator=generator), torch.randn(rows, 4, generator=generator)
        if form == "kohya":
            prefix = "lora_unet_" + name.replace(".", "_")
            out |= {f"{prefix}.lora_down.weight": down, f"{prefix}.lora_up.weight": up}
            out[f"{prefix}.alpha"] = torch.tensor(4.0)
        else:
            out |= {
                f"diffusion_model.{name}.lora_A.weight": down,
                f"diffusion_model.{name}.lora_B.weight": up,
            }
    return out


@check
def a_wan_lora_changes_the_weights() -> Any:
    names = ["blocks.0.self_attn.q", "blocks.3.cross_attn.o", "blocks.1.ffn.0", "time_embedding.0", "head.head"]
    latent = joint(frames=2)
    plain = sample(model(), latent)
    for form in ("diffusers", "kohya"):
        patcher = model()
        patched, _ = comfy.sd.load_lora_for_models(patcher, None, lora(names, patcher, form), 0.5, 0.0)
        keys = set(patched.patches)
        assert keys == {f"diffusion_model.{name}.weight" for name in names}, f"{form}: {keys}"
        before = {key: patched.model.state_dict()[key].clone() for key in keys}
        changed = sample(patched, latent)
        after = patched.model.state_dict()
        for key in keys:
            assert not torch.equal(before[key], after[key]), f"{form}: {key} did not change"
        assert error(changed[0], plain[0]) > 1e-3, f"{form}: the picture did not change"
        assert error(changed[1], plain[1]) > 1e-4, f"{form}: the sound did not change"
        patched.detach()
        assert all(map(torch.equal, sample(patcher, latent), plain)), f"{form}: removing it left a trace"
    return None


@check
def easycache_skips_steps() -> Any:
    patcher, latent = model(), joint()
    forwards = []

    def watch(apply_model: Callable, args: dict) -> torch.Tensor:
        before = args["input"].clone()
        output = apply_model(args["input"], args["timestep"], **args["c"])
        assert torch.equal(args["input"], before), "a skipped step changed the latent itself"
        return output

    patcher.set_model_unet_function_wrapper(watch)
    inner = patcher.model.diffusion_model._forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        forwards.append(1)
        return inner(*args, **kwargs)

    patcher.model.diffusion_model._forward = counted
    cached = EasyCacheNode.execute(patcher, 0.5, 0.1, 0.95, False)[0]
    assert_kept(latent, sample(cached, latent, 10))
    assert 4 <= len(forwards) < 20, f"{len(forwards)} forwards of 20"
    return len(forwards)


@check
def compiled_equals_eager() -> Any:
    latent = joint(frames=2)
    compiled = TorchCompileModel.execute(model(), "eager")[0]
    return assert_close(sample(compiled, latent, 1), sample(model(), latent, 1), 1e-4)


@check
def a_block_compiles_as_one_graph() -> Any:
    from comfy.ldm.modules.attention import attention_pytorch

    latent, patcher, graphs = joint(frames=2), model(), []
    dit = patcher.model.diffusion_model
    # The attention of a GPU. That of --cpu looks how much memory is free, which no graph can hold.
    patcher.model_options["transformer_options"] = {
        "optimized_attention_override": lambda usual, *args, **kwargs: attention_pytorch(*args, **kwargs)
    }

    def count(graph: Any, inputs: list) -> Callable:
        graphs.append(graph)
        return graph.forward

    for blocks in (dit.blocks, dit.audio_blocks, dit.a2v_blocks, dit.v2a_blocks):
        blocks[0].compile(backend=count, fullgraph=True, dynamic=False)
    errors = assert_close(sample(patcher, latent, 1), sample(model(), latent, 1), 1e-4)
    assert len(graphs) == 4, f"{len(graphs)} graphs of four kinds of blocks"
    return errors


@check
def positive_and_negative_go_in_one_call() -> Any:
    patcher, latent = model(), joint(frames=2)
    calls = []

    def record(args: dict) -> list[torch.Tensor]:
        calls.append([len(conds) for conds in args["conds"]])
        return comfy.samplers.calc_cond_batch(
            args["model"], args["conds"], args["input"], args["sigma"], args["model_options"]
        )

    patcher.model_options["sampler_calc_cond_batch_function"] = record
    sample(patcher, latent, 4)
    # The negative cond is there twice, for the first steps and for the later ones.
    assert calls == [[1, 2]] * 4, calls
    return None


@check
def attention_is_the_users() -> Any:
    """Also that each attention goes through what a node or a flag of ComfyUI puts in its place."""
    from comfy.ldm.modules import attention

    assert comfy_model.optimized_attention is attention.optimized_attention
    latent, calls, out = joint(frames=2), [], {}
    plain = sample(model(), latent, 2)
    for name in ("pytorch", "split", "sub_quad"):
        chosen = attention.REGISTERED_ATTENTION_FUNCTIONS[name]

        def override(usual: Callable, *args: Any, chosen: Callable = chosen, **kwargs: Any) -> torch.Tensor:
            calls.append(kwargs.get("transformer_options") is not None)
            return chosen(*args, **kwargs)

        patcher = model()
        patcher.model_options["transformer_options"] = {"optimized_attention_override": override}
        before = len(calls)
        out[name] = assert_close(sample(patcher, latent, 2), plain, 1e-4)
        least = 2 * (2 * SIZES.blocks * 2 - 2 * 2) + 2 * SIZES.interactions
        assert len(calls) - before > least, f"{len(calls) - before} calls of more than {least}"
    assert all(calls), "a call had no options"
    return out


@check
def fp8_weights_run() -> Any:
    latent = joint(frames=2)
    exact = sample(model(), latent, 2)
    out = {}
    for name in ("fp8_e4m3fn", "fp8_e5m2"):
        samples = sample(model(comfy_loading.WEIGHT_DTYPES[name]), latent, 2)
        assert_kept(latent, samples)
        out[name] = error(samples[0], exact[0])
        assert 1e-6 < out[name] < 0.2, out
    return out


@check
def converted_fp8_file_runs() -> Any:
    from pack.uniavgen_core import convert

    source, target = model_file(), FOLDER / "scaled.safetensors"
    convert.convert(source, target, "fp8_e4m3fn", force=True)
    latent = joint(frames=2)
    samples = sample(comfy_loading.load_model(str(target)), latent, 2)
    assert_kept(latent, samples)
    difference = error(samples[0], sample(model(), latent, 2)[0])
    assert 1e-6 < difference < 0.08, difference
    return difference


def quantised_file(form: str) -> Path:
    """The model with the Linears of its video blocks in a format of ComfyUI's."""
    from comfy import quant_ops

    state = state_dict()
    for name in [name for name in state if re.fullmatch(r"blocks\.\d+\.(self_attn|cross_attn)\.[qkvo]\.weight", name)]:
        layout = quant_ops.QUANT_ALGOS[form]["comfy_tensor_layout"]
        weight = quant_ops.QuantizedTensor.from_float(state.pop(name).bfloat16(), layout)
        state |= {key: tensor.contiguous() for key, tensor in weight.state_dict(name).items()}
        told = torch.tensor(list(json.dumps({"format": form}).encode()), dtype=torch.uint8)
        state[name.removesuffix("weight") + "comfy_quant"] = told
    return model_file(form, state=state)


@check
def files_of_comfyuis_quantised_formats_run() -> Any:
    from comfy import quant_ops

    latent, out = joint(frames=2), {}
    exact = sample(model(), latent, 2)
    for form in quant_ops.QUANT_ALGOS:
        samples = sample(comfy_loading.load_model(str(quantised_file(form))), latent, 2)
        assert_kept(latent, samples)
        out[form] = error(samples[0], exact[0])
    assert out and all(1e-6 < difference < 0.12 for difference in out.values()), out
    return out


def gguf_reader() -> ModuleType:
    """ComfyUI-GGUF out of ComfyUI's own custom_nodes."""
    folder = Path.cwd() / "custom_nodes" / "ComfyUI-GGUF"
    if not folder.is_dir():
        raise Skipped(f"no {folder.name} in {folder.parent}")
    reader = sys.modules.get("gguf_reader") or load_module("gguf_reader", folder)
    comfy_nodes.NODE_CLASS_MAPPINGS.update(reader.NODE_CLASS_MAPPINGS)
    return reader


def gguf_file(form: str, name: str = "") -> str:
    """The model's name among the loader's choices, converted to GGUF."""
    from pack.uniavgen_core import convert

    folder = FOLDER / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{form}.gguf"
    if not file.exists():
        convert.convert(model_file(), file, form)
    return file.rename(folder / name).name if name else file.name


@check
def gguf_needs_what_reads_it() -> Any:
    from pack.nodes.loaders import ModelLoader, model_choices

    name = gguf_file("q4_1")
    for class_name in [key for key in comfy_nodes.NODE_CLASS_MAPPINGS if key.endswith("GGUF")]:
        del comfy_nodes.NODE_CLASS_MAPPINGS[class_name]
    assert name not in model_choices(), "listed without what reads it"
    told = ModelLoader.validate_inputs(name)
    assert "install it and restart ComfyUI" in told, told
    gguf_reader()
    assert ModelLoader.validate_inputs(name) is True
    other = type("UnetLoaderGGUF", (), {"__module__": "re"})
    comfy_nodes.NODE_CLASS_MAPPINGS["UnetLoaderGGUF"] = other
    told = refusal(lambda: ModelLoader.execute(name, "default"))
    assert "of another version" in told, told
    gguf_reader()
    return told


@check
def gguf_files_run() -> Any:
    from pack.nodes.loaders import ModelLoader

    gguf_reader()
    latent, out = joint(frames=2), {}
    exact = sample(model(), latent, 2)
    for form, limit in {"q8_0": 0.02, "q5_1": 0.1, "q4_0": 0.2}.items():
        name = gguf_file(form)
        assert ModelLoader.validate_inputs(name) is True
        samples = sample(ModelLoader.execute(name, "default")[0], latent, 2)
        assert_kept(latent, samples)
        out[form] = [error(ours, theirs) for ours, theirs in zip(samples, exact, strict=True)]
        assert all(1e-6 < value < limit for value in out[form]), out
    assert "set weight_dtype to" in refusal(lambda: ModelLoader.execute("q8_0.gguf", "fp8_e4m3fn"))
    ModelLoader.execute(gguf_file("q5_0", "CAPITALS.GGUF"), "default")
    return out


@check
def a_gguf_model_is_made_again_for_another_card() -> Any:
    from pack.nodes.loaders import ModelLoader

    gguf_reader()
    patcher, latent = ModelLoader.execute(gguf_file("q8_0"), "default")[0], joint(frames=2)
    factory, arguments = patcher.cached_patcher_init
    again = factory(*arguments)
    assert type(again) is type(patcher) and again.model is not patcher.model
    assert all(map(torch.equal, sample(again, latent, 2), sample(patcher, latent, 2)))
    return None


@check
def a_lora_fits_a_gguf_file() -> Any:
    from pack.nodes.loaders import ModelLoader

    gguf_reader()
    patcher, latent = ModelLoader.execute(gguf_file("q8_0"), "default")[0], joint(frames=2)
    plain = sample(patcher, latent, 2)
    weights = lora(["blocks.0.self_attn.q", "blocks.1.ffn.0", "time_embedding.0"], model(), "diffusers")
    changed = {}
    for kind, source in (("gguf", patcher), ("float", model())):
        patched, _ = comfy.sd.load_lora_for_models(source, None, weights, 1.0, 0.0)
        changed[kind] = sample(patched, latent, 2)
    assert error(changed["gguf"][0], plain[0]) > 1e-3, "the LoRA changed nothing"
    assert all(map(torch.equal, sample(patcher, latent, 2), plain)), "the LoRA left a trace"
    return assert_close(changed["gguf"], changed["float"], 0.05)


@check
def what_is_no_gguf_of_this_model_is_named() -> Any:
    from pack.nodes.comfy_loading import load_gguf

    gguf_reader()
    import gguf

    broken, other = FOLDER / "broken.gguf", FOLDER / "other.gguf"
    whole = FOLDER / "models" / "diffusion_models" / gguf_file("q8_0")
    broken.write_bytes(whole.read_bytes()[:5000])
    writer = gguf.GGUFWriter(other, "flux")
    writer.add_tensor("img_in.weight", torch.zeros(32, 32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return [
        refused(lambda: load_gguf(str(broken)), "broken.gguf"),
        refused(lambda: load_gguf(str(other)), "other.gguf", "not a UniAVGen model"),
    ]


@check
def offloaded_weights_run() -> Any:
    """Most of the model stays where it is and is cast at use, as with --lowvram."""
    latent = joint(frames=2)
    exact = sample(model(), latent, 2)
    patcher = model({"dtype": torch.bfloat16})
    patcher.model.manual_cast_dtype = torch.float32
    full_load = type(patcher).partially_load
    moved = []

    def limited(self: Any, device: Any, extra_memory: int = 0, force_patch_weights: bool = False) -> Any:
        self.load(device, lowvram_model_memory=1, force_patch_weights=force_patch_weights)
        moved.append(sum(getattr(m, "comfy_cast_weights", False) for m in self.model.modules()))
        return 0

    type(patcher).partially_load = limited
    try:
        samples = sample(patcher, latent, 2)
    finally:
        type(patcher).partially_load = full_load
    assert_kept(latent, samples)
    assert moved and moved[0] > 50, f"{moved} layers cast at use"
    difference = error(samples[0], exact[0])
    assert difference < 0.02, difference
    return difference


@check
def float32_layers_are_float32_with_fast_fp8() -> Any:
    """The time embedding is the same with ComfyUI's fast fp8 layers as with its slow ones."""
    fast = comfy_model.comfy_operations(comfy.ops.fp8_ops).Float32Linear(64, 48, dtype=torch.float8_e4m3fn)
    weight = torch.randn(48, 64, generator=torch.Generator().manual_seed(6)) / 8
    fast.load_state_dict({"weight": weight.to(torch.float8_e4m3fn), "bias": torch.zeros(48).to(torch.float8_e4m3fn)})
    x = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(7))
    assert_close([fast(x)], [x @ weight.to(torch.float8_e4m3fn).float().T], 1e-6)
    linear = comfy_model.comfy_operations(comfy.ops.fp8_ops).Linear(64, 48, dtype=torch.float8_e4m3fn)
    linear.load_state_dict(fast.state_dict())
    loud = x.unsqueeze(1) * 1000
    before, dimensions = loud.clone(), []

    def product(layer: torch.nn.Module, input: torch.Tensor) -> None:
        """As ComfyUI's, but for the product itself, which a processor does very slowly."""
        dimensions.append(input.ndim)
        input.clamp_(-448, 448)

    with mock.patch.object(comfy.ops, "fp8_linear", product):
        assert linear(loud).shape == (2, 1, 3, 48)
    assert dimensions == [3] and torch.equal(loud, before), "the input was changed"
    return None


@check
def a_model_is_freed_with_its_patcher() -> Any:
    import gc
    import weakref

    patcher = model()
    alive = weakref.ref(patcher.model)
    gc.collect()
    gc.disable()
    try:
        del patcher
        assert alive() is None, "something holds the model"
    finally:
        gc.enable()
    return None


@check
def a_core_guider_of_two_positives_runs() -> Any:
    from comfy_extras.nodes_custom_sampler import DualCFGGuider

    patcher, latent = model(), joint(frames=2)
    positive, negative = conditions()
    guider = DualCFGGuider.execute(patcher, positive, positive, negative, 3.0, 2.0, "regular")[0]
    sampler = comfy.samplers.sampler_object("euler")
    out = SamplerCustomAdvanced.execute(Noise_RandomNoise(7), guider, sampler, flow_sigmas(3), latent)[0]
    assert_kept(latent, out["samples"].unbind())
    return None


@check
def a_ksampler_starts_from_a_clip() -> Any:
    """With a denoise below 1."""
    patcher, latent = model(), joint()
    conds = conditions()
    clip = dict(latent, samples=NestedTensor(sample(patcher, latent, conds=conds)))
    again = comfy_nodes.common_ksampler(patcher, 8, 4, 2.0, "euler", "simple", *conds, clip, denoise=0.4)[0]
    assert_kept(latent, again["samples"].unbind())
    assert error(again["samples"].unbind()[0], clip["samples"].unbind()[0]) < 1.2
    return None


@check
def core_nodes_encode_and_decode_sound() -> Any:
    from comfy_extras.nodes_audio import VAEDecodeAudio, VAEEncodeAudio
    from pack.nodes.comfy_codecs import AudioCodec, cpu_device
    from pack.uniavgen_core.audio.vocoder import GriffinLim

    codec, latent = AudioCodec(GriffinLim(), cpu_device()), joint(frames=5)
    tone = torch.sin(torch.arange(48000) * 0.06).view(1, 1, -1).repeat(1, 2, 1) * 0.2
    mel = VAEEncodeAudio.execute(codec, {"waveform": tone, "sample_rate": 48000})[0]["samples"]
    tokens = latent["samples"].unbind()[1].shape[2]
    latent["samples"].unbind()[1][:, :, :100] = mel
    sound = VAEDecodeAudio.execute(codec, latent)[0]
    assert sound["sample_rate"] == 24000 and sound["waveform"].shape == (1, 1, tokens * 240), sound["waveform"].shape
    again = codec.decode_tiled(latent["samples"], 64, overlap=16)
    assert again.shape == (1, tokens * 240, 1)
    refused(lambda: codec.decode(latent["samples"].unbind()[0]), "VAE Decode Audio")
    return None


@check
def a_context_window_of_eighty_frames_keeps_the_reference_voice() -> Any:
    latent = joint(frames=80, width=32, height=32)
    loaded = model().model
    voice_mel = comfy.conds.CONDRegular(torch.zeros(1, 230, 80))
    assert loaded.resize_cond_for_context_window("reference_audio", voice_mel, None, latent, "cpu") is voice_mel
    return None


@check
def a_wan_text_embedding_lora_is_reported_and_not_applied() -> Any:
    import logging

    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    try:
        tensors = {f"diffusion_model.text_embedding.0.lora_{end}.weight": torch.ones(4, 4) for end in "AB"}
        patched, _ = comfy.sd.load_lora_for_models(model(), None, tensors, 1.0, 0.0)
    finally:
        logging.getLogger().removeHandler(handler)
    assert not patched.patches
    assert any("text_embedding.0" in text for text in records), records
    return None


@check
def a_cancel_stops_in_mid_step() -> Any:
    patcher, latent = model(), joint()
    layer = patcher.model.diffusion_model.blocks[2].ffn[0]
    steps_done = []

    def cancel(*args: Any) -> None:
        comfy.model_management.interrupt_current_processing(True)

    hook = layer.register_forward_hook(cancel)
    last = patcher.model.diffusion_model.head.register_forward_hook(lambda *args: steps_done.append(1))
    try:
        sample(patcher, latent, 4)
    except comfy.model_management.InterruptProcessingException:
        pass
    else:
        raise AssertionError("the cancel had no effect")
    finally:
        hook.remove()
        last.remove()
    assert not steps_done, "the step went on to its end"
    sample(patcher, latent, 2)
    return None


@check
def preview_shows_the_picture() -> Any:
    import latent_preview

    patcher, latent = model(), joint()
    latent_preview.default_preview_method = latent_preview.LatentPreviewMethod.Latent2RGB
    comfy.cli_args.args.preview_method = latent_preview.LatentPreviewMethod.Latent2RGB
    previewer = latent_preview.get_previewer(torch.device("cpu"), patcher.model.latent_format)
    assert previewer is not None
    shown = []
    decode = type(previewer).decode_latent_to_preview
    type(previewer).decode_latent_to_preview = lambda self, x0: shown.append(decode(self, x0)) or shown[-1]
    try:
        sample(patcher, latent, 3)
    finally:
        type(previewer).decode_latent_to_preview = decode
    assert len(shown) == 3 and shown[0].size == (6, 4), [image.size for image in shown]
    return None


@check
def memory_is_estimated_by_positions() -> Any:
    patcher, latent = model(), joint(frames=21, width=1280, height=736)
    video, audio = latent["samples"].unbind()
    packed = comfy.utils.pack_latents([video, audio])[0].shape
    ours = patcher.model.memory_required([1, *packed[1:]])
    positions = math.prod(video.shape[2:]) + audio.shape[2] * audio.shape[3] / 48
    wanted = super(type(patcher.model), patcher.model).memory_required([1, 1, positions])
    assert math.isclose(ours, wanted), (ours, wanted)
    return ours


def windowed(patcher: Any) -> Any:
    """A MODEL that samples five latent frames at a time."""
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    settings = {"context_length": 5, "context_overlap": 1, "context_schedule": "standard_static", "dim": 2}
    settings |= {"context_stride": 1, "closed_loop": False, "fuse_method": "pyramid", "freenoise": False}
    return ContextWindowsManualNode.execute(patcher, **settings)[0]


@check
def context_windows_run() -> Any:
    latent = joint(frames=8, width=64, height=64)
    samples = sample(windowed(model()), latent, 2)
    assert_kept(latent, samples)
    return None


def guided(patcher: Any, mask: torch.Tensor, **changes: Any) -> Any:
    from pack.nodes.comfy_face import FaceGuidanceNode

    settings = {"frame_rate": 16.0, "operation": "replace", "strength": 1.0, "layers": "all"}
    return FaceGuidanceNode.execute(patcher, mask, **settings, start_percent=0.0, end_percent=1.0, **changes)[0]


def captured(patcher: Any, layers: str = "all", steps: str = "all") -> tuple[Any, Any]:
    from pack.nodes.comfy_face import FaceMapCapture

    out = FaceMapCapture.execute(patcher, layers, steps)
    return out[0], out[1]


def left_half(frames: int = 1) -> torch.Tensor:
    mask = torch.zeros(frames, 64, 96)
    mask[:, :, :32] = 1
    return mask


def refusal(function: Callable[[], Any]) -> str:
    try:
        function()
    except ValueError as error:
        return str(error)
    raise AssertionError("nothing was refused")


@check
def face_guidance_decides_what_the_layers_use() -> Any:
    latent = joint()
    plain = sample(model(), latent)
    none, as_it_was = left_half() * 0, captured(model())
    assert all(torch.equal(a, b) for a, b in zip(plain, sample(as_it_was[0], latent), strict=True))
    own = as_it_was[1].mean()
    assert own.shape == (3, 6) and 0 < own.min() < own.max() < 1

    patched, seen = captured(guided(model(), left_half(9)))
    changed = sample(patched, latent)
    assert min(error(a, b) for a, b in zip(changed, plain, strict=True)) > 1e-4
    expected = torch.tensor([1.0, 0, 0, 1, 0, 0]).expand(3, -1)
    torch.testing.assert_close(seen.mean(), expected, rtol=0, atol=1e-6)

    halved, seen = captured(model().clone())
    again = sample(guided(halved, none), latent)
    assert seen.mean().min() > 0, "what comes behind must not be seen"
    assert error(again[0], changed[0]) > 1e-4
    return None


@check
def face_guidance_of_no_strength_is_bit_equal() -> Any:
    from pack.nodes.comfy_face import FaceGuidanceNode

    latent, mask = joint(), left_half()
    plain = sample(model(), latent)
    for strength, start in ((0.0, 0.0), (1.0, 1.0)):
        patched = FaceGuidanceNode.execute(model(), mask, 16.0, "replace", strength, "all", start, 1.0)[0]
        assert all(torch.equal(a, b) for a, b in zip(plain, sample(patched, latent), strict=True)), (strength, start)
    return None


@check
def face_guidance_and_maps_go_with_context_windows() -> Any:
    latent = joint(frames=8, width=96, height=64)
    moving = left_half(29)
    moving[13:] = 0
    patched, seen = captured(guided(model(), moving))
    sample(windowed(patched), latent, 2)
    expected = torch.zeros(8, 6)
    expected[:4, [0, 3]] = 1
    torch.testing.assert_close(seen.mean(), expected, rtol=0, atol=1e-6)
    return None


@check
def a_face_map_is_shown_over_the_clip() -> Any:
    from pack.nodes.comfy_face import FaceMapNode

    latent = joint()
    patched, face_map = captured(guided(model(), left_half()), "1", "0, -1")
    assert "is empty" in refusal(lambda: FaceMapNode.execute(face_map, latent, torch.zeros(9, 64, 96, 3), -1, 0.5))
    sampled = {"samples": NestedTensor(sample(patched, latent))}
    images = torch.zeros(9, 64, 96, 3)
    shown, mask = FaceMapNode.execute(face_map, sampled, images, 1, 1.0).result
    assert shown.shape == images.shape and mask.shape == (9, 64, 96)
    assert (mask[:, :, :16] == 1).all() and (mask[:, :, -32:] == 0).all()
    assert (shown[:, :, 0, 0] == 1).all() and (shown[:, :, -1, 2] > 0.8).all()
    wrong = [
        (lambda: FaceMapNode.execute(face_map, joint(frames=4), images, -1, 0.5), "3 latent frames, the LATENT has 4"),
        (lambda: FaceMapNode.execute(face_map, sampled, images[:8], -1, 0.5), "8 images"),
        (lambda: FaceMapNode.execute(face_map, sampled, images, 0, 0.5), "Layer 0"),
    ]
    for function, message in wrong:
        assert message in refusal(function), refusal(function)
    return None


@check
def what_face_nodes_cannot_use_is_named() -> Any:
    latent = joint()
    wrong = [
        (lambda: sample(guided(model(), left_half(5)), latent), "5 masks"),
        (lambda: guided(model(), left_half() * float("nan")), "mask holds values that are not numbers"),
        (lambda: guided(model(), left_half(0)), "mask is empty"),
        (lambda: captured(model(), "2"), "this model has the layers 0 to 1"),
        (lambda: captured(model(), "first"), "layers is “first”"),
        (lambda: captured(model(), "all", "x"), "steps is “x”"),
    ]
    for function, message in wrong:
        assert message in refusal(function), refusal(function)
    return None


def tiny_vae() -> Any:
    from pack.nodes.comfy_codecs import TinyVideoCodec
    from pack.uniavgen_core.tiny.bundle import load_tiny

    return TinyVideoCodec(load_tiny().codec)


def latent_of(task: dict, width: int = 64, height: int = 64) -> dict:
    """The LATENT of a task from real pictures and sound, in small."""
    from pack.nodes.latents import Latent

    rates = {"seconds": 1.5, "frame_rate": 16.0, "past_frames": 3, "batch_size": 1}
    return Latent.execute(tiny_vae(), size={"size": "custom", "width": width, "height": height}, **rates | task)[0]


def pictures(frames: int) -> torch.Tensor:
    still = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3)) * 0.5
    return (still + torch.linspace(0, 0.5, frames).view(-1, 1, 1, 1)).clamp(0, 1)


def tone(seconds: float, rate: int = 44_100) -> dict:
    time_axis = torch.arange(round(seconds * rate)) / rate
    return {"waveform": (torch.sin(800 * time_axis * (1 + time_axis)) * 0.3).view(1, 1, -1), "sample_rate": rate}


@check
def each_task_keeps_what_it_is_given() -> Any:
    patcher = model()
    past = {"task": "continuation", "video": pictures(40), "frame_rate": 25.0}
    generated = joint(frames=6, width=64, height=64)
    tasks = [
        (past | {"audio": tone(1.6)}, (7, 3, 56)),
        (past | {"audio": generated}, (7, 3, 56)),
        ({"task": "dubbing", "video": pictures(31), "frame_rate": 30.0}, (5, 5, 0)),
        ({"task": "audio_driven", "portrait": pictures(1), "audio": tone(1.0)}, (5, 1, 106)),
    ]
    for task, (frames, kept_frames, kept_tokens) in tasks:
        latent = latent_of(task)
        video, audio = latent["samples"].unbind()
        assert video.shape[2] == frames and audio.shape[2] == audio_tokens(pixel_frames(frames)), video.shape
        kept = comfy_latent.kept_parts(latent)
        assert (sum(kept.video), sum(kept.audio)) == (kept_frames, kept_tokens), task["task"]
        conds = conditions(speech="Hello." if kept_tokens < 100 else "")
        assert_kept(latent, sample(patcher, latent, 2, conds=conds))
    kept_mel, generated_mel = (made["samples"].unbind()[1] for made in (latent_of(tasks[1][0]), generated))
    assert torch.equal(kept_mel[:, :, :56], generated_mel[:, :, -56:])
    return None


@check
def several_sounds_are_refused_where_one_has_a_place() -> Any:
    from pack.nodes.long_form import Join

    several = {"waveform": tone(1.6)["waveform"].repeat(2, 1, 1), "sample_rate": 44_100}
    past = {"task": "continuation", "video": pictures(40), "frame_rate": 25.0}
    latents = joint(frames=6, width=64, height=64)
    latents["samples"] = NestedTensor(
        [stream.repeat(2, *[1] * (stream.ndim - 1)) for stream in latents["samples"].unbind()]
    )

    def joins(first: dict, second: dict) -> Any:
        return Join.execute(pictures(40), 16.0, pictures(33), second, 3, first)

    clip, heard = joins(tone(2.5), tone(33 / 16)).result
    assert len(clip) == 64 and heard["waveform"].shape == (1, 1, 64 * 1500)
    return [
        refused(lambda: latent_of(past | {"audio": several}), "audio holds 2 sounds", "batch_size to 1"),
        refused(lambda: latent_of(past | {"audio": latents}), "audio holds 2 sounds"),
        refused(
            lambda: latent_of({"task": "audio_driven", "portrait": pictures(1), "audio": several}),
            "audio holds 2 sounds",
            "pick one",
        ),
        refused(lambda: joins(several, tone(2)), "past_audio holds 2 sounds"),
        refused(lambda: joins(tone(2.5), several), "audio holds 2 sounds"),
    ]


@check
def a_voice_cannot_follow_a_reference_where_the_sound_is_given() -> Any:
    audio_driven = {"task": "audio_driven", "portrait": pictures(1), "audio": tone(1.0)}
    latent = latent_of(audio_driven)
    conds = conditions(voice())
    return [
        refused(lambda: sample(model(), latent, conds=conds), "sound is given", "disconnect reference_audio"),
        refused(lambda: latent_of(audio_driven | {"conditioning": conds[0]}), "disconnect reference_audio"),
    ]


@check
def what_no_task_can_take_is_refused() -> Any:
    past = {"task": "continuation", "video": pictures(40)}
    silent = {"waveform": torch.zeros(1, 1, 30_000), "sample_rate": 24_000}
    portrait = pictures(1)
    return [
        refused(lambda: latent_of(past), "audio is missing"),
        refused(lambda: latent_of(past | {"audio": silent}), "audio is silent"),
        refused(lambda: latent_of(past | {"audio": tone(2), "video": pictures(5)}), "past lasts 0.31 seconds"),
        refused(lambda: latent_of(past | {"audio": tone(2), "past_frames": 7}), "alone lasts"),
        refused(lambda: latent_of({"task": "dubbing", "video": None, "frame_rate": 16.0}), "video is empty"),
        refused(lambda: latent_of({"task": "dubbing", "video": pictures(50), "frame_rate": 1.0}), "video lasts 50.00"),
        refused(lambda: latent_of({"task": "audio_driven", "portrait": portrait, "audio": tone(21)}), "audio lasts 21"),
        refused(lambda: latent_of({"task": "audio_driven", "portrait": portrait, "audio": None}), "audio is missing"),
    ]


def refused(function: Callable[[], Any], *parts: str) -> str:
    try:
        function()
    except (ValueError, FileNotFoundError) as fault:
        for part in parts:
            assert part in str(fault), f"{part!r} is not in: {fault}"
        return str(fault)
    raise AssertionError(f"nothing was refused; wanted a message with {parts}")


def noted(function: Callable[[], Any]) -> list[str]:
    """What is logged as a warning meanwhile."""
    import logging

    records: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    try:
        function()
    finally:
        logging.getLogger().removeHandler(handler)
    return [text for text in records if "UniAVGen" in text]


def ways_to_sample(patcher: Any, conds: tuple[list, list]) -> dict[str, Callable[[dict], list[torch.Tensor]]]:
    """Two steps through each node that samples."""
    from comfy_extras.nodes_custom_sampler import BasicGuider, CFGGuider, SamplerCustom

    euler, sigmas = comfy.samplers.sampler_object("euler"), flow_sigmas(2)
    guiders = {
        "UniAVGen Guider": Guider.execute(patcher, *conds, **GUIDANCE)[0],
        "CFGGuider": CFGGuider.execute(patcher, *conds, 3.0)[0],
        "BasicGuider": BasicGuider.execute(patcher, conds[0])[0],
    }

    def advanced(guider: Any) -> Callable[[dict], Any]:
        return lambda latent: SamplerCustomAdvanced.execute(Noise_RandomNoise(7), guider, euler, sigmas, latent)[0]

    def ksampler(latent: dict) -> Any:
        return comfy_nodes.common_ksampler(patcher, 7, 2, 3.0, "euler", "simple", *conds, latent)[0]

    ways = {name: advanced(guider) for name, guider in guiders.items()} | {
        "KSampler": ksampler,
        "SamplerCustom": lambda latent: SamplerCustom.execute(patcher, True, 7, 3.0, *conds, euler, sigmas, latent)[0],
    }
    streams = {name: lambda latent, way=way: way(latent)["samples"].unbind() for name, way in ways.items()}
    return streams | {"UniAVGen Sampler": lambda latent: sample(patcher, latent, 2, conds=conds)}


def with_mask(latent: dict, mask: torch.Tensor) -> dict:
    """What the core node Set Latent Noise Mask makes of a MASK."""
    return comfy_nodes.SetLatentNoiseMask().set_mask(latent, mask)[0]


@check
def a_mask_within_a_frame_is_refused_before_the_model_is_loaded() -> Any:
    patcher, latent, pair = model(), joint(), joint(batch=2)
    video_mask, audio_mask = latent["noise_mask"].unbind()
    some_bands, soft, one_clip = audio_mask.clone(), video_mask.clone(), video_mask.repeat(2, 1, 1, 1, 1)
    some_bands[..., 20:26, :40] = 0
    soft[:, :, 2] = 0.5
    one_clip[1, :, 2] = 0
    one_of_nine = torch.ones(9, 64, 96)
    one_of_nine[4, :, 32:] = 0
    refused_masks = {
        "half a picture": (with_mask(latent, left_half()), "from 0 to 1 in latent frame 0."),
        "half of one of nine": (with_mask(latent, one_of_nine), "from 0 to 1 in latent frame 1."),
        "soft": (with_mask(latent, torch.full((1, 64, 96), 0.25)), "the value 0.25 in latent frame 0."),
        "not of whole latent frames": (
            with_mask(latent, (torch.arange(6) > 2).float().view(6, 1, 1)),
            "0.5 in latent frame 1.",
        ),
        "one soft frame": (latent | {"noise_mask": NestedTensor([soft, audio_mask])}, "0.5 in latent frame 2."),
        "some bands": (latent | {"noise_mask": NestedTensor([video_mask, some_bands])}, "in sound token 20."),
        "a clip of a batch": (pair | {"noise_mask": NestedTensor([one_clip, audio_mask])}, "some clips of the batch"),
    }
    loads: list[int] = []
    load = comfy.model_management.load_models_gpu
    comfy.model_management.load_models_gpu = lambda *args, **kwargs: loads.append(1) or load(*args, **kwargs)
    said = {}
    try:
        for kind, (masked, part) in refused_masks.items():
            for name, way in ways_to_sample(patcher, conditions()).items():
                said[kind] = refused(lambda way=way, masked=masked: way(masked), part, "whole latent frames")
                assert not loads, f"{kind}: {name} loaded the model first"
    finally:
        comfy.model_management.load_models_gpu = load
    return said


@check
def a_long_clip_refuses_a_mask_within_a_frame() -> Any:
    from pack.nodes.long_form import LongForm

    patcher, latent = model(), joint()
    guider = Guider.execute(patcher, *conditions(), **GUIDANCE)[0]
    euler, noise, masked = comfy.samplers.sampler_object("euler"), Noise_RandomNoise(7), with_mask(latent, left_half())
    # What it would need next is not there: the mask is looked at first.
    given = (guider, euler, flow_sigmas(2), noise, masked, None, None, None, 0.0, 1.0, 3)
    return refused(lambda: LongForm.execute(*given), "from 0 to 1 in latent frame 0.", "whole latent frames")


@check
def masks_of_whole_frames_go_on_working() -> Any:
    """Also as ComfyUI resizes them: a picture's MASK of any size, one or one for each latent frame."""
    patcher, latent = model(), joint()
    conds = conditions()
    video, audio = latent["samples"].unbind()
    frames = torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1)
    tokens = torch.ones(1, 1, audio.shape[2], 1)
    tokens[:, :, [3, 40, 41]] = 0
    masks = {
        "all generated": (torch.ones(1, 37, 53), [1, 1, 1]),
        "all kept": (torch.zeros(1, 37, 53), [0, 0, 0]),
        "the middle kept": (frames.expand(-1, 37, 53), [1, 0, 1]),
        "of ten to three frames": (torch.ones(10, 64, 96), [1, 1, 1]),
    }
    for name, (mask, wanted) in masks.items():
        masked = with_mask(latent, mask)
        kept = KeptParts(tuple(not value for value in wanted), (False,) * audio.shape[2])
        assert comfy_latent.kept_parts(masked) == kept
        result = sample(patcher, masked, 2, conds=conds)
        unchanged = [torch.equal(result[0][:, :, frame], video[:, :, frame]) for frame in range(3)]
        assert unchanged == [not value for value in wanted], f"{name}: {unchanged}"
        assert not torch.equal(result[1], audio)
    nested = latent | {"noise_mask": NestedTensor([frames.view(1, 1, 3, 1, 1), tokens])}
    for samples in ways_to_sample(patcher, conds).values():
        result = samples(nested)
        assert torch.equal(result[0][:, :, 1], video[:, :, 1]) and not torch.equal(result[0][:, :, 0], video[:, :, 0])
        kept = (result[1] == audio).all(dim=-1).flatten().nonzero().flatten().tolist()
        assert kept == [3, 40, 41], kept
    return None


def one_step(patcher: Any, latent: dict, conds: tuple[list, list], cfg: float = 1.0) -> list[torch.Tensor]:
    """The clean clip that a plain KSampler guesses from noise alone."""
    return comfy_nodes.common_ksampler(patcher, 7, 1, cfg, "euler", "simple", *conds, latent)[0]["samples"].unbind()


def set_switches(patcher: Any, **switches: Any) -> Any:
    """A MODEL with switches in its `transformer_options`."""
    patched = patcher.clone()
    patched.model_options["transformer_options"] |= switches
    return patched


def values_only(*blocks: int) -> Any:
    """A MODEL in whose blocks self-attention is written out as the values alone."""
    patcher = model()
    for index in blocks:
        for branch in (patcher.model.diffusion_model.blocks, patcher.model.diffusion_model.audio_blocks):
            attention = branch[index].self_attn
            attention.forward = lambda x, *_, attention=attention, **__: attention.o(attention.v(x))
    return patcher


def away_from(plain: list[torch.Tensor], perturbed: list[torch.Tensor], scale: float) -> list[torch.Tensor]:
    """plain + scale · (plain - perturbed), in which a clip's units of measurement do not matter."""
    return [a + scale * (a - b) for a, b in zip(plain, perturbed, strict=True)]


@check
def switches_of_core_are_the_models_own() -> Any:
    latent = joint()
    conds, plain = conditions(), model()
    own = {
        (False, False): {comfy_model.AUDIO_TO_VIDEO: False, comfy_model.VIDEO_TO_AUDIO: False},
        (False, True): {comfy_model.AUDIO_TO_VIDEO: False},
        (True, False): {comfy_model.VIDEO_TO_AUDIO: False},
    }
    before = one_step(plain, latent, conds)
    for (to_video, to_audio), values in own.items():
        told = tuple([[rows, {**given, **values}] for rows, given in cond] for cond in conds)
        patched = set_switches(plain, a2v_cross_attn=to_video, v2a_cross_attn=to_audio)
        ours = one_step(patched, latent, conds)
        assert all(map(torch.equal, ours, one_step(plain, latent, told))), (to_video, to_audio)
        changed = [error(a, b) > 1e-5 for a, b in zip(ours, before, strict=True)]
        assert changed[0] >= (not to_video) and changed[1] >= (not to_audio), changed
        # What the task or the user has switched off stays so.
        on = set_switches(plain, a2v_cross_attn=True, v2a_cross_attn=True)
        assert all(map(torch.equal, one_step(on, latent, told), one_step(plain, latent, told)))
    for blocks in ((0,), (1, 3), (0, 1, 2, 3)):
        ours = one_step(set_switches(plain, stg_self_attn_blocks=frozenset(blocks)), latent, conds)
        assert all(map(torch.equal, ours, one_step(values_only(*blocks), latent, conds))), blocks
        assert min(error(a, b) for a, b in zip(ours, before, strict=True)) > 1e-4, blocks
    everywhere = one_step(set_switches(plain, stg_skip_self_attn=True), latent, conds)
    assert all(map(torch.equal, everywhere, ours))
    return None


def core_guidance_node(name: str) -> Any:
    """A node of comfy_extras/nodes_lt.py."""
    from comfy_extras import nodes_lt

    if not hasattr(nodes_lt, name):
        raise Skipped(f"this ComfyUI has no {name}")
    return getattr(nodes_lt, name)


@check
def modality_guidance_of_core_equals_its_formula() -> Any:
    node = core_guidance_node("LTXVModalityGuidance")
    latent, plain = joint(), model()
    conds = conditions()
    guided = node.execute(plain, 3.0, 0.0, 1.0)[0]
    severed = one_step(set_switches(plain, a2v_cross_attn=False, v2a_cross_attn=False), latent, conds)
    out = []
    for cfg in (1.0, 3.0):
        before, ours = one_step(plain, latent, conds, cfg), one_step(guided, latent, conds, cfg)
        positive = one_step(plain, latent, conds)
        wanted = [a + 2.0 * (b - c) for a, b, c in zip(before, positive, severed, strict=True)]
        out += assert_close(ours, wanted, 1e-4)
        assert min(error(a, b) for a, b in zip(ours, before, strict=True)) > 1e-3
    # In our own guidance, which is plain where there is one step: the scales are the streams' own.
    before, ours = (sample(patcher, latent, 1, conds=conds) for patcher in (plain, guided))
    wanted = [a + 2.0 * (b - c) for a, b, c in zip(before, positive, severed, strict=True)]
    out += assert_close(ours, wanted, 1e-4)
    assert not noted(lambda: sample(guided, latent, 2))
    return out


@check
def spatio_temporal_guidance_of_core_equals_its_formula() -> Any:
    node = core_guidance_node("LTXVSpatioTemporalGuidance")
    latent, plain = joint(), model()
    conds = conditions()
    perturbed = one_step(values_only(1, 2), latent, conds)
    positive, out = one_step(plain, latent, conds), []
    guided = node.execute(plain, 1.5, "1, 2", 0.0, 1.0)[0]
    out += assert_close(one_step(guided, latent, conds), away_from(positive, perturbed, 1.5), 1e-4)
    before, ours = (sample(patcher, latent, 1, conds=conds) for patcher in (plain, guided))
    wanted = [a + 1.5 * (b - c) for a, b, c in zip(before, positive, perturbed, strict=True)]
    out += assert_close(ours, wanted, 1e-4)
    assert min(error(a, b) for a, b in zip(ours, before, strict=True)) > 1e-3
    # The node's default is the last block of LTX.
    said = noted(lambda: sample(node.execute(plain, 1.0, "29", 0.0, 1.0)[0], latent, 2))
    assert len(said) == 1 and "block 29 of stg_self_attn_blocks (the blocks here are 0 to 3)" in said[0], said
    return out


def wan_model() -> Any:
    """ComfyUI's own Wan model with the sizes of the video branch."""
    from comfy.ldm.wan.model import WanModel

    wan = WanModel(
        model_type="t2v", patch_size=(1, 2, 2), in_dim=48, out_dim=48, dim=SIZES.video_width, num_layers=SIZES.blocks,
        ffn_dim=SIZES.video_ffn_width, num_heads=SIZES.video_heads, text_dim=SIZES.text_width,
        operations=comfy.ops.disable_weight_init, dtype=torch.float32, device="cpu",
    )  # fmt: skip
    wan.load_state_dict(rule.weights_by_rule(wan))
    return wan


@check
def a_dual_guider_of_core_equals_plain_guidance_of_two_scales() -> Any:
    node = core_guidance_node("LTXVDualCFGGuider")
    patcher, latent = model(), joint()
    conds = conditions()
    own = {**GUIDANCE, "unimodal_end_percent": 0.0, "skip_block": {"skip_block": "none"}}
    guiders = node.execute(patcher, *conds, 3.0, 2.0)[0], Guider.execute(patcher, *conds, **own)[0]
    euler, noise = comfy.samplers.sampler_object("euler"), Noise_RandomNoise(7)
    ours, theirs = (
        SamplerCustomAdvanced.execute(noise, guider, euler, flow_sigmas(3), latent)[0]["samples"].unbind()
        for guider in guiders
    )
    return assert_close(ours, theirs, 1e-5)


@check
def patches_get_what_wan_gives_them() -> Any:
    latent, patcher = joint(), model()
    seen: dict[str, list[dict[str, Any]]] = {"attn1_patch": [], "attn2_patch": [], "double_block": []}

    def watch(name: str) -> Callable[[dict], Any]:
        def patch(args: dict[str, Any]) -> Any:
            told = {key: args["transformer_options"].get(key) for key in ("block_index", "block_type", "total_blocks")}
            told["grid"] = math.prod(args["transformer_options"]["grid_sizes"])
            told |= {key: tuple(value.shape) for key, value in args.items() if isinstance(value, torch.Tensor)}
            seen[name].append(told | {key: value for key, value in args.items() if isinstance(value, int)})
            return args if name == "double_block" else args["x"]

        return patch

    for name in seen:
        patcher.set_model_patch(watch(name), name)
    plain, watched = (one_step(which, latent, conditions()) for which in (model(), patcher))
    assert all(map(torch.equal, plain, watched)), "patches that change nothing changed the clip"
    ours, seen = seen, {name: [] for name in seen}
    video = latent["samples"].unbind()[0]
    with_reference = torch.cat((video[:, :, :1], video), dim=2)
    patches = patcher.model_options["transformer_options"]["patches"]
    patches = {name: [watch(name)] for name in patches}
    context = torch.zeros(1, 512, SIZES.text_width)
    wan_model()(with_reference, torch.tensor([900.0]), context, transformer_options={"patches": patches})
    assert {name: len(calls) for name, calls in ours.items()} == dict.fromkeys(ours, SIZES.blocks)
    for called in (ours, seen):
        for told in called["double_block"]:
            # Wan's has the reference among its latents here, not in front of them.
            del told["x"], told["img_offset"]
    # Older ones have no patches behind a block.
    assert ours == {name: calls or ours[name] for name, calls in seen.items()}, (ours, seen)
    assert seen["attn1_patch"] and seen["attn2_patch"]
    return ours["attn1_patch"][-1]


@check
def patches_of_attention_change_the_clip() -> Any:
    latent, plain = joint(), model()
    conds = conditions()
    before = one_step(plain, latent, conds)

    def patched(*patches: tuple[Callable, str]) -> list[torch.Tensor]:
        changed = plain.clone()
        for patch, name in patches:
            changed.set_model_patch(patch, name)
        return one_step(changed, latent, conds)

    def zero_text(x: torch.Tensor, extra: dict) -> torch.Tensor:
        assert (extra["n_heads"], extra["dim_head"]) == (SIZES.video_heads, 128)
        return x * 0

    textless = model()
    for block in textless.model.diffusion_model.blocks:
        block.cross_attn.forward = lambda x, *_, **__: torch.zeros_like(x)
    assert all(map(torch.equal, patched((zero_text, "attn2_output_patch")), one_step(textless, latent, conds)))
    doubled = patched((lambda args: 2 * args["x"], "attn1_patch"), (lambda x, extra: x / 2, "attn1_output_patch"))
    assert all(map(torch.equal, doubled, before)), "one follows the other"
    for patch, name in (
        (lambda args: 2 * args["x"], "attn1_patch"),
        (lambda args: args["x"] * 1.1, "attn2_patch"),
        (lambda x, extra: 2 * x, "attn1_output_patch"),
        (lambda args: {"img": args["img"] * 1.1}, "double_block"),
    ):
        changed = patched((patch, name))
        assert min(error(a, b) for a, b in zip(changed, before, strict=True)) > 1e-4, name
    return None


@check
def attention_of_a_block_is_replaced() -> Any:
    latent, plain = joint(), model()
    conds = conditions()
    replaced, literal, calls = model(), model(), []

    def values(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra: dict) -> torch.Tensor:
        calls.append((q.shape, v.shape, extra["block_index"]))
        return v

    replaced.set_model_attn1_replace(values, "double_block", 2)
    attention = literal.model.diffusion_model.blocks[2].self_attn
    attention.forward = lambda x, *_, **__: attention.o(attention.v(x))
    ours = one_step(replaced, latent, conds)
    assert all(map(torch.equal, ours, one_step(literal, latent, conds)))
    assert len(calls) == 1 and calls[0][2] == 2 and calls[0][0] == calls[0][1], calls
    text = plain.clone()
    text.set_model_attn2_replace(lambda q, k, v, extra: q, "double_block", 1)
    assert error(one_step(text, latent, conds)[0], one_step(plain, latent, conds)[0]) > 1e-4
    return None


@check
def normalised_attention_guidance_acts_where_both_passes_run_together() -> Any:
    from comfy_extras.nodes_nag import NAGuidance

    latent, plain = joint(), model()
    conds = conditions()
    strong, none = (NAGuidance.execute(plain, 5.0, alpha, 2.5)[0] for alpha in (0.5, 0.0))

    def ksampler(patcher: Any) -> list[torch.Tensor]:
        return comfy_nodes.common_ksampler(patcher, 7, 2, 3.0, "euler", "simple", *conds, latent)[0]["samples"].unbind()

    before = ksampler(plain)
    assert_close(ksampler(none), before, 1e-5)
    assert not noted(lambda: ksampler(strong))
    assert min(error(a, b) for a, b in zip(ksampler(strong), before, strict=True)) > 1e-3
    ours: list[torch.Tensor] = []
    said = noted(lambda: ours.extend(sample(strong, latent, 2, conds=conds)))
    assert len(said) == 1 and "attn1_output_patch of NAGuidance" in said[0] and "one at a time" in said[0], said
    assert all(map(torch.equal, ours, sample(plain, latent, 2, conds=conds)))
    return said[0]


@check
def what_has_no_place_is_named_once_a_run() -> Any:
    from comfy_extras.nodes_hypertile import HyperTile
    from comfy_extras.nodes_pag import PerturbedAttentionGuidance
    from comfy_extras.nodes_rope import ScaleROPE
    from comfy_extras.nodes_slg import SkipLayerGuidanceDiT
    from comfy_extras.nodes_tomesd import TomePatchModel
    from pack.nodes.comfy_guider import SegmentSampler

    latent, plain = joint(frames=2), model()
    conds = conditions()
    before = sample(plain, latent, 4, conds=conds)
    unknown = plain.clone()
    unknown.set_model_patch(lambda *args: 1 / 0, "output_block_patch")
    cases = {
        "output_block_patch of what_has_no_place_is_named_once_a_run": lambda: unknown,
        "attn1_patch of HyperTile, attn1_output_patch of HyperTile": lambda: HyperTile.execute(plain, 256, 2, 0, False)[
            0
        ],
        "attn1_output_patch of TomePatchModel": lambda: TomePatchModel.execute(plain, 0.3)[0],
        "attn1 middle 0 of PerturbedAttentionGuidance": lambda: PerturbedAttentionGuidance.execute(plain, 3.0)[0],
        "rope_options of ScaleROPE": lambda: ScaleROPE.execute(plain, 1.1, 0.0, 1.1, 0.0, 1.0, 0.0)[0],
        "dit single_block 7 of SkipLayerGuidanceDiT": lambda: SkipLayerGuidanceDiT.execute(
            plain, 3.0, 0.0, 1.0, "9", "7", 0.0
        )[0],
    }
    said = {}
    for name, make in cases.items():
        patched, result = make(), []
        messages = noted(lambda patched=patched, result=result: result.extend(sample(patched, latent, 4, conds=conds)))
        assert len(messages) == 1 and name in messages[0], f"{name}: {messages}"
        assert "changes nothing" in messages[0]
        said[name] = messages[0]
        # Guidance by a pass that is the same adds nothing but rounding.
        assert_close(result, before, 1e-5)
        again = noted(lambda patched=patched: sample(patched, latent, 1, conds=conds))
        assert len(again) == 1, "the next run says it again"
    foreign = tuple([[rows, {**values, "ref_audio": {"tokens": rows}}] for rows, values in cond] for cond in conds)
    messages = noted(lambda: sample(plain, latent, 2, conds=foreign))
    assert len(messages) == 1 and messages[0].count("ref_audio of LTXVReferenceAudio") == 1, messages
    guider = Guider.execute(unknown, *conds, **GUIDANCE)[0]
    euler, first_frame = comfy.samplers.sampler_object("euler"), latent["samples"].unbind()[0][:, :, :1]
    segments = SegmentSampler(guider, euler, flow_sigmas(1), Noise_RandomNoise(7), first_frame)
    told = caption(5)[0][0], conds[0][0][1][comfy_model.SYMBOLS]
    messages = noted(lambda: [segments.sample(latent, *told, seed=seed) for seed in (1, 2)])
    assert len(messages) == 1, "all segments of a long clip are one run"
    assert not noted(lambda: sample(guided(plain, left_half()), latent, 2, conds=conds)), "a patch of our own is named"
    assert not noted(lambda: sample(plain, latent, 2, conds=conds))
    return said


@check
def wrong_latents_are_refused() -> Any:
    patcher, latent = model(), joint()
    conds = conditions()
    video, audio = latent["samples"].unbind()
    plain = {"samples": video}
    other = {"samples": NestedTensor([video[:, :24], audio])}
    short = {"samples": NestedTensor([video, audio[:, :, :20]])}
    ill = {"samples": NestedTensor([video * float("nan"), audio])}
    bigger = joint(width=128, height=64)

    def of_picture(latent: dict) -> Any:
        return ReferenceImage.execute(*conds, latent, tiny_vae(), pictures(1))

    referring = of_picture(latent)[0:2]
    return [
        refused(lambda: sample(patcher, plain, conds=conds), "picture and sound", "UniAVGen Latent"),
        refused(lambda: sample(patcher, other, conds=conds), "another model", "24"),
        refused(lambda: sample(patcher, short, conds=conds), "not equally long"),
        refused(lambda: sample(patcher, ill, conds=conds), "NaN"),
        refused(lambda: sample(patcher, bigger, conds=referring), "96×64", "128×64", "same LATENT"),
        refused(lambda: of_picture(plain), "UniAVGen Latent"),
    ]


@check
def wrong_conditions_are_refused() -> Any:
    patcher, latent = model(), joint()
    wide = [[torch.randn(1, 12, 96), {}]]
    positive, negative = conditions()
    bad = Conditioning.execute(wide, wide, SPEECH, "auto")
    silent = voice()
    silent["reference_audio"]["waveform"] = torch.zeros(1, 1, 24000)
    empty = voice()
    empty["reference_audio"]["waveform"] = torch.zeros(1, 1, 0)
    mute = voice() | {"reference_transcript": " "}
    long = voice()
    long["reference_audio"]["waveform"] = long["reference_audio"]["waveform"].repeat(1, 1, 40)
    short = voice() | {"reference_transcript": "Selected forms are propagated. " * 9}
    return [
        refused(lambda: conditions(long), "40 seconds", "30"),
        refused(lambda: conditions(short), "transcript does not fit"),
        refused(lambda: conditions(voice() | {"reference_audio": None}), "reference_audio is missing", "sound"),
        refused(lambda: conditions(speech="?!"), "no words"),
        refused(lambda: sample(patcher, latent, conds=(bad[0], bad[1])), "96", "64", "CLIPLoader"),
        refused(lambda: sample(patcher, latent, conds=(caption(2), caption(3))), "UniAVGen Conditioning"),
        refused(lambda: sample(patcher, latent, conds=conditions(speech="  ")), "speech is empty"),
        refused(lambda: sample(patcher, latent, conds=conditions(speech="word " * 40)), "seconds"),
        refused(lambda: conditions(speech="Привет, мир"), "English", "Chinese"),
        refused(lambda: conditions(silent), "silent"),
        refused(lambda: conditions(empty), "empty"),
        refused(lambda: conditions(mute), "transcript"),
        refused(lambda: sample(patcher, latent, skip_block={"skip_block": "block", "index": 4}), "4 blocks", "0 to 3"),
    ]


def main() -> None:
    torch.set_num_threads(1)
    for name, function in CHECKS.items():
        if WANTED and name not in WANTED:
            continue
        result: dict[str, Any] = {"check": name, "ok": True}
        start = time.perf_counter()
        try:
            with torch.inference_mode():
                result["value"] = function()
        except Skipped as reason:
            result["skipped"] = str(reason)
        except Exception:
            result |= {"ok": False, "error": traceback.format_exc()}
        result["seconds"] = round(time.perf_counter() - start, 1)
        print("CHECK " + json.dumps(result, default=str), flush=True)


if __name__ == "__main__":
    main()
