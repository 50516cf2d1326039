"""How benchmarks look at a process: in one of its own, at its memory, and around the passes of a model's modules."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from torch import nn

KIBIBYTE = 1024
RETURN_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""Settings of the C library with which freed memory goes back at once, so that what is held can be seen."""


def in_own_process(benchmark: str, *options: str, environment: Mapping[str, str] = RETURN_AT_ONCE) -> Any:
    """What a benchmark prints as JSON on its last line, when it runs in a process of its own.

    Args:
        benchmark: name of a module of this package.
        options: of its command line.
        environment: variables beside those of this process.
    """
    command = [sys.executable, "-m", f"{__package__}.{benchmark}", *options]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=os.environ | environment)
    return json.loads(result.stdout.splitlines()[-1])


def peak_bytes() -> int:
    """The most that this process held. Linux counts in its ru_maxrss what the process that started it held, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE
    return int(status.read_text().split("VmHWM:")[1].split()[0]) * KIBIBYTE


def forget_peak() -> None:
    """Count `peak_bytes` anew from what is held now, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


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
