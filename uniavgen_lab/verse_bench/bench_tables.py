"""The tables: which measures each has, of which items, and how their totals are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import cast

import numpy

from ..evaluation.tables import markdown_table
from .bench_formulas import BOUNDS, OVERALL, PARTS, frechet_distance, scores
from .bench_items import SETS, TALKS, WITH_ORIGINAL, BenchItem
from .bench_measures import PROBES, Values

ALL = "all"
JOINT, UNIAVGEN = "joint", "uniavgen"
NOTHING = "–"
CLASS_ID, SIGNED, PAIRS, PLAIN_WER = "ID (class token)", "AV-A (signed)", "FD (pair by pair)", "WER (Whisper)"
"""Beside ID, AV-A, FD and WER."""

Total = Callable[[Sequence[Values]], float | None]


@dataclass(frozen=True)
class Column:
    """A measure in a table.

    Attributes:
        probes: the models that it needs.
        counts: whether an item has it.
        total: of the values of such items; None where they give none.
        reason: why nobody can measure it, if so.
    """

    name: str
    probes: tuple[str, ...]
    counts: Callable[[BenchItem], bool]
    total: Total
    reason: str | None = None


@dataclass(frozen=True)
class BenchTable:
    """A table of the benchmark or of the paper, and lines that others have published."""

    title: str
    columns: tuple[Column, ...]
    published: Mapping[str, Mapping[str, float]]


def mean_of(key: str, values: Sequence[Values], absolute: bool = False) -> float | None:
    """Over the items that have it."""
    known = [cast(float, each[key]) for each in values if key in each]
    return fmean(map(abs, known) if absolute else known) if known else None


def aesthetic_score(values: Sequence[Values]) -> float | None:
    """The mean of three judges' means."""
    judges = [mean_of(key, values) for key in ("aesthetic", "musiq", "maniqa")]
    known = [judge for judge in judges if judge is not None]
    return fmean(known) if len(known) == len(judges) else None


def _features(values: Sequence[Values]) -> list[numpy.ndarray]:
    both = [each for each in values if "features" in each]
    return [numpy.array([each[key] for each in both]) for key in ("features", "original_features")]


def distance_of_sets(values: Sequence[Values]) -> float | None:
    """Fréchet distance of all sounds from all originals; None where there are fewer than two."""
    return frechet_distance(*_features(values))


def distance_of_pairs(values: Sequence[Values]) -> float | None:
    """The mean over pairs of the published formula, with 0 for the covariance of one sound, which is not defined."""
    one, other = _features(values)
    return float(numpy.square(one - other).sum(axis=1).mean()) if len(one) else None


def _any(item: BenchItem) -> bool:
    return True


def _no_talk(item: BenchItem) -> bool:
    return item.folder != TALKS


def _sounds(item: BenchItem) -> bool:
    return _no_talk(item) and item.sounds is not None


def _has_original(item: BenchItem) -> bool:
    return item.folder == WITH_ORIGINAL and item.sounds is not None


def _speaks(item: BenchItem) -> bool:
    return bool(item.speech)


def _beside(absolute: bool) -> Total:
    return partial(mean_of, "offset", absolute=absolute)


_FD = Column("FD", ("clap",), _has_original, distance_of_sets)
_PAIRS = Column(PAIRS, ("clap",), _has_original, distance_of_pairs)
_KL = Column("KL", ("passt",), _has_original, partial(mean_of, "kl"))
_CS = Column("CS", ("clap",), _sounds, partial(mean_of, "cs"))
_OFF = Column("AV-A", ("synchformer",), _sounds, _beside(absolute=True))
_SIGNED = Column(SIGNED, ("synchformer",), _sounds, _beside(absolute=False))
_WER = Column("WER", ("sensevoice",), _speaks, partial(mean_of, "wer"))
_ONE_WAY = (_FD, _PAIRS, _KL, _CS, _OFF, _SIGNED)
_NO_JUDGE = "the paper has a large model (Gemini 2.5 Pro) mark it from 0 to 1; what it is asked is not public"
_SECOND_HAND = "UniVerse-1, as published (second hand)"

