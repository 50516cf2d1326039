"""Speech of UniVerse-1: cleaned and split as the released model's was."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from comfy.install import ComfyInstall
from safetensors import safe_open

from uniavgen_core.universe1.lyrics import SILENCE_TOKENS, clean_speech, lyric_tokens, sound_text

VOCABULARY = "comfy/text_encoders/ace_lyrics_tokenizer/vocab.json"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ('Dr. Smith  said "Hi"', "doctor smith said hi"),
        ("It costs $12.50", "it costs twelve dollars, fifty cents"),
        ("It costs £3", "it costs three pounds sterling"),
        ("1,250 of the 21st & 5%", "one thousand, two hundred and fifty of the twenty-first and five percent"),
        ("3.5 at 20°", "three point five at twenty degree"),
    ],
)
def test_english_is_written_out(text: str, cleaned: str) -> None:
    assert clean_speech(text, "en").strip() == cleaned


@pytest.mark.parametrize("number", ["$1.234.567", "€1.2.3", "9" * 400, "1" * 320 + "th", "$" + "9" * 400])
def test_a_number_that_nobody_says_is_named(number: str) -> None:
    with pytest.raises(ValueError, match=f"The speech holds {re.escape(number[:40])}, .* write it in words"):
        clean_speech(f"it was {number} once", "en")


def test_chinese_becomes_syllables_with_commas() -> None:
    assert clean_speech("今天很好，2025年。", "zh") == "jin1tian1hen3hao3,er4ling2er4wu3nian2,"


def test_nobody_speaks(tmp_path: Path) -> None:
    assert lyric_tokens(" ", "en", tmp_path / "not_read.json") == [0] * SILENCE_TOKENS


def test_sounds_are_one_text() -> None:
    assert sound_text("Rain\n\n  soft piano ") == "Rain, soft piano"
    assert sound_text("No ambient sound") == sound_text("none") == sound_text("") == ""


def test_tokens_are_the_release_s(golden: Path, comfy_install: ComfyInstall) -> None:
    pytest.importorskip("tokenizers")
    with safe_open(golden / "universe_a.safetensors", framework="pt") as file:
        sentences = json.loads(file.metadata()["meta"])["speech_tokens"]
    known = [sentence for sentence in sentences if sentence["language"] in ("en", "zh")]
    assert len(known) > 6
    for sentence in known:
        made = lyric_tokens(sentence["text"], sentence["language"], comfy_install.path / VOCABULARY)
        assert made == sentence["tokens"], sentence["text"]
