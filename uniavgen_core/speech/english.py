"""Written English as it is read aloud: numbers, dates, money, units, abbreviations, addresses and the like."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from num2words import num2words

from . import english_words as table
from .capitals import begins_sentence, capitals, sentence_stop, spelt_capitals
from .english_dates import date_rules
from .english_numbers import NUMBER, THOUSANDS, cardinal, fraction, number, ordinal, spelt_digits, with_point
from .rules import Rule, ahead, behind, rule


def english_rules() -> list[Rule]:
    """In the order in which they are asked."""
    return [*_addresses(), *date_rules(), *_numbers(), *_words(), *_signs()]


def _addresses() -> list[Rule]:
    return [
        rule(r"(?<![\w.+-])[\w.+-]*\w@\w[\w-]*(?:\.\w[\w-]*)+", lambda m: _address(m[0])),
        rule(r"\b(?:https?://|ftp://|www\.)[^\s<>\"()]*[^\s<>\"().,;:!?']", lambda m: _address(m[0])),
        rule(
            rf"(?<![\w@.-])(?:[a-z0-9][a-z0-9-]*\.)+(?:{table.DOMAINS})\b(?!\.\w|[-\w])(?:/[^\s<>\"()]*[^\s<>\"().,;:!?'])?",
            lambda m: _address(m[0]),
            re.IGNORECASE,
        ),
        rule(rf"(?<![\w.])\w[\w-]*\.(?:{table.FILES})\b(?![.-]\w)", lambda m: _address(m[0])),
        rule(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){2,}(?![\w]|\.\d)", lambda m: _versions(m[0])),
        rule(r"(?<![\w.])@(\w+)", lambda m: f"at {_name(m[1])}"),
        rule(r"(?<![\w&])\#(\d+)\b", lambda m: f"number {number(m[1])}"),
        rule(r"(?<![\w&])\#([^\W\d]\w*)", lambda m: f"hashtag {_name(m[1])}"),
        rule(
            r"""(?<![\w.,/:$€£-])
            (?:\+\d{1,3}[ .-]?(?:\(0\))?(?:\(\d{1,4}\)|\d{1,5})(?:[ .-]?\d{2,4}){1,5}
            |\(\d{2,5}\)[ .-]?\d{2,4}(?:[ .-]\d{2,4}){0,3}
            |1[ .-]\d{3}[ .-]\d{3}[ .-]\d{4}
            |\d{4}(?:[ ]\d{4}){3}|3[47]\d\d[ ]\d{6}[ ]\d{5}
            |\d{2,5}(?:-\d{2,5}){2,4}
            |\d{1,5}(?:-\d{1,7}){3,5}
            |\d{3,5}(?:[ .]\d{3,4}){2}(?=[\s.,;!?)]|$)
            |0\d{2,4}[ -]\d{5,8}|\d{3}-\d{4})
            (?![\w%]|[-/.]\d|\ ?[€£$])""",
            _telephone,
        ),
        rule(
            r"(?<![\w-])(1)-(\d{3})-([A-Z]{2,}(?:-[A-Z]+)*)(?![\w-])",
            lambda m: f"{spelt_digits(m[1])}, {spelt_digits(m[2])}, {m[3].replace('-', ' ').lower()}",
            re.IGNORECASE,
        ),
        rule(r"(?<!\w)(\+?)(\d{8,15}|0\d{6,14})(?![\w.])", _unparted_telephone),
        rule(
            r"(?i:\b(call|dial|phone|fax|code|pin|zip|passcode|password|extension)"
            r"((?:\ (?:is|number|code|us|me|at|on))*:?\ ))(\d{3,4}-\d{4}|\d{3,8})"
            r"(?![\w%-]|[.,]\d|\ ?(?:times|people|of))",
            lambda m: f"{m[1]}{m[2]}{spelt_digits(m[3])}",
        ),
    ]


ADDRESS_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", ":": "colon", "?": "question mark", "=": "equals",
    "&": "and", "#": "hash", "@": "at", "+": "plus", "%": "percent", "~": "tilde",
}  # fmt: skip


def _address(text: str) -> str:
    """An e-mail or web address, or a file's name, as it is read."""
    text = re.sub(r"^(?:https?|ftp)://", "", text, flags=re.IGNORECASE).rstrip("/")
    words = []
    for part in re.findall(r"[^\W\d_]+|\d+|[^\w\s]|_", text):
        if part in ADDRESS_SIGNS:
            words.append(ADDRESS_SIGNS[part])
        elif part.lower() in table.DOMAINS_SAID:
            words.append(part.lower())
        elif part.isdigit():
            words.append(cardinal(part) if len(part) < 3 else spelt_digits(part))
        elif part.lower() == "www" or (words and words[-1] == "dot" and _is_spelt_ending(part)):
            words.append(" ".join(part.upper()))
        elif part.isalpha():
            words.append(_name(part))
    return " ".join(words)


