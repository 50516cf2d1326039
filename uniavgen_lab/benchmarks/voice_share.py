"""What a voice alone costs: python -m uniavgen_lab.benchmarks.voice_share

Counts the operations of a forward pass of joint generation, of a voice beside a still that it sees, and of one that
sees nothing, with what torch counts in a pass on tensors without values: of the released model at its usual size, and
of the small model. Then it times the same passes of the small model and of the one of `arithmetic`, in turn, with
random weights in float32, and prints the share of joint generation's median.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import CAPTION_ROWS, RELEASED_SIZES, SHORT_SIDE, SPATIAL_COMPRESSION
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.plan import Plans
from uniavgen_core.tasks import TASKS, kept_prefix, task_switches
from uniavgen_core.tiny.bundle import MODEL_SIZES
from uniavgen_core.tiny.bundle import SHORT_SIDE as SMALL_SIDE

from .arithmetic import Workload
from .forward import TINY, Now, add_clock_arguments, chosen_clock, random_model

JOINT, BESIDE_A_STILL, SEES_NOTHING = KINDS = ("joint generation", "voice beside a still", "voice that sees nothing")
LONG_SIDE = 992
RELEASED = Workload(RELEASED_SIZES, 21, SHORT_SIDE // SPATIAL_COMPRESSION, LONG_SIDE // SPATIAL_COMPRESSION)
SMALL = Workload(MODEL_SIZES, 9, SMALL_SIDE // SPATIAL_COMPRESSION, SMALL_SIDE // SPATIAL_COMPRESSION, symbols=24)
"""The small model's own clip of two seconds."""
CLIPS = {"released model": RELEASED, "small model": SMALL, "benchmark's model": Workload()}
TIMED = ("small model", "benchmark's model")


def voice_pass(work: Workload, kind: str, model: JointDiT) -> Callable[[], list[Tensor]]:
    """A positive forward pass of one of KINDS, caption and speech encoded before, as in a sampling run."""
    device = model.audio_padding.device
    kept = TASKS["joint" if kind == JOINT else "voice"].kept(work.latent_frames, work.audio_tokens)
    if kind == SEES_NOTHING:
        kept = kept_prefix(1, work.audio_tokens, kept_frames=1)
    size = (work.latent_rows, work.latent_columns)
    video = torch.zeros(work.batch, work.sizes.latent_channels, len(kept.video), *size, device=device)
    audio = torch.zeros(work.batch, 1, work.audio_tokens, work.sizes.mel_bands, device=device)
    caption = torch.zeros(work.batch, CAPTION_ROWS, work.sizes.video_width, device=device)
    speech = torch.zeros(work.batch, work.symbols, work.sizes.audio_width, device=device)
    timestep, plans = torch.full((work.batch,), 500.0, device=device), Plans()
    switches = task_switches(kept, has_reference_voice=False, negative=False)
    return lambda: model(
        [video, audio], timestep, caption, speech, reference_image=video[:, :, :1],
        kept=kept, switches=switches, plans=plans,
    )  # fmt: skip


@torch.no_grad()
def count_operations(work: Workload) -> dict[str, int]:
    """Operations of a pass of each of KINDS."""
    counted = {}
    for kind in KINDS:
        model = JointDiT(work.sizes, torch_operations, device=torch.device("meta"))
        with FlopCounterMode(display=False) as counter:
            voice_pass(work, kind, model)()
        counted[kind] = counter.get_total_flops()
    return counted


@torch.no_grad()
def time_passes(work: Workload, passes: int, now: Now) -> dict[str, float]:
    """Median seconds of a pass of each of KINDS, which are timed in turn."""
    model = random_model(work.sizes, torch_operations, torch.Generator().manual_seed(0))
    runs = {kind: voice_pass(work, kind, model) for kind in KINDS}
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for index in range(passes + 1):
        for kind, run in runs.items():
            start = now()
            run()
            # The first one makes the plans.
            if index:
                seconds[kind].append(now() - start)
    return {kind: statistics.median(taken) for kind, taken in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passes", type=int, default=9, help="of each kind, timed")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and clip, to try this file")
    add_clock_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print all figures as JSON on the last line")
    arguments = parser.parse_args()
    now = chosen_clock(arguments)
    clips = {"tiny": TINY} if arguments.tiny else CLIPS
    rows: dict[str, dict[str, Any]] = {}
    for name, work in clips.items():
        operations = count_operations(work)
        rows[name] = {"operations": operations}
        print(f"{name}: {work.latent_frames} latent frames of {work.latent_rows}×{work.latent_columns}")
        if arguments.tiny or name in TIMED:
            rows[name]["seconds"] = time_passes(work, arguments.passes, now)
        for kind in KINDS:
            line = f"  {kind:25s}{operations[kind] / 1e9:12.1f} GFLOP {operations[kind] / operations[JOINT]:7.2%}"
            if seconds := rows[name].get("seconds"):
                line += f"{seconds[kind]:10.4f} s {seconds[kind] / seconds[JOINT]:7.1%}"
            print(line)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
