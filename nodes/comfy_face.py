"""The predicted face masks of a ComfyUI MODEL: what changes them, and what looks on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..uniavgen_core.config import FRAME_RATE
from ..uniavgen_core.face.guidance import REPLACE, FaceGuidance, check_layers, clip_mask, sigmas_of_part
from ..uniavgen_core.model.aligners import FACE_MASK_PATCH
from .comfy_model import sizes_of

KEY = "uniavgen_face_mask"
"""Of the wrappers: one for all, so that patches follow each other in the order of the nodes."""
Patch = Callable[..., Any]


def interactions(model: Any) -> int:
    """How many layers of a MODEL predict a face mask.

    Raises:
        ValueError: it is another model.
    """
    return sizes_of(model).interactions


@dataclass(frozen=True)
class Run:
    """What a patch must know of a sampling run: its latent frames, its rows and columns of video tokens, its steps."""

    frames: int
    rows: int
    columns: int
    sigmas: list[float]
    device: Any


def with_face_patch(model: Any, make_patch: Callable[[Run], Patch]) -> Any:
    """A clone of a MODEL whose face masks are patched.

    Args:
        make_patch: makes the patch of a sampling run.
    """

    def around_run(
        executor: Any, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        guider = executor.class_obj
        tokens = _tokens(guider.model_patcher, kwargs["latent_shapes"])
        patch = make_patch(Run(*tokens, sigmas.tolist(), guider.model_patcher.load_device))
        options = guider.model_options.setdefault("transformer_options", {})
        patches = options.get("patches", {})
        options["patches"] = patches | {FACE_MASK_PATCH: [*patches.get(FACE_MASK_PATCH, []), patch]}
        return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)

    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, around_run)
    return patched


def guide_faces(
    model: Any,
    mask: Tensor,
    frame_rate: float = FRAME_RATE,
    how: str = REPLACE,
    strength: float = 1.0,
    layers: frozenset[int] | None = None,
    start: float = 0.0,
    end: float = 1.0,
) -> Any:
    """A clone of a MODEL whose predicted face masks are changed by a given one.

    Args:
        mask: (1, height, width), or (F, height, width) at the frame rate.
        start, end: parts of the sampler's steps between which it is. Others as in `FaceGuidance`.

    Raises:
        ValueError: it is another model; when sampling: the masks are of another length than the clip.
    """
    check_layers(layers, interactions(model))

    def make_patch(run: Run) -> FaceGuidance:
        tokens = clip_mask(mask.cpu().clamp(0, 1), frame_rate, run.frames, run.rows, run.columns).to(run.device)
        return FaceGuidance(tokens, how, strength, layers, *sigmas_of_part(run.sigmas, start, end))

    return with_face_patch(model, make_patch)


def _tokens(model: Any, shapes: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    """Latent frames, and rows and columns of video tokens."""
    frames, height, width = shapes[0][2:]
    _, down, across = model.model.diffusion_model.sizes.patch
    return frames, -(-height // down), -(-width // across)
