"""From text as people write it to what is said, and on to the model's symbols."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from opencc_purepy import OpenCC

from . import polyphones
from .capitals import small_letters
from .chinese import chinese_rules
from .duration import speech_seconds
from .english import english_rules
from .forms import sign_name, usual_forms
from .markup import bar_hint, strip_markup
from .readings import BAR, Reading, parse_reading, symbols_of
from .rules import Rule, Unit, write_out
from .scripts import check_speech
from .text import MARK, Lexicon, check_language, detect_language, is_ideograph, language_of, syllables, symbols

SPACE = 0
"""Symbol of a space."""
NO_SYMBOL = -1
"""Where nothing is said."""
NEGATIVE_LENGTH = 10
"""Symbols of a pass in which nothing is said."""
SPOKEN_SIGNS = frozenset(" .,!?;:'\"()-–—…，。！？、·《》【】")
"""Signs beside letters and digits that stay in what is said: they shape how it is said."""
LONGEST_WORD = 1000
"""Signs without a space, those of Chinese not counted."""
LONG_WORD = re.compile(rf"[^\s\u3000-\u9fff]{{{LONGEST_WORD}}}")
SENTENCE = re.compile(r"(?<=[。！？!?])(?![\"'”’)）」])")


@dataclass(frozen=True)
class Spoken:
    """What a text says.

    Args:
        language: "en" or "zh".
        units: words, and what is said as one, in order. What is read from numbers and the like stands in `read`.
        left_out: what was not said of it, by name.
        hints: what the user may have meant otherwise.
    """

    language: str
    units: tuple[Unit, ...]
    left_out: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What is said, ready for `SpeechReader.symbols`: with a mark wherever a Chinese reading is given."""
        return said_of(self.units)

    @property
    def written(self) -> str:
        """The text as it was written, without marks."""
        return written_of(self.units)

    def seconds(self, pace: float = 1.0) -> float:
        """Seconds that it takes, numbers read out even where the model is given digits."""
        return speech_seconds(read_of(self.units), self.language, pace)

    def notes(self) -> list[str]:
        """What was left out, and the hints, each a sentence."""
        left_out = [f"Left out, as it has no sound: {', '.join(self.left_out)}."] if self.left_out else []
        return [*left_out, *self.hints]


def _check_words(text: str, name: str) -> None:
    """Refuse what is no word: each rule of reading looks at the whole of it again and again."""
    found = LONG_WORD.search(text)
    if found is not None:
        raise ValueError(
            f"The {name} has {LONGEST_WORD} signs without a space, from “{found[0][:20]}…” on: write words, "
            "with spaces."
        )


def said_of(units: Sequence[Unit]) -> str:
    """What units say, as one text."""
    return " ".join("".join(unit.said for unit in units).split())


def read_of(units: Sequence[Unit]) -> str:
    """What units say, numbers read out, as one text."""
    return " ".join("".join(unit.read for unit in units).split())


def written_of(units: Sequence[Unit]) -> str:
    """What was written of units, as one text."""
    return " ".join("".join(unit.written for unit in units).split())


def _no_step() -> None:
    """What a reader that nobody stops does between two steps."""


