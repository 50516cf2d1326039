"""A ComfyUI with the pack, used for long by people who change their minds.

    COMFYUI_PATH=… python tools/soak.py [--prompts 200] [--seed 7] [--report output/soak]

Two clients ask for clips of all tasks and sizes of the small model. Some prompts are deleted, cancelled or wrong, some
clients go without a word, the disk is full for a while, and at the end the server is killed in the middle of a long
clip and started again. Writes a report, and ends with status 1 where something is not as it should be.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from random import SystemRandom
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT), str(ROOT / "tests")]

from comfy.graphs import for_this_version, set_inputs  # noqa: E402
from comfy.install import HOW_TO_SET, find_install  # noqa: E402
from comfy.prompt_errors import check_history_entry  # noqa: E402
from comfy.server import ComfyServer  # noqa: E402
from soak_run.clip_checks import check_finished  # noqa: E402
from soak_run.drawn_prompts import draw_prompt  # noqa: E402
from soak_run.impatient_client import ImpatientClient, Shared  # noqa: E402
from soak_run.server_watch import files_left, own_bytes  # noqa: E402
from soak_run.small_disk import enter_namespace, filled, small_disk  # noqa: E402
from soak_run.soak_report import SoakReport  # noqa: E402

from uniavgen_lab.benchmarks.processes import RETURN_AT_ONCE  # noqa: E402

CLIENTS = 2
LOOKS = (10, 50, 100, 200)
"""After so many prompts the server's memory is read."""
DISKS = ("output", "temp")
FULL_AFTER, FULL_FOR = 20, 6
"""Of every so many prompts in a row, so many meet a full disk."""
SMALL_CACHES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8", "LRU_CACHE_CAPACITY": "8"}
"""Of oneDNN and of PyTorch: on a CPU each keeps what it has prepared for the last 1,024 shapes of its inputs. A soak
does not fill that, so that it would grow by it from beginning to end, as a server of weeks does not."""
SECONDS_BEFORE_KILL = 1.0
KILLED_STEPS = 10
SECONDS_TO_FORGET = 5.0
LONG_SCRIPT = (
    "A happy woman talks. | Hello, three red birds. We see two green fish.\nA sad woman talks. | Goodbye, one cat."
)


