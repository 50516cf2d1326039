"""Speed of a step of the full size on a GPU: python -m uniavgen_lab.benchmarks.gpu

Needs torch, einops and safetensors. Builds the released model's size with random weights on the device and checks a
small case against float32. Then it prints of both precisions, without and with torch.compile, at 480p and 720p:
seconds of a step with guidance (a positive pass, and a negative one without interaction and with a block left out; the
median), peak memory and weights, and operations a second, as counted in arithmetic.py, also as a share of what a large
bf16 matrix
product reaches in the same run. On a processor fp8 is not measured: torch multiplies it there with a kernel that is
made to be compared with, which can take half a minute a product.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import CAPTION_ROWS, RELEASED_SIZES, SPATIAL_COMPRESSION, TRAINED_LATENT_FRAMES, ModelSizes
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.plan import Plans
from uniavgen_core.sampling.guidance import AUTO_BLOCK, resolve_skip_block
from uniavgen_core.tasks import Switches
from uniavgen_core.tiny.bundle import random_weight

from .arithmetic import EMBEDDINGS, SIZES, Workload, operations_by_part

IMAGE_SIZES = ((832, 480), (1280, 736))
PRECISIONS = ("bf16", "fp8")
LIMITS = {"bf16": 2e-2, "fp8": 8e-2}
"""Relative errors that the small case may have."""
SMALLER = ModelSizes(
    blocks=4, video_width=512, video_ffn_width=1024, audio_width=256, audio_ffn_width=512, text_width=64
)
MODELS = {"released": RELEASED_SIZES, "small": SIZES, "smaller": SMALLER}
CHECKED = Workload(SMALLER, latent_frames=3, latent_rows=8, latent_columns=12, symbols=20)
TIMESTEP = 700.0
FLOAT8 = torch.float8_e4m3fn
MATMUL_SIDE = {"cuda": 8192, "cpu": 512}
NOT_ON_A_PROCESSOR = "fp8 is not measured on a processor: torch has no fast product of it there"


class Float8Linear(nn.Linear):
    """A Linear whose product is of fp8 numbers, weights and input with a scale each."""

    scale: Tensor

    def __init__(self, inputs: int, outputs: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(inputs, outputs, bias, device, dtype)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, device=device, dtype=FLOAT8), requires_grad=False)
        self.register_buffer("scale", torch.empty((), device=device))

    def quantise(self, weight: Tensor) -> None:
        """Take these weights (outputs, inputs) in float32."""
        self.scale.copy_(fitting_scale(weight))
        self.weight.data.copy_((weight / self.scale).to(FLOAT8))

    def forward(self, input: Tensor) -> Tensor:
        rows = input.flatten(0, -2)
        scale = fitting_scale(rows)
        quantised = (rows / scale.to(rows.dtype)).clamp(-limit(), limit()).to(FLOAT8).contiguous()
        made = torch._scaled_mm(
            quantised, self.weight.t(), scale_a=scale, scale_b=self.scale, bias=self.bias, out_dtype=input.dtype
        )
        return made.unflatten(0, input.shape[:-1])


def limit() -> float:
    return torch.finfo(FLOAT8).max


def fitting_scale(values: Tensor) -> Tensor:
    """What values are divided by to fill the range of fp8, float32."""
    return (values.abs().amax().float() / limit()).clamp_min(1e-12)


class Float8Operations(torch_operations):
    Linear = Float8Linear  # type: ignore[assignment]


OPERATIONS = {"float32": torch_operations, "bf16": torch_operations, "fp8": Float8Operations}


def build(sizes: ModelSizes, precision: str, device: torch.device, drawn_on: torch.device) -> JointDiT:
    """A model with random weights, made where it runs, tensor by tensor."""
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    model = JointDiT(sizes, OPERATIONS[precision], torch.device("meta"), dtype).to_empty(device=device)
    model.eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        module = model.get_submodule(name.rpartition(".")[0])
        weight = random_weight(name, parameter.shape, device=drawn_on).to(device)
        if isinstance(module, Float8Linear) and name.endswith("weight"):
            module.quantise(weight)
        else:
            parameter.data.copy_(weight)
    return model


def compile_blocks(model: JointDiT, backend: str) -> None:
    """Compile what is repeated, so that one block's compilation serves all."""
    for blocks in (model.blocks, model.audio_blocks, model.a2v_blocks, model.v2a_blocks):
        for block in blocks:
            block.compile(backend=backend, dynamic=False)


