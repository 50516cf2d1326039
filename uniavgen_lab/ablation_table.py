"""The command `ablations`: train and measure what the paper compares, and print it beside the paper's numbers.

`variants` and `captions`, which are asked for by their names, are of no paper's table: `guidance_trials`.

What is trained or measured already is not done again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from safetensors import safe_open

from uniavgen_core.tiny.bundle import WEIGHTS_FILE

from .evaluation.evaluate import EvaluationSettings, evaluate, require_extras
from .evaluation.generate import Sampling
from .evaluation.tables import markdown_table
from .guidance_trials import CAPTION_TRIALS, GUIDANCE_TRIALS, measure_trial, trials_of, trials_table
from .training.bundle_file import write_bundle
from .training.trainer import Trainer
from .training.training_config import TrainConfig, read_config, with_seed
from .training.video_codecs import load_codec_of

logger = logging.getLogger(__name__)

CONFIGS = Path(__file__).parent / "configs" / "ablations"
SHIPPED = ""
"""Stands for the pack's own weights."""
BASELINE, AUDIO = "baseline", "audio"
"""Configurations: the model's own way, and the audio branch alone, which all runs start from."""
TRIALS = (GUIDANCE_TRIALS, CAPTION_TRIALS)
TASK = "joint"
MEASURES = ("lip_sync", "timbre", "emotion")
"""What is measured here for the paper's LS, TC and EC."""
HEADINGS = ("ablation", "variant", "lip sync", "timbre", "emotion", "paper's LS", "paper's TC", "paper's EC")
NOTHING = "–"

Measured = Mapping[str, float | None]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        variant: its name in the table.
        config: name of the configuration that is trained.
        guidance: how it is sampled, as in `evaluate`.
        paper: LS, TC and EC, as far as the paper gives them.
    """

    variant: str
    config: str
    guidance: str = Sampling.guidance
    paper: tuple[float, ...] = ()


ABLATIONS: dict[str, tuple[str, list[Row]]] = {
    "guidance": (
        "guidance (table 9)",
        [
            Row("none", SHIPPED, "none", (5.75,)),
            Row("plain", SHIPPED, "plain", (5.81,)),
            Row("modality-aware everywhere", SHIPPED, "modality_aware", (6.29,)),
            Row("modality-aware in the first half", SHIPPED, "window", (5.95,)),
        ],
    ),
    "interaction": (
        "interaction (table 2)",
        [
            Row("global", "global", paper=(3.46, 0.667, 0.459)),
            Row("symmetric", "symmetric", paper=(3.73, 0.685, 0.472)),
            Row("asymmetric", BASELINE, paper=(4.09, 0.725, 0.504)),
            Row("stitched, as UniVerse-1", "stitched"),
        ],
    ),
    "face_mask": (
        "face mask (table 3)",
        [
            Row("none", "mask_none", paper=(3.89, 0.705, 0.489)),
            Row("unsupervised", "mask_unsupervised", paper=(3.92, 0.701, 0.492)),
            Row("fixed λ", "mask_fixed", paper=(4.11, 0.719, 0.497)),
            Row("decaying λ", BASELINE, paper=(4.09, 0.725, 0.504)),
        ],
    ),
    "order": (
        "training (figure 7)",
        [
            Row("joint only", BASELINE),
            Row("joint, then all tasks", "joint_then_all"),
            Row("all tasks throughout", "all_throughout"),
        ],
    ),
}
"""By the command's names: the paper's ablations, in order of worth, with the published numbers."""


class Results:
    """Measures that are kept in a file, a JSON line each, with the weights and the settings that they are of."""

    def __init__(self, file: Path):
        self._file = file

    def find(self, key: Mapping[str, Any]) -> Measured | None:
        """The measures of a key, if they are known."""
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.is_file() else []
        return next((entry["measures"] for entry in map(json.loads, lines) if entry["key"] == key), None)

    def add(self, key: Mapping[str, Any], measures: Measured) -> None:
        """Keep the measures of a key."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "measures": measures}) + "\n")


def add_ablations_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"which: {', '.join((*ABLATIONS, *TRIALS))} (default: all of the paper)",
    )
    parser.add_argument("--configs", type=Path, default=CONFIGS, help="folder of the runs' configurations")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1), help="of the runs, or of the trials' noise")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE, help="small model whose guidance is compared")
    parser.add_argument("--clips", type=int, default=32, help="test clips to measure on")
    parser.add_argument("--steps", type=int, default=Sampling.steps, help="of sampling")
    parser.add_argument("--workers", type=int, default=1, help="processes that measure, each of one thread")
    parser.add_argument("--no-training", action="store_true", help="leave out what is not trained to its end")


