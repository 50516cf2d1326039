"""What several nodes ask for in the same words, and checks of what is connected."""

from __future__ import annotations

from typing import Any, TypeVar

from comfy_api.latest import io

from ..uniavgen_core.config import FRAME_RATE, MAX_PAST_FRAMES, SEEDS
from ..uniavgen_core.tasks import PAST_FRAMES

Audio = TypeVar("Audio")

SHARDS = "*.safetensors"
"""Stands for all files of a folder: the frontend lists as missing only what ends like a file of weights."""
NOT_CONNECTED = object()
"""An input that a connected node may leave empty is told from one that is not there."""


def frame_rate_input() -> io.Float.Input:
    """Of frames that may be connected in the place of a VIDEO."""
    return io.Float.Input(
        "frame_rate",
        default=float(FRAME_RATE),
        min=1.0,
        max=240.0,
        step=0.01,
        tooltip=f"Frames a second of the frames; UniAVGen makes {FRAME_RATE}. A VIDEO keeps its own.",
    )


def past_frames_input(tooltip: str) -> io.Int.Input:
    """Latent frames of a clip's past."""
    return io.Int.Input("past_frames", default=PAST_FRAMES, min=1, max=MAX_PAST_FRAMES, advanced=True, tooltip=tooltip)


def seed_input(name: str, default: int = 0, **settings: Any) -> io.Int.Input:
    """Any seed that torch takes; settings as those of `io.Int.Input`."""
    return io.Int.Input(name, default=default, min=0, max=SEEDS - 1, **settings)


def linked(name: str, value: Any, need: str) -> Any:
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


def present(name: str, audio: Audio | None) -> Audio:
    """An AUDIO, in any form, that is there.

    Raises:
        ValueError: there is none; the message names the input.
    """
    if audio is None:
        raise ValueError(f"{name} is missing: connect a sound, or a video that has one.")
    return audio
