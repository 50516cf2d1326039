"""A workflow that grows from left to right, and its two forms: the frontend's graph and the API's prompt."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib

from .node_kinds import OPTIONAL, NodeKind, node_kinds

COMFYUI_VERSION = "0.33.0"
FRONTEND_VERSION = "1.49.6"
PACK_VERSION = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]["version"]
REPACKAGED = "https://huggingface.co/Comfy-Org/Wan_{}_ComfyUI_{}epackaged/resolve/main/split_files"
DOWNLOADS = {
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors": ("text_encoders", REPACKAGED.format("2.1", "r") + "/text_encoders"),
    "wan2.2_vae.safetensors": ("vae", REPACKAGED.format("2.2", "R") + "/vae"),
    "wan2.2_ti2v_5B_fp16.safetensors": ("diffusion_models", REPACKAGED.format("2.2", "R") + "/diffusion_models"),
    "rife_v4.26.safetensors": (
        "frame_interpolation",
        "https://huggingface.co/Comfy-Org/frame_interpolation/resolve/main/frame_interpolation",
    ),
    "2xNomosUni_compact_multijpg.safetensors": (
        "upscale_models",
        "https://huggingface.co/Phips/2xNomosUni_compact_multijpg/resolve/main",
    ),
    "face_detection_yunet_2023mar.onnx": (
        "detection",
        "https://huggingface.co/opencv/face_detection_yunet/resolve/main",
    ),
}
"""Files that the frontend can offer: the folder in `models/`, and the address that they lie under."""

NOTE = "MarkdownNote"
NOTES = {
    name: (title, text.strip())
    for name, title, text in re.findall(
        r"^# (\w+): (.+?)\n(.*?)(?=^# |\Z)", Path(__file__).with_name("notes.md").read_text("utf-8"), re.M | re.S
    )
}
"""Title and text of each note, by the name before its title in notes.md."""
FRONTEND_ONLY = ("control_after_generate", "audioUI", "upload")
"""Widgets of which ComfyUI hears nothing."""

WIDTH = 330
TITLE_HEIGHT = 30
COLUMN = 410
GAP = 70
"""From a node's bottom to the top of the next one below its title. Renderers draw nodes up to 30 units higher than
`_height` says, which is what the classic one draws."""
SLOT, WIDGET, MARGIN = 20, 24, 14
BADGE = 28
"""More height that the newer renderer gives to nodes of a pack, for its name."""
HEIGHTS = {
    "CLIPTextEncode": 120,
    "LoadAudio": 138,
    "LoadImage": 322,
    "LoadVideo": 300,
    "MaskPreview": 240,
    "PreviewAny": 180,
    "PreviewImage": 302,
    "PrimitiveStringMultiline": 104,
    "SaveVideo": 330,
    "UniAVGenConditioning": 300,
    "UniAVGenScript": 260,
}
"""Of nodes that show pictures, or text of several lines."""
PREVIEW = 280
ROOM = {"KSampler": PREVIEW, "UniAVGenSampler": PREVIEW, "UniAVGenLongForm": PREVIEW, "UniAVGenLatent": 60}
"""What must stay free below nodes that grow: by a preview, or by what a choice brings along."""
NOTE_LINE, NOTE_MARGIN, NOTE_CHARACTERS, HIGHEST_NOTE = 20, 44, 45, 520


@dataclass(frozen=True)
class Link:
    """An output of a node: what another one takes."""

    node: Node
    output: int


@dataclass(frozen=True, eq=False)
class Node:
    """A node in its place.

    Attributes:
        kind: name of its class.
        column, top: where it is.
        inputs: what was given: links and values.
    """

    id: int
    kind: str
    title: str | None
    column: int
    top: int
    height: int
    inputs: dict[str, Any]

    @property
    def links(self) -> dict[str, Link]:
        """Where linked inputs come from."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}


