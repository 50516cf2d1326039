"""The pack's workflows, and prompts in API form made from them or from scratch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORKFLOWS = Path(__file__).absolute().parent.parent.parent / "workflows"
WORKFLOW_NAMES = tuple(sorted(file.stem for file in WORKFLOWS.glob("*.json")))

Prompt = dict[str, dict[str, Any]]
"""A graph in API form: node ids, and each node's "class_type" and "inputs"."""
Link = list[Any]
"""Where an input comes from: [node id, output]."""


def ui_workflow(name: str) -> dict[str, Any]:
    """A workflow of the pack as the frontend saves it."""
    workflow: dict[str, Any] = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    return workflow


def api_workflow(name: str) -> Prompt:
    """A workflow of the pack in API form."""
    prompt: Prompt = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    return prompt


def without_meta(prompt: Prompt) -> Prompt:
    """The prompt without titles."""
    return {number: {key: node[key] for key in ("class_type", "inputs")} for number, node in prompt.items()}


def id_of(prompt: Prompt, kind: str) -> str:
    """The id of the only node of this type."""
    (number,) = (number for number, node in prompt.items() if node["class_type"] == kind)
    return number


def set_inputs(prompt: Prompt, kind: str, **values: Any) -> None:
    """Change inputs of the only node of this type; a double underscore stands for the dot in the name of an input."""
    inputs = {name.replace("__", "."): value for name, value in values.items()}
    prompt[id_of(prompt, kind)]["inputs"].update(inputs)


class GraphBuilder:
    """A prompt that grows node by node.

    `add` returns the node's id and makes links from it with `[id, output]`. Names of inputs have a double underscore
    for a dot.
    """

    def __init__(self) -> None:
        self.prompt: Prompt = {}

    def add(self, kind: str, **inputs: Any) -> str:
        """Add a node; its id."""
        number = str(len(self.prompt) + 1)
        named = {name.replace("__", "."): value for name, value in inputs.items()}
        self.prompt[number] = {"class_type": kind, "inputs": named}
        return number
