"""The faces of the small model's drawn people are found, about where they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_figures import benchmark

DETECTORS = ("scrfd_500m_kps.onnx", "yunet_n_640_640.onnx")


def test_drawn_faces_are_found_where_they_are(shared_data: Path) -> None:
    for library in ("insightface", "espeakng_loader"):
        pytest.importorskip(library, reason=f"needs {library}")
    files = [str(shared_data / "face" / name) for name in DETECTORS]
    figures = benchmark("drawn_faces", "--clips", "2", "--detector", *files)
    assert set(figures) == set(DETECTORS)
    for row in (row for shapes in figures.values() for row in shapes.values()):
        assert row["found"] == 1 and row["pixels"] > 0.65
        # The model's own masks reach 0.6 to 0.8.
        assert row["tokens"] > 0.7
