"""Command: python -m uniavgen_core convert"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .convert import PRECISIONS, convert


def main() -> int:
    """Run a command. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m uniavgen_core", description="UniAVGen without ComfyUI.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_convert(commands.add_parser("convert", help="write a model to one file, in another precision"))
    arguments = parser.parse_args()
    try:
        size = convert(arguments.source, arguments.destination, arguments.dtype, arguments.force)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.destination}: {size / 1e9:.2f} GB", file=sys.stderr)
    return 0


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="safetensors file, or folder of shards with their index")
    parser.add_argument("destination", type=Path, help="the .safetensors file to write, or .gguf")
    parser.add_argument("--dtype", choices=PRECISIONS, default="bf16", help="precision of the weights; q…: GGUF")
    parser.add_argument("--force", action="store_true", help="overwrite the destination")


if __name__ == "__main__":
    sys.exit(main())