def _is_spelt_ending(part: str) -> bool:
    ending = part.lower()
    if ending in table.DOMAINS_SAID or ending in ("zip", "wav", "json"):
        return False
    return re.fullmatch(f"mp|{table.DOMAINS}|{table.FILES}", ending) is not None


def _name(text: str) -> str:
    """Words of a name without spaces: comfyUser_2 is comfy User two."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+", text)
    return " ".join(cardinal(part) if part.isdigit() else capitals(part) or part for part in parts)


def _versions(text: str) -> str | None:
    """Numbers with several points: an address of a computer digit by digit, a version number by number."""
    parts = text.split(".")
    is_computer = len(parts) == 4 and max(map(int, parts)) <= 255 and any(map(int, parts[1:]))
    if re.fullmatch(THOUSANDS, text) and not is_computer:
        return None
    say = spelt_digits if len(parts) == 4 else cardinal
    return f" {'dot' if len(parts) == 4 else 'point'} ".join(map(say, parts))


def _telephone(match: re.Match[str]) -> str | None:
    text = match[0]
    digits = re.sub(r"\D", "", text)
    if not 7 <= len(digits) <= 19 or re.fullmatch(r"\d{4}-\d{2}-\d{2}|\d{1,3}(?: 000)+", text):
        return None
    groups = re.findall(r"\d+", text.replace("(0)", ""))
    return ("plus " if text.startswith("+") else "") + ", ".join(map(spelt_digits, groups))


def _unparted_telephone(match: re.Match[str]) -> str | None:
    if not match[1] and match[2][0] != "0":
        return None
    return ("plus " if match[1] else "") + _grouped(match[2])


def _grouped(text: str) -> str:
    """Many digits, in groups of three and a last one of four, as telephone numbers are said."""
    digits = re.sub(r"\D", "", text)
    groups = []
    while len(digits) > 4:
        groups.append(digits[:3])
        digits = digits[3:]
    return ", ".join(map(spelt_digits, [*groups, digits]))


def _numbers() -> list[Rule]:
    money = "|".join(map(re.escape, sorted(table.CURRENCIES, key=len, reverse=True)))
    codes = "|".join(table.CURRENCY_CODES) + "|CHF|SEK|PLN"
    size = r"(?:\ ?(?P<size>thousand|million|billion|trillion|bn|mn|tn|[kKmMbBT])\b)?"
    units = "|".join(map(re.escape, sorted(table.UNITS, key=len, reverse=True)))
    return [
        rule(
            rf"(?:(?P<sign>{money})\ ?|\b(?P<code>{codes})\ ?)(?P<amount>\d+,\d{{1,2}}(?!\d|,\d)|{NUMBER}){size}"
            rf"(?:\ ?[-–]\ ?(?P<to>{NUMBER})"
            r"(?:\ ?(?P<to_size>thousand|million|billion|trillion|bn|[kKmMbB])\b)?(?![\w%]))?",
            _money,
        ),
        rule(
            rf"(?<![\w.])(?P<amount>{NUMBER}){size}\ ?(?:(?P<sign>{money})|(?P<code>{codes})\b)(?P<to>)(?P<to_size>)",
            _money,
        ),
        rule(r"(?<![^\s(\[\"'=×*/<>~≈±])-(?=(?:[$€£¥]\ ?)?\.?\d)", lambda m: "minus "),
        rule(r"(?<=\d)\ ?-\ ?(?=\d[\d.,]*\ ?=)", lambda m: " minus "),
        rule(r"(?<=[\d%])(?:\ ?[-–]\ ?|\ ?~\ ?)(?=[$€£]?\.?\d)", lambda m: " to "),
        rule(r"(?<![\w.])~\ ?(?=[$€£]?\d)", lambda m: "about "),
        rule(r"(?<=\d):(?=\d)", lambda m: " to "),
        rule(r"(?:(?<=\d[ap]m)|(?<=\d\ [ap]m)|(?<=\d[ap]\.m\.)|(?<=\d\ [ap]\.m\.))\ ?[-–—~]\ ?(?=\d|noon|midnight)",
             lambda m: " to ", re.IGNORECASE),
        rule(r"(?<=\d)-(to|on|in|by)-(?=\d)", lambda m: f" {m[1]} "),
        rule(r"(?<=[\w)])\ ?[-=]>\ ?(?=[\w(])", lambda m: " to "),
        rule(r"(?<=\d)\ ×\ (?=\d)", lambda m: " times "),
        rule(r"(?<=\d)\ ?[x×]\ ?(?=\d)", lambda m: " by "),
        rule(r"(?<=\d)\ ?[x×](?!\w)", lambda m: " times"),
        rule(r"(?<!\w)(\d+)'\ ?(\d{1,2})(?:\"|'')?(?!\w)", lambda m: f"{number(m[1])} foot {number(m[2])}"),
        rule(r"(?<!\w)(\d+(?:\.\d+)?)\"(?=\ ?\w)", _inches),
        rule(r"(?<![\w/.])24/7(?![\w/])", lambda m: "twenty-four seven"),
        rule(
            r"(?<![\w/.,])(?:(?P<whole>\d+)\ )?(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\w/])",
            lambda m: fraction(m["whole"], int(m["top"]), int(m["bottom"])),
        ),
        rule(r"(?:(?P<whole>\d+)\ ?)?(?P<sign>[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])", _vulgar_fraction),
        rule(r"(?<![\w])(?P<number>\d{1,3}(?:,\d{3})+|\d+)(?:st|nd|rd|th)\b",
             lambda m: ordinal(int(m["number"].replace(",", ""))) if len(m["number"]) < 16 else None, re.IGNORECASE),
        rule(r"(?<![\w.])(?:(?P<hours>\d+)\ ?h\ ?)?(?P<minutes>\d+)\ ?m(?:\ ?(?P<seconds>\d+)\ ?s)?(?!\w)", _duration),
        rule(rf"(?<![\w.])(?P<number>{NUMBER})m(?=\ (?:[a-z]+\ )?(?:{table.COUNTED_IN_MILLIONS})\b)",
             lambda m: f"{number(m['number'])} million"),
        rule(rf"(?<![\w.])(?P<number>{NUMBER})(?P<gap>[\ -]?)(?P<unit>{units})"
             rf"(?:/(?P<per>{units})(?![\w²³]))?(?![\w²³]|'\w)"
             r"(?:\.(?=,|\ [a-z]))?", _measure),
        rule(rf"(?<![\w.])(?P<number>{NUMBER})\ ?in\.(?=\W|$)",
             lambda m: f"{number(m['number'])} {'inch' if m['number'] == '1' else 'inches'}{sentence_stop(m)}"),
        rule(r"(?<=[A-Za-z])\d{3,}(?![\d.])", lambda m: spelt_digits(m[0])),
        rule(rf"(?<![\w.])(?P<number>{NUMBER})(?P<size>[kM]|(?<=\.\d)B|bn|mn|tn)(?!\w)",
             lambda m: f"{number(m['number'])} {table.MAGNITUDES[m['size']]}"),
        rule(rf"(?:(?<=/\d)|(?<=[¼½¾⅓⅔]))\ ?({units})(?![\w/])", lambda m: f" {table.UNITS[m[1]][0]}"),
        rule(r"(?<=\d)\^(-?)(\d+)(?!\w)", lambda m: _power(m[1], m[2])),
        rule(r"(?<=[\w)])([²³])", lambda m: " squared" if m[1] == "²" else " cubed"),
        rule(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([-+]?)(\d{1,3})(?!\w)",
             lambda m: f"{number(m[1])} times ten{_power(m[2].replace('+', ''), m[3])}"),
        rule(rf"(?P<number>{NUMBER})", lambda m: number(m["number"])),
    ]  # fmt: skip


def _money(match: re.Match[str]) -> str | None:
    sign = match["sign"] or table.CURRENCY_CODES.get(match["code"], match["code"])
    one, many = table.CURRENCIES[sign]
    amount, size, to = match["amount"], match["size"], match["to"]
    if to:
        said_to = number(to) + (f" {table.MAGNITUDES[match['to_size']]}" if match["to_size"] else "")
        return f"{number(amount)}{f' {table.MAGNITUDES[size]}' if size else ''} to {said_to} {many}"
    if size:
        return f"{number(amount)} {table.MAGNITUDES[size]} {many}"
    whole, point, cents = with_point(amount).replace(" ", ",").partition(".")
    if not point or len(cents) != 2 or sign in table.WITHOUT_HUNDREDTHS:
        return f"{number(amount)} {one if amount == '1' else many}"
    parts = []
    if whole.strip("0,"):
        parts.append(f"{cardinal(whole)} {one if whole == '1' else many}")
    if cents != "00":
        cent, cents_many = table.HUNDREDTHS.get(sign, ("cent", "cents"))
        parts.append(f"{num2words(int(cents))} {cent if cents == '01' else cents_many}")
    return " and ".join(parts) or f"zero {many}"


def _inches(match: re.Match[str]) -> str | None:
    """Inches, unless the sign closes a quotation."""
    return None if ahead(match).count('"') % 2 else f"{number(match[1])} inch"


def _vulgar_fraction(match: re.Match[str]) -> str | None:
    top, _, bottom = unicodedata.normalize("NFKC", match["sign"]).partition("⁄")
    return fraction(match["whole"], int(top), int(bottom))


def _measure(match: re.Match[str]) -> str | None:
    text, unit, gap = match["number"], match["unit"], match["gap"]
    looks_like_a_year = re.fullmatch(r"(?:19|20)\d\d", text) is not None
    if gap and unit in table.ATTACHED_UNITS and looks_like_a_year:
        return None
    one, many = table.UNITS[unit]
    if match["per"]:
        one, many = (f"{name} per {table.UNITS[match['per']][0]}" for name in (one, many))
    said = number(text)
    before_noun = re.match(rf"\ (?!(?:{table.BETWEEN_NOUNS})\b)[a-z]{{2}}", behind(match))
    if gap != "-" and before_noun and re.search(r"\b[Aa]n?\ $", ahead(match)):
        return f"{said}-{one}"
    if gap == "-":
        return None if unit in ("s", "°") else f"{said}-{one}"
    return f"{said} {one if text == '1' else many}"


def _duration(match: re.Match[str]) -> str | None:
    """Beside hours or seconds, m is minutes."""
    if not match["hours"] and not match["seconds"]:
        return None
    names = {"hours": "hour", "minutes": "minute", "seconds": "second"}
    counts = ((match[part], name) for part, name in names.items() if match[part])
    return " ".join(f"{cardinal(count)} {name}{'' if count == '1' else 's'}" for count, name in counts)


def _power(sign: str, digits: str) -> str:
    if not sign and digits in ("2", "3"):
        return " squared" if digits == "2" else " cubed"
    return f" to the power of {'minus ' if sign else ''}{number(digits)}"


def _words() -> list[Rule]:
    titles = "|".join(table.TITLES)
    pointless = "|".join(table.TITLES_WITHOUT_POINT)
    abbreviations = "|".join(map(re.escape, sorted(table.ABBREVIATIONS, key=len, reverse=True)))
    numbered = "|".join(sorted(table.BEFORE_NUMBERS, key=len, reverse=True))
    return [
        rule(r"(?<=[A-Za-z0-9])\ (?:St\.?|ST\.)(?=[\s,;!?)]|\.?$)(?!\ [A-Z][a-z]+\ (?:was|is|had|said))", _street),
        rule(r"(?<=[A-Za-z])\ (?:Dr|DR)\.(?=\s*$|[,;!?)]|\ )", _drive),
        rule(r"\b(?:St\.?|ST\.)\ (?=[A-Z][A-Za-z])", lambda m: "Saint "),
        rule(rf"\b({titles}|{titles.upper()})\.\ ?(?=[A-Z]|(?:[Aa]nd|&|or)\ (?:{titles}|{titles.upper()})\b)",
             lambda m: table.TITLES[m[1].capitalize()] + " "),
        rule(rf"\b({pointless})\ (?=[A-Z]|(?:and|&|or)\ (?:{pointless})\ )", lambda m: table.TITLES[m[1]] + " "),
        rule(rf"\b({'|'.join(map(re.escape, table.WRITTEN_WITH_SLASHES))})(?=\s|$|[,.!?])",
             lambda m: table.WRITTEN_WITH_SLASHES[m[1].lower()], re.IGNORECASE),
        rule(r"\bvs\b\.?", lambda m: "versus"),
        rule(r"\bv(?=\d)", lambda m: "version "),
        rule(rf"\b({'|'.join(table.ODD_WORDS)})\b(?!\.[a-z])", lambda m: table.ODD_WORDS[m[1]]),
        rule(r"\bPh\.\ ?D\b\.?", lambda m: "P H D" + (sentence_stop(m) if m[0].endswith(".") else "")),
        rule(rf"(?<![\w.])({numbered})\.\ ?(?=\d|[IVX]{{2,}}\b)", _numbered),
        rule(rf"(?<![\w.@])({abbreviations})\.", _abbreviation),
        rule(r"(?<![\w.@])(?:[A-Za-z]\.){2,}(?!\w)", _dotted),
        rule(rf"\b(?P<word>World\ War|{table.NUMBERED})\ (?P<roman>[IVXL]+)\b",
             lambda m: _roman(m["word"], m["roman"], cardinal)),
        rule(rf"\b(?P<word>{table.MONARCHS})\ (?P<roman>[IVX]+)\b",
             lambda m: _roman(m["word"] + " the", m["roman"], lambda digits: ordinal(int(digits)))),
        rule(r"\b(?P<roman>[IVX]{2,}|[VX])(?P<word>\ (?:century|centuries|dynasty))\b",
             lambda m: _roman("", m["roman"], lambda digits: ordinal(int(digits)), m["word"])),
        rule(r"\b(?P<word>[A-Z][a-z]+)\ (?P<roman>[IVX]{2,})\b", lambda m: _roman(m["word"], m["roman"], cardinal)),
        rule(r"(?<![A-Za-z])[A-Z]{1,4}(?:&[A-Z]{1,4})+(?![A-Za-z])",
             lambda m: " and ".join(" ".join(part) for part in m[0].split("&"))),
        rule(r"(?<=[A-Z0-9])'S(?![A-Za-z])", lambda m: "'s"),
        rule(r"(?<![A-Za-z])(?P<capitals>[A-Z]+(?:'[A-Z]+)+|[A-Z]{2,})(?P<plural>s?)(?![A-Za-z])",
             _capitals),
    ]  # fmt: skip


def _street(match: re.Match[str]) -> str | None:
    """St. behind a name or a number is a street."""
    name = r"[a-z]{3,}" if "ST" in match[0] else r"[A-Z][a-z]+(?:'s)?"
    before = re.search(rf"({name}|\d+(?:st|nd|rd|th)|(?:first|second|third|th))$", ahead(match))
    if before is None or before[0] in ("On", "In", "At", "To", "From", "The", "By", "Near", "And", "For"):
        return None
    return " Street" + (sentence_stop(match) if match[0].endswith(".") else "")


def _drive(match: re.Match[str]) -> str | None:
    """Dr. behind a name that ends there is a drive."""
    name = r"[a-z]{3,}" if "DR" in match[0] else r"[A-Z][a-z]+(?:'s)?"
    stop, rest = sentence_stop(match), behind(match)
    if re.match(rf"\ (?:{'|'.join(table.TITLES)})\.", rest):
        stop = "."
    ends = stop or re.match(r"[,;!?)]|\ [a-z]", rest)
    if not ends or not re.search(rf"(?:{name}|\d(?:st|nd|rd|th))$", ahead(match)):
        return None
    return " Drive" + stop


def _numbered(match: re.Match[str]) -> str | None:
    """No. 5 is a number, unless a sentence ends there and the next one begins with an amount of something."""
    counted = re.match(r"\d[\d,]*\ (?:(?:more|people|men|women|children|([a-z]{2,}s))\b|of\ (?!the\b))", behind(match))
    if match[1].islower() and counted and counted[1] not in table.VERBS_IN_S:
        return None
    return table.BEFORE_NUMBERS[match[1]] + " "


def _abbreviation(match: re.Match[str]) -> str | None:
    short, rest = match[1], behind(match)
    if re.match(r"\w", rest):
        return None
    stop = "." if not rest.strip() else "" if short in table.AMID else sentence_stop(match)
    # A weekend day at the end is mostly the sun, or that somebody sat.
    if stop and short in ("Sun", "Sat") and not re.search(table.BEFORE_DAYS, ahead(match)):
        return None
    said = table.ABBREVIATIONS[short]
    if stop or (short == "etc" and re.match(r"[\"')]*\s+[\"'(]?[A-Z]", rest)):
        return said + "."
    return said + "," if short in ("e.g", "i.e", "viz") and not rest.startswith(",") else said


def _dotted(match: re.Match[str]) -> str | None:
    """Letters with points, such as U.S. or a.m.; initials before a name keep theirs."""
    letters = match[0].replace(".", "")
    if letters.lower() in ("eg", "ie"):
        return "for example" if letters.lower() == "eg" else "that is"
    return " ".join(letters.upper()) + sentence_stop(match)


def _capitals(match: re.Match[str]) -> str | None:
    said = spelt_capitals(match["capitals"], match["plural"])
    if said and said[0].islower() and begins_sentence(ahead(match)):
        return said[0].upper() + said[1:]
    return said


ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50}


def _roman(word: str, numeral: str, say: Callable[[str], str], behind: str = "") -> str | None:
    if not re.fullmatch(r"(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})", numeral):
        return None
    values = [ROMAN[letter] for letter in numeral]
    value = sum(-one if one < following else one for one, following in zip(values, [*values[1:], 0], strict=True))
    return f"{word} {say(str(value))}{behind}".strip()


def _signs() -> list[Rule]:
    signs = "".join(map(re.escape, table.SIGNS))
    return [
        rule(rf"/(?=(?:{'|'.join(table.PER)})\b)(?<=\w/)", lambda m: " per "),
        rule(r"(?<=\w)\ ?&\ ?(?=\w)", lambda m: " and "),
        rule(r"\band/or\b", lambda m: "and or"),
        rule(r"(?<=\.\d)/(?=\d)", lambda m: " out of "),
        rule(r"(?<=\w)/(?=\w)", lambda m: " slash "),
        rule(r"(?<=[A-Za-z])-(?=\d)", lambda m: " "),
        rule(r"(?<![^\W_])(μm|μs|μg|kΩ|MΩ|km/h|m/s|°C|°F|km²|m²|cm²|m³|cm³)(?![^\W_])", lambda m: table.UNITS[m[1]][1]),
        rule(f"([{''.join(table.GREEK)}{''.join(table.GREEK).upper()}])", lambda m: _greek(m[1])),
        rule(f"([{signs}])", lambda m: table.SIGNS[m[1]]),
        rule(r"(?<=\d)\ ?\*\ ?(?=\d)", lambda m: " times "),
        rule(r"(?<=\d)\ ?<\ ?(?=\d)", lambda m: " less than "),
        rule(r"(?<=[\w)])\ ?>\ ?(?=\d)", lambda m: " greater than "),
        rule(r"<(?=\ ?\d)", lambda m: "less than "),
        rule(r">(?=\ ?\d)", lambda m: "greater than "),
        rule(r"([$€£¥₹₩₽₿₫฿₺₴₪₱₦¢])", lambda m: table.CURRENCIES[m[1]][1]),
        rule(r"_", lambda m: " "),
    ]


def _greek(letter: str) -> str | None:
    name = table.GREEK.get(letter.lower())
    return name.capitalize() if name and letter.isupper() else name
