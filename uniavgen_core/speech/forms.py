"""The usual forms of a text's signs: what office programs, telephones and web pages write becomes what the model knows.

Nothing that is heard changes here. Letters come in one form each, quotes, dashes and spaces in those of the vocabulary;
signs that nobody hears are left out, and named.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

QUOTES = {
    **dict.fromkeys("‘’‚‛′‵ʼʻʹ`´＇｀❛❜ꞌ‹›", "'"),
    **dict.fromkeys("“”„‟″‶«»〝〞〟＂❝❞「」『』｢｣", '"'),
}
DASHES = {**dict.fromkeys("‐‑﹣－⁃−", "-"), **dict.fromkeys("‒–﹘", "–"), **dict.fromkeys("—―⸺⸻─━", "—")}
SIGNS = {
    "℃": "°C", "℉": "°F", "№": "No. ", "₁": "1", "₂": "2", "₃": "3", "⁄": "/", "∕": "/", "∶": ":", "‥": "…", "⋯": "…",
    "・": "·", "‧": "·", "⋅": "·", "∙": "·", "〜": "~", "～": "~", "∼": "~", "∗": "*", "﹡": "*", "＊": "*",
    "〇": "零",
    "〔": "(", "〕": ")", "〖": "(", "〗": ")", "﹝": "(", "﹞": ")", "µ": "μ", "‽": "?!", "⸮": "?", "ª": "a", "º": "°",
    "㎡": "m²", "㎢": "km²", "㎠": "cm²", "㎟": "mm²", "㎥": "m³", "㎤": "cm³", "㎞": "km", "｡": "。",
    "､": "、", **dict.fromkeys("✕✖╳⨯⨉", "×"), "➕": "+", "➖": "-", "➗": "÷", "⟶": "→", "➔": "→", "➜": "→", "➡": "→",
}  # fmt: skip
ENGLISH_SIGNS = {
    "，": ", ", "。": ". ", "！": "! ", "？": "? ", "、": ", ", "；": "; ", "：": ": ", "（": " (", "）": ") ",
    "【": " (",
    "】": ") ", "《": ' "', "》": '" ', "〈": ' "', "〉": '" ', "·": " ",
}  # fmt: skip
READ_ALOUD = "°©²³‰÷√∞∑≡≠≤≥≈±§×→"
"""Signs that have a word, beside those of money."""
FOLDS: dict[int, str] = {ord(sign): form for sign, form in {**QUOTES, **DASHES, **SIGNS}.items()}
ENGLISH_FOLDS: dict[int, str] = {ord(sign): form for sign, form in ENGLISH_SIGNS.items()}
PARTS_OF_EMOJI = re.compile("[\ufe00-\ufe0f\u200d\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
SPACES = re.compile(r"[\s\u2028\u2029\x85\x1c-\x1f]+")
LATIN_LETTER = re.compile(r"LATIN (SMALL|CAPITAL) LETTER (SHARP S|[A-Z]{1,2})(?: WITH .*)?")


def usual_forms(text: str, language: str, vocabulary: Container[str]) -> tuple[str, list[str]]:
    """The text in the forms that the model knows, and the signs that were left out, each once, in order.

    Args:
        text: as it was written.
        language: "en" or "zh".
        vocabulary: signs that the model knows.
    """
    text = unicodedata.normalize("NFC", PARTS_OF_EMOJI.sub("", SPACES.sub(" ", text)))
    text = text.translate(FOLDS)
    if language == "en":
        text = text.translate(ENGLISH_FOLDS)
    usual, left_out, gap = list[str](), dict[str, None](), False
    for character in text:
        form = _usual(character, vocabulary, language)
        if form is None:
            # Nobody sees marks of format, so nobody misses them; and they part no words.
            visible = unicodedata.category(character)[0] not in "CM"
            gap |= visible
            if unicodedata.category(character) != "Cf":
                left_out[character] = None
            continue
        before = usual[-1][-1:] if usual else ""
        # A fraction behind a number is not one of its digits.
        fraction = "/" in form and len(form) > 1 and before.isdigit()
        usual.append(" " + form if fraction or gap and _run_together(before, form[:1]) else form)
        gap = False
    return SPACES.sub(" ", "".join(usual)), list(left_out)


def sign_name(sign: str) -> str:
    """How a message calls a sign, such as "GRINNING FACE 😀"."""
    name = " + ".join(unicodedata.name(character, f"U+{ord(character):04X}") for character in sign)
    return (
        f"{name} {sign}"
        if sign.isprintable() and not sign.isspace() and unicodedata.category(sign[0]) != "Mn"
        else name
    )


def _run_together(before: str, after: str) -> bool:
    """Whether two signs become one word, or one number, where nothing stands between them."""
    return before.isalnum() and after.isalnum() and (before.isascii() or after.isascii())


def _usual(character: str, vocabulary: Container[str], language: str) -> str | None:
    """The form of a sign, or None where it is to be left out. Letters of other scripts stay for the check of these."""
    if character.isascii():
        return character if character.isprintable() else None
    category = unicodedata.category(character)
    if category == "Nl" and language == "zh" and unicodedata.name(character).startswith("ROMAN NUMERAL"):
        return str(int(unicodedata.numeric(character)))
    if category == "No" and unicodedata.name(character).startswith("DINGBAT"):
        return f" {int(unicodedata.numeric(character))} "
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category[0] == "L":
        return _usual_letter(character, vocabulary)
    if character in vocabulary and category[0] not in "CM" and category != "So":
        return character
    if character in READ_ALOUD:
        return character
    if category == "Sc":
        return unicodedata.normalize("NFKC", character)
    compatible = unicodedata.normalize("NFKC", character).translate(FOLDS)
    if compatible != character and category not in ("So", "Sk") or _is_squared_word(character):
        if all(part.isascii() or part in vocabulary or part.isalpha() for part in compatible):
            return f" {compatible} " if _is_encircled(character) else compatible
    # Vowel signs of other scripts stay with their letters, for the check of these to see.
    return character if category in ("Mc", "Mn") and not _is_latin_mark(character) else None


def _usual_letter(letter: str, vocabulary: Container[str]) -> str | None:
    name = unicodedata.name(letter, "")
    if not name.startswith("LATIN"):
        return unicodedata.normalize("NFKC", letter)
    if letter in vocabulary:
        return letter
    for form in (unicodedata.normalize("NFKC", letter), unicodedata.normalize("NFD", letter)[0], letter.lower()):
        if form != letter and all(part in vocabulary for part in form):
            return form
    match = LATIN_LETTER.fullmatch(name)
    if match is None:
        return None
    plain = "ss" if match[2] == "SHARP S" else match[2].lower()
    return plain if match[1] == "SMALL" else plain.upper()


def _is_squared_word(character: str) -> bool:
    """Whether this is a unit, number or letter in a square or circle."""
    return unicodedata.name(character, "").startswith("SQUARE ") or _is_encircled(character)


def _is_encircled(character: str) -> bool:
    """Whether this is a number or letter that is a word by itself, as before the items of a list."""
    name = unicodedata.name(character, "")
    return name.startswith(("CIRCLED ", "PARENTHESIZED ", "NEGATIVE CIRCLED ", "DIGIT ", "DOUBLE CIRCLED"))


def _is_latin_mark(character: str) -> bool:
    return unicodedata.name(character, "").startswith("COMBINING")
