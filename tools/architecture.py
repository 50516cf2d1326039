"""Draws the house from what its files really import, as docs/architecture.svg.

    python tools/architecture.py

A box is a folder of the code with the first line of its docstring; in the shop there are two, the nodes and the files
that import ComfyUI. A room stands above all that it imports, so every arrow goes down. Arrows that follow from others
are left out.
"""

from __future__ import annotations

import argparse
import ast
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

from imports import ROOT, files
from imports import arrows as imports_of

PICTURE = ROOT / "docs" / "architecture.svg"
SHOP, CORE, LAB = "nodes", "uniavgen_core", "uniavgen_lab"
SEAM = f"{SHOP}/comfy_*.py"
COLUMNS = {
    SHOP: [[SHOP, SEAM]],
    LAB: [["verse_bench", "evaluation", "world"], ["benchmarks", "training"]],
    CORE: [
        ["face", "audio", "media"],
        ["editing"],
        ["long_form", "speech"],
        ["tiny"],
        ["sampling", "model"],
        ["universe1"],
    ],
}
"""The rooms from left to right; how high each stands, its imports say. A new room needs a column here."""
STYLE = {
    SHOP: ("The shop: nodes/", "schema in, one call, result out", "#e8f1fb", "#2b6cb0", 1),
    LAB: ("The lab: uniavgen_lab/", "makes, trains and measures models; not in the archive", "#fdf3e1", "#b7791f", 2),
    CORE: ("The core: uniavgen_core/", "plain PyTorch; imports nothing of ComfyUI", "#e9f7ec", "#2f855a", 0),
}
"""Of each floor: title, what it is, its colours, and its first column."""
BOX, STEP, TITLE, MARGIN = (236, 84), (284, 114), 56, 18


def _floor_of(room: str) -> str:
    return room.split("/")[0]


def _room_of(file: str) -> str | None:
    """The box in which a file stands; None for the loose files of a folder that has rooms."""
    floor, *folders, name = file.split("/")
    if floor == SHOP:
        return SEAM if name.startswith("comfy_") else SHOP
    return f"{floor}/{folders[0]}" if folders else None


def _find_arrows() -> dict[str, set[str]]:
    """The rooms that each room imports, by way of loose files too."""
    drawn = files(*STYLE)
    imports = {file: {arrow.imported for arrow in imports_of(file)}.intersection(drawn) for file in drawn}

    def rooms_behind(file: str, seen: set[str]) -> Iterator[str]:
        for imported in imports[file] - seen:
            seen.add(imported)
            room = _room_of(imported)
            yield from [room] if room else rooms_behind(imported, seen)

    arrows: dict[str, set[str]] = {}
    for file in drawn:
        if room := _room_of(file):
            arrows.setdefault(room, set()).update(set(rooms_behind(file, {file})) - {room})
    # The seam is a part of the shop, and uses the pieces of schemas that all nodes share.
    arrows[SEAM].discard(SHOP)
    return arrows


def _reached(rooms: Iterable[str], arrows: Mapping[str, set[str]]) -> set[str]:
    """These rooms and all to which arrows lead from them."""
    return set(rooms).union(*(_reached(arrows[room], arrows) for room in rooms))


def _levels(arrows: Mapping[str, set[str]]) -> dict[str, int]:
    """How far each room stands above the ground of its floor; raises CycleError where rooms import in a circle."""
    level: dict[str, int] = {}
    for room in TopologicalSorter(arrows).static_order():
        below = [level[target] for target in arrows[room] if _floor_of(target) == _floor_of(room)]
        level[room] = max(below, default=-1) + 1
    return level


def _about(room: str) -> str:
    """What a room's box says below its name."""
    if _floor_of(room) == SHOP:
        stems = [Path(file).stem for file in files(SHOP) if _room_of(file) == room]
        return ", ".join(stem.removeprefix("comfy_") for stem in stems if stem != "__init__")
    tree = ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").split("\n")[0]


def _text(x: float, y: float, words: str, size: int = 12, style: str = 'fill="#222"') -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" {style}>{escape(words)}</text>'


