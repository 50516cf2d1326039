"""Sound alone: beside a still that is made with it, or beside nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from clips import (
    assert_close,
    assert_kept,
    chirp,
    conditions,
    latent_of,
    pictures,
    reference_voice,
    refused,
    sample,
    watch_switches,
    ways_to_sample,
)
from comfy.nested_tensor import NestedTensor
from comfy_extras.nodes_easycache import EasyCacheNode
from pack.nodes.audition import ChooseVoice
from pack.nodes.comfy_latent import kept_parts
from pack.uniavgen_core.tasks import kept_prefix
from test_runs import core_run

WITH_FACE = {"task": "voice", "portrait": pictures(1)}
TOKENS = 6 + 25 * 6
"""Of seven latent frames, 1.56 seconds."""


def test_a_voice_has_a_still_of_its_portrait(patcher: Any, conds: Any) -> None:
    latent = latent_of(WITH_FACE | {"batch_size": 2})
    video, audio = latent["samples"].unbind()
    assert (video.shape, audio.shape) == ((2, 48, 1, 4, 4), (2, 1, TOKENS, 80))
    assert kept_parts(latent) == kept_prefix(1, TOKENS)
    made = sample(patcher, latent, 2, conds=conds)
    assert not torch.equal(made[0], video)
    assert not torch.equal(made[1][0], made[1][1])


def test_a_voice_equals_the_core_loop(patcher: Any, conds: Any) -> None:
    latent = latent_of(WITH_FACE)
    assert_close(sample(patcher, latent, 4, conds=conds), core_run(latent, conds, 4), 1e-3)


@pytest.mark.parametrize("with_face", [False, True])
def test_nothing_of_the_picture_is_computed_where_the_voice_does_not_see_it(patcher: Any, with_face: bool) -> None:
    conds = conditions(reference_voice() if with_face else None)
    latent = latent_of((WITH_FACE if with_face else {"task": "voice"}) | {"conditioning": conds[0]})
    seen = watch_switches(patcher)
    ran: list[int] = []
    hooks = [block.register_forward_hook(lambda *_: ran.append(1)) for block in patcher.model.diffusion_model.blocks]
    made = sample(patcher, latent, 2, conds=conds)
    for hook in hooks:
        hook.remove()
    assert ran == []
    assert not any(switches.audio_to_video or switches.video_to_audio for _, switches in seen)
    assert_kept(latent, made)


@pytest.mark.parametrize("with_face", [False, True])
def test_any_sampler_makes_a_voice(patcher: Any, conds: Any, with_face: bool) -> None:
    latent = latent_of(WITH_FACE if with_face else {"task": "voice"})
    for way in ways_to_sample(patcher, conds).values():
        made = way(latent)
        assert made[1].shape == (1, 1, TOKENS, 80) and torch.isfinite(made[1]).all()
        assert made[1].std() > 0


def test_easy_cache_leaves_a_voice_beside_nothing_as_it_is(patcher: Any, conds: Any) -> None:
    latent = latent_of({"task": "voice"})
    cached = EasyCacheNode.execute(patcher, 0.2, 0.15, 0.95, False)[0]
    assert torch.equal(sample(cached, latent, 6, conds=conds)[1], sample(patcher, latent, 6, conds=conds)[1])


def test_memory_is_reserved_for_what_runs(patcher: Any) -> None:
    def needed(task: dict) -> float:
        parts = latent_of(task | {"seconds": 5.0}, 256, 256)["samples"].unbind()
        return patcher.model.memory_required([1, 1, sum(part.numel() for part in parts)])

    assert needed(WITH_FACE) < needed({"task": "joint", "portrait": pictures(1)}) / 5


def test_a_still_beside_part_of_a_frames_sound_is_refused(patcher: Any, conds: Any) -> None:
    video, audio = latent_of(WITH_FACE)["samples"].unbind()
    with refused("not equally long"):
        sample(patcher, {"samples": NestedTensor([video, audio[:, :, :-1]])}, conds=conds)


@pytest.mark.parametrize(
    ("words", "parts"),
    [({"speech": "word " * 40}, ["seconds", "1.56"]), ({"speech": "  "}, ["speech is empty"])],
)
def test_words_that_do_not_fit_are_refused(words: dict, parts: list[str]) -> None:
    with refused(*parts):
        latent_of({"task": "voice", "conditioning": conditions(**words)[0]})


def test_one_voice_is_chosen() -> None:
    waveform = torch.stack([chirp(0.5)["waveform"][0] * scale for scale in (1.0, 0.5, 0.25)])
    chosen, in_turn = ChooseVoice.execute({"waveform": waveform, "sample_rate": 44_100}, 2).result
    assert torch.equal(chosen["waveform"], waveform[1:2])
    start = round(2 * (0.5 + 0.6) * 44_100)
    assert torch.equal(in_turn["waveform"][..., start:], waveform[2:])
    assert not in_turn["waveform"][..., waveform.shape[-1] : waveform.shape[-1] + 26_460].any()
    with refused("number is 4", "3 voices"):
        ChooseVoice.execute({"waveform": waveform, "sample_rate": 44_100}, 4)
