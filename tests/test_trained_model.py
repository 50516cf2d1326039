"""What the small model that comes with the pack has learned, on the cases that users meet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from uniavgen_core.audio.mel import log_mel, to_model_waveform
from uniavgen_core.audio.voice import loud_db, reference_mel, token_level_db
from uniavgen_core.config import AUDIO_TOKENS_PER_SECOND, FRAME_RATE, SAMPLE_RATE
from uniavgen_core.face.lip_sync import mouth_open_area
from uniavgen_core.face.steering import FaceGuidance, clip_mask
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.long_form.maker import LongClip
from uniavgen_core.long_form.pacing import Pacing
from uniavgen_core.long_form.planning import LongFormSettings, plan_clip
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.long_form.store import SegmentStore
from uniavgen_core.sampling.euler import Clip, Condition
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tiny.bundle import TinyBundle, load_tiny
from uniavgen_core.tiny.drawing import PORTRAIT_SEED, draw_portrait
from uniavgen_lab import pipeline
from uniavgen_lab.core_host import CoreHost
from uniavgen_lab.evaluation.judges import JUDGES_FILE, load_judges
from uniavgen_lab.evaluation.predicted_masks import face_patches
from uniavgen_lab.video_files import read_video
from uniavgen_lab.world.sentences import caption_of_two

SPEECH = "Hello, three red birds."
PACE = 11 / 15
"""Of the small model's people, against the usual rate."""
STEPS = 10
"""Enough for what is asserted here; a user's clip has more."""
SILENCE_DB = 25.0
"""Below the loud parts, nothing is heard."""


@pytest.fixture(scope="module")
def bundle() -> TinyBundle:
    return load_tiny()


def longest_pause(waveform: torch.Tensor, sample_rate: int) -> float:
    """Seconds of the longest silence between two voices."""
    levels = log_mel(to_model_waveform(waveform, sample_rate))[0]
    voiced = torch.nonzero(token_level_db(levels) > loud_db(levels) - SILENCE_DB).flatten()
    return float(voiced.diff().max() - 1) / AUDIO_TOKENS_PER_SECOND


@pytest.mark.parametrize("pause", [0.5, 1.0])
def test_a_pause_in_a_script_is_as_long_as_it_says(bundle: TinyBundle, tmp_path: Path, pause: float) -> None:
    host = CoreHost(bundle, draw_portrait(), 128, 128, steps=STEPS)
    speech = f"Hello, three red birds. [pause {pause}] We see one blue cat."
    lines = parse_script(f"A happy woman looks at the camera and speaks. | {speech}")
    settings = LongFormSettings(Pacing(pace=PACE), 12, 3, seed=1)
    clip = LongClip(host, SegmentStore(tmp_path), *plan_clip(lines, settings))
    clip.write(clip.make(), tmp_path / "clip.mp4")
    _, _, sound = read_video(tmp_path / "clip.mp4")
    assert sound is not None
    assert longest_pause(*sound) == pytest.approx(pause, abs=0.1)


def test_the_masked_one_of_two_people_speaks(bundle: TinyBundle) -> None:
    people = torch.cat((draw_portrait(PORTRAIT_SEED, "woman"), draw_portrait(PORTRAIT_SEED + 2, "man")), dim=2)
    caption = caption_of_two(("woman", "man"), None, "happy")
    request = pipeline.Request(people, caption, SPEECH, 256, 128, seconds=2.0, seed=4, steps=STEPS)
    clip, positive, negative = pipeline.encode(bundle, request)
    for side, columns in (("left", slice(24, 104)), ("right", slice(152, 232))):
        mask = torch.zeros(1, 128, 256)
        mask[:, 30:110, columns] = 1
        guidance = FaceGuidance(clip_mask(mask, FRAME_RATE, clip.video.shape[2], 4, 8), "replace")
        with face_patches(bundle.model, lambda timestep, patch=guidance: [patch]):
            frames, _ = made(bundle, request, clip, positive, negative)
        moves = {
            name: mouth_open_area(half.numpy()).std()
            for name, half in zip(("left", "right"), frames.split(128, dim=2), strict=True)
        }
        speaking = moves.pop(side)
        (silent,) = moves.values()
        assert speaking > 5 and silent <= 0.3 * speaking, side


def test_a_reference_voice_is_taken_and_not_a_strangers(bundle: TinyBundle) -> None:
    judges = load_judges(JUDGES_FILE)
    voices = {}
    for kind in ("man", "child"):
        request = of_person(kind, SPEECH)
        _, voices[kind] = made(bundle, request, *pipeline.encode(bundle, request))
        assert judges(voices[kind].numpy())["kind"] == kind
    words = "Good morning, two green fish."
    for kind, voice in voices.items():
        (shown,) = voices.keys() - {kind}
        request = of_person(shown, words)
        clip, *_ = pipeline.encode(bundle, request)
        clip = replace(clip, reference_audio=normalise_mel(reference_mel(voice.view(1, 1, -1), SAMPLE_RATE, SPEECH)))
        positive = pipeline.condition(bundle, request.caption, SpeechReader().positive_symbols(words, "en", SPEECH))
        negative = pipeline.condition(bundle, "", SpeechReader().negative_symbols("en", SPEECH))
        _, sound = made(bundle, request, clip, positive, negative)
        assert judges(sound.numpy())["kind"] == kind


def of_person(kind: str, words: str) -> pipeline.Request:
    """A clip of two seconds in which somebody of this kind talks."""
    portrait = draw_portrait(PORTRAIT_SEED, kind)
    return pipeline.Request(portrait, f"A happy {kind} talks.", words, 128, 128, seconds=2.0, steps=STEPS)


def made(
    bundle: TinyBundle, request: pipeline.Request, clip: Clip, positive: Condition, negative: Condition
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (F, H, W, 3) and sound (samples) of a clip."""
    video, audio = pipeline.sample_clip(
        bundle, clip, positive, negative,
        seed=request.seed, steps=request.steps, shift=request.shift, guidance=request.guidance,
    )  # fmt: skip
    return pipeline.decode_video(bundle, video), pipeline.decode_audio(audio)[0]
