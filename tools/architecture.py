"""Draws the house: docs/architecture.svg, from what the files really import.

    python tools/architecture.py

A box is a folder of the code (in the shop: the nodes, and the files that import ComfyUI), with the first line of its
docstring. A room stands above all that it imports, so every arrow goes down; one that would go up ends the program.
Arrows that follow from others are left out.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "architecture.svg"
SHOP, CORE, LAB = "nodes", "uniavgen_core", "uniavgen_lab"
SEAM = f"{SHOP}/comfy_*.py"
COLUMNS = {
    SHOP: 1, SEAM: 1,
    f"{LAB}/benchmarks": 3, f"{LAB}/evaluation": 2, f"{LAB}/training": 3, f"{LAB}/world": 2,
    f"{CORE}/long_form": 1, f"{CORE}/speech": 1, f"{CORE}/audio": 1, f"{CORE}/face": 0, f"{CORE}/media": 1,
    f"{CORE}/sampling": 3, f"{CORE}/tiny": 2, f"{CORE}/model": 3,
}  # fmt: skip
"""Where each room stands from left to right; how high, its imports say. A new room needs a column here."""
FLOORS = (
    (SHOP, "The shop: nodes/", "schema in, one call, result out", "#e8f1fb", "#2b6cb0", (1, 1)),
    (LAB, "The lab: uniavgen_lab/", "makes, trains and measures models; not in the archive", "#fdf3e1", "#b7791f", (2, 3)),
    (CORE, "The core: uniavgen_core/", "plain PyTorch; imports nothing of ComfyUI", "#e9f7ec", "#2f855a", (0, 3)),
)  # fmt: skip
"""The folders: title, what it is, colours, and the columns that it takes."""
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN, TITLE = 236, 84, 48, 30, 18, 56
SMALL = 12


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(file: Path) -> str | None:
    """The box in which a file stands; None for the loose files of a folder that has rooms."""
    top, *middle, name = file.relative_to(ROOT).parts
    if top == SHOP:
        return SEAM if name.startswith("comfy_") else SHOP
    return f"{top}/{middle[0]}" if middle else None


def imports_of(file: Path, modules: Mapping[str, Path]) -> Iterator[Path]:
    """The files of the project that a file imports."""
    package = module_of(file).split(".")
    package = package if file.name == "__init__.py" else package[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # From nodes/, `..uniavgen_core` leads over the pack's own folder, which has no name here.
            parent = package[: max(0, len(package) - node.level + 1)] if node.level else []
            base = ".".join([*parent, *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (modules[name] for name in names if name in modules)


def arrows() -> dict[str, set[str]]:
    """What each room imports, by way of loose files too."""
    files = [file for top in (SHOP, CORE, LAB) for file in sorted((ROOT / top).rglob("*.py"))]
    modules = {module_of(file): file for file in files}
    imports = {file: set(imports_of(file, modules)) for file in files}

    def rooms_behind(file: Path, seen: set[Path]) -> Iterator[str]:
        for imported in imports[file] - seen:
            seen.add(imported)
            room = room_of(imported)
            if room is None:
                yield from rooms_behind(imported, seen)
            else:
                yield room

    found: dict[str, set[str]] = {}
    for file in files:
        room = room_of(file)
        if room is not None:
            found.setdefault(room, set()).update(set(rooms_behind(file, {file})) - {room})
    return found


def reach(rooms: Iterable[str], found: Mapping[str, set[str]]) -> set[str]:
    """All rooms at which one gets by arrows from these, these themselves among them."""
    there = set(rooms)
    return there | {room for start in there for room in reach(found[start], found)}


def needed(found: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows that do not follow from others."""
    return [
        (room, target)
        for room, targets in sorted(found.items())
        for target in sorted(targets)
        if target not in reach(targets - {target}, found)
    ]


def levels(found: Mapping[str, set[str]]) -> dict[str, int]:
    """How far each room stands above the ground: higher than all of its folder that it imports."""
    height: dict[str, int] = {}
    for room in TopologicalSorter(found).static_order():
        below = [height[target] for target in found[room] if target.split("/")[0] == room.split("/")[0]]
        height[room] = max(below, default=-1) + 1
    return height


