"""What a node's inputs are made of, as the graph says it: the key under which segments are kept.

ComfyUI hands a node the whole graph. Of the nodes that lead into one, their kinds, their settings and the files that
these name make the key, as ComfyUI's own cache does it; their numbers and titles do not count, nor whether something
was loaded again. So a key lives through a restart of the server.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

MADE_BY_THE_SCRIPT: Mapping[str, frozenset[str]] = {
    "UniAVGenLongForm": frozenset({"keep", "recording", "speakers", "voices", "scenes"}),
    "UniAVGenScript": frozenset({"script"}),
    "UniAVGenConditioning": frozenset({"speech"}),
}
"""Inputs that do not count, by kind of node: each segment has its own words and its own part of a
recording, and is known by who speaks and what scene it shows."""
CAPTIONED, CAPTION = ("UniAVGenConditioning", "positive"), ("CLIPTextEncode", "text")
"""The caption of the positive conditioning does not count either, where it comes from core's own node."""


class Graph(Protocol):
    """ComfyUI's DynamicPrompt."""

    def has_node(self, node_id: str) -> bool: ...

    def get_node(self, node_id: str) -> dict[str, Any]: ...


def graph_key(hidden: Any, files: Callable[[str], list[Any]]) -> str:
    """A digest of all that leads into a node, but for what a script says; a new one each time without a graph.

    Args:
        hidden: the node's, with its graph and its number there; None where it runs without a server.
        files: what tells the content of files that a text names; empty where it names none.
    """
    if hidden is None or hidden.dynprompt is None:
        return uuid.uuid4().hex
    graph: Graph = hidden.dynprompt
    digests: dict[tuple[str, bool], str] = {}

    def digest(node_id: str, is_caption: bool = False) -> str:
        """Of a node and of those that lead into it, each once."""
        if (node_id, is_caption) not in digests:
            node = graph.get_node(node_id)
            kind = node["class_type"]
            ignored = MADE_BY_THE_SCRIPT.get(kind, frozenset[str]())
            if is_caption and kind == CAPTION[0]:
                ignored |= {CAPTION[1]}
            inputs = {name: value for name, value in sorted(node["inputs"].items()) if name not in ignored}
            facts = [kind, _changes(node, inputs, files)]
            for name, value in inputs.items():
                linked = _is_link(graph, value)
                facts.append([name, [digest(value[0], (kind, name) == CAPTIONED), value[1]] if linked else value])
            digests[node_id, is_caption] = hashlib.sha256(json.dumps(_plain(facts)).encode()).hexdigest()
        return digests[node_id, is_caption]

    return digest(hidden.unique_id)


def _is_link(graph: Graph, value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and graph.has_node(value[0])


def _changes(node: Mapping[str, Any], inputs: Mapping[str, Any], files: Callable[[str], list[Any]]) -> Any:
    """What a node says of changes that its inputs do not show, such as a file's; else the files that they name."""
    if "is_changed" in node:
        return node["is_changed"]
    return [files(value) for value in inputs.values() if isinstance(value, str)]


def _plain(value: Any) -> Any:
    """The value as JSON has it. What is no value, such as NaN or an object, never equals itself."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    is_value = value is None or (isinstance(value, (str, int, float)) and value == value)
    return value if is_value else uuid.uuid4().hex
