"""Numbers in English words."""

from __future__ import annotations

import re

from num2words import num2words

EUROPEAN = r"(?:\d{1,3}(?:[. ]\d{3})+,\d{1,2}(?!\d)|\d+,\d{1,2}(?=\ ?(?:€|%|°|(?:kg|km|cm|mm|m|g|l)\b)))"
"""A number with a comma before its decimals."""
THOUSANDS = r"\d{1,3}(?:\.\d{3}){2,}"
"""A number with points between its thousands."""
NUMBER = (
    rf"{EUROPEAN}|(?<![vV]){THOUSANDS}(?![\d.])|"
    r"(?:\d{1,3}(?:,\d{3})+(?!\d)|[1-9]\d{0,2}(?:[ ]\d{3})+(?![\d]|[ ]\d)|\d+)(?:\.\d+)?|\.\d+"
)
LONGEST_CARDINAL = 15
"""A number of more digits is read digit by digit."""
LONGEST_UNPARTED = 9
"""So is one of more digits without commas, unless it is round."""
HALF = 50
START = r"(?<![\w.])"
"""Where a number begins."""


def cardinal(digits: str) -> str:
    """Words of a whole number; of one that begins with 0 or is very long, digit by digit."""
    plain = re.sub(r"\D", "", digits)
    if (len(plain) > 1 and plain[0] == "0") or len(plain) > LONGEST_CARDINAL:
        return spelt_digits(plain)
    if plain == digits and len(plain) > LONGEST_UNPARTED and not plain.endswith("000"):
        return spelt_digits(plain)
    return num2words(int(plain))


def ordinal(number: int) -> str:
    """ "twenty-first" and the like."""
    return num2words(number, to="ordinal")


def spelt_digits(digits: str) -> str:
    """Digit by digit."""
    return " ".join(num2words(int(digit)) for digit in digits if digit.isdigit())


def number(text: str) -> str:
    """Words of a number with commas and decimals."""
    whole, point, decimals = with_point(text).partition(".")
    words = cardinal(whole.replace(" ", ",")) if whole else ""
    return f"{words} point {spelt_digits(decimals)}".strip() if point else words


def with_point(text: str) -> str:
    """A number with a point before its decimals, and commas elsewhere."""
    if re.fullmatch(THOUSANDS, text):
        return text.replace(".", ",")
    return text.translate(str.maketrans(".,", ",.")) if re.fullmatch(r"[\d. ]+,\d{1,2}", text) else text


def year(number: int) -> str:
    """ "nineteen eighty-four", "two thousand and five"."""
    return num2words(number, to="year") if number % 1000 >= 10 or number < 1000 else num2words(number)


def fraction(whole: str | None, top: int, bottom: int) -> str | None:
    """ "three quarters", "two and a half"; None where it is none."""
    if bottom == 0 or not (2 <= bottom <= 20 or bottom in (25, 32, 50, 64, 100)) or top == 0:
        return f"{cardinal(whole) + ' ' if whole else ''}{num2words(top)} slash {num2words(bottom)}"
    if whole is None and top == bottom:
        return (
            f"{num2words(top)}-{num2words(bottom)}" if top == HALF else f"{num2words(top)} out of {num2words(bottom)}"
        )
    names = {2: ("half", "halves"), 4: ("quarter", "quarters")}
    one, many = names.get(bottom, (ordinal(bottom), ordinal(bottom) + "s"))
    if whole is None:
        return f"{num2words(top)} {one if top == 1 else many}"
    said = f"{'an' if one[0] in 'aeiou' else 'a'} {one}" if top == 1 else f"{num2words(top)} {many}"
    return f"{cardinal(whole)} and {said}"
