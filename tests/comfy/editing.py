"""What a person does to a graph in the frontend (undo, tabs, subgraphs, copies, files), and what then is in it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from comfy.browser import Frontend
from comfy.graphs import Prompt

MARK = "mark"
"""The property of a node that `mark` sets; it goes with the node, whatever id the frontend gives it."""
PASTED = "pasted "
"""Stands before the mark of a copy."""
PLAYERS = {"video-preview"}
"""What the frontend sends of the player that it puts into core's Load Video once there is a file."""
Box = tuple[float, float, float, float]
USER_FOLDER = Path("user") / "default" / "workflows"

NOTICE = "() => window.dispatchEvent(new MouseEvent('mouseup'))"
"""The frontend looks for changes, to undo them later, whenever a mouse button is let go."""
MARKED_PROMPT = """async () => {
    const {output} = await window.app.graphToPrompt();
    const marks = {};
    const walk = (graph, prefix) => {
        for (const node of graph.nodes)
            if (node.isSubgraphNode?.()) walk(node.subgraph, `${prefix}${node.id}:`);
            else marks[prefix + node.id] = node.properties.mark;
    };
    walk(window.app.graph, "");
    return [output, marks];
}"""
IDS = """() => Object.fromEntries(window.app.graph.nodes.map(node => [node.id, node.properties.mark ?? null]))"""
SELECT = """ids => {
    const canvas = window.app.canvas;
    canvas.deselectAll();
    canvas.selectItems(window.app.graph.nodes.filter(node => ids.includes(String(node.id))));
}"""
SUBGRAPHS = "() => window.app.graph.nodes.filter(node => node.isSubgraphNode?.()).map(node => String(node.id))"
SET_WIDGET = """([name, values]) => {
    for (const [id, value] of values) {
        const node = window.app.graph.nodes.find(node => String(node.id) === id);
        const widget = node.widgets.find(widget => widget.name === name);
        widget.value = value;
        widget.callback?.(value);
    }
}"""
"""In one go: the frontend also looks for changes by itself, and would take each for a step of its own."""
KEPT = """() => {
    const graph = JSON.stringify(window.app.graph.serialize());
    const drafts = Object.keys(localStorage).filter(key => key.startsWith("Comfy.Workflow.Draft.v2:"));
    return drafts.some(key => JSON.parse(localStorage[key]).data === graph);
}"""
"""Whether one of the drafts that a reload brings back is the graph on the page."""
OTHER_TAB = "name => window.app.extensionManager.workflow.activeWorkflow.filename !== name"
SAVED = """name => {
    const workflow = window.app.extensionManager.workflow.activeWorkflow;
    return workflow.filename === name && workflow.isPersisted && !workflow.isModified;
}"""
CLOSE_OTHERS = """async () => {
    const store = window.app.extensionManager.workflow;
    for (const workflow of [...store.openWorkflows])
        if (workflow.path !== store.activeWorkflow.path) await store.closeWorkflow(workflow);
}"""
BOXES = """() => {
    const {scale, offset} = window.app.canvas.ds;
    const canvas = document.querySelector("#graph-canvas").getBoundingClientRect();
    return Object.fromEntries(window.app.graph.nodes.map(node => {
        if (!window.LiteGraph.vueNodesMode) {
            const [left, top, width, height] = node.boundingRect;
            return [node.id, [left, top, left + width, top + height]];
        }
        const box = document.querySelector(`[data-node-id="${node.id}"]`).getBoundingClientRect();
        const [x, y] = [canvas.left + offset[0] * scale, canvas.top + offset[1] * scale];
        return [node.id, [box.left - x, box.top - y, box.right - x, box.bottom - y].map(value => value / scale)];
    }));
}"""


def mark(workflow: dict[str, Any]) -> dict[str, Any]:
    """A copy of a workflow in UI form in which each node, of subgraphs too, bears its own id as its mark."""
    copy: dict[str, Any] = json.loads(json.dumps(workflow))
    for graph in (copy, *copy.get("definitions", {}).get("subgraphs", [])):
        for node in graph["nodes"]:
            node["properties"][MARK] = str(node["id"])
    return copy


def renamed(prompt: Prompt, names: Mapping[str, str]) -> Prompt:
    """A prompt with other node ids, without titles. Raises ValueError where two nodes get the same one."""

    def follow(value: Any) -> Any:
        return [names[value[0]], value[1]] if isinstance(value, list) else value

    new: Prompt = {}
    for number, node in prompt.items():
        if names[number] in new:
            raise ValueError(f"two nodes are called {names[number]}")
        inputs = {name: follow(value) for name, value in node["inputs"].items()}
        new[names[number]] = {"class_type": node["class_type"], "inputs": inputs}
    return new


def differences(expected: Prompt, found: Prompt) -> list[str]:
    """What the second prompt has otherwise than the first, a line an input."""
    lines = [f"node {number} is {'new' if number in found else 'gone'}" for number in expected.keys() ^ found.keys()]
    for number in expected.keys() & found.keys():
        kind, before = expected[number]["class_type"], expected[number]["inputs"]
        after = found[number]["inputs"]
        if found[number]["class_type"] != kind:
            lines.append(f"node {number} was {kind}, is {found[number]['class_type']}")
        for name in (before.keys() | after.keys()) - PLAYERS:
            values = [inputs.get(name, "nothing") for inputs in (before, after)]
            if values[0] != values[1]:
                lines.append(f"{name} of node {number} ({kind}) was {values[0]}, is {values[1]}")
    return sorted(lines)


