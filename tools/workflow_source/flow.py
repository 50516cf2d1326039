"""A workflow that grows from left to right, node by node, and where its nodes lie."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .node_kinds import DOWNLOADS, FRONTEND_ONLY, NOTE, OPTIONAL, NodeKind, node_kinds

NOTES = {
    name: (title, text.strip())
    for name, title, text in re.findall(
        r"^# (\w+): (.+?)\n(.*?)(?=^# |\Z)", Path(__file__).with_name("notes.md").read_text("utf-8"), re.M | re.S
    )
}
"""Title and text of each note, by the name before its title in notes.md."""

WIDTH = 330
COLUMN = 410
"""From a column's left to the next one's."""
GAP = 70
"""From a node's bottom to the next one's top below its title, which is 30 high. The newer renderer draws some nodes up
to 24 higher than `_height` says."""
SLOT, WIDGET, MARGIN = 20, 24, 14
PACK_NAME, MISSING_FILE = 28, 28
"""Where the newer renderer shows which pack a node comes from, and that a file is missing."""
HEIGHTS = {
    "CLIPTextEncode": 120,
    "LoadAudio": 138,
    "LoadImage": 322,
    "LoadVideo": 420,
    "MaskPreview": 240,
    "PreviewAny": 180,
    "PreviewImage": 302,
    "PrimitiveStringMultiline": 104,
    "SaveVideo": 330,
    "UniAVGenConditioning": 300,
    "UniAVGenRange": 390,
    "UniAVGenScript": 260,
    "UniVerse1Conditioning": 360,
}
"""Of nodes that show pictures, or text of several lines."""
PREVIEW = 280
ROOM = {
    "KSampler": PREVIEW,
    "SamplerCustomAdvanced": PREVIEW,
    "UniAVGenLatent": 60,
    "UniAVGenLongForm": PREVIEW,
    "UniAVGenSampler": PREVIEW,
}
"""Free space below nodes that grow: by a preview, or by what a choice brings along."""
NOTE_CHARACTERS = 45
"""In a line of a note."""
NOTE_LINE, NOTE_MARGIN, NOTE_LIMIT = 20, 44, 520


@dataclass(frozen=True)
class Link:
    """An output of a node."""

    node: Node
    output: int

    @property
    def type(self) -> str:
        """Of what goes through."""
        return list(self.node.kind.outputs.values())[self.output]


@dataclass(frozen=True, eq=False)
class Node:
    """A node in its place.

    Attributes:
        title: None where it is the kind's.
        column: counted from the left.
        top: of the node without its title.
        height: also without it.
        values: of all widgets, in the frontend's order; of a linked one its default.
        links: where linked inputs come from.
    """

    id: int
    kind: NodeKind
    title: str | None
    column: int
    top: int
    height: int
    values: dict[str, Any]
    links: dict[str, Link]

    @property
    def bottom(self) -> int:
        """Of the node and of what it may grow by."""
        return self.top + self.height + ROOM.get(self.kind.id, 0)


class Flow:
    """A workflow. Nodes are added column by column, from top to bottom, each after those that it is linked with.

    Args:
        name: of the file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.groups: list[str] = []
        self.nodes: list[Node] = []

    def group(self, title: str) -> None:
        """Begin a column, which has a frame with this title."""
        self.groups.append(title)

    def add(self, kind: str, title: str | None = None, /, **inputs: Any) -> list[Link]:
        """Add a node below the last one of the column; its outputs.

        Args:
            kind: the node's id in ComfyUI.
            title: where it is not the kind's own.
            inputs: a value, a link, or a node's outputs, of which the first is taken; a double underscore in a name
                stands for a dot.

        Raises:
            ValueError: the node has no such input, or needs one that is missing.
        """
        named = {name.replace("__", "."): value for name, value in inputs.items()}
        node = self._place(node_kinds()[kind], title, named)
        return [Link(node, output) for output in range(len(node.kind.outputs))]

    def note(self, name: str, /, more: str = "", **words: str) -> None:
        """Add a note of notes.md.

        Args:
            more: name of another one, whose text follows where there is one.
            words: what stands for names in braces.
        """
        title, text = NOTES[name]
        text = text.format(**words) if words else text
        if more in NOTES:
            text = f"{text}\n\n{NOTES[more][1]}"
        self._place(node_kinds()[NOTE], title, {"text": text})

    def _place(self, kind: NodeKind, title: str | None, inputs: dict[str, Any]) -> Node:
        """A new node below the last one of the column."""
        linked = {name: value[0] if isinstance(value, list) else value for name, value in inputs.items()}
        links = {name: value for name, value in linked.items() if isinstance(value, Link)}
        values = kind.values({name: value for name, value in linked.items() if name not in links})
        missing = {name for name, type in kind.links.items() if not type.endswith(OPTIONAL)} - links.keys()
        missing |= {name for name, value in values.items() if value is None} - links.keys() - {*FRONTEND_ONLY}
        unknown = linked.keys() - values.keys() - kind.links.keys()
        if missing or unknown:
            raise ValueError(f"{kind.id} of {self.name}: missing {sorted(missing)}, unknown {sorted(unknown)}")
        column = len(self.groups) - 1
        top = max((node.bottom + GAP for node in self.nodes if node.column == column), default=0)
        node = Node(len(self.nodes) + 1, kind, title, column, top, _height(kind, values), values, links)
        self.nodes.append(node)
        return node


def note_height(text: str) -> int:
    """Of a note that shows all of a text."""
    # Of a link only the words are seen.
    lines = re.sub(r"\]\(\S+\)", "]", text).split("\n")
    return NOTE_MARGIN + NOTE_LINE * sum(max(1, math.ceil(len(line) / NOTE_CHARACTERS)) for line in lines)


def _height(kind: NodeKind, values: dict[str, Any]) -> int:
    """Of a node without its title."""
    if kind.id == NOTE:
        return min(note_height(values["text"]), NOTE_LIMIT)
    slots = max(len(kind.links), len(kind.outputs))
    messages = PACK_NAME * kind.is_ours + MISSING_FILE * any(value in DOWNLOADS for value in values.values())
    return HEIGHTS.get(kind.id, SLOT * slots + WIDGET * len(values) + MARGIN + messages)
