"""The CSV file: its columns, and its rows as texts."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from .workflow import SLOTS

NAME = "data_id"
COLUMNS = (*SLOTS, "task", "seconds")
"""The release's columns, and those that it lacks."""
FIRST_ROW = 2
"""Rows are counted as a spreadsheet does: the header is row 1."""


class BadTable(ValueError):
    """The CSV file cannot be sent; a line for each reason."""


def read_table(table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The names of the columns, and each row that is not empty with its number; cells are stripped.

    Raises:
        BadTable: the file is no such table.
        OSError: it cannot be read.
    """
    try:
        text = table.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTable(f"{table} is not in UTF-8: save it as “CSV UTF-8”.") from error
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise BadTable(f"{table} is no CSV file: {error}. Cells that hold quotes or commas need quotes.") from error
    header = [cell.strip() for cell in records[0]] if records else []
    _check_header(table, header)
    numbered = [(row, record) for row, record in enumerate(records[1:], FIRST_ROW) if any(map(str.strip, record))]
    if not numbered:
        raise BadTable(f"{table} has no rows.")
    long = [row for row, record in numbered if len(record) > len(header)]
    if long:
        raise BadTable(f"row {long[0]} has more cells than the header: put quotes around texts that hold commas.")
    return header, [(row, dict(zip(header, map(str.strip, record), strict=False))) for row, record in numbered]


def _check_header(table: Path, header: list[str]) -> None:
    if NAME not in header:
        separated = "" if len(header) > 1 else " (are the cells separated by commas?)"
        raise BadTable(f"{table} has no column {NAME}{separated}. Its first row must name the columns.")
    for name in header:
        if header.count(name) > 1:
            raise BadTable(f"column {name or '(without a name)'} is there {header.count(name)} times.")
        if not (name in COLUMNS or "." in name or name.startswith("#")):
            raise BadTable(
                f"column {name or '(without a name)'} is unknown. Known are {', '.join(COLUMNS)}; NodeClass.input sets "
                "an input of a node; a name that begins with # is left alone."
            )
