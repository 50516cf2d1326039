"""The picture of the house."""

from __future__ import annotations

from architecture import PICTURE, draw_house


def test_the_picture_shows_what_the_files_import() -> None:
    """Where it does not any more: `python tools/architecture.py`."""
    assert PICTURE.read_text(encoding="utf-8") == draw_house()
