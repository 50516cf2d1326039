"""Speech text to the symbols of the model: characters in English, pinyin syllables with a tone digit in Chinese.

The vocabulary is that of F5-TTS (see NOTICE.md): a symbol's index is its line, and line 0 is the space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

LANGUAGES = {"en": "English", "zh": "Chinese"}
UNKNOWN_SYMBOL = 0
"""Index of every symbol that the vocabulary lacks: that of the space."""
CHINESE_REPLACEMENTS = str.maketrans({";": ",", "“": '"', "”": '"', "‘": "'", "’": "'"})
NO_SPACE_AFTER = " :'\""
"""A Latin word in a Chinese text gets no space before it where it follows one of these."""
CHARACTERS_SHOWN = 40


def tokens(text: str, language: str) -> list[str]:
    """Split speech text into the model's symbols.

    Args:
        text: what is said; may be empty.
        language: "en" or "zh".

    Raises:
        ValueError: another language.
        ImportError: Chinese without jieba or pypinyin installed.
    """
    check_language(language)
    return list(text) if language == "en" else _chinese_tokens(text)


def symbols(text: str, language: str) -> list[int]:
    """Indices of `tokens` in the vocabulary; what it lacks becomes 0. Arguments and errors as there."""
    indices = {symbol: index for index, symbol in enumerate(_vocabulary())}
    return [indices.get(token, UNKNOWN_SYMBOL) for token in tokens(text, language)]


def unknown_symbols(text: str, language: str) -> list[str]:
    """Symbols of the text that the vocabulary lacks, each once, in order. Arguments and errors as in `tokens`."""
    known = set(_vocabulary())
    return [token for token in dict.fromkeys(tokens(text, language)) if token not in known]


def words_of(text: str, language: str) -> list[str]:
    """A text's words, each with the space and punctuation behind it, so that they join to the text.

    Arguments and errors as in `tokens`.
    """
    check_language(language)
    if language == "en":
        return re.findall(r"\S+\s*", text.lstrip())
    words: list[str] = []
    for segment in _segments(text.strip()):
        if words and not any(character.isalnum() for character in segment):
            words[-1] += segment
        else:
            words.append(segment)
    return words


def detect_language(text: str) -> str:
    """Language of a text: "zh" where it has a Chinese character, else "en"."""
    return "zh" if any(is_ideograph(character) for character in text) else "en"


def check_speech(text: str, language: str | None = None) -> None:
    """Refuse speech that the model cannot say at all.

    The vocabulary has letters of many scripts, but speech was learnt in English and Chinese only: some letters must
    be Latin or, in Chinese, Chinese.

    Args:
        text: what is said.
        language: "en", "zh" or None: as `detect_language` finds.

    Raises:
        ValueError: the speech is empty, or none of its letters belongs to the language.
    """
    if not text.strip():
        raise ValueError("The speech is empty: write what the person says.")
    language = language or detect_language(text)
    check_language(language)
    letters = [character for character in text if character.isalpha()]
    spoken = letters or [character for character in text if unicodedata.category(character)[0] not in "ZCPM"]
    if not spoken:
        raise ValueError("The speech holds no words, only punctuation: write what the person says.")
    known = set(_vocabulary())
    if any(_is_spoken(character, language, known) for character in spoken):
        return
    shown = text.strip()[:CHARACTERS_SHOWN] + ("…" if len(text.strip()) > CHARACTERS_SHOWN else "")
    advice = "set the language to Chinese" if detect_language(text) == "zh" else "write the speech in one of them"
    raise ValueError(
        f"The model cannot say “{shown}” in {LANGUAGES[language]}. "
        f"It speaks {' and '.join(LANGUAGES.values())}: {advice}."
    )


def is_ideograph(character: str) -> bool:
    """Whether this is a Chinese character: one that is spoken, not punctuation."""
    return "\u3400" <= character <= "\u9fff" and character.isalpha()


def check_language(language: str) -> None:
    """Raise ValueError where this is neither "en" nor "zh"."""
    if language not in LANGUAGES:
        raise ValueError(f"Speech in the language “{language}” is not possible: choose one of {', '.join(LANGUAGES)}.")


def _is_spoken(character: str, language: str, vocabulary: set[str]) -> bool:
    if is_ideograph(character):
        return language == "zh"
    foreign = character.isalpha() and not unicodedata.name(character, "").startswith("LATIN")
    return character in vocabulary and not foreign


def _vocabulary() -> list[str]:
    with Path(__file__).with_name("vocabulary.txt").open(encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file]


def _chinese_tokens(text: str) -> list[str]:
    result: list[str] = []
    for segment in _segments(text.translate(CHINESE_REPLACEMENTS)):
        if segment.isascii():
            apart = len(segment) > 1 and result and result[-1] not in NO_SPACE_AFTER
            result += [" ", *segment] if apart else segment
        elif len(segment.encode()) == 3 * len(segment):
            result += _spaced(segment, _pinyin(segment))
        else:
            result += _spaced(segment, [_pinyin_alone(character) for character in segment])
    return result


def _spaced(characters: str, sounds: list[str]) -> Iterator[str]:
    """Each character's sound, with a space before that of a Chinese one."""
    for character, sound in zip(characters, sounds, strict=True):
        if _has_pinyin(character):
            yield " "
        yield sound


def _has_pinyin(character: str) -> bool:
    """The range that the released model's text was prepared with: it includes bopomofo and enclosed characters."""
    return "\u3100" <= character <= "\u9fff"


def _pinyin_alone(character: str) -> str:
    return _pinyin(character)[0] if _has_pinyin(character) else character


def _segments(text: str) -> Iterator[str]:
    """Words of a Chinese text, by jieba's own dictionary alone."""
    try:
        from jieba import Tokenizer
    except ImportError as error:
        raise _missing_package(error) from error
    segmenter = Tokenizer()
    # Its initialize() would write to the console and keep a cache file among the temporary files.
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter.cut(text)


def _pinyin(text: str) -> list[str]:
    """Pinyin with a tone digit and tone sandhi, one a character; what has none stays itself."""
    try:
        from pypinyin import Style, lazy_pinyin
    except ImportError as error:
        raise _missing_package(error) from error
    # list: characters without pinyin are returned one by one, not joined (documented, if not in its annotation).
    return lazy_pinyin(text, style=Style.TONE3, tone_sandhi=True, errors=list)  # type: ignore[arg-type]


def _missing_package(error: ImportError) -> ImportError:
    return ImportError(f"Chinese speech needs two packages, run: pip install jieba pypinyin ({error})")
