"""A running ComfyUI, asked over HTTP: every answer has a limit of time and of size, and is taken for what it is."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from .jobs import CHUNK
from .workflow import Prompt

GATEWAY_ERRORS = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
"""What a proxy answers while the server behind it is away."""
LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer that is no file."""
TRANSFER_FACTOR = 30
"""How much longer than another answer a file may take."""
LONGEST_MESSAGE = 2000
FILE_KEYS = ("filename", "subfolder", "type")
"""What names a file of a server."""
Chunks = Sequence[tuple[int, Awaitable[bytes]]]
"""Of a file: their sizes and what gives them."""


class InvalidAddress(ValueError):
    """The address of a server is none."""


class ServerLost(Exception):
    """No answer from the server, or none that is ComfyUI's: it may have got the request or not."""


class UnknownHost(ServerLost):
    """There is no machine of this name."""


class Refused(Exception):
    """The server answered that it will not do this."""


@dataclass(frozen=True)
class Limits:
    """What is waited for.

    Attributes:
        seconds: for a whole answer, and between two parts of a file.
        largest: bytes of a row's results.
        poll: seconds between two looks at the queue.
        patience: seconds without an answer after which others may take the rows.
        longest_wait: seconds between two tries of a lost server.
        give_up: seconds after which it is no longer tried.
    """

    seconds: float = 60.0
    largest: int = 4 * 2**30
    poll: float = 0.5
    patience: float = 15.0
    longest_wait: float = 60.0
    give_up: float = 600.0


@dataclass(frozen=True)
class Outcome:
    """The end of a prompt.

    Attributes:
        files: what it put into the output folder, each with FILE_KEYS.
        error: what went wrong; None where nothing did.
        seconds: how long it ran, where the server says so.
    """

    files: tuple[dict[str, str], ...] = ()
    error: str | None = None
    seconds: float | None = None


def checked_address(url: str) -> str:
    """An address as in the browser, without a slash at the end.

    Raises:
        InvalidAddress: it is none.
    """
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise InvalidAddress(f"“{url}” is not an address: write it like http://127.0.0.1:8188")
    return url.rstrip("/")


class Server:
    """One ComfyUI.

    Every method raises ServerLost where no whole answer of ComfyUI's form comes within the limits, and Refused where
    the answer is an error.
    """

    def __init__(self, url: str, limits: Limits) -> None:
        self.url = url
        self.limits = limits

    async def missing_nodes(self, kinds: Iterable[str]) -> list[str]:
        """Those of the node classes that this server does not know."""
        return [kind for kind in kinds if kind not in await self._json(f"/object_info/{quote(kind, safe='')}")]

    async def upload(self, chunks: Chunks, name: str, folder: str) -> str:
        """Put a file into a subfolder of the input folder, unless it is there; the name by which nodes read it."""
        # Not "overwrite": a running prompt may be reading the same file.
        form = aiohttp.FormData({"type": "input", "subfolder": folder})
        form.add_field("image", _FilePayload(chunks), filename=name)
        answer = await self._json("/upload/image", self.limits.seconds * TRANSFER_FACTOR, data=form)
        with self._understood():
            return f"{_text(answer['subfolder'])}/{_text(answer['name'])}"

    async def queue(self, prompt: Prompt, prompt_id: str) -> None:
        """Queue a prompt under an id, a UUID."""
        answer = await self._json("/prompt", json={"prompt": prompt, "prompt_id": prompt_id})
        if answer.get("node_errors"):
            # The rest of the prompt is in the queue all the same.
            await self.cancel([prompt_id])
            with self._understood():
                raise Refused(_validation_message(answer))

    async def queued(self) -> set[str]:
        """The ids of the prompts that run or wait."""
        answer = await self._json("/queue")
        with self._understood():
            return {_text(item[1]) for item in [*answer["queue_running"], *answer["queue_pending"]]}

    async def outcome(self, prompt_id: str) -> Outcome | None:
        """What became of a prompt that has ended; None where the server knows of none."""
        answer = await self._json(f"/history/{prompt_id}")
        with self._understood():
            return read_outcome(answer[prompt_id]) if prompt_id in answer else None

    async def known(self, prompt_ids: Sequence[str]) -> list[str]:
        """Those of the prompts that the server has, whether they wait, run or have ended."""
        # The queue first: what leaves it is in the history from then on.
        queued = await self.queued()
        return [prompt_id for prompt_id in prompt_ids if prompt_id in queued or await self.outcome(prompt_id)]

    async def cancel(self, prompt_ids: Sequence[str]) -> None:
        """Take prompts from the queue, and interrupt the one that runs."""
        # All that wait first, or one of them would begin when the running one ends.
        await self._read("/queue", json={"delete": list(prompt_ids)})
        for prompt_id in prompt_ids:
            await self._read("/interrupt", json={"prompt_id": prompt_id})

    async def download(self, file: dict[str, str], most: int) -> AsyncIterator[bytes]:
        """A file of the output folder, as an outcome names it, in chunks; refused where it has more bytes."""
        seconds = self.limits.seconds * TRANSFER_FACTOR
        async for chunk in self._chunks(f"/view?{urlencode(file)}", seconds, most, Refused):
            yield chunk

    async def _json(self, path: str, seconds: float | None = None, **content: Any) -> dict[str, Any]:
        text = await self._read(path, seconds, **content)
        with self._understood():
            answer: dict[str, Any] = dict(json.loads(text).items())
            return answer

    async def _read(self, path: str, seconds: float | None = None, **content: Any) -> bytes:
        chunks = self._chunks(path, seconds or self.limits.seconds, LARGEST_ANSWER, ServerLost, **content)
        return b"".join([chunk async for chunk in chunks])

    async def _chunks(
        self, path: str, seconds: float, most: int, too_long: type[Exception], **content: Any
    ) -> AsyncIterator[bytes]:
        """The server's answer, if it is a yes; a POST where there is content."""
        limit = aiohttp.ClientTimeout(total=seconds, sock_read=self.limits.seconds)
        method, taken, error = "POST" if content else "GET", 0, b""
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, headers={"Accept-Encoding": "identity"}) as session,
                session.request(method, self.url + path, allow_redirects=False, **content) as answer,
            ):
                async for chunk in answer.content.iter_chunked(CHUNK):
                    taken += len(chunk)
                    if taken > most:
                        raise too_long(f"{self.url} answers with more than {most / 2**20:.0f} MB")
                    if answer.ok and answer.status < HTTPStatus.MULTIPLE_CHOICES:
                        yield chunk
                    else:
                        error += chunk
                if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                    raise self._no(answer, error)
        except asyncio.TimeoutError as fault:
            raise ServerLost(f"{self.url} does not answer in time") from fault
        except aiohttp.ClientConnectorDNSError as fault:
            raise UnknownHost(f"{self.url} does not answer ({fault})") from fault
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            raise ServerLost(f"{self.url} does not answer ({_shown(str(fault))})") from fault

    def _no(self, answer: aiohttp.ClientResponse, text: bytes) -> Exception:
        """What an answer means that is no yes."""
        said = f"{self.url} answers {answer.status} {_shown(answer.reason or '')}"
        if answer.status in GATEWAY_ERRORS:
            return ServerLost(said)
        if answer.status < HTTPStatus.BAD_REQUEST:
            target = _shown(answer.headers.get("Location", "another address"))
            return ServerLost(f"{self.url} sends on to {target}: give the address of the ComfyUI itself")
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Refused("a file is larger than the server takes: start ComfyUI with a larger --max-upload-size (MB)")
        try:
            with self._understood():
                return Refused(_validation_message(dict(json.loads(text).items())) or said)
        except ServerLost:
            return Refused(said)  # An error need not be ComfyUI's own.

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Tell what is not of ComfyUI's form from a fault of ours."""
        try:
            yield
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise ServerLost(f"{self.url} does not answer as ComfyUI does") from error


