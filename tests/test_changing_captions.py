"""Measuring captions that change: the mood that a face shows, and what each form tells the model."""

from __future__ import annotations

import pytest
import torch

from uniavgen_core.tiny.bundle import build_tiny
from uniavgen_lab.evaluation.changing_captions import CAPTION_FORMS, caption_in, measure_captions, soft_scores
from uniavgen_lab.evaluation.generate import Sampling
from uniavgen_lab.evaluation.shown_mood import shown_moods


@pytest.mark.parametrize(
    ("caption", "other"),
    [
        ("An angry man talks.", "A sad man talks."),
        ("Portrait of a child who sounds angry.", "Portrait of a child who sounds sad."),
        ("A woman speaks in an angry mood.", "A woman speaks in a sad mood."),
    ],
)
def test_a_caption_in_another_mood(caption: str, other: str) -> None:
    assert caption_in(caption, "angry", "sad") == other
    assert caption_in(other, "sad", "angry") == caption


def test_soft_scores_fall_to_both_sides() -> None:
    scores = soft_scores(12)
    assert scores.shape == (13, 2) and (scores <= 0).all()
    assert torch.equal(scores[0], scores[1])  # The portrait has the first frame's.
    torch.testing.assert_close(scores[1:, 0], scores[1:, 1].flip(0))
    assert (scores[1:7].argmax(dim=1) == 0).all() and (scores[7:].argmax(dim=1) == 1).all()
    # Of its whole weight, a caption has a tenth left at the cut.
    assert float(scores[6:8, 0].mean().exp()) == pytest.approx(0.1, abs=0.05)


def test_corpus_faces_show_their_mood_and_each_form_is_measured() -> None:
    pytest.importorskip("espeakng_loader", reason="the corpus' synthesiser is not installed")
    from uniavgen_lab.world.corpus import SPLITS, make_clip, partner
    from uniavgen_lab.world.synthesiser import Synthesiser

    synthesiser = Synthesiser()
    moods = set()
    for seed in SPLITS["test"][:16:2]:
        clip = make_clip(seed, synthesiser)
        shown = shown_moods(clip.frames[8::4], clip.person)
        moods.add(clip.mood)
        assert shown.count(clip.mood) > 0.6 * len(shown)
    assert len(moods) > 1
    bundle, other = build_tiny(), make_clip(partner(seed), synthesiser)
    for form in CAPTION_FORMS:
        measures = measure_captions(bundle, clip, other, Sampling(steps=1, guidance=form))
        assert 0 <= measures["first"] <= 1 and 0 <= measures["second"] <= 1
        assert {"lip_sync_raw", "identity"} < measures.keys()
        assert not bundle.model._forward_pre_hooks
