"""The seam: a UniAVGen model as an ordinary ComfyUI MODEL.

Every import of `comfy` is here and in the other files of this folder whose names begin with `comfy_`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

import comfy.conds
import comfy.latent_formats
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
from ..uniavgen_core.captions import caption_frames, check_changes, encode_captions
from ..uniavgen_core.config import MEMORY_WIDTH, SPATIAL_COMPRESSION, ModelSizes, clip_seconds
from ..uniavgen_core.joint_latent import (
    check_finite,
    check_room,
    check_shapes,
    denormalise_mel,
    kept_of,
    normalise_mel,
    sounding_frames,
    tokens_of_frames,
    whole_masks,
)
from ..uniavgen_core.model.joint_dit import JointDiT
from ..uniavgen_core.model.plan import Plans
from ..uniavgen_core.sampling.guidance import NO_BLOCK
from ..uniavgen_core.sampling.schedule import DEFAULT_SHIFT, TIMESTEPS
from ..uniavgen_core.tasks import KeptParts, NoisedAreas, Switches, kept_prefix, noised_areas, put_back, task_switches
from .comfy_patches import REPORT, ComfyHooks, PatchReport, connected, usable_options, warn_of_unread

PLANS = "uniavgen_plans"
"""The run's plans in `transformer_options`."""

SYMBOLS = "uniavgen_symbols"
"""Conditioning value: speech symbols (1, S), int64."""
REFERENCE_IMAGE = "uniavgen_reference_image"
"""Conditioning value: picture latent (1, 48, 1, h, w), as the VAE gives it; without it, the clip's first frame."""
REFERENCE_AUDIO = "uniavgen_reference_audio"
"""Conditioning value: natural log-mel (1, R, 80) of the reference voice."""
TRANSCRIPT = "uniavgen_transcript"
"""Conditioning value: what the reference voice says, as `speech.reader.Spoken.text` has it."""
READER = "uniavgen_reader"
"""Conditioning value: the run's `SpeechReader`, with the dictionaries that it has loaded."""
LANGUAGE = "uniavgen_language"
"""Conditioning value: the language that is set for the speech."""
CAPTION_CHANGES = "uniavgen_caption_changes"
"""Conditioning value: `captions.CaptionChange` in order of time, behind the caption that the conditioning itself is."""
SPEECH_SECONDS = "uniavgen_speech_seconds"
"""Conditioning value: how long the words take, 0 where nothing is said. Without it, the words were fitted before."""
PACE = "uniavgen_pace"
"""Conditioning value: how fast the voice is, against the usual rate."""
SKIP_BLOCK = "uniavgen_skip_block"
"""Conditioning value: the block that this pass leaves out."""
AUDIO_TO_VIDEO = "uniavgen_audio_to_video"
VIDEO_TO_AUDIO = "uniavgen_video_to_audio"
"""Conditioning values: True or False overrides what the task says."""


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


