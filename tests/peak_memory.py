"""How much memory a process takes of its own; files that it maps do not count. Reads Linux's /proc."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

STATUS = Path("/proc/self/status")
TESTS = Path(__file__).parent


class PeakMemory:
    """The most bytes that were taken at once within a `with` block, above those before it."""

    def __enter__(self) -> PeakMemory:
        self._before = self._peak = _taken()
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()
        self.bytes = max(self._peak, _taken()) - self._before

    def _watch(self) -> None:
        while not self._done.wait(0.001):
            self._peak = max(self._peak, _taken())


def _taken() -> int:
    found = re.search(r"RssAnon:\s+(\d+)", STATUS.read_text())
    assert found is not None
    return int(found[1]) * 1024


def printed_number(script: str, *arguments: str) -> float:
    """What a script prints that runs in a process of its own, where it can import this module."""
    script = f"import sys; sys.path.insert(0, {str(TESTS)!r})\n{script}"
    command = [sys.executable, "-c", script, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, cwd=TESTS.parent, check=False)
    assert result.returncode == 0, result.stderr
    return float(result.stdout)
