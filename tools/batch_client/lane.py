"""One server's part of a batch."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from .board import Board
from .jobs import UPLOADS, Job, remote_name, with_names
from .outcome import Outcome, read_outcome
from .report import DONE, SENT
from .server import Refused, Server, ServerLost
from .workflow import Prompt


@dataclass(frozen=True)
class Patience:
    """How often to ask, and how long to wait for a lost server.

    Attributes:
        poll: seconds between two looks at the queue.
        first_wait, longest_wait: seconds before a lost server is tried again, doubled each time.
        hand_over_after: tries after which the other servers get its rows.
        give_up_after: seconds after which it is no longer tried.
    """

    poll: float = 1.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    hand_over_after: int = 4
    give_up_after: float = 600.0


class Unfit(Exception):
    """A server that lacks the nodes."""


def check_nodes(server: Server, jobs: Iterable[Job]) -> None:
    """Raises Unfit where the server does not know all nodes of the rows."""
    missing = server.missing_nodes({node["class_type"] for job in jobs for node in job.prompt.values()})
    if missing:
        raise Unfit(
            f"{server.url} does not know {', '.join(missing)}: install the pack or update ComfyUI there, and look in "
            "its console for IMPORT FAILED."
        )


class Lane(Thread):
    """Keeps one server's queue filled and collects what it makes, in a thread.

    Args:
        server: where the rows go.
        board: where they come from.
        depth: how many prompts of this batch the server holds at a time.
        patience: for when it is lost.
    """

    def __init__(self, server: Server, board: Board, depth: int, patience: Patience) -> None:
        super().__init__(name=server.url, daemon=True)
        self.server = server
        self._board = board
        self._depth = depth
        self._patience = patience
        self._in_flight: dict[str, Job] = {}
        self._handed_over: dict[str, Job] = {}
        self._uploaded: dict[str, str] = {}
        self._failures = 0
        self._lost_since: float | None = None
        self._closed = False

    def begin(self, servers: Collection[str]) -> None:
        """Find what an earlier run left at this server, before anything is sent; `servers` are all addresses."""
        for job in self._board.jobs:
            line = self._board.report.line(job)
            if line.get("state") != SENT:
                continue
            if line["server"] == self.server.url:
                self._board.reclaim(job)
                self._in_flight[line["prompt_id"]] = job
            elif line["server"] not in servers:
                # A server may have been given by another name.
                self._handed_over[line["prompt_id"]] = job
        try:
            self._reconcile()
            self._fetch_earlier()
        except (ServerLost, Refused) as error:
            self._lose(error)

    def run(self) -> None:
        """Work until all rows are over or the server is given up."""
        try:
            while not self._board.over() and not self._closed:
                self._board.stop.wait(self._turn())
        except Exception as error:  # A thread's fault is the batch's; `main` raises it again.
            self._board.break_off(error)

    def _turn(self) -> float:
        """One look at the server; how long to wait before the next."""
        try:
            if self._lost_since is not None:
                check_nodes(self.server, self._board.jobs)
                self._reconcile()
            self._collect()
            self._fill()
        except (ServerLost, Refused) as error:
            return self._lose(error)
        except Unfit as error:
            self._close(str(error))
        return self._patience.poll

    def _reconcile(self) -> None:
        """Find again what was sent here before the server, or this client, went away."""
        queued = self.server.queued()
        known = {id for id in self._in_flight | self._handed_over if id in queued or self.server.history(id)}
        self._return([id for id in self._in_flight if id not in known])
        for prompt_id, job in list(self._handed_over.items()):
            if prompt_id in known and self._board.reclaim(job):
                self._in_flight[prompt_id] = self._handed_over.pop(prompt_id)
        self.server.cancel([prompt_id for prompt_id in self._handed_over if prompt_id in queued])
        self._handed_over.clear()
        if self._lost_since is not None:
            self._board.say(f"{self.server.url} is back.")
        self._failures, self._lost_since = 0, None
        self._uploaded.clear()

    def _lose(self, error: ServerLost | Refused) -> float:
        """Note that there is no answer; how long to wait before the next try."""
        if self._lost_since is None:
            self._lost_since = time.monotonic()
            self._board.say(f"{error}; trying again.")
        self._failures += 1
        if self._failures == self._patience.hand_over_after:
            self._hand_over()
        if time.monotonic() - self._lost_since > self._patience.give_up_after:
            self._close(f"{self.server.url} has not answered for {self._patience.give_up_after:g} s")
        return min(self._patience.first_wait * 2 ** (self._failures - 1), self._patience.longest_wait)

    def _hand_over(self) -> None:
        self._handed_over |= self._in_flight
        self._return(list(self._in_flight))

    def _return(self, prompt_ids: list[str]) -> None:
        """Give rows back; the first of them is the one that the server was working on when it was lost."""
        rows = [self._in_flight.pop(prompt_id) for prompt_id in prompt_ids]
        for number, job in reversed(list(enumerate(rows))):
            self._board.give_back(job, lost=number == 0)

    def _close(self, reason: str) -> None:
        self._board.say(f"{reason}. Going on without this server.")
        self._hand_over()
        self._closed = True

    def _collect(self) -> None:
        if not self._in_flight:
            return
        # The queue first: what leaves it is in the history from then on.
        queued = self.server.queued()
        vanished = []
        for prompt_id, job in list(self._in_flight.items()):
            if prompt_id in queued:
                continue
            entry = self.server.history(prompt_id)
            if entry is None:
                vanished.append(prompt_id)
                continue
            self._end(job, prompt_id, read_outcome(entry))
            del self._in_flight[prompt_id]
        # The server has started again between two looks, or somebody has emptied its queue.
        self._return(vanished)

    def _end(self, job: Job, prompt_id: str, outcome: Outcome) -> None:
        sender = {"server": self.server.url, "prompt_id": prompt_id}
        try:
            saved = [] if outcome.error else self._download(job, outcome.files)
        except Refused as error:
            self._board.fail(job, f"its result cannot be fetched: {error}", **sender)
            return
        if outcome.error:
            self._board.fail(job, outcome.error, **sender)
        else:
            self._board.finish(job, outcome, saved, **sender)

    def _download(self, job: Job, files: Sequence[Mapping[str, str]]) -> list[str]:
        """Fetch a row's results, where they are wanted; their paths."""
        targets = self._targets(job, files)
        for file, target in zip(files, targets, strict=False):
            part = target.with_name(f"{target.name}.part")
            part.write_bytes(self.server.download(file))
            part.replace(target)
        return [str(target) for target in targets]

    def _targets(self, job: Job, files: Sequence[Mapping[str, str]]) -> list[Path]:
        if self._board.output is None:
            return []
        suffixes = [Path(file["filename"]).suffix for file in files]
        numbers = ["", *(f"_{number}" for number in range(2, len(files) + 1))]
        return [
            self._board.output / f"{job.name}{number}{suffix}"
            for number, suffix in zip(numbers, suffixes, strict=False)
        ]

    def _fetch_earlier(self) -> None:
        """Fetch what an earlier run left on this server."""
        for job in self._board.jobs:
            line = self._board.report.line(job)
            if line.get("state") != DONE or line["server"] != self.server.url:
                continue
            if all(target.is_file() for target in self._targets(job, line["files"])):
                continue
            try:
                self._board.fetched(job, self._download(job, line["files"]))
            except Refused as error:
                self._board.say(f"row {job.row} ({job.name}) is done, but its result cannot be fetched: {error}")

    def _fill(self) -> None:
        while self._has_room() and (job := self._board.take()):
            try:
                prompt = self._upload(job)
            except ServerLost:
                self._board.give_back(job)
                raise
            except Refused as error:
                self._board.fail(job, str(error), server=self.server.url)
                continue
            self._send(job, prompt)

    def _has_room(self) -> bool:
        # A row that may end the server goes alone, so that no other one is blamed.
        suspects = any(map(self._board.is_suspect, self._in_flight.values()))
        return len(self._in_flight) < self._depth and not suspects

    def _upload(self, job: Job) -> Prompt:
        """Bring the row's files to the server; its prompt with the names that they have there."""
        for name, file in job.files.items():
            if name in self._uploaded:
                continue
            try:
                content = file.read_bytes()
            except OSError as error:
                raise Refused(f"{file} cannot be read: {error.strerror}") from error
            if remote_name(content, file.suffix) != name:
                raise Refused(f"{file} has changed since the batch began: start it again")
            self._uploaded[name] = self.server.upload(content, name, UPLOADS)
        return with_names(job.prompt, {f"{UPLOADS}/{name}": self._uploaded[name] for name in job.files})

    def _send(self, job: Job, prompt: Prompt) -> None:
        prompt_id = str(uuid.uuid4())
        self._board.sent(job, self.server.url, prompt_id)
        self._in_flight[prompt_id] = job
        try:
            self.server.queue(prompt, prompt_id)
        except Refused as error:
            del self._in_flight[prompt_id]
            self._board.fail(job, str(error), server=self.server.url)
