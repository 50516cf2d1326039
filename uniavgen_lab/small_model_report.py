"""Pictures and figures of docs/small_model.md, from the small model's weights, its training log and its evaluation.

    python -m uniavgen_lab.small_model_report [--log RUN] [--evaluation FILE]

RUN is the folder of a training run; FILE is what `python -m uniavgen_lab evaluate --json` printed. What is taken from
them is kept beside the pictures, so that both are needed once only.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import fmean

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from safetensors import safe_open

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.config import MEL_BANDS, clip_seconds
from uniavgen_core.tasks import TASKS
from uniavgen_core.tiny.bundle import WEIGHTS_FILE, load_tiny
from uniavgen_core.tiny.people import KINDS

from .contact_sheet import LOUD, SILENT, contact_sheet
from .evaluation.generate import Generated, Sampling, generate
from .evaluation.judges import load_judges
from .evaluation.tables import COLUMNS, markdown_table
from .training.training_config import TrainConfig, read_config
from .world.corpus import SPLITS, CorpusClip, make_clip, partner
from .world.synthesiser import Synthesiser

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "small_model.md"
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
"""The part of the page that is made here."""
LOG, EVALUATION = "log.csv", "evaluation.json"
WINDOW_STEPS = 100
"""Losses of training are kept as means of this many steps."""
NOT_LOSSES = {"loss", "gradient_norm", "seconds_a_step"}
PANELS = {"audio": "sound", "video": "picture", "face_mask": "face mask"}
"""Losses, and what they are of."""
ROWS = {
    "corpus": "real clips",
    "codec": "real clips, encoded and decoded",
    **{name: task.title for name, task in TASKS.items()},
    "shuffled": "shuffled pairs",
}
GAP = 12
"""Pixels between the contact sheets of two clips."""
RESOLUTION = 110
JPEG_QUALITY = 85
"""Pixels an inch of the drawn figures."""


@dataclass(frozen=True)
class Loss:
    """A point of a loss curve."""

    step: int
    stage: str
    kind: str
    """train or validation"""
    loss: str
    """Its name; in validation `task/name`."""
    value: float


@dataclass(frozen=True)
class Sample:
    """A clip of the corpus, and the small model's own, from the same portrait, caption and words."""

    real: CorpusClip
    made: Generated


def read_log(run: Path, config: TrainConfig) -> list[Loss]:
    """The losses of a run's log, thinned. Steps that were done again after a stop count once."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = {(line.pop("kind"), line.pop("step")): line for line in lines}
    binned: dict[tuple[str, int, str, str], list[float]] = defaultdict(list)
    for (kind, step), values in sorted(rows.items()):
        stage = config.stage_at(step - 1)[0].name
        end = step if kind == "validation" else -(-step // WINDOW_STEPS) * WINDOW_STEPS
        for name, value in values.items():
            if name not in NOT_LOSSES and ("/" in name) == (kind == "validation"):
                binned[stage, end, kind, name].append(value)
    return [
        Loss(end, stage, kind, name, float(f"{fmean(values):.5g}"))
        for (stage, end, kind, name), values in binned.items()
    ]


def write_losses(path: Path, losses: Sequence[Loss]) -> None:
    """Write a thinned log."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Loss)])
        writer.writerows(astuple(loss) for loss in losses)


def read_losses(path: Path) -> list[Loss]:
    """Read a thinned log."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Loss(int(row["step"]), row["stage"], row["kind"], row["loss"], float(row["value"]))
            for row in csv.DictReader(file)
        ]


def draw_losses(losses: Sequence[Loss], path: Path) -> None:
    """Curves of training and, by task, of validation; a dotted line where a stage ends."""
    names = [name for name in PANELS if any(loss.loss.split("/")[-1] == name for loss in losses)]
    figure = Figure(figsize=(3.6 * len(names), 3.4), layout="constrained")
    ends = {loss.stage: loss.step for loss in sorted(losses, key=lambda loss: loss.step)}
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for label, points in _curves(losses, name).items():
            style = {"color": "0.6", "zorder": 0} if label == "training" else {"marker": ".", "linewidth": 1}
            axes.plot(*zip(*points, strict=True), label=label, **style)
        for end in list(ends.values())[:-1]:
            axes.axvline(end, color="0.4", linestyle=":", linewidth=1)
        axes.set(title=PANELS[name], xlabel="step", yscale="log")
        axes.legend(fontsize="x-small", frameon=False)
    _save(figure, path)


def _curves(losses: Sequence[Loss], name: str) -> dict[str, list[tuple[int, float]]]:
    """Points of one loss by their label: training, or the task of a validation."""
    curves = defaultdict(list)
    for loss in losses:
        task, _, of = loss.loss.rpartition("/")
        if of == name:
            curves[task.replace("_", " ") or "training"].append((loss.step, loss.value))
    return curves


def make_samples(weights: Path) -> list[Sample]:
    """One clip of each kind from the test part of the corpus: the first whose mood none before it has."""
    synthesiser, bundle = Synthesiser(), load_tiny(weights)
    chosen: list[CorpusClip] = []
    for seed in SPLITS["test"][::2]:
        clip = make_clip(seed, synthesiser)
        if all(clip.kind != other.kind and clip.mood != other.mood for other in chosen):
            chosen.append(clip)
        if len(chosen) == len(KINDS):
            break
    return [
        Sample(clip, generate("joint", bundle, clip, make_clip(partner(clip.seed), synthesiser), Sampling()))
        for clip in chosen
    ]


def draw_contact_sheet(samples: Sequence[Sample], path: Path) -> None:
    """The generated clips below each other: eight frames each, waveform and spectrogram under them."""
    sheets = [
        contact_sheet(torch.from_numpy(sample.made.frames) / 255, torch.from_numpy(sample.made.waveform))
        for sample in samples
    ]
    width, height = sheets[0].size
    whole = Image.new("RGB", (width, (height + GAP) * len(sheets) - GAP), "white")
    for number, sheet in enumerate(sheets):
        whole.paste(sheet, (0, number * (height + GAP)))
    whole.save(path, quality=JPEG_QUALITY)


def draw_spectrograms(sample: Sample, path: Path) -> None:
    """The real clip's sound over the generated one's."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    _draw_spectrogram(upper, torch.from_numpy(sample.real.waveform), "real", sample.real.seconds)
    _draw_spectrogram(lower, torch.from_numpy(sample.made.waveform), "generated", sample.real.seconds)
    lower.set_xlabel("seconds")
    _save(figure, path)


