"""What can become of a prompt that does not end well, as exceptions."""

from __future__ import annotations

import json
from typing import Any


class PromptRejected(Exception):
    """ComfyUI's validation refused the prompt (HTTP 400).

    `node_errors` maps a node's id to {"class_type", "errors": [{"type", "message", "details", ...}]}.
    """

    def __init__(self, answer: dict[str, Any]) -> None:
        error = answer.get("error", {})
        self.node_errors: dict[str, Any] = answer.get("node_errors") or {}
        self.message = f"{error.get('message', '')} {error.get('details', '')}".strip()
        super().__init__(f"{self.message}\n{json.dumps(self.node_errors, indent=2)}")


class PromptFailed(Exception):
    """A node raised while the prompt ran."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.node_id: str = event["node_id"]
        self.node_type: str = event["node_type"]
        self.exception_type: str = event["exception_type"]
        self.message: str = event["exception_message"].strip()
        self.traceback = "".join(event.get("traceback") or [])
        super().__init__(f"node {self.node_id} ({self.node_type}): {self.message}\n{self.traceback}")


class PromptInterrupted(Exception):
    """The prompt was cancelled while a node ran."""

    def __init__(self, event: dict[str, Any]) -> None:
        self.node_id: str = event["node_id"]
        self.node_type: str = event["node_type"]
        super().__init__(f"interrupted in node {self.node_id} ({self.node_type})")


def check_history_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """The outputs of a finished prompt, {node id: {kind: [...]}}; raises what went wrong with one that did not."""
    for name, event in entry["status"]["messages"]:
        if name == "execution_error":
            raise PromptFailed(event)
        if name == "execution_interrupted":
            raise PromptInterrupted(event)
    outputs: dict[str, Any] = entry["outputs"]
    return outputs
