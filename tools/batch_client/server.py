"""A running ComfyUI, asked over HTTP."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

from .workflow import Prompt

GATEWAY_ERRORS = {502, 503, 504}
"""What a proxy answers while the server behind it is away."""
TOO_LARGE = 413


class InvalidAddress(ValueError):
    """The address of a server is none."""


class ServerLost(Exception):
    """No answer from the server: it may have got the request or not."""


class UnknownHost(ServerLost):
    """There is no machine of this name."""


class Refused(Exception):
    """The server answered that it will not do this."""


class Server:
    """One ComfyUI.

    Every method raises ServerLost where no whole answer comes, and Refused where the answer is an error.

    Args:
        url: its address, as in the browser, without a slash at the end.
        timeout: seconds to wait for an answer.

    Raises:
        InvalidAddress: the address is none.
    """

    def __init__(self, url: str, timeout: float) -> None:
        try:
            parts = urlsplit(url)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address:
            raise InvalidAddress(f"“{url}” is not an address: write it like http://127.0.0.1:8188")
        self.url = url
        self._timeout = timeout

    def missing_nodes(self, kinds: Iterable[str]) -> list[str]:
        """Those of the node classes that this server does not know."""
        return [kind for kind in sorted(kinds) if kind not in self._json(f"/object_info/{quote(kind, safe='')}")]

    def upload(self, content: bytes, name: str, folder: str) -> str:
        """Put a file into a subfolder of the input folder, unless it is there; the name by which nodes read it."""
        boundary = uuid.uuid4().hex
        fields = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in {"type": "input", "subfolder": folder}.items()
        )
        # Not "overwrite": a running prompt may be reading the same file.
        start = (
            f'{fields}--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = start.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        answer = self._json("/upload/image", body, f"multipart/form-data; boundary={boundary}")
        return f"{answer['subfolder']}/{answer['name']}"

    def queue(self, prompt: Prompt, prompt_id: str) -> None:
        """Queue a prompt under an id, a UUID."""
        answer = self._json("/prompt", json.dumps({"prompt": prompt, "prompt_id": prompt_id}).encode())
        if answer.get("node_errors"):
            # The rest of the prompt is in the queue all the same.
            self.cancel([prompt_id])
            raise Refused(_validation_message(answer))

    def queued(self) -> set[str]:
        """The ids of all prompts that run or wait."""
        queue = self._json("/queue")
        return {item[1] for item in [*queue["queue_running"], *queue["queue_pending"]]}

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """What became of a prompt that has ended; None where the server knows of none."""
        entry: dict[str, Any] | None = self._json(f"/history/{prompt_id}").get(prompt_id)
        return entry

    def cancel(self, prompt_ids: Sequence[str]) -> None:
        """Take prompts from the queue, and interrupt the one that runs."""
        # All that wait first, or one of them would begin when the running one ends.
        self._request("/queue", json.dumps({"delete": prompt_ids}).encode())
        for prompt_id in prompt_ids:
            self._request("/interrupt", json.dumps({"prompt_id": prompt_id}).encode())

    def download(self, file: Mapping[str, str]) -> bytes:
        """A file of the output folder, as an outcome names it."""
        return self._request(f"/view?{urlencode(file)}")

    def _json(self, path: str, body: bytes | None = None, kind: str = "application/json") -> dict[str, Any]:
        text = self._request(path, body, kind)
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise Refused(f"{self.url} does not answer as ComfyUI does") from error
        if not isinstance(answer, dict):
            raise Refused(f"{self.url} does not answer as ComfyUI does")
        return answer

    def _request(self, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        request = Request(self.url + path, body, {"Content-Type": kind} if body else {})
        with _errors(self.url), urlopen(request, timeout=self._timeout) as answer:
            content: bytes = answer.read()
            return content


@contextmanager
def _errors(url: str) -> Iterator[None]:
    """Tell a server that says no from one that says nothing."""
    try:
        yield
    except HTTPError as error:
        if error.code in GATEWAY_ERRORS:
            raise ServerLost(f"{url} answers {error.code} {error.reason}") from error
        raise Refused(_error_message(url, error)) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        kind = UnknownHost if isinstance(reason, socket.gaierror) else ServerLost
        raise kind(f"{url} does not answer ({reason})") from error


def _error_message(url: str, error: HTTPError) -> str:
    if error.code == TOO_LARGE:
        return "a file is larger than the server takes: start ComfyUI with a larger --max-upload-size (MB)"
    try:
        answer = json.loads(error.read())
    except (OSError, HTTPException, ValueError):
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        return _validation_message(answer)
    return f"{url} answers {error.code} {error.reason}"


def _validation_message(answer: dict[str, Any]) -> str:
    """What ComfyUI's validation said of a prompt, without the numbers of nodes."""
    faults = [
        f"{node['class_type']}: {fault['message']} ({fault['details']})"
        for node in (answer.get("node_errors") or {}).values()
        for fault in node["errors"]
    ]
    error = answer.get("error") or {}
    return "; ".join(faults) or f"{error.get('message', '')} {error.get('details', '')}".strip()