class Flow:
    """A workflow, in which nodes are added column by column, from top to bottom, each after those that it links to.

    Args:
        name: of the file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.groups: list[str] = []
        self.nodes: list[Node] = []
        self._free = 0

    def group(self, title: str) -> None:
        """Begin a column."""
        self.groups.append(title)
        self._free = 0

    def add(self, kind: str, /, title: str | None = None, **inputs: Any) -> list[Link]:
        """Add a node below the last one; its outputs.

        Args:
            kind: name of its class.
            title: where it is not the class's own.
            inputs: a value; a link; or a node's outputs, of which the first is taken. A double underscore in the name
                stands for a dot.

        Raises:
            ValueError: the node has no such input, or one that it needs is missing.
        """
        named = {name.replace("__", "."): value for name, value in inputs.items()}
        named = {name: value[0] if isinstance(value, list) else value for name, value in named.items()}
        described = node_kinds()[kind]
        values = described.values(named)
        unknown = named.keys() - values.keys() - described.links.keys()
        needed = {name for name, type in described.links.items() if not type.endswith(OPTIONAL)}
        open_values = {name for name in values.keys() - set(FRONTEND_ONLY) if values[name] is None}
        if unknown or needed - named.keys() or open_values:
            raise ValueError(f"{kind} in {self.name}: {unknown=}, missing={(needed - named.keys()) | open_values}")
        node = self._place(kind, title, named, _height(kind, described, values))
        return [Link(node, output) for output in range(len(described.outputs))]

    def note(self, name: str, /, more: str = "", **words: str) -> None:
        """Add a note of notes.md.

        Args:
            name: of the note.
            more: of another one, whose text comes behind.
            words: what stands for the words in braces in its text.
        """
        title, text = NOTES[name]
        text = text.format(**words) if words else text
        if more in NOTES:
            text = f"{text}\n\n{NOTES[more][1]}"
        # Of a link only the words are seen.
        seen = re.sub(r"\]\(\S+\)", "", text).split("\n")
        lines = sum(max(1, math.ceil(len(line) / NOTE_CHARACTERS)) for line in seen)
        self._place(NOTE, title, {"text": text}, min(NOTE_MARGIN + NOTE_LINE * lines, HIGHEST_NOTE))

    def _place(self, kind: str, title: str | None, inputs: dict[str, Any], height: int) -> Node:
        node = Node(len(self.nodes) + 1, kind, title, len(self.groups) - 1, self._free, height, inputs)
        self.nodes.append(node)
        self._free += height + ROOM.get(kind, 0) + GAP
        return node

    def prompt(self) -> dict[str, Any]:
        """The workflow in API form."""
        return {str(node.id): self._in_prompt(node) for node in self.nodes if node.kind != NOTE}

    def _in_prompt(self, node: Node) -> dict[str, Any]:
        described = node_kinds()[node.kind]
        values = {
            name: value
            for name, value in _values(described, node).items()
            if name not in FRONTEND_ONLY and name not in node.links
        }
        links = {name: [str(link.node.id), link.output] for name, link in node.links.items()}
        return {
            "inputs": values | links,
            "class_type": node.kind,
            "_meta": {"title": node.title or described.title},
        }

    def graph(self) -> dict[str, Any]:
        """The workflow as the frontend saves it."""
        linked = [(node, name, link) for node in self.nodes for name, link in node.links.items()]
        numbers = {(node.id, name): number for number, (node, name, _) in enumerate(linked, 1)}
        slots = {node.id: _input_slots(node, numbers) for node in self.nodes}
        links = []
        for target, name, link in linked:
            slot = next(index for index, slot in enumerate(slots[target.id]) if slot["name"] == name)
            type = _outputs(link.node)[link.output][1]
            links.append([numbers[target.id, name], link.node.id, link.output, target.id, slot, type])
        bottom = max(node.top + node.height + ROOM.get(node.kind, 0) for node in self.nodes)
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"uniavgen/{self.name}")),
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(links),
            "nodes": [_in_graph(node, slots[node.id], links) for node in self.nodes],
            "links": links,
            "groups": [
                {
                    "id": column + 1,
                    "title": title,
                    "bounding": [column * COLUMN - 20, -80, WIDTH + 40, bottom + 100],
                    "color": "#3f789e",
                    "flags": {},
                }
                for column, title in enumerate(self.groups)
            ],
            "config": {},
            "extra": {"ds": {"scale": 0.6, "offset": [150, 230]}, "frontendVersion": FRONTEND_VERSION},
            "version": 0.4,
        }


def _height(kind: str, described: NodeKind, values: dict[str, Any]) -> int:
    """Of a node without its title."""
    slots = max(len(described.links), len(described.outputs))
    badge = BADGE if kind.startswith("UniAVGen") else 0
    return HEIGHTS.get(kind) or SLOT * slots + WIDGET * len(values) + MARGIN + badge


def _values(described: NodeKind, node: Node) -> dict[str, Any]:
    """The widgets' values, a linked one's default among them; whole numbers as the frontend writes them."""
    given = {name: value for name, value in node.inputs.items() if name not in node.links}
    values = described.values(given)
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in values.items()
    }


def _outputs(node: Node) -> list[tuple[str, str]]:
    """Name and type of each output."""
    return [] if node.kind == NOTE else list(node_kinds()[node.kind].outputs.items())


def _input_slots(node: Node, numbers: dict[tuple[int, str], int]) -> list[dict[str, Any]]:
    """The inputs that links can go to; of those with a widget only the linked ones. `numbers` are the links'."""
    if node.kind == NOTE:
        return []
    slots = []
    described = node_kinds()[node.kind]
    for name, type in described.links.items():
        group, _, label = name.partition(".")
        slot = {"label": label} if label else {}
        slot |= {"name": name} | ({"shape": 7} if type.endswith(OPTIONAL) else {})
        slots.append(slot | {"type": type.rstrip(OPTIONAL), "link": numbers.get((node.id, name))})
    for name in (name for name in node.links if name not in described.links):
        type = _outputs(node.links[name].node)[node.links[name].output][1]
        slots.append({"name": name, "type": type, "widget": {"name": name}, "link": numbers[node.id, name]})
    return slots


