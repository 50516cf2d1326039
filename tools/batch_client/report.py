"""The report: a file with one JSON object a row, and the batch's memory while it runs."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .jobs import Job

WAITING, SENT, DONE, FAILED = "waiting", "sent", "done", "failed"
"""States of a row."""
LINE_START = b'{"row": '


class BadReport(ValueError):
    """The report cannot be used."""


class Report:
    """Remembers each row's last state, on disk before the call returns; a context manager.

    While a batch runs, the file grows by a line for every change, of which the last one of a row counts; at the end one
    line a row is left. A file that is there is read, so a batch goes on where the last one stopped, however that ended.

    Raises:
        BadReport: the file is another one, or another batch is writing it.
        OSError: it cannot be read or written.
    """

    def __init__(self, file: Path, jobs: Sequence[Job]) -> None:
        self.file, self.jobs = file, jobs
        self._lock = FileLock(file.with_name(f"{file.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise BadReport(f"{file} is being written by another batch: wait for its end.") from error
        try:
            self._stream = file.open("a+b")
            self._lines = self._read()
        except BaseException:
            self._lock.release()
            raise

    def _read(self) -> dict[str, dict[str, Any]]:
        self._stream.seek(0)
        *lines, rest = self._stream.read().split(b"\n")
        try:
            # A line without an end is what a kill left of it.
            if not (rest.startswith(LINE_START) or LINE_START.startswith(rest)):
                raise ValueError("not the start of a line")
            last = {line["key"]: line for line in map(json.loads, lines)}
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            self._stream.close()
            raise BadReport(f"{self.file} is not a report: name another file with --report.") from error
        self._stream.truncate(self._stream.tell() - len(rest))
        return last

    def line(self, job: Job) -> dict[str, Any]:
        """What is remembered of a row."""
        return self._lines.get(job.key) or _line(job, WAITING, {})

    def counts(self) -> Counter[str]:
        """How many rows are in which state."""
        return Counter(self.line(job)["state"] for job in self.jobs)

    def write(self, job: Job, state: str, **details: Any) -> None:
        """Remember a row's state."""
        line = _line(job, state, details)
        self._stream.write(_encoded(line))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._lines[job.key] = line

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *error: object) -> None:
        """Leave one line a row, in the order of the rows; after them those of rows that are no longer in the CSV."""
        rows = {job.key: self.line(job) | {"row": job.row} for job in self.jobs}
        others = {key: line | {"row": None} for key, line in self._lines.items() if key not in rows}
        part = self.file.with_name(f"{self.file.name}.part")
        try:
            with part.open("wb") as stream:
                stream.writelines(map(_encoded, [*rows.values(), *others.values()]))
                stream.flush()
                os.fsync(stream.fileno())
            self._stream.close()
            os.replace(part, self.file)
        except OSError:
            # On a full disk the longer form stays, which says the same.
            part.unlink(missing_ok=True)
        finally:
            self._lock.release()


def _line(job: Job, state: str, details: dict[str, Any]) -> dict[str, Any]:
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"row": job.row, "name": job.name, "state": state, **details, "task": job.task, "time": time, "key": job.key}


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"