class ComfyJointDiT(JointDiT):
    """The joint model as ComfyUI's BaseModel makes and calls it."""

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__(sizes, comfy_operations(operations), device, dtype)

    def forward(  # type: ignore[override]  # ComfyUI's convention
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
        executor = WrapperExecutor.new_class_executor(self._forward, self, wrappers)
        # EasyCache adds to its input in place; in float32 that would be the latent that is being sampled.
        x = [part.clone() for part in x] if wrappers else x
        return executor.execute(x, timestep, context, transformer_options, **conds)

    def _forward(
        self, x: list[Tensor], timestep: Tensor, context: Tensor, transformer_options: dict[str, Any], **conds: Any
    ) -> list[Tensor]:
        conds["switches"] = connected(conds["switches"], transformer_options)
        hooks = ComfyHooks(transformer_options, self.sizes, x[0])
        plans = transformer_options.get(PLANS)
        return super().forward(x, timestep, context, plans=plans, options=hooks.options, hooks=hooks, **conds)


class UniAVGenConfig(comfy.supported_models_base.BASE):
    """What ComfyUI asks of a model's kind."""

    unet_extra_config: dict[str, Any] = {}
    latent_format = comfy.latent_formats.Wan22
    sampling_settings = {"shift": DEFAULT_SHIFT, "multiplier": TIMESTEPS}
    # Not float16: the aligners read the residual stream as it is, which may be beyond that type's range.
    supported_inference_dtypes = [torch.bfloat16, torch.float32]

    def __init__(self, sizes: ModelSizes, trained_with_masks: bool = False):
        super().__init__({"sizes": sizes})
        self.trained_with_masks = trained_with_masks
        # ComfyUI's Wan models reserve in proportion to their width.
        self.memory_usage_factor = sizes.video_width / MEMORY_WIDTH

    def get_model(self, state_dict: dict[str, Tensor], prefix: str = "", device: Any = None) -> UniAVGenModel:
        return UniAVGenModel(self, device)


class UniAVGenModel(comfy.model_base.BaseModel):
    """The joint model with what ComfyUI does around it: conditions, latents, memory."""

    def __init__(self, model_config: UniAVGenConfig, device: Any = None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device, unet_model=ComfyJointDiT)
        self.latent_shapes: list[tuple[int, ...]] | None = None
        self.trained_with_masks = model_config.trained_with_masks
        self.areas: NoisedAreas | None = None
        self.latent_format.latent_rgb_factors_reshape = _video_stream(weakref.ref(self))

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
        return self._per_stream(latent, self.latent_format.process_in, normalise_mel)

    def process_latent_out(self, latent: Any) -> Any:
        return self._per_stream(latent, self.latent_format.process_out, denormalise_mel)

    def apply_model(self, *args: Any, transformer_options: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        options = usable_options(transformer_options or {}, self.diffusion_model.sizes.blocks)
        return super().apply_model(*args, transformer_options=options, **kwargs)

    def scale_latent_inpaint(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, **kwargs: Any) -> Tensor:
        """What is kept, as a step sees it: of the packed latent (batch, 1, values)."""
        return latent_image if self.areas is None else self.areas.at(sigma.view(-1, 1, 1), latent_image)

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        shapes = kwargs["latent_shapes"]
        kept = _kept(kwargs.get("denoise_mask"), shapes)
        kept = kept if self.trained_with_masks else kept.of_whole_frames
        reference_audio = kwargs.get(REFERENCE_AUDIO)
        out = self._text_conds(kwargs)
        out["reference_image"] = comfy.conds.CONDRegular(self._reference_image(kwargs, shapes[0]))
        if reference_audio is not None:
            out["reference_audio"] = comfy.conds.CONDRegular(normalise_mel(reference_audio))
        out["switches"] = comfy.conds.CONDConstant(_switches(kwargs, kept))
        out["kept"] = comfy.conds.CONDConstant(kept)
        out["latent_shapes"] = comfy.conds.CONDConstant(shapes)
        return out

    def _text_conds(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Features of caption and speech, once a run."""
        caption, symbols = kwargs["cross_attn"], kwargs.get(SYMBOLS)
        if symbols is None:
            raise ValueError(
                "The conditioning holds no speech: put the node 'UniAVGen Conditioning' between the captions and the "
                "sampler."
            )
        changes = kwargs.get(CAPTION_CHANGES, ())
        for rows in (caption, *(change.rows for change in changes)):
            self._check_width(rows)
        device, dtype = kwargs["device"], self.get_dtype_inference()
        model = self.diffusion_model
        features = {
            "c_crossattn": encode_captions(model.encode_caption, caption.to(device, dtype), changes),
            "speech_features": model.encode_speech(symbols.to(device), dtype),
        }
        out: dict[str, Any] = {name: comfy.conds.CONDRegular(rows) for name, rows in features.items()}
        frames = caption_frames(changes, kwargs["latent_shapes"][0][2])
        return out if frames is None else out | {"caption_frames": comfy.conds.CONDConstant(frames)}

    def _check_width(self, caption: Tensor) -> None:
        wanted = self.diffusion_model.sizes.text_width
        if caption.shape[-1] != wanted:
            raise ValueError(
                f"The caption encoder gives rows of width {caption.shape[-1]}, but this model reads {wanted}: load "
                f"the one that it was trained with (for the released model: umT5-XXL in CLIPLoader, type 'wan')."
            )

    def _reference_image(self, kwargs: dict[str, Any], video_shape: Sequence[int]) -> Tensor:
        image = kwargs[REFERENCE_IMAGE]
        if tuple(image.shape[-2:]) != tuple(video_shape[-2:]):
            raise ValueError(
                f"The reference picture is of {_pixels(image.shape)}, but the latent to sample is of "
                f"{_pixels(video_shape)}: connect the same LATENT to 'UniAVGen Reference Picture' and to the sampler."
            )
        return self.latent_format.process_in(image.to(kwargs["device"]))

    def memory_required(self, input_shape: Sequence[int], cond_shapes: dict[str, Any] | None = None) -> float:
        """The packed latent counts channels as positions; ComfyUI's estimate is made for positions only."""
        channels = self.diffusion_model.sizes.latent_channels
        return super().memory_required([input_shape[0], 1, input_shape[-1] / channels], cond_shapes or {})

    def map_context_window_to_modalities(
        self, primary_indices: list[int], latent_shapes: list[Sequence[int]], dim: int
    ) -> list[list[int]]:
        frames, tokens = latent_shapes[0][dim], latent_shapes[1][dim]
        return [primary_indices, tokens_of_frames(primary_indices, frames, tokens)]

    def resize_cond_for_context_window(
        self, cond_key: str, cond_value: Any, window: Any, x_in: Tensor, device: Any, retain_index_list: Any = ()
    ) -> Any:
        if cond_key == "caption_frames":
            return cond_value._copy_with(_in_window(cond_value.cond, window))
        if cond_key != "kept":
            return cond_value
        kept = cond_value.cond
        return cond_value._copy_with(
            KeptParts(_in_window(kept.video, window), _in_window(kept.audio, window.modality_windows[1]))
        )


Item = TypeVar("Item")


def _in_window(items: tuple[Item, ...], window: Any) -> tuple[Item, ...]:
    """Those of the frames' or tokens' items that a context window takes."""
    indices = window.get_tensor(torch.arange(len(items)).view(1, 1, -1), dim=2).flatten().tolist()
    return tuple(items[index] for index in indices)


def _kept(mask: Tensor | None, shapes: Sequence[Sequence[int]]) -> KeptParts:
    """What the packed noise mask of a run keeps."""
    if mask is None:
        return kept_prefix(shapes[0][2], shapes[1][2])
    return kept_of(comfy.utils.unpack_latents(mask, shapes))


def _video_stream(model: weakref.ref[UniAVGenModel]) -> Callable[[Tensor], Tensor]:
    """What the previewer shows, also where it gets the packed latent; it must not keep the model in memory."""

    def reshape(latent: Tensor) -> Tensor:
        sampled = model()
        if latent.ndim != 3 or sampled is None:
            return latent
        return comfy.utils.unpack_latents(latent, sampled.latent_shapes)[0]

    return reshape


def _pixels(latent_shape: Sequence[int]) -> str:
    height, width = (SPATIAL_COMPRESSION * size for size in latent_shape[-2:])
    return f"{width}×{height} pixels"


def _switches(kwargs: dict[str, Any], kept: KeptParts) -> Switches:
    """What the task says of this pass, unless the conditioning overrides it."""
    has_voice = kwargs.get(REFERENCE_AUDIO) is not None
    task = task_switches(kept, has_voice, kwargs["prompt_type"] == "negative", kwargs.get(SKIP_BLOCK, NO_BLOCK))
    return replace(
        task,
        audio_to_video=kwargs.get(AUDIO_TO_VIDEO, task.audio_to_video),
        video_to_audio=kwargs.get(VIDEO_TO_AUDIO, task.video_to_audio),
    )


def around_run(
    executor: Any,
    noise: Tensor,
    latent_image: Tensor,
    sampler: Any,
    sigmas: Tensor,
    denoise_mask: Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Around a whole run: tell the model the streams' shapes, share the plans, put the kept parts back exactly."""
    guider = executor.class_obj
    model = guider.model_patcher.model
    shapes = kwargs["latent_shapes"]
    check_shapes(shapes)
    check_finite("LATENT", latent_image)
    if denoise_mask is not None:
        masks = whole_masks(comfy.utils.unpack_latents(denoise_mask, shapes))
        denoise_mask = comfy.utils.pack_latents(masks)[0]
    kept = _kept(denoise_mask, shapes)
    _complete_conds(guider.conds, latent_image, kept, shapes)
    model.latent_shapes = shapes
    options = guider.model_options.setdefault("transformer_options", {})
    options[PLANS] = Plans()
    warn_of_unread(options.setdefault(REPORT, PatchReport()), guider.conds)
    model.areas = None if model.trained_with_masks else _packed_areas(kept, shapes, guider.model_patcher.load_device)
    try:
        samples = executor(noise, latent_image, sampler, sigmas, denoise_mask, *args, **kwargs)
    finally:
        model.areas = None
    given, generated = (comfy.utils.unpack_latents(x, shapes) for x in (latent_image.to(samples), samples))
    return comfy.utils.pack_latents(put_back(kept, given, generated))[0]


def _packed_areas(kept: KeptParts, shapes: Sequence[Sequence[int]], device: Any) -> NoisedAreas | None:
    """The areas of a packed latent (batch, 1, values)."""
    areas = noised_areas(kept, shapes[0])
    if areas is None:
        return None
    nothing = torch.zeros(1, *shapes[1][1:])
    where, noise = (
        comfy.utils.pack_latents([video, nothing.to(video)])[0].to(device)
        for video in (areas.where.expand_as(areas.noise), areas.noise)
    )
    return NoisedAreas(where, noise)


def _complete_conds(
    conds: dict[str, list[dict[str, Any]]], latent_image: Tensor, kept: KeptParts, shapes: Sequence[Sequence[int]]
) -> None:
    """Check the words against the clip, and let its first frame say who speaks where no picture does.

    Raises:
        ValueError: the words or the captions do not fit the clip, or what is given of it.
    """
    for cond in conds.get("positive", []):
        check_speech_fits(cond, clip_seconds(sounding_frames(shapes[1][2])), kept.all_audio)
    first_frame = _first_frame(comfy.utils.unpack_latents(latent_image, shapes)[0][:1], kept)
    for cond in chain.from_iterable(conds.values()):
        check_changes(cond.get(CAPTION_CHANGES, ()), shapes[0][2])
        cond.setdefault(REFERENCE_IMAGE, first_frame)


def _first_frame(video: Tensor, kept: KeptParts) -> Tensor:
    """The first latent frame (1, 48, 1, h, w) of a stream, or the first kept one where nothing is given there."""
    given = next((frame for frame, is_kept in enumerate(kept.whole_frames) if is_kept or video[:, :, frame].any()), 0)
    return video[:, :, given : given + 1]


def check_speech_fits(values: dict[str, Any], seconds: float, audio_is_kept: bool) -> None:
    """Refuse conditioning values whose words do not fit a clip of so many seconds.

    Raises:
        ValueError: there are no words or too many, or a voice is given for a sound that is there.
    """
    if SPEECH_SECONDS not in values:
        return
    if audio_is_kept and values.get(REFERENCE_AUDIO) is not None:
        raise ValueError(
            "This LATENT's sound is given, so no voice is generated that could follow the reference: disconnect "
            "reference_audio from UniAVGen Conditioning."
        )
    if not audio_is_kept and not values[SPEECH_SECONDS]:
        raise ValueError("The speech is empty: write what the person says into UniAVGen Conditioning.")
    check_room(values[SPEECH_SECONDS], seconds, values[PACE])


def sizes_of(model: Any) -> ModelSizes:
    """Sizes of a MODEL.

    Raises:
        ValueError: it is another model.
    """
    if not isinstance(model.model, UniAVGenModel):
        raise ValueError("This MODEL is not UniAVGen: connect the one of 'UniAVGen Model Loader'.")
    return model.model.diffusion_model.sizes
