"""Inputs that may be left open, and options of dynamic combos."""

from __future__ import annotations

from typing import Any, TypeVar

from comfy_api.latest import io

from ..uniavgen_core.speech.text import LANGUAGES, detect_language

Sound = TypeVar("Sound")

NOT_CONNECTED = object()
"""An input that a connected node may leave empty is told from one that is not there."""


def connected(name: str, value: Any, need: str) -> Any:
    """What is connected to an input that the chosen option needs.

    Args:
        name: of the input.
        need: who needs what, for the message.

    Raises:
        ValueError: nothing is connected; the message names the input.
    """
    if value is NOT_CONNECTED:
        raise ValueError(f"{name} is not connected: {need}. Connect one to {name}, or choose another option.")
    return value


def chosen(name: str, option: dict[str, Any] | None) -> dict[str, Any]:
    """The option with its inputs; ComfyUI hands over nothing where the saved one does not exist.

    Raises:
        ValueError: there is no such option; the message names the input.
    """
    if option is None:
        raise ValueError(f"{name} has an option that this version of the node does not know: choose one of its list.")
    return option


def sound(name: str, audio: dict[str, Any] | None) -> dict[str, Any]:
    """An AUDIO that is there.

    Raises:
        ValueError: there is no sound; the message names the input.
    """
    return present(name, audio)


def present(name: str, audio: Sound | None) -> Sound:
    """As `sound`, of a sound in any form."""
    if audio is None:
        raise ValueError(f"{name} is missing: connect a sound, or a video that has one.")
    return audio


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
