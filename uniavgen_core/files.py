"""Libraries that only some parts need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class NotInstalledError(ImportError):
    """A library that something needs is not there; the message says how to get it."""


def needed(module: str, purpose: str, extra: str = "evaluation") -> ModuleType:
    """Import a library of an optional extra.

    Args:
        module: its name.
        purpose: what it is for, to be read after "needed".
        extra: the optional extra of this package that installs it.

    Raises:
        NotInstalledError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise NotInstalledError(
            f"{module} is needed {purpose} ({error}): run pip install '.[{extra}]' in the pack's folder."
        ) from error
