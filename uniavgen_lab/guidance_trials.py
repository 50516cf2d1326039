"""The table of `ablations variants`: other ways to guide the small model, beside its own.

Measures are kept clip by clip, so that what was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from uniavgen_core.tiny.bundle import load_tiny

from .evaluation.evaluate import measure_made
from .evaluation.generate import Sampling, generate
from .evaluation.guidance_variants import VARIANTS
from .evaluation.measures import Measures, SpeechJudges
from .evaluation.tables import CEILING_FILE, markdown_table, measure_in_groups, summarise
from .world.corpus import SPLITS, make_clip, partner
from .world.synthesiser import Synthesiser

COLUMNS = {
    "joint": {
        "lip_sync": "lip sync",
        "word_error_rate": "word error",
        "timbre": "timbre",
        "emotion": "emotion",
        "identity": "identity, dB",
        "motion": "motion",
    },
    "audio_driven": {"lip_sync": "lip sync", "identity": "identity, dB", "motion": "motion"},
}
"""Measures by task, with their headings."""


@dataclass(frozen=True)
class Trial:
    """One way to sample one task."""

    weights: Path
    task: str
    sampling: Sampling


class ClipResults:
    """Measures of single clips in a file, a JSON line each; several processes may add to it."""

    def __init__(self, file: Path):
        self._file = file

    def of(self, trial: Trial) -> dict[int, Measures]:
        """Measures of a trial, as far as they are known, by the clips' seeds."""
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.is_file() else []
        entries = (json.loads(line) for line in lines)
        return {entry["clip"]: entry["measures"] for entry in entries if entry["trial"] == _key(trial)}

    def add(self, trial: Trial, clip: int, measures: Measures) -> None:
        """Keep the measures of a clip."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"trial": _key(trial), "clip": clip, "measures": measures}, default=float) + "\n")


def _key(trial: Trial) -> dict[str, Any]:
    digest = hashlib.sha256(trial.weights.read_bytes()).hexdigest()
    return {"weights": digest, "task": trial.task, "sampling": asdict(trial.sampling)}


def measure_trials(
    weights: Path, clips: int, steps: int, noises: Sequence[int], *, workers: int, file: Path
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """A row of measures for each task and variant and each noise, of what is known and what is measured now."""
    seeds = SPLITS["test"][::2][:clips]
    corpus = json.loads(CEILING_FILE.read_text(encoding="utf-8"))
    floor, ceiling = (corpus[name]["lip_sync_raw"] for name in ("shuffled", "corpus"))
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for noise in noises:
        for task in COLUMNS:
            for name in VARIANTS:
                trial = Trial(weights, task, Sampling(steps=steps, guidance=name, noise=noise))
                known = ClipResults(file).of(trial)
                missing = [seed for seed in seeds if seed not in known]
                if missing:
                    measure_in_groups(partial(_measure_group, trial, file), missing, workers, f"{task}, {name}")
                known = ClipResults(file).of(trial)
                row = summarise([known[seed] for seed in seeds], floor, ceiling)
                rows.setdefault((task, name), []).append(row)
    return rows


def _measure_group(trial: Trial, file: Path, seeds: Sequence[int]) -> list[int]:
    bundle, judges, synthesiser = load_tiny(trial.weights), SpeechJudges(), Synthesiser()
    for seed in seeds:
        clip, other = make_clip(seed, synthesiser), make_clip(partner(seed), synthesiser)
        made = generate(trial.task, bundle, clip, other, trial.sampling)
        ClipResults(file).add(trial, seed, measure_made(trial.task, made, clip, judges))
    return list(seeds)


def trials_table(task: str, rows: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> str:
    """The variants of a task in Markdown: means over the noises, each with half the way from the least to the most."""
    columns = COLUMNS[task]
    lines = [
        (name, *(_mean([row[key] for row in measured]) for key in columns))
        for (of_task, name), measured in rows.items()
        if of_task == task
    ]
    return markdown_table(("guidance", *columns.values()), lines)


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {(max(values) - min(values)) / 2:.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{spread}"
