"""The rows of a batch and what has become of them, shared by the threads of all servers."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .jobs import Job
from .outcome import Outcome
from .report import DONE, FAILED, SENT, WAITING, Report

LOSSES_OF_A_ROW = 3
"""A row at which a server was lost this often fails: it may be what ends the servers."""


class Board:
    """Who has which row. Every row is waiting, with one server, or over.

    Args:
        jobs: all rows.
        report: is told every change before this returns.
        output: folder that takes the results; None: they stay on their servers.
    """

    def __init__(self, jobs: Iterable[Job], report: Report, output: Path | None = None) -> None:
        self.jobs = list(jobs)
        self.report = report
        self.output = output
        self.stop = threading.Event()
        self.error: Exception | None = None
        self._lock = threading.RLock()
        self._waiting = deque(job for job in self.jobs if report.line(job).get("state") != DONE)
        self._open = {job.key for job in self._waiting}
        self._losses: Counter[str] = Counter()
        self._failed = 0
        done = len(self.jobs) - len(self._open)
        self._bar = tqdm(total=len(self.jobs), initial=done, unit="row", dynamic_ncols=True)

    def over(self) -> bool:
        """Whether there is nothing more to do, or no more is to be done."""
        return self.stop.is_set() or not self._open

    def counts(self) -> dict[str, int]:
        """How many rows are in which state."""
        with self._lock:
            counts = Counter(self.report.line(job).get("state", WAITING) for job in self.jobs)
        return {state: counts[state] for state in (DONE, FAILED, SENT, WAITING)}

    def say(self, message: str) -> None:
        """Show a message above the progress bar."""
        tqdm.write(message, file=self._bar.fp)

    def take(self) -> Job | None:
        """The next row; None where none waits or no more is to be sent."""
        with self._lock:
            return self._waiting.popleft() if self._waiting and not self.stop.is_set() else None

    def reclaim(self, job: Job) -> bool:
        """Take this row if it still waits."""
        with self._lock:
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
            return True

    def sent(self, job: Job, server: str, prompt_id: str) -> None:
        """A row is about to be queued: written first, so that it can be found again after a kill."""
        with self._lock:
            self.report.write(job, SENT, server=server, prompt_id=prompt_id)

    def give_back(self, job: Job, lost: bool = False) -> None:
        """A row is to be done anew, before the others; fails it where its servers were lost too often."""
        with self._lock:
            self._losses[job.key] += lost
            if self._losses[job.key] >= LOSSES_OF_A_ROW:
                self.fail(job, f"the server was lost {LOSSES_OF_A_ROW} times while it worked on this row")
                return
            if self.report.line(job):
                self.report.write(job, WAITING)
            self._waiting.appendleft(job)

    def is_suspect(self, job: Job) -> bool:
        """Whether a server was lost while it worked on this row."""
        return self._losses[job.key] > 0

    def finish(self, job: Job, outcome: Outcome, saved: list[str], **sender: str) -> None:
        """A row is done."""
        with self._lock:
            details = {"files": list(outcome.files), "saved": saved, "seconds": outcome.seconds}
            self._end(job, DONE, **sender, **details)

    def fetched(self, job: Job, saved: list[str]) -> None:
        """The results of a row that was done earlier are here now."""
        with self._lock:
            line = self.report.line(job)
            kept = {name: line[name] for name in ("server", "prompt_id", "files", "seconds")}
            self.report.write(job, DONE, **kept, saved=saved)

    def fail(self, job: Job, error: str, **sender: str) -> None:
        """A row cannot be done."""
        with self._lock:
            self._failed += 1
            self._end(job, FAILED, error=error, **sender)
            self._bar.set_postfix(failed=self._failed)
            self.say(f"row {job.row} ({job.name}) failed: {error}")

    def _end(self, job: Job, state: str, **details: Any) -> None:
        self.report.write(job, state, **details)
        self._open.discard(job.key)
        self._bar.update()

    def break_off(self, error: Exception) -> None:
        """Stop everything for a fault that is no server's and no row's."""
        self.error = error
        self.stop.set()

    def close(self) -> None:
        """Put the report in order. What threads that still wait for an answer say afterwards is not heard."""
        with self._lock:
            self._bar.close()
            self.report.close(self.jobs)