class SpeechReader:
    """Reads texts. Made once a run: it holds the vocabulary and, from the first Chinese text on, the dictionaries.

    Args:
        read_numbers: whether numbers, abbreviations and the like are written out. If not, they reach the model as they
            were written, as in the release.
        step: called again and again while a long text is read, so that a host can stop it.
    """

    def __init__(self, read_numbers: bool = True, step: Callable[[], None] = _no_step):
        self.read_numbers, self.step = read_numbers, step
        self.lexicon = Lexicon()
        self._rules: dict[str, list[Rule]] = {}
        self._converter: OpenCC | None = None

    def read(self, text: str, language: str | None = None, name: str = "speech") -> Spoken:
        """What a text says.

        Args:
            text: as people write it, with readings such as `[Nguyen|win]` where they like.
            language: "en", "zh" or None: as `detect_language` finds.
            name: what messages call the text.

        Raises:
            ValueError: there are no words, some of a script that the model does not speak, one that is too long,
                or a bad reading.
            NotInstalledError: a package that Chinese needs is not installed.
        """
        language = language or detect_language(text)
        check_language(language)
        plain, hints = strip_markup(text)
        parts, left_out = self._usual_parts(plain, language)
        heard = "".join(part.said if isinstance(part, Reading) else part for part in parts)
        source = heard if any(map(str.isalnum, heard)) else plain
        # Marks alone are no words.
        check_speech(source if source.strip() or not text.strip() else ".", language, name)
        _check_words(heard, name)
        units = self._units(parts, language, left_out)
        if text.strip() and not any(map(str.isalnum, "".join(unit.said for unit in units))):
            names = ", ".join(sign_name(sign) for sign in [*left_out][:3])
            raise ValueError(f"The {name} has no words that the model can say, only {names or 'signs'}: write words.")
        if name == "speech" and any(sign in BAR for sign in left_out):
            hints.append(bar_hint())
        return Spoken(language, tuple(units), tuple(map(sign_name, left_out)), tuple(hints))

    def units(self, text: str, language: str) -> list[Unit]:
        """The units of a text that was read before, such as `Spoken.text`; nothing is refused but bad readings.

        Raises:
            ValueError: a reading is none.
            NotInstalledError: a package that Chinese needs is not installed.
        """
        return self._units(self._usual_parts(text, language)[0], language, {})

    def symbols(self, text: str, language: str) -> list[int]:
        """Indices in the vocabulary of a text that is said, as `Spoken.text` has it.

        Raises:
            ValueError: another language.
            NotInstalledError: a package that Chinese needs is not installed.
        """
        plain, given = _split_readings(text)
        if language == "zh":
            found = {index: [" ", sound] for index, sound in polyphones.corrections(plain, self.lexicon).items()}
            given = found | given
        return symbols(plain, language, self.lexicon, given)

    def positive_symbols(self, text: str, language: str, transcript: str | None = None) -> list[int]:
        """Symbols of the positive pass: the words, after those of the reference voice where there is one.

        Args:
            text, transcript: what is said, as `Spoken.text` has it.
            language: "en" or "zh".

        Raises:
            ValueError: there are no words, or another language.
            NotInstalledError: a package that Chinese needs is not installed.
        """
        if not text.strip():
            raise ValueError("The speech is empty: write what the person says.")
        said = text.strip() if transcript is None else f"{transcript.strip()} {text.strip()}"
        return self.symbols(said, language)

    def negative_symbols(self, language: str, transcript: str | None = None) -> list[int]:
        """Symbols of the negative pass: nothing said, or only what the reference voice says.

        Arguments and errors as in `positive_symbols`.
        """
        if transcript is None:
            return [SPACE] + [NO_SYMBOL] * (NEGATIVE_LENGTH - 1)
        return [*self.symbols(transcript.strip(), language), SPACE]

    def speech_symbols(self, said: str, language: str, transcript: str | None) -> tuple[list[int], list[int]]:
        """Symbols of the positive and of the negative pass; where nothing is said, they are the same.

        Args:
            said, transcript: as `Spoken.text` has them.
            language: as users choose it, "auto" among them.

        Raises:
            NotInstalledError: a package that Chinese needs is not installed.
        """
        code = language_of(language, said, transcript)
        negative = self.negative_symbols(code, transcript)
        return (self.positive_symbols(said, code, transcript) if said else negative), negative

    def _usual_parts(self, text: str, language: str) -> tuple[list[str | Reading], dict[str, None]]:
        """The text in usual forms and its readings, in order, and the signs that were left out."""
        usual, left_out = list[str | Reading](), dict[str, None]()
        for part in self._parts(text, language):
            form, dropped = (part, []) if isinstance(part, Reading) else self._usual(part, language)
            usual.append(form)
            left_out |= dict.fromkeys(dropped)
        return usual, left_out

    def _units(self, parts: Sequence[str | Reading], language: str, left_out: dict[str, None]) -> list[Unit]:
        """What is cut no further; signs without a sound are noted."""
        atoms = [atom for part in parts for atom in self._atoms(part, language)]
        kept = []
        for atom in _spaced(atoms):
            self.step()
            kept.append(self._without_silent(atom, left_out))
        return [*_glued([*_spaced_behind(kept)] if language == "en" else kept, language)]

    def _parts(self, text: str, language: str) -> Iterator[str | Reading]:
        """The text between readings, and the readings."""
        index = 0
        for mark in MARK.finditer(text):
            yield text[index : mark.start()]
            yield parse_reading(mark, language, self.lexicon.indices)
            index = mark.end()
        yield text[index:]

    def _usual(self, text: str, language: str) -> tuple[str, list[str]]:
        text, dropped = usual_forms(text, language, self.lexicon.indices)
        if language == "zh":
            unknown = {sign for sign in set(text) if is_ideograph(sign) and not self._is_known(sign)}
            dropped += sorted(unknown, key=text.index)
            text = "".join(sign for sign in text if sign not in unknown)
        return text, dropped

    def _is_known(self, character: str) -> bool:
        return syllables(self._simplified(character))[0] in self.lexicon.indices

    def _atoms(self, part: str | Reading, language: str) -> Iterator[Unit]:
        """The smallest stretches of a part of the text that are read by themselves."""
        if isinstance(part, Reading):
            mark = part.mark if part.syllables else part.said
            yield Unit(part.written, mark, mark, changed=True)
            return
        base = self._simplified(part) if language == "zh" else part
        read = small_letters(base) if language == "en" else base
        index = 0
        for piece in write_out(read, self._rules_of(language)):
            self.step()
            end = index + len(piece.written)
            said = piece.said if self.read_numbers else base[index:end]
            atom = Unit(part[index:end], said, piece.said, changed=piece.said != piece.written)
            index = end
            yield from (atom,) if atom.changed else self._words(atom, language)

    def _words(self, atom: Unit, language: str) -> Iterator[Unit]:
        """The words of a stretch in which nothing is read otherwise than it is written."""
        words = re.findall(r"\s*\S+\s*|\s+", atom.read) if language == "en" else self._segments(atom.read)
        start = 0
        for word in words:
            end = start + len(word)
            yield Unit(atom.written[start:end], atom.said[start:end], word)
            start = end

    def _segments(self, text: str) -> Iterator[str]:
        for sentence in SENTENCE.split(text):
            self.step()
            yield from self.lexicon.segments(sentence)

    def _simplified(self, text: str) -> str:
        """Traditional characters as the simplified ones, sign by sign."""
        if self._converter is None:
            self._converter = OpenCC("t2s")
        converted = "".join(self._converter.convert(sentence) for sentence in SENTENCE.split(text))
        return converted if len(converted) == len(text) else text

    def _rules_of(self, language: str) -> list[Rule]:
        if language not in self._rules:
            self._rules[language] = english_rules() if language == "en" else chinese_rules()
        return self._rules[language]

    def _without_silent(self, atom: Unit, left_out: dict[str, None]) -> Unit:
        """The atom without signs that have no sound; these are noted."""
        said, read = (
            text if MARK.fullmatch(text) else self._audible(text, left_out) for text in (atom.said, atom.read)
        )
        return Unit(atom.written, said, read)

    def _audible(self, text: str, left_out: dict[str, None]) -> str:
        known = self.lexicon.indices
        silent = [
            sign
            for sign in text
            if not (is_ideograph(sign) or (sign in known and (sign.isalnum() or not self.read_numbers)))
            and sign not in SPOKEN_SIGNS
        ]
        left_out |= dict.fromkeys(silent)
        return text.translate(dict.fromkeys(map(ord, silent), " ")) if silent else text