def _in_graph(node: Node, slots: list[dict[str, Any]], links: Sequence[list[Any]]) -> dict[str, Any]:
    """A node as the frontend saves it."""
    outputs = [
        {"name": name, "type": type, "links": [link[0] for link in links if link[1:3] == [node.id, index]] or None}
        for index, (name, type) in enumerate(_outputs(node))
    ]
    saved = {
        "id": node.id,
        "type": node.kind,
        "pos": [node.column * COLUMN, node.top],
        "size": [WIDTH, node.height],
        "flags": {},
        "order": node.id - 1,
        "mode": 0,
        "inputs": slots,
        "outputs": outputs,
        **({"title": node.title} if node.title else {}),
        "properties": {},
    }
    if node.kind == NOTE:
        return saved | _saved_values(node.inputs) | {"color": "#222", "bgcolor": "#000"}
    ours = node.kind.startswith("UniAVGen")
    values = _values(node_kinds()[node.kind], node)
    saved["properties"] = {
        "Node name for S&R": node.kind,
        "cnr_id": "uniavgen" if ours else "comfy-core",
        "ver": PACK_VERSION if ours else COMFYUI_VERSION,
    }
    files = [value for value in values.values() if isinstance(value, str) and value in DOWNLOADS]
    if files:
        saved["properties"]["models"] = [
            {"name": file, "url": f"{DOWNLOADS[file][1]}/{file}", "directory": DOWNLOADS[file][0]} for file in files
        ]
    return saved | (_saved_values(values) if values else {})


def _saved_values(values: dict[str, Any]) -> dict[str, Any]:
    """Values of widgets, in order and by name."""
    named = {name: value for name, value in values.items() if value is not None}
    return {"widgets_values": list(values.values()), "widgets_values_named": named}
