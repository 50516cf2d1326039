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
from statistics import fmean, stdev
from typing import Any

from uniavgen_core.tasks import TASKS
from uniavgen_core.tiny.bundle import load_tiny

from .evaluation.changing_captions import CAPTION_FORMS, measure_captions
from .evaluation.evaluate import measure_made
from .evaluation.generate import Sampling, generate
from .evaluation.guidance_variants import VARIANTS
from .evaluation.lip_sync_ends import share
from .evaluation.measures import Measures, SpeechJudges
from .evaluation.tables import CEILING_FILE, markdown_table, measure_in_groups
from .evaluation.word_errors import WordErrors, word_error_rate
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
    """Tables in Markdown, one a task, over all clips and noises.

    A cell is a mean, and in brackets its difference from the first line's, over the same clips and noises, with the
    standard error of that.
    """
    tables = []
    for task, columns in COLUMNS.items():
        clips: dict[str, list[Measures]] = {}
        for trial, of_trial in measured.items():
            if trial.task == task:
                clips.setdefault(trial.sampling.guidance, []).extend(of_trial)
        if clips:
            usual, *_ = clips.values()
            lines = [(name, *(_cell(key, given, usual) for key in columns)) for name, given in clips.items()]
            title = TASKS[task].title if task in TASKS else task
            tables.append(f"{title}\n\n{markdown_table(('', *(HEADINGS[key] for key in columns)), lines)}")
    return "\n\n".join(tables)


def _cell(key: str, clips: Sequence[Measures], usual: Sequence[Measures]) -> str:
    if key == "word_error_rate":
        # Of all words, so that no clip has one of its own.
        return f"{word_error_rate([WordErrors(clip['word_errors'], clip['words']) for clip in clips]):.2f}"
    values, others = ([_value(key, clip) for clip in of] for of in (clips, usual))
    mean = f"{fmean(values):.2f}"
    if clips is usual or len(values) < 2:
        return mean
    differences = [value - other for value, other in zip(values, others, strict=True)]
    return f"{mean} ({fmean(differences):+.2f} ± {stdev(differences) / len(differences) ** 0.5:.2f})"


def _value(key: str, clip: Measures) -> float:
    """A measure of a clip; lip sync as in `evaluate`, between the floor and the ceiling of the corpus."""
    if key != "lip_sync":
        return float(clip[key])
    corpus = json.loads(CEILING_FILE.read_text(encoding="utf-8"))
    value = share(clip["lip_sync_raw"], *(corpus[name]["lip_sync_raw"] for name in ("shuffled", "corpus")))
    assert value is not None
    return value
