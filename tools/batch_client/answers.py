"""The forms of ComfyUI's answers, as far as a batch reads them, and what they say."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, FiniteFloat

LONGEST_MESSAGE = 2000
NO_FILE = "the server says that it succeeded, but names no file: does the workflow save one?"
PromptIds = list[Annotated[str, BeforeValidator(itemgetter(1))]]
"""Of prompts in the queue, each of which is a list."""


class QueueAnswer(BaseModel):
    queue_running: PromptIds
    queue_pending: PromptIds


class UploadAnswer(BaseModel):
    subfolder: str
    name: str


class Fault(BaseModel):
    message: str = ""
    details: str = ""


class NodeFaults(BaseModel):
    class_type: str
    errors: list[Fault]


class PromptAnswer(BaseModel):
    """Validation's answer to a prompt; ComfyUI sends an empty list where no node is at fault."""

    error: Fault = Fault()
    node_errors: Annotated[dict[str, NodeFaults], BeforeValidator(lambda given: given or {})] = {}

    @property
    def message(self) -> str:
        """What is wrong, without the numbers of nodes; empty where nothing is."""
        nodes = self.node_errors.values()
        faults = [f"{node.class_type}: {each.message} ({each.details})" for node in nodes for each in node.errors]
        return shown("; ".join(faults) or f"{self.error.message} {self.error.details}")


class ResultFile(BaseModel):
    filename: str
    subfolder: str = ""
    type: Literal["output"]


class Event(BaseModel):
    timestamp: FiniteFloat | None = None
    """In milliseconds."""
    node_type: str = ""
    exception_message: str = ""


class Status(BaseModel):
    status_str: str = ""
    messages: Annotated[dict[str, Event], BeforeValidator(dict)] = {}
    """By their names, with which they come in pairs."""


class Outcome(BaseModel):
    """A prompt that has ended, as the history has it."""

    status: Annotated[Status, BeforeValidator(lambda given: given or {})] = Status()
    outputs: dict[str, dict[str, list[ResultFile | Any] | Any]] = {}

    @property
    def files(self) -> list[dict[str, str]]:
        """What it put into the output folder."""
        lists = [kind for output in self.outputs.values() for kind in output.values() if isinstance(kind, list)]
        return [each.model_dump() for kind in lists for each in kind if isinstance(each, ResultFile)]

    @property
    def seconds(self) -> float | None:
        """How long it ran, where the server says so."""
        times = [event.timestamp for event in self.status.messages.values() if event.timestamp]
        return (max(times) - min(times)) / 1000 if len(times) > 1 else None

    @property
    def error(self) -> str | None:
        """What went wrong; None where nothing did."""
        if failure := self.status.messages.get("execution_error"):
            return shown(f"{failure.node_type}: {failure.exception_message}")
        if "execution_interrupted" in self.status.messages:
            return "cancelled on the server"
        if self.status.status_str == "error":
            return "the server gives no reason"
        return None if self.files else NO_FILE


def shown(text: str) -> str:
    """What a server said, as one line that can be shown."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * LONGEST_MESSAGE])
    return re.sub(r" +", " ", plain).strip()[:LONGEST_MESSAGE]
