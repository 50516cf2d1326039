"""Many clips: the rows of a CSV file, made by ComfyUI servers over Ray, with a report.

    python tools/batch.py JOBS.csv --server http://127.0.0.1:8188 --server http://other:8188 --output clips
    python tools/batch.py JOBS.csv --comfyui ComfyUI --output clips
    python tools/batch.py JOBS.csv --comfyui /opt/ComfyUI --address head:6379 --output clips

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
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import ray
    from batch_client.jobs import Choice, read_jobs
    from batch_client.pool import Lane, Pool, say
    from batch_client.report import DONE, FAILED, SENT, WAITING, BadReport, Report
    from batch_client.server import TRANSFER_FACTOR, BadServers, Limits, checked_address
    from batch_client.table import COLUMNS, BadTable
    from batch_client.worker import ComfyUIWorker, Worker
except ModuleNotFoundError as error:
    raise SystemExit(f"{error.name} is not installed: pip install -e '.[batch]' in the folder of the pack.") from None

PACKAGE = Path(__file__).resolve().parent / "batch_client"
WORKFLOWS = Path(__file__).resolve().parent.parent / "workflows" / "api"
DEFAULT_SERVER = "http://127.0.0.1:8188"
LINES_SHOWN = 20
ENDURANCE: dict[str, Any] = {"max_restarts": -1, "max_task_retries": 2}
"""An actor that ends is begun anew, and what it was asked is asked again."""
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
    parser.add_argument("--address", help="of a Ray cluster, seen from one of its machines (default: this one alone)")
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
        "--timeout", type=_above_zero, default=60, metavar="SECONDS",
        help=f"for a whole answer (%(default)g); for a file {TRANSFER_FACTOR} times as long",
    )  # fmt: skip
    parser.add_argument(
        "--largest-result", type=_above_zero, default=4, metavar="GB", help="of a row that is fetched (%(default)g)"
    )
    parser.add_argument(
        "--give-up", type=_above_zero, default=10, metavar="MINUTES", help="try a lost server for so long (%(default)g)"
    )
    options = parser.parse_args(arguments)
    if options.comfyui and not options.output:
        parser.error("--comfyui needs --output: what it makes goes with the ComfyUI that it starts")
    if options.comfyui and not (options.comfyui / "main.py").is_file() and not options.address:
        parser.error(f"--comfyui {options.comfyui} is no folder of ComfyUI: it has no main.py")
    if (options.address or "").startswith("ray://"):
        parser.error("--address takes HOST:PORT or auto, on a machine of the cluster: results cannot come by ray://")
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = parse_arguments(arguments)
    try:
        choice = Choice(WORKFLOWS, options.task, options.workflow, options.allow_outside)
        jobs = read_jobs(options.table, choice, options.prefix, say)
        urls = list(dict.fromkeys(map(checked_address, options.server or [DEFAULT_SERVER])))
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
        with Report(options.report or options.table.with_suffix(".report.jsonl"), jobs) as report:
            begin_ray(options.address)
            with actors(options, urls) as lanes:
                depth = 1 if options.comfyui else options.queue
                return work(Pool(report, options.output, lanes, depth, _limits(options)), report)
    except (BadTable, BadServers, BadReport, OSError) as error:
        lines = str(error).splitlines()
        more = [f"and {len(lines) - LINES_SHOWN} more"] if len(lines) > LINES_SHOWN else []
        say("\n".join([*lines[:LINES_SHOWN], *more, "Nothing was sent."]))
        return BAD_INPUT


def begin_ray(address: str | None) -> None:
    """Join the cluster, or begin one on this machine; one that this process has joined already serves.

    Raises:
        BadServers: there is none at the address.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        context = ray.init(
            address=address or "local", runtime_env={"py_modules": [str(PACKAGE)]}, log_to_driver=False,
            logging_level=logging.ERROR,
        )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BadServers(f"Ray cannot be reached at {address}: {error}" if address else str(error)) from error
    if context.dashboard_url:
        say(f"Ray's dashboard: http://{context.dashboard_url}")


@contextmanager
def actors(options: argparse.Namespace, urls: Sequence[str]) -> Iterator[list[Lane]]:
    """An actor for each server, or with a ComfyUI of its own for each GPU of the cluster; ended afterwards."""
    limits = _limits(options)
    if options.comfyui:
        gpus = int(ray.cluster_resources().get("GPU", 0))
        python = str(options.python or _python_of(options.comfyui))
        words = shlex.split(options.arguments) + ([] if gpus else ["--cpu"])
        own = ray.remote(num_gpus=min(gpus, 1), num_cpus=0, **ENDURANCE)(ComfyUIWorker)
        made = [
            Lane(f"ComfyUI {number}", own.remote(str(options.comfyui.absolute()), python, words, limits))
            for number in range(1, (options.workers or gpus or 1) + 1)
        ]
    else:
        kind = ray.remote(num_cpus=0, **ENDURANCE)(Worker)
        made = [Lane(url, kind.remote(url, limits)) for url in urls]
    try:
        yield made
    finally:
        for lane in made:
            ray.kill(lane.actor)


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(options.timeout, int(options.largest_result * 2**30), give_up=60 * options.give_up)


def _python_of(comfyui: Path) -> Path:
    """The Python of ComfyUI's virtual environment or portable folder, else this one."""
    places = ("venv/bin/python", ".venv/bin/python", "venv/Scripts/python.exe", ".venv/Scripts/python.exe",
              "../python_embeded/python.exe")  # fmt: skip
    return next((path for place in places if (path := comfyui.absolute() / place).is_file()), Path(sys.executable))


def work(pool: Pool, report: Report) -> int:
    """Have all rows made, and say how it went; the exit status."""
    status, fault = SOME_LEFT, ""
    try:
        asyncio.run(pool.run())
    except KeyboardInterrupt:
        status = STOPPED
    except OSError as error:
        fault = f"{report.file} cannot be written: {error}. "
    counts = report.counts()
    if status != STOPPED and counts[DONE] == len(report.jobs):
        status = ALL_DONE
    parts = [f"{counts[DONE]} of {len(report.jobs)} rows are done", f"{counts[FAILED]} failed"]
    parts += [f"{counts[SENT]} are still with their servers"] if counts[SENT] else []
    parts += [f"{counts[WAITING]} are left"] if counts[WAITING] else []
    say(f"{fault}{', '.join(parts)}. Report: {report.file}")
    if status != ALL_DONE:
        say("The same command goes on from here: it fetches what the servers finish and tries failed rows again.")
    return status


if __name__ == "__main__":
    sys.exit(main())
