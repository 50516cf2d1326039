"""Written English as it is read aloud: numbers, dates, money, units, abbreviations, addresses and the like."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from num2words import num2words

from . import english_words as table
from .writing import Rule, rule

EUROPEAN = r"(?:\d{1,3}(?:\.\d{3})+,\d{1,2}(?!\d)|\d+,\d{1,2}(?=\ ?(?:€|%|°|(?:kg|km|cm|mm|m|g|l)\b)))"
"""A number with a comma before its decimals."""
NUMBER = rf"{EUROPEAN}|" r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:[ ]\d{3}){2,}(?!\d)|\d+)(?:\.\d+)?|\.\d+"
LONGEST_CARDINAL = 15
"""A number of more digits is read digit by digit."""
LONGEST_UNPARTED = 9
"""So is one of more digits without commas, unless it is round."""
START = r"(?<![\w.])"
HALF = 50
VOWELS = "AEIOUY"
ONSETS = frozenset(
    "b bl br c ch chr cl cr d dr dw f fl fr g gh gl gn gr h j k kh kl kn kr l m n p ph phr pl pr ps q qu r rh s sc sch "
    "scr sh shr sk sl sm sn sp sph spl spr squ st str sw t th thr tr tw v w wh wr x y z".split()
)
"""Consonants with which an English word begins."""
CODAS = frozenset(
    "b c ch ck ct d dge f ff ft g gh ght h k l lb lc ld lf lk ll lm ln lp ls lt lth lve m mb mn mp mph mpt ms n nc nch "
    "nd nds ng ngs ngth nk nks ns nt nth nts p ph ps pt r rb rc rch rd rds rf rg rk rks rl rld rm rms rn rns rp rs rst "
    "rt rth rts rv s sc sh sk sm sp ss st sts t tch th ths ts v w wn ws wl x xt y z zz ds gs ks bs ls cks lls".split()
)
"""Consonants with which one ends."""


STARTERS = (
    "He|She|It|They|We|I|You|The|This|That|These|Those|In|On|At|But|And|So|My|Our|His|Her|What|When|Where|Why|How|If|As|"
    "A|An|There|Then|Here|Who|Which|Now|Not|No|Yes|For|From|To|With|After|Before|Please|Their|Its|Let|Do|Did|Is|Are"
)
"""Words with which a sentence often begins."""
NEAR = 80
"""Signs around a match that decide how it is read."""


def rules() -> list[Rule]:
    """In the order in which they are asked."""
    return [*_addresses(), *_dates_and_times(), *_numbers(), *_words(), *_signs()]


# ---------------------------------------------------------------------------------------------------------- numbers


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
    whole, point, decimals = _with_point(text).partition(".")
    words = cardinal(whole.replace(" ", ",")) if whole else ""
    return f"{words} point {spelt_digits(decimals)}".strip() if point else words


def _with_point(text: str) -> str:
    """A number with a point before its decimals, and commas elsewhere."""
    return text.translate(str.maketrans(".,", ",.")) if re.fullmatch(r"[\d.]+,\d{1,2}", text) else text


def year(number: int) -> str:
    """ "nineteen eighty-four", "two thousand and five"."""
    return num2words(number, to="year") if number % 1000 >= 10 or number < 1000 else num2words(number)


def number_or_year(text: str) -> str:
    """Words of a number, read as a year where it looks like one."""
    return year(int(text)) if re.fullmatch(r"1[1-9]\d\d|20\d\d", text) else number(text)


# ------------------------------------------------------------------------------------------- addresses and telephones


def _addresses() -> list[Rule]:
    return [
        rule(r"(?<![\w.+-])[\w.+-]*\w@\w[\w-]*(?:\.\w[\w-]*)+", lambda m: address(m[0])),
        rule(r"\b(?:https?://|ftp://|www\.)[^\s<>\"()]*[^\s<>\"().,;:!?']", lambda m: address(m[0])),
        rule(
            rf"(?<![\w@.-])(?:[a-z0-9][a-z0-9-]*\.)+(?:{table.DOMAINS})\b(?!\.\w|[-\w])(?:/[^\s<>\"()]*[^\s<>\"().,;:!?'])?",
            lambda m: address(m[0]),
            re.IGNORECASE,
        ),
        rule(rf"(?<![\w.])\w[\w-]*\.(?:{table.FILES})\b(?![.-]\w)", lambda m: address(m[0])),
        rule(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){2,}(?![\w]|\.\d)", lambda m: _versions(m[0])),
        rule(r"(?<![\w.])@(\w+)", lambda m: f"at {_name(m[1])}"),
        rule(r"(?<![\w&])\#(\d+)\b", lambda m: f"number {number(m[1])}"),
        rule(r"(?<![\w&])\#([^\W\d]\w*)", lambda m: f"hashtag {_name(m[1])}"),
        rule(
            r"""(?<![\w.,/:$€£-])
            (?:\+\d{1,3}[ .-]?(?:\(0\))?(?:\(\d{1,4}\)|\d{1,5})(?:[ .-]?\d{2,4}){1,5}
            |\(\d{2,5}\)[ .-]?\d{2,4}(?:[ .-]\d{2,4}){0,3}
            |1-\d{3}-\d{3}-\d{4}
            |\d{2,5}(?:-\d{2,5}){2,4}
            |\d{1,5}(?:-\d{1,7}){3,5}
            |\d{3,5}(?:[ .]\d{3,4}){2}(?=[\s.,;!?)]|$)
            |0\d{2,4}[ -]\d{5,8}|\d{3}-\d{4})
            (?![\w%]|[-/.]\d)""",
            _telephone,
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


def address(text: str) -> str:
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
    endings = set(table.DOMAINS.split("|")) | set(
        "pdf doc docx xls xlsx ppt pptx jpg jpeg png gif exe py js ts html css "
        "csv txt md svg mov avi mkv htm mp wav".split()
    )
    return part.lower() in endings - table.DOMAINS_SAID and part.lower() not in ("zip", "wav")


def _name(text: str) -> str:
    """Words of a name without spaces: comfyUser_2 is comfy User two."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+", text)
    return " ".join(cardinal(part) if part.isdigit() else capitals(part) or part for part in parts)


