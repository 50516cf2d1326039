"""The actors of a batch: each sends rows to one ComfyUI, which runs already or which the actor starts itself."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .jobs import UPLOADS, with_names
from .server import Chunks, Limits, Outcome, Refused, Server, ServerLost
from .workflow import Prompt

LOG_LINES = 20
START_SECONDS = 600
END_SECONDS = 20
KEEPER = """
import subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def wait_for_the_actor():
    sys.stdin.read()
    child.terminate()
    try:
        child.wait(20)
    except subprocess.TimeoutExpired:
        child.kill()
threading.Thread(target=wait_for_the_actor, daemon=True).start()
sys.exit(child.wait())
"""
"""Ends ComfyUI when its actor is gone, however that went: then the pipe is closed."""


@dataclass(frozen=True)
class Timing:
    """How often to look, and for how long to try.

    Attributes:
        poll: seconds between two looks at the queue.
        patience: seconds without an answer after which another server gets the row.
        longest_wait: seconds between two tries of a lost server.
        give_up: seconds after which it is no longer tried.
    """

    poll: float = 0.5
    patience: float = 15.0
    longest_wait: float = 60.0
    give_up: float = 600.0


@dataclass(frozen=True)
class Lost:
    """A row that its server has not done.

    Attributes:
        reason: why.
        blamed: whether the server was working on it.
    """

    reason: str
    blamed: bool


class Worker:
    """A Ray actor for one ComfyUI that runs already.

    Args:
        url: its address.
        limits, timing: of every request.
    """

    def __init__(self, url: str, limits: Limits, timing: Timing) -> None:
        self._server = Server(url, limits)
        self._timing = timing
        self._uploaded: dict[str, str] = {}
        self._uploading = asyncio.Lock()

    async def missing_nodes(self, kinds: Sequence[str]) -> list[str]:
        """Those of the node classes that the server does not know; raises as Server does."""
        return await self._server.missing_nodes(kinds)

    async def known(self, prompt_ids: Sequence[str]) -> list[str]:
        """Those of the prompts that the server has, whether they wait, run or are done."""
        running, waiting = await self._server.queued()
        rest = [prompt_id for prompt_id in prompt_ids if prompt_id not in running | waiting]
        done = [prompt_id for prompt_id in rest if await self._server.outcome(prompt_id)]
        return [prompt_id for prompt_id in prompt_ids if prompt_id not in rest or prompt_id in done]

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Those of the files that have not been brought to the server."""
        return [name for name in names if name not in self._uploaded]

    async def run(self, prompt: Prompt, prompt_id: str, files: Mapping[str, Chunks]) -> Outcome | Lost:
        """Have a prompt made, or wait for it where the server has it already.

        Args:
            prompt: with files by the names that `jobs.remote_name` gives them.
            files: chunks of those that the server lacks, as awaitables.

        Raises:
            Refused: the server will not do it.
        """
        reached = False
        try:
            known = await self.known([prompt_id])
            reached = True
            if not known:
                await self._upload(files)
                names = {f"{UPLOADS}/{name}": given for name, given in self._uploaded.items()}
                await self._server.queue(with_names(prompt, names), prompt_id)
            return await self._wait(prompt_id)
        except ServerLost as error:
            return self._lost(str(error), blamed=reached)

    async def _upload(self, files: Mapping[str, Chunks]) -> None:
        async with self._uploading:
            for name, chunks in files.items():
                if name not in self._uploaded:
                    self._uploaded[name] = await self._server.upload(chunks, name, UPLOADS)

    async def _wait(self, prompt_id: str) -> Outcome | Lost:
        """Look until the prompt has ended, and past answers that do not come for a while."""
        ran, answered = False, time.monotonic()
        while True:
            try:
                # The queue first: what leaves it is in the history from then on.
                running, waiting = await self._server.queued()
                if prompt_id not in running | waiting:
                    outcome = await self._server.outcome(prompt_id)
                    # The server has started again, or somebody has emptied its queue.
                    return outcome or self._lost(f"{self._server.url} no longer knows of it", ran)
                ran, answered = prompt_id in running, time.monotonic()
            except ServerLost as error:
                if time.monotonic() - answered > self._timing.patience:
                    return self._lost(str(error), ran)
            await asyncio.sleep(self._timing.poll)

    def _lost(self, reason: str, blamed: bool) -> Lost:
        self._uploaded.clear()
        return Lost(reason, blamed)

    async def cancel(self, prompt_ids: Sequence[str]) -> None:
        """Drop prompts that others have taken over; raises as Server does."""
        await self._server.cancel(prompt_ids)

    async def wait_until_back(self, kinds: Sequence[str]) -> str | None:
        """Try a lost server until it answers and knows the node classes; why it is given up, or None."""
        start, wait = time.monotonic(), self._timing.poll
        while True:
            try:
                missing = await self._server.missing_nodes(kinds)
                if missing:
                    return lacks(self._server.url, missing)
                return None
            except (ServerLost, Refused) as error:
                if time.monotonic() - start > self._timing.give_up:
                    return f"{error}, for {self._timing.give_up:g} s"
            await asyncio.sleep(wait)
            wait = min(2 * wait, self._timing.longest_wait)

    def end(self) -> None:
        """Let go of what the actor has started: a server that ran before runs on."""

    def address(self) -> str:
        """Of the ComfyUI: another one after each start."""
        return self._server.url

    async def download(self, file: dict[str, str], url: str) -> AsyncIterator[bytes]:
        """A result in chunks, from the ComfyUI of this address; raises as Server does."""
        if url != self._server.url:
            raise ServerLost("its ComfyUI has started again")
        async for chunk in self._server.download(file):
            yield chunk


