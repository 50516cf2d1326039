"""Readings of Chinese characters that the word they stand in does not tell, or tells otherwise than the model knows.

pypinyin reads words by its dictionary, and what is in none by each character's usual reading. That fails for the
particles 地 and 得, which stand between words, and for a few characters whose usual reading is not the frequent one.
Some of its words have syllables without a tone that the model never met, such as the last one of 这个.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from ..files import needed
from .text import SPEAK_CHINESE, Lexicon, is_ideograph, sounds_of, syllables

WORDS = {
    "落下": ("luo4", "xia4"),
    "缘分": ("yuan2", "fen4"),
    "过分": ("guo4", "fen4"),
    "厚朴": ("hou4", "po4"),
    "朴刀": ("po1", "dao1"),
    "朴硝": ("po4", "xiao1"),
}
"""Words that the dictionary reads wrongly or not at all."""
LONG_AFTER = frozenset("很太多好更最挺够真极特变还越这那么不别拉延加且较般样常分其不用")
"""长 is an adjective, chang2, behind one of these."""
SURNAME_BEFORE = (
    "先生",
    "女士",
    "小姐",
    "太太",
    "老师",
    "教授",
    "总统",
    "槿惠",
    "正熙",
    "智星",
    "宝英",
    "叙俊",
    "信惠",
)
"""朴 is a surname, piao2, before one of these."""
NOUNS = ("n", "r", "m", "q", "t", "f", "s", "p", "c", "u", "y")
"""Classes of words behind which 地 is ground, not a particle: nouns, pronouns, numbers, indexs, prepositions …"""
NEVER_DONE = ("的", "了", "很", "是", "在", "被", "也", "都", "就", "不", "有", "上", "下", "里", "和", "与")
"""What follows 地 where it is ground."""
LONGEST_NAME = 3
ALONE = frozenset("我你他她它您咱们总就还都可也又只")
"""Words that 得 is never a particle of."""
MUST = ("v", "d", "p", "r", "z", "a", "l", "i", "m")
"""Classes of words before which 得 is “must”."""


def corrections(text: str, lexicon: Lexicon) -> dict[int, str]:
    """Syllables for characters of a Chinese text, by their index.

    Raises:
        NotInstalledError: jieba or pypinyin is not installed.
    """
    segments = lexicon.segments(text)
    starts = [0, *accumulate(map(len, segments))]
    found: dict[int, str] = {}
    ambiguous = any(character in text for character in ("地", "得", "长", "朴", "重", "落下", "缘分", "过分"))
    for index, segment in enumerate(segments):
        found |= {starts[index] + offset: sound for offset, sound in _of_unknown(segment, lexicon)}
        if not ambiguous:
            continue
        for offset, syllable in _of_segment(segments, index, lexicon):
            found[starts[index] + offset] = syllable
        for word, sounds in WORDS.items():
            if word in segment:
                start = starts[index] + segment.index(word)
                found |= {start + offset: sound for offset, sound in enumerate(sounds)}
    return found


def _of_segment(segments: Sequence[str], index: int, lexicon: Lexicon) -> Iterator[tuple[int, str]]:
    """Offsets in a segment, and the syllables there."""
    segment = segments[index]
    after = segments[index + 1] if index + 1 < len(segments) else ""
    before = segments[index - 1] if index else ""
    known = len(segment) > 1 and _is_phrase(segment)
    for offset, character in enumerate(segment):
        left, right = segment[:offset] or before, segment[offset + 1 :] or after
        if character == "朴":
            yield offset, "piao2" if _is_surname(segment, offset, right, lexicon) else "pu3"
        elif known:
            continue
        elif character == "地" and _is_adverbial(left, right, lexicon):
            yield offset, "de"
        elif character == "得":
            inside = offset > 0 and left not in ALONE
            syllable = "de" if inside else _of_de(left, right, lexicon)
            if syllable:
                yield offset, syllable
        elif character == "长" and left and left[-1] in LONG_AFTER and not is_ideograph(right[:1] or "。"):
            yield offset, "chang2"
        elif character == "重" and _is_again(segment, offset, right, lexicon):
            yield offset, "chong2"


def _of_unknown(segment: str, lexicon: Lexicon) -> Iterator[tuple[int, str]]:
    """Offsets of characters whose syllable in this word the model lacks, and how each is read alone."""
    for offset, (character, sound) in enumerate(zip(segment, sounds_of(segment), strict=True)):
        if is_ideograph(character) and sound not in lexicon.indices:
            yield offset, syllables(character)[0]


def _is_adverbial(left: str, right: str, lexicon: Lexicon) -> bool:
    """Whether 地 makes an adverb of the word before it."""
    if len(left) < 2 or not is_ideograph(left[-1]) or right in NEVER_DONE:
        return False
    kind = lexicon.word_class(left)
    if not is_ideograph(right[:1] or "。"):
        return kind.startswith(("a", "d", "z", "i"))
    doubled = left[-1] == left[-2] or left[: len(left) // 2] == left[len(left) // 2 :] or left.startswith("一")
    if doubled or not kind.startswith(NOUNS):
        return True
    return kind in ("n", "m") and lexicon.word_class(right).startswith("v")


def _of_de(left: str, right: str, lexicon: Lexicon) -> str | None:
    """The syllable of 得 between two words, or None where it is a word of its own."""
    if not is_ideograph(right[:1] or "。"):
        return "de" if lexicon.word_class(left).startswith(("v", "a")) else None
    kind = lexicon.word_class(left)
    if right.startswith(("了", "到", "过", "奖", "分")):
        return None
    if kind.startswith(("v", "a", "z", "i", "l", "b")) or (not kind and len(left) > 1):
        return "de"
    return "dei3" if lexicon.word_class(right).startswith(MUST) else None


def _is_surname(segment: str, offset: int, right: str, lexicon: Lexicon) -> bool:
    """Whether 朴 begins a Korean name."""
    name = offset == 0 and len(segment) == LONGEST_NAME and lexicon.word_class(segment) in ("nr", "nrt", "")
    return name or right.startswith(SURNAME_BEFORE)


def _is_again(segment: str, offset: int, right: str, lexicon: Lexicon) -> bool:
    """Whether 重 is “again”: it begins a word that no dictionary has, and a verb follows."""
    return offset == 0 and len(segment) > 1 and lexicon.word_class(right) in ("v", "vn")


def _is_phrase(word: str) -> bool:
    return word in needed("pypinyin.constants", SPEAK_CHINESE, package="pypinyin").PHRASES_DICT
