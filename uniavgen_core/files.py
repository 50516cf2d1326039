"""Files that appear whole or not at all, JSON that strangers wrote, and libraries that not everybody has."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


class NotInstalledError(ImportError):
    """A library that something needs is not there; the message says how to get it."""


@contextmanager
def whole_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside the target that becomes the target when the block ends well, and goes away when it does not.

    Its name begins with a point and ends as the target's does, for libraries that tell the format by that:

        with whole_file(path) as unfinished:
            save_file(tensors, unfinished)
    """
    path = Path(target)
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def parsed_json(text: str | bytes) -> Any:
    """What a JSON text says, whoever wrote it.

    Raises:
        ValueError: it is no JSON, or nested deeper than Python reads.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def needed(module: str, purpose: str, extra: str = "evaluation", package: str | None = None) -> ModuleType:
    """Import a library that is asked for only where it is used.

    Args:
        module: its name.
        purpose: what it is for, to be read after "needed".
        extra: the optional extra of this package that installs it.
        package: what installs it, in place of an extra: for what the users of nodes may lack.

    Raises:
        NotInstalledError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        advice = f"run pip install '.[{extra}]' in the pack's folder."
        if package is not None:
            python = "the Python that runs this (ComfyUI's, in ComfyUI)"
            advice = f"run pip install -U {package} with {python}, and start it again."
        raise NotInstalledError(f"{package or module} is needed {purpose} ({error}): {advice}") from error
