"""Layers and steps that a user lists by their numbers."""

from __future__ import annotations

import re


def parse_numbers(name: str, text: str) -> frozenset[int] | None:
    """Numbers such as `0, 3-5, -1`; None for `all`.

    Raises:
        ValueError: it is no such list; the message names the input.
    """
    if text.strip().lower() == "all":
        return None
    chosen = set[int]()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(?:(\d+)\s*-\s*(\d+)|(-?\d+))\s*", part)
        if match is None or (match[1] and int(match[1]) > int(match[2])):
            raise ValueError(f"{name} is “{text}”: write all, or numbers such as 0, 3-5.")
        chosen.update(range(int(match[1]), int(match[2]) + 1) if match[1] else [int(match[3])])
    return frozenset(chosen)


def check_layers(chosen: frozenset[int] | None, layers: int) -> None:
    """Refuse interactions that a model does not have.

    Raises:
        ValueError: it names those that there are.
    """
    if chosen is not None and not chosen <= set(range(layers)):
        listed = ", ".join(map(str, sorted(chosen)))
        raise ValueError(f"layers is {listed}, but this model has the layers 0 to {layers - 1}.")
