"""Speech text to the tokens of UniVerse-1: ACE-Step's, whose vocabulary the host has.

A text is cleaned, as the released model's was, put behind the tag of its language, and split by the vocabulary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..files import needed
from ..speech.chinese import chinese_rules
from ..speech.rules import write_out
from ..speech.text import SPEAK_CHINESE

START_TOKEN, END_TOKEN = 261, 2
SILENCE_TOKENS = 32
"""Zeros that stand for no speech."""
NO_SOUND = ("no ambient", "none")
"""A sound's text with one of these stands for none, as in the release."""
TAGS = {"zh": "zh-cn"}
"""Of languages whose tag is not their code."""
SPEAK_NUMBERS = "to read numbers"
ABBREVIATIONS = {
    "mrs": "misess", "mr": "mister", "dr": "doctor", "st": "saint", "co": "company", "jr": "junior", "maj": "major",
    "gen": "general", "drs": "doctors", "rev": "reverend", "lt": "lieutenant", "hon": "honorable", "sgt": "sergeant",
    "capt": "captain", "esq": "esquire", "ltd": "limited", "col": "colonel", "ft": "fort",
}  # fmt: skip
"""Words that are written with a point."""
SYMBOLS = {
    "&": "and", "@": "at", "%": "percent", "#": "hash", "$": "dollar", "£": "pound", "°": "degree",
}  # fmt: skip
CURRENCIES = {"£": "GBP", "$": "USD", "€": "EUR"}


def sound_text(sound: str) -> str:
    """One text of what is heard beside the speech, given in lines; an empty one where they say that there is none."""
    text = ", ".join(line.strip() for line in sound.splitlines() if line.strip())
    return "" if any(said in text.lower() for said in NO_SOUND) else text


def lyric_tokens(text: str, language: str, vocabulary: Path) -> list[int]:
    """Speech tokens of a text; of an empty one 32 zeros.

    Args:
        text: what is said.
        language: "en" or "zh"; of others the text is only made lower-case. A text that begins with "[" is "en".
        vocabulary: ACE-Step's `vocab.json`.

    Raises:
        NotInstalledError: a library is not there.
        ValueError: a number in the text cannot be said.
    """
    if not text.strip():
        return [0] * SILENCE_TOKENS
    if text.startswith("["):
        language = "en"
    cleaned = clean_speech(text, language)
    tagged = f"[{TAGS.get(language, language)}]{cleaned}".replace(" ", "[SPACE]")
    tokenizer = needed("tokenizers", "to split speech into tokens", package="tokenizers").Tokenizer.from_file(
        str(vocabulary)
    )
    return [START_TOKEN, *tokenizer.encode(tagged).ids, END_TOKEN]


def clean_speech(text: str, language: str) -> str:
    """The text as the released model's was cleaned."""
    if language == "en":
        return _clean_english(text)
    if language == "zh":
        return _clean_chinese(text)
    return " ".join(text.replace('"', "").lower().split())


def _clean_english(text: str) -> str:
    in_words = needed("num2words", SPEAK_NUMBERS, package="num2words").num2words

    def spoken(found: re.Match[str], number: Callable[[], float], **form: str) -> str:
        try:
            return in_words(number(), lang="en", **form)
        # Two points, or more digits than have a name.
        except (ValueError, ArithmeticError) as error:
            raise ValueError(
                f"The speech holds {found[0][:40]}, which is no number that can be said: write it in words."
            ) from error

    text = text.replace('"', "").lower()
    text = re.sub(r"\b\d{1,3}(,\d{3})*(\.\d+)?\b", lambda found: found[0].replace(",", ""), text)
    for sign, currency in CURRENCIES.items():
        pattern = rf"{re.escape(sign)}[0-9.,]*[0-9]+|[0-9.,]*[0-9]+{re.escape(sign)}"
        text = re.sub(pattern, partial(_money, currency=currency, spoken=spoken), text)
    text = re.sub(r"[0-9]+\.[0-9]+", lambda found: spoken(found, lambda: float(found[0])), text)
    text = re.sub(r"([0-9]+)(st|nd|rd|th)", lambda found: spoken(found, lambda: int(found[1]), to="ordinal"), text)
    text = re.sub(r"[0-9]+", lambda found: spoken(found, lambda: int(found[0])), text)
    for short, word in ABBREVIATIONS.items():
        text = re.sub(rf"\b{short}\.", word, text)
    for sign, word in SYMBOLS.items():
        text = text.replace(sign, f" {word} ").replace("  ", " ")
    return re.sub(r"\s+", " ", text.strip())


def _money(amount: re.Match[str], currency: str, spoken: Callable[..., str]) -> str:
    written = re.sub(r"[^\d.]", "", amount[0].replace(",", "."))
    words = spoken(amount, lambda: float(written), to="currency", currency=currency)
    return words.rsplit(", ", 1)[0] if float(written).is_integer() else words


def _clean_chinese(text: str) -> str:
    pypinyin = needed("pypinyin", SPEAK_CHINESE, package="pypinyin")
    written = text.replace('"', "").lower()
    text = "".join(piece.said for piece in write_out(written, chinese_rules()))
    text = "".join("," if unicodedata.category(sign)[0] in "PS" else sign for sign in text)
    syllables = pypinyin.pinyin(text, style=pypinyin.Style.TONE3, heteronym=False, neutral_tone_with_five=True)
    return "".join(syllable[0] for syllable in syllables)
