"""A pack of nodes for the tests: values that are no numbers, a device with little memory, tensors that are held."""

from __future__ import annotations

import gc
from typing import Any

import torch
from comfy_api.latest import ComfyExtension, io

from comfy.nested_tensor import NestedTensor

from .small_ace import WordRows, small_ace_vae

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


class HarnessSmallMemory(io.ComfyNode):
    """A MODEL on a device whose memory ends where its attention sees more tokens than it may."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessSmallMemory",
            category="harness",
            inputs=[io.Model.Input("model"), io.Int.Input("most_tokens")],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model: Any, most_tokens: int) -> io.NodeOutput:
        def attention(function: Any, q: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
            if q.shape[1] > most_tokens:
                # As PyTorch's allocator on a graphics card does.
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
            return function(q, *args, **options)

        patched = model.clone()
        patched.model_options["transformer_options"]["optimized_attention_override"] = attention
        return io.NodeOutput(patched)


class HarnessAceStep(io.ComfyNode):
    """What Load Checkpoint gives of ACE-Step, but for the MODEL: at small size."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        outputs = [io.Model.Output(), io.Clip.Output(), io.Vae.Output()]
        return io.Schema(node_id="HarnessAceStep", category="harness", outputs=outputs)

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(None, WordRows(), small_ace_vae())


class HarnessTensorBytes(io.ComfyNode):
    """How many bytes of tensors this process holds, as text; `run` is another number for each look."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessTensorBytes",
            category="harness",
            inputs=[io.Int.Input("run")],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, run: int) -> io.NodeOutput:
        gc.collect()
        tensors = [each for each in gc.get_objects() if type(each) is torch.Tensor and each.device.type == "cpu"]
        storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
        return io.NodeOutput(str(sum(storages.values())))


class HarnessExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [HarnessNaN, HarnessNaNLatent, HarnessSmallMemory, HarnessAceStep, HarnessTensorBytes]


async def comfy_entrypoint() -> HarnessExtension:
    return HarnessExtension()
