"""Memory of a forward pass at full size: python -m uniavgen_lab.benchmarks.memory

Runs the released model's sizes on shapes alone (torch's meta device: nothing is computed, no weights are needed) and
counts the bytes of all tensors that live at once, beside the weights: at the peak of each part, and of the pass.
Attention is taken to be a fused kernel, which holds nothing but its result; everything else is counted as plain PyTorch
does it. Prints also what ComfyUI reserves by the model's memory_usage_factor.
"""

from __future__ import annotations

import argparse
import json
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import CAPTION_ROWS, MEMORY_WIDTH, RELEASED_SIZES, SPATIAL_COMPRESSION
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.tasks import KeptParts

from .arithmetic import BRANCHES, Workload
from .processes import around

SIZES_PIXELS = ((736, 1280), (480, 832))
"""Height and width."""
LATENT_FRAMES = (21, 41)
RESERVED_A_POSITION = 0.01 * 1024**2
"""Bytes that ComfyUI reserves a position of the latent, a byte of its dtype and a unit of memory_usage_factor."""
OUTSIDE = "embeddings and sums"
LAYERS = {"self_attn": "attention", "cross_attn": "attention", "ffn": "FFN"}


class fused_operations(torch_operations):  # noqa: N801 - a namespace, named as its base
    """Plain operations with an attention that holds nothing but its result."""

    @staticmethod
    def attention(q: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.empty_like(q)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of living tensors, other than those given, and keeps each part's peak."""

    def __init__(self, others: list[Tensor]) -> None:
        super().__init__()
        self.part, self.live = "", 0
        self.peaks: dict[str, int] = defaultdict(int)
        self._known = {tensor.untyped_storage()._cdata for tensor in others}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        self.peaks[self.part] = max(self.peaks[self.part], self.live)
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.live += size
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size

    def watch(self, model: nn.Module) -> None:
        """Name the part that runs by the modules of a model."""
        for name, module in model.named_modules():
            if part := _part_of(name.split(".")):
                around(module, partial(self._within, part))

    @contextmanager
    def _within(self, part: str) -> Iterator[None]:
        outer, self.part = self.part, part
        yield
        self.part = outer


def _part_of(path: list[str]) -> str:
    """Name of a module's part; empty where it is within another part's."""
    branch = BRANCHES.get(path[0], "")
    if path[-1] == "mask_head":
        return "face mask"
    if branch and path[-1] in LAYERS:
        return f"{branch}: {LAYERS[path[-1]]}"
    if branch and len(path) == 2:
        return f"{branch}: all else"
    return "heads" if path in (["head"], ["head_audio"]) else ""


def peaks(work: Workload, kept: KeptParts | None = None) -> dict[str, int]:
    """Bytes beside weights and inputs at the peak of each part of a bf16 forward pass that keeps this of the clip."""
    sizes, meta = work.sizes, torch.device("meta")
    model = JointDiT(sizes, fused_operations, device=meta, dtype=torch.bfloat16)

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, device=meta, dtype=torch.bfloat16)

    latent_size = (work.latent_rows, work.latent_columns)
    inputs = [
        empty(work.batch, sizes.latent_channels, work.latent_frames, *latent_size),
        empty(work.batch, 1, work.audio_tokens, sizes.mel_bands),
        torch.empty(work.batch, device=meta),
        empty(work.batch, CAPTION_ROWS, sizes.video_width),
        empty(work.batch, work.symbols, sizes.audio_width),
    ]
    reference = empty(1, sizes.latent_channels, 1, *latent_size)
    counter = LiveBytes([*model.parameters(), *inputs, reference])
    counter.watch(model)
    with torch.no_grad(), counter:
        model(inputs[:2], *inputs[2:], reference_image=reference, kept=kept)
    return {part or OUTSIDE: peak for part, peak in counter.peaks.items()}


def reserved_bytes(work: Workload) -> int:
    """What ComfyUI reserves for a bf16 pass with an attention kernel that holds no scores."""
    video = work.latent_frames * work.latent_rows * work.latent_columns
    audio = work.audio_tokens * work.sizes.mel_bands / work.sizes.latent_channels
    positions = work.batch * (video + audio)
    factor = work.sizes.video_width / MEMORY_WIDTH
    return round(positions * torch.bfloat16.itemsize * RESERVED_A_POSITION * factor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--blocks", type=int, default=RELEASED_SIZES.blocks, help="fewer for a try: the peak is the same"
    )
    parser.add_argument("--json", action="store_true", help="print the figures of 720p, 21 frames as JSON, last")
    arguments = parser.parse_args()
    sizes = replace(RELEASED_SIZES, blocks=arguments.blocks)
    rows: list[dict[str, Any]] = []
    for height, width in SIZES_PIXELS:
        for frames in LATENT_FRAMES:
            work = Workload(sizes, frames, height // SPATIAL_COMPRESSION, width // SPATIAL_COMPRESSION)
            rows.append({"height": height, "width": width, "latent_frames": frames,
                         "peak_bytes": peaks(work), "reserved_bytes": reserved_bytes(work)})  # fmt: skip
    clips = (f"{row['width']}×{row['height']}, {row['latent_frames']}" for row in rows)
    print("pixels, latent frames  " + "".join(f"{clip:>14s}" for clip in clips))
    for part in sorted(rows[0]["peak_bytes"], key=lambda part: -rows[0]["peak_bytes"][part]):
        print(f"{part:21s}  " + "".join(f"{row['peak_bytes'][part] / 1e9:14.2f}" for row in rows))
    print(f"{'peak, GB':21s}  " + "".join(f"{max(row['peak_bytes'].values()) / 1e9:14.2f}" for row in rows))
    print(f"{'ComfyUI reserves, GB':21s}  " + "".join(f"{row['reserved_bytes'] / 1e9:14.2f}" for row in rows))
    if arguments.json:
        print(json.dumps(rows[0]))


if __name__ == "__main__":
    main()
