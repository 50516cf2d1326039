"""The house counted: sizes of files and functions, names, and the arrows between the rooms."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).absolute().parent.parent
CORE, NODES, LAB, TOOLS = "uniavgen_core", "nodes", "uniavgen_lab", "tools"
SHORTEST_FILE, LONGEST_FILE, LONGEST_FUNCTION, LONGEST_README = 40, 450, 60, 200
LOADED_BY_A_SAMPLER = 18
MAY_BE_SHORT = {"__init__", "__main__"}
MAY_REPEAT = {"main"}
PUBLIC_TO_NODES = {"comfy_api", "folder_paths", "node_helpers"}
"""What of ComfyUI any node may import."""
COMFYUI = PUBLIC_TO_NODES | {"comfy", "comfy_execution", "comfy_extras", "latent_preview", "nodes", "server"}
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


def arrows_of(*rooms: str) -> list[Arrow]:
    return [arrow for file in files(*rooms) for arrow in arrows(file)]


def loaded_by(file: str) -> set[str]:
    """Files of ours that are loaded with one, itself among them, but for those of packages."""
    seen: set[str] = set()
    waiting = [file]
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            waiting += [arrow.imported for arrow in arrows(name) if arrow.is_ours]
    return {name for name in seen if not name.endswith("__init__.py")}


def test_a_file_is_an_idea_and_no_screenful() -> None:
    lengths = {file: len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in files(CORE, NODES, LAB)}
    short = {file: n for file, n in lengths.items() if n < SHORTEST_FILE and Path(file).stem not in MAY_BE_SHORT}
    assert short == {}
    assert {file: n for file, n in lengths.items() if n > LONGEST_FILE} == {}


def lines_of_work(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without its signature and what it says of itself."""
    start = node.body[0].lineno if ast.get_docstring(node) is None else (node.body[0].end_lineno or 0) + 1
    return (node.end_lineno or start) - start + 1


def test_functions_are_a_screen_long() -> None:
    # The list of a node's inputs is no work to follow.
    lengths = {
        f"{file}:{node.name}": lines_of_work(node)
        for file in files(CORE, NODES, LAB, TOOLS)
        for node in ast.walk(tree(file))
        if isinstance(node, Function) and node.name != "define_schema"
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def test_no_class_nor_public_function_is_there_twice() -> None:
    where = defaultdict(list)
    for file in files(CORE, NODES, LAB, TOOLS):
        for node in tree(file).body:
            if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
                where[node.name].append(file)
    assert {name: held for name, held in where.items() if len(held) > 1 and name not in MAY_REPEAT} == {}


def test_no_file_is_there_twice() -> None:
    where = defaultdict(list)
    for file in files(CORE, NODES, LAB, TOOLS):
        where[Path(file).stem].append(file)
    assert {stem: held for stem, held in where.items() if len(held) > 1 and stem not in MAY_BE_SHORT} == {}


def test_nothing_of_ours_is_imported_within_a_function() -> None:
    assert [arrow for arrow in arrows_of(CORE, NODES, LAB, TOOLS) if arrow.is_ours and arrow.in_function] == []


def test_arrows_go_down() -> None:
    above = {
        f"{CORE}/": (NODES, LAB, TOOLS),
        f"{NODES}/": (LAB, TOOLS),
        f"{LAB}/": (NODES, TOOLS),
        f"{LAB}/training/": (f"{LAB}/evaluation",),
    }
    up = [
        arrow
        for room, forbidden in above.items()
        for arrow in arrows_of(CORE, NODES, LAB)
        if arrow.file.startswith(room) and arrow.is_ours and arrow.imported.startswith(forbidden)
    ]
    assert up == []


def test_comfyui_is_met_in_files_of_that_name_only() -> None:
    """Those of the nodes, and what of the lab is run by ComfyUI's Python."""
    met = {arrow.file for arrow in arrows_of(CORE, LAB) if arrow.imported in COMFYUI}
    met |= {arrow.file for arrow in arrows_of(NODES) if arrow.imported in COMFYUI - PUBLIC_TO_NODES}
    assert [file for file in sorted(met) if not file.startswith(f"{NODES}/comfy_") and "_in_comfyui" not in file] == []


def test_no_import_goes_in_a_circle() -> None:
    graph = {
        file: {arrow.imported for arrow in arrows(file) if arrow.is_ours and arrow.imported != file}
        for file in files(CORE, NODES, LAB, TOOLS)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None


def test_a_sampler_loads_few_files() -> None:
    assert len(loaded := loaded_by(f"{NODES}/sampling.py")) <= LOADED_BY_A_SAMPLER, sorted(loaded)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README
