"""Conversion of a checkpoint, one file or shards, to one safetensors file of another precision.

The output is written tensor by tensor, so that the memory taken is that of the largest tensor. The places of all
tensors follow from their shapes, so the header is known before the first weight is read.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from .checkpoint import (
    DTYPES,
    FLOAT8_DTYPES,
    QUANTISATION_METADATA,
    Checkpoint,
    CheckpointError,
    check_names,
    is_side_tensor,
)
from .recognition import expected_tensors, recognise

logger = logging.getLogger(__name__)

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp8_e4m3fn": torch.float8_e4m3fn}
"""What the command line calls the data types."""
FLOAT8_LINEAR = re.compile(
    r"((audio_)?blocks\.\d+\.((self|cross)_attn\.[qkvo]|ffn\.[02])|(a2v|v2a)_blocks\.\d+\.[qkvo])\.weight"
)
"""Weights that fp8 is for: the Linears inside blocks, which are nearly all of the model and take the rounding well."""
FLOAT8_FORM = {"format": "float8_e4m3fn", "full_precision_matrix_mult": True}
"""How ComfyUI is told to use an fp8 weight: multiplied out, because nothing here has measured how large the inputs
get, and inputs in fp8 without a measured scale are cut off at 448."""
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


def convert(source: Path, destination: Path, precision: str, force: bool = False) -> int:
    """Write a checkpoint as one safetensors file.

    Args:
        source: a safetensors file, or a folder of shards with their index.
        destination: the .safetensors file to write.
        precision: "bf16", "fp16" or "fp8_e4m3fn": then the Linears inside blocks are fp8 with one scale a tensor, and
            everything else is bf16.
        force: overwrite an existing destination.

    Returns:
        The size of the file in bytes.

    Raises:
        CheckpointError: the source is no UniAVGen model, is damaged or is quantised already.
        OSError: the destination exists, cannot be written, or does not fit on the disk.
    """
    checkpoint = Checkpoint(source)
    _check_source(checkpoint)
    _check_destination(checkpoint, destination, force)
    targets = _targets(checkpoint, PRECISIONS[precision])
    header, offsets = _header(targets, _metadata(checkpoint, targets))
    size = len(header) + sum(target.nbytes for target in targets)
    _check_space(destination, size)
    partial = destination.with_name(destination.name + ".part")
    try:
        _write(checkpoint, partial, header, offsets, targets)
        os.replace(partial, destination)
    finally:
        partial.unlink(missing_ok=True)
    return size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the `convert` command."""
    parser.add_argument("source", type=Path, help="safetensors file, or folder of shards with their index")
    parser.add_argument("destination", type=Path, help="the .safetensors file to write")
    parser.add_argument("--dtype", choices=list(PRECISIONS), default="bf16", help="precision of the weights")
    parser.add_argument("--force", action="store_true", help="overwrite the destination")


def run(arguments: argparse.Namespace) -> int:
    """Run the `convert` command. Returns the exit status: 0, or 1 where it failed and said why."""
    try:
        size = convert(arguments.source, arguments.destination, arguments.dtype, arguments.force)
    except (OSError, CheckpointError) as error:
        logger.error("%s", error)
        return 1
    logger.info("%s: %.2f GB", arguments.destination, size / 1e9)
    return 0


def _check_source(checkpoint: Checkpoint) -> None:
    quantised = any(tensor.dtype in FLOAT8_DTYPES or is_side_tensor(name) for name, tensor in checkpoint.meta.items())
    if quantised:
        raise CheckpointError(
            f"{checkpoint.path} is quantised already: convert the model as it was released, in bf16, fp16 or float32."
        )
    sizes = recognise(checkpoint.meta, str(checkpoint.path))
    check_names(checkpoint.meta, expected_tensors(sizes), str(checkpoint.path))


def _check_destination(checkpoint: Checkpoint, destination: Path, force: bool) -> None:
    if not destination.name.endswith(".safetensors") or destination.is_dir():
        raise OSError(f"{destination} must be the name of a file that ends in .safetensors.")
    if not destination.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {destination.parent}: make it first.")
    if not destination.exists():
        return
    if any(destination.samefile(file) for file in checkpoint.files):
        raise FileExistsError(f"{destination} is the source itself: give the converted file another name.")
    if not force:
        raise FileExistsError(f"{destination} exists: give another name, or --force to overwrite it.")


def _check_space(destination: Path, size: int) -> None:
    free = shutil.disk_usage(destination.parent).free
    if free < size:
        raise OSError(
            f"{destination} takes {size / 1e9:.1f} GB, but its disk has {free / 1e9:.1f} GB left: make room first."
        )


def _targets(checkpoint: Checkpoint, dtype: torch.dtype) -> list[Target]:
    """The output's tensors, the widest data types first, as readers that map the file want them aligned."""
    targets = []
    for name, tensor in checkpoint.meta.items():
        for target, stored in _converted_dtypes(name, tensor.dtype, dtype).items():
            targets.append(Target(target, stored, () if target != name else tuple(tensor.shape)))
    return sorted(targets, key=lambda target: -target.dtype.itemsize)


def _converted_dtypes(name: str, stored: torch.dtype, dtype: torch.dtype) -> dict[str, torch.dtype]:
    if not stored.is_floating_point:
        return {name: stored}
    if dtype not in FLOAT8_DTYPES:
        return {name: dtype}
    if FLOAT8_LINEAR.fullmatch(name):
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


def _write(checkpoint: Checkpoint, path: Path, header: bytes, offsets: dict[str, int], targets: list[Target]) -> None:
    dtypes = {target.name: target.dtype for target in targets}
    total = sum(target.nbytes for target in targets)
    try:
        with path.open("wb") as file, tqdm(total=total, unit="B", unit_scale=True, desc=path.stem) as progress:
            file.write(header)
            for name, tensor in checkpoint:
                for target, converted in _converted(name, tensor, dtypes[name], checkpoint.path):
                    file.seek(offsets[target])
                    file.write(converted.contiguous().reshape(-1).view(torch.uint8).numpy().data)
                    progress.update(converted.nbytes)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(f"The disk is full, {path.stem} was not written: make room for {total / 1e9:.1f} GB.") from error


def _converted(name: str, tensor: Tensor, dtype: torch.dtype, source: Path) -> Iterator[tuple[str, Tensor]]:
    """A tensor of the source as the output's tensors: one, or for fp8 the weight and its scale."""
    if not tensor.is_floating_point():
        yield name, tensor
        return
    if not tensor.isfinite().all():
        raise CheckpointError(f"{source}: {name} holds values that are not numbers: download it again.")
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
