"""Who speaks of two people: what a mask of one face does to both mouths (the measure of `face.guidance`).

The captions leave open who speaks. Each clip is made three times: free, with a mask of the speaker's face at rest, and
with one of the listener's.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, median

import numpy
import torch

from uniavgen_core.face.lip_sync import correlation, mouth_open_area, rms_envelope
from uniavgen_core.face.steering import FaceGuidance
from uniavgen_core.tiny.bundle import TinyBundle, load_tiny
from uniavgen_core.tiny.canvas import SIZE

from ..training.render import token_mask
from ..world.corpus import SPLITS, CorpusClip, beside_a_listener, make_clip
from ..world.sentences import caption_of_two
from ..world.synthesiser import Synthesiser
from .generate import Sampling, generate
from .predicted_masks import face_patches
from .tables import measure_in_groups, print_table, table_of_rows

SILENT = 0.3
"""A mouth that moves less than this share of the speaking one's counts as silent."""
STILL = 2.0
"""Square pixels: a mouth whose open area deviates less does not speak."""
ROWS = ("free", "speaker masked", "listener masked")
COLUMNS = {
    "silent_over_speaking": "silent mouth over speaking one (median)",
    "silent": f"silent mouth at most {SILENT:.0%}",
    "right": "the masked one speaks",
    "correlation": "correlation of the speaking mouth with the sound",
}

Mouths = Mapping[str, float]


def run_two_people(arguments: argparse.Namespace, sampling: Sampling) -> int:
    """Measure, and print a table and, if asked for, one line of JSON."""
    seeds = SPLITS[arguments.split][::2][: arguments.clips]
    measured = measure_in_groups(
        partial(_measure_group, arguments.weights, sampling), seeds, arguments.workers, "two people"
    )
    summary = {name: summarise_mouths([clip[name] for clip in measured], masked=name != "free") for name in ROWS}
    print_table(summary, two_people_table(summary), arguments.json)
    return 0


def summarise_mouths(mouths: Sequence[Mouths], masked: bool) -> dict[str, float | None]:
    """One row: what the clips have in common.

    Args:
        masked: whether somebody is told to speak.
    """
    shares = [clip["other"] / max(clip["speaking"], STILL) for clip in mouths]
    return {
        "silent_over_speaking": median(shares),
        "silent": fmean(
            share <= SILENT and clip["speaking"] > STILL for share, clip in zip(shares, mouths, strict=True)
        ),
        "right": fmean(clip["wanted"] for clip in mouths) if masked else None,
        "correlation": fmean(clip["correlation"] for clip in mouths),
        "clips": len(mouths),
    }


def two_people_table(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """Rows by name as a table in Markdown."""
    return table_of_rows(rows, COLUMNS)


def _measure_group(weights: Path, sampling: Sampling, seeds: Sequence[int]) -> list[dict[str, Mouths]]:
    bundle, synthesiser = load_tiny(weights), Synthesiser()
    return [_measure(bundle, beside_a_listener(make_clip(seed, synthesiser)), sampling) for seed in seeds]


def _measure(bundle: TinyBundle, clip: CorpusClip, sampling: Sampling) -> dict[str, Mouths]:
    clip = replace(clip, caption=caption_of_two(clip.kinds, None, clip.mood))
    sides = {"speaker masked": clip.side, "listener masked": "left" if clip.side == "right" else "right"}
    return {name: _mouths(bundle, clip, sides.get(name), sampling) for name in ROWS}


def _mouths(bundle: TinyBundle, clip: CorpusClip, masked: str | None, sampling: Sampling) -> Mouths:
    """How the mouths of a clip move that is made anew, and whether it is the masked side's that speaks."""
    patches = []
    if masked is not None:
        mask = clip.faces_at_rest[masked]
        tokens = token_mask(torch.from_numpy(mask[None])).expand(clip.latent_frames, -1)
        patches.append(FaceGuidance(tokens, "replace"))
    with face_patches(bundle.model, lambda timestep: patches):
        made = generate("joint", bundle, clip, clip, sampling)
    areas = {
        side: mouth_open_area(half)
        for side, half in zip(("left", "right"), numpy.split(made.frames, [SIZE], axis=2), strict=True)
    }
    motion = {side: float(area.std()) for side, area in areas.items()}
    first = masked or max(motion, key=lambda side: motion[side])
    (other,) = motion.keys() - {first}
    return {
        "speaking": motion[first],
        "other": motion[other],
        "wanted": float(motion[first] > max(motion[other], STILL)),
        "correlation": correlation(areas[first], rms_envelope(made.waveform, len(made.frames))),
    }
