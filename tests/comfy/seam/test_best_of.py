"""Several seeds are tried, and the one whose lips follow its sound best is finished."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from clips import EULER, assert_close, assert_kept, conditions, guider_of, latent_of, pictures, refused, sample_guided
from comfy_extras.nodes_custom_sampler import Noise_RandomNoise
from pack.nodes import best_of
from pack.nodes.best_of import BestOf
from pack.nodes.comfy_codecs import AudioCodec, TinyVideoCodec
from pack.uniavgen_core.audio.vocoder import GriffinLim
from pack.uniavgen_core.sampling.schedule import flow_sigmas
from pack.uniavgen_core.tiny.bundle import load_tiny

STEPS = 4


def codecs() -> tuple[Any, Any]:
    return TinyVideoCodec(load_tiny().codec), AudioCodec(GriffinLim(), torch.device("cpu"))


def portrait(**changes: Any) -> dict:
    return latent_of({"task": "joint", "portrait": pictures(1), "seconds": 0.5} | changes, 128, 128)


def best(patcher: Any, latent: dict, sigmas: torch.Tensor | None = None, **changes: Any) -> Any:
    settings = {"seed": 7, "candidates": 3, "tried_percent": 0.5, "detector": "none"} | changes
    sigmas = flow_sigmas(STEPS) if sigmas is None else sigmas
    return BestOf.execute(guider_of(patcher), EULER, sigmas, latent, *codecs(), **settings)


def test_the_best_seed_is_finished_as_it_is_without_the_choice(patcher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.25, 0.5, -0.5])
    judged: list[torch.Tensor] = []

    def judge(mouth: Any, vae: Any, audio_vae: Any, latent: dict) -> float:
        judged.append(latent["samples"].unbind()[0])
        return next(scores)

    monkeypatch.setattr(best_of, "_judged", judge)
    latent = portrait()
    made, seed, report = best(patcher, latent).result
    assert seed == 8
    assert [line.split(": ")[-1] for line in report.splitlines()[1:]] == ["0.250", "0.500", "-0.500", "seed 8"]
    plain = sample_guided(guider_of(patcher), latent, flow_sigmas(STEPS), noise=Noise_RandomNoise(8))
    assert_close(made["samples"].unbind(), plain["samples"].unbind(), 1e-3)
    assert_kept(latent, made["samples"].unbind())
    assert len(judged) == 3 and not torch.equal(judged[0], judged[1])


def test_the_mouth_and_the_sound_of_each_candidate_are_compared(patcher: Any) -> None:
    made, seed, report = best(patcher, portrait(), seed=2**64 - 1, candidates=2).result
    first, second = (line.split(": ") for line in report.splitlines()[1:3])
    assert [first[0], second[0]] == [f"seed {2**64 - 1}", "seed 0"]
    assert seed == (2**64 - 1 if float(first[1]) >= float(second[1]) else 0)
    assert all(torch.isfinite(stream).all() for stream in made["samples"].unbind())


@pytest.mark.parametrize(
    ("latent", "changes", "parts"),
    [
        (lambda: portrait(batch_size=2), {}, ["2 clips", "candidates"]),
        (lambda: portrait(task="voice"), {}, ["no lips", "UniAVGen Choose"]),
        (lambda: latent_of({"task": "joint", "portrait": pictures(1)}, 256, 128), {}, ["128×128", "256×128"]),
        (portrait, {"sigmas": flow_sigmas(2)[:2]}, ["1 steps"]),
    ],
    ids=["batch", "voice", "two people", "one step"],
)
def test_what_cannot_be_judged_is_refused(patcher: Any, latent: Any, changes: dict, parts: list[str]) -> None:
    with refused(*parts):
        best(patcher, latent(), **changes)


def test_real_faces_need_a_mesh(patcher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_of, "TinyVideoCodec", ())
    with refused("face_landmark.onnx", "models/insightface"):
        best(patcher, portrait())


def test_a_clip_without_a_face_is_the_last_choice() -> None:
    def blind(frames: Any) -> Any:
        raise ValueError("No face is found.")

    assert best_of._judged(blind, *codecs(), portrait()) == best_of.NO_FACE


def test_conditions_are_those_of_the_guider(patcher: Any) -> None:
    with refused("seconds"):
        BestOf.execute(
            guider_of(patcher, conditions(speech="word " * 40)), EULER, flow_sigmas(STEPS), portrait(), *codecs(),
            7, 2, 0.5, "none",
        )  # fmt: skip