class Editor:
    """The hands of a person on one workflow, which it drops on the canvas, in a tab called `name`.

    The nodes are marked with the ids that they have in the file. What changes the graph leaves a step that undo takes
    back.
    """

    def __init__(self, frontend: Frontend, name: str, workflow: dict[str, Any]) -> None:
        self.frontend = frontend
        self.page = frontend.page
        self.name = name
        self.frontend.drop_workflow(name, mark(workflow))

    def prompt(self) -> Prompt:
        """The graph in API form, with marks for node ids."""
        prompt, marks = self.page.evaluate(MARKED_PROMPT)
        return renamed(prompt, marks)

    def prompt_of_copies(self, before: Collection[str]) -> Prompt:
        """The nodes that had not been there before, in API form, with marks for node ids; "pasted 7" marks a copy."""
        prompt, marks = self.page.evaluate(MARKED_PROMPT)
        names = {number: mark if number in before else PASTED + mark for number, mark in marks.items()}
        return renamed({number: node for number, node in prompt.items() if number not in before}, names)

    def marks(self) -> dict[str, str | None]:
        """The marks of the nodes outside of subgraphs, by their present ids."""
        marks: dict[str, str | None] = self.page.evaluate(IDS)
        return marks

    def set_widget(self, name: str, values: Mapping[str, Any]) -> None:
        """Set the widget of this name of marked nodes, all in one step; an option may bring other widgets."""
        ids = {mark: number for number, mark in self.marks().items()}
        self.page.evaluate(SET_WIDGET, [name, [[ids[mark], value] for mark, value in values.items()]])
        self.page.evaluate(NOTICE)

    def select(self, ids: Collection[str]) -> None:
        """Select exactly these nodes, by their present ids."""
        self.page.evaluate(SELECT, list(ids))

    def change(self, command: str) -> None:
        """Carry out a command that changes the graph."""
        self.frontend.command(command)
        self.page.evaluate(NOTICE)

    def convert_to_subgraph(self, marks: Collection[str]) -> None:
        """Make a subgraph of marked nodes."""
        self.select([number for number, mark in self.marks().items() if mark in marks])
        self.change("Comfy.Graph.ConvertToSubgraph")

    def unpack_subgraphs(self) -> None:
        """Put the nodes of all subgraphs back into the graph."""
        self.select(self.page.evaluate(SUBGRAPHS))
        self.change("Comfy.Graph.UnpackSubgraph")

    def undo(self) -> None:
        """Take the last change back."""
        self._until_changed("Comfy.Undo")

    def redo(self) -> None:
        """Do again what was last taken back."""
        self._until_changed("Comfy.Redo")

    def _until_changed(self, command: str) -> None:
        """Nodes that grew as they were drawn may be steps of their own, at most one each time."""
        before = self.prompt()
        for _ in range(2):
            self.frontend.command(command)
            if self.prompt() != before:
                return

    def copy(self, marks: Collection[str]) -> None:
        """Take marked nodes to the clipboard."""
        self.select([number for number, mark in self.marks().items() if mark in marks])
        self.frontend.command("Comfy.Canvas.CopySelected")

    def tab_away_and_back(self) -> None:
        """Look at the tab before this one, and come back."""
        nodes = len(self.marks())
        self.frontend.command("Workspace.PreviousOpenedWorkflow")
        self.page.wait_for_function(OTHER_TAB, arg=self.name)
        self.frontend.command("Workspace.NextOpenedWorkflow")
        self.frontend.wait_for_workflow(self.name, nodes)

    def save_as(self, name: str) -> None:
        """Save the workflow under a name that is new."""
        self.page.evaluate("() => void window.app.extensionManager.command.execute('Comfy.SaveWorkflow')")
        question = self.page.get_by_label("Enter the filename")
        question.fill(name)
        question.press("Enter")
        self.page.wait_for_function(SAVED, arg=name)
        self.name = name

    def close_and_open(self) -> None:
        """Close the saved workflow, and open its file."""
        nodes = len(self.marks())
        file = self.frontend.server.base / USER_FOLDER / f"{self.name}.json"
        self.frontend.command("Workspace.CloseWorkflow")
        self.name += " opened"
        with self.page.expect_file_chooser() as choosing:
            self.frontend.command("Comfy.OpenWorkflow")
        opened = {"name": f"{self.name}.json", "mimeType": "application/json", "buffer": file.read_bytes()}
        choosing.value.set_files(opened)
        self.frontend.wait_for_workflow(self.name, nodes)

    def reload(self) -> None:
        """Load the page again; the frontend brings the workflow back."""
        nodes = len(self.marks())
        self.frontend.reload()
        self.frontend.wait_for_workflow(self.name, nodes)

    def wait_until_kept(self) -> None:
        """Wait until the frontend has put the graph by for a reload, as it does half a second after a change."""
        self.page.wait_for_function(KEPT, polling=100)

    def boxes(self) -> dict[str, Box]:
        """Left, top, right and bottom of each node as it is drawn, in units of the graph, by its mark."""
        boxes = self.page.evaluate(BOXES)
        return {mark or number: tuple(boxes[number]) for number, mark in self.marks().items()}


def close_tabs(frontend: Frontend) -> None:
    """Close all tabs, whatever is in them, for an empty one."""
    frontend.open_tab()
    frontend.page.evaluate(CLOSE_OTHERS)
