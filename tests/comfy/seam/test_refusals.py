"""What nodes cannot take is refused in words that say what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from clips import (
    caption,
    chirp,
    conditions,
    joint,
    latent_of,
    pictures,
    reference_voice,
    refused,
    sample,
    tiny_vae,
)
from comfy.nested_tensor import NestedTensor
from pack.nodes.conditioning import Conditioning, ReferenceImage
from pack.nodes.long_form import Join

SILENCE = {"waveform": torch.zeros(1, 1, 30_000), "sample_rate": 24_000}
TWO_SOUNDS = {"waveform": chirp(1.6)["waveform"].repeat(2, 1, 1), "sample_rate": 44_100}
PAST = {"task": "continuation", "video": pictures(40)}
AUDIO_DRIVEN = {"task": "audio_driven", "portrait": pictures(1), "audio": chirp(1.0)}


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda video, audio: video, ["picture and sound", "UniAVGen Latent"]),
        (lambda video, audio: NestedTensor([video[:, :24], audio]), ["another model", "24"]),
        (lambda video, audio: NestedTensor([video, audio[:, :, :20]]), ["not equally long"]),
        (lambda video, audio: NestedTensor([video * float("nan"), audio]), ["NaN"]),
    ],
    ids=["video alone", "24 channels", "short sound", "NaN"],
)
def test_a_latent_that_is_no_clip(patcher: Any, latent: dict, conds: Any, make: Any, parts: list[str]) -> None:
    with refused(*parts):
        sample(patcher, {"samples": make(*latent["samples"].unbind())}, conds=conds)


def test_a_reference_picture_of_another_size(patcher: Any, latent: dict, conds: Any) -> None:
    referring = ReferenceImage.execute(*conds, latent, tiny_vae(), pictures(1))[0:2]
    with refused("96×64", "128×64", "same LATENT"):
        sample(patcher, joint(width=128, height=64), conds=referring)


def test_a_reference_picture_for_a_latent_that_is_no_clip(latent: dict, conds: Any) -> None:
    with refused("UniAVGen Latent"):
        ReferenceImage.execute(*conds, {"samples": latent["samples"].unbind()[0]}, tiny_vae(), pictures(1))


def voice_of(waveform: Any) -> dict:
    """The inputs of a reference voice of another waveform."""
    return reference_voice() | {"reference_audio": {"waveform": waveform, "sample_rate": 24000}}


@pytest.mark.parametrize(
    ("voice", "parts"),
    [
        (voice_of(reference_voice()["reference_audio"]["waveform"].repeat(1, 1, 40)), ["40 seconds", "30"]),
        (voice_of(torch.zeros(1, 1, 24000)), ["silent"]),
        (voice_of(torch.zeros(1, 1, 0)), ["empty"]),
        (reference_voice() | {"reference_audio": None}, ["reference_audio is missing", "sound"]),
        (reference_voice() | {"reference_transcript": " "}, ["transcript"]),
        (
            reference_voice() | {"reference_transcript": "Selected forms are propagated. " * 9},
            ["transcript does not fit"],
        ),
    ],
    ids=["long", "silent", "empty", "missing", "no transcript", "long transcript"],
)
def test_a_reference_voice(voice: dict, parts: list[str]) -> None:
    with refused(*parts):
        conditions(voice)


@pytest.mark.parametrize(("speech", "parts"), [("?!", ["no words"]), ("Привет, мир", ["English", "Chinese"])])
def test_a_speech_that_cannot_be_said(speech: str, parts: list[str]) -> None:
    with refused(*parts):
        conditions(speech=speech)


@pytest.mark.parametrize(("speech", "part"), [("  ", "speech is empty"), ("word " * 40, "seconds")])
def test_a_speech_that_does_not_fit_the_clip(patcher: Any, latent: dict, speech: str, part: str) -> None:
    with refused(part):
        sample(patcher, latent, conds=conditions(speech=speech))


def test_captions_of_another_text_encoder(patcher: Any, latent: dict) -> None:
    wide = [[torch.randn(1, 12, 96), {}]]
    with refused("96", "64", "CLIPLoader"):
        sample(patcher, latent, conds=Conditioning.execute(wide, wide, "Hello", "auto")[0:2])


def test_captions_alone(patcher: Any, latent: dict) -> None:
    with refused("UniAVGen Conditioning"):
        sample(patcher, latent, conds=(caption(2), caption(3)))


def test_a_block_that_is_not_there(patcher: Any, latent: dict) -> None:
    with refused("4 blocks", "0 to 3"):
        sample(patcher, latent, skip_block={"skip_block": "block", "index": 4})


def two_sounds_of_a_latent() -> dict:
    generated = joint(frames=6, width=64, height=64)
    pair = [stream.repeat(2, *[1] * (stream.ndim - 1)) for stream in generated["samples"].unbind()]
    return generated | {"samples": NestedTensor(pair)}


@pytest.mark.parametrize(
    ("task", "parts"),
    [
        (PAST | {"frame_rate": 25.0, "audio": TWO_SOUNDS}, ["audio holds 2 sounds", "batch_size to 1"]),
        (PAST | {"frame_rate": 25.0, "audio": two_sounds_of_a_latent()}, ["audio holds 2 sounds"]),
        (AUDIO_DRIVEN | {"audio": TWO_SOUNDS}, ["audio holds 2 sounds", "pick one"]),
        (AUDIO_DRIVEN | {"conditioning": conditions(reference_voice())[0]}, ["disconnect reference_audio"]),
        (PAST, ["audio is missing"]),
        (PAST | {"audio": SILENCE}, ["audio is silent"]),
        (PAST | {"audio": chirp(2), "video": pictures(5)}, ["past lasts 0.31 seconds"]),
        (PAST | {"audio": chirp(2), "past_frames": 7}, ["alone lasts"]),
        ({"task": "dubbing", "video": None, "frame_rate": 16.0}, ["video is empty"]),
        ({"task": "dubbing", "video": pictures(50), "frame_rate": 1.0}, ["video lasts 50.00"]),
        (AUDIO_DRIVEN | {"audio": chirp(21)}, ["audio lasts 21"]),
        (AUDIO_DRIVEN | {"audio": None}, ["audio is missing"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value["task"],
)
def test_what_no_task_can_take(task: dict, parts: list[str]) -> None:
    with refused(*parts):
        latent_of(task)


def test_a_reference_voice_where_the_sound_is_given(patcher: Any) -> None:
    with refused("sound is given", "disconnect reference_audio"):
        sample(patcher, latent_of(AUDIO_DRIVEN), conds=conditions(reference_voice()))


@pytest.mark.parametrize(
    ("past_audio", "audio", "part"),
    [(TWO_SOUNDS, chirp(2), "past_audio holds 2 sounds"), (chirp(2.5), TWO_SOUNDS, "audio holds 2 sounds")],
    ids=["past_audio", "audio"],
)
def test_two_sounds_are_not_joined(past_audio: dict, audio: dict, part: str) -> None:
    with refused(part):
        Join.execute(pictures(40), 16.0, pictures(33), audio, 3, past_audio)
