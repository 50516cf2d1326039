"""Which scripts a text is written in, and whether the model speaks them."""

from __future__ import annotations

import unicodedata
from itertools import groupby

from .text import LANGUAGES, check_language, detect_language, is_ideograph

CHARACTERS_SHOWN = 40
WORDS_SHOWN = 3
WRITE = "write the speech in one of them"
NAMES = {
    "HIRAGANA": "Japanese hiragana",
    "KATAKANA": "Japanese katakana",
    "KATAKANA-HIRAGANA": "Japanese kana",
    "HANGUL": "Korean hangul",
}
SPOKEN = ("LATIN", "CJK", "MODIFIER", "IDEOGRAPHIC", "DOUBLE-STRUCK", "SCRIPT", "COMBINING", "VARIATION")
"""First words of the Unicode names of letters that belong to a script which is spoken, or to none."""


def check_speech(text: str, language: str | None = None, name: str = "speech") -> None:
    """Refuse speech that the model cannot say.

    The vocabulary has letters of many scripts, but speech was learnt in English and Chinese only: a word in any other
    script is refused. A single Greek letter is a symbol that has a name, such as π.

    Args:
        text: what is said, without marks.
        language: "en", "zh" or None: as `detect_language` finds.
        name: what the message calls the text.

    Raises:
        ValueError: the speech is empty, holds no words, or words of another script or language.
    """
    if not text.strip():
        raise ValueError(
            f"The {name} is empty: write what {'the person' if name == 'speech' else 'the recording'} says."
        )
    language = language or detect_language(text)
    check_language(language)
    foreign = _foreign_words(text, language)
    if foreign:
        shown = (
            f"{', '.join(f'“{word}”' for word in words[:WORDS_SHOWN])}{' …' if len(words) > WORDS_SHOWN else ''} "
            f"({script})"
            for script, words in foreign.items()
        )
        advice = "set the language to Chinese" if [*foreign] == ["Chinese"] else WRITE
        raise _refusal(text, language, f"it holds {'; '.join(shown)}", advice)
    if any(character.isalnum() or unicodedata.category(character) in ("Sc", "No") for character in text):
        return
    if any(unicodedata.category(character) in ("So", "Sk") for character in text):
        raise _refusal(text, language, "it holds no words", WRITE)
    raise ValueError(f"The {name} holds no words, only punctuation: write what the person says.")


def _refusal(text: str, language: str, reason: str, advice: str) -> ValueError:
    shown = text.strip()[:CHARACTERS_SHOWN] + ("…" if len(text.strip()) > CHARACTERS_SHOWN else "")
    return ValueError(
        f"The model cannot say “{shown}” in {LANGUAGES[language]}: {reason}. "
        f"It speaks {' and '.join(LANGUAGES.values())}: {advice}."
    )


def _foreign_words(text: str, language: str) -> dict[str, list[str]]:
    """Words of scripts that are not spoken in a language, by the name of the script."""
    found: dict[str, list[str]] = {}
    for script, run in groupby(text, lambda character: _script(character, language)):
        word = "".join(run)
        if script and not (script == "GREEK" and len(word) == 1):
            found.setdefault(NAMES.get(script, script.capitalize()), []).append(word)
    return found


def _script(character: str, language: str) -> str:
    """First word of a letter's Unicode name, which is its script; "" where it is spoken or no letter."""
    if is_ideograph(character):
        return "" if language == "zh" else "CHINESE"
    if unicodedata.category(character)[0] not in "LM":
        return ""
    script = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "").split(" ")[0].replace("-LETTER", "")
    return "" if script in SPOKEN or not script else script
