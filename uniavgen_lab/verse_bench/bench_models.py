"""Models that measure: where they lie, and that nothing is fetched when they are not there."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

EXTRA = "benchmark"
"""Optional extra of this package that installs the models' libraries."""
OR = " or "
"""Between names of which one is enough."""
NETWORK = {socket.AF_INET, socket.AF_INET6}


class NotThereError(Exception):
    """A model is not in the folder, or cannot be loaded; the message says which file."""


class OfflineError(OSError):
    """A library wanted to fetch something."""


def find_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files and folders of a model, in the order of their names; where a name says A or B, one of them.

    Names may hold `*`.

    Raises:
        NotThereError: one is missing.
    """
    found = {wanted: _first(folder, wanted) for wanted in names}
    missing = [wanted for wanted, path in found.items() if path is None]
    if missing:
        raise NotThereError(f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing")
    return [path for path in found.values() if path is not None]


def _first(folder: Path, wanted: str) -> Path | None:
    return next((path for name in wanted.split(OR) for path in sorted(folder.glob(name))), None)


def state_of(paths: Sequence[Path]) -> list[list[Any]]:
    """Names, sizes and times of the files of a model: what its measures are kept under."""
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]


@contextmanager
def offline() -> Iterator[None]:
    """Inside the block nothing reaches the network: a library that wants to fetch something raises OfflineError."""
    connect = socket.socket.connect

    def refuse(host: Any, *_: Any, **__: Any) -> None:
        raise OfflineError(f"nothing is downloaded here, and something wanted {host}")

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family in NETWORK:
            refuse(address[0])
        connect(self, address)

    # Names are looked up before anything is connected, over the network, too.
    with patch.object(socket.socket, "connect", connect_here), patch.object(socket, "getaddrinfo", refuse):
        yield


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch file, whether they lie at its top or under a usual name, without `module.` before them.

    Raises:
        ValueError: it holds something else.
    """
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError) as error:
        # PyTorch's own words advise to run what the file holds.
        raise ValueError(_no_weights(file)) from error
    for name in ("params", "model", "state_dict"):
        if isinstance(held, dict) and isinstance(held.get(name), dict):
            held = held[name]
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise ValueError(_no_weights(file))
    return {name.removeprefix("module."): value for name, value in held.items()}


def _no_weights(file: Path) -> str:
    return f"{file.name} holds no weights: download it again"
