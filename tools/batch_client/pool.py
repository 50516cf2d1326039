"""The rows of a batch over a pool of Ray actors: who gets which row, and what became of it."""

from __future__ import annotations

import asyncio
import errno
import re
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from tqdm import tqdm

from .jobs import Job, read_chunks, remote_name
from .report import DONE, FAILED, SENT, WAITING, Report
from .server import Limits, Outcome, Refused, ServerLost, UnknownHost

LOSSES_OF_A_ROW = 3
"""A row at which a server was lost this often fails: it may be what ends the servers."""
LOSSES_OF_A_SERVER = 6
"""A server at which this many rows in succession were lost is given up: it may be what loses them."""
PING_SECONDS = 60
ACTOR_SECONDS = 900
"""Without an answer after which an actor counts as lost, with its machine."""
CHUNKS_AHEAD = 4
"""Of a result that may lie in Ray's memory."""


class BadServers(Exception):
    """The batch cannot begin with these servers; a line for each reason."""


@dataclass(eq=False)
class Lane:
    """An actor and its part of the batch.

    Attributes:
        name: of its server, for messages and the report.
        actor: a handle of a `worker.Worker`.
        jobs: that it works on, by their keys.
        here: whether its server answered last.
        given_up: whether it is no longer tried.
        losses: rows that were lost there since the last one that came to an end.
        returning: held while a lost server is tried.
        sending: held while a row goes to it, so that they arrive in their order.
    """

    name: str
    actor: Any
    jobs: dict[str, Job] = field(default_factory=dict)
    here: bool = False
    given_up: bool = False
    losses: int = 0
    returning: asyncio.Lock = field(default_factory=asyncio.Lock)
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, method: str, *arguments: Any, seconds: float | None = ACTOR_SECONDS) -> Any:
        """An actor's answer; raises ServerLost and Refused as `server.Server` does."""
        answer = getattr(self.actor, method).remote(*arguments)
        with self._faults():
            try:
                return await asyncio.wait_for(answer, seconds)
            except asyncio.CancelledError:
                ray.cancel(answer)  # Or Ray would say that it failed when the actor is ended.
                raise

    async def make(self, job: Job, prompt_id: str, files: Any) -> Outcome:
        """`Worker.run`, for as long as the actor lives."""
        made = asyncio.ensure_future(self.ask("run", job.prompt, prompt_id, files, seconds=None))
        try:
            while not (await asyncio.wait([made], timeout=PING_SECONDS))[0]:
                await self.ask("ping")
            return made.result()
        finally:
            made.cancel()

    async def download(self, file: dict[str, str], most: int) -> AsyncIterator[bytes]:
        """`Server.download`."""
        options = {"num_returns": "streaming", "_generator_backpressure_num_objects": CHUNKS_AHEAD}
        with self._faults():
            async for chunk in self.actor.download.options(**options, max_task_retries=0).remote(file, most):
                yield await chunk

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Ray's errors, whose texts are tracebacks, as those of the server."""
        try:
            yield
        except RayTaskError as error:
            known = isinstance(error.cause, (ServerLost, Refused))
            raise error.cause if known else Refused(f"{type(error.cause).__name__} in the actor") from None
        except (RayError, asyncio.TimeoutError):
            raise ServerLost(f"the actor of {self.name} has ended") from None


