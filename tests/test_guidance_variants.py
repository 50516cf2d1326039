"""Other ways to guide: what each makes of its passes, and the table of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_model import FRAMES, TOKENS, small_sizes
from torch import Tensor

from uniavgen_core.audio.mel import silence_mel
from uniavgen_core.backend import torch_operations
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.sampling.euler import Clip, Condition, sample_euler
from uniavgen_core.sampling.guidance import NO_BLOCK, Guidance
from uniavgen_core.sampling.schedule import flow_sigmas
from uniavgen_core.tasks import TASKS, Switches
from uniavgen_core.tiny.bundle import random_state_dict
from uniavgen_lab import guidance_trials
from uniavgen_lab.evaluation.guidance_variants import VARIANTS, Step, apart, in_face, lip_strength, sample_variant
from uniavgen_lab.guidance_trials import ClipResults, measure_trial, trials_of, trials_table

GUIDANCE = Guidance(2.0, 2.5, skip_block=NO_BLOCK)
STEPS = 10
ROWS = 4


@pytest.fixture(scope="module")
def model() -> JointDiT:
    model = JointDiT(small_sizes(), torch_operations)
    model.load_state_dict(random_state_dict({name: x.shape for name, x in model.state_dict().items()}))
    return model.eval()


def make_clip(task: str = "joint") -> Clip:
    generator = torch.Generator().manual_seed(1)
    video = torch.randn(1, 48, FRAMES, ROWS, ROWS, generator=generator)
    audio = torch.randn(1, 1, TOKENS, 80, generator=generator)
    return Clip(video, audio, TASKS[task].kept(FRAMES, TOKENS), video[:, :, :1])


def told(model: JointDiT) -> dict[str, Condition]:
    generator = torch.Generator().manual_seed(2)
    captions = torch.randn(2, 1, 3, model.sizes.text_width, generator=generator)
    symbols = torch.arange(10).view(1, 10)
    return {"positive": Condition(captions[0], symbols), "negative": Condition(captions[1], 0 * symbols)}


def sampled(model: JointDiT, name: str | None, clip: Clip, guidance: Guidance = GUIDANCE) -> list[Tensor]:
    """By a variant, or by the model's own loop."""
    generator = torch.Generator().manual_seed(3)
    noise = [torch.randn(stream.shape, generator=generator) for stream in (clip.video, clip.audio)]
    settings: dict[str, Any] = {**told(model), "guidance": guidance}
    if name is None:
        return sample_euler(model, clip, (noise[0], noise[1]), flow_sigmas(STEPS), **settings)
    return sample_variant(name, model, clip, noise, flow_sigmas(STEPS), **settings)


@torch.no_grad()
def make_step(model: JointDiT, index: int = 0, task: str = "joint") -> Step:
    """The first step that a variant is asked for, of a clip at half its noise."""
    from uniavgen_core.model.plan import Plans
    from uniavgen_lab.evaluation.guidance_variants import Run

    clip = make_clip(task)
    features = [
        (model.encode_caption(condition.caption), model.encode_speech(condition.symbols, torch.float32))
        for condition in told(model).values()
    ]
    x = clip.put_back([torch.randn(stream.shape) for stream in (clip.video, clip.audio)])
    return Step(Run(model, clip, GUIDANCE, features[0], features[1], Plans()), x, 0.5, index, STEPS)


@pytest.mark.parametrize("task", ["joint", "audio_driven", "dubbing"])
def test_the_usual_way_is_the_models_own_loop(model: JointDiT, task: str) -> None:
    clip = make_clip(task)
    for ours, theirs in zip(sampled(model, "usual", clip), sampled(model, None, clip), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", VARIANTS.keys() - {"usual"})
def test_each_variant_is_another_way(model: JointDiT, name: str) -> None:
    clip = make_clip()
    ours, theirs = clip.put_back(sampled(model, name, clip)), clip.put_back(sampled(model, "usual", clip))
    assert torch.equal(ours[0][:, :, :1], clip.video[:, :, :1])
    assert all(torch.isfinite(stream).all() for stream in ours)
    assert not torch.equal(ours[0], theirs[0])


@torch.no_grad()
def test_scales_apart_follow_their_formula(model: JointDiT) -> None:
    step = make_step(model)
    plain = [u + s * (p - u) for u, p, s in zip(step.negative, step.positive, (2.0, 2.5), strict=True)]
    for ours, theirs in zip(apart(step, 1.0), plain, strict=True):
        torch.testing.assert_close(ours, theirs)
    ours, by_face = apart(step, 3.0), apart(step, 3.0, by_face=True)
    difference = [2 * (p - s) for p, s in zip(step.positive, step.severed, strict=True)]
    for stream, before, added in zip(ours, plain, difference, strict=True):
        torch.testing.assert_close(stream, before + added)
    torch.testing.assert_close(by_face[0], plain[0] + step.face * difference[0])
    assert torch.equal(by_face[1], ours[1])
    # Later steps are plain.
    later = make_step(model, index=STEPS // 2)
    assert torch.equal(apart(later, 3.0)[0], apart(later, 1.0)[0])


@torch.no_grad()
def test_the_face_mask_lies_where_the_latent_is(model: JointDiT) -> None:
    step = make_step(model)
    assert step.face.shape == (1, 1, FRAMES, ROWS, ROWS) and 0 < step.face.min() and step.face.max() < 1
    pairs = step.face.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2))
    assert (pairs.amax(dim=(-3, -1)) == pairs.amin(dim=(-3, -1))).all()
    video, audio = in_face(step, 2.0)
    usual = VARIANTS["usual"](step)
    assert torch.equal(video, usual[0]) and torch.equal(audio, usual[1])


