"""Tables of `ablations` that are of no paper's: other ways to guide, and captions that change within a clip.

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

from uniavgen_core.tasks import TASKS
from uniavgen_core.tiny.bundle import load_tiny

from .evaluation.changing_captions import CAPTION_FORMS, measure_captions
from .evaluation.evaluate import measure_made
from .evaluation.generate import Sampling, generate
from .evaluation.guidance_variants import VARIANTS
from .evaluation.lip_sync_ends import share
from .evaluation.measures import Measures, SpeechJudges
from .evaluation.tables import CEILING_FILE, markdown_table, measure_in_groups, summarise
from .world.corpus import SPLITS, make_clip, partner
from .world.synthesiser import Synthesiser

GUIDANCE_TRIALS, CAPTION_TRIALS = "variants", "captions"
"""Names of the tables for the command."""
DRIVEN = ("lip_sync", "identity", "motion")
COLUMNS = {
    "joint": ("lip_sync", "word_error_rate", "timbre", "emotion", "identity", "motion"),
    "audio_driven": DRIVEN,
    CAPTION_TRIALS: ("first", "second", "lip_sync", "identity"),
}
"""Measures by what is tried."""
HEADINGS = {
    "lip_sync": "lip sync",
    "word_error_rate": "word error",
    "timbre": "timbre",
    "emotion": "emotion",
    "identity": "identity, dB",
    "motion": "motion",
    "first": "first mood shown",
    "second": "second mood shown",
}


@dataclass(frozen=True)
class Trial:
    """One way to make clips."""

    weights: Path
    task: str
    """A task, or `captions`."""
    sampling: Sampling
    """Its guidance is one of VARIANTS, or of CAPTION_FORMS."""

    def key(self) -> dict[str, Any]:
        """What its measures are kept under."""
        digest = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        return {"weights": digest, "task": self.task, "sampling": asdict(self.sampling)}


class ClipResults:
    """Measures of single clips in a file, a JSON line each; several processes may add to it."""

    def __init__(self, file: Path):
        self._file = file

    def of(self, trial: Trial) -> dict[int, Measures]:
        """Measures of a trial, as far as they are known, by the clips' seeds."""
        key = trial.key()
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.is_file() else []
        return {entry["clip"]: entry["measures"] for entry in map(json.loads, lines) if entry["trial"] == key}

    def add(self, trial: Trial, clip: int, measures: Measures) -> None:
        """Keep the measures of a clip."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        entry = {"trial": trial.key(), "clip": clip, "measures": measures}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, default=float) + "\n")


def trials_of(name: str, weights: Path, steps: int, noises: Sequence[int]) -> list[Trial]:
    """All that a table has, one noise after the other."""
    if name == CAPTION_TRIALS:
        ways = [(CAPTION_TRIALS, form) for form in CAPTION_FORMS]
    else:
        ways = [(task, form) for task in COLUMNS if task in TASKS for form in VARIANTS]
    return [
        Trial(weights, task, Sampling(steps, guidance=form, noise=noise)) for noise in noises for task, form in ways
    ]


def measure_trial(trial: Trial, clips: int, workers: int, file: Path) -> list[Measures]:
    """Measures of each clip, of what is known and what is measured now."""
    seeds = SPLITS["test"][::2][:clips]
    known = ClipResults(file).of(trial)
    missing = [seed for seed in seeds if seed not in known]
    if missing:
        title = f"{trial.task}, {trial.sampling.guidance}"
        measure_in_groups(partial(_measure_group, trial, file), missing, workers, title)
        known = ClipResults(file).of(trial)
    return [known[seed] for seed in seeds]


def _measure_group(trial: Trial, file: Path, seeds: Sequence[int]) -> list[int]:
    bundle, judges, synthesiser = load_tiny(trial.weights), SpeechJudges(), Synthesiser()
    for seed in seeds:
        clip, other = make_clip(seed, synthesiser), make_clip(partner(seed), synthesiser)
        if trial.task == CAPTION_TRIALS:
            measures = measure_captions(bundle, clip, other, trial.sampling)
        else:
            measures = measure_made(trial.task, generate(trial.task, bundle, clip, other, trial.sampling), clip, judges)
        ClipResults(file).add(trial, seed, measures)
    return list(seeds)


def trials_table(measured: Mapping[Trial, Sequence[Measures]]) -> str:
    """Tables in Markdown, one a task: means over the noises, each with half the way from the least to the most."""
    corpus = json.loads(CEILING_FILE.read_text(encoding="utf-8"))
    ends = [corpus[name]["lip_sync_raw"] for name in ("shuffled", "corpus")]
    tables = []
    for task, columns in COLUMNS.items():
        rows: dict[str, list[Mapping[str, float]]] = {}
        for trial, clips in measured.items():
            if trial.task == task:
                rows.setdefault(trial.sampling.guidance, []).append(_row(clips, columns, ends))
        lines = [(name, *(_mean([row[key] for row in seeds]) for key in columns)) for name, seeds in rows.items()]
        if lines:
            title = TASKS[task].title if task in TASKS else task
            tables.append(f"{title}\n\n{markdown_table(('', *(HEADINGS[key] for key in columns)), lines)}")
    return "\n\n".join(tables)


def _row(clips: Sequence[Measures], columns: Sequence[str], ends: Sequence[float]) -> dict[str, float]:
    """Means of clips; lip sync as in `evaluate`, between the floor and the ceiling of the corpus."""
    if "word_error_rate" in columns:
        return summarise(clips, *ends)
    means = {key: fmean(clip[key] for clip in clips) for key in columns if key != "lip_sync"}
    lip_sync = share(fmean(clip["lip_sync_raw"] for clip in clips), *ends)
    assert lip_sync is not None
    return means | {"lip_sync": lip_sync}


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {(max(values) - min(values)) / 2:.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{spread}"
