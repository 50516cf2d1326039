"""What all joint models share as ComfyUI MODELs: layers, latents of two streams, previews, and what is around a run.

A joint model is a `JointConfig` and a `JointModel` of its own, and a `HostedDiT`: its diffusion model with `run`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import comfy.ldm.flux.math
import comfy.model_base
import comfy.model_management
import comfy.nested_tensor
import comfy.ops
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from torch import Tensor

from ..uniavgen_core.backend import torch_operations
from ..uniavgen_core.config import MEMORY_WIDTH
from ..uniavgen_core.joint_latent import check_finite
from ..uniavgen_core.tasks import NoisedAreas
from .comfy_patches import usable_options

SHAPES = Sequence[Sequence[int]]
"""Of both streams."""

SKIP_BLOCK = "uniavgen_skip_block"
"""Conditioning value of a guider: the block that this pass leaves out."""
AUDIO_TO_VIDEO = "uniavgen_audio_to_video"
VIDEO_TO_AUDIO = "uniavgen_video_to_audio"
"""Conditioning values of a guider: True or False overrides what the task says."""


def comfy_operations(operations: Any) -> type:
    """ComfyUI's layers, attention and kernels in the form that the core asks for."""

    class FastFp8Linear(operations.Linear):
        def forward(self, input: Tensor) -> Tensor:
            # ComfyUI's fp8 product takes up to three dimensions, and clamps its input in place.
            return super().forward(input.flatten(1, -2).clone()).unflatten(1, input.shape[1:-1])

    class ComfyOperations(operations):
        Linear = FastFp8Linear if issubclass(operations, comfy.ops.fp8_ops) else operations.Linear

        class Float32Linear(operations.Linear):
            def forward(self, input: Tensor) -> Tensor:
                comfy.ops.run_every_op()
                weight, bias, stream = comfy.ops.cast_bias_weight(self, input, offloadable=True)
                output = torch.nn.functional.linear(input, weight, bias)
                comfy.ops.uncast_bias_weight(self, weight, bias, stream)
                return output

        @staticmethod
        def cast(parameter: Tensor, like: Tensor) -> Tensor:
            return comfy.model_management.cast_to(parameter, like.dtype, like.device)

        @staticmethod
        def sinusoid(timestep: Tensor) -> Tensor:
            if comfy.model_management.supports_fp64(timestep.device):
                return torch_operations.sinusoid(timestep)
            return torch_operations.sinusoid(timestep.cpu()).to(timestep.device)

        @staticmethod
        def rotate(x: Tensor, table: Tensor) -> Tensor:
            return comfy.ldm.flux.math.apply_rope1(x, table)

        @staticmethod
        def attention(
            q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, options: dict | None = None
        ) -> Tensor:
            return optimized_attention(q, k, v, heads, mask=mask, transformer_options=options)

    return ComfyOperations


class HostedDiT:
    """A diffusion model whose forward is called by ComfyUI; before the core's model in the list of bases."""

    def forward(
        self,
        x: list[Tensor],
        timestep: Tensor,
        context: Tensor,
        control: Any = None,
        *,
        transformer_options: dict[str, Any],
        **conds: Any,
    ) -> list[Tensor]:
        wrappers = get_all_wrappers(WrappersMP.DIFFUSION_MODEL, transformer_options)
        executor = WrapperExecutor.new_class_executor(self.run, self, wrappers)
        # EasyCache adds to its input in place; in float32 that would be the latent that is being sampled.
        x = [part.clone() for part in x] if wrappers else x
        return executor.execute(x, timestep, context, transformer_options, **conds)

    def run(
        self, x: list[Tensor], timestep: Tensor, context: Tensor, transformer_options: dict[str, Any], **conds: Any
    ) -> list[Tensor]:
        """The core's forward, with the host's options."""
        raise NotImplementedError


class JointConfig(comfy.supported_models_base.BASE):
    """What ComfyUI asks of a joint model's kind."""

    unet_extra_config: dict[str, Any] = {}
    # Not float16: what the blocks hand on may be beyond that type's range.
    supported_inference_dtypes = [torch.bfloat16, torch.float32]

    def __init__(self, sizes: Any, trained_with_masks: bool = False):
        super().__init__({"sizes": sizes})
        self.trained_with_masks = trained_with_masks
        # ComfyUI's Wan models reserve in proportion to their width.
        self.memory_usage_factor = sizes.video_width / MEMORY_WIDTH