@torch.no_grad()
def test_the_wrong_signal_is_silence_and_a_still(model: JointDiT) -> None:
    calls: list[dict[str, Any]] = []

    def note(module: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        calls.append({"x": args[0], **keywords})

    step = make_step(model)
    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    assert [stream.shape for stream in step.wrong_signal] == [stream.shape for stream in step.x]
    handle.remove()
    silent, still = calls
    assert torch.equal(silent["x"][1], normalise_mel(silence_mel(TOKENS)))
    assert torch.equal(silent["x"][0], step.x[0]) and torch.equal(still["x"][1], step.x[1])
    assert all(torch.equal(still["x"][0][:, :, [frame]], step.run.clip.reference_image) for frame in range(FRAMES))
    assert all(silent["kept"].audio) and not all(silent["kept"].video)
    assert all(still["kept"].video) and not any(still["kept"].audio)
    assert silent["switches"] == Switches(True, False) and still["switches"] == Switches(False, True)


@torch.no_grad()
def test_lips_of_strength_0_hear_nothing(model: JointDiT) -> None:
    clip, condition = make_clip(), told(model)["positive"]
    inputs = (
        [clip.video, clip.audio], torch.tensor([500.0]), model.encode_caption(condition.caption),
        model.encode_speech(condition.symbols, torch.float32),
    )  # fmt: skip
    reference = {"reference_image": clip.reference_image, "kept": clip.kept}
    with lip_strength(model, 0.0):
        ours = model(*inputs, **reference)
    for stream, other in zip(ours, model(*inputs, **reference, switches=Switches(False, True)), strict=True):
        torch.testing.assert_close(stream, other)


def test_what_is_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, file = tmp_path / "weights", tmp_path / "runs" / "trials.jsonl"
    weights.write_bytes(b"weights")
    asked: list[tuple[str, str, int, int]] = []

    def measure(group: Any, seeds: list[int], workers: int, title: str) -> None:
        (trial, _) = group.args
        for seed in seeds:
            asked.append((trial.task, trial.sampling.guidance, trial.sampling.noise, seed))
            better = trial.sampling.guidance != "usual"
            measures = {"lip_sync_raw": 0.5 + 0.1 * trial.sampling.noise, "identity": 30.0 + better, "motion": 1.0}
            measures |= {"timbre": 1.0, "emotion": 0.5, "word_errors": 1, "words": 4, "first": 1.0, "second": 0.75}
            ClipResults(file).add(trial, seed, measures)

    monkeypatch.setattr(guidance_trials, "measure_in_groups", measure)

    def table(name: str, clips: int, noises: list[int]) -> list[str]:
        trials = trials_of(name, weights, 9, noises)
        return trials_table({trial: measure_trial(trial, clips, 1, file) for trial in trials}).splitlines()

    first = table("variants", 1, [0])
    assert len(asked) == len(set(asked)) == 2 * len(VARIANTS)
    assert table("variants", 1, [0]) == first and len(asked) == 2 * len(VARIANTS)
    lines = table("variants", 2, [0, 1])
    assert len(asked) == len(set(asked)) == 4 * 2 * len(VARIANTS)
    assert lines[:3] == [
        "joint generation", "", "|  | lip sync | word error | timbre | emotion | identity, dB | motion |"
    ]  # fmt: skip
    assert lines[4] == "| usual | 0.49 | 0.25 | 1.00 | 0.50 | 30.00 | 1.00 |"
    assert lines[5].startswith("| scales 1.5 times | 0.49 (+0.00 ± 0.00) | 0.25 | 1.00 (+0.00 ± 0.00) |")
    assert lines[5].endswith("| 31.00 (+1.00 ± 0.00) | 1.00 (+0.00 ± 0.00) |")
    assert "| usual | 0.49 | 30.00 | 1.00 |" in lines
    assert table("captions", 1, [0])[-1] == "| cut | 1.00 | 0.75 | 0.42 | 31.00 |"
