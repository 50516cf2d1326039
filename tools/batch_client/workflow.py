"""Values in a copy of a workflow in API form, placed by node class and input, never by a node's number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat, TypeAdapter

Prompt = dict[str, dict[str, Any]]
"""A graph in API form: node ids, and each node's "class_type" and "inputs"."""
Holder = tuple[str, str]
"""A node's id and the name of an input whose value is written in the workflow."""

LATENT, CONDITIONING, REFERENCE_IMAGE = "UniAVGenLatent", "UniAVGenConditioning", "UniAVGenReferencePicture"
UNIVERSE_LATENT, UNIVERSE_CONDITIONING = "UniVerse1Latent", "UniVerse1Conditioning"
ANY_CONDITIONING = f"{CONDITIONING}|{UNIVERSE_CONDITIONING}"
SCRIPT, LONG_FORM = "UniAVGenScript", "UniAVGenLongForm"
TEXT_NODES = {"CLIPTextEncode": "text", "PrimitiveString": "value", "PrimitiveStringMultiline": "value"}
RANGE_WORDS = {"UniAVGenRange": "words"}
"""Of a retake, the speech is the new words; those around them have inputs of their own."""
NUMBER: tuple[TypeAdapter[Any], str] = TypeAdapter(int | FiniteFloat), "no number"
FORMS_OF_VALUES = {int: NUMBER, float: NUMBER, bool: (TypeAdapter(bool), "neither true nor false")}
"""How texts are read for an input whose value is of a type, and what the others are."""
TASKS_WITH_SECONDS = ("joint", "continuation", "bridge", "voice")
"""Tasks of UniAVGen Latent whose length is not that of what is given."""


class WorkflowError(ValueError):
    """A workflow is damaged, or has no place for a value."""


@dataclass(frozen=True)
class Slot:
    """Where a value belongs in a workflow.

    Attributes:
        noun: what the value is, for messages.
        wanted_by: regular expressions of the node classes and of their inputs that want it.
        held_by: the nodes, and their inputs, that hold it for a wanted input that is connected to them, over others
            or directly.
        is_file: whether it is the name of a file, which a wanted input never holds itself.
        beside: an input without which the node does not want the value.
    """

    noun: str
    wanted_by: tuple[tuple[str, str], ...]
    held_by: dict[str, str] = field(default_factory=dict)
    is_file: bool = False
    beside: str | None = None

    def wanted(self, node: dict[str, Any]) -> Iterator[str]:
        """The inputs of a node that want the value."""
        inputs = node["inputs"]
        for kind, name in self.wanted_by:
            if re.fullmatch(kind, node["class_type"]) and (self.beside is None or self.beside in inputs):
                yield from (found for found in inputs if re.fullmatch(name, found))


SLOTS = {
    "prompt": Slot("caption", ((ANY_CONDITIONING, "positive"),), TEXT_NODES),
    "negative_prompt": Slot("negative caption", ((ANY_CONDITIONING, "negative"),), TEXT_NODES),
    "speech_content": Slot("speech", ((ANY_CONDITIONING, "speech"),), TEXT_NODES | RANGE_WORDS),
    "sound_content": Slot("text of the sound", ((UNIVERSE_CONDITIONING, "sound"),), TEXT_NODES),
    "ref_speech_content": Slot(
        "transcript", ((CONDITIONING, "reference_transcript"),), TEXT_NODES, beside="reference_audio"
    ),
    "script": Slot("script", ((SCRIPT, "script"),), TEXT_NODES),
    "lang": Slot("language", ((ANY_CONDITIONING, "language"),), {"PrimitiveString": "value"}),
    "seed": Slot("seed", ((r".*", "seed|noise_seed"),), {"PrimitiveInt": "value"}),
    "data_id": Slot("name of its result", ((r".*", "filename_prefix"),), {"PrimitiveString": "value"}),
    "ref_image_path": Slot(
        "portrait",
        ((LATENT, "portrait|video"), (f"{REFERENCE_IMAGE}|{UNIVERSE_LATENT}", "image")),
        {"LoadImage": "image"},
        True,
    ),  # fmt: skip
    "ref_audio_path": Slot("reference voice", ((CONDITIONING, "reference_audio"),), {"LoadAudio": "audio"}, True),
    "audio_path": Slot("sound", ((LATENT, "audio"),), {"LoadAudio": "audio"}, True),
    "video_path": Slot("video", ((LATENT, "video"),), {"LoadVideo": "file"}, True),
    "next_video_path": Slot("second video", ((LATENT, "next_video"),), {"LoadVideo": "file"}, True),
}
"""By the names of the CSV's columns."""