class JointModel(comfy.model_base.BaseModel):
    """A joint model with what ComfyUI does around it."""

    name: str
    """As users know it."""
    has_switches: bool
    """Whether a pass can leave out a block or a direction of the interaction, as a guider asks for it."""

    def __init__(self, model_config: JointConfig, device: Any, diffusion_model: type):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device, unet_model=diffusion_model)
        self.latent_shapes: SHAPES | None = None
        self.areas: NoisedAreas | None = None
        """What of the packed latent is kept but noised to each step, set by `begin_run`."""
        self.latent_format.latent_rgb_factors_reshape = _video_stream(weakref.ref(self))

    def audio_in(self, audio: Tensor) -> Tensor:
        """An audio stream as the model works on it."""
        return audio

    def audio_out(self, audio: Tensor) -> Tensor:
        """An audio stream as its codec takes it."""
        return audio

    def check_latent(self, shapes: SHAPES) -> None:
        """Refuse a LATENT whose streams are not this model's, with a ValueError."""
        raise NotImplementedError

    def usable_mask(self, mask: Tensor | None, shapes: SHAPES) -> Tensor | None:
        """The packed noise mask of a run as the model takes it."""
        return mask

    def begin_run(self, guider: Any, latent_image: Tensor, mask: Tensor | None, shapes: SHAPES) -> None:
        """Check and complete what the guider's passes are given, and the options of the run."""

    def end_run(self) -> None:
        """Let go of what was made for the run."""
        self.areas = None

    def scale_latent_inpaint(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, **kwargs: Any) -> Tensor:
        """What is kept, as a step sees it: of the packed latent (batch, 1, values)."""
        return latent_image if self.areas is None else self.areas.at(sigma.view(-1, 1, 1), latent_image)

    def _per_stream(
        self, latent: Any, video_function: Callable[[Tensor], Tensor], audio_function: Callable[[Tensor], Tensor]
    ) -> Any:
        if getattr(latent, "is_nested", False):
            video, audio = latent.unbind()
            return comfy.nested_tensor.NestedTensor([video_function(video), audio_function(audio)])
        if latent.ndim == 5:
            return video_function(latent)
        video, audio = comfy.utils.unpack_latents(latent, self.latent_shapes)
        return comfy.utils.pack_latents([video_function(video), audio_function(audio)])[0]

    def process_latent_in(self, latent: Any) -> Any:
        return self._per_stream(latent, self.latent_format.process_in, self.audio_in)

    def process_latent_out(self, latent: Any) -> Any:
        return self._per_stream(latent, self.latent_format.process_out, self.audio_out)

    def apply_model(self, *args: Any, transformer_options: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        options = usable_options(transformer_options or {}, self.diffusion_model.sizes.blocks)
        return super().apply_model(*args, transformer_options=options, **kwargs)

    def memory_required(self, input_shape: Sequence[int], cond_shapes: dict[str, Any] | None = None) -> float:
        """The packed latent counts channels as positions; ComfyUI's estimate is made for positions only."""
        channels = self.diffusion_model.sizes.latent_channels
        return super().memory_required([input_shape[0], 1, input_shape[-1] / channels], cond_shapes or {})


def _video_stream(model: weakref.ref[JointModel]) -> Callable[[Tensor], Tensor]:
    """What the previewer shows, also where it gets the packed latent; it must not keep the model in memory."""

    def reshape(latent: Tensor) -> Tensor:
        sampled = model()
        if latent.ndim != 3 or sampled is None:
            return latent
        return comfy.utils.unpack_latents(latent, sampled.latent_shapes)[0]

    return reshape


def joint_model(patcher: Any) -> JointModel:
    """The joint model in a MODEL.

    Raises:
        ValueError: it is another model.
    """
    if not isinstance(patcher.model, JointModel):
        raise ValueError(
            "This MODEL is not one that makes picture and sound together: connect the one of 'UniAVGen Model Loader'."
        )
    return patcher.model


def around_joint_run(
    executor: Any,
    noise: Tensor,
    latent_image: Tensor,
    sampler: Any,
    sigmas: Tensor,
    denoise_mask: Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Around a whole run: check the LATENT, tell the model the streams' shapes, put the kept parts back exactly."""
    guider = executor.class_obj
    model, shapes = guider.model_patcher.model, kwargs["latent_shapes"]
    model.check_latent(shapes)
    check_finite("LATENT", latent_image)
    denoise_mask = model.usable_mask(denoise_mask, shapes)
    model.latent_shapes = shapes
    try:
        model.begin_run(guider, latent_image, denoise_mask, shapes)
        samples = executor(noise, latent_image, sampler, sigmas, denoise_mask, *args, **kwargs)
    finally:
        model.end_run()
    if denoise_mask is None:
        return samples
    return torch.where(denoise_mask.to(samples.device) == 0, latent_image.to(samples), samples)
