"""The predicted face masks of a ComfyUI MODEL: what changes them, and what looks on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from comfy.patcher_extension import WrappersMP

from ..uniavgen_core.model.joint_dit import FACE_MASK_PATCH
from .comfy_model import UniAVGenModel

KEY = "uniavgen_face_mask"
"""Of the wrappers: one for all, so that patches follow each other in the order of the nodes."""
Patch = Callable[..., Any]


def interactions(model: Any) -> int:
    """How many layers of a MODEL predict a face mask.

    Raises:
        ValueError: it is another model.
    """
    if not isinstance(model.model, UniAVGenModel):
        raise ValueError("This MODEL is not UniAVGen: connect the one of 'UniAVGen Model Loader'.")
    return model.model.diffusion_model.sizes.interactions


def sigma_at(model: Any, part: float) -> float:
    """Noise level after a part of the schedule."""
    return float(model.get_model_object("model_sampling").percent_to_sigma(part))


def with_face_patch(model: Any, make_patch: Callable[[int, int, int, Any], Patch]) -> Any:
    """A clone of a MODEL whose face masks are patched.

    Args:
        make_patch: makes the patch of a sampling run, of its latent frames, its rows and columns of video tokens, and
            its device.
    """

    def around_run(executor: Any, *args: Any, **kwargs: Any) -> Any:
        guider = executor.class_obj
        patch = make_patch(*_tokens(guider.model_patcher, kwargs["latent_shapes"]), guider.model_patcher.load_device)
        options = guider.model_options.setdefault("transformer_options", {})
        patches = options.get("patches", {})
        options["patches"] = patches | {FACE_MASK_PATCH: [*patches.get(FACE_MASK_PATCH, []), patch]}
        return executor(*args, **kwargs)

    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, around_run)
    return patched


def _tokens(model: Any, shapes: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    """Latent frames, and rows and columns of video tokens."""
    frames, height, width = shapes[0][2:]
    _, down, across = model.model.diffusion_model.sizes.patch
    return frames, -(-height // down), -(-width // across)
