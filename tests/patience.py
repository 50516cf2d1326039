"""How long the tests wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 600.0
"""For whatever has to come: a busy machine with one core takes its time. Only a failure is waited for so long."""
SECONDS_BETWEEN_LOOKS = 0.02


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(SECONDS_BETWEEN_LOOKS)