class ComfyUIWorker(Worker):
    """A Ray actor that starts a ComfyUI of its own, and ends with it: then Ray starts both again.

    Args:
        comfyui: folder of ComfyUI, with its models and packs.
        python: that runs it.
        arguments: for its command line.
        limits, timing: of every request.

    Raises:
        ServerLost: it does not start; with the end of its log.
    """

    def __init__(self, comfyui: str, python: str, arguments: Sequence[str], limits: Limits, timing: Timing) -> None:
        port = _free_port()
        super().__init__(f"http://127.0.0.1:{port}", limits, timing)
        # Gone with the actor; its input, output, temp and user folders are no other ComfyUI's.
        self._folder = tempfile.TemporaryDirectory(prefix="uniavgen_batch_")
        base = Path(self._folder.name)
        self._log = base / "comfyui.log"
        folders = ("input", "output", "temp", "user")
        for name in folders:
            (base / name).mkdir()
        command = [
            python, "main.py", "--port", str(port), "--disable-auto-launch", "--database-url", "sqlite:///:memory:",
            *(word for name in folders for word in (f"--{name}-directory", str(base / name))), *arguments,
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-c", KEEPER, *command],
                cwd=comfyui, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._wait_for_start(port)
        self._watcher: asyncio.Task[None] | None = None

    def _wait_for_start(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._keeper.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.2)
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        self.end()
        raise ServerLost("\n".join(["ComfyUI does not start:", *lines]))

    async def run(self, prompt: Prompt, prompt_id: str, files: Mapping[str, Chunks]) -> Outcome | Lost:
        self._watcher = self._watcher or asyncio.create_task(self._end_with_comfyui())
        return await super().run(prompt, prompt_id, files)

    async def _end_with_comfyui(self) -> None:
        while self._keeper.poll() is None:
            await asyncio.sleep(self._timing.poll)
        self._folder.cleanup()
        os._exit(1)

    def end(self) -> None:
        """End ComfyUI."""
        if self._keeper.stdin:
            self._keeper.stdin.close()
        try:
            self._keeper.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
        self._folder.cleanup()


def lacks(url: str, missing: Sequence[str]) -> str:
    """That a server does not know all nodes of the rows."""
    return (
        f"{url} does not know {', '.join(missing)}: install the pack or update ComfyUI there, and look in its console "
        "for IMPORT FAILED."
    )


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
