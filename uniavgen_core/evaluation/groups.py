"""Many clips, measured by several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from tqdm import tqdm

CLIPS_A_GROUP = 4
"""Clips that a worker measures before it says so; it loads its models once for them."""

Measured = TypeVar("Measured")


def measure_in_groups(
    measure: Callable[[Sequence[int]], list[Measured]], seeds: Sequence[int], workers: int, title: str
) -> list[Measured]:
    """What is measured of each clip, in the clips' order, with any number of workers.

    Args:
        measure: of the clips of a group of seeds; a process calls it, so it must be of a module.
        seeds: of the clips.
        workers: processes, each of one thread.
        title: of the progress bar.
    """
    size = max(1, min(CLIPS_A_GROUP, len(seeds) // workers))
    groups = [seeds[start : start + size] for start in range(0, len(seeds), size)]
    measured: list[Measured] = []
    with (
        tqdm(total=len(seeds), desc=title, unit="clip") as bar,
        multiprocessing.get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool,
    ):
        for group in pool.imap(measure, groups):
            measured += group
            bar.update(len(group))
    return measured
