"""A pack of one node, with which the harness tests itself: it waits, shows previews, and raises when asked to."""

from __future__ import annotations

import time

from comfy_api.latest import ComfyExtension, io
from PIL import Image

from comfy.utils import ProgressBar

STEPS = 10


class HarnessWait(io.ComfyNode):
    """Takes its time in ten steps, each with a preview picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessWait",
            category="harness",
            is_output_node=True,
            inputs=[io.Float.Input("seconds", default=0.0), io.String.Input("error", default="")],
        )

    @classmethod
    def execute(cls, seconds: float, error: str) -> io.NodeOutput:
        if error:
            raise ValueError(error)
        progress = ProgressBar(STEPS)
        for step in range(STEPS):
            time.sleep(seconds / STEPS)
            progress.update_absolute(step + 1, preview=("JPEG", Image.new("RGB", (16, 16)), 16))
        return io.NodeOutput()


class HarnessExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [HarnessWait]


async def comfy_entrypoint() -> HarnessExtension:
    return HarnessExtension()
