"""Options of dynamic combos."""

from __future__ import annotations

from typing import Any


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
    if audio is None:
        raise ValueError(f"{name} is missing: connect a sound, or a video that has one.")
    return audio
