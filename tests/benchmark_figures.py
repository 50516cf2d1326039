"""The benchmarks as commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).absolute().parent.parent


def start_benchmark(name: str, *flags: str, **environment: str) -> subprocess.Popen[str]:
    """Start a script of `uniavgen_lab/benchmarks/` with this checkout's modules, whatever else is installed."""
    command = [sys.executable, "-m", f"uniavgen_lab.benchmarks.{name}", *flags]
    # The tables hold signs that not every locale has.
    given: Mapping[str, str] = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"} | environment
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=given)


def figures_of(process: subprocess.Popen[str]) -> Any:
    """The figures that a benchmark prints on its last line, once it has ended well."""
    shown, faults = process.communicate()
    assert process.returncode == 0, faults
    return json.loads(shown.splitlines()[-1])


def benchmark(name: str, *flags: str) -> Any:
    """Run a benchmark; its figures."""
    return figures_of(start_benchmark(name, *flags, "--json"))