def _spaced(atoms: Sequence[Unit]) -> Iterator[Unit]:
    """The atoms, with spaces where a word that was read out would run into another."""
    before = Unit("", "", "")
    for atom in atoms:
        changed = atom.changed or before.changed
        said, read = (
            f" {text}" if changed and _runs_on(last, text) else text
            for last, text in ((before.said, atom.said), (before.read, atom.read))
        )
        yield Unit(atom.written, said, read, atom.changed)
        before = atom


def _spaced_behind(atoms: Sequence[Unit]) -> Iterator[Unit]:
    """The atoms, with the space before each moved behind the one before it."""
    for index, atom in enumerate(atoms):
        following = atoms[index + 1] if index + 1 < len(atoms) else Unit("", "", "")
        written, said, read = (
            (text.lstrip() if index else text) + after[: len(after) - len(after.lstrip())]
            for text, after in zip(_texts(atom), _texts(following), strict=True)
        )
        if written or said or read:
            yield Unit(written, said, read, atom.changed)


def _texts(unit: Unit) -> tuple[str, str, str]:
    return unit.written, unit.said, unit.read


def _runs_on(before: str, after: str) -> bool:
    """Whether two texts of letters would become one word."""
    if not before or not after or is_ideograph(before[-1]) or is_ideograph(after[0]):
        return False
    return before[-1].isalnum() and after[0].isalnum()


def _glued(atoms: Sequence[Unit], language: str) -> Iterator[Unit]:
    """Stretches that are not cut: words with the punctuation and space behind them."""
    held, has_word = list[Unit](), False
    for before, atom in pairwise([Unit(" ", "", ""), *atoms]):
        inseparable = (
            not (before.written[-1:].isspace() or atom.written[:1].isspace())
            if language == "en"
            else not any(map(str.isalnum, atom.written)) or (before.written + "。")[-1] in "(《【" or not before.written
        )
        if not inseparable and has_word:
            yield _joined(held)
            held, has_word = [], False
        held.append(atom)
        has_word = has_word or any(map(str.isalnum, atom.written))
    if held:
        yield _joined(held)


def _joined(units: Sequence[Unit]) -> Unit:
    written, said, read = ("".join(getattr(unit, name) for unit in units) for name in ("written", "said", "read"))
    return Unit(written, said, read)


def _split_readings(text: str) -> tuple[str, dict[int, list[str]]]:
    """A text without marks of readings, and the symbols that these give to its characters, by their index."""
    plain, given, index = "", dict[int, list[str]](), 0
    for mark in MARK.finditer(text):
        plain += text[index : mark.start()]
        given |= {len(plain) + offset: sounds for offset, sounds in symbols_of(mark).items()}
        plain, index = plain + mark[1], mark.end()
    return plain + text[index:], given
