"""A workflow as one node: what a user gives and gets stays outside, all else is in a subgraph with a few fields."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .flow import COLUMN, SLOT, Flow, Link
from .saved_forms import groups_of, input_slots, saved_node

GIVEN = ("LoadImage", "LoadVideo", "LoadAudio")
SAVED = "SaveVideo"
INPUTS_ID, OUTPUTS_ID = -10, -20
"""What the frontend calls the two ends of a subgraph in its links."""
TEXT_HEIGHT, FIELD_HEIGHT, HEAD_HEIGHT = 110, 28, 20


class Field(NamedTuple):
    """A widget of an inner node, as the subgraph shows it.

    Attributes:
        name: of the subgraph's input.
        label: what users read.
        type: ComfyUI's, of the widget.
        node: title of the inner node, or its kind where there is only one.
        widget: its name there.
        is_text: it takes several lines.
    """

    name: str
    label: str
    type: str
    node: str
    widget: str
    is_text: bool = False


@dataclass(frozen=True)
class Socket:
    """What comes into a subgraph: a link from outside, or a field."""

    name: str
    label: str
    type: str
    targets: tuple[tuple[int, str], ...]
    """Inner nodes and their inputs."""
    source: Link | None = None
    field: Field | None = None


class Subgraph:
    """All of a workflow but what a user gives and what is saved.

    Args:
        flow: what it is made of; its nodes keep their numbers.
        name: what it is called.
        fields: what users can set, from top to bottom.
        purpose: tells subgraphs of the same name apart.

    Raises:
        ValueError: a field names no node, or several; or the workflow saves nothing or several files.
    """

    def __init__(self, flow: Flow, name: str, fields: Sequence[Field], purpose: str) -> None:
        self.name = name
        self.flow = flow
        self.id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"uniavgen/{purpose}/{name}"))
        self.given = [node for node in flow.nodes if node.kind.id in GIVEN]
        (self.saved,) = (node for node in flow.nodes if node.kind.id == SAVED)
        outside = {node.id for node in (*self.given, self.saved)}
        self.inner = [node for node in flow.nodes if node.id not in outside]
        self.sockets = [*self._linked(), *map(self._shown, fields)]
        self.result = self.saved.links["video"]

    @property
    def number(self) -> int:
        """Of its node, which no other node of the workflow has."""
        return len(self.flow.nodes) + 1

    @property
    def height(self) -> int:
        """Of its node without the title."""
        fields = [socket.field for socket in self.sockets if socket.field]
        texts = sum(field.is_text for field in fields)
        links = max(1, len(self.sockets) - len(fields))
        return HEAD_HEIGHT + SLOT * links + TEXT_HEIGHT * texts + FIELD_HEIGHT * (len(fields) - texts)

    def _linked(self) -> list[Socket]:
        """What comes from the given files, each once."""
        targets: dict[tuple[int, int], list[tuple[int, str]]] = {}
        links: dict[tuple[int, int], Link] = {}
        for node in self.inner:
            for name, link in node.links.items():
                if link.node in self.given:
                    key = (link.node.id, link.output)
                    targets.setdefault(key, []).append((node.id, name))
                    links[key] = link
        names = [targets[key][0][1] for key in links]
        return [
            Socket(
                # An input's name tells two pictures of a workflow apart no more than the inner nodes do.
                name if names.count(name) == 1 else f"{name}_{index}",
                links[key].node.title or name,
                links[key].type,
                tuple(targets[key]),
                links[key],
            )
            for index, (key, name) in enumerate(zip(links, names, strict=True), 1)
        ]

    def _shown(self, field: Field) -> Socket:
        found = [node for node in self.inner if field.node in (node.title, node.kind.id)]
        if len(found) != 1 or field.widget not in found[0].values:
            raise ValueError(f"{self.name}: {field.node} with {field.widget} is there {len(found)} times.")
        return Socket(field.name, field.label, field.type, ((found[0].id, field.widget),), field=field)

    def definition(self, **more: Any) -> dict[str, Any]:
        """The subgraph as the frontend saves it, with `more` keys, such as its description."""
        shown: dict[int, dict[str, str]] = {node.id: {} for node in self.inner}
        for socket in self.sockets:
            for number, name in socket.targets if socket.field else ():
                shown[number][name] = socket.type
        slots = {node.id: input_slots(node, shown[node.id]) for node in self.inner}
        links, of_socket = self._links(slots)
        bottom = max(node.bottom for node in self.inner)
        right = (len(self.flow.groups)) * COLUMN
        return {
            "id": self.id,
            "version": 1,
            "state": {"lastGroupId": 0, "lastNodeId": self.number, "lastLinkId": len(links), "lastRerouteId": 0},
            "revision": 0,
            "config": {},
            "name": self.name,
            "inputNode": {"id": INPUTS_ID, "bounding": [-260, 0, 180, 40 + SLOT * len(self.sockets)]},
            "outputNode": {"id": OUTPUTS_ID, "bounding": [right + 40, 0, 120, 60]},
            "inputs": [
                {
                    "id": self._own_id(socket.name),
                    "name": socket.name,
                    "type": socket.type,
                    "linkIds": of_socket[index],
                    "label": socket.label,
                    "pos": [-100, 20 + SLOT * index],
                }
                for index, socket in enumerate(self.sockets)
            ],
            "outputs": [
                {
                    "id": self._own_id("VIDEO"),
                    "name": "VIDEO",
                    "type": "VIDEO",
                    "linkIds": [links[-1][0]],
                    "pos": [right + 60, 20],
                }
            ],
            "widgets": [],
            "nodes": [saved_node(node, slots[node.id], links) for node in self.inner],
            "groups": groups_of(self.flow.groups, bottom),
            "links": [
                dict(zip(("id", "origin_id", "origin_slot", "target_id", "target_slot", "type"), link, strict=True))
                for link in links
            ],
            "extra": {},
            **more,
        }

    def _links(self, slots: dict[int, list[dict[str, Any]]]) -> tuple[list[list[Any]], list[list[int]]]:
        """All inner links, the result's last, and those of each socket; the slots are told theirs."""
        sockets = {target: index for index, socket in enumerate(self.sockets) for target in socket.targets}
        links: list[list[Any]] = []
        of_socket: list[list[int]] = [[] for _ in self.sockets]
        for node in self.inner:
            for place, slot in enumerate(slots[node.id]):
                socket, link = sockets.get((node.id, slot["name"])), node.links.get(slot["name"])
                if socket is None and link is None:
                    continue
                number = len(links) + 1
                slot["link"] = number
                if socket is not None:
                    of_socket[socket].append(number)
                    links.append([number, INPUTS_ID, socket, node.id, place, self.sockets[socket].type])
                elif link is not None:
                    links.append([number, link.node.id, link.output, node.id, place, link.type])
        links.append([len(links) + 1, self.result.node.id, self.result.output, OUTPUTS_ID, 0, "VIDEO"])
        return links, of_socket

    def _own_id(self, name: str) -> str:
        return str(uuid.uuid5(uuid.UUID(self.id), name))

    def node(self, position: tuple[int, int], width: int, links: dict[str, int], output: int | None) -> dict[str, Any]:
        """Its node in a graph, as the frontend saves it.

        Args:
            links: numbers of those that come in, by their inputs' names.
            output: number of the one that goes out, if any.
        """
        shown = [socket for socket in self.sockets if socket.field]
        return {
            "id": self.number,
            "type": self.id,
            "pos": list(position),
            "size": [width, self.height],
            "flags": {},
            "order": len(self.given),
            "mode": 0,
            "inputs": [
                {
                    "label": socket.label,
                    "name": socket.name,
                    "type": socket.type,
                    **({"widget": {"name": socket.name}} if socket.field else {}),
                    "link": links.get(socket.name),
                }
                for socket in self.sockets
            ],
            "outputs": [{"name": "VIDEO", "type": "VIDEO", "links": [output] if output else None}],
            "title": self.name,
            "properties": {"proxyWidgets": [[str(number), name] for item in shown for number, name in item.targets]},
            "widgets_values": [],
        }
