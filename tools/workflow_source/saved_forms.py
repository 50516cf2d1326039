"""The two forms in which a workflow is saved: the frontend's graph, and the API's prompt."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tomllib

from .flow import COLUMN, WIDTH, Flow, Node
from .node_kinds import DOWNLOADS, FRONTEND_ONLY, NOTE, OPTIONAL, address_of

COMFYUI_VERSION = "0.33.0"
FRONTEND_VERSION = "1.49.6"
PACK_VERSION = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def prompt_of(flow: Flow) -> dict[str, Any]:
    """The workflow in API form."""
    return {
        str(node.id): {
            "inputs": _prompt_inputs(node),
            "class_type": node.kind.id,
            "_meta": {"title": node.title or node.kind.title},
        }
        for node in flow.nodes
        if node.kind.id != NOTE
    }


def _prompt_inputs(node: Node) -> dict[str, Any]:
    links = {name: [str(link.node.id), link.output] for name, link in node.links.items()}
    return {name: value for name, value in node.values.items() if name not in FRONTEND_ONLY} | links


def graph_of(flow: Flow) -> dict[str, Any]:
    """The workflow as the frontend saves it."""
    slots = {node.id: input_slots(node) for node in flow.nodes}
    links: list[list[Any]] = []
    for node in flow.nodes:
        for index, slot in enumerate(slots[node.id]):
            link = node.links.get(slot["name"])
            if link:
                slot["link"] = len(links) + 1
                links.append([slot["link"], link.node.id, link.output, node.id, index, link.type])
    bottom = max(node.bottom for node in flow.nodes)
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"uniavgen/{flow.name}")),
        "revision": 0,
        "last_node_id": len(flow.nodes),
        "last_link_id": len(links),
        "nodes": [saved_node(node, slots[node.id], links) for node in flow.nodes],
        "links": links,
        "groups": groups_of(flow.groups, bottom),
        "config": {},
        "extra": {"ds": {"scale": 0.6, "offset": [150, 230]}, "frontendVersion": FRONTEND_VERSION},
        "version": 0.4,
    }


def groups_of(titles: Sequence[str], bottom: int) -> list[dict[str, Any]]:
    """A frame around each column, down to the lowest node's bottom."""
    return [
        {
            "id": column + 1,
            "title": title,
            "bounding": [column * COLUMN - 20, -80, WIDTH + 40, bottom + 100],
            "color": "#3f789e",
            "flags": {},
        }
        for column, title in enumerate(titles)
    ]


def input_slots(node: Node, shown: Mapping[str, str] = MappingProxyType({})) -> list[dict[str, Any]]:
    """The inputs that links go to, none linked yet; of those with a widget only the linked ones and those shown.

    Args:
        shown: types of widgets that the subgraph around the node shows, by their names.
    """
    slots: list[dict[str, Any]] = []
    for name, kind in node.kind.links.items():
        label = name.partition(".")[2]
        slots.append(
            {
                **({"label": label} if label else {}),
                "name": name,
                **({"shape": 7} if kind.endswith(OPTIONAL) else {}),
                "type": kind.removesuffix(OPTIONAL),
                "link": None,
            }
        )
    for name in node.values:
        type = node.links[name].type if name in node.links else shown.get(name)
        if type is not None:
            slots.append({"name": name, "type": type, "widget": {"name": name}, "link": None})
    return slots


def saved_node(node: Node, slots: list[dict[str, Any]], links: list[list[Any]]) -> dict[str, Any]:
    """A node as the frontend saves it. `links` are the graph's, of which its outputs name theirs."""
    outputs = [
        {"name": name, "type": type, "links": [link[0] for link in links if link[1:3] == [node.id, index]] or None}
        for index, (name, type) in enumerate(node.kind.outputs.items())
    ]
    return {
        "id": node.id,
        "type": node.kind.id,
        "pos": [node.column * COLUMN, node.top],
        "size": [WIDTH, node.height],
        "flags": {},
        "order": node.id - 1,
        "mode": 0,
        "inputs": slots,
        "outputs": outputs,
        **({"title": node.title} if node.title else {}),
        "properties": _properties(node),
        **(_saved_values(node.values) if node.values else {}),
        **({"color": "#222", "bgcolor": "#000"} if node.kind.id == NOTE else {}),
    }


def _properties(node: Node) -> dict[str, Any]:
    """Where a node comes from, and the files that it names."""
    if node.kind.id == NOTE:
        return {}
    files = [value for value in node.values.values() if isinstance(value, str) and value in DOWNLOADS]
    models = [{"name": file, "url": address_of(file), "directory": DOWNLOADS[file][0]} for file in files]
    return {
        "Node name for S&R": node.kind.id,
        "cnr_id": "uniavgen" if node.kind.is_ours else "comfy-core",
        "ver": PACK_VERSION if node.kind.is_ours else COMFYUI_VERSION,
        **({"models": models} if models else {}),
    }


def _saved_values(values: dict[str, Any]) -> dict[str, Any]:
    """Values of widgets, in order and by name."""
    named = {name: value for name, value in values.items() if value is not None}
    return {"widgets_values": list(values.values()), "widgets_values_named": named}
