"""Memory of long clips: python -m uniavgen_lab.benchmarks.long_form_memory

Makes clips of 5, 20 and 60 seconds with the small model, each in a process of its own, decoding and writing included,
and prints the most memory that each held (peak resident set) and its difference from the first one's. Few steps: what
is held does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch

from uniavgen_core.long_form.maker import LongClip, Settings
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.long_form.segments import Pacing, plan_clip
from uniavgen_core.long_form.store import SegmentStore
from uniavgen_core.tasks import PAST_FRAMES
from uniavgen_core.tiny.bundle import load_tiny
from uniavgen_core.tiny.drawing import PORTRAIT_SEED, draw_portrait

from .. import pipeline
from ..core_host import CoreHost
from ..video_files import stream_summary
from .processes import in_own_process, peak_bytes

LENGTHS_SECONDS = (5, 20, 60)
SENTENCE = "Hello, three red birds and two green fish."
CHARACTERS_A_SECOND = 11
SIDE_PIXELS = 128
LATENT_FRAMES = 11


def make_long_clip(seconds: int, steps: int, folder: Path) -> dict[str, float]:
    """Make one clip; its length, segments, and the most bytes that this process held."""
    torch.set_num_threads(1)
    request = pipeline.Request(draw_portrait(PORTRAIT_SEED, "woman"), "", "", SIDE_PIXELS, SIDE_PIXELS, steps=steps)
    sentences = max(1, seconds * CHARACTERS_A_SECOND // len(SENTENCE))
    lines = parse_script("A happy woman talks. | " + " ".join([SENTENCE] * sentences))
    pacing, plan = plan_clip(lines, Pacing(), LATENT_FRAMES, PAST_FRAMES, seconds=seconds)
    settings = Settings(pacing, LATENT_FRAMES, PAST_FRAMES, seed=0, seconds=seconds)
    clip = LongClip(CoreHost(load_tiny(), request), SegmentStore(folder), plan, settings)
    clip.write(clip.make(), folder / "clip.mp4")
    made = stream_summary(folder / "clip.mp4").video_seconds
    return {"seconds": made, "segments": len(plan), "peak_bytes": peak_bytes()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, help="make one clip in this process")
    parser.add_argument("--steps", type=int, default=2, help="of sampling")
    parser.add_argument("--json", action="store_true", help="print all rows as JSON on the last line")
    arguments = parser.parse_args()
    if arguments.seconds:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(make_long_clip(arguments.seconds, arguments.steps, Path(folder))))
        return
    rows = [
        in_own_process("long_form_memory", "--seconds", str(seconds), "--steps", str(arguments.steps))
        for seconds in LENGTHS_SECONDS
    ]
    print("seconds  segments  peak MB  over the first")
    for row in rows:
        peak, more = row["peak_bytes"] / 1e6, (row["peak_bytes"] - rows[0]["peak_bytes"]) / 1e6
        print(f"{row['seconds']:7.2f}  {row['segments']:8.0f}  {peak:7.0f}  {more:+14.1f}")
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
