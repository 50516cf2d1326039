"""Command: python -m uniavgen_core convert"""

from __future__ import annotations

import argparse
import logging
import sys

from . import convert


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m uniavgen_core", description="UniAVGen without ComfyUI.")
    commands = parser.add_subparsers(dest="command", required=True)
    convert.add_arguments(commands.add_parser("convert", help="write a model to one file, in another precision"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return convert.run(arguments)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
