"""The rows of a batch over a pool of Ray actors: who gets which row, and what became of it."""

from __future__ import annotations

import asyncio
import errno
import re
import sys
import time
import uuid
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from tqdm import tqdm

from .answers import Outcome
from .jobs import Job, remote_name
from .report import DONE, FAILED, SENT, WAITING, Report
from .server import BadServers, Limits, Refused, ServerLost, UnknownHost

LOSSES_OF_A_ROW = 3
"""A row at which a server was lost this often fails: it may be what ends the servers."""
LOSSES_OF_A_SERVER = 6
"""A server at which this many rows in succession were lost is given up: it may be what loses them."""
PING_SECONDS, ACTOR_SECONDS = 60, 900
"""Between two looks whether an actor lives, and without a sign after which it counts as lost, with its machine."""
STREAMED = {"num_returns": "streaming", "_generator_backpressure_num_objects": 4, "max_task_retries": 0}
"""How a result comes: few chunks of it may lie in Ray's memory."""


@dataclass(eq=False)
class Lane:
    """An actor, a handle of a `worker.Worker`.

    Attributes:
        name: of its server, for messages and the report.
        here: whether its server answered last.
        tried: whether a lost server is being looked for.
        given_up: whether it is no longer looked for.
        losses: rows that were lost there since the last one that came to an end.
        sending: held while a row goes to it, so that they arrive in their order.
    """

    name: str
    actor: Any
    here: bool = False
    tried: bool = False
    given_up: bool = False
    losses: int = 0
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, method: str, *arguments: Any) -> Any:
        """The actor's answer, for as long as it lives; raises ServerLost and Refused as `server.Server` does."""
        asked = getattr(self.actor, method).remote(*arguments)
        answer = asyncio.wrap_future(asked.future())
        try:
            with self.faults():
                while not (await asyncio.wait([answer], timeout=PING_SECONDS))[0]:
                    await asyncio.wait_for(self.actor.ping.remote(), ACTOR_SECONDS)
                return answer.result()
        finally:
            if not answer.done():
                ray.cancel(asked)  # Or Ray would say that it failed when the actor is ended.

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Ray's errors, whose texts are tracebacks, as those of the server."""
        try:
            yield
        except RayTaskError as error:
            known = isinstance(error.cause, (ServerLost, Refused))
            raise error.cause if known else Refused(f"{type(error.cause).__name__} in the actor") from None
        except (RayError, asyncio.TimeoutError):
            raise ServerLost(f"the actor of {self.name} has ended") from None


@dataclass(eq=False)
class OpenRow:
    """A row that is not over.

    Attributes:
        prompt_id: of the prompt that a server may have.
        home: the actor whose server has it, as far as is known.
        made: its result there: `files` and `seconds`.
        lane: the actor that works on it; None: it waits.
        lost_at: the actors whose servers were lost at it.
    """

    job: Job
    prompt_id: str | None = None
    home: Lane | None = None
    made: dict[str, Any] = field(default_factory=dict)
    lane: Lane | None = None
    lost_at: list[Lane] = field(default_factory=list)


