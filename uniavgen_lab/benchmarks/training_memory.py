"""Memory of a training step at full size: python -m uniavgen_lab.benchmarks.training_memory

Builds the model and a LoRA as `train` does, on shapes alone (torch's fake tensors: nothing is computed, no weights are
needed) and counts the bytes of all tensors that live at once in the losses and their gradients, in bf16 autocast.
Attention is taken to be a fused kernel, which keeps its inputs, its result and a number a row. Beside that stand the
weights as they are kept, and the LoRA with its gradients and AdamW's two moments in float32. What the driver and the
allocator take is not counted: leave a tenth of the card free.
"""

from __future__ import annotations

import argparse
import gc
import json
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from uniavgen_core.config import RELEASED_SIZES, SIZE_MULTIPLE, ModelSizes, pixel_frames
from uniavgen_core.config import audio_tokens as tokens_of
from uniavgen_core.joint_latent import stream_shapes
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.plan import ClipShape
from uniavgen_core.tasks import TASKS, Switches

from ..training.batches import Batch
from ..training.learner import Learner
from ..training.lora import add_lora
from ..training.operations import training_operations
from ..training.training_config import LoraSettings
from .memory import LiveBytes

SIZES_PIXELS = ((832, 480), (1280, 736))
"""Width and height."""
LATENT_FRAMES = 21
RANKS = (16, 64)
BASE_WEIGHTS = ("bf16", "int8")
SYMBOLS, CAPTION_TOKENS = 100, 60
"""Of the words and of the caption."""
OPTIMIZER_BYTES = 12
"""A float32 gradient and two moments, of each weight that learns."""


class _FusedAttention(torch.autograd.Function):
    """What a fused kernel keeps."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        out = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, out, q.new_empty((*q.shape[:2], heads), dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, _, _ = ctx.saved_tensors
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v), None


class fused_training_operations(training_operations):  # noqa: N801 - a namespace, named as its base
    """The layers of training with an attention that holds no scores."""

    @staticmethod
    def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, *_: Any, **__: Any) -> Tensor:
        return _FusedAttention.apply(q, k, v, heads)


@dataclass(frozen=True)
class TrainingStep:
    """What is trained on which clips."""

    sizes: ModelSizes
    width: int
    height: int
    latent_frames: int = LATENT_FRAMES
    batch_size: int = 1
    lora: LoraSettings | None = None
    checkpointing: bool = True


def training_bytes(step: TrainingStep) -> dict[str, int]:
    """Bytes of `weights`, of the `lora` with what its optimizer keeps, and of the `activations` at their peak."""
    with torch.device("meta"):
        learner = Learner(JointDiT(step.sizes, fused_training_operations), None, step.checkpointing)
        if step.lora is not None:
            add_lora(learner, step.lora)
    # A plan is read as it is made, so that it is made of real numbers.
    learner.recent_plans()(_clip_shape(step))
    with FakeTensorMode(allow_non_fake_inputs=True):
        _give_fake_weights(learner)
        learning = [weight for weight in learner.parameters() if weight.requires_grad]
        kept = [*learner.parameters(), *learner.buffers()]
        batch = _batch(step)
        counter = LiveBytes([*kept, *(x for x in vars(batch).values() if isinstance(x, Tensor))])
        for block in learner.model.blocks:
            # What is only held by circles of Python objects is not held.
            block.register_forward_pre_hook(lambda *_: gc.collect() and None)
        with counter, torch.autocast("cpu", torch.bfloat16):
            loss = torch.stack(list(learner(batch).values())).sum()
            torch.autograd.backward(loss, inputs=learning)
    of_lora = sum(weight.numel() for weight in learning)
    all_bytes = sum(weight.numel() * weight.element_size() for weight in kept)
    gradients = of_lora * torch.float32.itemsize
    return {
        "weights": all_bytes - of_lora * torch.float32.itemsize,
        "learning": of_lora,
        "lora": of_lora * (torch.float32.itemsize + OPTIMIZER_BYTES),
        "activations": max(counter.peaks.values()) - gradients,
    }


def _give_fake_weights(module: nn.Module) -> None:
    """Weights of the same forms on the CPU, where autocast is, in place of those on the meta device."""
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False):
            fake = torch.empty(weight.shape, dtype=weight.dtype)
            part.register_parameter(name, nn.Parameter(fake, requires_grad=weight.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            part.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype))


def _clip_shape(step: TrainingStep) -> ClipShape:
    """What the plan of the step's batches depends on."""
    tokens = tokens_of(pixel_frames(step.latent_frames))
    return ClipShape(
        latent_frames=step.latent_frames,
        rows=step.height // SIZE_MULTIPLE,
        columns=step.width // SIZE_MULTIPLE,
        audio_tokens=tokens,
        reference_tokens=0,
        symbols=SYMBOLS,
        kept=TASKS["joint"].kept(step.latent_frames, tokens),
        device=torch.device("cpu"),
    )


def _batch(step: TrainingStep) -> Batch:
    """A batch of joint generation, with captions by a frozen encoder."""
    shapes = stream_shapes(step.latent_frames, step.width, step.height, step.batch_size)
    video, audio = map(torch.empty, shapes)
    clip = _clip_shape(step)
    return Batch(
        task="joint",
        audio=audio,
        audio_noise=torch.empty_like(audio),
        sigma=torch.empty(step.batch_size),
        symbols=[[1] * SYMBOLS] * step.batch_size,
        captions=[""] * step.batch_size,
        kept=clip.kept,
        switches=Switches(),
        video=video,
        video_noise=torch.empty_like(video),
        portrait=video[:, :, :1].clone(),
        face_mask=torch.empty(step.batch_size, step.latent_frames, clip.rows * clip.columns),
        caption_features=[torch.empty(CAPTION_TOKENS, step.sizes.text_width)] * step.batch_size,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=RELEASED_SIZES.blocks, help="fewer for a try")
    parser.add_argument("--ranks", type=int, nargs="+", default=list(RANKS))
    parser.add_argument("--base-weights", nargs="+", default=list(BASE_WEIGHTS))
    parser.add_argument("--no-checkpointing", action="store_true", help="keep what all blocks made")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, last")
    arguments = parser.parse_args()
    sizes = replace(RELEASED_SIZES, blocks=arguments.blocks)
    rows: list[dict[str, Any]] = []
    print(
        f"{'pixels':>10s}  {'weights':>8s}  {'rank':>4s}  {'weights':>8s}  {'LoRA':>6s}  {'step':>6s}  {'all, GB':>8s}"
    )
    for width, height in SIZES_PIXELS:
        for base in arguments.base_weights:
            for rank in arguments.ranks:
                lora = LoraSettings(rank=rank, base_weights=base)
                step = TrainingStep(sizes, width, height, lora=lora, checkpointing=not arguments.no_checkpointing)
                taken = training_bytes(step)
                rows.append({"width": width, "height": height, "base_weights": base, "rank": rank, **taken})
                parts = [taken[name] / 1e9 for name in ("weights", "lora", "activations")]
                figures = "  ".join(f"{value:{size}.2f}" for value, size in zip(parts, (8, 6, 6), strict=True))
                print(f"{width:>5d}×{height:<4d}  {base:>8s}  {rank:4d}  {figures}  {sum(parts):8.2f}")
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
