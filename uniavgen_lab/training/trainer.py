"""The training loop, on Hugging Face Accelerate."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from tqdm import tqdm

from uniavgen_core.tasks import Extent
from uniavgen_core.tiny.bundle import CAPTION_PREFIX

from .ablations import variant_metadata
from .batches import TRAINING_TASKS, Batch, Batches, BatchSettings
from .learner import Learner
from .lora import save_lora
from .random_masks import AREA, RANGE
from .samples import write_samples
from .shards import Shards
from .start import build_learner
from .training_config import MaskShares, Stage, TrainConfig
from .training_run import TrainingRun, accelerate, learning_rate, means, moving_average

VALIDATION_SEED = 1
LORA_FILE = "lora.safetensors"
PATH_ENTRIES = ("folder", "output", "validation_data", "codec", "model")
"""Entries of a configuration that say where things lie on one machine."""


class Trainer(TrainingRun):
    """A run of the joint model: it starts, or goes on from its last checkpoint.

    Args:
        config: what to train.
        stop_after: stop after this many steps of the whole run, with a checkpoint; None runs to the end.
    """

    def __init__(self, config: TrainConfig, stop_after: int | None = None):
        super().__init__(
            config,
            config.precision,
            fsdp_plugin=_sharding(),
            kwargs_handlers=[accelerate().DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.config = config
        self.last_step = config.steps if stop_after is None else min(config.steps, stop_after)
        self._check_sharding()
        learner = build_learner(config)
        learning = [weight for weight in learner.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(
            learning, lr=0.0, betas=config.betas, eps=1e-8, weight_decay=config.weight_decay, fused=True
        )
        self.learner, self.optimizer = self.accelerator.prepare(learner, optimizer)
        if self.is_sharded:
            self._start_optimizer()
        self.average = self._start_average() if config.ema_decay else None
        self.resume()

    def _check_sharding(self) -> None:
        if self.is_sharded and (self.config.ema_decay or self.config.sample_every):
            raise ValueError(
                "Weights that are sharded over processes (FSDP) are neither averaged nor sampled from during the run: "
                "set ema_decay: 0 and sample_every: 0."
            )
        if self.is_sharded and self.config.lora is not None:
            raise ValueError(
                "A LoRA is trained beside a whole model on each GPU: start it without the options of fsdp. Weights of "
                "8 bits (base_weights: int8) take the least."
            )

    def _start_optimizer(self) -> None:
        """Give each weight its state, also those that a stage does not train: sharded checkpoints hold that of all."""
        for weight in self.learner.parameters():
            weight.grad = torch.zeros_like(weight)
        # The learning rate is still 0.
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        for state in self.optimizer.state.values():
            state["step"].zero_()

    def _start_average(self) -> AveragedModel:
        average = moving_average(self.accelerator.unwrap_model(self.learner), self.config.ema_decay)
        self.accelerator.register_for_checkpointing(average)
        return average

    @property
    def _trained(self) -> Learner:
        """What the run is judged by: the averaged weights, where there are such."""
        return cast(Learner, self.learner if self.average is None else self.average.module)

    def run(self) -> None:
        """Train to the end, or to the step that was asked for."""
        bar = tqdm(
            total=self.config.steps, initial=self.step, desc="train", unit="step",
            disable=not self.accelerator.is_main_process,
        )  # fmt: skip
        while self.step < self.last_step:
            self._run_stage(bar)
        self.save()
        # All processes take part, as each may have a shard.
        state = self.accelerator.get_state_dict(self._trained)
        if self.accelerator.is_main_process:
            if self.config.lora is None:
                save_weights(state, self.output / "weights.safetensors", self._provenance())
            else:
                save_lora(state, self.output / LORA_FILE, self.config.lora, self._provenance())
        self.accelerator.end_training()

    def _provenance(self) -> dict[str, str]:
        """How the weights came to be, for their file."""
        config = {name: value for name, value in asdict(self.config).items() if name not in PATH_ENTRIES}
        return {
            "step": str(self.step),
            "processes": str(self.accelerator.num_processes),
            "config": json.dumps(config),
            **variant_metadata(self.config.interaction, self.config.face_mask),
        }

    def _run_stage(self, bar: tqdm) -> None:
        """The rest of the stage that the run is in."""
        stage, number = self.config.stage_at(self.step)
        end = min(self.last_step, self.step - number + stage.steps)
        recent: list[dict[str, float]] = []
        start = time.perf_counter()
        for batch in self._batches(stage, range(self.step, end)):
            recent.append(self._train(stage, batch))
            self.step += 1
            bar.update()
            if self.step % self.config.log_every == 0:
                seconds = (time.perf_counter() - start) / len(recent)
                self.log("train", means(recent) | {"seconds_a_step": seconds})
                bar.set_postfix({k: f"{v:.4f}" for k, v in means(recent).items() if "/" not in k})
                recent, start = [], time.perf_counter()
            self._now_and_then(stage)

    def _now_and_then(self, stage: Stage) -> None:
        config = self.config
        if self.step % config.validate_every == 0:
            self.log("validation", self._validate(stage))
        if self.step % config.save_every == 0 and self.step < self.last_step:
            self.save()
        if config.sample_every and self.step % config.sample_every == 0 and self.accelerator.is_main_process:
            learner = self.accelerator.unwrap_model(self._trained)
            write_samples(learner, config, self.output / "samples" / f"{self.step:07d}")

    def _train(self, stage: Stage, batch: Batch) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(stage, self.config.stage_at(self.step)[1])
        with self.accelerator.autocast():
            losses = self.learner(batch)
        loss = self._total(losses, stage)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.learner.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update_parameters(self.accelerator.unwrap_model(self.learner))
        values = {name: value.item() for name, value in losses.items()}
        by_task = {f"{batch.task}/{name}": value for name, value in values.items()}
        return values | by_task | {"loss": loss.item(), "gradient_norm": float(norm)}

    def _total(self, losses: dict[str, Tensor], stage: Stage) -> Tensor:
        """L_v + L_a + λ·L_m."""
        first, last = stage.face_mask_weight
        done = self.config.stage_at(self.step)[1] / max(1, stage.steps - 1)
        weights = {"face_mask": first + (last - first) * done}
        return torch.stack([weights.get(name, 1.0) * value for name, value in losses.items()]).sum()

    @torch.no_grad()
    def _validate(self, stage: Stage) -> dict[str, float]:
        """Losses of each task, on batches that are always the same and have all texts and interactions."""
        shards = Shards(self.config.path(self.config.validation_data))
        complete = replace(self._batch_settings(stage), text_dropout=0.0, interaction_dropout=0.0, given_face_mask=0.0)
        complete = replace(complete, shares=())
        alone = {task: replace(complete, tasks={task: 1.0}, masks=MaskShares()) for task in stage.tasks}
        edits = {RANGE: MaskShares(ranges=1.0), AREA: MaskShares(areas=1.0)}
        asked = {RANGE: stage.masks.ranges, AREA: stage.masks.areas}
        alone |= {edit: replace(complete, masks=edits[edit]) for edit, share in asked.items() if share}
        results = []
        for task, settings in alone.items():
            batches = Batches(shards, settings, range(self.config.validation_batches), VALIDATION_SEED)
            for index in range(len(batches)):
                with self.accelerator.autocast():
                    losses = self._trained(_on(batches[index], self.accelerator.device))
                results.append({f"{task}/{name}": value.item() for name, value in losses.items()})
        return means(results)

    def _batches(self, stage: Stage, steps: range) -> Iterator[Batch]:
        shards = Shards(*map(self.config.path, stage.data))
        batches = Batches(shards, self._batch_settings(stage), steps, self.config.seed, self.accelerator.process_index)
        for batch in DataLoader(batches, batch_size=None, num_workers=self.config.loader_workers):
            yield _on(batch, self.accelerator.device)

    def _batch_settings(self, stage: Stage) -> BatchSettings:
        config = self.config
        audio_alone = all(TRAINING_TASKS[task].video is Extent.NOTHING for task in stage.tasks)
        return BatchSettings(
            batch_size=stage.batch_size,
            tasks=stage.tasks,
            text_dropout=config.text_dropout,
            interaction_dropout=0.0 if audio_alone else config.interaction_dropout,
            timestep_shift=config.timestep_shift,
            given_face_mask=stage.given_face_mask,
            masks=stage.masks,
            shares=tuple(stage.shares),
        )


def _sharding() -> Any:
    """The plugin of FSDP where `accelerate launch` asks for it, else None.

    Its own mixed precision is off: autocast does that, and leaves the layers in float32 that must stay so.
    """
    if not accelerate().utils.parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return None
    return accelerate().FullyShardedDataParallelPlugin(mixed_precision_policy=MixedPrecisionPolicy())


def save_weights(state: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a learner's weights: those of the model, and of the caption encoder that learnt with it."""
    names = {name: name.replace("caption_encoder.", CAPTION_PREFIX, 1) for name in state}
    tensors = {names[name]: x.detach().contiguous() for name, x in state.items()}
    save_file(tensors, path, metadata=metadata)


def _on(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on a device."""
    moved: dict[str, Any] = {
        entry.name: value.to(device)
        for entry in fields(batch)
        if isinstance(value := getattr(batch, entry.name), Tensor)
    }
    return replace(batch, **moved)
