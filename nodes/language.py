"""The language of the speech, as nodes ask for it."""

from __future__ import annotations

from comfy_api.latest import io

from ..uniavgen_core.speech.text import LANGUAGES, detect_language

CODES = {name: code for code, name in LANGUAGES.items()}


def language_input() -> io.Combo.Input:
    return io.Combo.Input(
        "language",
        options=["auto", *CODES],
        tooltip="auto: Chinese where the words hold a Chinese character, else English.",
    )


def resolve_language(language: str, text: str) -> str:
    """The core's code of the language."""
    return CODES[language] if language in CODES else detect_language(text)


def prompt_language(language: str, speech: str, transcript: str | None) -> str:
    """The core's code of the text that is made of a reference voice's transcript and the speech.

    Chinese text may hold English words, but not the other way round.
    """
    return "zh" if detect_language(transcript or "") == "zh" else resolve_language(language, speech)
