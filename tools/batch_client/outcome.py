"""What became of a prompt, read from ComfyUI's history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FILE_KEYS = ("filename", "subfolder", "type")
"""What names a file of a server."""


@dataclass(frozen=True)
class Outcome:
    """The end of a prompt.

    Attributes:
        files: what it put into the output folder, each with FILE_KEYS.
        error: what went wrong; None where nothing did.
        seconds: how long it ran, where the server says so.
    """

    files: tuple[dict[str, str], ...]
    error: str | None
    seconds: float | None


def read_outcome(entry: dict[str, Any]) -> Outcome:
    """The outcome that an entry of the history tells."""
    status = entry.get("status") or {}
    messages = {name: event for name, event in status.get("messages") or []}
    error = _error(messages)
    if error is None and status.get("status_str") == "error":
        error = "the server gives no reason"
    return Outcome(tuple(_files(entry.get("outputs") or {})), error, _seconds(messages))


def _error(messages: dict[str, dict[str, Any]]) -> str | None:
    if "execution_error" in messages:
        event = messages["execution_error"]
        return f"{event['node_type']}: {event['exception_message'].strip()}"
    if "execution_interrupted" in messages:
        return "cancelled on the server"
    return None


def _files(outputs: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    entries = [
        entry for output in outputs.values() for kind in output.values() if isinstance(kind, list) for entry in kind
    ]
    files = [entry for entry in entries if isinstance(entry, dict) and entry.get("type") == "output"]
    return [{key: file.get(key, "") for key in FILE_KEYS} for file in files]


def _seconds(messages: dict[str, dict[str, Any]]) -> float | None:
    times = [event["timestamp"] for event in messages.values() if "timestamp" in event]
    return (max(times) - min(times)) / 1000 if len(times) > 1 else None
