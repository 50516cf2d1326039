"""UniPC, as UniVerse-1 is sampled, in the form of ComfyUI's SAMPLER."""

from __future__ import annotations

from typing import Any

import comfy.samplers
from torch import Tensor
from tqdm.auto import trange

from ..uniavgen_core.sampling.schedule import LEAST_NOISE
from ..uniavgen_core.sampling.uni_pc import Streams, sample_uni_pc


def uni_pc_sampler() -> comfy.samplers.KSAMPLER:
    """The SAMPLER; it takes noise levels that begin below 1."""
    return comfy.samplers.KSAMPLER(_sample)


def _sample(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Any = None,
    disable: bool | None = None,
) -> Tensor:
    if len(sigmas) < 2:
        return x
    # The release begins with noise alone. ComfyUI mixes as much of the LATENT in as the first level is below 1; it
    # is right where a run goes on from a noisy LATENT, which comes without noise.
    if sigmas[0] > 1 - LEAST_NOISE and model.noise.any():
        x = model.noise.to(x)
    levels = x.new_ones(x.shape[0])

    def denoise(streams: Streams, step: int) -> Streams:
        return [model(streams[0], sigmas[step] * levels, **(extra_args or {}))]

    with trange(len(sigmas) - 1, disable=disable) as bar:

        def after_step(step: int, streams: Streams, data: Streams) -> None:
            if callback is not None:
                callback(
                    {"x": streams[0], "i": step, "sigma": sigmas[step], "sigma_hat": sigmas[step], "denoised": data[0]}
                )
            bar.update()

        return sample_uni_pc(denoise, [x], sigmas.tolist(), after_step)[0]