def _draw_spectrogram(axes: Axes, waveform: torch.Tensor, title: str, seconds: float) -> None:
    extent = (0, seconds, 0, MEL_BANDS)
    mel = log_mel(waveform).T.numpy()
    axes.imshow(mel, origin="lower", aspect="auto", extent=extent, vmin=SILENT, vmax=LOUD, cmap="magma")
    axes.set(title=title, ylabel="mel band")


def _save(figure: Figure, path: Path) -> None:
    # Without the library's version, the same figures make the same file.
    figure.savefig(path, dpi=RESOLUTION, metadata={"Software": None})


def page_figures(folder: Path, samples: Sequence[Sample], weights: Path) -> str:
    """The Markdown of what is made here."""
    parts = [*_provenance(weights), *_images(folder.name, samples)]
    if (folder / LOG).is_file():
        parts.append(
            f"![Loss curves]({folder.name}/loss.png)\n\n"
            f"*Losses of training (means of {WINDOW_STEPS} steps) and validation, by task. Dotted: the end of a stage. "
            f"Figures: [{LOG}]({folder.name}/{LOG}).*"
        )
    if (folder / EVALUATION).is_file():
        parts.append(measures_table(json.loads((folder / EVALUATION).read_text(encoding="utf-8"))))
    return "\n" + "\n\n".join(parts) + "\n\n"


def _provenance(weights: Path) -> Iterator[str]:
    """Where the weights come from, and how good the judges are."""
    if not weights.is_file():
        yield "**The weights are random for now: the pictures below show noise.**"
        return
    with safe_open(weights, framework="pt") as file:
        known = file.metadata() or {}
    # The whole configuration is in the file, for those who want it.
    yield "Weights: " + "; ".join(f"{name} {value}" for name, value in sorted(known.items()) if name != "config") + "."
    right = " and ".join(f"{share:.1%} ({name})" for name, share in load_judges().accuracy.items())
    yield f"The judges are right on {right} of other clips."


def _images(folder: str, samples: Sequence[Sample]) -> Iterator[str]:
    said = " ".join(f"{sample.real.caption} “{sample.real.speech}”" for sample in samples)
    yield (
        f"![Clips at a glance]({folder}/contact_sheet.jpg)\n\n"
        "*Joint generation, one person of each kind and mood, the first of the test part: eight frames, the waveform "
        f"and the spectrogram of each. Captions and words: {said}*"
    )
    first = samples[0].real
    yield (
        f"![Spectrograms]({folder}/spectrogram.png)\n\n"
        f"*“{first.speech}” ({first.kind}, {first.mood}, {clip_seconds(first.latent_frames):.2f} s): the corpus' clip, "
        "and the small model's from the same portrait, caption and words.*"
    )


def measures_table(rows: dict[str, dict[str, float | None]]) -> str:
    """Rows of an evaluation as a Markdown table; measures that none has are left out."""
    columns = {key: form for key, form in COLUMNS.items() if any(row.get(key) is not None for row in rows.values())}
    lines = []
    for name in sorted(rows, key=list(ROWS).index):
        values = [(rows[name].get(key), form) for key, (_, form) in columns.items()]
        lines.append([ROWS[name], *("–" if value is None else form.format(value) for value, form in values)])
    return markdown_table(["", *(heading for heading, _ in columns.values())], lines, numbers=True)


def read_evaluation(path: Path) -> dict[str, dict[str, float | None]]:
    """The rows that `evaluate --json` prints on its last line."""
    return json.loads(path.read_text(encoding="utf-8").splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the pictures and figures of docs/small_model.md.")
    parser.add_argument("--log", type=Path, metavar="RUN", help="folder of a training run, to keep its losses")
    parser.add_argument(
        "--config", type=Path, default=ROOT / "uniavgen_lab" / "configs" / "tiny.yaml", help="the run's configuration"
    )
    parser.add_argument("--evaluation", type=Path, help="what evaluate --json printed, to keep its rows")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--page", type=Path, default=PAGE, help="the figures go between its marks, and beside it")
    arguments = parser.parse_args()
    folder = arguments.page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.log is not None:
        write_losses(folder / LOG, read_log(arguments.log, read_config(arguments.config, TrainConfig)))
    if arguments.evaluation is not None:
        rows = json.dumps(read_evaluation(arguments.evaluation), indent=1)
        (folder / EVALUATION).write_text(rows + "\n", encoding="utf-8")
    if (folder / LOG).is_file():
        draw_losses(read_losses(folder / LOG), folder / "loss.png")
    samples = make_samples(arguments.weights)
    draw_contact_sheet(samples, folder / "contact_sheet.jpg")
    draw_spectrograms(samples[0], folder / "spectrogram.png")
    figures = page_figures(folder, samples, arguments.weights)
    print(figures)
    page = arguments.page.read_text(encoding="utf-8")
    arguments.page.write_text(FIGURES.sub(lambda _: figures, page), encoding="utf-8")


if __name__ == "__main__":
    main()
