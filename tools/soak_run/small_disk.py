"""A small disk of the soak's own, without rights: a mount in a namespace of the process, gone with it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

INSIDE = "UNIAVGEN_SOAK_INSIDE"
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
DISK_BYTES = 256 * 2**20
LEFT_BYTES = 12 * 2**10
"""What is free on a disk that is filled: no clip fits, small files do."""
FILLER = "filler.bin"
CHUNK = bytes(2**20)


def enter_namespace(command: Sequence[str]) -> None:
    """Run this program again where it may mount, if this system lets it; else go on as it is."""
    if INSIDE in os.environ:
        return
    try:
        subprocess.run([*NAMESPACE, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return
    os.environ[INSIDE] = "yes"
    os.execvp(NAMESPACE[0], [*NAMESPACE, sys.executable, *command])


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A disk of DISK_BYTES at a folder until the block is left; whether it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    if INSIDE not in os.environ:
        yield False
        return
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    is_there = subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield is_there
    finally:
        if is_there:
            # Lazily: a server that was killed may still have files open for a moment.
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """A disk that is full but for LEFT_BYTES, until the block is left."""
    filler = folder / FILLER
    try:
        _fill(filler)
        yield
    finally:
        filler.unlink(missing_ok=True)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(CHUNK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        file.truncate(max(0, file.tell() - LEFT_BYTES))
