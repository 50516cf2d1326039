"""The seam: a UniAVGen model as an ordinary ComfyUI MODEL.

Every import of `comfy` is here and in the other files of this folder whose names begin with `comfy_`.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.ldm.flux.math
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.nested_tensor
import comfy.ops
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from torch import Tensor

from ..uniavgen_core import checkpoint
from ..uniavgen_core.audio.mel import denormalise_mel, normalise_mel
from ..uniavgen_core.backend import torch_operations
from ..uniavgen_core.checks import check_finite
from ..uniavgen_core.config import MEMORY_WIDTH, SPATIAL_COMPRESSION, ModelSizes, clip_seconds
from ..uniavgen_core.joint_latent import check_shapes, tokens_of_frames, whole_masks
from ..uniavgen_core.model.joint_dit import JointDiT, Switches
from ..uniavgen_core.model.plan import Plans
from ..uniavgen_core.recognition import empty_model
from ..uniavgen_core.sampling.schedule import DEFAULT_SHIFT, TIMESTEPS
from ..uniavgen_core.speech.duration import check_room
from ..uniavgen_core.tasks import directions
from .comfy_latent import kept_by
from .comfy_patches import REPORT, ComfyHooks, PatchReport, connected, usable_options, warn_of_unread

PLANS = "uniavgen_plans"
"""The run's plans in `transformer_options`."""

SPEECH = "uniavgen_speech"
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
SPEECH_SECONDS = "uniavgen_speech_seconds"
"""Conditioning value: how long the words take, 0 where nothing is said. Without it, the words were fitted before."""
PACE = "uniavgen_pace"
"""Conditioning value: how fast the voice is, against the usual rate."""
SKIP_BLOCK = "uniavgen_skip_block"
"""Conditioning value: the block that this pass leaves out."""
AUDIO_TO_VIDEO = "uniavgen_audio_to_video"
VIDEO_TO_AUDIO = "uniavgen_video_to_audio"
"""Conditioning values: True or False overrides what the task says."""

DEFAULT_DTYPE = "default"
"""Weights stay in the data type of the file."""
WEIGHT_DTYPES: dict[str, dict[str, Any]] = {
    DEFAULT_DTYPE: {},
    "fp8_e4m3fn": {"dtype": torch.float8_e4m3fn},
    "fp8_e4m3fn_fast": {"dtype": torch.float8_e4m3fn, "fp8_optimizations": True},
    "fp8_e5m2": {"dtype": torch.float8_e5m2},
}


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

    def __init__(self, sizes: ModelSizes):
        super().__init__({"sizes": sizes})
        # ComfyUI's Wan models reserve in proportion to their width.
        self.memory_usage_factor = sizes.video_width / MEMORY_WIDTH

    def get_model(self, state_dict: dict[str, Tensor], prefix: str = "", device: Any = None) -> UniAVGenModel:
        return UniAVGenModel(self, device)


