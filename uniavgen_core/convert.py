"""Conversion of a checkpoint, one file or shards, to one file of another precision.

The output is written tensor by tensor, so that it takes the memory of the largest tensor.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from . import convert_gguf, convert_safetensors
from .checkpoint import Checkpoint, CheckpointError, is_side_tensor, name_list
from .convert_gguf import GgufFile
from .convert_safetensors import SafetensorsFile
from .files import whole_file
from .recognition import empty_model

PRECISIONS = (*convert_safetensors.PRECISIONS, *convert_gguf.FORMS)
"""What the command line calls the precisions."""


def convert(source: Path, destination: Path, precision: str, force: bool = False) -> int:
    """Write a checkpoint as one file.

    Args:
        source: a safetensors file, or a folder of shards with their index.
        destination: the .safetensors file to write; with a form of GGUF a .gguf file.
        precision: "bf16", "fp16" or "fp8_e4m3fn" (see `SafetensorsFile`), or a form of GGUF (see `GgufFile`).
        force: overwrite an existing destination.

    Returns:
        The size of the file in bytes.

    Raises:
        CheckpointError: the source is no UniAVGen model, is damaged or is quantised already.
        NotInstalledError: the library gguf is needed and not there.
        OSError: the destination exists, cannot be written, or does not fit on the disk.
    """
    checkpoint = Checkpoint(source)
    expected = _check_source(checkpoint)
    is_gguf = precision in convert_gguf.FORMS
    _check_destination(checkpoint, destination, force, convert_gguf.SUFFIX if is_gguf else convert_safetensors.SUFFIX)
    output: GgufFile | SafetensorsFile
    if is_gguf:
        output = GgufFile(checkpoint, expected, precision)
    else:
        output = SafetensorsFile(checkpoint, precision)
    _check_space(destination, output.nbytes)
    try:
        with whole_file(destination) as unfinished:
            output.write(unfinished, _finite_tensors(checkpoint, output.names))
    except OSError as error:
        # numpy's tofile, which writes GGUF, gives no number.
        if error.errno not in (errno.ENOSPC, None):
            raise
        size = f"{output.nbytes / 1e9:.1f} GB"
        raise OSError(f"The disk is full, {destination.name} was not written: make room for {size}.") from error
    return destination.stat().st_size


def _finite_tensors(checkpoint: Checkpoint, names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    """Those of the source's tensors, with a progress bar.

    Raises:
        CheckpointError: values are not numbers.
    """
    total = sum(tensor.nbytes for tensor in checkpoint.meta.values())
    with tqdm(total=total, unit="B", unit_scale=True, desc=checkpoint.path.name) as progress:
        for name, tensor in checkpoint:
            progress.update(tensor.nbytes)
            if name not in names:
                continue
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise CheckpointError(
                    f"{checkpoint.path}: {name} holds values that are not numbers: download it again."
                )
            yield name, tensor


def _check_source(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The model's tensors, which all are there."""
    quantised = any(
        (tensor.is_floating_point() and tensor.itemsize == 1) or is_side_tensor(name)
        for name, tensor in checkpoint.meta.items()
    )
    if quantised:
        raise CheckpointError(
            f"{checkpoint.path} is quantised already: convert the model as it was released, in bf16, fp16 or float32."
        )
    complex_names = [name for name, tensor in checkpoint.meta.items() if tensor.is_complex()]
    if complex_names:
        raise CheckpointError(
            f"{checkpoint.path} holds complex numbers ({name_list(complex_names)}), which no UniAVGen model has: "
            "download it again."
        )
    return empty_model(checkpoint.meta, str(checkpoint.path)).state_dict()


def _check_destination(checkpoint: Checkpoint, destination: Path, force: bool, suffix: str) -> None:
    if not destination.name.endswith(suffix) or destination.is_dir():
        raise OSError(f"{destination} must be the name of a file that ends in {suffix}.")
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
