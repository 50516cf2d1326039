"""Files that appear whole or not at all, JSON that strangers wrote, and libraries that not everybody has."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
"""What the system says where a folder takes no file."""
MEGABYTE = 1e6


class NotInstalledError(ImportError):
    """A library that something needs is not there; the message says how to get it."""


class NotWrittenError(OSError):
    """A folder takes no file; the message names it and says what to do."""


@contextmanager
def written_into(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Write into a folder, which is made if it is not there. Any library's words for a full disk become a sentence.

    Raises:
        NotWrittenError: the disk is full, or the folder is gone or may not be written to.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        yield
    except NotWrittenError:
        raise
    except Exception as error:
        reason = _why_not_written(Path(folder), error)
        if reason is None:
            raise
        raise NotWrittenError(reason) from error


def _why_not_written(folder: Path, error: Exception) -> str | None:
    """A sentence about the folder, where an error is about it."""
    code = getattr(error, "errno", None)
    # safetensors has no number for it, but the system's words.
    if code in FULL or any(os.strerror(each) in str(error) for each in FULL):
        return _full(folder, "")
    if code in FORBIDDEN:
        return f"{folder} may not be written to: allow it, or choose another folder, and run again."
    lost = getattr(error, "filename", None)
    if code == errno.ENOENT and (not folder.is_dir() or (isinstance(lost, str) and Path(lost).parent == folder)):
        return (
            f"{folder} was emptied while a file was written there. A second ComfyUI that starts with the same folders "
            "does so: give each its own with --temp-directory or --base-directory, and run again."
        )
    return None


def _full(folder: Path, needed: str) -> str:
    return (
        f"The disk of {folder} is full: {needed}delete files there, or choose a folder on another disk (ComfyUI is "
        "started with --temp-directory or --output-directory), and run again."
    )


def check_free_space(folder: str | os.PathLike[str], needed_bytes: float) -> None:
    """Refuse to begin what will not fit on a folder's disk.

    Raises:
        NotWrittenError: fewer bytes are free; it names the folder.
    """
    there = Path(folder)
    while not there.exists() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        needed = f"{free / MEGABYTE:,.0f} MB are free and about {needed_bytes / MEGABYTE:,.0f} are needed. Make room: "
        raise NotWrittenError(_full(Path(folder), needed))


@contextmanager
def whole_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside the target that becomes the target when the block ends well, and goes away when it does not.

    Its name begins with a point and ends as the target's does, for libraries that tell the format by that:

        with whole_file(path) as unfinished:
            save_file(tensors, unfinished)

    Raises:
        NotWrittenError: the folder takes no file.
    """
    path = Path(target)
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        with written_into(path.parent):
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
