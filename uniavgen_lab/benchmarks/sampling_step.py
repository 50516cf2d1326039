"""What a sampling run does, and how often: python -m uniavgen_lab.benchmarks.sampling_step

Samples with guidance by the plain Euler loop, and prints seconds a step and which share of the time is spent outside
the blocks and their interactions. Then it counts, for a run of each task with a tiny model, how often each part of the
model runs: features, index plans and rotary tables are made once a run, and what a pass does not use is skipped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor, nn

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import CAPTION_ROWS
from uniavgen_core.model import plan
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.sampling.euler import Clip, Condition, sample_euler
from uniavgen_core.sampling.schedule import flow_sigmas
from uniavgen_core.tasks import TASKS

from .arithmetic import Workload
from .forward import TINY, Now, add_clock_arguments, chosen_clock, random_model
from .processes import around

COUNTED_STEPS = 4
REFERENCE_TOKENS = 20
NEGATIVE_SYMBOLS = 10
PARTS = {
    "text_embedding_video": "captions",
    "text_embedding": "speeches",
    "patch_embedding": "passes",
    "blocks": "video blocks",
    "audio_blocks": "audio blocks",
    "a2v_blocks": "A→V",
    "v2a_blocks": "V→A",
    "mask_head": "face masks",
}
PLANS = "plans"
INSIDE = ("video blocks", "audio blocks", "A→V", "V→A", "face masks")


class Record:
    """How often the parts of a model ran, and the seconds that blocks and interactions took."""

    def __init__(self, model: JointDiT, now: Now = time.perf_counter) -> None:
        self.now = now
        self.counts: Counter[str] = Counter()
        self.seconds_inside = 0.0
        for name, module in model.named_modules():
            path = name.split(".")
            if path[-1] == "mask_head" or len(path) == 1 + isinstance(getattr(model, path[0], 0), nn.ModuleList):
                around(module, partial(self._part, PARTS.get(path[-1], PARTS.get(path[0], ""))))

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        start = self.now()
        yield
        self.counts[name] += 1
        self.seconds_inside += (self.now() - start) * (name in INSIDE)


def make_run(work: Workload, task_name: str, steps: int) -> tuple[JointDiT, Callable[[], list[Tensor]]]:
    """A model of random weights and a sampling run of a task with it, on random inputs."""
    generator = torch.Generator().manual_seed(0)
    sizes, task = work.sizes, TASKS[task_name]
    model = random_model(sizes, torch_operations, generator)

    def noise(*shape: int) -> Tensor:
        return torch.randn(1, *shape, generator=generator)

    def condition(symbols: int) -> Condition:
        spoken = torch.randint(sizes.vocabulary_rows - 1, (1, symbols), generator=generator)
        return Condition(noise(CAPTION_ROWS, sizes.text_width), spoken)

    past_frames = 1 if task.keeps_ends else 2
    kept = task.kept(work.latent_frames, work.audio_tokens, past_frames=past_frames, next_frames=1)
    latent = (sizes.latent_channels, len(kept.video), work.latent_rows, work.latent_columns)
    mel = (1, work.audio_tokens, sizes.mel_bands)
    clip = Clip(
        video=noise(*latent),
        audio=noise(*mel),
        kept=kept,
        reference_image=noise(sizes.latent_channels, 1, work.latent_rows, work.latent_columns),
        reference_audio=noise(REFERENCE_TOKENS, sizes.mel_bands) if task.reference_voice else None,
    )
    positive, negative = condition(work.symbols), condition(NEGATIVE_SYMBOLS)
    return model, lambda: sample_euler(
        model, clip, (noise(*latent), noise(*mel)), flow_sigmas(steps), positive=positive, negative=negative
    )


def count(task_name: str) -> dict[str, int]:
    """How often each part runs in a run of a task, with a tiny model."""
    model, run = make_run(TINY, task_name, COUNTED_STEPS)
    record = Record(model)
    with patch.object(plan, "make_plan", wraps=plan.make_plan) as make_plan:
        run()
    return {PLANS: make_plan.call_count, **{part: record.counts[part] for part in PARTS.values()}}


def measure_run(work: Workload, steps: int, now: Now) -> dict[str, float]:
    """Seconds a step, everything that is done once included, and the share of them outside the blocks."""
    model, run = make_run(work, "joint", steps)
    record = Record(model, now)
    start = now()
    run()
    seconds = now() - start
    return {"seconds_a_step": seconds / steps, "share_outside_blocks": 1 - record.seconds_inside / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4, help="of the run that is timed")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and clip, to try this file")
    add_clock_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print all figures as JSON on the last line")
    arguments = parser.parse_args()
    now = chosen_clock(arguments)
    times = measure_run(TINY if arguments.tiny else Workload(), arguments.steps, now)
    print(
        f"{times['seconds_a_step']:.2f} seconds a step, {times['share_outside_blocks']:.1%} of them outside the blocks"
    )
    counts = {task_name: count(task_name) for task_name in TASKS}
    print(f"\nin {COUNTED_STEPS} steps of two passes, {TINY.sizes.blocks} blocks:")
    print("task             " + "  ".join((PLANS, *PARTS.values())))
    for task_name, parts in counts.items():
        print(f"{task_name:15s}  " + "  ".join(f"{parts[part]:{len(part)}d}" for part in (PLANS, *PARTS.values())))
    if arguments.json:
        print(json.dumps({**times, "steps": COUNTED_STEPS, "blocks": TINY.sizes.blocks, "counts": counts}))


if __name__ == "__main__":
    main()