class UniAVGenModel(comfy.model_base.BaseModel):
    """The joint model with what ComfyUI does around it: conditions, latents, memory."""

    def __init__(self, model_config: UniAVGenConfig, device: Any = None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device, unet_model=ComfyJointDiT)
        self.latent_shapes: list[tuple[int, ...]] | None = None
        self.latent_format.latent_rgb_factors_reshape = _picture_stream(weakref.ref(self))

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
        return latent_image

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        shapes = kwargs["latent_shapes"]
        kept_video, kept_audio = kept_by(kwargs.get("denoise_mask"), shapes)
        reference_audio = kwargs.get(REFERENCE_AUDIO)
        out = self._text_conds(kwargs)
        out["reference_image"] = comfy.conds.CONDRegular(self._reference_image(kwargs, shapes[0]))
        if reference_audio is not None:
            out["reference_audio"] = comfy.conds.CONDRegular(normalise_mel(reference_audio))
        out["switches"] = comfy.conds.CONDConstant(_switches(kwargs, kept_video, kept_audio))
        out["kept_video"] = comfy.conds.CONDConstant(kept_video)
        out["kept_audio"] = comfy.conds.CONDConstant(kept_audio)
        out["latent_shapes"] = comfy.conds.CONDConstant(shapes)
        return out

    def _text_conds(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Features of caption and speech, once a run."""
        caption, symbols = kwargs["cross_attn"], kwargs.get(SPEECH)
        if symbols is None:
            raise ValueError(
                "The conditioning holds no speech: put the node 'UniAVGen Conditioning' between the captions and the "
                "sampler."
            )
        wanted = self.diffusion_model.sizes.text_width
        if caption.shape[-1] != wanted:
            raise ValueError(
                f"The caption encoder gives rows of width {caption.shape[-1]}, but this model reads {wanted}: load "
                f"the one that it was trained with (for the released model: umT5-XXL in CLIPLoader, type 'wan')."
            )
        device, dtype = kwargs["device"], self.get_dtype_inference()
        caption = self.diffusion_model.encode_caption(caption.to(device, dtype))
        speech = self.diffusion_model.encode_speech(symbols.to(device), dtype)
        return {"c_crossattn": comfy.conds.CONDRegular(caption), "speech": comfy.conds.CONDRegular(speech)}

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
        if cond_key not in ("kept_video", "kept_audio"):
            return cond_value
        stream = window if cond_key == "kept_video" else window.modality_windows[1]
        places = torch.arange(len(cond_value.cond)).view(1, 1, -1)
        indices = stream.get_tensor(places, dim=2).flatten().tolist()
        return cond_value._copy_with(tuple(cond_value.cond[index] for index in indices))


def _picture_stream(model: weakref.ref[UniAVGenModel]) -> Callable[[Tensor], Tensor]:
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


def _switches(kwargs: dict[str, Any], kept_video: tuple[bool, ...], kept_audio: tuple[bool, ...]) -> Switches:
    """What the task says of this pass, unless the conditioning overrides it."""
    has_voice = kwargs.get(REFERENCE_AUDIO) is not None
    task = directions(kept_video, kept_audio, has_voice, kwargs["prompt_type"] == "negative")
    return Switches(
        audio_to_video=kwargs.get(AUDIO_TO_VIDEO, task.audio_to_video),
        video_to_audio=kwargs.get(VIDEO_TO_AUDIO, task.video_to_audio),
        skip_block=kwargs.get(SKIP_BLOCK, -1),
    )


def _sampling_run(
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
    shapes = kwargs["latent_shapes"]
    check_shapes(shapes)
    check_finite("LATENT", latent_image)
    if denoise_mask is not None:
        masks = whole_masks(comfy.utils.unpack_latents(denoise_mask, shapes))
        denoise_mask = comfy.utils.pack_latents(masks)[0]
    _complete_conds(guider.conds, latent_image, denoise_mask, shapes)
    guider.model_patcher.model.latent_shapes = shapes
    options = guider.model_options.setdefault("transformer_options", {})
    options[PLANS] = Plans()
    warn_of_unread(options.setdefault(REPORT, PatchReport()), guider.conds)
    samples = executor(noise, latent_image, sampler, sigmas, denoise_mask, *args, **kwargs)
    if denoise_mask is None:
        return samples
    return torch.where(denoise_mask.to(samples.device) == 0, latent_image.to(samples), samples)


def _complete_conds(
    conds: dict[str, list[dict[str, Any]]], latent_image: Tensor, mask: Tensor | None, shapes: Sequence[Sequence[int]]
) -> None:
    """Check the words against the clip, and let its first frame say who speaks where no picture does.

    Raises:
        ValueError: the words do not fit the clip, or what is given of it.
    """
    sound_is_given = all(kept_by(mask, shapes)[1])
    for cond in conds.get("positive", []):
        check_words(cond, clip_seconds(shapes[0][2]), sound_is_given)
    first_frame = comfy.utils.unpack_latents(latent_image, shapes)[0][:1, :, :1]
    for cond in chain.from_iterable(conds.values()):
        cond.setdefault(REFERENCE_IMAGE, first_frame)


def check_words(values: dict[str, Any], seconds: float, sound_is_given: bool) -> None:
    """Refuse conditioning values whose words do not fit a clip of so many seconds.

    Raises:
        ValueError: there are no words or too many, or a voice is given for a sound that is there.
    """
    if SPEECH_SECONDS not in values:
        return
    if sound_is_given and values.get(REFERENCE_AUDIO) is not None:
        raise ValueError(
            "This LATENT's sound is given, so no voice is generated that could follow the reference: disconnect "
            "reference_audio from UniAVGen Conditioning."
        )
    if not sound_is_given and not values[SPEECH_SECONDS]:
        raise ValueError("The speech is empty: write what the person says into UniAVGen Conditioning.")
    check_room(values[SPEECH_SECONDS], seconds, values[PACE])


def load_model(path: str, model_options: dict[str, Any] | None = None, disable_dynamic: bool = False) -> Any:
    """Load a joint model from a file or a folder of shards as a ModelPatcher, as ComfyUI loads its own.

    Raises:
        ValueError, FileNotFoundError: the file is missing, damaged or of another model.
    """
    source = checkpoint.Checkpoint(path)
    model = empty_model(source.meta, source.path.name)
    return make_patcher(
        model.sizes,
        _read(source, model.state_dict()),
        source.metadata,
        model_options or {},
        disable_dynamic,
        (load_model, (path, model_options)),
    )


def _read(source: checkpoint.Checkpoint, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's tensors, file by file in the way that ComfyUI reads its own."""
    state: dict[str, Tensor] = {}
    for file in source.files:
        tensors = comfy.utils.load_torch_file(str(file))
        for stored, name in source.names_in(file).items():
            if name in expected or checkpoint.is_side_tensor(name):
                state[name] = tensors[stored]
    return checkpoint.with_optional(state)


def make_patcher(
    sizes: ModelSizes,
    state: dict[str, Tensor],
    metadata: dict[str, str] | None,
    model_options: dict[str, Any],
    disable_dynamic: bool,
    factory: tuple[Any, tuple[Any, ...]],
) -> Any:
    """A ModelPatcher of these weights; `factory` makes it again where ComfyUI needs a fresh one.

    Of `model_options`, `dtype`, `fp8_optimizations` and `custom_operations` count, as in ComfyUI's own loaders.
    """
    state, _ = comfy.utils.convert_old_quants(state, "", metadata=metadata)
    config = UniAVGenConfig(sizes)
    config.quant_config = comfy.utils.detect_layer_quantization(state, "")
    config.custom_operations = model_options.get("custom_operations")
    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    dtype = model_options.get("dtype") or comfy.model_management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(state),
        supported_dtypes=config.supported_inference_dtypes,
        weight_dtype=None if config.quant_config or config.custom_operations else comfy.utils.weight_dtype(state),
    )
    manual_cast_dtype = comfy.model_management.unet_manual_cast(
        None if config.quant_config else dtype, load_device, config.supported_inference_dtypes
    )
    config.set_inference_dtype(dtype, manual_cast_dtype)
    config.optimizations["fp8"] = model_options.get("fp8_optimizations", False)

    model = config.get_model(state)
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = patcher_class(model, load_device=load_device, offload_device=offload_device)
    if not comfy.model_management.is_device_cpu(offload_device):
        model.to(offload_device)
    model.load_model_weights(state, "", assign=patcher.is_dynamic())
    patcher.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "uniavgen", _sampling_run)
    patcher.cached_patcher_init = factory
    logging.info("UniAVGen: %d blocks, %d and %d wide", sizes.blocks, sizes.video_width, sizes.audio_width)
    return patcher


def sizes_of(model: Any) -> ModelSizes:
    """Sizes of a MODEL.

    Raises:
        ValueError: it is another model.
    """
    if not isinstance(model.model, UniAVGenModel):
        raise ValueError("This MODEL is not UniAVGen: connect the one of 'UniAVGen Model Loader'.")
    return model.model.diffusion_model.sizes


def host_model(model: JointDiT, disable_dynamic: bool = False) -> Any:
    """A ModelPatcher of a model that the core has made."""
    return make_patcher(model.sizes, dict(model.state_dict()), None, {}, disable_dynamic, (host_model, (model,)))
