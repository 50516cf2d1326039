"""How long 40 rows take on one server and on two: `python tests/batch_throughput.py [SECONDS OF A ROW]`.

The servers are stand-ins that need a fixed time a row, so that what is measured is the batch's own part. Two are to
need at most 0.6 of one's time.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).absolute().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tools")]

import batch  # noqa: E402
from comfy.fake_server import fake_comfy  # noqa: E402

ROWS = 40
TINY_ROW = {"task": "tiny_joint_generation", "speech_content": "Hello.", "prompt": "A woman speaks."}


def seconds_of(servers: int, seconds: float) -> float:
    """Time of the whole batch with so many servers that need `seconds` a row, from the command to its end."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        table = Path(folder, "jobs.csv")
        with table.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, ["data_id", *TINY_ROW])
            writer.writeheader()
            writer.writerows({"data_id": f"clip_{number}", **TINY_ROW} for number in range(ROWS))
        fakes = [stack.enter_context(fake_comfy()) for _ in range(servers)]
        for fake in fakes:
            fake.seconds = seconds
        urls = (word for fake in fakes for word in ("--server", fake.url))
        start = time.monotonic()
        assert batch.main([str(table), *urls, "--output", f"{folder}/clips"]) == 0
        taken = time.monotonic() - start
        print(f"{servers} servers, {seconds:g} s a row: {taken:.1f} s, rows {[len(fake.runs) for fake in fakes]}")
        return taken


if __name__ == "__main__":
    each = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    batch.begin_ray(None)
    one, two = seconds_of(1, each), seconds_of(2, each)
    print(f"two servers need {two / one:.2f} of one's time")