def _versions(text: str) -> str:
    """Numbers with several points: an address of a computer digit by digit, a version number by number."""
    parts = text.split(".")
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


# ------------------------------------------------------------------------------------------------- dates and times


def _dates_and_times() -> list[Rule]:
    month, short = table.FULL_MONTH, "Mon|Tues?|Wed|Thur?s?|Fri|Sat|Sun"
    weekday = (
        r"(?P<weekday>Mon|Tues?|Wed|Thur?s?|Fri|Sat|Sun)\.?,?\ (?="
        + month
        + r"|\d{1,2}(?:st|nd|rd|th)?\ "
        + month
        + ")"
    )
    day = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?(?:\ ?[-–]\ ?(?P<last>\d{1,2})(?:st|nd|rd|th)?)?(?![\d:]|\.\d|,\d)"
    return [
        rule(
            rf"\b(?P<first>{short})\.?\ ?[-–]\ ?(?P<last>{short})\b",
            lambda m: f"{_weekday(m['first'])} to {_weekday(m['last'])}",
        ),
        rule(weekday, lambda m: f"{_weekday(m['weekday'])}, "),
        rule(
            rf"{START}(?P<year>\d{{4}})([-/.])(?P<month>\d{{1,2}})\2(?P<day>\d{{1,2}})(?:T(?=\d\d:)|(?![\w]|[-/]\d))",
            lambda m: _date(m["year"], m["month"], m["day"]),
        ),
        rule(
            rf"{START}(?P<first>\d{{1,2}})([-/.])(?P<second>\d{{1,2}})\2(?P<year>\d{{4}})(?![\w]|[-/]\d)|"
            rf"{START}(?P<a>\d{{1,2}})/(?P<b>\d{{1,2}})/(?P<y>\d{{2}})(?![\w/])",
            _numeric_date,
        ),
        rule(
            r"(?P<before>\b(?:on|by|until|since|before|after|due)\ )(?P<month>\d{1,2})/(?P<day>\d{1,2})(?![\w/])",
            lambda m: _with_before(m["before"], _date(None, m["month"], m["day"]) or _date(None, m["day"], m["month"])),
        ),
        rule(
            rf"\b(?P<month>{month})\ {day}(?:,?\ (?P<year>[12]\d{{3}})(?!\d|,\d))?",
            lambda m: _written_date(m, the=False),
        ),
        rule(
            r"(?P<the>\b[Tt]he\ )?(?<![\w.,])(?P<day>\d{1,2})(?:st|nd|rd|th)?"
            r"(?:\ ?[-–]\ ?(?P<last>\d{1,2})(?:st|nd|rd|th)?)?"
            rf"(?:\ of)?\ (?P<month>{month})(?!\w)(?:,?\ (?P<year>[12]\d{{3}})(?!\d|,\d))?",
            lambda m: _written_date(m, the=True),
        ),
        rule(
            rf"\b(?P<month>{month}),?\ (?P<year>[12]\d{{3}})(?!\d|,\d)",
            lambda m: f"{_month(m['month'])} {year(int(m['year']))}",
        ),
        rule(
            r"(?<![\w:.])(?P<hour>[01]?\d|2[0-4])(?:[:.](?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?)?\ ?"
            r"(?P<half>[AaPp])\.?\ ?[Mm]\b(?P<stop>\.?)",
            _time,
        ),
        rule(
            r"(?<![\w:.])(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?P<half>)(?P<stop>)(?![\d:])",
            _time,
        ),
        rule(
            r"(?P<quote>'?)(?<!\w)(?P<year>1[1-9]\d0|20\d0|[1-9]0)'?s\b",
            lambda m: _plural(year(int(m["year"])) if len(m["year"]) == 4 else cardinal(m["year"])),
        ),
        rule(r"(?<![\w'])'(?P<year>\d\d)(?![\w'])", lambda m: cardinal(m["year"]) if m["year"][0] != "0" else None),
        rule(r"(?<![\w.,$€£¥-])(1[1-9]\d\d|20\d\d)(?![\d%°]|[.,]\d|\ ?(?:m|km|kg|g|cm|mm|px|MB|GB|Hz|W|L|ml)\b)",
             lambda m: year(int(m[1]))),
    ]  # fmt: skip


