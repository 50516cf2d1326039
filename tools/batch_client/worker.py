"""The actors of a batch: each sends rows to one ComfyUI, which runs already or which the actor has run for it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .answers import Outcome
from .jobs import UPLOADS
from .keeper import ENDED, LOG
from .server import Chunks, Limits, Refused, Server, ServerLost
from .workflow import Prompt

KEEPER = Path(__file__).with_name("keeper.py")
LOG_LINES = 15


class Worker(Server):
    """A Ray actor for one ComfyUI that runs already.

    Args:
        url: its address.
        limits: of every request.
    """

    def __init__(self, url: str, limits: Limits) -> None:
        super().__init__(url, limits)
        self._uploaded: dict[str, str] = {}
        self._sending = asyncio.Lock()

    async def ping(self) -> None:
        """Answer, as long as the actor lives."""

    async def run(self, prompt: Prompt, prompt_id: str, files: Mapping[str, Chunks]) -> Outcome:
        """Have a prompt made, or wait for it where the server has it already: Ray may begin this anew.

        Args:
            prompt: with files by the names that `jobs.remote_name` gives them.
            files: chunks of all of them.
        """
        try:
            async with self._sending:
                if not await self.known([prompt_id]):
                    await self.queue(await self._with_files(prompt, files), prompt_id)
            return await self._end_of(prompt_id)
        except ServerLost:
            # When it comes back, its input folder may be empty.
            self._uploaded.clear()
            raise

    async def _with_files(self, prompt: Prompt, files: Mapping[str, Chunks]) -> Prompt:
        """The prompt with the names that the server has for its files, to which those are uploaded that it lacks."""
        for name, chunks in files.items():
            wanted = f"{UPLOADS}/{name}"
            given = self._uploaded.get(wanted) or await self.upload(chunks, name, UPLOADS)
            self._uploaded[wanted] = given
            for inputs in (node["inputs"] for node in prompt.values()):
                inputs |= {key: given for key, value in inputs.items() if value == wanted}
        return prompt

    async def _end_of(self, prompt_id: str) -> Outcome:
        """Look until the prompt has ended, and past answers that do not come for a while."""
        answered = time.monotonic()
        while True:
            try:
                # The queue first: what leaves it is in the history from then on.
                is_queued = prompt_id in await self.queued()
                outcome = None if is_queued else await self.outcome(prompt_id)
                answered = time.monotonic()
            except ServerLost:
                if time.monotonic() - answered > self.limits.patience:
                    raise
            else:
                if outcome:
                    return outcome
                if not is_queued:
                    raise ServerLost(f"{self.url} no longer knows of it")
            await asyncio.sleep(self.limits.poll)


class ComfyUIWorker(Worker):
    """A Ray actor that has a ComfyUI of its own, with input, output, temp and user folders that are no other's.

    Args:
        comfyui: folder of ComfyUI, with its models and packs.
        python: that runs it.
        arguments: for its command line.
        limits: of every request.
    """

    def __init__(self, comfyui: str, python: str, arguments: Sequence[str], limits: Limits) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        super().__init__(f"http://127.0.0.1:{port}", limits)
        self._folder = Path(tempfile.mkdtemp(prefix="uniavgen_batch_"))
        command = [python, "main.py", "--port", str(port), "--disable-auto-launch"]
        command += ["--database-url", "sqlite:///:memory:", *arguments]
        for name in ("input", "output", "temp", "user"):
            (self._folder / name).mkdir()
            command += [f"--{name}-directory", str(self._folder / name)]
        self._keeper = subprocess.Popen(
            [sys.executable, str(KEEPER), str(self._folder), comfyui, *command],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._has_started = False

    async def missing_nodes(self, kinds: Iterable[str]) -> list[str]:
        """Those of the node classes that it does not know, once it has started; refused where it ends instead."""
        while True:
            try:
                missing = await super().missing_nodes(kinds)
                self._has_started = True
                return missing
            except ServerLost:
                if self._has_started:
                    raise
                if (self._folder / ENDED).exists():
                    lines = (self._folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
                    raise Refused("\n".join(["ComfyUI does not start:", *lines[-LOG_LINES:]])) from None
            await asyncio.sleep(self.limits.poll)
