"""A pack of nodes that hand over what is not a number, as a broken node before ours would."""

from __future__ import annotations

import torch
from comfy_api.latest import ComfyExtension, io

from comfy.nested_tensor import NestedTensor

NAN = float("nan")


class HarnessNaN(io.ComfyNode):
    """A picture and a sound of a second, all NaN."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="HarnessNaN", category="harness", outputs=[io.Image.Output(), io.Audio.Output()])

    @classmethod
    def execute(cls) -> io.NodeOutput:
        picture = torch.full((1, 64, 64, 3), NAN)
        return io.NodeOutput(picture, {"waveform": torch.full((1, 1, 24000), NAN), "sample_rate": 24000})


class HarnessNaNLatent(io.ComfyNode):
    """A joint latent whose first stream is NaN."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessNaNLatent",
            category="harness",
            inputs=[io.Latent.Input("latent")],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(cls, latent: dict) -> io.NodeOutput:
        first, *others = latent["samples"].unbind()
        return io.NodeOutput({**latent, "samples": NestedTensor([torch.full_like(first, NAN), *others])})


class HarnessExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [HarnessNaN, HarnessNaNLatent]


async def comfy_entrypoint() -> HarnessExtension:
    return HarnessExtension()
