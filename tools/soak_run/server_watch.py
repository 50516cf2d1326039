"""What a server holds: pages of memory that are its own, and files that nobody wants any more."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

KIBIBYTE = 1024
SEGMENTS = "uniavgen_long_form"
"""Folder of finished segments in ComfyUI's output, which are kept on purpose."""
SEGMENT = re.compile(r"[0-9a-f]{64}\.(?:safetensors|mp4)")


def own_bytes(process_id: int) -> int:
    """Memory of a process and of its children that is not shared and not a file's, in bytes."""
    status = Path(f"/proc/{process_id}/status").read_text()
    own = int(status.split("RssAnon:")[1].split()[0]) * KIBIBYTE
    children = [
        child
        for task in Path(f"/proc/{process_id}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return own + sum(own_bytes(int(child)) for child in children)


def files_left(base: Path, named: Collection[str], inputs: Collection[str] = ()) -> list[str]:
    """Files below temp, input and output that no finished prompt has named, from the base folder.

    Args:
        named: paths of files that prompts have named.
        inputs: names of the files that were put into input.
    """
    found = [path for folder in ("temp", "input", "output") for path in (base / folder).rglob("*") if path.is_file()]
    return sorted(path.relative_to(base).as_posix() for path in found if not _wanted(path, base, named, inputs))


def _wanted(path: Path, base: Path, named: Collection[str], inputs: Collection[str]) -> bool:
    if path.parent == base / "output" / SEGMENTS:
        return bool(SEGMENT.fullmatch(path.name))
    return str(path) in named or (path.parent == base / "input" and path.name in inputs)
