"""How much of the project somebody has to read."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from small_model import FRAMES, TOKENS, small_sizes

import uniavgen_core
from uniavgen_core.backend import torch_operations
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.sampling.euler import Clip, Condition, sample_euler
from uniavgen_core.sampling.schedule import flow_sigmas
from uniavgen_core.tasks import TASKS
from uniavgen_core.tiny.bundle import random_state_dict

CORE = Path(uniavgen_core.__file__).parent
FILES_OF_A_STEP = 8


class CoreFiles:
    """The files of the core in which a function is entered between `start` and `stop`."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def start(self) -> None:
        self.before = sys.getprofile()
        sys.setprofile(self._note)

    def stop(self) -> None:
        sys.setprofile(self.before)

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(CORE):
            self.found.add(file.relative_to(CORE).as_posix())


def test_a_step_is_followed_in_few_files() -> None:
    """The second of three, of joint generation with guidance: all but what is made once a run."""
    sizes = small_sizes()
    model = JointDiT(sizes, torch_operations)
    model.load_state_dict(random_state_dict({name: x.shape for name, x in model.state_dict().items()}))
    video, audio = torch.zeros(1, 48, FRAMES, 4, 4), torch.zeros(1, 1, TOKENS, 80)
    clip = Clip(video, audio, TASKS["joint"].kept(FRAMES, TOKENS), video[:, :, :1])
    condition = Condition(torch.zeros(1, 1, sizes.text_width), torch.zeros(1, 10, dtype=torch.long))
    files = CoreFiles()
    between_steps = {1: files.start, 2: files.stop}
    sample_euler(
        model, clip, (video, audio), flow_sigmas(3), positive=condition, negative=condition,
        progress=lambda step, steps: between_steps.get(step, lambda: None)(),
    )  # fmt: skip
    files.found.add("sampling/euler.py")  # The loop was entered before.
    assert {"model/joint_dit.py", "model/aligners.py", "sampling/guidance.py"} < files.found
    assert len(files.found) <= FILES_OF_A_STEP, sorted(files.found)