def passes(model: JointDiT, work: Workload) -> dict[str, Callable[[], list[Tensor]]]:
    """Both passes of a step with guidance, by name, with what is the same at all steps done before."""
    device, dtype, sizes = model.audio_padding.device, model.audio_padding.dtype, work.sizes

    def noise(seed: int, *shape: int) -> Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)

    def video_noise(seed: int, frames: int) -> Tensor:
        return noise(seed, 1, sizes.latent_channels, frames, work.latent_rows, work.latent_columns)

    streams = [video_noise(1, work.latent_frames), noise(2, 1, 1, work.audio_tokens, sizes.mel_bands)]
    caption = model.encode_caption(noise(3, 1, CAPTION_ROWS, sizes.text_width))
    symbols = torch.arange(work.symbols, device=device).remainder(sizes.vocabulary_rows - 1).unsqueeze(0)
    timestep, speech = torch.full((1,), TIMESTEP, device=device), model.encode_speech(symbols, dtype)
    run = partial(model, streams, timestep, caption, speech, reference_image=video_noise(4, 1), plans=Plans())
    left_out = resolve_skip_block(AUTO_BLOCK, sizes.blocks)
    return {
        "positive": partial(run, switches=Switches()),
        "negative": partial(run, switches=Switches(False, False, left_out)),
    }


def operations_of_step(work: Workload) -> float:
    """Operations of both passes. The texts' own, of which a run has few, are in the embeddings."""
    parts = operations_by_part(work)
    of_blocks = sum(count for name, count in parts.items() if name.startswith(("video:", "audio:")))
    left_out = of_blocks / work.sizes.blocks
    return sum(parts.values()) + of_blocks - left_out + parts[EMBEDDINGS]


def check(precision: str, backend: str | None, device: torch.device) -> float:
    """The largest relative error of the small case's passes, against float32 on the processor."""
    processor = torch.device("cpu")
    exact = passes(build(SMALLER, "float32", processor, processor), CHECKED)
    model = build(SMALLER, precision, device, processor)
    if backend:
        compile_blocks(model, backend)
    made = passes(model, CHECKED)
    return max(
        float((ours.cpu().double() - theirs).norm() / theirs.double().norm())
        for name in made
        for ours, theirs in zip(made[name](), exact[name](), strict=True)
    )


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(function: Callable[[], Any], device: torch.device, runs: int, warm_ups: int = 2) -> float:
    """The median of some runs."""
    times = []
    for _ in range(warm_ups + runs):
        synchronise(device)
        start = time.perf_counter()
        function()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return median(times[warm_ups:])


def matmul_rate(device: torch.device, runs: int) -> float:
    """Operations a second of a large bf16 matrix product, in the form that the model's layers have."""
    side = MATMUL_SIDE[device.type]
    first, second = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: functional.linear(first, second), device, max(runs, 5))


def measure_step(model: JointDiT, work: Workload, device: torch.device, runs: int) -> dict[str, Any]:
    """Seconds, memory and rate of a step."""
    both = passes(model, work)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = seconds_of(lambda: [run() for run in both.values()], device, runs)
    weights = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    return {
        "seconds_a_step": seconds,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        "weight_bytes": weights,
        "operations_a_second": operations_of_step(work) / seconds,
    }


