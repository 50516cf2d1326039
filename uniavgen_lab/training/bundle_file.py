"""The small model's file, made of the weights of a run and of a codec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from uniavgen_core.tiny.bundle import CODEC_PREFIX, pack

MAX_PARAMETERS = 7_970_000
"""All parts together: a file of 8 MB."""
MASK_IOU_METADATA = "mask_iou"
"""Where the file keeps the mask IoU of the end of the supervised part of training."""


def write_bundle(path: Path, weights: Path, codec: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Join a run's weights and the codec's in one file, packed as `tiny.bundle.pack` does.

    Args:
        path: of the file.
        weights: of the run.
        codec: its state dict.
        metadata: what the file tells beside what that of the run tells.

    Raises:
        ValueError: they are more than the small model may have.
    """
    state = load_file(weights)
    state |= {f"{CODEC_PREFIX}{name}": x for name, x in codec.items()}
    parameters = sum(x.numel() for x in state.values())
    if parameters > MAX_PARAMETERS:
        raise ValueError(f"The small model may have {MAX_PARAMETERS:,} weights, these are {parameters:,}.")
    with safe_open(weights, framework="pt") as file:
        run = file.metadata()
    provenance = {"parameters": str(parameters), "torch": torch.__version__}
    save_file(pack(state), path, metadata={**run, **provenance, **metadata})


def recorded_mask_iou(path: Path) -> float | None:
    """The mask IoU that a file of weights tells; None where it tells none or is absent."""
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        recorded = (file.metadata() or {}).get(MASK_IOU_METADATA)
    return None if recorded is None else float(recorded)
