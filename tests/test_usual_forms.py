"""Signs in the forms that the model knows, and scripts that it does not speak."""

from __future__ import annotations

import pytest

from uniavgen_core.speech import chinese, english_words
from uniavgen_core.speech.forms import sign_name, usual_forms
from uniavgen_core.speech.scripts import check_speech
from uniavgen_core.speech.text import Lexicon

VOCABULARY = Lexicon().indices


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("Don’t say it’s “fine”.", "Don't say it's \"fine\"."),
        ("‘one’ ‚two‛ „three‟ «four» ‹five› `six´", "'one' 'two' \"three\" \"four\" 'five' 'six'"),
        ("e\u0301cole, n\u0303, Zu\u0308rich", "école, ñ, Zürich"),
        ("ﬁne ﬂag oﬃce", "fine flag office"),
        ("ＡＢＣ　１２３！（ｏｋ）", "ABC 123! (ok)"),
        ("well-known co‐op non‑stop −5 a–b c—d e―f", "well-known co-op non-stop -5 a–b c—d e—f"),
        ("wait… and wait‥", "wait… and wait…"),
        ("a\u00a0b\u2009c\u202fd\u3000e\tf\ng\u2028h", "a b c d e f g h"),
        ("𝐇𝐞𝐥𝐥𝐨 𝓦𝓸𝓻𝓵𝓭 Ⅷ ① Ⓐ", "Hello World VIII 1 A"),
        ("٣ ५ ４", "3 5 4"),
        ("5 ㎞, 3 ㎡, 20 ℃, 5 µm", "5 km, 3 m², 20 °C, 5 μm"),
        ("H₂O", "H2O"),
        ("ǹ ƒ ẞ Ħ", "n f ß ħ"),
        ("你好，世界。", "你好, 世界. "),
    ],
)
def test_english_signs(written: str, usual: str) -> None:
    form, left_out = usual_forms(written, "en", VOCABULARY)
    assert (form.strip(), left_out) == (usual.strip(), [])


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("他说：“你好”，『再见』「好」；走吧！", '他说:"你好"，"再见""好";走吧！'),
        ("ＡＩ时代２０２５年（好）", "AI时代2025年(好)"),
        ("《书》、【注】——等等……", "《书》、【注】——等等……"),
        ("一・二·三", "一·二·三"),
    ],
)
def test_chinese_signs(written: str, usual: str) -> None:
    assert usual_forms(written, "zh", VOCABULARY) == (usual, [])


@pytest.mark.parametrize(
    ("written", "usual", "names"),
    [
        ("Hi 😀!", "Hi !", ["GRINNING FACE 😀"]),
        ("👨‍👩‍👧 ok 👍🏽", " ok ", ["MAN 👨", "WOMAN 👩", "GIRL 👧", "THUMBS UP SIGN 👍"]),
        ("zero\u200bwidth\ufeff", "zerowidth", []),
        ("soft\u00adhyphen", "softhyphen", []),
        ("a\u202eb\u200f", "ab", []),
        ("3▶5, a😀b", "3 5, a b", ["BLACK RIGHT-POINTING TRIANGLE ▶", "GRINNING FACE 😀"]),
        ("a\x00b\x07", "ab", ["U+0000", "U+0007"]),
        ("x\u0304 ♪ █ ★ Word™", "x    Word", ["COMBINING MACRON", "EIGHTH NOTE ♪", "FULL BLOCK █", "BLACK STAR ★",
                                             "TRADE MARK SIGN ™"]),
    ],
)  # fmt: skip
def test_what_nobody_hears_is_left_out_and_named(written: str, usual: str, names: list[str]) -> None:
    form, left_out = usual_forms(written, "en", VOCABULARY)
    assert (" ".join(form.split()), [sign_name(sign) for sign in left_out]) == (" ".join(usual.split()), names)


@pytest.mark.parametrize(("language", "signs"), [("en", english_words.SIGNS), ("zh", chinese.SIGNS)])
def test_signs_that_have_a_word_stay(language: str, signs: dict[str, str]) -> None:
    for sign in signs:
        form, left_out = usual_forms(f"a {sign} b", language, VOCABULARY)
        assert len(form.split()) == 3, sign
        assert not left_out


@pytest.mark.parametrize(
    ("text", "words", "script"),
    [
        ("Привет, мир OK", "“Привет”, “мир”", "Cyrillic"),
        ("I said Я", "“Я”", "Cyrillic"),
        ("こんにちは世界、元気ですか。", "“こんにちは”, “ですか”", "Japanese hiragana"),
        ("カラオケ OK", "“カラオケ”", "Japanese katakana"),
        ("안녕하세요 BTS", "“안녕하세요”", "Korean hangul"),
        ("Γειά σου Maria", "“Γειά”, “σου”", "Greek"),
        ("Hi مرحبا", "“مرحبا”", "Arabic"),
        ("Hi שלום", "“שלום”", "Hebrew"),
        ("नमस्ते Hi", "“नमस्ते”", "Devanagari"),
        ("สวัสดี 5", "“สวัสดี”", "Thai"),
        ("ㄅㄆ 好", "“ㄅㄆ”", "Bopomofo"),
    ],
)
@pytest.mark.parametrize("language", [None, "en", "zh"])
def test_words_of_another_script_are_refused(text: str, words: str, script: str, language: str | None) -> None:
    with pytest.raises(ValueError, match="It speaks English and Chinese") as error:
        check_speech(text, language)
    assert f"{words} ({script})" in str(error.value)


def test_many_words_of_another_script_are_cut_short() -> None:
    with pytest.raises(ValueError, match=r"“раз”, “два”, “три” … \(Cyrillic\)"):
        check_speech("раз два три четыре пять")


@pytest.mark.parametrize("text", ["π is 3.14", "5 μm and 10 kΩ", "Δt", "20 °C, 5 €", "naïve Zürich São Paulo", "50"])
def test_symbols_and_accents_pass(text: str) -> None:
    check_speech(text, "en")
