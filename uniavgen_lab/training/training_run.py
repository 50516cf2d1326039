"""What every run has: processes, a step that is reached, checkpoints to go on from, and a log."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from uniavgen_core.files import needed

from .training_config import Config, Schedule

CHECKPOINTS_KEPT = 2
LOG_FILE = "log.jsonl"


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a model's weights, over fewer steps while there are few.

    What is frozen is the model's own, and there once.
    """
    average = AveragedModel(nn.Identity(), multi_avg_fn=_update(decay))
    frozen = {id(weight): weight for weight in model.parameters() if not weight.requires_grad}
    average.module = deepcopy(model, frozen)
    return average


def _update(decay: float) -> Callable[[Any, Any, Any], None]:
    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor) -> None:
        steps = int(count)
        pairs = [pair for pair in zip(averaged, current, strict=True) if pair[0].data_ptr() != pair[1].data_ptr()]
        if pairs:
            averages, weights = map(list, zip(*pairs, strict=True))
            torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + steps) / (10 + steps)))

    return update


def accelerate() -> ModuleType:
    """Hugging Face Accelerate, which nothing but training needs.

    Raises:
        NotInstalledError: it is not installed.
    """
    return needed("accelerate", "to train", "training")


class TrainingRun:
    """A run in a folder of its own. It logs to a JSON lines file and to TensorBoard.

    Args:
        config: what is trained.
        precision: bf16, fp16 or no.
        options: of the accelerator.
    """

    def __init__(self, config: Config, precision: str, **options: Any):
        self.output = config.path(config.output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.accelerator: Any = accelerate().Accelerator(
            mixed_precision=precision, log_with="tensorboard", project_dir=self.output, **options
        )
        accelerate().utils.set_seed(config.seed)
        self.accelerator.init_trackers("tensorboard")
        self.step = 0

    @property
    def is_sharded(self) -> bool:
        """Whether the weights are shared out over the processes (FSDP)."""
        return self.accelerator.distributed_type == accelerate().DistributedType.FSDP

    def resume(self) -> None:
        """Load the last checkpoint, if there is one, and forget what was logged after it."""
        checkpoints = self._checkpoints()
        if not checkpoints:
            return
        self.accelerator.load_state(str(checkpoints[-1]))
        self.step = int(checkpoints[-1].name)
        log = self.output / LOG_FILE
        if self.accelerator.is_main_process and log.is_file():
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
            log.write_text("".join(line for line in lines if json.loads(line)["step"] <= self.step), encoding="utf-8")

    def save(self) -> None:
        """Write a checkpoint; it appears only when it is whole, and the oldest go."""
        folder = self.output / "checkpoints" / f"{self.step:07d}"
        unfinished = folder.with_suffix(".part")
        self.accelerator.save_state(str(unfinished))
        # Each process writes a part.
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            if folder.exists():
                shutil.rmtree(folder)
            unfinished.rename(folder)
            for old in self._checkpoints()[:-CHECKPOINTS_KEPT]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def log(self, kind: str, values: dict[str, float]) -> None:
        """Note values of this step."""
        if not self.accelerator.is_main_process:
            return
        with (self.output / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": self.step, "kind": kind, **values}) + "\n")
        self.accelerator.log({f"{kind}/{name}": value for name, value in values.items()}, step=self.step)

    def _checkpoints(self) -> list[Path]:
        return sorted(path for path in (self.output / "checkpoints").glob("*") if path.name.isdigit())


def learning_rate(schedule: Schedule, step: int) -> float:
    """Linear warm-up, then half a cosine down to the final rate."""
    if step < schedule.warmup_steps:
        return schedule.learning_rate * (step + 1) / schedule.warmup_steps
    done = (step - schedule.warmup_steps) / max(1, schedule.steps - schedule.warmup_steps)
    share = (1 + math.cos(math.pi * done)) / 2
    return schedule.final_learning_rate + (schedule.learning_rate - schedule.final_learning_rate) * share


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means of the values of each name, over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(found) / len(found) for name, found in values.items()}
