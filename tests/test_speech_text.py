from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from uniavgen_core.config import clip_seconds, latent_frames_for_seconds
from uniavgen_core.joint_latent import check_room
from uniavgen_core.speech.duration import reference_pace, seconds_for_speech, speech_seconds
from uniavgen_core.speech.scripts import check_speech
from uniavgen_core.speech.text import Lexicon, detect_language, symbols, tokens

CASES = json.loads((Path(__file__).parent / "golden" / "speech_tokens.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon()


@pytest.mark.parametrize("case", CASES, ids=[f"{case['language']}-{case['text'][:12]}" for case in CASES])
def test_equals_the_released_symbols(lexicon: Lexicon, case: dict) -> None:
    assert tokens(case["text"], case["language"], lexicon) == case["tokens"]
    assert symbols(case["text"], case["language"], lexicon) == case["indices"]


def test_characters_without_pinyin_stay_one_symbol_each(lexicon: Lexicon) -> None:
    assert tokens("ㄅㄆ㈱……é", "zh", lexicon) == [" ", "ㄅ", " ", "ㄆ", " ", "㈱", "…", "…", "é"]


def test_chinese_leaves_nothing_behind(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tokens("今天天气真好", "zh", Lexicon())
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["jieba", "pypinyin"])
def test_chinese_without_its_packages_says_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"{package} is needed to speak Chinese .*pip install -U {package} "):
        tokens("今天", "zh", Lexicon())
    assert tokens("Hi", "en", Lexicon()) == ["H", "i"]


def test_language_is_detected() -> None:
    assert [detect_language(text) for text in ("Hello", "他说 OK", "Hello, “café”。", "")] == ["en", "zh", "en", "en"]


def test_a_symbol_that_the_vocabulary_lacks_is_a_space(lexicon: Lexicon) -> None:
    assert symbols("a🙂b", "en", lexicon)[1] == symbols(" ", "en", lexicon)[0] == 0
    assert symbols("今🙂", "zh", lexicon)[-1] == 0


@pytest.mark.parametrize("text", ["", "  \n\t", "\u3000"])
def test_empty_speech_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="The speech is empty: write what the person says"):
        check_speech(text)


@pytest.mark.parametrize("text", ["Привет, как дела в 2025?", "مرحبا", "नमस्ते", "こんにちは", "🙂"])
@pytest.mark.parametrize("language", [None, "en", "zh"])
def test_a_language_that_the_model_does_not_speak_is_an_error(text: str, language: str | None) -> None:
    with pytest.raises(ValueError, match="It speaks English and Chinese") as error:
        check_speech(text, language)
    assert text in str(error.value)


def test_chinese_as_english_says_which_language_to_set() -> None:
    with pytest.raises(ValueError, match="set the language to Chinese"):
        check_speech("今天天气真好", "en")


@pytest.mark.parametrize("text", ["Hi", "Ça va?", "100%", "今天", "She said 你好 🙂"])
def test_speech_of_the_model_passes(text: str) -> None:
    check_speech(text)


def test_another_language_is_named() -> None:
    for function in (partial(tokens, lexicon=Lexicon()), speech_seconds, check_speech):
        with pytest.raises(ValueError, match="“fr”"):
            function("Bonjour", "fr")


def test_seconds_of_speech() -> None:
    assert speech_seconds("  " + "a" * 30 + "\n", "en") == pytest.approx(2)
    assert speech_seconds("今" * 9, "zh") == pytest.approx(2)
    assert speech_seconds("今" * 9 + "a" * 30, "zh") == pytest.approx(4)
    assert speech_seconds("a" * 30, "en", pace=2 / 3) == pytest.approx(3)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_reference_pace_is_the_one_at_which_the_transcript_takes_its_seconds(language: str) -> None:
    transcript = "Hello 今天天气真好"
    pace = reference_pace(transcript, language, 2.7)
    assert speech_seconds(transcript, language, pace) == pytest.approx(2.7)
    with pytest.raises(ValueError, match="transcript of the reference sound is empty"):
        reference_pace(" ", language, 3.7)
    with pytest.raises(ValueError, match="reference sound is empty"):
        reference_pace(transcript, language, 0)
    with pytest.raises(ValueError, match="does not fit the reference sound"):
        reference_pace(transcript, language, 60)


def test_pace_holds_across_languages() -> None:
    twice_as_fast = reference_pace("a" * 30, "en", 1.0)
    assert speech_seconds("今" * 9, "zh", twice_as_fast) == pytest.approx(1)


@pytest.mark.parametrize("length", [1, 15, 76, 300])
def test_clip_is_the_shortest_that_has_room(length: int) -> None:
    seconds = seconds_for_speech("a" * length, "en")
    frames = latent_frames_for_seconds(seconds)
    assert seconds == clip_seconds(frames) >= length / 15
    assert clip_seconds(frames - 1) < length / 15


def test_too_many_words_are_an_error_that_says_what_they_want() -> None:
    check_room(3.0, 2.0)
    with pytest.raises(ValueError, match=r"wants about 4\.06 seconds, the clip lasts 2\.00: make it longer"):
        check_room(4.0, 2.0)
    with pytest.raises(ValueError, match=r"at this voice's pace, which is 0\.5 times the usual"):
        check_room(4.0, 2.0, pace=0.5)
    with pytest.raises(ValueError, match=r"one segment lasts at most 20\.06: split it"):
        check_room(40.0, 2.0)
