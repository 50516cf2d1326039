"""A drawn portrait for the small model."""

from __future__ import annotations

from comfy_api.latest import io

from ..uniavgen_core.tiny.drawing import PORTRAIT_SEED, draw_portrait
from ..uniavgen_core.tiny.world import KINDS


class TinyPortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenTinyPortrait",
            display_name="UniAVGen Tiny Portrait",
            category="image",
            description="Draws a person of the small model's world, at rest, 128 × 128 pixels: a portrait that the "
            "small model understands.",
            search_aliases=["uniavgen drawn person", "test portrait"],
            inputs=[
                io.Combo.Input(
                    "kind",
                    options=list(KINDS),
                    default="woman",
                    tooltip="Who it is. The small model gives each kind a voice of its own.",
                ),
                io.Int.Input(
                    "person",
                    default=PORTRAIT_SEED,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    tooltip="A number for each person: skin, hair, glasses, clothes and background follow from it.",
                ),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, kind: str, person: int) -> io.NodeOutput:
        return io.NodeOutput(draw_portrait(person, kind))
