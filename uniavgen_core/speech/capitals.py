"""Capital letters: what is spelt and what is said as a word, passages all in capitals, and where sentences end."""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import english_words as table
from .rules import NEAR, behind

VOWELS = "AEIOUY"
ONSETS = frozenset(
    "b bl br c ch chr cl cr d dr dw f fl fr g gh gl gn gr h j k kh kl kn kr l m n p ph phr pl pr ps q qu r rh s sc sch "
    "scr sh shr sk sl sm sn sp sph spl spr squ st str sw t th thr tr tw v w wh wr x y z".split()
)
"""Consonants with which an English word begins."""
CODAS = frozenset(
    "b c ch ck ct d dge f ff ft g gh ght h k l lb lc ld lf lk ll lm ln lp ls lt lth lve m mb mn mp mph mpt ms n nc nch "
    "nd nds ng ngs ngth nk nks ns nt nth nts p ph ps pt r rb rc rch rd rds rf rg rk rks rl rld rm rms rn rns rp rs rst "
    "rt rth rts rv s sc sh sk sm sp ss st sts t tch th ths ts v w wn ws wl x xt y z zz ds gs ks bs ls cks lls "
    "hn".split()
)
"""Consonants with which one ends."""


def capitals(word: str) -> str | None:
    """How a word in capitals is said: letter by letter, in small letters, or None where it stays as it is."""
    if len(word) < 2 or not word.isupper() or word in table.SAID_AS_WORDS:
        return None
    if word in table.SPELT or not is_sayable(word):
        return " ".join(word)
    return word.lower()


def is_sayable(word: str) -> bool:
    """Whether a word in capitals can be said as a word: an ordinary short one, or one built like a word."""
    return word in table.SHORT_WORDS if len(word) <= 3 else _is_built_like_a_word(word)


def _is_built_like_a_word(word: str) -> bool:
    clusters = re.split(f"[{VOWELS}]+", word)
    if len(clusters) == 1:
        return False
    first, *middle, last = (cluster.lower() for cluster in clusters)
    inner = all(len(cluster) <= 3 or cluster in ONSETS | CODAS for cluster in middle)
    return (not first or first in ONSETS) and (not last or last in CODAS) and inner


def spelt_capitals(word: str, plural: str) -> str | None:
    """How a word in capitals is said, with a small s behind it or none; with apostrophes in it, as in DON'T, too."""
    if "'" in word:
        return _with_apostrophes(word)
    said = capitals(word)
    if plural:
        return None if word in table.SAID_AS_WORDS else " ".join(word) + "s"
    return said


def _with_apostrophes(word: str) -> str:
    """DON'T and IT'S are ordinary words, but the first part of CEO'S is spelt."""
    if not _is_possessive_of_letters(word):
        return word.lower() if not word.startswith("I'") else "I" + word[1:].lower()
    owner = word[: -len("'S")]
    return f"{capitals(owner) or owner}'s"


def _is_possessive_of_letters(word: str) -> bool:
    owner, _, ending = word.rpartition("'")
    if ending != "S" or len(owner) < 2 or owner in table.AMBIGUOUS:
        return False
    known = owner in table.SHORT_WORDS or "'" in owner or _is_built_like_a_word(owner)
    return owner in table.SPELT or owner in table.SAID_AS_WORDS or not known


def small_letters(text: str) -> str:
    """The text with passages that are written all in capitals in small ones, sign by sign as long as it was.

    Words made of first letters stay as they are.
    """
    words = [*re.finditer(r"[^\W\d_]+(?:'[^\W\d_]+)*", text)]
    if not words:
        return text
    whole = not any(word[0] != word[0].upper() for word in words)
    result = list(text)
    for run in _runs(words):
        shouted = [word for word in run if len(word[0]) > 1]
        if len(shouted) < (2 if whole else 3) and not (whole and len(run) == 1 and _is_plain(run[0][0])):
            continue
        if not any(_is_plain(word[0]) and word[0] not in table.AMBIGUOUS for word in shouted):
            continue
        for word in run:
            joined = "&" in (text[word.start() - 1 : word.start()], text[word.end() : word.end() + 1])
            if word[0] != "I" and not joined and _is_plain(word[0]):
                small = word[0].lower() if not word[0].startswith("I'") else "I" + word[0][1:].lower()
                start = word.start()
                if begins_sentence(text[max(0, start - NEAR) : start]):
                    small = small[0].upper() + small[1:]
                if len(small) == len(word[0]):
                    result[start : word.end()] = small
    return "".join(result)


def _runs(words: Iterable[re.Match[str]]) -> list[list[re.Match[str]]]:
    """Words in capitals that follow each other."""
    runs: list[list[re.Match[str]]] = [[]]
    for word in words:
        if word[0] == word[0].upper():
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _is_plain(word: str) -> bool:
    """Whether a word in capitals, among others, is an ordinary word."""
    letters = word.replace("'", "")
    if "'" in word:
        return not _is_possessive_of_letters(word)
    if letters in table.AMBIGUOUS or len(letters) == 1 or not letters.isascii():
        return True
    return letters not in table.SPELT and letters not in table.SAID_AS_WORDS and is_sayable(letters)


def sentence_stop(match: re.Match[str]) -> str:
    """The point behind an abbreviation, where a sentence ends there."""
    rest = behind(match)
    return "." if not rest.strip(" \"')") or re.match(rf"[\"')]*\s+[\"'(]?(?:{table.STARTERS})\b", rest) else ""


def begins_sentence(before: str) -> bool:
    """Whether a sentence begins behind a text."""
    return not before.strip(" \"'(-–—") or re.search(r"[.!?][\"')]*\s+[\"'(]*$", before) is not None
