"""A checkpoint as one GGUF file, which the pack ComfyUI-GGUF reads."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from .checkpoint import BLOCK_LINEAR, Checkpoint, CheckpointError
from .files import needed
from .universe1.stitched_names import is_stitched

FORMS = ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""What the command line calls the forms of quantised weights: those that the library gguf can write."""
SUFFIX = ".gguf"
SHIFTS_AND_SCALES = ("modulation", "scale_shift_table")
"""Ends of the names of tensors that stay in float32, since they are added to embeddings of the timestep."""
ARCHITECTURE = "wan"
"""ComfyUI-GGUF reads only architectures that it knows; the names of the tensors tell the model apart."""


class GgufFile:
    """What is written of a checkpoint: Linears inside blocks quantised, other matrices in bf16, the rest in float32.

    Args:
        checkpoint: the source.
        names: of the tensors to write; others are left out.
        form: of `FORMS`.

    Raises:
        NotInstalledError: the library gguf is not there.
    """

    def __init__(self, checkpoint: Checkpoint, names: Collection[str], form: str) -> None:
        self.gguf = needed("gguf", "to write GGUF files", "gguf")
        self.source, self.form = checkpoint.path, form
        self.meta = {name: tensor for name, tensor in checkpoint.meta.items() if name in names}
        self.names = self.meta.keys()
        self.types = {name: self._type(name, tensor) for name, tensor in self.meta.items()}
        self.nbytes = sum(map(self._nbytes, self.names))

    def write(self, path: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Write the tensors one after the other, in the order of the source.

        Raises:
            CheckpointError: a value is too large for the form.
        """
        writer = self.gguf.GGUFWriter(path, ARCHITECTURE)
        writer.add_name("UniVerse-1" if is_stitched(self.names) else "UniAVGen")
        writer.add_quantization_version(self.gguf.GGML_QUANT_VERSION)
        writer.add_file_type(self.gguf.LlamaFileType[f"MOSTLY_{self.form.upper()}"])
        for name, tensor in self.meta.items():
            writer.add_tensor_info(name, tensor.shape, numpy.float32, self._nbytes(name), self.types[name])
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for name, tensor in tensors:
                self._check_range(name, tensor)
                writer.write_tensor_data(self.gguf.quants.quantize(tensor.float().numpy(), self.types[name]))
        finally:
            writer.close()

    def _check_range(self, name: str, tensor: Tensor) -> None:
        """Scales and lowest values of quantised weights are float16."""
        if BLOCK_LINEAR.fullmatch(name) and tensor.abs().max() > torch.finfo(torch.float16).max:
            raise CheckpointError(f"{self.source}: {name} holds values too large for {self.form}: choose bf16.")

    def _type(self, name: str, tensor: Tensor) -> Any:
        types = self.gguf.GGMLQuantizationType
        if tensor.ndim == 1 or name.endswith(SHIFTS_AND_SCALES):
            return types.F32
        quantised = types[self.form.upper()]
        fits = tensor.shape[-1] % self.gguf.GGML_QUANT_SIZES[quantised][0] == 0
        return quantised if fits and BLOCK_LINEAR.fullmatch(name) else types.BF16

    def _nbytes(self, name: str) -> int:
        block_values, block_bytes = self.gguf.GGML_QUANT_SIZES[self.types[name]]
        return math.prod(self.meta[name].shape) // block_values * block_bytes
