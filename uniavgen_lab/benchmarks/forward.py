"""Speed and memory of a forward pass on the CPU: python -m uniavgen_lab.benchmarks.forward

Counts what a pass has to compute (`arithmetic`), times it by part, and compares its rate with that of one
product of matrices, 2464×768 by 768×2048, measured between the passes on the same cores. Then it takes clips of other
lengths, two at once, and the memory that a pass takes beyond the weights, each in a process of its own. Random weights,
float32. Where other programs keep the machine busy, --loaded measures one core's work instead of time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import CAPTION_ROWS, ModelSizes
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.tasks import KeptParts

from .arithmetic import BRANCHES, EMBEDDINGS, Workload, operations_by_part
from .processes import KIBIBYTE, RETURN_AT_ONCE, around, in_own_process, peak_bytes

LATENT_FRAMES, BATCHES = (9, 21, 41, 81), (1, 2)
QUICK_LATENT_FRAMES, QUICK_BATCHES = (9, 21), (1,)
MATMUL = (2464, 768, 2048)
MATMULS_A_PASS = 8
TINY = Workload(ModelSizes(3, 256, 256, 128, 128, 64, speech_width=32, speech_ffn_width=64), 3, 4, 4, symbols=12)
"""For tests."""
NORMS, ROTARY, ACTIVATIONS, REST = "norms", "rotary embedding", "activations", "all else"
Now = Callable[[], float]
"""A clock, in seconds."""


class PartTimer:
    """Seconds of parts that do not overlap; a part may be timed within the branch that runs."""

    def __init__(self, now: Now) -> None:
        self.now = now
        self.seconds: dict[str, float] = defaultdict(float)
        self.branch = ""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = self.now()
        yield
        self.seconds[name] += self.now() - start

    def watch(self, model: JointDiT) -> None:
        """Time the layers of a model, and note which branch runs."""
        for name, module in model.named_modules():
            path = name.split(".")
            if len(path) == 2 and path[0] in BRANCHES:
                module.register_forward_pre_hook(self._enter(BRANCHES[path[0]]))
            elif not list(module.children()):
                around(module, partial(self.part, _part_of(module, path)))

    def _enter(self, branch: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self.branch = branch

        return hook


def _part_of(module: nn.Module, path: list[str]) -> str:
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return NORMS
    if isinstance(module, nn.GELU | nn.SiLU):
        return ACTIVATIONS
    if path[0] in BRANCHES and "mask_head" not in path:
        return f"{BRANCHES[path[0]]}: Linears"
    return EMBEDDINGS


def timed_operations(timer: PartTimer) -> type:
    """Plain operations, whose attention and rotary embedding are timed."""

    class Timed(torch_operations):
        @staticmethod
        def attention(*arguments: Any, **named: Any) -> Tensor:
            with timer.part(f"{timer.branch}: attention"):
                return torch_operations.attention(*arguments, **named)

        @staticmethod
        def rotate(x: Tensor, table: Tensor) -> Tensor:
            with timer.part(ROTARY):
                return torch_operations.rotate(x, table)

    return Timed


def random_model(sizes: ModelSizes, operations: type, generator: torch.Generator) -> JointDiT:
    """A model of random weights."""
    model = JointDiT(sizes, operations)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.03, generator=generator)
    return model


def make_pass(work: Workload, operations: type = torch_operations) -> tuple[JointDiT, Callable[..., list[Tensor]]]:
    """A model of random weights and its forward pass on random inputs, caption and speech encoded in it.

    The pass takes `kept`, what it keeps of the clip: without it, nothing.
    """
    generator = torch.Generator().manual_seed(0)
    sizes = work.sizes
    model = random_model(sizes, operations, generator)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    latent_size = (work.latent_rows, work.latent_columns)
    streams = [
        noise(work.batch, sizes.latent_channels, work.latent_frames, *latent_size),
        noise(work.batch, 1, work.audio_tokens, sizes.mel_bands),
    ]
    reference, caption = noise(1, sizes.latent_channels, 1, *latent_size), noise(1, CAPTION_ROWS, sizes.text_width)
    symbols = torch.randint(sizes.vocabulary_rows - 1, (1, work.symbols), generator=generator)
    timestep = torch.full((work.batch,), 500.0)

    @torch.no_grad()
    def forward(kept: KeptParts | None = None) -> list[Tensor]:
        features = model.encode_caption(caption), model.encode_speech(symbols, torch.float32)
        rows = (feature.expand(work.batch, -1, -1) for feature in features)
        return model(streams, timestep, *rows, reference_image=reference, kept=kept)

    return model, forward


def matmul_seconds(now: Now) -> list[float]:
    rows, inner, columns = MATMUL
    x, weight = torch.ones(rows, inner), torch.ones(columns, inner)
    return [seconds_taken(lambda: functional.linear(x, weight), now) for _ in range(MATMULS_A_PASS)]


def seconds_taken(function: Callable[[], Any], now: Now) -> float:
    """How long a function runs."""
    start = now()
    function()
    return now() - start


def measure_pass(work: Workload, passes: int, now: Now) -> dict[str, Any]:
    """Median time of a pass, and its share of the rate of the matmuls before, between and after the passes."""
    _, forward = make_pass(work)
    forward()
    seconds, matmuls = [], matmul_seconds(now)
    for _ in range(passes):
        seconds.append(seconds_taken(forward, now))
        matmuls += matmul_seconds(now)
    median, flops = statistics.median(seconds), sum(operations_by_part(work).values())
    matmul_rate = 2 * MATMUL[0] * MATMUL[1] * MATMUL[2] / statistics.median(matmuls)
    return {
        "latent_frames": work.latent_frames,
        "batch": work.batch,
        "seconds": median,
        "flops": flops,
        "matmul_rate": matmul_rate,
        "share_of_matmul_rate": flops / median / matmul_rate,
    }


def seconds_by_part(work: Workload, passes: int, now: Now) -> dict[str, float]:
    """Mean seconds of each part over some passes."""
    timer = PartTimer(now)
    model, forward = make_pass(work, timed_operations(timer))
    forward()
    timer.watch(model)
    timer.seconds.clear()
    total = sum(seconds_taken(forward, now) for _ in range(passes))
    parts = {name: seconds / passes for name, seconds in timer.seconds.items()}
    return {**parts, REST: total / passes - sum(parts.values())}


def extra_memory(work: Workload) -> int:
    """Bytes at the peak of a pass over those after a first one; Linux only."""
    _, forward = make_pass(work)
    forward()
    Path("/proc/self/clear_refs").write_text("5")
    before = int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) * KIBIBYTE
    forward()
    return peak_bytes() - before


def alone(what: str, work: Workload, arguments: argparse.Namespace) -> Any:
    """What this file prints with --only, in a process of its own."""
    options = ["--only", what, "--passes", str(arguments.passes), "--threads", str(arguments.threads)]
    options += [flag for flag in ("--tiny", "--loaded") if getattr(arguments, flag[2:])]
    options += ["--latent-frames", str(work.latent_frames), "--batch", str(work.batch)]
    return in_own_process("forward", *options, environment=RETURN_AT_ONCE if what == "memory" else {})


def print_parts(work: Workload, seconds: dict[str, float], matmul_rate: float) -> None:
    operations = operations_by_part(work)
    total = sum(seconds.values())
    print("part                    GFLOP  seconds   share  GFLOP/s  of matmul")
    for part in sorted(seconds, key=lambda part: -seconds[part]):
        line = f"{part:21s}  {operations.get(part, 0) / 1e9:6.1f}  {seconds[part]:7.3f}  {seconds[part] / total:6.1%}"
        if part in operations:
            rate = operations[part] / seconds[part]
            line += f"  {rate / 1e9:7.1f}  {rate / matmul_rate:9.0%}"
        print(line)
    print(f"{'together':21s}  {sum(operations.values()) / 1e9:6.1f}  {total:7.3f}")


def print_rows(rows: list[dict[str, Any]]) -> None:
    print("\nlatent frames  batch  GFLOP  seconds  GFLOP/s  matmul  share  extra MB")
    for row in rows:
        print(
            f"{row['latent_frames']:13d}  {row['batch']:5d}  {row['flops'] / 1e9:5.0f}  {row['seconds']:7.2f}  "
            f"{row['flops'] / row['seconds'] / 1e9:7.1f}  {row['matmul_rate'] / 1e9:6.1f}  "
            f"{row['share_of_matmul_rate']:5.0%}  {row['extra_memory_bytes'] / 1e6:8.0f}"
        )


def add_clock_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `chosen_clock`."""
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--loaded", action="store_true", help="one thread, and the processor's work in place of time")


