"""Sampling with modality-aware guidance: as a node of its own, and as schedule and guider for the core's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.config import RELEASED_SIZES
from ..uniavgen_core.joint_latent import describe_clip
from ..uniavgen_core.sampling.guidance import AUTO_BLOCK, NO_BLOCK, RELEASED_SKIP_BLOCK, Guidance
from ..uniavgen_core.sampling.schedule import DEFAULT_SHIFT, DEFAULT_STEPS, RELEASED, SCHEDULES, SIMPLE, flow_sigmas
from .comfy_guider import SAMPLER_NAMES, SWITCH, ModalityAwareGuider, make_guider, sample_steps
from .comfy_progress import show_text
from .inputs import chosen, seed_input

RELEASED_SAMPLER = "euler"
AUTO = "auto"
"""The released schedule for the released solver, and one that suits all others."""


def schedule_inputs(schedules: Sequence[str], tooltip: str) -> list[io.Input]:
    """Inputs of a node that makes a schedule, one of these."""
    return [
        io.Int.Input("steps", default=DEFAULT_STEPS, min=1, max=1000),
        io.Float.Input(
            "shift",
            default=DEFAULT_SHIFT,
            min=0.01,
            max=100.0,
            step=0.01,
            advanced=True,
            tooltip="Moves the steps towards the noisy part. The released model uses 5.",
        ),
        io.Combo.Input("scheduler", options=list(schedules), advanced=True, tooltip=tooltip),
    ]


def guidance_inputs() -> list[io.Input]:
    """Inputs of a node that guides, which `_guider` reads."""
    default = Guidance()
    skip_block = [
        io.DynamicCombo.Option("auto", []),
        io.DynamicCombo.Option("none", []),
        io.DynamicCombo.Option("block", [io.Int.Input("index", default=RELEASED_SKIP_BLOCK, min=0, max=999)]),
    ]
    return [
        io.Float.Input(
            "video_scale", default=default.video_scale, min=0.0, max=30.0, step=0.1, tooltip="Guidance of the picture."
        ),
        io.Float.Input(
            "audio_scale", default=default.audio_scale, min=0.0, max=30.0, step=0.1, tooltip="Guidance of the sound."
        ),
        io.Float.Input(
            "unimodal_end_percent",
            default=default.unimodal_end_percent,
            min=0.0,
            max=1.0,
            step=0.01,
            advanced=True,
            tooltip="Where in the steps (0 to 1) modality-aware guidance ends. Until then, what picture and sound owe "
            "each other is strengthened. Later makes lips and emotion fit better, and the picture worse.",
        ),
        _switch_input("audio_to_video", "Whether the picture hears the sound."),
        _switch_input("video_to_audio", "Whether the sound sees the picture."),
        io.Float.Input(
            "end_percent",
            default=default.end_percent,
            min=0.0,
            max=1.0,
            step=0.01,
            advanced=True,
            tooltip="Where in the steps (0 to 1) all guidance ends. The later ones take one pass in place of two.",
        ),
        io.Float.Input(
            "start_percent",
            default=default.start_percent,
            min=0.0,
            max=1.0,
            step=0.01,
            advanced=True,
            tooltip="Where in the steps (0 to 1) all guidance begins. The earlier ones take one pass in place of two, "
            "and the clip stays closer to the portrait.",
        ),
        io.DynamicCombo.Input(
            "skip_block",
            options=skip_block,
            tooltip=f"The block that the negative pass leaves out. auto: block {RELEASED_SKIP_BLOCK} of "
            f"{RELEASED_SIZES.blocks}, or its like.",
        ),
    ]


def _switch_input(name: str, tooltip: str) -> io.Input:
    return io.Combo.Input(name, options=list(SWITCH), advanced=True, tooltip=f"{tooltip} auto: as the task wants.")


def _guider(
    model: Any, positive: list, negative: list, settings: dict[str, Any], full_sigmas: Tensor | None = None
) -> ModalityAwareGuider:
    """A guider with the settings that `guidance_inputs` ask for."""
    skip_block = chosen("skip_block", settings.get("skip_block"))
    choice = skip_block["skip_block"]
    block = skip_block["index"] if choice == "block" else {"auto": AUTO_BLOCK, "none": NO_BLOCK}[choice]
    names = ("video_scale", "audio_scale", "unimodal_end_percent", "end_percent", "start_percent")
    guidance = Guidance(**{name: settings[name] for name in names}, skip_block=block)
    switches = settings["audio_to_video"], settings["video_to_audio"]
    return make_guider(model, positive, negative, guidance, *switches, full_sigmas)


class Scheduler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenScheduler",
            display_name="UniAVGen Scheduler",
            category="model/sampling",
            description="The noise schedule of the released model, or one for few steps and other solvers.",
            search_aliases=["uniavgen sigmas"],
            inputs=schedule_inputs(
                SCHEDULES,
                "released: for Euler. simple: evenly down to 0, which multistep solvers (dpmpp_2m, uni_pc) need.",
            ),
            outputs=[io.Sigmas.Output()],
        )

    @classmethod
    def execute(cls, steps: int, shift: float, scheduler: str) -> io.NodeOutput:
        return io.NodeOutput(flow_sigmas(steps, shift, scheduler))


class Guider(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenGuider",
            display_name="UniAVGen Guider",
            category="model/sampling",
            description="Modality-aware guidance, for SamplerCustomAdvanced.",
            search_aliases=["ma-cfg", "modality-aware guidance"],
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                *guidance_inputs(),
                io.Sigmas.Input(
                    "full_sigmas",
                    optional=True,
                    tooltip="The whole schedule, where the sampler gets only a part of it: start_percent, "
                    "unimodal_end_percent and end_percent are counted in its steps.",
                ),
            ],
            outputs=[io.Guider.Output()],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: list,
        negative: list,
        full_sigmas: Tensor | None = None,
        **guidance: Any,
    ) -> io.NodeOutput:
        return io.NodeOutput(_guider(model, positive, negative, guidance, full_sigmas))


class Sampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSampler",
            display_name="UniAVGen Sampler",
            category="model/sampling",
            description="Samples picture and sound together: the schedule and the guidance of the released model in "
            "one node.",
            search_aliases=["uniavgen ksampler"],
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Latent.Input("latent_image"),
                seed_input("seed", control_after_generate=True),
                *schedule_inputs(
                    (AUTO, *SCHEDULES),
                    "auto: released for euler, simple for all other samplers.",
                ),
                io.Combo.Input("sampler_name", options=SAMPLER_NAMES, default=RELEASED_SAMPLER, advanced=True),
                *guidance_inputs(),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: list,
        negative: list,
        latent_image: dict[str, Any],
        seed: int,
        steps: int,
        shift: float,
        scheduler: str,
        sampler_name: str,
        **guidance: Any,
    ) -> io.NodeOutput:
        guider = _guider(model, positive, negative, guidance)
        if scheduler == AUTO:
            scheduler = RELEASED if sampler_name == RELEASED_SAMPLER else SIMPLE
        sigmas = flow_sigmas(steps, shift, scheduler)
        made, _ = sample_steps(guider, seed, sampler_name, sigmas, latent_image)
        show_text(describe_clip(*(stream.shape for stream in made["samples"].unbind())))
        return io.NodeOutput(made)