class _FilePayload(aiohttp.payload.AsyncIterablePayload):
    """A file that is sent as its chunks come, with its size ahead: not every proxy takes one without."""

    def __init__(self, chunks: Chunks) -> None:
        async def contents() -> AsyncIterator[bytes]:
            for _, chunk in chunks:
                yield await chunk

        super().__init__(contents(), content_type="application/octet-stream")
        self._size = sum(size for size, _ in chunks)


def read_outcome(entry: dict[str, Any]) -> Outcome:
    """The outcome that an entry of the history tells.

    Raises:
        ValueError, TypeError, AttributeError, LookupError: the entry is not of ComfyUI's form.
    """
    status = entry.get("status") or {}
    messages = {_text(name): dict(event.items()) for name, event in status.get("messages") or []}
    files = tuple(_files(entry.get("outputs") or {}))
    error = _error(messages)
    if error is None and status.get("status_str") == "error":
        error = "the server gives no reason"
    if error is None and not files:
        error = "the server says that it succeeded, but names no file: does the workflow save one?"
    return Outcome(files, error, _seconds(messages))


def _error(messages: dict[str, dict[str, Any]]) -> str | None:
    if "execution_error" in messages:
        event = messages["execution_error"]
        return _shown(f"{event['node_type']}: {event['exception_message']}")
    if "execution_interrupted" in messages:
        return "cancelled on the server"
    return None


def _files(outputs: dict[str, dict[str, Any]]) -> Iterator[dict[str, str]]:
    entries = [
        entry for output in outputs.values() for kind in output.values() if isinstance(kind, list) for entry in kind
    ]
    for entry in entries:
        if isinstance(entry, dict) and entry.get("type") == "output":
            yield {key: _text(entry.get(key, "")) for key in FILE_KEYS}


def _seconds(messages: dict[str, dict[str, Any]]) -> float | None:
    times = [float(event["timestamp"]) for event in messages.values() if "timestamp" in event]
    seconds = (max(times) - min(times)) / 1000 if len(times) > 1 else math.nan
    return seconds if math.isfinite(seconds) else None


def _validation_message(answer: dict[str, Any]) -> str:
    """What ComfyUI's validation said of a prompt, without the numbers of nodes."""
    faults = [
        f"{node['class_type']}: {fault['message']} ({fault['details']})"
        for node in (answer.get("node_errors") or {}).values()
        for fault in node["errors"]
    ]
    error = answer.get("error") or {}
    return _shown("; ".join(faults) or f"{error.get('message', '')} {error.get('details', '')}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    value.encode()
    return value


def _shown(text: str) -> str:
    """What a server said, as one line that can be shown."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * LONGEST_MESSAGE])
    return re.sub(r" +", " ", plain).strip()[:LONGEST_MESSAGE]
