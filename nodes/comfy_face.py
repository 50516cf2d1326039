"""The face masks that a MODEL predicts while it samples, changed by a given one or handed to who looks on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..uniavgen_core.config import FRAME_RATE
from ..uniavgen_core.face.steering import (
    REPLACE,
    FaceGuidance,
    check_layers,
    clip_mask,
    sigma_window,
)
from ..uniavgen_core.long_form.cast import Cast
from ..uniavgen_core.long_form.step import SegmentRequest
from ..uniavgen_core.model.aligners import FACE_MASK_PATCH
from .comfy_model import sizes_of

KEY = "uniavgen_face_mask"
"""Of the wrappers: one for all, so that patches follow each other in the order of the nodes."""
Patch = Callable[..., Any]


@dataclass(frozen=True)
class SampledClip:
    """What a patch must know of a sampling run: its latent frames, its rows and columns of video tokens, its steps."""

    frames: int
    rows: int
    columns: int
    sigmas: list[float]
    device: Any


def guide_faces(
    model: Any,
    mask: Tensor,
    frame_rate: float = FRAME_RATE,
    operation: str = REPLACE,
    strength: float = 1.0,
    layers: frozenset[int] | None = None,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
) -> Any:
    """A clone of a MODEL whose predicted face masks are changed by a given one.

    Args:
        mask: (1, height, width), or (F, height, width) at the frame rate.
        start_percent, end_percent: where in the sampler's steps it is, 0 to 1. Others as in `FaceGuidance`.

    Raises:
        ValueError: it is another model; when sampling: the masks are of another length than the clip.
    """
    check_layers(layers, sizes_of(model).interactions)

    def make_patch(clip: SampledClip) -> FaceGuidance:
        tokens = clip_mask(mask.cpu().clamp(0, 1), frame_rate, clip.frames, clip.rows, clip.columns)
        window = sigma_window(clip.sigmas, start_percent, end_percent)
        return FaceGuidance(tokens.to(clip.device), operation, strength, layers, *window)

    return with_face_patch(model, make_patch)


def guide_segment(model: Any, cast: Cast, request: SegmentRequest) -> Any:
    """A MODEL that is told who speaks in a segment of a long clip: itself where that is left open."""
    if not cast.tells(request):
        return model

    def make_patch(clip: SampledClip) -> FaceGuidance:
        tokens = cast.tokens(request, clip.rows, clip.columns)
        return FaceGuidance(tokens.to(clip.device), REPLACE)

    return with_face_patch(model, make_patch)


def with_face_patch(model: Any, make_patch: Callable[[SampledClip], Patch]) -> Any:
    """A clone of a MODEL whose face masks are patched.

    Args:
        make_patch: makes the patch of a sampling run.
    """

    def around_run(
        executor: Any, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        guider = executor.class_obj
        tokens = token_grid(guider.model_patcher, kwargs["latent_shapes"])
        patch = make_patch(SampledClip(*tokens, sigmas.tolist(), guider.model_patcher.load_device))
        options = guider.model_options.setdefault("transformer_options", {})
        patches = options.get("patches", {})
        options["patches"] = patches | {FACE_MASK_PATCH: [*patches.get(FACE_MASK_PATCH, []), patch]}
        return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)

    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, around_run)
    return patched


def token_grid(model: Any, shapes: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    """Latent frames, and rows and columns of video tokens."""
    frames, height, width = shapes[0][2:]
    _, down, across = model.model.diffusion_model.sizes.patch
    return frames, -(-height // down), -(-width // across)
