"""What stands close to a match, where that decides how it is read."""

from __future__ import annotations

import re

STARTERS = (
    "He|She|It|They|We|I|You|The|This|That|These|Those|In|On|At|But|And|So|My|Our|His|Her|What|When|Where|Why|How|If|As|"
    "A|An|There|Then|Here|Who|Which|Now|Not|No|Yes|For|From|To|With|After|Before|Please|Their|Its|Let|Do|Did|Is|Are"
)
"""Words with which a sentence often begins."""
NEAR = 80
"""Signs around a match, or before a word, that decide how it is read."""


def sentence_stop(match: re.Match[str]) -> str:
    """The point behind an abbreviation, where a sentence ends there."""
    rest = behind(match)
    return "." if not rest.strip(" \"')") or re.match(rf"[\"')]*\s+[\"'(]?(?:{STARTERS})\b", rest) else ""


def begins_sentence(before: str) -> bool:
    """Whether a sentence begins behind a text."""
    return not before.strip(" \"'(-–—") or re.search(r"[.!?][\"')]*\s+[\"'(]*$", before) is not None


def behind(match: re.Match[str]) -> str:
    """The text close behind a match."""
    return match.string[match.end() : match.end() + NEAR]


def ahead(match: re.Match[str]) -> str:
    """The text close before a match."""
    return match.string[max(0, match.start() - NEAR) : match.start()]