class Pool:
    """Maps the rows over the actors. Every row is waiting, in work, or over.

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
        self._waiting = {job.key: job for job in report.jobs if not self._is_over(job)}
        self._open = set(self._waiting)
        lines = {key: report.line(job) for key, job in self._waiting.items()}
        # The prompts that a server may have: of what an earlier run sent, and of what was lost since.
        self._ids = {key: line["prompt_id"] for key, line in lines.items() if line.get("prompt_id")}
        names = {lane.name: lane for lane in lanes}
        self._homes = {key: names[line["server"]] for key, line in lines.items() if line.get("server") in names}
        self._lost_at: dict[str, list[Lane]] = {}
        self._changed = asyncio.Condition()
        self._is_full = False

    async def run(self) -> None:
        """Give out all rows, and return when they are over or no actor is left.

        Raises:
            BadServers: a server is no ComfyUI or lacks the nodes, or none answers; nothing was sent.
            OSError: the report cannot be written.
        """
        await self._begin()
        total = len(self._report.jobs)
        with tqdm(total=total, initial=total - len(self._open), unit="row", dynamic_ncols=True) as self._bar:
            work: asyncio.Future[Any] = asyncio.gather(
                *(self._serve(lane) for lane in self._lanes for _ in range(self._depth))
            )
            over: asyncio.Future[Any] = asyncio.ensure_future(self._until_over())
            try:
                await asyncio.wait([work, over], return_when=asyncio.FIRST_COMPLETED)
            finally:
                over.cancel()
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work

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
        sent = {prompt_id: key for key, prompt_id in self._ids.items() if key in self._open}
        known = {sent[prompt_id] for prompt_id in await lane.ask("known", list(sent))}
        others = {key for other in self._lanes if other is not lane for key in other.jobs}
        await lane.ask("cancel", [self._ids[key] for key in known & others])
        self._homes |= dict.fromkeys(known - others, lane)
        lane.here = True

    async def _serve(self, lane: Lane) -> None:
        """Keep an actor at work until its server is given up; cancelled when all rows are over."""
        while await self._is_here(lane) and (job := await self._take(lane)):
            try:
                await self._make(lane, job)
            except Refused as error:
                self._fail(lane, job, str(error))
            except ServerLost as error:
                lane.here = False
                self._give_back(lane, job, str(error))
            finally:
                del lane.jobs[job.key]
            await self._notify()

    async def _is_here(self, lane: Lane) -> bool:
        """Try a lost server until it answers; False where it is given up."""
        async with lane.returning:
            start, wait = time.monotonic(), self._limits.poll
            while not (lane.here or lane.given_up):
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
        await self._notify()
        return lane.here

    def _give_up(self, lane: Lane, reason: str) -> None:
        lane.given_up = True
        say(f"{reason}. Going on without {lane.name}.")

    async def _take(self, lane: Lane) -> Job | None:
        """The next row; None where the actor gets no more."""
        async with self._changed:
            # A row that another actor has may come back.
            await self._changed.wait_for(lambda: self._is_full or lane.given_up or self._next(lane))
            job = None if self._is_full else self._next(lane)
            if job:
                lane.jobs[job.key] = self._waiting.pop(job.key)
            return job

    def _next(self, lane: Lane) -> Job | None:
        """The first row that is for this actor now, those before all that its server has already."""
        # A row that may end the server has none after it, so that no other one is blamed.
        if not lane.here or any(key in self._lost_at for key in lane.jobs):
            return None
        fit = (job for job in self._waiting.values() if self._suits(lane, job))
        return min(fit, key=lambda job: (self._homes.get(job.key) is not lane, job.row), default=None)

    def _suits(self, lane: Lane, job: Job) -> bool:
        home, lost_at = self._homes.get(job.key), self._lost_at.get(job.key, ())
        if home and home.here:
            return home is lane
        return lane not in lost_at or all(other in lost_at for other in self._lanes if other.here)

    async def _make(self, lane: Lane, job: Job) -> None:
        """Have a row made, unless its server has its result already, and fetch it.

        Raises:
            ServerLost: it is to be made anew.
            Refused: it cannot be made.
        """
        line = self._report.line(job)
        if line.get("files") and line["server"] == lane.name:
            try:
                await self._finish(lane, job)
                return
            except Refused:
                self._ids.pop(job.key, None)  # The result is gone.
        prompt_id = self._ids.setdefault(job.key, str(uuid.uuid4()))
        self._homes[job.key] = lane
        async with lane.sending:
            files = await asyncio.to_thread(_objects, job)
            # Written first, so that it can be found again after a kill.
            self._report.write(job, SENT, server=lane.name, prompt_id=prompt_id)
            making = asyncio.ensure_future(lane.make(job, prompt_id, files))
        outcome = await making
        if outcome.error:
            raise Refused(outcome.error)
        made = {"files": list(outcome.files), "seconds": outcome.seconds}
        self._report.write(job, SENT, server=lane.name, prompt_id=prompt_id, **made)
        await self._finish(lane, job)

    async def _finish(self, lane: Lane, job: Job) -> None:
        """Fetch the results that the report names, where they are wanted."""
        made = self._of_line(job, "prompt_id", "files", "seconds")
        left, targets = self._limits.largest, self._targets(job)
        try:
            for file, target in zip(made["files"], targets, strict=False):
                left -= await _fetch(lane, file, target, left)
        except Refused as error:
            raise Refused(f"its result cannot be fetched: {error}") from error
        except OSError as error:
            # With what it has been made into, so that the same command fetches it.
            self._fail(lane, job, f"its result cannot be written: {error}", **made)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                say(f"{self._output} takes no more: no more rows are sent.")
                self._is_full = True
        else:
            self._end(lane, job, DONE, **made, saved=[str(target) for target in targets])

    def _targets(self, job: Job) -> list[Path]:
        """Where the results go that the report names."""
        if self._output is None:
            return []
        names = [file["filename"] for file in self._report.line(job).get("files") or []]
        numbers = ["", *(f"_{number}" for number in range(2, len(names) + 1))]
        return [self._output / f"{job.name}{part}{_suffix(name)}" for part, name in zip(numbers, names, strict=False)]

    def _is_over(self, job: Job) -> bool:
        return self._report.line(job)["state"] == DONE and all(target.is_file() for target in self._targets(job))

    def _of_line(self, job: Job, *names: str) -> dict[str, Any]:
        return {name: value for name, value in self._report.line(job).items() if name in names}

    def _give_back(self, lane: Lane, job: Job, reason: str) -> None:
        """A row is to be made anew, before others; it fails where its servers were lost too often."""
        self._lost_at.setdefault(job.key, []).append(lane)
        lane.losses += 1
        known = self._of_line(job, "prompt_id", "files", "seconds")
        if len(self._lost_at[job.key]) >= LOSSES_OF_A_ROW:
            self._fail(lane, job, f"a server was lost {LOSSES_OF_A_ROW} times at this row: {reason}", **known)
            return
        say(f"row {job.row} ({job.name}) is waiting again: {reason}")
        self._report.write(job, WAITING, server=lane.name, **known)
        if "files" not in known:
            self._homes.pop(job.key, None)  # Unless it is found there again.
        self._waiting[job.key] = job

    def _fail(self, lane: Lane, job: Job, error: str, **details: Any) -> None:
        self._end(lane, job, FAILED, error=error, **details)
        say(f"row {job.row} ({job.name}) failed: {error}")

    def _end(self, lane: Lane, job: Job, state: str, **details: Any) -> None:
        self._report.write(job, state, server=lane.name, **details)
        self._open.discard(job.key)
        self._bar.update()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until_over(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._open)


async def _fetch(lane: Lane, file: dict[str, str], target: Path, most: int) -> int:
    """Bring a result here; its size. Raises as `Server.download`, and OSError where it cannot be written."""
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("wb") as stream:
            async for chunk in lane.download(file, most):
                stream.write(chunk)
            size = stream.tell()
        part.replace(target)
        return size
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _objects(job: Job) -> dict[str, list[tuple[int, Any]]]:
    """The chunks of a row's files as Ray's objects, which Ray keeps on disk where memory is short.

    Raises:
        Refused: one cannot be read, or is no longer what it was when the table was read.
    """
    objects: dict[str, list[tuple[int, Any]]] = {name: [] for name in job.files}
    for name, file in job.files.items():

        def put(name: str = name, file: Path = file) -> Iterator[bytes]:
            for chunk in read_chunks(file):
                objects[name].append((len(chunk), ray.put(chunk)))
                yield chunk

        try:
            now = remote_name(put(), file.suffix)
        except OSError as error:
            raise Refused(f"{file} cannot be read: {error.strerror}") from error
        if now != name:
            raise Refused(f"{file} has changed since the batch began: start it again")
    return objects


def _suffix(name: str) -> str:
    """A file's suffix, as far as it is one."""
    found = re.search(r"\.\w{1,8}$", name)
    return found[0] if found else ""


def say(message: str) -> None:
    """Show a message above the progress bar."""
    tqdm.write(message, file=sys.stderr)
