"""Modality-aware guidance as a ComfyUI guider."""

from __future__ import annotations

import copy
import math
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import comfy.samplers
import comfy.utils
import torch
from comfy_extras.nodes_custom_sampler import DisableNoise, Noise_RandomNoise, SamplerCustomAdvanced
from torch import Tensor

from ..uniavgen_core.sampling.guidance import (
    AUTO_BLOCK,
    NO_BLOCK,
    Guidance,
    guide,
    resolve_skip_block,
    sigma_after,
)
from .comfy_joint import AUDIO_TO_VIDEO, SKIP_BLOCK, VIDEO_TO_AUDIO, joint_model
from .comfy_progress import warn

SAMPLER_NAMES: list[str] = comfy.samplers.SAMPLER_NAMES
SWITCH = {"auto": None, "on": True, "off": False}
ROUNDING = 1e-6
"""More than the fraction of a noise level that is lost in float32."""
CFGFunction = Callable[[dict[str, Any]], Tensor]


class ModalityAwareGuider(comfy.samplers.CFGGuider):
    """Guidance with a scale for each stream, whose negative pass is unimodal in the first steps."""

    conds: dict[str, list[dict[str, Any]]]

    def __init__(self, model_patcher: Any, guidance: Guidance, full_sigmas: Tensor | None = None):
        super().__init__(model_patcher)
        self.guidance = guidance
        self.full_sigmas = full_sigmas
        self.set_cfg(guidance.video_scale)

    def inner_sample(
        self, noise: Tensor, latent_image: Tensor, device: Any, sampler: Any, sigmas: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        self.shapes = kwargs["latent_shapes"]
        self.start_sigma, self.end_sigma = self._start_sigma(sigmas), self._end_sigma(sigmas)
        self.conds = dict(self.conds, negative=self._windowed(self.conds["negative"], sigmas))
        return super().inner_sample(noise, latent_image, device, sampler, sigmas, *args, **kwargs)

    def _windowed(self, negative: list[dict[str, Any]], sigmas: Tensor) -> list[dict[str, Any]]:
        """Each negative cond twice: unimodal in the first steps, as it is in the later ones."""
        edge = self._sigma_after(self.guidance.unimodal_end_percent, sigmas)
        if edge is None:
            return negative
        unimodal = {AUDIO_TO_VIDEO: False, VIDEO_TO_AUDIO: False}
        # Neighbours in float32, so that each of the solver's noise levels is in just one of both windows.
        last = torch.tensor(edge)
        first = torch.nextafter(last, torch.zeros(()))
        return [
            *(self._bounded(dict(cond, **unimodal), math.inf, float(last)) for cond in negative),
            *(self._bounded(cond, float(first), 0.0) for cond in negative),
        ]

    def _sigma_after(self, end_percent: float, sigmas: Tensor) -> float | None:
        """The noise level where a window of the steps ends, from the full schedule where it is known.

        A step that begins there is a later one.
        """
        sampling = self.inner_model.model_sampling
        if self.full_sigmas is None and (sigmas[0] < sampling.sigma_max or sigmas[-1] > 0):
            return float(sampling.percent_to_sigma(end_percent)) * (1 + ROUNDING) if end_percent else None
        full = sigmas if self.full_sigmas is None else self.full_sigmas
        return sigma_after(full.tolist(), end_percent)

    def _start_sigma(self, sigmas: Tensor) -> float:
        """The noise level above which there is no guidance."""
        start = self._sigma_after(self.guidance.start_percent, sigmas)
        return math.inf if start is None else start

    def _end_sigma(self, sigmas: Tensor) -> float:
        """The noise level below which there is no guidance."""
        if self.guidance.end_percent >= 1:
            return 0.0
        end = self._sigma_after(self.guidance.end_percent, sigmas)
        return math.inf if end is None else end

    def _bounded(self, cond: dict[str, Any], start: float, end: float) -> dict[str, Any]:
        """The cond between two noise levels, and within the window that a user gave it."""
        cond = dict(cond, uuid=uuid.uuid4())
        sampling = self.inner_model.model_sampling
        own_start = sampling.percent_to_sigma(cond.pop("start_percent", 0.0))
        own_end = sampling.percent_to_sigma(cond.pop("end_percent", 1.0))
        return dict(
            cond,
            timestep_start=min(start, own_start if own_start < 1 else math.inf, cond.get("timestep_start", math.inf)),
            timestep_end=max(end, own_end, cond.get("timestep_end", 0.0)),
        )

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
    ) -> Tensor:
        model_options = model_options or {}
        scales = self._scales(timestep)
        guide_streams = self._per_stream(scales, model_options.get("sampler_cfg_function"))
        options = dict(model_options, sampler_cfg_function=guide_streams)
        if any(not math.isclose(scale, 1.0) for scale in scales):
            options["disable_cfg1_optimization"] = True
        elif not options.get("disable_cfg1_optimization"):
            # They would take the zeros in place of a negative estimate for one.
            options["sampler_pre_cfg_function"] = []
        return comfy.samplers.sampling_function(
            self.inner_model, x, timestep, self.conds["negative"], self.conds["positive"], scales[0],
            model_options=options, seed=seed,
        )  # fmt: skip

    def _scales(self, timestep: Tensor) -> tuple[float, float]:
        """Scales of both streams at a noise level; ComfyUI runs no negative pass where both are 1."""
        if not self.end_sigma <= timestep[0] <= self.start_sigma:
            return 1.0, 1.0
        return self.guidance.video_scale, self.guidance.audio_scale

    def _per_stream(self, scales: tuple[float, float], user_function: CFGFunction | None) -> CFGFunction:
        """A CFG function that guides each stream by its own scale, through the user's function where there is one."""
        keys = ("cond", "uncond", "input", "cond_denoised", "uncond_denoised")

        def guide_streams(args: dict[str, Any]) -> Tensor:
            streams = {key: comfy.utils.unpack_latents(args[key], self.shapes) for key in keys}
            guided = []
            for index, scale in enumerate(scales):
                own = dict(args, cond_scale=scale, **{key: streams[key][index] for key in keys})
                guided.append(user_function(own) if user_function else guide(own["cond"], own["uncond"], scale))
            return comfy.utils.pack_latents(guided)[0]

        return guide_streams