def rows_of(precision: str, arguments: argparse.Namespace, device: torch.device, rate: float) -> Iterator[dict]:
    """A row for each picture, without and with compilation; where one cannot be had, it says why."""
    for compiled in arguments.compile:
        settings = {"precision": precision, "compile": compiled}
        if precision == "fp8" and device.type == "cpu":
            yield {**settings, "note": NOT_ON_A_PROCESSOR}
            continue
        backend = arguments.backend if compiled == "yes" else None
        try:
            error = check(precision, backend, device)
            model = build(MODELS[arguments.sizes], precision, device, device)
            if backend:
                compile_blocks(model, backend)
        except (RuntimeError, ValueError, NotImplementedError) as fault:
            yield {**settings, "note": reason(fault)}
            continue
        settings |= {"error": error, "accurate": error <= LIMITS[precision]}
        for width, height in arguments.image_sizes:
            row = {**settings, "picture": f"{width}x{height}"}
            size = (height // SPATIAL_COMPRESSION, width // SPATIAL_COMPRESSION)
            work = Workload(MODELS[arguments.sizes], arguments.latent_frames, *size)
            try:
                row |= measure_step(model, work, device, arguments.runs)
                row["share_of_matmul_rate"] = row["operations_a_second"] / rate
            except RuntimeError as fault:
                row["note"] = reason(fault)
            yield row
        del model
        torch._dynamo.reset()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def reason(fault: Exception) -> str:
    """Why a row has no figures."""
    if isinstance(fault, torch.OutOfMemoryError):
        return "out of memory"
    return f"{type(fault).__name__}: {str(fault).strip().splitlines()[0]}" if str(fault) else type(fault).__name__


def format_row(row: dict[str, Any]) -> str:
    """A row of the table."""
    start = f"{row['precision']:9s}  {row['compile']:7s}  {row.get('picture', ''):9s}"
    if "note" in row:
        return f"{start}  {row['note']}"
    peak = "–" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e9:.1f}"
    return (
        f"{start}  {row['seconds_a_step']:14.3f}  {peak:>7s}  {row['weight_bytes'] / 1e9:10.1f}  "
        f"{row['operations_a_second'] / 1e12:7.2f}  {row['share_of_matmul_rate']:5.0%}  "
        f"{row['error']:.4f}{'' if row['accurate'] else ' TOO MUCH'}"
    )


def image_size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def main() -> int:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default=device, choices=MATMUL_SIDE)
    parser.add_argument("--sizes", default="released" if device == "cuda" else "small", choices=MODELS)
    parser.add_argument("--precisions", nargs="*", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--compile", nargs="*", default=("no", "yes"), choices=("no", "yes"))
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.add_argument(
        "--pictures", nargs="*", type=image_size, default=IMAGE_SIZES, dest="image_sizes", metavar="WIDTHxHEIGHT"
    )
    parser.add_argument("--latent-frames", type=int, default=TRAINED_LATENT_FRAMES)
    parser.add_argument("--runs", type=int, default=5, help="whose median counts")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON on the last line")
    arguments = parser.parse_args()
    with torch.inference_mode():
        figures = measure_device(arguments, torch.device(arguments.device))
    if arguments.json:
        print(json.dumps(figures))
    return int(not all(row.get("accurate", True) for row in figures["rows"]))


def measure_device(arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Measure and print everything."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    rate, rows = matmul_rate(device, arguments.runs), []
    print(f"{name}, torch {torch.__version__}; a bf16 matrix product reaches {rate / 1e12:.2f} TFLOP/s")
    print(f"The {arguments.sizes} size, {arguments.latent_frames} latent frames")
    print("precision  compile  picture    seconds a step  peak GB  weights GB  TFLOP/s  share  error")
    for precision in arguments.precisions:
        for row in rows_of(precision, arguments, device, rate):
            rows.append(row)
            print(format_row(row), flush=True)
    run = {"device": name, "torch": torch.__version__, "sizes": arguments.sizes}
    return {**run, "latent_frames": arguments.latent_frames, "matmul_rate": rate, "rows": rows}


if __name__ == "__main__":
    raise SystemExit(main())
