"""Work around the forward passes of a model's modules."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from torch import nn


def around(module: nn.Module, context: Callable[[], AbstractContextManager]) -> None:
    """Run each forward pass of a module within a context; passes may nest."""
    running: list[AbstractContextManager] = []

    def start(*_: Any) -> None:
        running.append(context())
        running[-1].__enter__()

    def stop(*_: Any) -> None:
        running.pop().__exit__(None, None, None)

    module.register_forward_pre_hook(start)
    module.register_forward_hook(stop)
