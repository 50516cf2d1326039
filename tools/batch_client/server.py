"""A running ComfyUI, asked over HTTP: every answer has a limit of time and of size, and is taken for what it is."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from .jobs import CHUNK
from .workflow import Prompt

GATEWAY_ERRORS = {502, 503, 504}
"""What a proxy answers while the server behind it is away."""
TOO_LARGE = 413
LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer that is no file."""
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
    """What an answer may take.

    Attributes:
        seconds: for a whole answer.
        transfer_seconds: for a whole file, up or down.
        largest: bytes of a result.
    """

    seconds: float = 60.0
    transfer_seconds: float = 1800.0
    largest: int = 4 * 2**30


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
        self._limits = limits

    async def missing_nodes(self, kinds: Iterable[str]) -> list[str]:
        """Those of the node classes that this server does not know."""
        return [kind for kind in sorted(kinds) if kind not in await self._json(f"/object_info/{quote(kind, safe='')}")]

    async def upload(self, chunks: Chunks, name: str, folder: str) -> str:
        """Put a file into a subfolder of the input folder, unless it is there; the name by which nodes read it."""
        # Not "overwrite": a running prompt may be reading the same file.
        form = aiohttp.FormData({"type": "input", "subfolder": folder})
        form.add_field("image", _FilePayload(chunks), filename=name)
        answer = await self._json("/upload/image", data=form, seconds=self._limits.transfer_seconds)
        with understood(self.url):
            return f"{_text(answer['subfolder'])}/{_text(answer['name'])}"

    async def queue(self, prompt: Prompt, prompt_id: str) -> None:
        """Queue a prompt under an id, a UUID."""
        answer = await self._json("/prompt", json={"prompt": prompt, "prompt_id": prompt_id})
        if answer.get("node_errors"):
            # The rest of the prompt is in the queue all the same.
            await self.cancel([prompt_id])
            with understood(self.url):
                raise Refused(_validation_message(answer))

    async def queued(self) -> tuple[set[str], set[str]]:
        """The ids of the prompts that run, and of those that wait."""
        answer = await self._json("/queue")
        with understood(self.url):
            running, waiting = (
                {_text(item[1]) for item in answer[name]} for name in ("queue_running", "queue_pending")
            )
        return running, waiting

    async def outcome(self, prompt_id: str) -> Outcome | None:
        """What became of a prompt that has ended; None where the server knows of none."""
        answer = await self._json(f"/history/{prompt_id}")
        if prompt_id not in answer:
            return None
        with understood(self.url):
            return read_outcome(answer[prompt_id])

    async def cancel(self, prompt_ids: Sequence[str]) -> None:
        """Take prompts from the queue, and interrupt the one that runs."""
        # All that wait first, or one of them would begin when the running one ends.
        await self._read("/queue", json={"delete": list(prompt_ids)})
        for prompt_id in prompt_ids:
            await self._read("/interrupt", json={"prompt_id": prompt_id})

    async def download(self, file: dict[str, str]) -> AsyncIterator[bytes]:
        """A file of the output folder, as an outcome names it, in chunks."""
        seconds, most = self._limits.transfer_seconds, self._limits.largest
        async with self._answer(f"/view?{urlencode(file)}", seconds) as answer:
            async for chunk in _limited(answer, most, f"its result is larger than {most / 2**30:g} GB"):
                yield chunk

    async def _json(self, path: str, seconds: float | None = None, **content: Any) -> dict[str, Any]:
        text = await self._read(path, seconds, **content)
        with understood(self.url):
            answer: dict[str, Any] = dict(json.loads(text).items())
        return answer

    async def _read(self, path: str, seconds: float | None = None, **content: Any) -> bytes:
        fault = f"{self.url} answers with more than {LARGEST_ANSWER >> 20} MB"
        async with self._answer(path, seconds or self._limits.seconds, **content) as answer:
            return b"".join([chunk async for chunk in _limited(answer, LARGEST_ANSWER, fault)])

    @asynccontextmanager
    async def _answer(self, path: str, seconds: float, **content: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """The server's answer, if it is a yes; a POST where there is content."""
        limit = aiohttp.ClientTimeout(total=seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, headers={"Accept-Encoding": "identity"}) as session,
                session.request(
                    "POST" if content else "GET", self.url + path, allow_redirects=False, **content
                ) as answer,
            ):
                await self._check(answer)
                yield answer
        except asyncio.TimeoutError as error:
            raise ServerLost(f"{self.url} has not answered within {seconds:g} s") from error
        except aiohttp.ClientConnectorDNSError as error:
            raise UnknownHost(f"{self.url} does not answer ({error})") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ServerLost(f"{self.url} does not answer ({error})") from error

    async def _check(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status < 300:
            return
        if answer.status in GATEWAY_ERRORS:
            raise ServerLost(f"{self.url} answers {answer.status} {answer.reason}")
        if answer.status < 400:
            target = answer.headers.get("Location", "another address")
            raise ServerLost(f"{self.url} sends on to {target[:200]}: give the address of the ComfyUI itself")
        if answer.status == TOO_LARGE:
            raise Refused("a file is larger than the server takes: start ComfyUI with a larger --max-upload-size (MB)")
        text = b"".join([chunk async for chunk in _limited(answer, LARGEST_ANSWER, "its error has no end")])
        message = ""
        try:
            with understood(self.url):
                message = _validation_message(dict(json.loads(text).items()))
        except ServerLost:
            pass  # An error need not be ComfyUI's own.
        raise Refused(message or f"{self.url} answers {answer.status} {answer.reason}")


class _FilePayload(aiohttp.payload.AsyncIterablePayload):
    """A file that is sent as its chunks come, with its size ahead: not every proxy takes one without."""

    def __init__(self, chunks: Chunks) -> None:
        async def contents() -> AsyncIterator[bytes]:
            for _, chunk in chunks:
                yield await chunk

        super().__init__(contents(), content_type="application/octet-stream")
        self._size = sum(size for size, _ in chunks)


async def _limited(answer: aiohttp.ClientResponse, most: int, fault: str) -> AsyncIterator[bytes]:
    taken = 0
    async for chunk in answer.content.iter_chunked(CHUNK):
        taken += len(chunk)
        if taken > most:
            raise Refused(fault)
        yield chunk


@contextmanager
def understood(url: str) -> Iterator[None]:
    """Tell what is not of ComfyUI's form from a fault of ours."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise ServerLost(f"{url} does not answer as ComfyUI does") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


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
        return f"{_text(event['node_type'])}: {_text(event['exception_message']).strip()}"[:LONGEST_MESSAGE]
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
    return (max(times) - min(times)) / 1000 if len(times) > 1 else None


def _validation_message(answer: dict[str, Any]) -> str:
    """What ComfyUI's validation said of a prompt, without the numbers of nodes."""
    faults = [
        f"{node['class_type']}: {fault['message']} ({fault['details']})"
        for node in (answer.get("node_errors") or {}).values()
        for fault in node["errors"]
    ]
    error = answer.get("error") or {}
    said = "; ".join(faults) or f"{error.get('message', '')} {error.get('details', '')}".strip()
    return re.sub(r"\s+", " ", said)[:LONGEST_MESSAGE]
