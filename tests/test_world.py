"""The small model's world: its sentences, and what it refuses to say."""

from __future__ import annotations

from random import Random

import pytest

from uniavgen_lab.world.sentences import (
    FEWEST_WORDS,
    MOST_WORDS,
    WORDS,
    check_known_words,
    draw_sentence,
    words_of,
    write_sentence,
)


def test_sentences_are_written_as_they_are_drawn() -> None:
    for seed in range(500):
        sentence = draw_sentence(Random(seed))
        assert FEWEST_WORDS <= len(words_of(sentence)) <= MOST_WORDS
        assert sentence == write_sentence(sentence) == write_sentence(" ".join(words_of(sentence)))


@pytest.mark.parametrize(
    ("speech", "sentence"),
    [
        ("two red cats", "Two red cats."),
        ("HELLO three birds!", "Hello, three birds."),
        ("good night, my white bear...", "Good night, my white bear."),
        ("good morning", "Good morning."),
        ("hi i love fish", "Hi, I love fish."),
        ("  Good   dogs\nsleep ", "Good dogs sleep."),
    ],
)
def test_any_spelling_becomes_the_worlds(speech: str, sentence: str) -> None:
    assert write_sentence(speech) == sentence


@pytest.mark.parametrize(
    ("speech", "problem"),
    [
        ("Two zebras and 3 zebras.", "does not know 'zebras', '3'"),
        ("…", "cannot say 0 words"),
        ("Hello.", "cannot say 1 word"),
        ("One red cat and two blue dogs.", "cannot say 7 words"),
    ],
)
def test_what_was_never_learned_is_refused_with_the_list(speech: str, problem: str) -> None:
    for refuse in (check_known_words, write_sentence):
        with pytest.raises(ValueError, match=f"The small model {problem}: say 2 to 6 of its words") as refused:
            refuse(speech)
        assert ", ".join(WORDS) in str(refused.value)
