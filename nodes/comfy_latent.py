"""The joint LATENT: two streams in one, and what of them is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.nested_tensor
import comfy.utils
import torch
from torch import Tensor

from ..uniavgen_core.joint_latent import Shape, kept_of, stream_masks, whole_masks
from ..uniavgen_core.media.region import Region
from ..uniavgen_core.media.video import Video
from ..uniavgen_core.tasks import KeptParts, kept_prefix

ORIGIN = "uniavgen_origin"
"""In a LATENT of a task that changes a video: where its clip belongs, an `Edit` in time or a `VideoRegion`. Samplers
and other nodes hand it on."""


@dataclass(frozen=True)
class VideoRegion:
    """A video of which a region is made anew, and the region over all of it."""

    video: Video
    region: Region


def region_of_latent(latent: dict[str, Any]) -> VideoRegion | None:
    """The video and the region that a LATENT of task resync belongs to; None of any other one."""
    origin = latent.get(ORIGIN)
    return origin if isinstance(origin, VideoRegion) else None


def joint_latent(
    shapes: tuple[Shape, Shape], kept: KeptParts, video_prefix: Tensor, audio_prefix: Tensor | None = None
) -> dict[str, Any]:
    """A LATENT of two streams, empty but for the first frames and tokens, with the masks of what is kept."""
    device = comfy.model_management.intermediate_device()
    video, audio = (torch.zeros(shape, device=device) for shape in shapes)
    video[:, :, : video_prefix.shape[2]] = video_prefix
    if audio_prefix is not None:
        audio[:, :, : audio_prefix.shape[2]] = audio_prefix
    masks = stream_masks(kept, video.shape[3], video.shape[4])
    return {
        "samples": comfy.nested_tensor.NestedTensor([video, audio]),
        "noise_mask": comfy.nested_tensor.NestedTensor([mask.to(device) for mask in masks]),
    }


def streams(latent: dict[str, Any]) -> list[Tensor]:
    """The streams of a LATENT; one where it is not nested."""
    samples = latent["samples"]
    return samples.unbind() if samples.is_nested else [samples]


def kept_parts(latent: dict[str, Any]) -> KeptParts:
    """What the mask of a joint LATENT keeps when it is sampled.

    Raises:
        ValueError: the sound's mask is soft or of some bands, or a mask is another one in each clip.
    """
    mask = latent.get("noise_mask")
    shapes = [stream.shape for stream in streams(latent)]
    if mask is None:
        return kept_prefix(shapes[0][2], shapes[1][2])
    # As ComfyUI samples: a mask that is not nested is the picture's, and what has no mask is generated.
    given = mask.unbind() if mask.is_nested else [mask]
    wanted = [(shape[0], 1, *shape[2:]) for shape in shapes]
    masks = [comfy.utils.reshape_mask(of_stream, shape) for of_stream, shape in zip(given, wanted, strict=False)]
    masks += [torch.ones(shape) for shape in wanted[len(masks) :]]
    return kept_of(whole_masks(masks))
