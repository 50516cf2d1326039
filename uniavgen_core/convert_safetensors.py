"""A checkpoint as one safetensors file of another precision.

The places of all tensors follow from their shapes, so the header is known before the first weight is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import BLOCK_LINEAR, DTYPES, FLOAT8_DTYPES, QUANTISATION_METADATA, Checkpoint, CheckpointError

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp8_e4m3fn": torch.float8_e4m3fn}
"""What the command line calls the data types."""
FLOAT8_FORM = {"format": "float8_e4m3fn", "full_precision_matrix_mult": True}
"""How ComfyUI is told to use an fp8 weight: multiplied out, because nothing here has measured how large the inputs
get, and inputs in fp8 without a measured scale are cut off at 448."""
SUFFIX = ".safetensors"
HEADER_ALIGNMENT_BYTES = 8
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Target:
    """A tensor of the output: its name, data type and shape."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class SafetensorsFile:
    """What is written of a checkpoint, and where.

    Args:
        checkpoint: the source.
        precision: of `PRECISIONS`. With fp8 the Linears inside blocks are fp8 with one scale a tensor, and everything
            else is bf16.
    """

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        self.source = checkpoint.path
        targets = _targets(checkpoint.meta, PRECISIONS[precision])
        self.names = checkpoint.meta.keys()
        self.dtypes = {target.name: target.dtype for target in targets}
        self.header, self.offsets = _header(targets, _metadata(checkpoint, targets))
        self.nbytes = len(self.header) + sum(target.nbytes for target in targets)

    def write(self, path: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Write the tensors of the source one after the other.

        Raises:
            CheckpointError: a value is too large for the precision.
        """
        with path.open("wb") as file:
            file.write(self.header)
            for name, tensor in tensors:
                for target, converted in _converted(name, tensor, self.dtypes[name], self.source):
                    file.seek(self.offsets[target])
                    file.write(converted.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _targets(meta: Mapping[str, Tensor], dtype: torch.dtype) -> list[Target]:
    """The output's tensors, the widest data types first, as readers that map the file want them aligned."""
    targets = []
    for name, tensor in meta.items():
        for target, stored in _converted_dtypes(name, tensor.dtype, dtype).items():
            targets.append(Target(target, stored, () if target != name else tuple(tensor.shape)))
    return sorted(targets, key=lambda target: -target.dtype.itemsize)


def _converted_dtypes(name: str, stored: torch.dtype, dtype: torch.dtype) -> dict[str, torch.dtype]:
    if not stored.is_floating_point:
        return {name: stored}
    if dtype not in FLOAT8_DTYPES:
        return {name: dtype}
    if BLOCK_LINEAR.fullmatch(name):
        return {name: dtype, _scale_name(name): torch.float32}
    return {name: torch.bfloat16}


def _scale_name(name: str) -> str:
    return f"{name}_scale"


def _metadata(checkpoint: Checkpoint, targets: list[Target]) -> dict[str, str]:
    dtypes = sorted({DTYPE_NAMES[tensor.dtype] for tensor in checkpoint.meta.values()})
    metadata = {"format": "pt", "converted_by": _converter(), "source_dtype": ", ".join(dtypes)}
    layers = [target.name.removesuffix(".weight") for target in targets if target.dtype in FLOAT8_DTYPES]
    if layers:
        form = {"format_version": "1.0", "layers": dict.fromkeys(layers, FLOAT8_FORM)}
        metadata[QUANTISATION_METADATA] = json.dumps(form)
    return {**checkpoint.metadata, **metadata}


def _converter() -> str:
    try:
        return f"uniavgen {version('uniavgen')}"
    except PackageNotFoundError:  # a checkout that is not installed
        return "uniavgen"


def _header(targets: list[Target], metadata: dict[str, str]) -> tuple[bytes, dict[str, int]]:
    """The file's bytes before the tensors, and where each tensor begins in the file."""
    entries: dict[str, object] = {"__metadata__": metadata}
    starts = {}
    end = 0
    for target in targets:
        starts[target.name], end = end, end + target.nbytes
        offsets = [starts[target.name], end]
        entries[target.name] = {
            "dtype": DTYPE_NAMES[target.dtype],
            "shape": list(target.shape),
            "data_offsets": offsets,
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_ALIGNMENT_BYTES)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + start for name, start in starts.items()}


def _converted(name: str, tensor: Tensor, dtype: torch.dtype, source: Path) -> Iterator[tuple[str, Tensor]]:
    """A tensor of the source as the output's tensors: one, or for fp8 the weight and its scale."""
    if not tensor.is_floating_point():
        yield name, tensor
        return
    if dtype not in FLOAT8_DTYPES:
        rounded = tensor.to(dtype)
        if not rounded.isfinite().all():
            raise CheckpointError(f"{source}: {name} holds values too large for {dtype}: choose bf16.")
        yield name, rounded
        return
    weight = tensor.float()
    largest = torch.finfo(dtype).max
    amax = weight.abs().amax()
    scale = torch.where(amax > 0, amax / largest, torch.ones(()))
    yield _scale_name(name), scale
    yield name, (weight / scale).clamp(-largest, largest).to(dtype)
