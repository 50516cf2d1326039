"""The rows of a batch over a pool of Ray actors: who gets which row, and what became of it."""

from __future__ import annotations

import asyncio
import re
import sys
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from tqdm import tqdm

from .jobs import Job, read_chunks, remote_name
from .report import DONE, FAILED, SENT, WAITING, Report
from .server import Outcome, Refused, ServerLost
from .worker import Lost

LOSSES_OF_A_ROW = 3
"""A row at which a server was lost this often fails: it may be what ends the servers."""
TRIES = 3
"""Of fetching a result."""
GO_ON = "The same command goes on from here: it fetches what the servers finish and tries failed rows again."


@dataclass
class Lane:
    """An actor and what it has.

    Attributes:
        name: of its server, for messages and the report.
        actor: a handle of `worker.Worker`.
        rows: that it is to find again, from an earlier run, with the ids of their prompts.
        left: prompts that were given back, with their rows: others may have taken them over.
    """

    name: str
    actor: Any
    rows: deque[tuple[Job, str]] = field(default_factory=deque)
    left: dict[str, Job] = field(default_factory=dict)


class Pool:
    """Maps the rows over the actors. Every row is waiting, in work, or over.

    Args:
        jobs: all rows.
        report: is told every change before anything follows from it.
        output: folder that takes the results; None: they stay on their servers.
        lanes: the actors.
        depth: rows that an actor has at a time.
    """

    def __init__(
        self, jobs: Sequence[Job], report: Report, output: Path | None, lanes: Sequence[Lane], depth: int
    ) -> None:
        self.jobs, self.report, self.output = list(jobs), report, output
        self._lanes, self._depth = lanes, depth
        self._kinds = sorted({node["class_type"] for job in jobs for node in job.prompt.values()})
        self._open = {job.key for job in self.jobs if not self._is_over(job)}
        self._waiting: deque[Job] = deque(job for job in self.jobs if job.key in self._open)
        self._losses: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._stopped = False
        self._bar = tqdm(total=len(self.jobs), initial=len(self.jobs) - len(self._open), unit="row", dynamic_ncols=True)

    def counts(self) -> dict[str, int]:
        """How many rows are in which state."""
        counts = Counter(map(self.report.state, self.jobs))
        return {state: counts[state] for state in (DONE, FAILED, SENT, WAITING)}

    def say(self, message: str) -> None:
        """Show a message above the progress bar."""
        tqdm.write(message, file=sys.stderr)

    def close(self) -> None:
        """Put the report in order."""
        self._bar.close()
        self.report.close(self.jobs)

    async def run(self) -> None:
        """Give out all rows, and return when they are over or no actor is left.

        Raises:
            OSError: the report cannot be written.
        """
        await self._find_earlier()
        tasks = [asyncio.create_task(self._serve(lane)) for lane in self._lanes for _ in range(self._depth)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    def _is_over(self, job: Job) -> bool:
        files = self.report.line(job).get("files") or []
        return self._is_done(job) and all(target.is_file() for target in self._targets(job, files))

    def _is_done(self, job: Job) -> bool:
        return self.report.state(job) == DONE

    def _server(self, job: Job) -> str | None:
        return self.report.line(job).get("server")

    async def _find_earlier(self) -> None:
        """Give what an earlier run left with a server to the actor whose server has it."""
        left = {line["prompt_id"]: job for job in self._waiting if (line := self.report.line(job)).get("prompt_id")}
        for lane in self._lanes:
            here = [
                id for id, job in left.items() if self._is_done(job) and self.report.line(job)["server"] == lane.name
            ]
            try:
                here += await lane.actor.known.remote([id for id in left if id not in here])
            except (ServerLost, Refused, RayError):
                pass  # The row is made anew, unless its server comes back before.
            for prompt_id in here:
                job = left.pop(prompt_id)
                self._waiting.remove(job)
                lane.rows.append((job, prompt_id))

    async def _serve(self, lane: Lane) -> None:
        """Keep an actor at work until all rows are over or its server is given up."""
        while (row := await self._take(lane)) is not None:
            job, prompt_id = row
            lost = None
            try:
                lost = await self._see_through(lane, job, prompt_id)
            except Refused as error:
                self._fail(job, lane, str(error))
            except RayActorError:
                self._fail(job, lane, f"its ComfyUI ended {LOSSES_OF_A_ROW} times while it worked on this row")
            if lost:
                lane.left[prompt_id] = job
                self._give_back(job, lane, lost)
            async with self._changed:
                self._changed.notify_all()
            if lost and not await self._wait_until_back(lane):
                return

    async def _take(self, lane: Lane) -> tuple[Job, str] | None:
        """The next row and the id of its prompt; None where there is nothing more to do."""
        async with self._changed:
            # A row that another actor has may come back.
            await self._changed.wait_for(lambda: lane.rows or self._waiting or not self._open or self._stopped)
            if lane.rows:
                return lane.rows.popleft()
            if self._stopped or not self._waiting:
                return None
            return self._waiting.popleft(), str(uuid.uuid4())

    async def _see_through(self, lane: Lane, job: Job, prompt_id: str) -> Lost | None:
        """Have a row made and fetch its result; why it is to be made anew, or None.

        Raises:
            Refused: it cannot be made.
            RayActorError: the actor ended at each try.
        """
        url = await lane.actor.address.remote()
        if self._is_done(job):
            line = self.report.line(job)
            outcome = Outcome(tuple(line["files"]), seconds=line["seconds"])
            if await self._finish(lane, job, prompt_id, outcome, url) is None:
                return None
            prompt_id = str(uuid.uuid4())
        lacking = await lane.actor.lacking.remote(list(job.files))
        files = {name: _chunks(job.files[name], name) for name in lacking}
        # Written first, so that it can be found again after a kill.
        self.report.write(job, SENT, server=lane.name, prompt_id=prompt_id)
        ended: Outcome | Lost = await lane.actor.run.remote(job.prompt, prompt_id, files)
        if isinstance(ended, Lost):
            return ended
        if ended.error is not None:
            raise Refused(ended.error)
        return await self._finish(lane, job, prompt_id, ended, url)

    async def _finish(self, lane: Lane, job: Job, prompt_id: str, outcome: Outcome, url: str) -> Lost | None:
        """Fetch a row's results, where they are wanted; Lost where the server no longer has them."""
        sender = {"server": lane.name, "prompt_id": prompt_id}
        targets = self._targets(job, outcome.files)
        try:
            for file, target in zip(outcome.files, targets, strict=False):
                await self._fetch(lane, file, target, url)
        except RayActorError as error:
            return Lost(f"its result is gone ({error})", blamed=True)
        except (ServerLost, Refused) as error:
            if url != await lane.actor.address.remote():
                return Lost("its result is gone: its ComfyUI has started again", blamed=True)
            # With its prompt's id, so that the same command fetches it later.
            self._fail(job, lane, f"its result cannot be fetched: {error}", prompt_id=prompt_id)
        except OSError as error:
            self._fail(job, lane, f"its result cannot be written: {error}", prompt_id=prompt_id)
            self.say(f"{self.output} takes no more files: no more rows are sent. {GO_ON}")
            self._stopped = True
        else:
            saved = [str(target) for target in targets]
            self._end(job, DONE, **sender, files=list(outcome.files), saved=saved, seconds=outcome.seconds)
        return None

    async def _wait_until_back(self, lane: Lane) -> bool:
        """Try a lost server; whether it is back. It goes on with what nobody else has taken."""
        try:
            reason = await lane.actor.wait_until_back.remote(self._kinds)
            if reason is None:
                left, lane.left = lane.left, {}
                known = await lane.actor.known.remote(list(left))
                still = [(left[prompt_id], prompt_id) for prompt_id in known if left[prompt_id] in self._waiting]
                for row in still:
                    self._waiting.remove(row[0])
                lane.rows.extend(still)
                kept = {prompt_id for _, prompt_id in still}
                await lane.actor.cancel.remote([prompt_id for prompt_id in known if prompt_id not in kept])
        except (ServerLost, Refused):
            return True  # It answered a moment ago: it is found out at the next row.
        except RayError as error:
            reason = str(error)
        if reason:
            self.say(f"{reason}. Going on without {lane.name}.")
        return reason is None

    async def _fetch(self, lane: Lane, file: dict[str, str], target: Path, url: str) -> None:
        """Bring a result here.

        Raises:
            ServerLost, Refused: the server does not give it, or not whole.
            OSError: it cannot be written.
        """
        part = target.with_name(f"{target.name}.part")
        try:
            for tries_left in reversed(range(TRIES)):
                chunks = lane.actor.download.options(num_returns="streaming", max_task_retries=0).remote(file, url)
                try:
                    with part.open("wb") as stream:
                        async for chunk in chunks:
                            stream.write(await chunk)
                    break
                except ServerLost:
                    if not tries_left:
                        raise
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def _targets(self, job: Job, files: Sequence[dict[str, str]]) -> list[Path]:
        if self.output is None:
            return []
        numbers = ["", *(f"_{number}" for number in range(2, len(files) + 1))]
        return [
            self.output / f"{job.name}{number}{_suffix(file['filename'])}"
            for number, file in zip(numbers, files, strict=False)
        ]

    def _give_back(self, job: Job, lane: Lane, lost: Lost) -> None:
        """A row is to be made anew, before the others; it fails where its servers were lost too often."""
        self._losses[job.key] += lost.blamed
        self.say(f"row {job.row} ({job.name}) is waiting again: {lost.reason}")
        if self._losses[job.key] >= LOSSES_OF_A_ROW:
            self._fail(job, lane, f"a server was lost {LOSSES_OF_A_ROW} times at this row: {lost.reason}")
            return
        self.report.write(job, WAITING)
        self._waiting.appendleft(job)

    def _fail(self, job: Job, lane: Lane, error: str, **details: Any) -> None:
        self._end(job, FAILED, server=lane.name, error=error, **details)
        self.say(f"row {job.row} ({job.name}) failed: {error}")

    def _end(self, job: Job, state: str, **details: Any) -> None:
        self.report.write(job, state, **details)
        self._open.discard(job.key)
        self._bar.update()


def _chunks(file: Path, name: str) -> list[tuple[int, Any]]:
    """A file's content as Ray's objects, which Ray keeps on disk where memory is short.

    Raises:
        Refused: it cannot be read, or is no longer what it was when the table was read.
    """
    objects = []

    def put() -> Iterator[bytes]:
        for chunk in read_chunks(file):
            objects.append((len(chunk), ray.put(chunk)))
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
