"""Measures of many clips as one row a task, and as a table."""

from __future__ import annotations

import json
import math
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from .lip_sync_ends import share
from .measures import Measures
from .word_errors import WordErrors, word_error_rate

CLIPS_A_GROUP = 4
"""Clips that a worker measures before it says so; it loads its models once for them."""

CEILING_FILE = Path(__file__).with_name("ceiling.json")
"""What real corpus clips reach, so that one clip can be told beside it."""
COLUMNS = {
    "lip_sync": ("lip sync", "{:.2f}"),
    "lip_sync_raw": ("correlation", "{:.2f}"),
    "lip_sync_margin": ("over shifted", "{:.2f}"),
    "word_error_rate": ("word error", "{:.2f}"),
    "timbre": ("timbre", "{:.2f}"),
    "emotion": ("emotion", "{:.2f}"),
    "mask_iou": ("mask IoU", "{:.2f}"),
    "psnr": ("PSNR, dB", "{:.1f}"),
    "identity": ("identity, dB", "{:.1f}"),
    "motion": ("motion", "{:.2f}"),
}
"""Keys of a row, with their headings and forms in a table."""
CLIP_LINES = {
    "lip_sync_raw": "lip sync, correlation",
    "lip_sync_margin": "lip sync, over sound moved by 0.4 s",
    "word_error_rate": "word error",
    "timbre": "voice of the kind shown",
    "emotion": "voice in the mood asked",
    "identity": "likeness to the portrait, dB",
    "motion": "motion, levels of 255",
}

Measured = TypeVar("Measured")


def measure_in_groups(
    measure: Callable[[Sequence[int]], list[Measured]], seeds: Sequence[int], workers: int, title: str
) -> list[Measured]:
    """What is measured of each clip, in the clips' order, with any number of workers.

    Args:
        measure: of the clips of a group of seeds; a process calls it, so it must be of a module.
        seeds: of the clips.
        workers: processes, each of one thread.
        title: of the progress bar.
    """
    size = max(1, min(CLIPS_A_GROUP, len(seeds) // workers))
    groups = [seeds[start : start + size] for start in range(0, len(seeds), size)]
    measured: list[Measured] = []
    with (
        tqdm(total=len(seeds), desc=title, unit="clip") as bar,
        multiprocessing.get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool,
    ):
        for group in pool.imap(measure, groups):
            measured += group
            bar.update(len(group))
    return measured


def summarise(clips: Sequence[Measures], floor: float, ceiling: float) -> dict[str, Any]:
    """One row of many clips: means, the word error over all words, and lip sync as a share of floor to ceiling.

    A measure that no clip has is None. `note` says why lip sync is no share, where it is none.
    """
    means = {key: _mean(clips, key) for key in COLUMNS}
    counted = [WordErrors(clip["word_errors"], clip["words"]) for clip in clips if "words" in clip]
    correlation = means["lip_sync_raw"]
    row: dict[str, Any] = {
        **means,
        "lip_sync": None if correlation is None else share(correlation, floor, ceiling),
        "word_error_rate": word_error_rate(counted) if counted else None,
        "clips": len(clips),
    }
    if correlation is not None and row["lip_sync"] is None:
        row["note"] = (
            f"Lip sync is no share: the ceiling ({ceiling:.3f}) is not above the floor ({floor:.3f}). Measure more "
            "clips."
        )
    return row


def _mean(clips: Sequence[Measures], key: str) -> float | None:
    values = [clip[key] for clip in clips if key in clip and math.isfinite(clip[key])]
    return fmean(values) if values else None


def text_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows by name as text in columns, and their notes under it."""
    names = max(map(len, rows))
    lines = ["  ".join([" " * names, *(heading for heading, _ in COLUMNS.values())])]
    for name, row in rows.items():
        cells = [
            ("–" if row.get(key) is None else form.format(row[key])).rjust(len(heading))
            for key, (heading, form) in COLUMNS.items()
        ]
        lines.append("  ".join([name.ljust(names), *cells]))
    notes = dict.fromkeys(row["note"] for row in rows.values() if "note" in row)
    return "\n".join([*lines, *notes])


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = False) -> str:
    """Cells as a table in Markdown; numbers are set to the right, but for the first column."""
    rules = ["---", *(["---:" if numbers else "---"] * (len(headings) - 1))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rules, *rows))


def table_of_rows(rows: Mapping[str, Mapping[str, float | None]], headings: Mapping[str, str]) -> str:
    """Rows by name as a table in Markdown, with a heading for each key."""
    lines = [
        (name, *("–" if row[key] is None else f"{row[key]:.2f}" for key in headings)) for name, row in rows.items()
    ]
    return markdown_table(("", *headings.values()), lines)


def table_of_columns(
    rows: Mapping[str, Mapping[str, float | None]], titles: Mapping[str, str], form: str = ".2f"
) -> str:
    """Rows by name as the columns of a table in Markdown, with a titled line for each key."""
    lines = [
        (title, *("–" if row.get(key) is None else format(row[key], form) for row in rows.values()))
        for key, title in titles.items()
    ]
    return markdown_table(("", *rows), lines, numbers=True)


def print_table(rows: Mapping[str, Any], table: str, as_json: bool) -> None:
    """Print a table and, if asked for, its rows as one line of JSON."""
    sys.stdout.write(table + "\n")
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")


def write_ceiling(path: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep the corpus rows for `clip_report`."""
    kept = {name: rows[name] for name in ("corpus", "shuffled")}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def clip_report(measures: Measures, missing: str | None = None, path: Path = CEILING_FILE) -> str:
    """One clip's measures, each beside what real corpus clips reach and, where it is known, shuffled ones.

    Args:
        missing: why words were not measured, if they were not.
    """
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"corpus": {}, "shuffled": {}}
    measured = dict(measures)
    if "words" in measured:
        measured["word_error_rate"] = WordErrors(measured["word_errors"], measured["words"]).rate
    lines = []
    for key, title in CLIP_LINES.items():
        if key in measured:
            beside = [f"{name} clips {rows[name][key]:.2f}" for name in rows if rows[name].get(key) is not None]
            lines.append(f"{title:<36}{measured[key]:6.2f}" + (f"   ({', '.join(beside)})" if beside else ""))
    if "heard" in measured:
        lines.append(f"{'heard':<36}{measured['heard']}")
    if missing:
        lines.append(f"{'word error':<36}not measured: {missing}")
    return "\n".join(lines)