def chosen_clock(arguments: argparse.Namespace) -> Now:
    """What is timed by; from now on, torch has as many threads as is said."""
    torch.set_num_threads(1 if arguments.loaded else arguments.threads)
    return time.process_time if arguments.loaded else time.perf_counter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short clips only, one at once")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and clip, to try this file")
    parser.add_argument("--passes", type=int, default=5, help="that are timed")
    add_clock_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the figures of 21 latent frames as JSON, last")
    parser.add_argument("--only", choices=["time", "parts", "memory"], help="one figure of one clip, in this process")
    parser.add_argument("--latent-frames", type=int, help="of that clip")
    parser.add_argument("--batch", type=int, default=1, help="of that clip")
    arguments = parser.parse_args()
    now = chosen_clock(arguments)
    base = vars(TINY if arguments.tiny else Workload())
    if arguments.only:
        work = Workload(**base | {"latent_frames": arguments.latent_frames, "batch": arguments.batch})
        measures = {"time": lambda: measure_pass(work, arguments.passes, now),
                    "parts": lambda: seconds_by_part(work, arguments.passes, now),
                    "memory": lambda: extra_memory(work)}  # fmt: skip
        print(json.dumps(measures[arguments.only]()))
        return

    def row(work: Workload) -> dict[str, Any]:
        timed = alone("time", work, arguments)
        return {**timed, "extra_memory_bytes": alone("memory", work, arguments)}

    main_row = row(Workload(**base))
    print_parts(Workload(**base), alone("parts", Workload(**base), arguments), main_row["matmul_rate"])
    frames = QUICK_LATENT_FRAMES if arguments.quick else LATENT_FRAMES
    batches = QUICK_BATCHES if arguments.quick else BATCHES
    lengths = [] if arguments.tiny else [(count, batch) for batch in batches for count in frames]
    works = [Workload(**base | {"latent_frames": count, "batch": batch}) for count, batch in lengths]
    print_rows([main_row if vars(work) == base else row(work) for work in works])
    if arguments.json:
        print(json.dumps(main_row))


if __name__ == "__main__":
    main()
