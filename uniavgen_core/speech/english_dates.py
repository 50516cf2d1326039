"""Dates and times of written English as they are read aloud."""

from __future__ import annotations

import re

from num2words import num2words

from . import english_words as table
from .capitals import sentence_stop
from .english_numbers import START, cardinal, ordinal, year
from .rules import Rule, ahead, behind, rule

BEFORE_DECADES = r"(?:\b(?:the|in|early|mid|late|his|her|their|my|your|our|its)|\d0s\ (?:and|or|to))[\ -]$"
BEHIND_DECADES = (
    r"\ (?:(?:and|or|to)\ (?:\d\d)?\d0s|music|hits|rock|pop|style|fashion|vibes?|movies?|films?|kids?|babies|era|"
    r"songs?|nostalgia|disco|party|theme|look|classics?)\b"
)


def date_rules() -> list[Rule]:
    """In the order in which they are asked."""
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
        *_time_and_year_rules(),
    ]  # fmt: skip


def _time_and_year_rules() -> list[Rule]:
    years, measures = r"1[1-9]\d\d|20\d\d", "m|km|kg|g|cm|mm|px|MB|GB|Hz|W|L|ml"
    return [
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
            r"(?P<quote>'?)(?<!\w)(?P<year>1[1-9]\d0|20\d0|[1-9]0)(?P<apostrophe>'?)s\b",
            _decade,
        ),
        rule(r"(?<![\w'])'(?P<year>\d\d)(?![\w'])", lambda m: cardinal(m["year"]) if m["year"][0] != "0" else None),
        rule(
            rf"(?<![\w.,$€£¥-])({years})\ ?[-–—]\ ?({years})(?![\w%°-]|[.,]\d|\ ?(?:{measures})\b)",
            lambda m: f"{year(int(m[1]))} to {year(int(m[2]))}",
        ),
        rule(rf"(?<![\w,$€£¥-])(?<!\d\.)({years})(?![\d%°]|[.,]\d|\ ?(?:{measures})\b)",
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
    stop = match["stop"] and ("." if "." not in match[0][:-1] else sentence_stop(match))
    return said + (f" {half.upper()} M" if half else "") + stop


def _decade(match: re.Match[str]) -> str | None:
    """The 1990s; 90s alone are a decade beside words that go with one, and seconds elsewhere."""
    if len(match["year"]) == 4:
        return _plural(year(int(match["year"])))
    told = match["quote"] or match["apostrophe"] or re.search(BEFORE_DECADES, ahead(match), re.IGNORECASE)
    if re.match(r"\ time\b", behind(match)) or not told and not re.match(BEHIND_DECADES, behind(match)):
        return None
    return _plural(cardinal(match["year"]))


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")
