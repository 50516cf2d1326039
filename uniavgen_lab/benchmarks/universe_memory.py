"""Memory of UniVerse-1 at full size: python -m uniavgen_lab.benchmarks.universe_memory

Counted on shapes alone, as in `memory`: the weights in bf16 and in fp8, and what lives at once beside them in a bf16
step, both passes of guidance in one call as ComfyUI runs them, or one after the other. Prints also what ComfyUI
reserves.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

import torch

from uniavgen_core.checkpoint import BLOCK_LINEAR
from uniavgen_core.config import CAPTION_ROWS, MEMORY_WIDTH
from uniavgen_core.universe1.stitched_dit import StitchedDiT
from uniavgen_core.universe1.stitched_latent import universe_shapes
from uniavgen_core.universe1.stitched_sizes import RELEASED_UNIVERSE, SPEECH_TOKENS, StitchedSizes, universe_seconds

from .memory import RESERVED_A_POSITION, LiveBytes, fused_operations

PIXELS = ((768, 480), (512, 512))
"""Width and height."""
FRAMES = (32, 64)
SOUND_ROWS = 32
"""Rows of the sound's text."""


def weight_bytes(sizes: StitchedSizes) -> dict[str, int]:
    """Bytes of the weights that are used, as `convert` writes them."""
    shapes = StitchedDiT(sizes, fused_operations, device="meta").state_dict()
    all_values = sum(tensor.numel() for tensor in shapes.values())
    in_blocks = sum(tensor.numel() for name, tensor in shapes.items() if BLOCK_LINEAR.fullmatch(name))
    return {"bf16": 2 * all_values, "fp8": 2 * all_values - in_blocks}


def universe_peak(sizes: StitchedSizes, frames: int, width: int, height: int, batch: int) -> int:
    """Bytes beside weights and inputs at the peak of a bf16 forward pass."""
    model = StitchedDiT(sizes, fused_operations, device="meta", dtype=torch.bfloat16)

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(shape, device="meta", dtype=torch.bfloat16)

    streams = [empty(*shape) for shape in universe_shapes(frames, width, height, batch)]
    given = [
        torch.empty(batch, device="meta"),
        empty(batch, CAPTION_ROWS, sizes.video_width),
        empty(batch, SOUND_ROWS + SPEECH_TOKENS, sizes.audio_width),
    ]
    reference = empty(batch, *streams[0].shape[1:2], 1, *streams[0].shape[3:])
    with torch.no_grad(), LiveBytes([*model.parameters(), *streams, *given, reference]) as counter:
        model(streams, *given, reference_image=reference)
    return max(counter.peaks.values())


def universe_reserved(sizes: StitchedSizes, frames: int, width: int, height: int, batch: int) -> int:
    """What ComfyUI reserves for a bf16 pass with an attention kernel that holds no scores."""
    video, audio = (torch.Size(shape).numel() for shape in universe_shapes(frames, width, height, batch))
    positions = (video + audio) / sizes.latent_channels
    return round(positions * torch.bfloat16.itemsize * RESERVED_A_POSITION * sizes.video_width / MEMORY_WIDTH)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    most = RELEASED_UNIVERSE.blocks
    parser.add_argument("--blocks", type=int, default=most, help="fewer for a try: the peak is the same")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, last")
    arguments = parser.parse_args()
    sizes = replace(RELEASED_UNIVERSE, blocks=arguments.blocks)
    weights = weight_bytes(sizes)
    print("weights, GB           " + "".join(f"  {dtype} {size / 1e9:.2f}" for dtype, size in weights.items()))
    rows: list[dict[str, Any]] = []
    for width, height in PIXELS:
        for frames in FRAMES:
            clip = {"frames": frames, "width": width, "height": height}
            for batch in (2, 1):
                peak, reserved = (count(sizes, **clip, batch=batch) for count in (universe_peak, universe_reserved))
                rows.append(clip | {"batch": batch, "peak_bytes": peak, "reserved_bytes": reserved})
                print(
                    f"{width} × {height}, {universe_seconds(frames):5.2f} s, {batch} row(s): peak {peak / 1e9:5.2f} "
                    f"GB, ComfyUI reserves {reserved / 1e9:5.2f} GB"
                )
    if arguments.json:
        print(json.dumps({"weights": weights, "rows": rows}))


if __name__ == "__main__":
    main()
