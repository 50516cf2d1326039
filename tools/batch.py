"""Many clips: sends the rows of a CSV file to running ComfyUI servers, and keeps a report.

    python tools/batch.py JOBS.csv --server http://127.0.0.1:8188 --server http://other:8188 --output clips

Needs Python and tqdm only. The same command goes on where it was stopped. Exit status: 0 all rows are done, 1 some
failed or are left, 2 nothing was sent because something is wrong with what was given, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from batch_client.board import Board
from batch_client.jobs import Choice, Job, read_jobs
from batch_client.lane import Lane, Patience, Unfit, check_nodes
from batch_client.report import DONE, FAILED, SENT, WAITING, BadReport, Report
from batch_client.server import InvalidAddress, Refused, Server, ServerLost, UnknownHost
from batch_client.table import COLUMNS, BadTable
from tqdm import tqdm

WORKFLOWS = Path(__file__).resolve().parent.parent / "workflows" / "api"
DEFAULT_SERVER = "http://127.0.0.1:8188"
LINES_SHOWN = 20
SECONDS_BETWEEN_LOOKS = 0.2
ALL_DONE, SOME_LEFT, BAD_INPUT, STOPPED = 0, 1, 2, 130


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's values; ends the program where they are wrong."""
    parser = argparse.ArgumentParser(
        description="Sends the rows of a CSV file as workflows to running ComfyUI servers.",
        epilog=f"Columns: {', '.join(COLUMNS)}; and NodeClass.input for any other input. See docs/batches.md.",
    )
    parser.add_argument("table", metavar="JOBS.csv", type=Path, help="a row a clip; the header names the columns")
    parser.add_argument(
        "--server", action="append", metavar="URL", help=f"address of a ComfyUI, repeatable ({DEFAULT_SERVER})"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--task", help="for rows without one in the column task: dubbing, …, or the release's 0 to 3")
    which.add_argument("--workflow", type=Path, metavar="FILE", help="one workflow in API form for all rows")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="fetch the results into this folder")
    parser.add_argument("--report", type=Path, metavar="FILE", help="by default JOBS.report.jsonl beside the CSV file")
    parser.add_argument("--prefix", default="uniavgen_batch", help="folder in the servers' output folder (%(default)s)")
    parser.add_argument(
        "--queue", type=_count, default=2, metavar="N", help="rows a server holds at a time (%(default)s)"
    )
    parser.add_argument("--timeout", type=_above_zero, default=60, help="seconds to wait for an answer (%(default)g)")
    parser.add_argument(
        "--give-up", type=float, default=10, metavar="MINUTES", help="try a lost server for so long (%(default)g)"
    )
    return parser.parse_args(arguments)


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
    try:
        jobs = read_jobs(options.table, Choice(WORKFLOWS, options.task, options.workflow), options.prefix, _say)
        servers = find_servers(options.server or [DEFAULT_SERVER], options.timeout, jobs)
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
        report = Report(options.report or options.table.with_suffix(".report.jsonl"))
    except (BadTable, BadServers, BadReport, OSError) as error:
        lines = str(error).splitlines()
        more = [f"and {len(lines) - LINES_SHOWN} more"] if len(lines) > LINES_SHOWN else []
        _say("\n".join([*lines[:LINES_SHOWN], *more, "Nothing was sent."]))
        return BAD_INPUT
    board = Board(jobs, report, options.output)
    patience = Patience(give_up_after=60 * options.give_up)
    return work(board, [Lane(server, board, options.queue, patience) for server in servers])


def find_servers(urls: Sequence[str], timeout: float, jobs: Sequence[Job]) -> list[Server]:
    """The servers, of which at least one answers; a server that is away may come back later.

    Raises:
        BadServers: an address is wrong, a server lacks the nodes or is no ComfyUI, or none answers.
    """
    servers, away, problems = [], [], []
    for url in dict.fromkeys(url.rstrip("/") for url in urls):
        try:
            server = Server(url, timeout)
            servers.append(server)
            check_nodes(server, jobs)
        except (InvalidAddress, Refused, Unfit, UnknownHost) as error:
            problems.append(str(error))
        except ServerLost as error:
            away.append(str(error))
    if problems or len(away) == len(servers):
        raise BadServers("\n".join(problems + away))
    return servers


def work(board: Board, lanes: Sequence[Lane]) -> int:
    """Send all rows and wait for their ends; the exit status."""
    try:
        urls = {lane.server.url for lane in lanes}
        for lane in lanes:
            lane.begin(urls)
        for lane in lanes:
            lane.start()
        for lane in lanes:
            while lane.is_alive():
                lane.join(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        board.stop.set()
        status = STOPPED
    else:
        status = ALL_DONE if board.counts()[DONE] == len(board.jobs) else SOME_LEFT
    finally:
        board.close()
    if board.error and status != STOPPED:
        raise board.error
    _summarise(board, status)
    return status


def _summarise(board: Board, status: int) -> None:
    counts = board.counts()
    parts = [f"{counts[DONE]} of {len(board.jobs)} rows are done", f"{counts[FAILED]} failed"]
    if counts[SENT]:
        parts.append(f"{counts[SENT]} are still with their servers")
    if counts[WAITING]:
        parts.append(f"{counts[WAITING]} are left")
    _say(f"{', '.join(parts)}. Report: {board.report.file}")
    if status != ALL_DONE:
        _say("The same command goes on from here: it fetches what the servers finish and tries failed rows again.")


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
