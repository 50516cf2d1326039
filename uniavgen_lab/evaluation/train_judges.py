"""Train the judges on the corpus: python -m uniavgen_lab.evaluation.train_judges

They must also judge sound that was made of a mel spectrogram, so they hear clips blurred, with noise, a little louder
or softer, and some of them after a round trip through Griffin-Lim. The level changes little: it tells the mood.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.audio.vocoder import GriffinLim
from uniavgen_core.joint_latent import MEL_DEVIATION, normalise_mel

from ..world.corpus import SPLITS, CorpusClip, make_clip
from ..world.synthesiser import Synthesiser
from .judges import JUDGES_FILE, NAMES, Judge, Judges, save_judges

logger = logging.getLogger(__name__)

STEPS = 1500
BATCH = 32
PEAK_RATE = 3e-3
WEIGHT_DECAY = 0.05
NOISE = 0.3
"""Most noise that is added, in deviations of the mel."""
LEVEL_DECIBELS = 1.0
"""By how much a clip is made louder or softer at most."""
VOCODED_SHARE = 0.3
"""Of the training clips, as many go through Griffin-Lim."""
WANTED_ACCURACY = 0.97


@dataclass(frozen=True)
class Example:
    """Normalised log-mel (L, 80) and who it is: `kind` and `mood` by those names."""

    mel: Tensor
    labels: dict[str, str]


def train_judges(examples: Sequence[Example], held_out: Sequence[Example], steps: int = STEPS, seed: int = 0) -> Judges:
    """Train both judges, and measure them on examples that they have not heard."""
    parts = {name: _train(name, examples, steps, seed) for name in NAMES}
    rounded = {name: judge.half().float().eval() for name, judge in parts.items()}
    return Judges(rounded, {name: _accuracy(name, judge, held_out) for name, judge in rounded.items()})


def _train(name: str, examples: Sequence[Example], steps: int, seed: int) -> Judge:
    torch.manual_seed(seed)
    judge = Judge(len(NAMES[name]))
    optimiser = torch.optim.AdamW(judge.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    batches = _batches(name, examples, Random(seed))
    for _ in tqdm(range(steps), desc=f"train the judge of {name}", unit="step"):
        mel, labels = next(batches)
        loss = functional.cross_entropy(judge(_disturb(mel, generator)), labels, label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return judge


def _batches(name: str, examples: Sequence[Example], random: Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of clips that are equally long, without end."""
    of_length = defaultdict(list)
    for example in examples:
        of_length[len(example.mel)].append(example)
    groups = list(of_length.values())
    while True:
        group = random.choices(groups, [len(group) for group in groups])[0]
        chosen = random.choices(group, k=BATCH)
        labels = [NAMES[name].index(example.labels[name]) for example in chosen]
        yield torch.stack([example.mel for example in chosen]), torch.tensor(labels)


def _disturb(mel: Tensor, generator: torch.Generator) -> Tensor:
    """What the judges must not mind: noise, blur and a small change of level, each clip its own."""

    def uniform() -> Tensor:
        return torch.rand(len(mel), 1, 1, generator=generator)

    blurred = functional.avg_pool2d(mel.unsqueeze(1), 3, stride=1, padding=1, count_include_pad=False).squeeze(1)
    mel = torch.lerp(mel, blurred, uniform())
    nepers = LEVEL_DECIBELS / 20 * torch.log(torch.tensor(10.0)) / MEL_DEVIATION
    return mel + nepers * (2 * uniform() - 1) + NOISE * uniform() * torch.randn(mel.shape, generator=generator)


@torch.no_grad()
def _accuracy(name: str, judge: Judge, examples: Sequence[Example]) -> float:
    """Share of examples judged rightly; the pairs that are confused are logged."""
    confused: Counter[tuple[str, str]] = Counter()
    for example in examples:
        heard = NAMES[name][int(judge(example.mel.unsqueeze(0)).argmax())]
        if heard != example.labels[name]:
            confused[example.labels[name], heard] += 1
    for (truth, heard), count in confused.most_common():
        logger.info("%s: %s heard as %s %d times of %d", name, truth, heard, count, len(examples))
    return 1 - confused.total() / len(examples)


def corpus_examples(split: str, clips: int, vocoded_share: float, workers: int) -> list[Example]:
    """Examples from the first seeds of a split of the corpus."""
    start = SPLITS[split].start
    make = partial(_example_group, vocoded_share=vocoded_share)
    groups = [range(first, min(first + 16, start + clips)) for first in range(start, start + clips, 16)]
    with multiprocessing.get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool:
        made = tqdm(pool.imap(make, groups), total=len(groups), desc=f"{split} clips", unit="group")
        return [example for group in made for example in group]


def _example_group(seeds: Iterable[int], vocoded_share: float) -> list[Example]:
    synthesiser, vocoder = Synthesiser(), GriffinLim()
    return [_example(make_clip(seed, synthesiser), vocoder, vocoded_share) for seed in seeds]


@torch.no_grad()
def _example(clip: CorpusClip, vocoder: GriffinLim, vocoded_share: float) -> Example:
    mel = log_mel(torch.from_numpy(clip.waveform))
    if Random(f"vocoded {clip.seed}").random() < vocoded_share:
        mel = log_mel(vocoder(mel.unsqueeze(0))[0])
    return Example(normalise_mel(mel), {"kind": clip.kind, "mood": clip.mood})


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the judges of kind and mood on the corpus.")
    parser.add_argument("--clips", type=int, default=2000, help="clips to train on")
    parser.add_argument("--held-out", type=int, default=400, help="validation clips to measure on")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--output", type=Path, default=JUDGES_FILE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    examples = corpus_examples("train", arguments.clips, VOCODED_SHARE, arguments.workers)
    held_out = corpus_examples("validation", arguments.held_out, 0, arguments.workers)
    judges = train_judges(examples, held_out, arguments.steps)
    save_judges(
        arguments.output,
        judges,
        {"clips": str(arguments.clips), "steps": str(arguments.steps), "held_out": str(arguments.held_out)},
    )
    for name, accuracy in judges.accuracy.items():
        verdict = "" if accuracy >= WANTED_ACCURACY else f", less than the wanted {WANTED_ACCURACY:.0%}"
        logger.info("%s: %.1f %% of held-out clips%s", name, 100 * accuracy, verdict)


if __name__ == "__main__":
    main()
