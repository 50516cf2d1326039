"""What few steps cost: COMFYUI_PATH=ComfyUI python -m uniavgen_lab.benchmarks.few_steps, with the Python of ComfyUI

Makes clips of the small model's test part anew with ComfyUI's samplers, in joint generation, and measures them by
guidance, sampler, schedule and steps. That Python also needs the pack's extras `training` and `evaluation`.

Guidance is `full` (a negative pass at every step), `half` (at the first half of the steps), `sound` (a scale of 1 for
the picture) or `off` (no negative pass). The schedule is `released` or `simple`, the pack's own, or one of ComfyUI's.
`cache` is the threshold of EasyCache, 0 without it. Passes are counted as they run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PACK = Path(__file__).absolute().parent.parent.parent
STEPS = (50, 25, 12, 8, 4)
SAMPLERS = ("euler", "dpmpp_2m", "uni_pc", "res_multistep", "lcm")
GUIDANCE = ("full", "half", "sound", "off")
START = (
    "import comfy.options, runpy; comfy.options.enable_args_parsing(); "
    "runpy.run_module('uniavgen_lab.benchmarks.few_steps_in_comfyui', run_name='__main__')"
)
"""ComfyUI's modules read the command line as they are imported, where it has been allowed before."""


def run_in_comfyui(arguments: argparse.Namespace, comfyui: Path) -> int:
    """Run the benchmark where ComfyUI's modules and the pack, as `pack`, can be imported, on the processor alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pack").symlink_to(PACK, target_is_directory=True)
        # ComfyUI first: its own `nodes` is not the pack's.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (comfyui.absolute(), folder, PACK)))}
        command = [sys.executable, "-c", START, "--cpu", "--base-directory", folder]
        wanted = json.dumps(vars(arguments))
        return subprocess.run(command, input=wanted, text=True, cwd=folder, env=environment).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12, help="of the test part")
    parser.add_argument("--steps", type=int, nargs="*", default=STEPS)
    parser.add_argument("--samplers", nargs="*", default=SAMPLERS)
    parser.add_argument("--guidance", nargs="*", default=GUIDANCE, choices=GUIDANCE)
    parser.add_argument("--shift", type=float, nargs="*", default=(2.0,), help="of the noise schedule")
    parser.add_argument("--schedules", nargs="*", default=("released", "simple"))
    parser.add_argument("--cache", type=float, nargs="*", default=(0.0,), help="thresholds of EasyCache")
    parser.add_argument("--json", action="store_true", help="print all rows as JSON on the last line")
    arguments = parser.parse_args()
    comfyui = Path(os.environ.get("COMFYUI_PATH", ""))
    if not (comfyui / "comfy" / "options.py").is_file():
        raise SystemExit("COMFYUI_PATH is no folder of ComfyUI: set it to the one that holds main.py.")
    return run_in_comfyui(arguments, comfyui)


if __name__ == "__main__":
    raise SystemExit(main())
