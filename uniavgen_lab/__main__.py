"""Commands: python -m uniavgen_lab demo | render | prepare | train-codec | train | bundle | evaluate | ablations"""

from __future__ import annotations

import argparse
import logging
import sys

from . import demo
from .evaluation import ablation_table, evaluate
from .training import commands as training


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m uniavgen_lab", description="Make, train and measure UniAVGen models."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo.add_arguments(commands.add_parser("demo", help="make a clip with the built-in small model"))
    training.add_render_arguments(commands.add_parser("render", help="make the small model's corpus"))
    training.add_prepare_arguments(commands.add_parser("prepare", help="make training data of a folder of real clips"))
    training.add_train_arguments(commands.add_parser("train-codec", help="train the small model's picture codec"))
    training.add_train_arguments(commands.add_parser("train", help="train a model"))
    training.add_bundle_arguments(commands.add_parser("bundle", help="put a run's weights into the pack"))
    evaluate.add_arguments(commands.add_parser("evaluate", help="measure the small model, or a clip of your own"))
    ablation_table.add_arguments(commands.add_parser("ablations", help="train and measure the paper's ablations"))
    run = {
        "demo": demo.run,
        "render": training.run_render,
        "prepare": training.run_prepare,
        "train-codec": training.run_train_codec,
        "train": training.run_train,
        "bundle": training.run_bundle,
        "evaluate": evaluate.run,
        "ablations": ablation_table.run,
    }
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return run[arguments.command](arguments)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
