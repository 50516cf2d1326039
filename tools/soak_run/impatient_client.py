"""A client that asks for clips, changes its mind, and goes away without a word."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from comfy.graphs import for_this_version
from comfy.prompt_errors import PromptFailed, PromptInterrupted, PromptRejected, check_history_entry
from comfy.server import ComfyServer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from soak_run.clip_checks import ClipFault, check_finished
from soak_run.drawn_prompts import DrawnPrompt, draw_prompt

DONE, FAILED, REFUSED, INTERRUPTED, DELETED, FAULTY = (
    "done", "failed", "refused", "interrupted", "deleted", "clip not right",
)  # fmt: skip
WAIT, CANCEL, DELETE, LEAVE = "wait", "cancel", "delete", "leave"
ACTS = {WAIT: 0.72, CANCEL: 0.12, DELETE: 0.08, LEAVE: 0.08}
"""What a client does after it has asked for a clip, and how often."""
DISK_IS_FULL = ("No space left on device", "is full: ")
"""What the system, and what the pack says of it."""
SLOW_VOICE = "at this voice's pace"
"""Said where a voice that was made at random turns out too slow for the words: nobody can ask for less before."""
MOST_AT_ONCE = 3
LONGEST_WAIT_FOR_CANCEL = 3.0
SECONDS_BETWEEN_LOOKS = 0.15
ANSWER_SECONDS = 120.0


@dataclass(frozen=True)
class PromptEnd:
    """What became of a prompt."""

    number: int
    workflow: str
    act: str
    how: str
    message: str = ""
    wrong: str = ""
    disk_was_full: bool = False

    @property
    def is_expected(self) -> bool:
        """Whether it ended as its request, and what was done to it, let it end."""
        if self.how == FAULTY:
            return False
        if self.how in (FAILED, REFUSED):
            disk = self.disk_was_full and any(words in self.message for words in DISK_IS_FULL)
            return bool(self.wrong) or disk or SLOW_VOICE in self.message
        if self.how == INTERRUPTED:
            return self.act == CANCEL
        return self.how == DONE or self.act == DELETE


@dataclass
class Shared:
    """What the clients of one run have in common."""

    server: ComfyServer
    seed: int
    info: dict[str, Any]
    disk_is_full: threading.Event = field(default_factory=threading.Event)
    fills: int = 0
    """How often the disk was filled so far."""
    kept_files: set[str] = field(default_factory=set)
    """Files that a prompt's history names."""
    acts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while a number is taken."""


class ImpatientClient:
    """One user of a ComfyUI: takes numbers of prompts until there are none, and gives their outcomes."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.name = str(uuid.uuid4())
        self.connection: ClientConnection | None = None

    def work(self, numbers: Iterator[int]) -> list[PromptEnd]:
        """Ask for clip after clip, some of them at once."""
        outcomes: list[PromptEnd] = []
        self._come()
        try:
            while batch := self._take(numbers):
                queued = [(drawn, act, fills, self._queue(drawn)) for drawn, act, fills in batch]
                for drawn, act, _, answer in queued:
                    self._act(act, answer, Random(f"{self.shared.seed} {drawn.number} wait"))
                outcomes += [self._outcome(drawn, act, fills, answer) for drawn, act, fills, answer in queued]
        finally:
            self._go()
        return outcomes

    def _take(self, numbers: Iterator[int]) -> list[tuple[DrawnPrompt, str, int]]:
        first = next(numbers, None)
        if first is None:
            return []
        random = Random(f"{self.shared.seed} {first} act")
        more = [number for _ in range(random.randrange(MOST_AT_ONCE)) if (number := next(numbers, None)) is not None]
        drawn = [draw_prompt(number, self.shared.seed) for number in (first, *more)]
        acts = random.choices([*ACTS], [*ACTS.values()], k=len(drawn))
        return [(prompt, act, self._fills()) for prompt, act in zip(drawn, acts, strict=True)]

    def _fills(self) -> int:
        """How often the disk was full before now; a full one counts as not over."""
        return self.shared.fills - self.shared.disk_is_full.is_set()

    def _queue(self, drawn: DrawnPrompt) -> str | PromptRejected:
        """The id of a prompt in the queue, or why it is not there."""
        prompt = for_this_version(drawn.prompt, self.shared.info)
        try:
            return self.shared.server.queue(prompt, self.name)
        except PromptRejected as error:
            return error

    def _act(self, act: str, answer: str | PromptRejected, random: Random) -> None:
        if isinstance(answer, PromptRejected):
            return
        self.shared.acts[act] += 1
        if act == DELETE:
            self.shared.server.request("/queue", {"delete": [answer]})
        elif act == CANCEL:
            time.sleep(random.uniform(0.0, LONGEST_WAIT_FOR_CANCEL))
            self.shared.server.request("/interrupt", {"prompt_id": answer})
        elif act == LEAVE:
            self._leave()
            self._come()

    def _outcome(self, drawn: DrawnPrompt, act: str, fills: int, answer: str | PromptRejected) -> PromptEnd:
        how, message = self._end(drawn, answer)
        was_full = self.shared.fills > fills
        return PromptEnd(drawn.number, drawn.workflow, act, how, message, drawn.wrong, was_full)

    def _end(self, drawn: DrawnPrompt, answer: str | PromptRejected) -> tuple[str, str]:
        """How a prompt ended, and what was said of it."""
        if isinstance(answer, PromptRejected):
            return REFUSED, str(answer)
        entry = self._entry(answer)
        if entry is None:
            return DELETED, ""
        # What was saved before a prompt failed is shown to its user, too.
        self.shared.kept_files |= {str(file) for file in self.shared.server.output_files(entry["outputs"])}
        try:
            outputs = check_history_entry(entry)
            check_finished(drawn, self.shared.server.output_files(outputs))
        except PromptInterrupted:
            return INTERRUPTED, ""
        except PromptFailed as error:
            return FAILED, f"{error.node_type}: {error.message}"
        except ClipFault as error:
            return FAULTY, str(error)
        return DONE, ""

    def _entry(self, prompt_id: str) -> dict[str, Any] | None:
        """The history of a prompt when it has ended; None where it was taken out of the queue."""
        missed = 0
        # Between the queue and the history a prompt is in neither for a moment.
        while missed < 5:
            history = self.shared.server.request(f"/history/{prompt_id}")
            if prompt_id in history:
                entry: dict[str, Any] = history[prompt_id]
                return entry
            queue = self.shared.server.request("/queue")
            waiting = {item[1] for items in queue.values() for item in items}
            missed = 0 if prompt_id in waiting else missed + 1
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return None

    def _come(self) -> None:
        url = f"ws://127.0.0.1:{self.shared.server.port}/ws?clientId={self.name}"
        self.connection = connect(url, max_size=None, proxy=None, open_timeout=ANSWER_SECONDS, ping_interval=None)
        threading.Thread(target=_listen, args=(self.connection,), daemon=True).start()

    def _go(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def _leave(self) -> None:
        """Go as a client does whose process is killed: nothing is said on the connection."""
        if self.connection is not None:
            self.connection.socket.close()


def _listen(connection: ClientConnection) -> None:
    try:
        for _ in connection:
            pass
    except (ConnectionClosed, OSError):
        return