def read_workflow(file: Path) -> Prompt:
    """A workflow in API form; raises WorkflowError where the file is none, OSError where it cannot be read."""
    try:
        workflow = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WorkflowError(f"{file} is no JSON file: {error}") from error
    nodes = workflow.values() if isinstance(workflow, dict) else [None]
    if not all(isinstance(node, dict) and {"class_type", "inputs"} <= node.keys() for node in nodes):
        raise WorkflowError(f"{file} is not a workflow in API form: in ComfyUI, choose File → Export (API).")
    prompt: Prompt = {number: {key: node[key] for key in ("class_type", "inputs")} for number, node in workflow.items()}
    return prompt


def holders(prompt: Prompt, slot: Slot) -> set[Holder]:
    """Where the value of a slot is written; empty where the workflow has no place for it.

    Raises:
        WorkflowError: an input that wants the value is made from several nodes that hold one.
    """
    found: set[Holder] = set()
    for number, node in prompt.items():
        for name in slot.wanted(node):
            held = set(_holders(prompt, slot, number, name, not slot.is_file))
            if len(held) > 1:
                raise WorkflowError(f"{node['class_type']}.{name} is made from {len(held)} nodes that hold a value")
            found |= held
    return found


def _holders(prompt: Prompt, slot: Slot, number: str, name: str, in_place: bool) -> Iterator[Holder]:
    value = prompt[number]["inputs"][name]
    if not is_link(value):
        if in_place:
            yield number, name
        return
    seen, waiting = set(), [value[0]]
    while waiting:
        source = waiting.pop()
        if source in seen or source not in prompt:
            continue
        seen.add(source)
        node = prompt[source]
        if node["class_type"] in slot.held_by:
            yield from _holders(prompt, slot, source, slot.held_by[node["class_type"]], True)
        else:
            waiting += [value[0] for value in node["inputs"].values() if is_link(value)]


def is_link(value: Any) -> bool:
    """Whether an input's value is a connection, [node id, output]."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def fill(prompt: Prompt, slot: Slot, value: str | int) -> None:
    """Write a value wherever the slot is in the workflow; raises WorkflowError where it is nowhere."""
    found = holders(prompt, slot)
    if not found:
        raise WorkflowError(f"this workflow has no place for a {slot.noun}")
    for number, name in found:
        prompt[number]["inputs"][name] = value


def set_seconds(prompt: Prompt, seconds: float) -> None:
    """Choose the length; raises WorkflowError where the workflow takes it from a given clip."""
    whole = [node["inputs"] for node in prompt.values() if node["class_type"] == LONG_FORM]
    latents = [node["inputs"] for node in prompt.values() if node["class_type"] == LATENT]
    segments = [inputs for inputs in latents if inputs["task"] in TASKS_WITH_SECONDS]
    segments += [node["inputs"] for node in prompt.values() if node["class_type"] == UNIVERSE_LATENT]
    if not whole + segments:
        raise WorkflowError("this workflow takes its length from what it is given")
    for inputs in whole or segments:
        inputs["seconds"] = seconds


def set_input(prompt: Prompt, kind: str, name: str, text: str) -> None:
    """Set an input of the only node of this class, in the type of the value that it replaces.

    Raises:
        WorkflowError: there is no such node or input, there are several such nodes, the input is connected, or the
            text is not of that type.
    """
    nodes = [node["inputs"] for node in prompt.values() if node["class_type"] == kind]
    if len(nodes) != 1:
        raise WorkflowError(f"this workflow has {len(nodes) or 'no'} nodes of class {kind}")
    (inputs,) = nodes
    if name not in inputs or is_link(inputs[name]):
        names = ", ".join(name for name, value in inputs.items() if not is_link(value))
        raise WorkflowError(f"{kind} has no input {name} to set here, only {names or 'connected ones'}")
    inputs[name] = _converted(text, inputs[name])


def _converted(text: str, like: Any) -> Any:
    form, noun = FORMS_OF_VALUES.get(type(like), (None, ""))
    try:
        return form.validate_strings(text) if form else text
    except ValueError as error:
        raise WorkflowError(f"“{text}” is {noun}") from error