class Numbers:
    """Numbers of prompts for several clients, and a disk that is full at some of them."""

    def __init__(self, numbers: range, shared: Shared, disks: Sequence[Path]) -> None:
        self._shared, self._disks = shared, disks
        self._numbers: Iterator[int] = iter(numbers)
        self._full = ExitStack()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        with self._shared.lock:
            number = next(self._numbers)
            if self._disks and number % FULL_AFTER == FULL_AFTER - FULL_FOR:
                self._full.enter_context(filled(self._disks[number // FULL_AFTER % len(self._disks)]))
                self._shared.fills += 1
                self._shared.disk_is_full.set()
            elif number % FULL_AFTER == 0:
                self._empty_disk()
            return number

    def close(self) -> None:
        """Give out no more numbers, and the disk back."""
        with self._shared.lock:
            self._numbers = iter(())
            self._empty_disk()

    def _empty_disk(self) -> None:
        self._shared.disk_is_full.clear()
        self._full.close()


def soak(server: ComfyServer, report: SoakReport, prompts: int) -> None:
    """Ask for so many prompts, and fill the report."""
    shared = Shared(server, report.seed, server.object_info())
    disks = [server.base / name for name in DISKS] if report.small_disk else []
    start = time.monotonic()
    report.memory[0] = own_bytes(server.process_id)
    done = 0
    for goal in sorted({*(look for look in LOOKS if look < prompts), prompts}):
        numbers = Numbers(range(done, goal), shared, disks)
        with ThreadPoolExecutor(CLIENTS) as pool, closing(numbers):
            works = [pool.submit(ImpatientClient(shared).work, numbers) for _ in range(CLIENTS)]
            report.outcomes += [outcome for work in works for outcome in work.result()]
        make_same_clip(shared)
        report.memory_with_cache[goal] = own_bytes(server.process_id)
        empty_cache(server)
        report.memory[goal] = own_bytes(server.process_id)
        print(f"{goal} prompts, {report.memory[goal] / 1e6:.0f} MB", flush=True)
        done = goal
    report.files_left = files_left(server.base, shared.kept_files)
    kill_and_go_on(server, shared, report)
    report.acts, report.fills, report.seconds = dict(shared.acts), shared.fills, time.monotonic() - start


def make_same_clip(shared: Shared) -> None:
    """One small clip that is always the same, so that what is read after it is comparable."""
    drawn = draw_prompt(0, 0, "tiny_joint_generation", bad=False)
    set_inputs(drawn.prompt, "UniAVGenSampler", seed=time.monotonic_ns() % 2**32)
    outputs = shared.server.run(for_this_version(drawn.prompt, shared.info))
    files = shared.server.output_files(outputs)
    check_finished(drawn, files)
    shared.kept_files |= {str(file) for file in files}


def empty_cache(server: ComfyServer) -> None:
    """Let ComfyUI forget results, models and history, so that what is held after it is held by mistake."""
    server.request("/history", {"clear": True})
    server.request("/free", {"unload_models": True, "free_memory": True})
    # Nothing says when it is done.
    time.sleep(SECONDS_TO_FORGET)


def kill_and_go_on(server: ComfyServer, shared: Shared, report: SoakReport) -> None:
    """Kill the server in the middle of a long clip, start it again, and let the same prompt go on."""
    drawn = draw_prompt(-1, report.seed, "tiny_script", bad=False)
    set_inputs(drawn.prompt, "UniAVGenLatent", seconds=2.5)
    set_inputs(drawn.prompt, "UniAVGenScript", script=LONG_SCRIPT)
    set_inputs(drawn.prompt, "UniAVGenLongForm", keep=True)
    set_inputs(drawn.prompt, "UniAVGenScheduler", steps=KILLED_STEPS)
    prompt = for_this_version(drawn.prompt, shared.info)
    with server.events() as events:
        server.queue(prompt)
        events.wait_for("progress", lambda data: data["value"] > 1)
    time.sleep(SECONDS_BEFORE_KILL)
    server.kill()
    with ComfyServer(server.install, server.base) as restarted:
        entry = restarted.wait(restarted.queue(prompt))
        files = restarted.output_files(check_history_entry(entry))
        check_finished(drawn, files)
        report.restarted = "Killed in the middle of a long clip and started again, the server finished it."
        shared.kept_files |= {str(file) for file in files}
        empty_cache(restarted)
        report.files_left_after_kill = files_left(server.base, shared.kept_files)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--seed", type=int, help="of all that is drawn; else one at random, which is printed")
    parser.add_argument(
        "--report", type=Path, default=ROOT / "output" / "soak", help="the files, without their endings"
    )
    arguments = parser.parse_args()
    install = find_install(os.environ, ROOT)
    if install is None:
        parser.error(HOW_TO_SET)
    seed = SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed
    enter_namespace(
        [*sys.argv[:1], "--prompts", str(arguments.prompts), "--seed", str(seed), "--report", str(arguments.report)]
    )
    print(f"seed {seed}", flush=True)
    # What is freed goes back at once, so that what is held can be seen.
    os.environ |= RETURN_AT_ONCE | SMALL_CACHES
    with TemporaryDirectory(prefix="soak_") as folder, ExitStack() as disks:
        base = Path(folder) / "base"
        small = all([disks.enter_context(small_disk(base / name)) for name in DISKS])
        with ComfyServer(install, base, [ROOT]) as server:
            version = server.request("/system_stats")["system"]["comfyui_version"]
            report = SoakReport(seed, CLIENTS, version, small)
            try:
                soak(server, report, arguments.prompts)
            finally:
                report.write(arguments.report)
    print(report.markdown())
    return 1 if report.faults else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