def _weekday(short: str) -> str:
    return next(day for day in table.WEEKDAYS if day.startswith(short[:2]))


def _month(name: str) -> str:
    return next(month for month in table.MONTHS if month.startswith(name[:3]))


def _date(written_year: str | None, month: str, day: str) -> str | None:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    said = f"{table.MONTHS[int(month) - 1]} {ordinal(int(day))}"
    return f"{said}, {year(int(written_year))}" if written_year else said


def _with_before(before: str, said: str | None) -> str | None:
    return None if said is None else before + said


def _numeric_date(match: re.Match[str]) -> str | None:
    """Month first where both could be, as in the United States; day first where points part them."""
    if match["y"]:
        first, second = match["a"], match["b"]
        full = ("19" if int(match["y"]) >= 50 else "20") + match["y"]
    else:
        first, second, full = match["first"], match["second"], match["year"]
    if "." in match[0]:
        return _date(full, second, first)
    return _date(full, first, second) or _date(full, second, first)


def _written_date(match: re.Match[str], the: bool) -> str | None:
    first, last = int(match["day"]), int(match["last"] or 0)
    if not 1 <= first <= 31 or last > 31:
        return None
    days = ordinal(first) + (f" to {ordinal(last)}" if last else "")
    said = f"the {days} of {_month(match['month'])}" if the else f"{_month(match['month'])} {days}"
    if the and match["the"]:
        said = match["the"][0] + said[1:]
    return f"{said}, {year(int(match['year']))}" if match["year"] else said


def _time(match: re.Match[str]) -> str | None:
    hour, minute, half = int(match["hour"]), match["minute"], match["half"]
    if hour == 24 and minute not in ("00", None):
        return None
    said = num2words(hour)
    if half and hour > 12:
        half = ""
    if minute and minute != "00":
        said += " oh " + num2words(int(minute)) if minute[0] == "0" else " " + num2words(int(minute))
    elif not half and hour in range(1, 13):
        said += " o'clock"
    elif not half and not match["second"]:
        said += " hundred"
    if match["second"]:
        said += f" and {num2words(int(match['second']))} seconds"
    stop = match["stop"] and ("." if "." not in match[0][:-1] else _stop(match))
    return said + (f" {half.upper()} M" if half else "") + stop


def _stop(match: re.Match[str]) -> str:
    """The point behind an abbreviation, where a sentence ends there."""
    rest = _behind(match)
    return "." if not rest.strip(" \"')") or re.match(rf"[\"')]*\s+[\"'(]?(?:{STARTERS})\b", rest) else ""


