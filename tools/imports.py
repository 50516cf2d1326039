"""What the files of the project import, read off their source: for its picture, and for the tests that count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = "tools"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Arrow:
    """An import: by whom, of what, and whether it waits for a function to be called."""

    file: str
    imported: str
    in_function: bool

    @property
    def is_ours(self) -> bool:
        return self.imported.endswith(".py")


def files(*rooms: str) -> list[str]:
    """Paths of the Python files of rooms, from the root."""
    found = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


@cache
def arrows(file: str) -> tuple[Arrow, ...]:
    """What a file imports when it runs: files of ours by path, all else by the name of its library."""
    return tuple(_arrows(file, tree(file), in_function=False))


def _arrows(file: str, node: ast.AST, in_function: bool) -> Iterator[Arrow]:
    in_function |= isinstance(node, Function | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            targets = [target for alias in child.names for target in imported(alias.name.split("."), [])]
        elif isinstance(child, ast.ImportFrom):
            start = file.split("/")[: -child.level] if child.level else []
            names = [alias.name for alias in child.names]
            targets = imported([*start, *(child.module or "").split(".")], names, relative=bool(child.level))
        else:
            yield from _arrows(file, child, in_function)
            continue
        yield from (Arrow(file, target, in_function) for target in targets)


def imported(parts: list[str], names: list[str], relative: bool = False) -> list[str]:
    """The files that hold a module of ours, or those of its names that are modules; else the library."""
    parts = [part for part in parts if part]
    roots = (ROOT, ROOT / TOOLS)
    if not relative and (parts[0] == "nodes" or not any((root / parts[0]).exists() for root in roots)):
        return parts[:1]
    held = [file for root in roots for name in names if (file := module_file(root, [*parts, name]))]
    return held or [file for root in roots if (file := module_file(root, parts))]


def module_file(root: Path, parts: list[str]) -> str | None:
    path = root.joinpath(*parts)
    options = (path.with_suffix(".py"), path / "__init__.py")
    return next((option.relative_to(ROOT).as_posix() for option in options if option.is_file()), None)


def loaded_by(*starts: str) -> set[str]:
    """Files of ours that are loaded with these, themselves among them."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            waiting += [arrow.imported for arrow in arrows(name) if arrow.is_ours]
    return seen
