"""Commands: python -m uniavgen_lab demo | render | prepare | train-codec | train | bundle | evaluate | ablations |
verse-jobs | verse-bench"""

from __future__ import annotations

import argparse
import logging
import sys

from .ablation_table import add_ablations_arguments, run_ablations
from .demo import add_demo_arguments, run_demo
from .evaluation.evaluate import add_evaluate_arguments, run_evaluate
from .training.commands import (
    add_bundle_arguments,
    add_prepare_arguments,
    add_render_arguments,
    add_train_arguments,
    run_bundle,
    run_prepare,
    run_render,
    run_train,
    run_train_codec,
)
from .verse_bench.bench_jobs import add_verse_jobs_arguments, run_verse_jobs
from .verse_bench.verse_command import add_verse_bench_arguments, run_verse_bench

COMMANDS = {
    "demo": ("make a clip with the built-in small model", add_demo_arguments, run_demo),
    "render": ("make the small model's corpus", add_render_arguments, run_render),
    "prepare": ("make training data of a folder of real clips", add_prepare_arguments, run_prepare),
    "train-codec": ("train the small model's picture codec", add_train_arguments, run_train_codec),
    "train": ("train a model", add_train_arguments, run_train),
    "bundle": ("put a run's weights into the pack", add_bundle_arguments, run_bundle),
    "evaluate": ("measure the small model, or a clip of your own", add_evaluate_arguments, run_evaluate),
    "ablations": ("train and measure the paper's ablations", add_ablations_arguments, run_ablations),
    "verse-jobs": ("write Verse-Bench's items as a table for tools/batch.py", add_verse_jobs_arguments, run_verse_jobs),
    "verse-bench": ("measure clips as Verse-Bench does", add_verse_bench_arguments, run_verse_bench),
}
"""By name: what a command does, what adds its options, and what runs it; a run returns the exit status."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m uniavgen_lab", description="Make, train and measure UniAVGen models."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (purpose, add_arguments, _) in COMMANDS.items():
        add_arguments(commands.add_parser(name, help=purpose))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        run = COMMANDS[arguments.command][-1]
        return run(arguments)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
