"""Nodes that say who speaks, and that show what the model takes for the face."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.checks import check_images
from ..uniavgen_core.face.map import FaceMap, overlay
from ..uniavgen_core.face.steering import (
    COMBINATIONS,
    check_layers,
    parse_numbers,
)
from ..uniavgen_core.joint_latent import check_shapes
from ..uniavgen_core.media.images import to_rgb
from .comfy_face import SampledClip, guide_faces, with_face_patch
from .comfy_latent import streams
from .comfy_model import sizes_of
from .inputs import frame_rate_input
from .media import check_masks

FACE_MAP = io.Custom("UNIAVGEN_FACE_MAP")


def _layers_input() -> io.String.Input:
    return io.String.Input(
        "layers",
        default="all",
        advanced=True,
        tooltip="Interactions between picture and sound: all, or numbers from 0, such as 0, 3-5. The released model "
        "has 15.",
    )


class FaceGuidanceNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenFaceGuidance",
            display_name="UniAVGen Face Guidance",
            category="model/patch",
            description="Tells the model where the speaking face is: of two people, only the masked one speaks; hands "
            "are kept out; faces that the model misses, such as drawings, are found.",
            search_aliases=["uniavgen speaker mask", "who speaks", "lip sync mask"],
            inputs=[
                io.Model.Input("model"),
                io.Mask.Input(
                    "mask", tooltip="White where the speaking face is: one for all of the clip, or one a frame."
                ),
                frame_rate_input(),
                io.Combo.Input(
                    "operation",
                    options=list(COMBINATIONS),
                    tooltip="replace: the mask takes the place of the model's own. multiply: only what is in both. "
                    "at_least: what is in either.",
                ),
                io.Float.Input("strength", default=1.0, min=0.0, max=1.0, step=0.01, tooltip="0 changes nothing."),
                _layers_input(),
                io.Float.Input("start_percent", default=0.0, min=0.0, max=1.0, step=0.001, advanced=True),
                io.Float.Input("end_percent", default=1.0, min=0.0, max=1.0, step=0.001, advanced=True),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        mask: Tensor,
        frame_rate: float,
        operation: str,
        strength: float,
        layers: str,
        start_percent: float,
        end_percent: float,
    ) -> io.NodeOutput:
        chosen, mask = parse_numbers("layers", layers), check_masks("mask", mask)
        guided = guide_faces(model, mask, frame_rate, operation, strength, chosen, start_percent, end_percent)
        return io.NodeOutput(guided if strength else model)


class FaceMapCapture(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenFaceMapCapture",
            display_name="UniAVGen Face Map Capture",
            category="model/patch",
            description="Keeps what the model takes for the face while it samples, for UniAVGen Face Map.",
            search_aliases=["uniavgen attention map"],
            inputs=[
                io.Model.Input("model"),
                _layers_input(),
                io.String.Input(
                    "steps",
                    default="all",
                    advanced=True,
                    tooltip="Steps to look at: all, or numbers from 0, such as 0-9. -1 is the last one.",
                ),
            ],
            outputs=[io.Model.Output(), FACE_MAP.Output(display_name="face_map")],
        )

    @classmethod
    def execute(cls, model: Any, layers: str, steps: str) -> io.NodeOutput:
        chosen = parse_numbers("layers", layers)
        check_layers(chosen, sizes_of(model).interactions)
        face_map = FaceMap(chosen, parse_numbers("steps", steps))

        def make_patch(clip: SampledClip) -> FaceMap:
            face_map.start(clip.frames, clip.rows, clip.columns)
            return face_map

        return io.NodeOutput(with_face_patch(model, make_patch), face_map)


class FaceMapNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenFaceMap",
            display_name="UniAVGen Face Map",
            category="image/mask",
            description="Shows what the model took for the face, over the clip's images and as a mask.",
            search_aliases=["uniavgen face overlay", "heat map"],
            inputs=[
                FACE_MAP.Input("face_map", tooltip="From UniAVGen Face Map Capture, through whose MODEL was sampled."),
                io.Latent.Input("latent", tooltip="From the sampler: the map is taken when it is done."),
                io.Image.Input("images", tooltip="From VAE Decode of the same LATENT."),
                io.Int.Input(
                    "layer",
                    default=-1,
                    min=-1,
                    max=999,
                    tooltip="One of the captured layers, or -1 for the mean of all.",
                ),
                io.Float.Input("opacity", default=0.5, min=0.0, max=1.0, step=0.01),
            ],
            outputs=[io.Image.Output(), io.Mask.Output()],
        )

    @classmethod
    def execute(
        cls, face_map: FaceMap, latent: dict[str, Any], images: Tensor, layer: int, opacity: float
    ) -> io.NodeOutput:
        parts = streams(latent)
        check_shapes([part.shape for part in parts])
        check_images("images", images)
        face_map.check_is_of(parts[0].shape[2])
        height, width = images.shape[1:3]
        mask = face_map.mask(height, width, None if layer < 0 else layer)
        return io.NodeOutput(overlay(to_rgb(images), mask.to(images.device), opacity), mask)
