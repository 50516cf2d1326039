"""The measure of who speaks of two people."""

from __future__ import annotations

import pytest

from uniavgen_lab.evaluation import two_people


def mouths(speaking: float, other: float, wanted: float = 1.0, correlation: float = 0.5) -> dict[str, float]:
    return {"speaking": speaking, "other": other, "wanted": wanted, "correlation": correlation}


def test_a_row_tells_how_silent_the_silent_mouths_are() -> None:
    clips = [mouths(10, 1), mouths(10, 2.9), mouths(10, 20, wanted=0.0, correlation=0.1), mouths(0.0, 0.0, wanted=0.0)]
    row = two_people.summarise_mouths(clips, masked=True)
    assert row["silent_over_speaking"] == pytest.approx((0.1 + 0.29) / 2)
    assert row["silent"] == 0.5 and row["right"] == 0.5
    assert row["correlation"] == pytest.approx(0.4) and row["clips"] == 4
    assert two_people.summarise_mouths(clips, masked=False)["right"] is None


def test_the_table_has_a_line_a_row() -> None:
    rows = {name: two_people.summarise_mouths([mouths(10, 1)], masked=name != "free") for name in two_people.ROWS}
    lines = two_people.two_people_table(rows).splitlines()
    assert lines[2] == "| free | 0.10 | 1.00 | – | 0.50 |"
    assert lines[3] == "| speaker masked | 0.10 | 1.00 | 1.00 | 0.50 |"
    assert len(lines) == 5
