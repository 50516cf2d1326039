"""The benchmarks run; what they measure is theirs to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).absolute().parent.parent / "benchmarks"


def test_memory_of_a_long_clip() -> None:
    command = [sys.executable, str(BENCHMARKS / "long_form_memory.py"), "--seconds", "4", "--steps", "1"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    row = json.loads(result.stdout.splitlines()[-1])
    assert row["seconds"] == pytest.approx(4, abs=1 / 16)
    assert row["segments"] >= 2
    assert row["peak_bytes"] > 1e8
