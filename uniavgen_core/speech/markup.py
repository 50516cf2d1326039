"""Marks that other programs take and the model would spell out: SSML, Markdown, and those of a script."""

from __future__ import annotations

import re
import unicodedata

TAG = re.compile(
    r"</?(?:speak|break|p|s|say-as|emphasis|prosody|voice|phoneme|sub|audio|mark|lang|w|br|b|i|em|strong|u|span|div|h[1-6]|"
    r"ul|ol|li|a|font|(?:mstts|amazon):[\w-]+)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
BREAK = re.compile(r"<break\b([^<>]*)/?>(?:\s*</break>)?", re.IGNORECASE)
BREAK_TIME = re.compile(r"time\s*=\s*[\"'“”]?\s*(\d+(?:\.\d+)?|\.\d+)\s*(ms|s)", re.IGNORECASE)
BREAK_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.25, "medium": 0.5, "strong": 0.75, "x-strong": 1.0}
SCRIPT_MARK = re.compile(r"[\[［【]\s*(pause|seed|speaker)\b[^\]\[］【】|｜]*[\]］】]", re.IGNORECASE)
OTHER_MARK = re.compile(r"[\[［]([^\]\[|｜］［]*)[\]］]")
LINK = re.compile(r"!?\[([^\]\[]*)\]\((?:[^()\s]|\([^()\s]*\))*\)")
FENCE = re.compile(r"^[ \t]*(?:```.*|~~~.*|-{3,}|\*{3,}|_{3,})[ \t]*$", re.MULTILINE)
BEGINNING = re.compile(r"^[ \t]*(#{1,6}[ \t]+|[-*+•][ \t]+|>[ \t]+)", re.MULTILINE)
AROUND = (
    re.compile(r"(\*{2,3})(?=\S)((?:(?!\1).)+)(?<=\S)\1", re.DOTALL),
    re.compile(r"(?<!\w)(__)(?=\S)((?:(?!__).)+)(?<=\S)\1(?!\w)", re.DOTALL),
    re.compile(r"(~~)(?=\S)((?:(?!~~).)+)(?<=\S)\1", re.DOTALL),
    re.compile(r"(?<![\w*])(\*)(?=[^\s*])([^*\n]*?[^\s*])\1(?![\w*])"),
    re.compile(r"(?<!\w)(_)(?=[^\s_])([^_\n]*?[^\s_])\1(?!\w)"),
    re.compile(r"(`)([^`\n]+)\1"),
)
LONGEST_PAUSE_SECONDS = 60.0
SHOWN = 30


def break_seconds(attributes: str) -> float:
    """Length of an SSML break, from what stands in its tag."""
    time = BREAK_TIME.search(attributes)
    if time is not None:
        return float(time[1]) / (1000 if time[2].lower() == "ms" else 1)
    strength = re.search(r"strength\s*=\s*[\"'“”]?([\w-]+)", attributes)
    return BREAK_STRENGTHS.get(strength[1].lower() if strength else "medium", 0.5)


def pause_seconds(value: str) -> float | None:
    """Length of a pause, from what stands in its mark behind the word; None where that is no length."""
    digits = unicodedata.normalize("NFKC", value).strip()
    seconds = float(digits) if re.fullmatch(r"\d{1,9}(\.\d*)?|\.\d+", digits) else 0.0
    return seconds if 0 < seconds <= LONGEST_PAUSE_SECONDS else None


def strip_markup(text: str) -> tuple[str, list[str]]:
    """The text without marks that are not said, and a hint for each kind that it had."""
    hints = []
    text, tags = _without(TAG, text)
    if tags:
        hints.append(f"SSML is not read: {_shown(tags)} left out. For pauses, write [pause 0.5].")
    text, marks = _without(SCRIPT_MARK, text)
    if marks:
        hints.append(f"{_shown(marks)} left out: such marks work in UniAVGen Script, with UniAVGen Long Form.")
    text, signs = _without_markdown(text)
    if signs:
        hints.append(f"Markdown is not read: {_shown(signs)} left out.")
    others = [mark[0] for mark in OTHER_MARK.finditer(text)]
    if others:
        hints.append(f"{_shown(others)} said as words, without the brackets: there are no such marks.")
        text = OTHER_MARK.sub(r"\1", text)
    return text, hints


def bar_hint() -> str:
    """What is said of a sign | in speech."""
    return (
        "The sign | is left out. Only UniAVGen Script takes caption | speech; here, the caption belongs in CLIP Text "
        "Encode, which goes to positive."
    )


def _without(pattern: re.Pattern[str], text: str) -> tuple[str, list[str]]:
    return pattern.sub(" ", text), [match[0].strip() for match in pattern.finditer(text)]


def _without_markdown(text: str) -> tuple[str, list[str]]:
    signs = [match[0].strip() for match in FENCE.finditer(text)]
    text = FENCE.sub("", text)
    if LINK.search(text):
        signs.append("[…](…)")
        text = LINK.sub(r"\1", text)
    signs += [match[1].strip() for match in BEGINNING.finditer(text)]
    text = BEGINNING.sub("", text)
    for pattern in AROUND:
        signs += [match[1] for match in pattern.finditer(text)]
        text = pattern.sub(r"\2", text)
    return text, signs


def _shown(marks: list[str]) -> str:
    unique = [mark if len(mark) <= SHOWN else mark[:SHOWN] + "…" for mark in dict.fromkeys(marks)]
    return f"{', '.join(unique[:3])}{' …' if len(unique) > 3 else ''} {'is' if len(unique) == 1 else 'are'}"
