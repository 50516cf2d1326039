"""The house counted: sizes of files and functions, names, and the arrows between the rooms."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from imports import ROOT, TOOLS, Arrow, Function, arrows, files, loaded_by, tree

CORE, NODES, LAB = "uniavgen_core", "nodes", "uniavgen_lab"
SHORTEST_FILE, LONGEST_FILE, LONGEST_FUNCTION, LONGEST_README = 40, 450, 60, 200
LOADED_BY_A_SAMPLER = 18
MAY_BE_SHORT = {"__init__", "__main__"}
MAY_REPEAT = {"main"}
PUBLIC_TO_NODES = {"comfy_api", "folder_paths", "node_helpers"}
"""What of ComfyUI any node may import."""
COMFYUI = PUBLIC_TO_NODES | {"comfy", "comfy_execution", "comfy_extras", "latent_preview", "nodes", "server"}


def arrows_of(*rooms: str) -> list[Arrow]:
    return [arrow for file in files(*rooms) for arrow in arrows(file)]


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
    loaded = {name for name in loaded_by(f"{NODES}/sampling.py") if not name.endswith("__init__.py")}
    assert len(loaded) <= LOADED_BY_A_SAMPLER, sorted(loaded)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README
