"""The small model as a whole: sizes, weights, and how they are loaded."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..backend import torch_operations
from ..checkpoint import check_names, check_tensor_shapes, with_optional
from ..config import ModelSizes
from ..model.joint_dit import JointDiT
from .caption import CaptionEncoder
from .codec import Codec

SHORT_SIDE = 128
"""Short side in pixels of the pictures that the small model is made for."""
CAPTION_WIDTH = 64
CODEC_WIDTHS = (40, 80)
"""Channels of the picture codec's network at 1/4 and 1/8 of the size."""
MODEL_SIZES = ModelSizes(
    blocks=3,
    video_width=256,
    video_ffn_width=256,
    audio_width=256,
    audio_ffn_width=384,
    text_width=CAPTION_WIDTH,
    speech_width=128,
    speech_ffn_width=256,
)
"""Each branch is wider than its tokens (192 and 80 values), or it could not tell their noise."""
SCALE = ".scale"
"""What the name of a weight's scale ends in."""
LEVELS = 127
"""Weights are kept as whole numbers from -127 to 127, with a scale a row in half precision."""
WEIGHTS_FILE = Path(__file__).with_name("tiny.safetensors")
MODEL_PREFIX, CODEC_PREFIX, CAPTION_PREFIX = "model.", "codec.", "caption."
"""What the names of each part's weights begin with, in this file and in those of training."""


@dataclass(frozen=True)
class TinyBundle:
    """The small model's parts, in float32 on the CPU.

    `trained` is False where the weights are random: then the parts have the right forms and make noise.
    """

    model: JointDiT
    codec: Codec
    caption_encoder: CaptionEncoder
    trained: bool

    def state_dict(self) -> dict[str, Tensor]:
        """All weights under the names of the weights file: `model.…`, `codec.…`, `caption.…`."""
        return {
            f"{prefix}{name}": tensor
            for prefix, part in _parts(self).items()
            for name, tensor in part.state_dict().items()
        }


def load_tiny(path: Path = WEIGHTS_FILE, change: Callable[[JointDiT], None] | None = None) -> TinyBundle:
    """The small model with its trained weights, or with random ones where their file is absent.

    Args:
        change: makes another model of the one without weights, for weights of such a one.

    Raises:
        CheckpointError: the file lacks weights, or has some of another shape.
    """
    if not path.is_file():
        return build_tiny()
    state = unpack(load_file(path))
    bundle = _empty(ModelSizes.from_state_dict(under(MODEL_PREFIX, state)), trained=True)
    if change is not None:
        change(bundle.model)
    return _filled(bundle, state, str(path))


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as the file keeps them: matrices in 8 bits with a scale a row, all else in half precision."""
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim < 2 or len(tensor) == 1:
            packed[name] = tensor.half().contiguous()
            continue
        rows = tensor.float().flatten(1)
        scale = (rows.abs().amax(dim=1, keepdim=True) / LEVELS).half().clamp_min(torch.finfo(torch.float16).tiny)
        packed[name] = (rows / scale.float()).round().clamp(-LEVELS, LEVELS).to(torch.int8).view(tensor.shape)
        packed[f"{name}{SCALE}"] = scale.squeeze(1)
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in float32 of what `pack` made; tensors without a scale are taken as they are."""
    state = {}
    for name, tensor in packed.items():
        scale = packed.get(f"{name}{SCALE}")
        if not name.endswith(SCALE):
            weight = tensor.float()
            state[name] = weight if scale is None else weight * scale.float().view(-1, *[1] * (weight.ndim - 1))
    return state


def build_tiny(seed: int = 0) -> TinyBundle:
    """The small model with random weights that follow from the seed alone."""
    bundle = _empty(MODEL_SIZES, trained=False)
    shapes = {name: tensor.shape for name, tensor in bundle.state_dict().items()}
    return _filled(bundle, random_state_dict(shapes, seed), "The small model")


def random_state_dict(shapes: Mapping[str, torch.Size], seed: int = 0) -> dict[str, Tensor]:
    """Random weights that keep signals near unit scale; each depends on its name, its shape and the seed alone."""
    return {name: random_weight(name, shape, seed) for name, shape in shapes.items()}


def random_weight(name: str, shape: torch.Size, seed: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """A random weight in float32, drawn on a device; what it is depends on the kind of device, too."""
    generator = torch.Generator(device).manual_seed(zlib.crc32(name.encode()) ^ seed)
    noise = torch.randn(shape, generator=generator, device=device)
    if name.endswith("modulation"):
        return 0.2 * noise
    if len(shape) > 1:
        return noise / math.sqrt(shape[1:].numel())
    return 1 + 0.1 * noise if name.endswith(".weight") else 0.1 * noise


def _empty(sizes: ModelSizes, trained: bool) -> TinyBundle:
    """The parts without weights."""
    kwargs: dict[str, Any] = {"operations": torch_operations, "device": "meta", "dtype": torch.float32}
    return TinyBundle(
        model=JointDiT(sizes, **kwargs).eval(),
        codec=Codec(CODEC_WIDTHS, **kwargs).eval(),
        caption_encoder=CaptionEncoder(sizes.text_width, **kwargs).eval(),
        trained=trained,
    )


def _filled(bundle: TinyBundle, state: Mapping[str, Tensor], source: str) -> TinyBundle:
    for prefix, part in _parts(bundle).items():
        assign_weights(part, under(prefix, state), source)
    return bundle


def _parts(bundle: TinyBundle) -> dict[str, nn.Module]:
    return {MODEL_PREFIX: bundle.model, CODEC_PREFIX: bundle.codec, CAPTION_PREFIX: bundle.caption_encoder}


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def assign_weights(part: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Give a part its weights.

    Args:
        state: by the names of the part's state dict.
        source: what they are from, for messages.

    Raises:
        CheckpointError: weights are missing, or have another shape.
    """
    check_names(state, part.state_dict(), source)
    check_tensor_shapes(state, part.state_dict(), source)
    part.load_state_dict(with_optional(state) if isinstance(part, JointDiT) else state, assign=True)
