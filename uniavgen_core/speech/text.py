"""Speech text to the symbols of the model: characters in English, pinyin syllables with a tone digit in Chinese.

The vocabulary is that of F5-TTS (see NOTICE.md): a symbol's index is its line, and line 0 is the space. Texts come here
as they are to be said; `reader.SpeechReader` makes that of texts as people write them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..files import needed

SPEAK_CHINESE = "to speak Chinese"
LANGUAGES = {"en": "English", "zh": "Chinese"}
LANGUAGE_CODES = {name: code for code, name in LANGUAGES.items()}
"""The codes of the languages that a user chooses by name."""
UNKNOWN_SYMBOL = 0
"""Index of every symbol that the vocabulary lacks: that of the space."""
CHINESE_REPLACEMENTS = str.maketrans({";": ",", "“": '"', "”": '"', "‘": "'", "’": "'"})
MARK = re.compile(r"[\[［【]([^\[\]［］【】|｜]*)[|｜]([^\[\]［］【】|｜]*)[\]］】]")
"""A reading that the user gives to a stretch of text; see `readings`."""
SPELT_READING = re.compile(r"\s*[A-Za-z][A-Za-z '.-]*")
LONGEST_STRETCH = 1000
"""Signs that jieba is given at once: its time grows with their square."""
NO_SPACE_AFTER = " :'\""
"""A Latin word in a Chinese text gets no space before it where it follows one of these."""


class Lexicon:
    """The vocabulary, and the words of Chinese. Made once a run: the Chinese dictionary takes a second to load."""

    def __init__(self) -> None:
        with Path(__file__).with_name("vocabulary.txt").open(encoding="utf-8") as file:
            self.indices = {line.rstrip("\n"): index for index, line in enumerate(file)}
        self._segmenter: Any = None
        self._dictionary = ""

    def segments(self, text: str) -> list[str]:
        """Words of a Chinese text, by jieba's own dictionary alone; they join to the text.

        Raises:
            NotInstalledError: jieba is not installed.
        """
        if self._segmenter is None:
            self._segmenter = _segmenter()
        stretches = (text[start : start + LONGEST_STRETCH] for start in range(0, len(text), LONGEST_STRETCH))
        return [word for stretch in stretches for word in self._segmenter.cut(stretch)]

    def word_class(self, word: str) -> str:
        """Class of a Chinese word as its dictionary has it, "v" or "a" and the like; "" for a word it lacks."""
        if self._segmenter is None:
            self._segmenter = _segmenter()
        if not self._dictionary:
            with self._segmenter.get_dict_file() as file:
                self._dictionary = "\n" + file.read().decode("utf-8")
        found = self._dictionary.find(f"\n{word} ")
        return "" if found < 0 else self._dictionary[found + 1 :].split("\n", 1)[0].split(" ")[-1]


def tokens(text: str, language: str, lexicon: Lexicon, readings: Mapping[int, list[str]] | None = None) -> list[str]:
    """Split speech text into the model's symbols, as the released model's text was.

    Args:
        text: what is said; may be empty.
        language: "en" or "zh".
        lexicon: the run's.
        readings: symbols that stand for the characters at these indices of a Chinese text, in place of their own.

    Raises:
        ValueError: another language.
        NotInstalledError: Chinese without jieba or pypinyin installed.
    """
    check_language(language)
    if language == "en":
        return list(text)
    return _chinese_tokens(text, lexicon, readings or {})


def symbols(text: str, language: str, lexicon: Lexicon, readings: Mapping[int, list[str]] | None = None) -> list[int]:
    """Indices of `tokens` in the vocabulary; what it lacks becomes 0. Arguments and errors as there."""
    return [lexicon.indices.get(token, UNKNOWN_SYMBOL) for token in tokens(text, language, lexicon, readings)]


def detect_language(text: str) -> str:
    """Language of a text: "zh" where it has a Chinese character, else "en".

    Chinese that is read otherwise, in Latin letters without tones as in `[李明|Lee Ming]`, does not count.
    """
    heard = MARK.sub(lambda mark: mark[2] if SPELT_READING.fullmatch(mark[2]) else mark[0], text)
    return "zh" if any(is_ideograph(character) for character in heard) else "en"


def language_of(language: str, speech: str, transcript: str | None) -> str:
    """Code of the text that is made of a reference voice's transcript and the speech.

    Chinese text may hold English words, but not the other way round.

    Args:
        language: a name of `LANGUAGE_CODES`, or any other word, which leaves it to the speech.
    """
    if detect_language(transcript or "") == "zh":
        return "zh"
    return LANGUAGE_CODES.get(language) or detect_language(speech)


def is_ideograph(character: str) -> bool:
    """Whether this is a Chinese character: one that is spoken, not punctuation."""
    return "\u3400" <= character <= "\u9fff" and character.isalpha()


def check_language(language: str) -> None:
    """Raise ValueError where this is neither "en" nor "zh"."""
    if language not in LANGUAGES:
        raise ValueError(f"Speech in the language “{language}” is not possible: choose one of {', '.join(LANGUAGES)}.")


def syllables(text: str) -> list[str]:
    """Pinyin with a tone digit and tone sandhi, one a character; what has none stays itself.

    Raises:
        NotInstalledError: pypinyin is not installed.
    """
    pypinyin = needed("pypinyin", SPEAK_CHINESE, package="pypinyin")
    # list: characters without pinyin are returned one by one, not joined.
    return pypinyin.lazy_pinyin(text, style=pypinyin.Style.TONE3, tone_sandhi=True, errors=list)


def sounds_of(segment: str) -> list[str]:
    """Symbols of a word of a Chinese text, one a character.

    Raises:
        NotInstalledError: pypinyin is not installed.
    """
    if segment.isascii():
        return list(segment)
    if len(segment.encode()) == 3 * len(segment):
        return syllables(segment)
    return [_pinyin_alone(character) for character in segment]


def _chinese_tokens(text: str, lexicon: Lexicon, readings: Mapping[int, list[str]]) -> list[str]:
    result: list[str] = []
    index = 0
    for segment in lexicon.segments(text.translate(CHINESE_REPLACEMENTS)):
        given = [readings.get(index + offset) for offset in range(len(segment))]
        index += len(segment)
        if segment.isascii() and len(segment) > 1 and result and result[-1] not in NO_SPACE_AFTER and given[0] is None:
            result.append(" ")
        for character, sound, reading in zip(segment, sounds_of(segment), given, strict=True):
            result += reading if reading is not None else [*_space_before(character), sound]
    return result


def _space_before(character: str) -> Iterator[str]:
    """A space, where a character is a Chinese one."""
    if _has_pinyin(character):
        yield " "


def _has_pinyin(character: str) -> bool:
    """The range that the released model's text was prepared with: it includes bopomofo and enclosed characters."""
    return "\u3100" <= character <= "\u9fff"


def _pinyin_alone(character: str) -> str:
    return syllables(character)[0] if _has_pinyin(character) else character


def _segmenter() -> Any:
    segmenter = needed("jieba", SPEAK_CHINESE, package="jieba").Tokenizer()
    # Its initialize() would write to the console and keep a cache file among the temporary files.
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter
