"""Segments of a long clip, sampled by the user's guider."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from clips import (
    EULER,
    assert_equal,
    caption,
    chirp,
    conditions,
    guider_of,
    latent_of,
    left_half,
    pictures,
    reference_voice,
    refused,
    warnings_of_ours,
)
from comfy_extras.nodes_custom_sampler import Noise_RandomNoise
from pack.nodes import comfy_model
from pack.nodes.comfy_long_form import SegmentSampler
from pack.nodes.conditioning import ChangeCaption
from pack.nodes.long_form import LongForm
from pack.nodes.speakers import Recordings, SceneNode, SpeakerVoice
from pack.uniavgen_core.sampling.schedule import flow_sigmas

import nodes as comfy_nodes


def segments(patcher: Any, latent: dict, conds: tuple[list, list] | None = None) -> SegmentSampler:
    first_frame = latent["samples"].unbind()[0][:, :, :1]
    return SegmentSampler(guider_of(patcher, conds), EULER, flow_sigmas(2), Noise_RandomNoise(7), first_frame)


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


def test_a_speakers_voice_and_scene_take_the_place_of_the_guiders_own(patcher: Any, short_latent: dict) -> None:
    voice = torch.zeros(1, 50, 80)
    own, said = conditions(reference_voice()), conditions()
    sampler = segments(patcher, short_latent, own)
    seen = dict[str, list[dict[str, Any]]]()

    class Watching(type(sampler.guider)):  # type: ignore[misc]
        def sample(self, *args: Any, **kwargs: Any) -> Any:
            seen.update(self.original_conds)
            return short_latent["samples"]

    # A copy of the user's guider samples.
    sampler.guider.__class__ = Watching
    unsaid = said[1][0][1][comfy_model.SYMBOLS]
    values = {comfy_model.REFERENCE_AUDIO: voice, comfy_model.SYMBOLS: unsaid, comfy_model.REFERENCE_IMAGE: voice}
    caption_rows, symbols = words_of_segment(sampler)
    sampler.sample(short_latent, caption_rows, symbols, seed=1, values=values)
    for name in ("positive", "negative"):
        (cond,) = seen[name]
        assert cond[comfy_model.REFERENCE_AUDIO] is voice and cond[comfy_model.REFERENCE_IMAGE] is voice
    assert seen["positive"][0][comfy_model.SYMBOLS] is symbols
    assert seen["negative"][0][comfy_model.SYMBOLS] is unsaid
    assert sampler.guider.original_conds["positive"][0][comfy_model.REFERENCE_AUDIO] is not voice


def test_voices_and_scenes_grow_node_by_node() -> None:
    said = reference_voice()
    audio, words = said["reference_audio"], said["reference_transcript"]
    first = SpeakerVoice.execute(audio, words)[0]
    both = SpeakerVoice.execute(audio, words + " Red birds.", voices=first)[0]
    assert both[0] is first[0] and len(both) == 2 and both[0].key != both[1].key
    with refused("Voice of speaker 3", "transcript is empty"):
        SpeakerVoice.execute(audio, "", voices=both)
    with refused("audio is missing"):
        SpeakerVoice.execute(None, words)
    scenes = SceneNode.execute(pictures(1), scenes=SceneNode.execute(pictures(2))[0])[0]
    assert [scene.picture.shape for scene in scenes] == [(1, 64, 64, 3)] * 2


def test_recordings_are_one_sound_and_say_who_speaks() -> None:
    first, second = chirp(1.0), chirp(0.5)
    turns, mix, report = Recordings.execute(first, second, "in turn").args
    assert mix["waveform"].shape[-1] == first["waveform"].shape[-1] + second["waveform"].shape[-1]
    assert [row.split("speaker ")[1] for row in report.splitlines()] == ["1", "2"] and turns.people == 2
    with refused("not of one length", "audio_1 1.00, audio_2 0.50"):
        Recordings.execute(first, second, "at once")
    with refused("audio_4 is connected, but audio_3 is not"):
        Recordings.execute(first, first, "at once", audio_4=first)


def test_captions_of_a_long_clip_are_the_scripts_alone(patcher: Any, short_latent: dict) -> None:
    positive, negative = conditions()
    changing = ChangeCaption.execute(positive, caption(6), 60.0)[0]
    guiders = [guider_of(patcher, (told, negative)) for told in (positive, changing)]
    first_frame = short_latent["samples"].unbind()[0][:, :, :1]
    plain, ours = (
        SegmentSampler(guider, EULER, flow_sigmas(2), Noise_RandomNoise(7), first_frame) for guider in guiders
    )
    made = (sampler.sample(short_latent, *words_of_segment(sampler), seed=1) for sampler in (plain, ours))
    assert_equal(*made)


def start_long_clip(patcher: Any, latent: dict) -> None:
    """With nothing of what it would need next: the LATENT is looked at first."""
    given = (guider_of(patcher), EULER, flow_sigmas(2), Noise_RandomNoise(7), latent, None, None, None, 0.0, 1.0, 3)
    LongForm.execute(*given)


def test_a_long_clip_refuses_a_mask_within_a_frame(patcher: Any, latent: dict) -> None:
    masked = comfy_nodes.SetLatentNoiseMask().set_mask(latent, left_half())[0]
    with refused("A long clip starts with a portrait", "UniAVGen Latent"):
        start_long_clip(patcher, masked)


@pytest.mark.parametrize("given", [{}, {"portrait": pictures(1)}], ids=["no portrait", "a portrait"])
def test_a_long_clip_refuses_a_voice_alone(patcher: Any, given: dict) -> None:
    with refused("task voice, sound alone", "a long clip has a picture", "task joint"):
        start_long_clip(patcher, latent_of({"task": "voice", "seconds": 2.0} | given))