def _behind(match: re.Match[str]) -> str:
    """The text close behind a match."""
    return match.string[match.end() : match.end() + NEAR]


def _ahead(match: re.Match[str]) -> str:
    """The text close before a match."""
    return match.string[max(0, match.start() - NEAR) : match.start()]


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")


# -------------------------------------------------------------------------------------- money, units, plain numbers


def _numbers() -> list[Rule]:
    money = "|".join(map(re.escape, sorted(table.CURRENCIES, key=len, reverse=True)))
    codes = "|".join(table.CURRENCY_CODES) + "|CHF|SEK|PLN"
    size = r"(?:\ ?(?P<size>thousand|million|billion|trillion|bn|mn|tn|[kKmMbBT])\b)?"
    units = "|".join(map(re.escape, sorted(table.UNITS, key=len, reverse=True)))
    return [
        rule(
            rf"(?:(?P<sign>{money})\ ?|\b(?P<code>{codes})\ ?)(?P<amount>{NUMBER}){size}"
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
        rule(r"(?<=[ap]\.m\.)\ ?[-–]\ ?(?=\d)", lambda m: " to "),
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
        rule(rf"(?<![\w.])(?P<number>{NUMBER})(?P<gap>[\ -]?)(?P<unit>{units})"
             rf"(?:/(?P<per>{units})(?![\w²³]))?(?![\w²³]|'\w)"
             r"(?:\.(?=,|\ [a-z]))?", _measure),
        rule(rf"(?<![\w.])(?P<number>{NUMBER})\ ?in\.(?=\W|$)",
             lambda m: f"{number(m['number'])} {'inch' if m['number'] == '1' else 'inches'}{_stop(m)}"),
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
    whole, point, cents = _with_point(amount).replace(" ", ",").partition(".")
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
    return None if _ahead(match).count('"') % 2 else f"{number(match[1])} inch"


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
    if gap == "-":
        return None if unit in ("s", "°") else f"{said}-{one}"
    return f"{said} {one if text == '1' else many}"


def _power(sign: str, digits: str) -> str:
    if not sign and digits in ("2", "3"):
        return " squared" if digits == "2" else " cubed"
    return f" to the power of {'minus ' if sign else ''}{number(digits)}"


# ------------------------------------------------------------------------------------- abbreviations and capitals


def _words() -> list[Rule]:
    titles = "|".join(table.TITLES)
    pointless = "|".join(table.TITLES_WITHOUT_POINT)
    abbreviations = "|".join(map(re.escape, sorted(table.ABBREVIATIONS, key=len, reverse=True)))
    numbered = "|".join(sorted(table.BEFORE_NUMBERS, key=len, reverse=True))
    return [
        rule(r"(?<=[A-Za-z0-9])\ St\.?(?=[\s,;!?)]|\.?$)(?!\ [A-Z][a-z]+\ (?:was|is|had|said))", _street),
        rule(r"\bSt\.?\ (?=[A-Z][a-z])", lambda m: "Saint "),
        rule(rf"\b({titles})\.\ ?(?=[A-Z])", lambda m: table.TITLES[m[1]] + " "),
        rule(rf"\b({pointless})\ (?=[A-Z])", lambda m: table.TITLES[m[1]] + " "),
        rule(rf"\b({'|'.join(map(re.escape, table.WRITTEN_WITH_SLASHES))})(?=\s|$|[,.!?])",
             lambda m: table.WRITTEN_WITH_SLASHES[m[1].lower()], re.IGNORECASE),
        rule(r"\bvs\b\.?", lambda m: "versus"),
        rule(r"\bv(?=\d)", lambda m: "version "),
        rule(rf"\b({'|'.join(table.ODD_WORDS)})\b(?!\.[a-z])", lambda m: table.ODD_WORDS[m[1]]),
        rule(r"\bPh\.\ ?D\b\.?", lambda m: "P H D" + (_stop(m) if m[0].endswith(".") else "")),
        rule(rf"(?<![\w.])({numbered})\.\ ?(?=\d|[IVX]{{2,}}\b)", lambda m: table.BEFORE_NUMBERS[m[1]] + " "),
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
        rule(r"(?<![A-Za-z])(?P<capitals>[A-Z]{2,})(?P<plural>s?)(?![A-Za-z])",
             lambda m: spelt_capitals(m["capitals"], m["plural"])),
    ]  # fmt: skip


def _street(match: re.Match[str]) -> str | None:
    """St. behind a name or a number is a street."""
    before = re.search(r"([A-Z][a-z]+|\d+(?:st|nd|rd|th)|(?:first|second|third|th))$", _ahead(match))
    if before is None or before[0] in ("On", "In", "At", "To", "From", "The", "By", "Near", "And", "For"):
        return None
    return " Street" + (_stop(match) if match[0].endswith(".") else "")


def _abbreviation(match: re.Match[str]) -> str | None:
    short, rest = match[1], _behind(match)
    if re.match(r"\w", rest):
        return None
    ends = not rest.strip()
    # Words of their own unless more follows: "the min." is one, "came to max." is, "the sun." is none.
    common = short in (
        "min",
        "max",
        "art",
        "est",
        "temp",
        "al",
        "Sun",
        "Sat",
        "Mon",
        "Mar",
        "Jun",
        "mo",
        "Co",
        "ext",
        "tel",
    )
    if common and ends and short in ("Sun", "Sat", "art"):
        return None
    said = table.ABBREVIATIONS[short]
    if ends or (short in ("etc", "a.k.a") and re.match(r"[\"')]*\s+[\"'(]?[A-Z]", rest)):
        said += "."
    elif short in ("e.g", "i.e", "viz") and not rest.startswith(","):
        said += ","
    return said


def _dotted(match: re.Match[str]) -> str | None:
    """Letters with points, such as U.S. or a.m.; initials before a name keep theirs."""
    letters = match[0].replace(".", "")
    if letters.lower() in ("eg", "ie"):
        return "for example" if letters.lower() == "eg" else "that is"
    return " ".join(letters.upper()) + _stop(match)


ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50}


def _roman(word: str, numeral: str, say: Callable[[str], str], behind: str = "") -> str | None:
    if not re.fullmatch(r"(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})", numeral):
        return None
    values = [ROMAN[letter] for letter in numeral]
    value = sum(-one if one < following else one for one, following in zip(values, [*values[1:], 0], strict=True))
    return f"{word} {say(str(value))}{behind}".strip()


def capitals(word: str) -> str | None:
    """How a word in capitals is said: letter by letter, in small letters, or None where it stays as it is."""
    if len(word) < 2 or not word.isupper() or word in table.SAID_AS_WORDS:
        return None
    if word in table.SPELT or not is_sayable(word):
        return " ".join(word)
    return word.lower()


def is_sayable(word: str) -> bool:
    """Whether a word in capitals can be said as a word: an ordinary short one, or one built like a word."""
    if len(word) <= 3:
        return word in table.SHORT_WORDS
    clusters = re.split(f"[{VOWELS}]+", word)
    if len(clusters) == 1:
        return False
    first, *middle, last = (cluster.lower() for cluster in clusters)
    inner = all(len(cluster) <= 3 or cluster in ONSETS | CODAS for cluster in middle)
    return (not first or first in ONSETS) and (not last or last in CODAS) and inner


def spelt_capitals(word: str, plural: str) -> str | None:
    said = capitals(word)
    if plural:
        return None if word in table.SAID_AS_WORDS else " ".join(word) + "s"
    return said


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
            if word[0] != "I" and _is_plain(word[0]):
                small = word[0].lower() if not word[0].startswith("I'") else "I" + word[0][1:].lower()
                start = word.start()
                if _begins_sentence(text[max(0, start - NEAR) : start]):
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
    if letters in table.AMBIGUOUS or len(letters) == 1 or not letters.isascii() or "'" in word:
        return True
    return letters not in table.SPELT and letters not in table.SAID_AS_WORDS and is_sayable(letters)


def _begins_sentence(before: str) -> bool:
    return not before.strip(" \"'(-–—") or re.search(r"[.!?][\"')]*\s+[\"'(]*$", before) is not None


# ----------------------------------------------------------------------------------------------------------- signs


def _signs() -> list[Rule]:
    signs = "".join(map(re.escape, table.SIGNS))
    return [
        rule(rf"/(?=(?:{'|'.join(table.PER)})\b)(?<=\w/)", _per),
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


def _per(match: re.Match[str]) -> str:
    return " per "


def _greek(letter: str) -> str | None:
    name = table.GREEK.get(letter.lower())
    return name.capitalize() if name and letter.isupper() else name
