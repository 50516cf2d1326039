"""What it costs to keep areas of a clip: python -m uniavgen_lab.benchmarks.kept_areas

Times a forward pass of `forward` that keeps a first frame, one that keeps all but a face in the frames behind it, and
some that keep tokens at random, all of them in turn. Then it counts the memory of the same passes at full size, as
`memory` does. Where other programs keep the machine busy, --loaded measures one core's work instead of time.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from uniavgen_core.config import RELEASED_SIZES, SPATIAL_COMPRESSION, TRAINED_LATENT_FRAMES
from uniavgen_core.tasks import KeptParts, kept_prefix, kept_tokens

from .arithmetic import Workload
from .forward import TINY, Now, add_clock_arguments, chosen_clock, make_pass, seconds_taken
from .memory import SIZES_PIXELS, peaks

FIRST_FRAME = "a first frame"
RANDOM_SHARES = (0.2, 0.5, 0.8)
FACE_SIDE = 0.5
"""Height and width of the face, in those of the clip."""


def kept_patterns(work: Workload) -> dict[str, KeptParts]:
    """What the passes keep; of the sound, nothing."""
    size = work.latent_rows // 2, work.latent_columns // 2
    sound = torch.zeros(work.audio_tokens, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)

    def behind_the_first(kept: Tensor) -> KeptParts:
        kept[0] = True
        return kept_tokens(kept.flatten(1), sound)

    around_a_face = torch.ones(work.latent_frames, *size, dtype=torch.bool)
    rows, columns = (slice(round(side * (1 - FACE_SIDE) / 2), round(side * (1 + FACE_SIDE) / 2)) for side in size)
    around_a_face[:, rows, columns] = False
    random = torch.rand(work.latent_frames, *size, generator=generator)
    found = {f"{share:.0%} of all tokens": behind_the_first(random < share) for share in RANDOM_SHARES}
    first = kept_prefix(work.latent_frames, work.audio_tokens, kept_frames=1)
    return {FIRST_FRAME: first, "all around a face": behind_the_first(around_a_face), **found}


def seconds_by_pattern(work: Workload, passes: int, now: Now) -> dict[str, float]:
    """Median seconds of a pass for each pattern, its plan included."""
    _, forward = make_pass(work)
    kept = kept_patterns(work)
    seconds: dict[str, list[float]] = {name: [] for name in kept}
    forward()
    for _ in range(passes):
        for name, parts in kept.items():
            seconds[name].append(seconds_taken(lambda parts=parts: forward(parts), now))  # type: ignore[misc]
    return {name: statistics.median(times) for name, times in seconds.items()}


def rows_of_patterns(arguments: argparse.Namespace, now: Now) -> list[dict[str, Any]]:
    """Of each pattern, the seconds of a pass and the bytes at full size."""
    seconds = seconds_by_pattern(TINY if arguments.tiny else Workload(), arguments.passes, now)
    sizes = replace(RELEASED_SIZES, blocks=2)
    latent_rows, latent_columns = (side // SPATIAL_COMPRESSION for side in SIZES_PIXELS[0])
    work = Workload(sizes, TRAINED_LATENT_FRAMES, latent_rows, latent_columns)
    found = {name: peaks(work, kept) for name, kept in kept_patterns(work).items()}
    return [{"kept": name, "seconds": seconds[name], "peak_bytes": found[name]} for name in seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="time a tiny model and clip, to try this file")
    parser.add_argument("--passes", type=int, default=5, help="that are timed of each pattern")
    add_clock_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, last")
    arguments = parser.parse_args()
    found = rows_of_patterns(arguments, chosen_clock(arguments))
    print("kept                  seconds  of the first  modulation, GB  face mask, GB  peak, GB")
    for row in found:
        peak = row["peak_bytes"]
        gigabytes = [value / 1e9 for value in (peak["video: all else"], peak["face mask"], max(peak.values()))]
        print(f"{row['kept']:20s}  {row['seconds']:7.3f}  {row['seconds'] / found[0]['seconds']:12.3f}  "
              "{:14.2f}  {:13.2f}  {:8.2f}".format(*gigabytes))  # fmt: skip
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
