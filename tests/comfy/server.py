"""A ComfyUI server of the tests' own: started on a folder of theirs, asked over HTTP, stopped with all its children."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from patience import PATIENCE_SECONDS

from comfy.events import EventRecorder, record_events
from comfy.install import ComfyInstall
from comfy.prompt_errors import PromptRejected, check_history_entry

STARTS = 3
"""How often a start is tried: between a port's choice and its use, another process may take it."""
PORT_IS_TAKEN = "already in use"
END_SECONDS = 30
"""How long ComfyUI may take to end when it is asked to; then it is killed."""
LOG_TAIL_LINES = 60
COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")


class ServerError(RuntimeError):
    """ComfyUI did not start, lost a pack while it started, or ended by itself; holds the end of its log."""


class ComfyServer:
    """One ComfyUI process on the CPU with a base folder of its own; a context manager.

    `base` is made as ComfyUI's base directory (models, custom_nodes, input, output, temp, user). Each folder in
    `packs` is linked into custom_nodes under its own name. `arguments` are added to ComfyUI's command line.
    """

    def __init__(
        self, install: ComfyInstall, base: Path, packs: Sequence[Path] = (), arguments: Sequence[str] = ()
    ) -> None:
        self.install = install
        self.base = base
        self.packs = list(packs)
        self.arguments = list(arguments)
        self.log_file = base / "comfyui.log"
        self.client_id = str(uuid.uuid4())
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ComfyServer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Address of the server, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def models(self) -> Path:
        """The folder that holds `diffusion_models`, `vae`, `text_encoders`, `loras`…"""
        return self.base / "models"

    def start(self) -> None:
        """Start ComfyUI and wait until it answers; raises ServerError with its log when it or a pack fails to load."""
        for folder in ("custom_nodes", "input", "output", "models"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        for pack in self.packs:
            (self.base / "custom_nodes" / pack.name).symlink_to(pack.resolve(), target_is_directory=True)
        for start in range(1, STARTS + 1):
            self._launch()
            try:
                self._wait_until_up()
                break
            except ServerError:
                if start == STARTS or PORT_IS_TAKEN not in self.log():
                    raise
        self._check_packs()

    def _launch(self) -> None:
        self.port = free_port()
        command = [
            str(self.install.python), "main.py", "--cpu", "--port", str(self.port),
            "--base-directory", str(self.base), "--database-url", "sqlite:///:memory:",
            "--disable-api-nodes", "--disable-auto-launch", *self.arguments,
        ]  # fmt: skip
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self.install.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self._check_alive()
            try:
                # Not longer, because what listens there may be another process.
                self.request("/system_stats", timeout=10)
                return
            except OSError:
                time.sleep(0.25)
        raise ServerError(f"ComfyUI did not answer within {PATIENCE_SECONDS:g} s:\n{self.log_tail()}")

    def _check_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"ComfyUI has ended:\n{self.log_tail()}")

    def _check_packs(self) -> None:
        failed = [line for line in self.log().splitlines() if "(IMPORT FAILED)" in line]
        if failed:
            raise ServerError(f"ComfyUI could not import {', '.join(failed)}:\n{self.log_tail()}")

    @property
    def process_id(self) -> int:
        """Of ComfyUI; raises ServerError where it has ended."""
        self._check_alive()
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End ComfyUI as a crash does, in the middle of whatever it is at."""
        os.killpg(self.process_id, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End ComfyUI and every process it started."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(END_SECONDS)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue

    def log(self) -> str:
        """All that ComfyUI has written so far, without colour codes."""
        return COLOUR_CODES.sub("", self.log_file.read_text(encoding="utf-8", errors="replace"))

    def log_tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log().splitlines()[-LOG_TAIL_LINES:])

    def request(self, path: str, body: Any = None, timeout: float = PATIENCE_SECONDS) -> Any:
        """GET `path`, or POST `body` as JSON to it; the answer's JSON, None where the answer is empty.

        Raises urllib.error.HTTPError (an OSError) for an answer that is not a success.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as response:
            text = response.read()
        return json.loads(text) if text else None

    def object_info(self) -> dict[str, Any]:
        """Every node class that ComfyUI knows, {node id: {"input", "output", "category", …}}."""
        info: dict[str, Any] = self.request("/object_info")
        return info

    def queue(self, prompt: dict[str, Any], client_id: str | None = None) -> str:
        """Queue a prompt in API form; its id. Raises PromptRejected where validation refuses it."""
        try:
            answer = self.request("/prompt", {"prompt": prompt, "client_id": client_id or self.client_id})
        except urllib.error.HTTPError as error:
            raise PromptRejected(json.loads(error.read())) from error
        if answer["node_errors"]:
            # ComfyUI answers 200 and runs the rest when some of several outputs are valid.
            raise PromptRejected({"error": {"message": "some outputs are invalid"}, **answer})
        prompt_id: str = answer["prompt_id"]
        return prompt_id

    def wait(self, prompt_id: str, timeout: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The history entry of a prompt once it has ended, however it ended; raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._check_alive()
            history: dict[str, Any] = self.request(f"/history/{prompt_id}")
            if prompt_id in history:
                entry: dict[str, Any] = history[prompt_id]
                return entry
            time.sleep(0.1)
        raise TimeoutError(f"the prompt had not ended after {timeout} s; ComfyUI's log ends:\n{self.log_tail()}")

    def run(self, prompt: dict[str, Any], timeout: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Queue a prompt, wait for its end, return its outputs {node id: {kind: [...]}}.

        Raises PromptRejected, PromptFailed or PromptInterrupted.
        """
        return self.result(self.queue(prompt), timeout)

    def result(self, prompt_id: str, timeout: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Wait for a queued prompt's end, return its outputs; raises PromptFailed or PromptInterrupted."""
        return check_history_entry(self.wait(prompt_id, timeout))

    def interrupt(self) -> None:
        """Cancel the prompt that is running."""
        self.request("/interrupt", {})

    def events(self) -> AbstractContextManager[EventRecorder]:
        """A recorder of the events of the prompts queued through this object; enter it before queueing."""
        return record_events(f"ws://127.0.0.1:{self.port}/ws?clientId={self.client_id}")

    def add_input(self, file: Path, name: str | None = None) -> str:
        """Copy a file into the input folder; the name that nodes such as LoadImage know it by."""
        name = name or file.name
        shutil.copyfile(file, self.base / "input" / name)
        return name

    def add_model(self, kind: str, source: Path, name: str | None = None) -> str:
        """Link a file or folder into `models/kind`; the name that loaders list it under."""
        name = name or source.name
        folder = self.models / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(source.resolve(), target_is_directory=source.is_dir())
        return name

    def output_files(self, outputs: dict[str, Any]) -> list[Path]:
        """Paths of the files that a prompt's outputs name, in the order of its nodes."""
        entries = [entry for output in outputs.values() for kind in output.values() for entry in kind]
        files = [entry for entry in entries if isinstance(entry, dict) and "filename" in entry]
        return [self.base / file["type"] / file["subfolder"] / file["filename"] for file in files]


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
