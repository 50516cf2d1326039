"""The judges of kind and mood."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch

from uniavgen_lab.evaluation.judges import JUDGES_FILE, NAMES, Judge, load_judges, save_judges
from uniavgen_lab.evaluation.train_judges import WANTED_ACCURACY, Example, train_judges


def examples(count: int, seed: int) -> list[Example]:
    """Noise whose band tells the kind and whose level tells the mood."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for index in range(count):
        kind, mood = index % 4, index // 4 % 4
        mel = torch.randn(60, 80, generator=generator) - 2 + 0.7 * mood
        mel[:, 20 * kind : 20 * kind + 20] += 3
        made.append(Example(mel, {"kind": NAMES["kind"][kind], "mood": NAMES["mood"][mood]}))
    return made


def test_training_learns_and_survives_a_file(tmp_path: Path):
    judges = train_judges(examples(64, 0), examples(32, 1), steps=60)
    assert judges.accuracy["kind"] > 0.9
    assert judges.accuracy["mood"] > 0.6
    save_judges(tmp_path / "judges.safetensors", judges, {"clips": "64"})
    loaded = load_judges(tmp_path / "judges.safetensors")
    assert loaded.accuracy == judges.accuracy
    mel = examples(1, 2)[0].mel.unsqueeze(0)
    for name in NAMES:
        torch.testing.assert_close(loaded.parts[name](mel), judges.parts[name](mel))


def test_committed_judges_are_small_and_good():
    assert JUDGES_FILE.stat().st_size < 300_000
    assert min(load_judges().accuracy.values()) >= WANTED_ACCURACY
    assert sum(parameter.numel() for parameter in Judge(4).parameters()) <= 60_000


def test_judges_hear_corpus_clips():
    pytest.importorskip("espeakng_loader", reason="the corpus' synthesiser is not installed")
    pytest.importorskip("einops", reason="einops is not installed")
    from uniavgen_lab.world.corpus import SPLITS, make_clip
    from uniavgen_lab.world.synthesiser import Synthesiser

    synthesiser, judges = Synthesiser(), load_judges()
    clips = [make_clip(seed, synthesiser) for seed in SPLITS["validation"][:24:2]]
    heard = [judges(clip.waveform) for clip in clips]
    assert numpy.mean([h["kind"] == clip.kind for h, clip in zip(heard, clips, strict=True)]) > 0.9
    assert numpy.mean([h["mood"] == clip.mood for h, clip in zip(heard, clips, strict=True)]) > 0.9


def test_absent_judges_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="train_judges"):
        load_judges(tmp_path / "none.safetensors")
