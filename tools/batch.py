"""Many clips: the rows of a CSV file, made by ComfyUI servers over Ray, with a report.

    python tools/batch.py JOBS.csv --server http://127.0.0.1:8188 --server http://other:8188 --output clips
    python tools/batch.py JOBS.csv --comfyui ComfyUI --output clips
    python tools/batch.py JOBS.csv --comfyui /opt/ComfyUI --address ray://head:10001 --output clips

With --server it sends to servers that run; with --comfyui it starts one for each GPU, and ends them; --address takes
the machines of a Ray cluster. Needs the extra `batch`. The same command goes on where it was stopped. Exit status: 0
all rows are done, 1 some failed or are left, 2 nothing was sent because something is wrong with what was given, 130
stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from batch_client.jobs import Choice, Job, read_jobs
from batch_client.pool import GO_ON, Lane, Pool
from batch_client.report import DONE, FAILED, SENT, WAITING, BadReport, Report
from batch_client.server import InvalidAddress, Limits, Refused, ServerLost, UnknownHost, checked_address
from batch_client.table import COLUMNS, BadTable
from batch_client.worker import ComfyUIWorker, Timing, Worker, lacks
from ray.exceptions import RayActorError, RayError
from tqdm import tqdm

PACKAGE = Path(__file__).resolve().parent / "batch_client"
WORKFLOWS = Path(__file__).resolve().parent.parent / "workflows" / "api"
DEFAULT_SERVER = "http://127.0.0.1:8188"
LINES_SHOWN = 20
RETRIES = 2
"""Of a row whose actor ends, before it fails."""
ALL_DONE, SOME_LEFT, BAD_INPUT, STOPPED = 0, 1, 2, 130


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's values; ends the program where they are wrong."""
    parser = argparse.ArgumentParser(
        description="Has the rows of a CSV file made by ComfyUI, on one or many servers.",
        epilog=f"Columns: {', '.join(COLUMNS)}; and NodeClass.input for any other input. See docs/batches.md.",
    )
    parser.add_argument("table", metavar="JOBS.csv", type=Path, help="a row a clip; the header names the columns")
    makers = parser.add_mutually_exclusive_group()
    makers.add_argument(
        "--server", action="append", metavar="URL", help=f"a ComfyUI that runs, repeatable ({DEFAULT_SERVER})"
    )
    makers.add_argument("--comfyui", type=Path, metavar="FOLDER", help="start a ComfyUI of this folder for each GPU")
    parser.add_argument("--python", type=Path, help="with --comfyui: that runs it (default: its virtual environment's)")
    parser.add_argument("--workers", type=_count, metavar="N", help="with --comfyui: how many (default: one a GPU)")
    parser.add_argument("--arguments", default="", help="with --comfyui: more of its command line, in one text")
    parser.add_argument("--address", help="of a Ray cluster (default: this machine alone)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--task", help="for rows without one in the column task: dubbing, …, or the release's 0 to 3")
    which.add_argument("--workflow", type=Path, metavar="FILE", help="one workflow in API form for all rows")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="fetch the results into this folder")
    parser.add_argument("--report", type=Path, metavar="FILE", help="by default JOBS.report.jsonl beside the CSV file")
    parser.add_argument("--prefix", default="uniavgen_batch", help="folder in the servers' output folder (%(default)s)")
    parser.add_argument("--allow-outside", action="store_true", help="rows may name files outside the CSV's folder")
    parser.add_argument(
        "--queue", type=_count, default=2, metavar="N", help="with --server: rows it holds at a time (%(default)s)"
    )
    parser.add_argument(
        "--timeout", type=_above_zero, default=60, metavar="SECONDS", help="for a whole answer (%(default)g)"
    )
    parser.add_argument(
        "--transfer-timeout", type=_above_zero, default=1800, metavar="SECONDS", help="for a whole file (%(default)g)"
    )
    parser.add_argument(
        "--largest-result", type=_above_zero, default=4, metavar="GB", help="that is fetched (%(default)g)"
    )
    parser.add_argument(
        "--give-up", type=_above_zero, default=10, metavar="MINUTES", help="try a lost server for so long (%(default)g)"
    )
    options = parser.parse_args(arguments)
    if options.comfyui and not options.output:
        parser.error("--comfyui needs --output: what it makes goes with the ComfyUI that it starts")
    if options.comfyui and not (options.comfyui / "main.py").is_file() and not options.address:
        parser.error(f"--comfyui {options.comfyui} is no folder of ComfyUI: it has no main.py")
    return options


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _above_zero(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("a number above 0")
    return number


class BadServers(Exception):
    """The batch cannot begin with these servers; a line for each reason."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = parse_arguments(arguments)
    report, lanes = None, []
    try:
        choice = Choice(WORKFLOWS, options.task, options.workflow, options.allow_outside)
        jobs = read_jobs(options.table, choice, options.prefix, _say)
        urls = [] if options.comfyui else list(map(checked_address, options.server or [DEFAULT_SERVER]))
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
        report = Report(options.report or options.table.with_suffix(".report.jsonl"))
        begin_ray(options.address)
        lanes = comfyui_lanes(options) if options.comfyui else server_lanes(options, list(dict.fromkeys(urls)))
        check_servers(lanes, jobs)
    except (BadTable, BadServers, BadReport, InvalidAddress, OSError) as error:
        if report:
            report.close([])
        end(lanes)
        lines = str(error).splitlines()
        more = [f"and {len(lines) - LINES_SHOWN} more"] if len(lines) > LINES_SHOWN else []
        _say("\n".join([*lines[:LINES_SHOWN], *more, "Nothing was sent."]))
        return BAD_INPUT
    pool = Pool(jobs, report, options.output, lanes, 1 if options.comfyui else options.queue)
    try:
        return work(pool)
    finally:
        end(lanes)


def begin_ray(address: str | None) -> None:
    """Join the cluster, or begin one on this machine; one that this process has joined already serves.

    Raises:
        BadServers: there is none at the address.
    """
    if ray.is_initialized():
        return
    try:
        context = ray.init(
            address=address or "local", runtime_env={"py_modules": [str(PACKAGE)]}, log_to_driver=False,
            logging_level=logging.ERROR,
        )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BadServers(f"Ray cannot be reached at {address}: {error}" if address else str(error)) from error
    if context.dashboard_url:
        _say(f"Ray's dashboard: http://{context.dashboard_url}")


def server_lanes(options: argparse.Namespace, urls: Sequence[str]) -> list[Lane]:
    """An actor for each server that runs."""
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=RETRIES)(Worker)
    return [Lane(url, actor.remote(url, *_manners(options))) for url in urls]


def comfyui_lanes(options: argparse.Namespace) -> list[Lane]:
    """An actor with a ComfyUI of its own for each GPU of the cluster; one on the processor where there is none."""
    gpus = int(ray.cluster_resources().get("GPU", 0))
    python = str(options.python or _python_of(options.comfyui))
    words = shlex.split(options.arguments) + ([] if gpus else ["--cpu"])
    needs: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": 0}
    actor = ray.remote(**needs, max_restarts=-1, max_task_retries=RETRIES)(ComfyUIWorker)
    folder = str(options.comfyui.absolute())
    return [
        Lane(f"ComfyUI {number}", actor.remote(folder, python, words, *_manners(options)))
        for number in range(1, (options.workers or gpus or 1) + 1)
    ]


def _manners(options: argparse.Namespace) -> tuple[Limits, Timing]:
    largest = int(options.largest_result * 2**30)
    return Limits(options.timeout, options.transfer_timeout, largest), Timing(give_up=60 * options.give_up)


def _python_of(comfyui: Path) -> Path:
    """The Python of ComfyUI's virtual environment or portable folder, else this one."""
    places = ("venv/bin/python", ".venv/bin/python", "venv/Scripts/python.exe", ".venv/Scripts/python.exe",
              "../python_embeded/python.exe")  # fmt: skip
    return next((path for place in places if (path := comfyui.absolute() / place).is_file()), Path(sys.executable))


def check_servers(lanes: Sequence[Lane], jobs: Sequence[Job]) -> None:
    """See that a server answers, and that all that do know the nodes; one that is away may come back later.

    Raises:
        BadServers: a server lacks the nodes or is no ComfyUI, or none answers.
    """
    kinds = sorted({node["class_type"] for job in jobs for node in job.prompt.values()})
    away, problems = [], []
    for lane, asked in [(lane, lane.actor.missing_nodes.remote(kinds)) for lane in lanes]:
        try:
            missing = ray.get(asked)
            if missing:
                problems.append(lacks(lane.name, missing))
        except (UnknownHost, Refused, RayActorError) as error:
            problems.append(str(error))
        except ServerLost as error:
            away.append(str(error))
    if problems or len(away) == len(lanes):
        raise BadServers("\n".join(problems + away))


def work(pool: Pool) -> int:
    """Have all rows made; the exit status."""
    status, fault = SOME_LEFT, None
    try:
        asyncio.run(pool.run())
    except KeyboardInterrupt:
        status = STOPPED
    except OSError as error:
        fault = f"{pool.report.file} cannot be written: {error}."
    counts = pool.counts()
    pool.close()
    if status != STOPPED and counts[DONE] == len(pool.jobs):
        status = ALL_DONE
    _summarise(pool, counts, status, fault)
    return status


def end(lanes: Sequence[Lane]) -> None:
    """End the ComfyUIs that the batch has started, and its actors."""
    try:
        ray.get([lane.actor.end.remote() for lane in lanes], timeout=60)
    except RayError:
        pass
    for lane in lanes:
        ray.kill(lane.actor)


def _summarise(pool: Pool, counts: dict[str, int], status: int, fault: str | None) -> None:
    parts = [f"{counts[DONE]} of {len(pool.jobs)} rows are done", f"{counts[FAILED]} failed"]
    if counts[SENT]:
        parts.append(f"{counts[SENT]} are still with their servers")
    if counts[WAITING]:
        parts.append(f"{counts[WAITING]} are left")
    _say(" ".join(filter(None, (fault, f"{', '.join(parts)}. Report: {pool.report.file}"))))
    if status != ALL_DONE:
        _say(GO_ON)


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
