"""Readings that the user gives: `[Nguyen|win]` in English, `[银行|yin2 hang2]` in Chinese.

In English the second part is said as it is spelt. In Chinese it is pinyin with a number for the tone, 5 for none, or
with accents; of fewer syllables than characters, they belong to the last characters: `[专注地|de5]`. Chinese characters
as the second part, or spelt words for a Latin one, are said in place of the first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass

from .text import is_ideograph

BAR = "|｜"
NUMBERED = re.compile(r"([a-zü]+)([1-5]?)")
ACCENTS = {"\u0304": "1", "\u0301": "2", "\u030c": "3", "\u0300": "4"}


@dataclass(frozen=True)
class Reading:
    """A stretch of text and how it is read.

    Args:
        written: as it stands in the text.
        said: what is said in its place, where that is text.
        syllables: pinyin of its last characters, or of all of it where it has none; empty where `said` counts.
    """

    written: str
    said: str
    syllables: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """As text that `text.MARK` finds again; what is said as text needs no mark."""
        return f"[{self.said}|{' '.join(self.syllables)}]" if self.syllables else self.said


def parse_reading(match: re.Match[str], language: str, vocabulary: Container[str]) -> Reading:
    """The reading of a mark that `text.MARK` found.

    Args:
        language: "en" or "zh".
        vocabulary: symbols that the model knows.

    Raises:
        ValueError: it cannot be said; the message names the mark.
    """
    written, given = match[1].strip(), match[2].strip()
    if not written or not given:
        raise ValueError(f"The reading “{match[0]}” lacks a part: {_form(language)}.")
    if language == "en":
        return Reading(written, _spelt(match[0], given, vocabulary))
    characters = [character for character in written if is_ideograph(character)]
    if any(map(is_ideograph, given)):
        return Reading(written, given)
    words = re.split(r"[\s']+", given)
    if not characters and not all(re.search(r"[1-5]$", word) or _has_accent(word) for word in words):
        return Reading(written, _spelt(match[0], given, vocabulary))
    syllables = tuple(_syllable(match[0], word, vocabulary) for word in words)
    if characters and len(syllables) > len(characters):
        raise ValueError(
            f"The reading “{match[0]}” has {len(syllables)} syllables for {len(characters)} characters: give at most "
            "one each."
        )
    return Reading(written, written, syllables)


def symbols_of(mark: re.Match[str]) -> dict[int, list[str]]:
    """Symbols in place of those of the characters of a mark's first part, by their index in it."""
    written, syllables = mark[1], mark[2].split()
    characters = [index for index, character in enumerate(written) if is_ideograph(character)]
    if characters:
        return {
            index: [" ", syllable] for index, syllable in zip(characters[-len(syllables) :], syllables, strict=True)
        }
    spaced = [symbol for syllable in syllables for symbol in (" ", syllable)]
    return {index: spaced if index == 0 else [] for index in range(len(written))}


def _spelt(mark: str, given: str, vocabulary: Container[str]) -> str:
    """A reading that is said as it is spelt."""
    form = unicodedata.normalize("NFC", given)
    wrong = [
        sign for sign in form if not (sign in " -'." or (sign.isalpha() and sign in vocabulary and _is_latin(sign)))
    ]
    if wrong or not any(map(str.isalpha, form)):
        raise ValueError(f"The reading “{mark}” cannot be said: spell it in Latin letters, as in [Nguyen|win].")
    return form


def _syllable(mark: str, word: str, vocabulary: Container[str]) -> str:
    """A syllable as the vocabulary has it.

    Raises:
        ValueError: it has none such.
    """
    tone = "".join(ACCENTS.get(sign, "") for sign in unicodedata.normalize("NFD", word))
    base = unicodedata.normalize(
        "NFC", "".join(s for s in unicodedata.normalize("NFD", word.lower()) if s not in ACCENTS)
    )
    numbered = NUMBERED.fullmatch(base.replace("u:", "ü"))
    if numbered is not None and not (tone and numbered[2]):
        letters = numbered[1].replace("ü", "v")
        for symbol in (f"{letters}{(numbered[2] or tone).replace('5', '')}", f"{letters.replace('v', 'u')}{tone}"):
            # A letter alone stands in the vocabulary, too, and is no syllable unless it has a tone.
            if symbol in vocabulary and (len(symbol) > 1 or symbol in "aeo"):
                return symbol
    raise ValueError(
        f"The reading “{mark}” holds “{word}”, which is no syllable of pinyin that the model knows: write it with a "
        "number for the tone, such as hang2, or de5 for none."
    )


def _has_accent(word: str) -> bool:
    return any(sign in ACCENTS for sign in unicodedata.normalize("NFD", word))


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN")


def _form(language: str) -> str:
    return "write [Nguyen|win]" if language == "en" else "write [银行|yin2 hang2], or [Nguyen|win] for a foreign word"