class Pool:
    """Maps the rows over the actors.

    Args:
        report: has the rows, and is told every change before anything follows from it.
        output: folder that takes the results; None: they stay on their servers.
        lanes: the actors.
        depth: rows that an actor has at a time.
        limits: of the servers.
    """

    def __init__(self, report: Report, output: Path | None, lanes: Sequence[Lane], depth: int, limits: Limits) -> None:
        self._report, self._output, self._lanes, self._depth, self._limits = report, output, lanes, depth, limits
        self._kinds = sorted({node["class_type"] for job in report.jobs for node in job.prompt.values()})
        self._rows = [self._open_row(job) for job in report.jobs if not self._is_over(job)]
        self._is_full = False

    def _is_over(self, job: Job) -> bool:
        line = self._report.line(job)
        return line["state"] == DONE and all(file.is_file() for file in self._targets(job, line.get("files", [])))

    def _open_row(self, job: Job) -> OpenRow:
        """A row with what an earlier run has done for it."""
        line = self._report.line(job)
        home = next((lane for lane in self._lanes if lane.name == line.get("server")), None)
        made = {name: line[name] for name in ("files", "seconds") if line.get("files")}
        return OpenRow(job, line.get("prompt_id"), home, made)

    async def run(self) -> None:
        """Give out all rows, and return when they are over or no actor is left.

        Raises:
            BadServers: a server is no ComfyUI or lacks the nodes, or none answers; nothing was sent.
            OSError: the report cannot be written.
        """
        await self._begin()
        total = len(self._report.jobs)
        with tqdm(total=total, initial=total - len(self._rows), unit="row", dynamic_ncols=True) as self._bar:
            busy: set[asyncio.Future[None]] = set()
            while self._rows and (busy := busy | {asyncio.ensure_future(work) for work in self._next_works()}):
                done, busy = await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
                for work in done:
                    work.result()

    async def _begin(self) -> None:
        """See which servers answer; one that is away may come back later."""
        faults = await asyncio.gather(*map(self._find, self._lanes), return_exceptions=True)
        problems = [str(fault) for fault in faults if isinstance(fault, (Refused, UnknownHost))]
        away = [str(fault) for fault in faults if type(fault) is ServerLost]
        if problems or len(away) == len(self._lanes):
            raise BadServers("\n".join(problems + away))
        for fault in away:
            say(f"{fault}; trying again.")

    async def _find(self, lane: Lane) -> None:
        """See that a server answers and knows the nodes, and find the prompts that it has of this batch."""
        missing = await lane.ask("missing_nodes", self._kinds)
        if missing:
            raise Refused(
                f"{lane.name} does not know {', '.join(missing)}: install the pack or update ComfyUI there, and look "
                "in its console for IMPORT FAILED."
            )
        sent = {row.prompt_id: row for row in self._rows if row.prompt_id}
        known = [sent[prompt_id] for prompt_id in await lane.ask("known", list(sent))]
        taken = [row for row in known if row.lane not in (None, lane)]
        await lane.ask("cancel", [row.prompt_id for row in taken])
        for row in known:
            row.home = row.home if row in taken else lane
        lane.here = True

    def _next_works(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What is to be begun now: looking for servers that were lost, and rows for those that are here."""
        for lane in self._lanes if not self._is_full else ():
            if not (lane.here or lane.tried or lane.given_up):
                lane.tried = True
                yield self._look_for(lane)
            while row := self._next_row(lane):
                row.lane = lane
                yield self._work_on(row, lane)

    def _next_row(self, lane: Lane) -> OpenRow | None:
        """The first row that is for this actor now, those before all that its server has already."""
        own = [row for row in self._rows if row.lane is lane]
        # A row that may end the server has none after it, so that no other one is blamed.
        if not lane.here or len(own) >= self._depth or any(row.lost_at for row in own):
            return None
        fit = (row for row in self._rows if row.lane is None and self._suits(row, lane))
        return min(fit, key=lambda row: (row.home is not lane, row.job.row), default=None)

    def _suits(self, row: OpenRow, lane: Lane) -> bool:
        if row.home and row.home.here:
            return row.home is lane
        return lane not in row.lost_at or all(other in row.lost_at for other in self._lanes if other.here)

    async def _look_for(self, lane: Lane) -> None:
        """Try a lost server until it answers or is given up."""
        start, wait = time.monotonic(), self._limits.poll
        while not (lane.here or lane.given_up or self._is_full):
            try:
                if lane.losses >= LOSSES_OF_A_SERVER:
                    raise Refused(f"{lane.name} was lost at {lane.losses} rows in succession")
                await self._find(lane)
            except ServerLost as error:
                if time.monotonic() - start > self._limits.give_up:
                    self._give_up(lane, f"{error}, for {self._limits.give_up:g} s")
                await asyncio.sleep(wait)
                wait = min(2 * wait, self._limits.longest_wait)
            except Refused as error:
                self._give_up(lane, str(error))
        lane.tried = False

    def _give_up(self, lane: Lane, reason: str) -> None:
        lane.given_up = True
        say(f"{reason}. Going on without {lane.name}.")

    async def _work_on(self, row: OpenRow, lane: Lane) -> None:
        try:
            await self._make(row, lane)
            lane.losses = 0
        except Refused as error:
            lane.losses = 0
            row.prompt_id, row.made = None, {}
            self._fail(row, lane, str(error))
        except ServerLost as error:
            lane.here = False
            self._give_back(row, lane, str(error))
        row.lane = None

    async def _make(self, row: OpenRow, lane: Lane) -> None:
        """Have a row made, unless its server has its result already, and fetch it.

        Raises:
            ServerLost: it is to be made anew.
            Refused: it cannot be made.
        """
        if row.made and row.home is lane:
            try:
                await self._finish(row, lane)
                return
            except Refused:
                row.prompt_id = None  # The result is gone.
        row.prompt_id, row.home, row.made = row.prompt_id or str(uuid.uuid4()), lane, {}
        async with lane.sending:
            files = await asyncio.to_thread(_objects, row.job)
            # Written first, so that it can be found again after a kill.
            self._note(row, lane, SENT)
            making = asyncio.ensure_future(lane.ask("run", row.job.prompt, row.prompt_id, files))
        outcome: Outcome = await making
        if outcome.error:
            raise Refused(outcome.error)
        row.made = {"files": outcome.files, "seconds": outcome.seconds}
        self._note(row, lane, SENT)
        await self._finish(row, lane)

    async def _finish(self, row: OpenRow, lane: Lane) -> None:
        """Fetch the results of a row where they are wanted."""
        left, targets = self._limits.largest, self._targets(row.job, row.made["files"])
        try:
            for file, target in zip(row.made["files"], targets, strict=False):
                left -= await _fetch(lane, file, target, left)
        except Refused as error:
            raise Refused(f"its result cannot be fetched: {error}") from error
        except OSError as error:
            # With what it has been made into, so that the same command fetches it.
            self._fail(row, lane, f"its result cannot be written: {error}")
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                say(f"{self._output} takes no more: no more rows are sent.")
                self._is_full = True
        else:
            self._end(row, lane, DONE, saved=[str(target) for target in targets])

    def _targets(self, job: Job, files: Sequence[dict[str, str]]) -> list[Path]:
        """Where these results of a row go, under suffixes as far as they are some."""
        if self._output is None:
            return []
        suffixes = ["".join(re.findall(r"\.\w{1,8}$", file["filename"])) for file in files]
        numbers = ["", *(f"_{number}" for number in range(2, len(files) + 1))]
        return [self._output / f"{job.name}{part}{suffix}" for part, suffix in zip(numbers, suffixes, strict=False)]

    def _give_back(self, row: OpenRow, lane: Lane, reason: str) -> None:
        """A row is to be made anew, before others; it fails where its servers were lost too often."""
        row.lost_at.append(lane)
        lane.losses += 1
        if len(row.lost_at) >= LOSSES_OF_A_ROW:
            self._fail(row, lane, f"a server was lost {LOSSES_OF_A_ROW} times at this row: {reason}")
            return
        say(f"row {row.job.row} ({row.job.name}) is waiting again: {reason}")
        self._note(row, lane, WAITING)
        if not row.made:
            row.home = None  # Unless it is found there again.

    def _fail(self, row: OpenRow, lane: Lane, error: str) -> None:
        self._end(row, lane, FAILED, error=error)
        say(f"row {row.job.row} ({row.job.name}) failed: {error}")

    def _end(self, row: OpenRow, lane: Lane, state: str, **details: Any) -> None:
        self._note(row, lane, state, **details)
        self._rows.remove(row)
        self._bar.update()

    def _note(self, row: OpenRow, lane: Lane, state: str, **details: Any) -> None:
        self._report.write(row.job, state, server=lane.name, prompt_id=row.prompt_id, **row.made, **details)


async def _fetch(lane: Lane, file: dict[str, str], target: Path, most: int) -> int:
    """Bring a result here; its size. Raises as `Server.download`, and OSError where it cannot be written."""
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("wb") as stream, lane.faults():
            async for chunk in lane.actor.download.options(**STREAMED).remote(file, most):
                stream.write(await chunk)
            size = stream.tell()
        part.replace(target)
        return size
    finally:
        part.unlink(missing_ok=True)


def _objects(job: Job) -> dict[str, list[tuple[int, Any]]]:
    """The chunks of a row's files as Ray's objects, which Ray keeps on disk where memory is short.

    Raises:
        Refused: one cannot be read, or is no longer what it was when the table was read.
    """
    objects: dict[str, list[tuple[int, Any]]] = {name: [] for name in job.files}
    for name, file in job.files.items():
        try:
            now = remote_name(file, partial(_put, objects[name]))
        except OSError as error:
            raise Refused(f"{file} cannot be read: {error.strerror}") from error
        if now != name:
            raise Refused(f"{file} has changed since the batch began: start it again")
    return objects


def _put(objects: list[tuple[int, Any]], chunk: bytes) -> None:
    objects.append((len(chunk), ray.put(chunk)))


def say(message: str) -> None:
    """Show a message above the progress bar."""
    tqdm.write(message, file=sys.stderr)
