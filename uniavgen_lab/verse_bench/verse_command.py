"""The command `verse-bench`: clips measured as far as the models are there."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import torch
from tqdm import tqdm

from uniavgen_core.files import NotInstalledError

from ..evaluation.tables import print_table
from .bench_items import SOUND, VIDEO, BenchItem, MadeItem, read_items
from .bench_measures import PROBES, Measure, Probe, Values
from .bench_models import NotThereError, find_files, offline
from .bench_tables import (
    ALL,
    JOINT,
    TABLES,
    UNIAVGEN,
    both_scores,
    columns_of,
    models_help,
    not_measured,
    scores_text,
    table_text,
    totals,
)
from .kept_measures import KeptMeasures

logger = logging.getLogger(__name__)

RESULTS = "verse_bench.jsonl"


@dataclass
class Measured:
    """What a run has found.

    Attributes:
        values: of each item, of all models together.
        missing: models that are not there, and those that cannot be loaded, with the reason.
        left_out: items that could not be measured, or not by a model, with the reason.
    """

    values: dict[BenchItem, dict[str, float | Sequence[float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def add_verse_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"What is looked for in the folder of models, and what it is for:\n{models_help()}"
    parser.add_argument("data", type=Path, help="folder of the data set, with set1, set2 and set3")
    parser.add_argument("outputs", type=Path, help="folder of the clips: NAME.mp4 and NAME.wav for each item")
    parser.add_argument("--models", type=Path, required=True, metavar="DIR", help="folder of models; none is fetched")
    parser.add_argument(
        "--tables",
        nargs="+",
        choices=TABLES,
        default=[JOINT, UNIAVGEN],
        metavar="TABLE",
        help=f"what to measure: {', '.join(TABLES)} (default: {JOINT} {UNIAVGEN})",
    )
    parser.add_argument("--device", help="where the models run (default: the GPU, if there is one)")
    parser.add_argument("--results", type=Path, metavar="FILE", help=f"measures kept (default: OUTPUTS/{RESULTS})")
    parser.add_argument("--json", action="store_true", help="print all that was found as JSON on the last line")


def run_verse_bench(arguments: argparse.Namespace) -> int:
    """Measure what is not known yet, and print a table for each one asked for.

    Raises:
        ValueError: the folders hold no items or no clips of them, or there is no such folder of models.
    """
    if not arguments.models.is_dir():
        raise ValueError(f"{arguments.models} is no folder: give that of the models with --models.")
    items, broken = read_items(arguments.data)
    made = [item for item in items if MadeItem(item, arguments.outputs).file(SOUND).is_file()]
    if not made:
        raise ValueError(f"{arguments.outputs} holds no NAME.mp4 of the {len(items)} items in {arguments.data}.")
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kept = KeptMeasures(arguments.results or arguments.outputs / RESULTS)
    found = measure_items(made, arguments, kept, device)
    found.left_out = {**broken, **found.left_out}
    _print(arguments, found)
    return 0


def measure_items(
    items: Sequence[BenchItem], arguments: argparse.Namespace, kept: KeptMeasures, device: torch.device
) -> Measured:
    """Measure items by one model after the other, each loaded only if something is left to measure."""
    columns = columns_of(arguments.tables)
    found = Measured({item: {} for item in items})
    tasks: list[tuple[str, list[Path], list[MadeItem]]] = []
    for name, probe in PROBES.items():
        wanted = [item for item in items if any(name in x.probes and x.counts(item) for x in columns)]
        if not any(name in column.probes for column in columns):
            continue
        try:
            paths = find_files(arguments.models, probe.names)
        except NotThereError as reason:
            found.missing[name] = str(reason)
            continue
        clips = [MadeItem(item, arguments.outputs) for item in wanted]
        tasks.append((name, paths, [clip for clip in clips if _has_files(clip, probe)]))
    count = sum(len(clips) for *_, clips in tasks)
    # Some libraries print what they do: that is no part of the tables.
    with offline(), redirect_stdout(sys.stderr), tqdm(total=count, desc="verse-bench", unit="measure") as bar:
        for name, paths, clips in tasks:
            bar.set_postfix_str(name)
            _measure_by(name, paths, clips, kept, device, found, bar)
    return found


def _has_files(clip: MadeItem, probe: Probe) -> bool:
    return all(clip.file(kind).is_file() for kind in (VIDEO, SOUND) if kind in probe.reads)


def _measure_by(
    name: str,
    paths: list[Path],
    clips: Sequence[MadeItem],
    kept: KeptMeasures,
    device: torch.device,
    found: Measured,
    bar: tqdm,
) -> None:
    """Measure clips by one model. What a library says of a clip or of its model never ends the run."""
    probe, measure = PROBES[name], None
    for index, clip in enumerate(clips):
        try:
            key = kept.key(name, probe, paths, clip)
            values = known = kept.find(key)
            if values is None:
                measure = measure or _loaded(probe, paths, device)
                values = _with_numbers(measure(MadeItem(clip.item, clip.video.parent)))
        except (NotThereError, NotInstalledError) as reason:
            found.missing[name] = str(reason)
            bar.update(len(clips) - index)
            return
        except Exception as reason:
            found.left_out[f"{clip.item.name}, {name}"] = str(reason) or type(reason).__name__
        else:
            if known is None:
                kept.add(key, values)
            found.values[clip.item].update(values)
        bar.update()


def _loaded(probe: Probe, paths: Sequence[Path], device: torch.device) -> Measure:
    try:
        return probe.load(paths, device)
    except Exception as reason:
        names = " and ".join(path.name for path in paths)
        raise NotThereError(f"{names} cannot be loaded ({str(reason) or type(reason).__name__})") from reason


def _with_numbers(values: Values) -> Values:
    """The values; one that is not a number would make each mean none, too."""
    for name, value in values.items():
        if not numpy.isfinite(value).all():
            raise ValueError(f"{name} is no number")
    return values


def _print(arguments: argparse.Namespace, found: Measured) -> None:
    rows = {name: totals(TABLES[name], found.values, found.missing) for name in arguments.tables}
    parts = [table_text(TABLES[name], rows[name]) for name in arguments.tables]
    result: dict[str, Mapping[str, object]] = {"tables": rows}
    if JOINT in rows:
        result["scores"] = both = both_scores(rows[JOINT][ALL])
        parts.insert(1 + arguments.tables.index(JOINT), scores_text(both))
    result["not_measured"] = reasons = not_measured(arguments.tables, found.missing)
    result["left_out"] = found.left_out
    parts += [f"{name}: {reason}" for name, reason in reasons.items()]
    parts += [f"left out: {name}: {reason}" for name, reason in found.left_out.items()]
    print_table(result, "\n".join(parts), arguments.json)
