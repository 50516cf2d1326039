"""The seam: UniAVGen as an ordinary ComfyUI MODEL.

Every import of `comfy` is here and in the other files of this folder whose names begin with `comfy_`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

import comfy.conds
import comfy.latent_formats
import comfy.utils
import torch
from torch import Tensor

from ..uniavgen_core.captions import caption_frames, check_changes, encode_captions
from ..uniavgen_core.config import SPATIAL_COMPRESSION, ModelSizes, clip_seconds
from ..uniavgen_core.joint_latent import (
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
from ..uniavgen_core.tasks import KeptParts, NoisedAreas, Switches, kept_prefix, noised_areas, task_switches
from .comfy_joint import (
    AUDIO_TO_VIDEO,
    SHAPES,
    SKIP_BLOCK,
    VIDEO_TO_AUDIO,
    HostedDiT,
    JointConfig,
    JointModel,
    comfy_operations,
)
from .comfy_patches import REPORT, ComfyHooks, PatchReport, connected, warn_of_unread

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


class ComfyJointDiT(HostedDiT, JointDiT):  # type: ignore[misc]  # ComfyUI calls `forward` in its own way.
    """UniAVGen as ComfyUI's BaseModel makes and calls it."""

    def __init__(self, sizes: ModelSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__(sizes, comfy_operations(operations), device, dtype)

    def run(
        self, x: list[Tensor], timestep: Tensor, context: Tensor, transformer_options: dict[str, Any], **conds: Any
    ) -> list[Tensor]:
        conds["switches"] = connected(conds["switches"], transformer_options)
        hooks = ComfyHooks(transformer_options, self.sizes, x[0])
        plans = transformer_options.get(PLANS)
        return JointDiT.forward(self, x, timestep, context, plans=plans, options=hooks.options, hooks=hooks, **conds)


class UniAVGenConfig(JointConfig):
    """What ComfyUI asks of UniAVGen's kind."""

    latent_format = comfy.latent_formats.Wan22
    sampling_settings = {"shift": DEFAULT_SHIFT, "multiplier": TIMESTEPS}

    def get_model(self, state_dict: dict[str, Tensor], prefix: str = "", device: Any = None) -> UniAVGenModel:
        return UniAVGenModel(self, device)


class UniAVGenModel(JointModel):
    """UniAVGen with what ComfyUI does around it."""

    name = "UniAVGen"
    has_switches = True

    def __init__(self, model_config: UniAVGenConfig, device: Any = None):
        super().__init__(model_config, device, ComfyJointDiT)
        self.trained_with_masks = model_config.trained_with_masks

    def audio_in(self, audio: Tensor) -> Tensor:
        return normalise_mel(audio)

    def audio_out(self, audio: Tensor) -> Tensor:
        return denormalise_mel(audio)

    def check_latent(self, shapes: SHAPES) -> None:
        check_shapes(shapes)

    def usable_mask(self, mask: Tensor | None, shapes: SHAPES) -> Tensor | None:
        """The mask in whole tokens."""
        if mask is None:
            return None
        return comfy.utils.pack_latents(whole_masks(comfy.utils.unpack_latents(mask, shapes)))[0]

    def begin_run(self, guider: Any, latent_image: Tensor, mask: Tensor | None, shapes: SHAPES) -> None:
        kept = _kept(mask, shapes)
        _complete_conds(guider.conds, latent_image, kept, shapes)
        options = guider.model_options.setdefault("transformer_options", {})
        options[PLANS] = Plans()
        warn_of_unread(options.setdefault(REPORT, PatchReport(self.name)), guider.conds)
        if not self.trained_with_masks:
            self.areas = _packed_areas(kept, shapes, guider.model_patcher.load_device)

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
    """Sizes of a UniAVGen MODEL.

    Raises:
        ValueError: it is another model.
    """
    if not isinstance(model.model, UniAVGenModel):
        found = f"{model.model.name}, not UniAVGen" if isinstance(model.model, JointModel) else "not UniAVGen"
        raise ValueError(f"This MODEL is {found}: choose UniAVGen's in 'UniAVGen Model Loader'.")
    return model.model.diffusion_model.sizes
