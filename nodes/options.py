"""Inputs that may be left open, and options of dynamic combos."""

from __future__ import annotations

from typing import Any, TypeVar

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