def run_ablations(arguments: argparse.Namespace) -> int:
    """Do what is missing, and print the table.

    Raises:
        ValueError: there is no such ablation, or a configuration is wrong.
        NotInstalledError: the corpus or the recogniser needs a library that is not there.
    """
    unknown = sorted(set(arguments.names) - {*ABLATIONS, *TRIALS})
    if unknown:
        raise ValueError(f"There is no ablation {', '.join(unknown)}: choose from {', '.join((*ABLATIONS, *TRIALS))}.")
    require_extras()
    for name in arguments.names:
        if name in TRIALS:
            _print_trials(name, arguments)
    names = [name for name in arguments.names if name in ABLATIONS] if arguments.names else list(ABLATIONS)
    if not names:
        return 0
    results = _results(arguments.configs)
    measured: dict[Row, list[Measured]] = {}
    for row in (row for name in names for row in ABLATIONS[name][1]):
        measured[row] = [_measure(weights, row.guidance, arguments, results) for weights in _bundles(row, arguments)]
    sys.stdout.write(ablations_table(names, measured) + "\n")
    return 0


def _print_trials(name: str, arguments: argparse.Namespace) -> None:
    file = _runs(arguments.configs) / "trials.jsonl"
    trials = trials_of(name, arguments.weights, arguments.steps, arguments.seeds)
    measured = {trial: measure_trial(trial, arguments.clips, arguments.workers, file) for trial in trials}
    sys.stdout.write(trials_table(measured) + "\n")


def ablations_table(names: Sequence[str], measured: Mapping[Row, Sequence[Measured]]) -> str:
    """The table in Markdown: means of the seeds, each with half the way from the least to the greatest.

    Args:
        names: of the ablations.
        measured: for each line, the measures of its seeds.
    """
    lines = []
    for title, rows in (ABLATIONS[name] for name in names):
        for row in rows:
            ours = [_mean([seed[measure] for seed in measured.get(row, ())]) for measure in MEASURES]
            paper = [f"{value:g}" for value in row.paper]
            paper += [NOTHING] * (len(MEASURES) - len(paper))
            lines.append((title, row.variant, *ours, *paper))
    return markdown_table(HEADINGS, lines)


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING
    spread = f" ± {(max(known) - min(known)) / 2:.2f}" if len(known) > 1 else ""
    return f"{fmean(known):.2f}{spread}"


def _runs(configs: Path) -> Path:
    """The folder of the runs, where the files of measures lie, too."""
    baseline = read_config(configs / f"{BASELINE}.yaml", TrainConfig)
    return baseline.path(baseline.output).parent


def _results(configs: Path) -> Results:
    return Results(_runs(configs) / "results.jsonl")


def _bundles(row: Row, arguments: argparse.Namespace) -> Iterator[Path]:
    """Files of the trained models of a line, one a seed; what is not trained yet is trained now."""
    if row.config == SHIPPED:
        if arguments.weights.is_file():
            yield arguments.weights
        else:
            logger.warning("%s is absent: its guidance is left out.", arguments.weights)
        return
    for seed in arguments.seeds:
        run, audio = (_read(arguments.configs, name, seed) for name in (row.config, AUDIO))
        if not arguments.no_training:
            for config in (audio, run):
                _train(config)
        if _is_finished(run):
            yield _bundle(run)


def _read(configs: Path, name: str, seed: int) -> TrainConfig:
    return with_seed(read_config(configs / f"{name}.yaml", TrainConfig), seed)


def _weights(config: TrainConfig) -> Path:
    return config.path(config.output) / "weights.safetensors"


def _is_finished(config: TrainConfig) -> bool:
    if not _weights(config).is_file():
        return False
    with safe_open(_weights(config), framework="pt") as file:
        return (file.metadata() or {}).get("step") == str(config.steps)


def _train(config: TrainConfig) -> None:
    """Train to the end, or go on to it."""
    if _is_finished(config):
        return
    logger.info("train %s", config.path(config.output))
    Trainer(config).run()


def _bundle(config: TrainConfig) -> Path:
    """The file of a run's weights with the codec's, as `evaluate` takes it."""
    path = config.path(config.output) / "bundle.safetensors"
    if not path.is_file() or path.stat().st_mtime < _weights(config).stat().st_mtime:
        write_bundle(path, _weights(config), load_codec_of(config).state_dict(), {})
    return path


def _measure(weights: Path, guidance: str, arguments: argparse.Namespace, results: Results) -> Measured:
    sampling = Sampling(steps=arguments.steps, guidance=guidance)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    key = {"weights": digest, "clips": arguments.clips, "sampling": asdict(sampling)}
    known = results.find(key)
    if known is None:
        logger.info("measure %s, guidance: %s", weights, guidance)
        rows = evaluate("test", arguments.clips, EvaluationSettings(weights, (TASK,), sampling), arguments.workers)
        known = rows[TASK]
        results.add(key, known)
    return known
