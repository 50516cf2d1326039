"""A running ComfyUI, asked over HTTP: every answer has a limit of time and of size, and is taken for what it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from pydantic import AnyHttpUrl, TypeAdapter

from .answers import Outcome, PromptAnswer, QueueAnswer, UploadAnswer, shown
from .jobs import CHUNK
from .workflow import Prompt

GATEWAY_ERRORS = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
"""What a proxy answers while the server behind it is away."""
LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer that is no file."""
TRANSFER_FACTOR = 30
"""How much longer than another answer a file may take."""
Chunks = Sequence[tuple[int, Awaitable[bytes]]]
"""Of a file: their sizes and what gives them."""
Form = TypeVar("Form")


class BadServers(Exception):
    """The batch cannot begin with these servers; a line for each reason."""


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


def checked_address(url: str) -> str:
    """An address as in the browser, without a slash at the end; raises BadServers where it is none."""
    try:
        TypeAdapter(AnyHttpUrl).validate_python(url)
    except ValueError as error:
        raise BadServers(f"“{url}” is not an address: write it like http://127.0.0.1:8188") from error
    return url.rstrip("/")


class Server:
    """One ComfyUI.

    Every method raises ServerLost where no whole answer of ComfyUI's form comes within the limits, and Refused where
    the answer is an error.
    """

    def __init__(self, url: str, limits: Limits) -> None:
        self.url, self.limits = url, limits

    async def missing_nodes(self, kinds: Iterable[str]) -> list[str]:
        """Those of the node classes that this server does not know."""
        answers = [(kind, await self._ask(f"/object_info/{quote(kind, safe='')}", dict[str, Any])) for kind in kinds]
        return [kind for kind, answer in answers if kind not in answer]

    async def upload(self, chunks: Chunks, name: str, folder: str) -> str:
        """Put a file into a subfolder of the input folder, unless it is there; the name by which nodes read it."""
        # Not "overwrite": a running prompt may be reading the same file.
        form = aiohttp.FormData({"type": "input", "subfolder": folder})
        form.add_field("image", _FilePayload(chunks), filename=name)
        answer = await self._ask("/upload/image", UploadAnswer, self.limits.seconds * TRANSFER_FACTOR, data=form)
        return f"{answer.subfolder}/{answer.name}"

    async def queue(self, prompt: Prompt, prompt_id: str) -> None:
        """Queue a prompt under an id, a UUID."""
        answer = await self._ask("/prompt", PromptAnswer, json={"prompt": prompt, "prompt_id": prompt_id})
        if answer.node_errors:
            # The rest of the prompt is in the queue all the same.
            await self.cancel([prompt_id])
            raise Refused(answer.message)

    async def queued(self) -> set[str]:
        """The ids of the prompts that run or wait."""
        answer = await self._ask("/queue", QueueAnswer)
        return {*answer.queue_running, *answer.queue_pending}

    async def outcome(self, prompt_id: str) -> Outcome | None:
        """What became of a prompt that has ended; None where the server knows of none."""
        return (await self._ask(f"/history/{prompt_id}", dict[str, Outcome])).get(prompt_id)

    async def known(self, prompt_ids: Iterable[str]) -> list[str]:
        """Those of the prompts that the server has, whether they wait, run or have ended."""
        # The queue first: what leaves it is in the history from then on.
        queued = await self.queued()
        return [prompt_id for prompt_id in prompt_ids if prompt_id in queued or await self.outcome(prompt_id)]

    async def cancel(self, prompt_ids: Sequence[str]) -> None:
        """Take prompts from the queue, and interrupt the one that runs."""
        # All that wait first, or one of them would begin when the running one ends.
        await self._text("/queue", self.limits.seconds, json={"delete": prompt_ids})
        for prompt_id in prompt_ids:
            await self._text("/interrupt", self.limits.seconds, json={"prompt_id": prompt_id})

    async def download(self, file: dict[str, str], most: int) -> AsyncIterator[bytes]:
        """A file of the output folder, as an outcome names it, in chunks; refused where it has more bytes."""
        seconds = self.limits.seconds * TRANSFER_FACTOR
        async for chunk in self._chunks(f"/view?{urlencode(file)}", seconds, most, Refused):
            yield chunk

    async def _ask(self, path: str, form: type[Form], seconds: float | None = None, **content: Any) -> Form:
        """The server's answer, whose JSON must have a form."""
        return self._read(form, await self._text(path, seconds or self.limits.seconds, **content))

    def _read(self, form: type[Form], text: bytes) -> Form:
        try:
            return TypeAdapter(form).validate_json(text)
        except (ValueError, TypeError, LookupError) as error:
            raise ServerLost(f"{self.url} does not answer as ComfyUI does") from error

    async def _text(self, path: str, seconds: float, **content: Any) -> bytes:
        return b"".join([each async for each in self._chunks(path, seconds, LARGEST_ANSWER, ServerLost, **content)])

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
                is_yes = answer.status < HTTPStatus.MULTIPLE_CHOICES
                async for chunk in answer.content.iter_chunked(CHUNK):
                    taken += len(chunk)
                    if taken > most:
                        raise too_long(f"{self.url} answers with more than {most / 2**20:.0f} MB")
                    if is_yes:
                        yield chunk
                    else:
                        error += chunk
                if not is_yes:
                    raise self._no(answer, error)
        except asyncio.TimeoutError as fault:
            raise ServerLost(f"{self.url} does not answer in time") from fault
        except aiohttp.ClientConnectorDNSError as fault:
            raise UnknownHost(f"{self.url} does not answer ({fault})") from fault
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            raise ServerLost(f"{self.url} does not answer ({shown(str(fault))})") from fault

    def _no(self, answer: aiohttp.ClientResponse, text: bytes) -> Exception:
        """What an answer means that is no yes."""
        said = f"{self.url} answers {answer.status} {shown(answer.reason or '')}"
        if answer.status in GATEWAY_ERRORS:
            return ServerLost(said)
        if answer.status < HTTPStatus.BAD_REQUEST:
            target = shown(answer.headers.get("Location", "another address"))
            return ServerLost(f"{self.url} sends on to {target}: give the address of the ComfyUI itself")
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Refused("a file is larger than the server takes: start ComfyUI with a larger --max-upload-size (MB)")
        try:
            return Refused(self._read(PromptAnswer, text).message or said)
        except ServerLost:
            return Refused(said)  # An error need not be ComfyUI's own.


class _FilePayload(aiohttp.payload.AsyncIterablePayload):
    """A file that is sent as its chunks come, with its size ahead: not every proxy takes one without."""

    def __init__(self, chunks: Chunks) -> None:
        async def contents() -> AsyncIterator[bytes]:
            for _, chunk in chunks:
                yield await chunk

        super().__init__(contents(), content_type="application/octet-stream")
        self._size = sum(size for size, _ in chunks)