def make_guider(
    model: Any,
    positive: list,
    negative: list,
    guidance: Guidance,
    audio_to_video: str = "auto",
    video_to_audio: str = "auto",
    full_sigmas: Tensor | None = None,
) -> ModalityAwareGuider:
    """A guider with its conds; the switches are "auto" (as the task says), "on" or "off"."""
    joint = joint_model(model)
    switches = {AUDIO_TO_VIDEO: SWITCH[audio_to_video], VIDEO_TO_AUDIO: SWITCH[video_to_audio]}
    forced = {key: value for key, value in switches.items() if value is not None}
    if joint.has_switches:
        blocks = joint.diffusion_model.sizes.blocks
        skipped = {SKIP_BLOCK: resolve_skip_block(guidance.skip_block, blocks)}
    else:
        _warn_of_idle_switches(joint.name, guidance, audio_to_video, video_to_audio)
        forced, skipped, guidance = {}, {}, replace(guidance, unimodal_end_percent=0.0)
    guider = ModalityAwareGuider(model, guidance, full_sigmas)
    guider.set_conds(
        [[rows, {**values, **forced}] for rows, values in positive],
        [[rows, {**values, **forced, **skipped}] for rows, values in negative],
    )
    return guider


def _warn_of_idle_switches(model: str, guidance: Guidance, audio_to_video: str, video_to_audio: str) -> None:
    """Name what a user set that a model without switches has no use for."""
    usual = Guidance()
    idle = {
        "skip_block": guidance.skip_block not in (AUTO_BLOCK, NO_BLOCK),
        "unimodal_end_percent": guidance.unimodal_end_percent not in (usual.unimodal_end_percent, 0.0),
        "audio_to_video": SWITCH[audio_to_video] is not None,
        "video_to_audio": SWITCH[video_to_audio] is not None,
    }
    names = ", ".join(name for name, is_idle in idle.items() if is_idle)
    if names:
        warn("UniAVGen Guider", [f"{model} has none of these switches, so that they change nothing: {names}."])


def sample_steps(
    guider: Any, seed: int | None, sampler: Any, sigmas: Tensor, latent: dict, start: int = 0, end: int | None = None
) -> tuple[dict, dict]:
    """Steps of a schedule, as SamplerCustomAdvanced does them: the LATENT after these, and the clip expected then.

    Args:
        seed: of the noise; None adds none, as the LATENT is of the steps before.
        sampler: a SAMPLER, or the name of one.
        start, end: the first step, and the one behind the last; None is the schedule's end.
    """
    if isinstance(guider, ModalityAwareGuider) and guider.full_sigmas is None:
        guider = copy.copy(guider)
        guider.full_sigmas = sigmas
    if isinstance(sampler, str):
        sampler = comfy.samplers.sampler_object(sampler)
    noise = DisableNoise().execute()[0] if seed is None else Noise_RandomNoise(seed)
    part = sigmas[start:] if end is None else sigmas[start : end + 1]
    out = SamplerCustomAdvanced.execute(noise, guider, sampler, part, latent)
    return out[0], out[1]