def _rectangle(x: float, y: float, width: float, height: float, fill: str, line: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" fill="{fill}" stroke="{line}"/>'


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    """An arrow that leaves and arrives upright, or lies where both ends are equally high."""
    bend = 0.8 * (y2 - y1)
    path = f"M{x1:g},{y1:g} C{x1:g},{y1 + bend:g} {x2:g},{y2 - bend:g} {x2:g},{y2:g}"
    return f'<path d="{path}" fill="none" stroke="#444" stroke-width="1.5" marker-end="url(#head)"/>'


def draw_house() -> str:
    """The picture as it should be.

    Raises:
        ValueError: a room is new, or two would stand in one place.
        CycleError: rooms import each other in a circle.
    """
    arrows = _find_arrows()
    column = {f"{floor}/{name}": i for floor in (LAB, CORE) for i, names in enumerate(COLUMNS[floor]) for name in names}
    column |= {SHOP: 0, SEAM: 0}
    if new := arrows.keys() - column.keys():
        raise ValueError(f"say in COLUMNS where {', '.join(sorted(new))} stand")
    level = _levels(arrows)
    if len({(_floor_of(room), column[room], level[room]) for room in arrows}) < len(arrows):
        raise ValueError("two rooms of a column in COLUMNS stand equally high: give one of them another column")
    rows = {floor: 1 + max(level[room] for room in arrows if _floor_of(room) == floor) for floor in STYLE}
    rows[SHOP] = rows[LAB] = max(rows[SHOP], rows[LAB])
    top = {SHOP: MARGIN, LAB: MARGIN, CORE: 3 * MARGIN + TITLE + rows[LAB] * STEP[1]}
    corner, parts = {}, []
    for floor, (title, what, fill, line, first) in STYLE.items():
        x, y, width = 2 * MARGIN + first * STEP[0], top[floor], len(COLUMNS[floor])
        height = TITLE + rows[floor] * STEP[1]
        parts += [
            _rectangle(x - MARGIN, y, (width - 1) * STEP[0] + BOX[0] + 2 * MARGIN, height, fill, line),
            _text(x, y + 25, title, 17, f'font-weight="bold" fill="{line}"'),
            _text(x, y + 43, what),
        ]
        loose = [stem for file in files(floor) if not _room_of(file) and (stem := Path(file).stem)[0] != "_"]
        if loose:
            parts.append(_text(x, y + height - 10, f"and {', '.join(loose)}", 11))
        for room in sorted(room for room in arrows if _floor_of(room) == floor):
            name = room.removeprefix(f"{floor}/")
            rows_of_text = textwrap.wrap(_about(room), 37)[:3]
            left, high = x + column[room] * STEP[0], y + TITLE + (rows[floor] - 1 - level[room]) * STEP[1]
            corner[room] = (left, high)
            parts += [
                _rectangle(left, high, *BOX, "#fff", line),
                _text(left + 12, high + 22, name if room == SEAM else f"{name}/", 14, 'font-weight="bold"'),
                *(_text(left + 12, high + 40 + 15 * i, row) for i, row in enumerate(rows_of_text)),
            ]
    for room, targets in sorted(arrows.items()):
        for target in sorted(targets - _reached(set().union(*(arrows[target] for target in targets)), arrows)):
            if _floor_of(room) == _floor_of(target):
                (x1, y1), (x2, y2) = corner[room], corner[target]
                parts.append(_curve(x1 + BOX[0] / 2, y1 + BOX[1], x2 + BOX[0] / 2, y2 - 2))
    for middle in (1, 2.5):
        centre = 2 * MARGIN + middle * STEP[0] + BOX[0] / 2
        parts.append(_curve(centre, top[CORE] - 2 * MARGIN, centre, top[CORE] - 2))
    size = 3 * STEP[0] + BOX[0] + 4 * MARGIN, top[CORE] + TITLE + rows[CORE] * STEP[1] + MARGIN
    return "\n".join([*_opening(*size), *parts, *_host(corner[SHOP], corner[SEAM]), "</svg>", ""])


def _opening(width: int, height: int) -> list[str]:
    head = 'id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"'
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<defs><marker {head}><path d="M0,0 L8,4 L0,8 z" fill="#444"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]


def _host(nodes: tuple[int, int], seam: tuple[int, int]) -> list[str]:
    """ComfyUI, beside the shop: it loads the nodes, and only the files of the seam import its insides."""
    left, right, half = 2 * MARGIN, 2 * MARGIN + BOX[0] - 40, BOX[1] / 2
    return [
        _rectangle(left, nodes[1], right - left, seam[1] + BOX[1] - nodes[1], "#f5f5f5", "#777"),
        _text(left + 12, nodes[1] + 22, "ComfyUI", 14, 'font-weight="bold"'),
        _text(left + 12, nodes[1] + 42, "loads the nodes"),
        _text(left + 12, seam[1] + half - 4, "only comfy_*.py import its"),
        _text(left + 12, seam[1] + half + 12, "models, samplers and codecs"),
        _curve(right, nodes[1] + half, nodes[0] - 2, nodes[1] + half),
        _curve(seam[0], seam[1] + half, right + 2, seam[1] + half),
    ]


def main() -> None:
    argparse.ArgumentParser(description="Draws docs/architecture.svg from the imports of the code.").parse_args()
    PICTURE.write_text(draw_house(), encoding="utf-8")


if __name__ == "__main__":
    main()
