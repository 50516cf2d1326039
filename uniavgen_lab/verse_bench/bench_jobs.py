"""The command `verse-jobs`: the benchmark's items as a table that `tools/batch.py` has made by any workflow."""

from __future__ import annotations

import argparse
import csv
import io
import logging
import os
from pathlib import Path

from uniavgen_core.files import whole_file

from .bench_items import SETS, BenchItem, read_items

logger = logging.getLogger(__name__)

NAME, IMAGE, CAPTION, SPEECH = "data_id", "ref_image_path", "prompt", "speech_content"
HEARD = "sound_content"
"""Columns of the batch's table."""


def add_verse_jobs_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("data", type=Path, help="folder of the data set, with set1, set2 and set3")
    parser.add_argument("table", type=Path, metavar="JOBS.csv", help="file to write, best in the data set's folder")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="of the data set (default: all)")
    parser.add_argument("--with-speech", action="store_true", help="only items in which somebody speaks")
    parser.add_argument(
        "--sound-column",
        metavar="NAME",
        help=f"column for what is to be heard: {HEARD} for UniVerse-1, or NodeClass.input (default: none)",
    )


def run_verse_jobs(arguments: argparse.Namespace) -> int:
    """Write the table, and say what is in it.

    Raises:
        ValueError: the folder holds no such items, or a column is not named as the batch takes it.
    """
    column = arguments.sound_column
    if column is not None and column != HEARD and "." not in column:
        raise ValueError(f"--sound-column is {column}: give {HEARD} or NodeClass.input.")
    items, broken = read_items(arguments.data)
    for name, reason in broken.items():
        logger.warning("left out: %s: %s", name, reason)
    chosen = [item for item in items if item.folder in arguments.sets and (item.speech or not arguments.with_speech)]
    if not chosen:
        raise ValueError(f"{arguments.data} holds no such items: choose other --sets, or leave out --with-speech.")
    with whole_file(arguments.table) as unfinished:
        unfinished.write_text(jobs_table(chosen, arguments.table.parent, column), encoding="utf-8")
    logger.info("%s has %d rows.", arguments.table, len(chosen))
    if not arguments.data.resolve().is_relative_to(arguments.table.parent.resolve()):
        logger.info("Its images lie outside its folder: give tools/batch.py --allow-outside.")
    return 0


def jobs_table(items: list[BenchItem], folder: Path, sound_column: str | None) -> str:
    """A row an item, in CSV: name, first frame, caption, words and, where there is a column for it, what is heard.

    Args:
        folder: in which the table will lie; images are named from there.
        sound_column: of what is heard; the texts are joined by commas, as UniVerse-1's release joins them.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([NAME, IMAGE, CAPTION, SPEECH, *([sound_column] if sound_column else [])])
    for item in items:
        image = os.path.relpath(item.image.resolve(), folder.resolve())
        heard = [", ".join(item.sounds or ())] if sound_column else []
        writer.writerow([item.name, image, item.caption, item.speech, *heard])
    return text.getvalue()