TABLES: dict[str, BenchTable] = {
    JOINT: BenchTable(
        "Verse-Bench, picture and sound together",
        (
            Column("MS", ("raft",), _any, partial(mean_of, "motion")),
            Column("AS", ("aesthetic", "musiq", "maniqa"), _any, aesthetic_score),
            Column("ID", ("dinov3",), _any, partial(mean_of, "id_patch")),
            Column(CLASS_ID, ("dinov3",), _any, partial(mean_of, "id_class")),
            _FD,
            _PAIRS,
            _KL,
            _CS,
            *(Column(name, ("audiobox",), _no_talk, partial(mean_of, name)) for name in ("CE", "CU", "PC", "PQ")),
            _WER,
            Column("LSE-C", ("syncnet",), _speaks, partial(mean_of, "lips")),
            _OFF,
            _SIGNED,
        ),
        {
            _SECOND_HAND: {
                "MS": 0.20, "AS": 0.47, "ID": 0.89, "FD": 1.25, "KL": 2.70, "CS": 0.16, "LSE-C": 1.34, "AV-A": 0.23,
            }
        },
    ),
    "video_to_audio": BenchTable("Verse-Bench, sound for a video", _ONE_WAY, {}),
    "audio_to_video": BenchTable("Verse-Bench, a video for a sound", _ONE_WAY, {}),
    "text_to_speech": BenchTable("Verse-Bench, speech of a text", (_WER,), {}),
    UNIAVGEN: BenchTable(
        "UniAVGen's table 1, on Verse-Bench's items in which somebody speaks",
        (
            *(Column(name, ("audiobox",), _speaks, partial(mean_of, name)) for name in ("PQ", "CU")),
            Column(PLAIN_WER, ("whisper",), _speaks, partial(mean_of, "whisper_wer")),
            Column("SC", ("dino",), _speaks, partial(mean_of, "subject")),
            Column("DD", ("raft",), _speaks, partial(mean_of, "dynamic")),
            Column("IQ", ("musiq_spaq",), _speaks, partial(mean_of, "imaging")),
            Column("LS", ("syncnet",), _speaks, partial(mean_of, "lips")),
            Column("TC", (), _speaks, lambda values: None, _NO_JUDGE),
            Column("EC", (), _speaks, lambda values: None, _NO_JUDGE),
        ),
        {
            f"{name}, on the paper's 100 items": dict(
                zip(("PQ", "CU", PLAIN_WER, "SC", "DD", "IQ", "LS", "TC", "EC"), figures, strict=True)
            )
            for name, figures in {
                "UniAVGen": (7.00, 6.62, 0.151, 0.973, 0.410, 0.779, 5.95, 0.832, 0.573),
                "Ovi": (6.03, 6.01, 0.216, 0.972, 0.360, 0.774, 6.48, 0.828, 0.558),
                "UniVerse-1": (4.56, 4.29, 0.296, 0.985, 0.080, 0.733, 1.21, 0.573, 0.300),
            }.items()
        },
    ),
}  # fmt: skip
"""By the command's names."""
INSTEAD = {"ID": CLASS_ID}, {"AV-A": SIGNED}
"""What the overall score takes in the place of a measure: put right, and as published."""


def columns_of(tables: Sequence[str]) -> list[Column]:
    """Those of all these tables."""
    return [column for name in tables for column in TABLES[name].columns]


def totals(
    table: BenchTable, measured: Mapping[BenchItem, Values], missing: Mapping[str, str]
) -> dict[str, dict[str, float | None]]:
    """Rows by set, and of all items together; sets of which nothing is measured are left out.

    Args:
        measured: values of each item, of all models together.
        missing: the models that are not there, each with the reason.
    """
    rows: dict[str, dict[str, float | None]] = {}
    for name in (*SETS, ALL):
        of_set = {item: values for item, values in measured.items() if name in (item.folder, ALL)}
        if any(column.counts(item) for item in of_set for column in table.columns):
            rows[name] = {
                column.name: None
                if missing.keys() & set(column.probes)
                else column.total([values for item, values in of_set.items() if column.counts(item)])
                for column in table.columns
            }
            rows[name]["items"] = sum(any(column.counts(item) for column in table.columns) for item in of_set)
    return rows


def both_scores(row: Mapping[str, float | None]) -> dict[str, dict[str, float | None]]:
    """The overall score and its parts, as published and put right (the class token, offsets without their sign)."""
    right, published = ({name: row.get(instead.get(name, name)) for name in BOUNDS} for instead in INSTEAD)
    return {"as published, but FD over all": scores(published), "put right": scores(right)}


def table_text(table: BenchTable, rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """A table in Markdown, with a title."""
    names = [column.name for column in table.columns]
    lines = [(name, str(row["items"]), *(_cell(row[key]) for key in names)) for name, row in rows.items()]
    lines += [(name, NOTHING, *(_cell(row.get(key)) for key in names)) for name, row in table.published.items()]
    return f"{table.title}\n\n{markdown_table(('', 'items', *names), lines, numbers=True)}\n"


def scores_text(both: Mapping[str, Mapping[str, float | None]]) -> str:
    """The overall scores in Markdown."""
    names = (*PARTS, OVERALL)
    lines = [(title, *(_cell(row[name]) for name in names)) for title, row in both.items()]
    return markdown_table(("score", *names), lines, numbers=True) + "\n"


def _cell(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def not_measured(tables: Sequence[str], missing: Mapping[str, str]) -> dict[str, str]:
    """Measures that are not taken, each with the reason."""
    reasons = {
        column.name: column.reason or "; ".join(missing[probe] for probe in column.probes if probe in missing)
        for column in columns_of(tables)
    }
    return {name: f"not measured: {reason}" for name, reason in reasons.items() if reason}


def measures_of(probe: str) -> list[str]:
    """The names of the measures that a model is for."""
    columns = columns_of(list(TABLES))
    return list(dict.fromkeys(column.name for column in columns if probe in column.probes))


def models_help() -> str:
    """A line for each model: where it is looked for, and what it measures."""
    return "\n".join(
        f"  {', '.join(measures_of(name)):<36}{' and '.join(probe.names)}" for name, probe in PROBES.items()
    )