def doc_of(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").splitlines()[0]


def about(room: str) -> str:
    """What a room's box says below its name."""
    if room in (SHOP, SEAM):
        files = {file.stem for file in (ROOT / SHOP).glob("*.py") if room_of(file) == room} - {"__init__"}
        return ", ".join(sorted(name.removeprefix("comfy_") for name in files))
    return doc_of(ROOT / room / "__init__.py")


class Drawing:
    """Boxes on a grid, the lab and the shop above the core, and the arrows between them."""

    def __init__(self, found: Mapping[str, set[str]]) -> None:
        self.found = found
        self.level = levels(found)
        self.rows = {
            top: 1 + max(self.level[room] for room in found if room.split("/")[0] == top) for top, *_ in FLOORS
        }
        self.upper = max(self.rows[SHOP], self.rows[LAB])
        self.parts: list[str] = []

    def left(self, column: int) -> int:
        return 2 * MARGIN + column * (WIDTH + GAP_X)

    def floor_top(self, top: str) -> int:
        above = TITLE + self.upper * (HEIGHT + GAP_Y) + MARGIN
        return MARGIN if top != CORE else MARGIN + above + MARGIN

    def corner(self, room: str) -> tuple[int, int]:
        top = room.split("/")[0]
        rows = self.rows[CORE] if top == CORE else self.upper
        return self.left(COLUMNS[room]), self.floor_top(top) + TITLE + (rows - 1 - self.level[room]) * (HEIGHT + GAP_Y)

    def text(
        self, x: float, y: float, words: str, size: int = SMALL, weight: str = "normal", colour: str = "#222"
    ) -> None:
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{colour}">{escape(words)}</text>'
        )

    def box(self, x: int, y: int, width: int, height: int, fill: str, line: str, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{line}"{dash}/>'
        )

    def arrow(self, start: tuple[float, float], end: tuple[float, float], colour: str = "#555") -> None:
        (x1, y1), (x2, y2) = start, end
        bend = (y2 - y1) * 0.8
        path = f"M{x1:g},{y1:g} C{x1:g},{y1 + bend:g} {x2:g},{y2 - bend:g} {x2:g},{y2:g}"
        self.parts.append(
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5" marker-end="url(#head)"/>'
        )

    def floor(self, top: str, title: str, what: str, fill: str, line: str, columns: tuple[int, int]) -> None:
        rows = self.rows[CORE] if top == CORE else self.upper
        x, y = self.left(columns[0]) - MARGIN, self.floor_top(top)
        width = (columns[1] - columns[0] + 1) * (WIDTH + GAP_X) - GAP_X + 2 * MARGIN
        self.box(x, y, width, TITLE + rows * (HEIGHT + GAP_Y), fill, line)
        self.text(x + MARGIN, y + 25, title, 17, "bold", line)
        self.text(x + MARGIN, y + 43, what)
        for room in sorted(room for room in self.found if room.split("/")[0] == top):
            self.room(room, line)
        loose = sorted(file.name for file in (ROOT / top).glob("*.py") if room_of(file) is None and file.stem[0] != "_")
        if loose:
            self.text(x + MARGIN, y + TITLE + rows * (HEIGHT + GAP_Y) - 10, f"and {', '.join(loose)}", 11)

    def room(self, room: str, line: str) -> None:
        x, y = self.corner(room)
        self.box(x, y, WIDTH, HEIGHT, "#fff", line)
        name = f"{room}/" if room != SEAM else room
        self.text(x + 12, y + 22, name if room in (SHOP, SEAM) else f"{room.split('/')[1]}/", 14, "bold")
        for number, words in enumerate(textwrap.wrap(about(room), 36)[:4]):
            self.text(x + 12, y + 40 + 15 * number, words)

    def draw(self) -> str:
        for floor in FLOORS:
            self.floor(*floor)
        for room, target in needed(self.found):
            if room.split("/")[0] == target.split("/")[0]:
                (x1, y1), (x2, y2) = self.corner(room), self.corner(target)
                self.arrow((x1 + WIDTH / 2, y1 + HEIGHT), (x2 + WIDTH / 2, y2 - 3))
        border = self.floor_top(CORE)
        for top, column in ((SHOP, 1), (LAB, 2.5)):
            x = self.left(0) + column * (WIDTH + GAP_X) + WIDTH / 2
            self.arrow((x, border - 2 * MARGIN), (x, border - 3), "#000")
        self.host()
        width = self.left(3) + WIDTH + 2 * MARGIN
        height = border + TITLE + self.rows[CORE] * (HEIGHT + GAP_Y) + MARGIN
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">\n'
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path d="M0,0 L8,4 L0,8 z" fill="#333"/></marker></defs>\n'
            f'<rect width="{width}" height="{height}" fill="#fff"/>\n'
        )
        return head + "\n".join(self.parts) + "\n</svg>\n"

    def host(self) -> None:
        """ComfyUI beside the shop: it loads the nodes, and only the files of the seam import its insides."""
        x, y = self.left(0), self.corner(SHOP)[1]
        seam = self.corner(SEAM)[1]
        self.box(x, y, WIDTH - 2 * MARGIN, seam + HEIGHT - y, "#f5f5f5", "#777", dashed=True)
        self.text(x + 12, y + 22, "ComfyUI", 14, "bold")
        self.text(x + 12, y + 42, "loads the nodes")
        self.text(x + 12, seam + HEIGHT / 2 - 4, "only comfy_*.py import its")
        self.text(x + 12, seam + HEIGHT / 2 + 12, "model, sampler and codecs")
        edge = x + WIDTH - 2 * MARGIN
        self.arrow((edge, y + HEIGHT / 2), (self.left(1) - 3, y + HEIGHT / 2))
        self.arrow((self.left(1), seam + HEIGHT / 2), (edge + 3, seam + HEIGHT / 2))


def picture() -> str:
    """The drawing as it should be.

    Raises:
        CycleError: rooms import each other in a circle.
        ValueError: an arrow goes up, from the core or between shop and lab.
    """
    found = arrows()
    tops = {(room.split("/")[0], target.split("/")[0]) for room, targets in found.items() for target in targets}
    up = sorted(f"{start} imports {end}" for start, end in tops if start != end and end != CORE)
    if up:
        raise ValueError(f"Arrows go down only, but {', '.join(up)}.")
    return Drawing(found).draw()


def main() -> int:
    try:
        PICTURE.write_text(picture(), encoding="utf-8")
    except (CycleError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(PICTURE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
