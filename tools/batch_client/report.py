"""The report: a file with one JSON object a row, and the batch's memory while it runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from .jobs import Job

WAITING, SENT, DONE, FAILED = "waiting", "sent", "done", "failed"
"""States of a row."""
LINE_START = b'{"row": '
LOCKED_BYTE = 1 << 30
"""Where Windows locks the file: far behind its end, so that what it holds can be read."""


class BadReport(ValueError):
    """The report cannot be used."""


class Report:
    """Remembers each row's last state, on disk before the call returns.

    While a batch runs, the file grows by a line for every change, of which the last one of a row counts; `close` leaves
    one line a row. A file that is there is read, so a batch goes on where the last one stopped, however that ended.

    Raises:
        BadReport: the file is another one, or another batch is writing it.
        OSError: it cannot be read or written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stream = file.open("a+b")
        try:
            _lock(self._stream)
        except OSError as error:
            self._stream.close()
            raise BadReport(f"{file} is being written by another batch: wait for its end.") from error
        self._lines = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        self._stream.seek(0)
        content = self._stream.read()
        # A line without an end is what a kill left of it.
        whole = content[: content.rfind(b"\n") + 1]
        rest = content[len(whole) :]
        try:
            if rest[: len(LINE_START)] != LINE_START[: len(rest)]:
                raise ValueError("not the start of a line")
            lines = [json.loads(line) for line in whole.splitlines()]
            last = {line["key"]: line for line in lines}
        except (ValueError, KeyError, TypeError) as error:
            self._stream.close()
            raise BadReport(f"{self.file} is not a report: name another file with --report.") from error
        self._stream.truncate(len(whole))
        return last

    def line(self, job: Job) -> dict[str, Any]:
        """What is remembered of a row; empty where nothing is."""
        return self._lines.get(job.key, {})

    def write(self, job: Job, state: str, **details: Any) -> None:
        """Remember a row's state."""
        line = _line(job, state, details)
        self._lines[job.key] = line
        self._stream.write(_encoded(line))
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self, jobs: Iterable[Job]) -> None:
        """Leave one line a row, in the order of the rows; after them those of rows that are no longer in the CSV."""
        rows = {job.key: (self._lines.get(job.key) or _line(job, WAITING, {})) | {"row": job.row} for job in jobs}
        others = {key: line | {"row": None} for key, line in self._lines.items() if key not in rows}
        part = self.file.with_name(f"{self.file.name}.part")
        with part.open("wb") as stream:
            stream.writelines(map(_encoded, [*rows.values(), *others.values()]))
            stream.flush()
            os.fsync(stream.fileno())
        self._stream.close()
        os.replace(part, self.file)


def _line(job: Job, state: str, details: dict[str, Any]) -> dict[str, Any]:
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"row": job.row, "name": job.name, "state": state, **details, "task": job.task, "time": time, "key": job.key}


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _lock(stream: IO[bytes]) -> None:
    """Keep other processes from locking the file until it is closed; raises OSError where one has."""
    if sys.platform == "win32":
        import msvcrt

        # It locks from the current position on, so that must be the same in every process.
        position = stream.tell()
        stream.seek(LOCKED_BYTE)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        stream.seek(position)
    else:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
