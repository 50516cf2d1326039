"""Checkpoints: opening, checking, recognising and loading safetensors files.

A checkpoint is one safetensors file or a folder of shards with an index. Opening one reads the headers only, and finds
missing and truncated files there, before gigabytes are read. Names lose the prefixes that hosts put before them.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .files import parsed_json
from .universe1.stitched_names import is_stitched, is_unused, stitched_layer, stitched_name

logger = logging.getLogger(__name__)

PREFIXES = ("model.diffusion_model.", "diffusion_model.")
INDEX_SUFFIX = ".safetensors.index.json"
WEIGHT_SUFFIXES = (".safetensors", ".sft")
OPTIONAL_NAMES = frozenset({"audio_padding"})
"""Parameters that a file may lack; they are zeros then."""
LISTED_NAMES = 20
"""Names that one message lists; the rest are counted."""
LONGEST_NAME = 200
"""Signs of a name that a message shows."""
HEADER_LENGTH_BYTES = 8
"""At a file's start, where it says how long its header is."""
MOST_HEADER_BYTES = 10 * 10**6
"""Of all a model's headers together, and of its index. Those of the released model take 0.3 MB; each byte of a header
takes up to twenty of memory."""
MOST_DIMENSIONS = 64
"""Of a tensor: NumPy's limit."""
QUANTISATION_METADATA = "_quantization_metadata"
"""Key of a file's metadata under which ComfyUI keeps a JSON of the quantised layers."""
SIDE_SUFFIXES = (
    ".weight_scale",
    ".weight_scale_2",
    ".scale_weight",
    ".input_scale",
    ".scale_input",
    ".pre_quant_scale",
    ".weight_s_rel",
    ".weight_s_channel",
    ".weight_codebook",
    ".comfy_quant",
)
"""Ends of the names of tensors that describe how a weight beside them is quantised."""
PACKED_DTYPES = (torch.uint8, torch.int8)
"""Storage of quantised weights, some of which hold two values a byte."""
FLOAT8_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2)
BLOCK_LINEAR = re.compile(
    r"((audio_)?blocks\.\d+\.((self|cross)_attn\.([qkvo]|add_[kv]_proj)|ffn\.[02])|(a2v|v2a)_blocks\.\d+\.[qkvo]"
    r"|blocks\.\d+\.(mel_(cross_)?attn\.(to_[qkv]|to_out\.0|add_[kv]_proj)|(mel_to_vid|vid_to_mel)\.[02]))\.weight"
)
"""Weights to quantise: the Linears inside blocks, which are nearly all of the model and take the rounding well."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}
"""The safetensors format's names of data types."""
if hasattr(torch, "float8_e8m0fnu"):  # torch 2.7 and later
    DTYPES["F8_E8M0"] = torch.float8_e8m0fnu

FOREIGN_STARTS = (
    (b"PK\x03\x04", "a PyTorch file (.pth, .ckpt or .bin) under another name"),
    (b"\x80\x02", "a PyTorch file (.pth, .ckpt or .bin) under another name"),
    (b"GGUF", "a GGUF file under another name"),
    (b"version ", "a Git LFS pointer, not the file that it points to"),
    (b"<", "a web page, not the file: the download was refused or needs a login"),
)
"""First bytes of what people have in place of a safetensors file."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and says what to do."""


def strip_prefix(name: str) -> str:
    """A tensor's name without the prefix that a host put before it."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def is_side_tensor(name: str) -> bool:
    """Whether a tensor describes the quantisation of another, and is no parameter of the model."""
    return name == "scaled_fp8" or name.endswith(SIDE_SUFFIXES)


class Checkpoint:
    """An opened checkpoint, of which only the headers have been read.

    Args:
        path: a safetensors file, a folder that holds one or that holds shards and their index, or the index itself.

    Attributes:
        path: as given.
        files: the safetensors files, in order.
        meta: each tensor's name, without prefix, and a meta tensor of its shape and data type; file by file. Tensors of
            UniVerse-1 have the model's names, and those without effect are left out.
        metadata: the text that the files' headers carry; names of quantised layers in it are as those of `meta`.

    Raises:
        FileNotFoundError: there is no such file or folder, or a shard is missing.
        CheckpointError: there are no weights, or they are damaged, or in another format, or their headers are too long.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        index = _find_index(self.path)
        listed = None if index is None else _read_index(index)
        self.files = [_single_file(self.path)] if listed is None else sorted(set(listed.values()))
        _check_headers(self.files)
        self._opened = {file: _open(file) for file in self.files}
        self._stored = self._collect(listed)
        renamed = stitched_layer if is_stitched(self._stored) else str
        headers = {file: opened.metadata() or {} for file, opened in self._opened.items()}
        self.metadata = _merged_metadata(headers, renamed)
        self.meta = {name: self._meta(*stored) for name, stored in self._stored.items()}

    def _collect(self, listed: Mapping[str, Path] | None) -> dict[str, tuple[Path, str]]:
        """The file of each tensor and its name there, by its name without prefix."""
        found = [(file, name) for file, opened in self._opened.items() for name in opened.keys()]  # noqa: SIM118
        if listed is not None:
            found = [(file, name) for file, name in found if listed.get(name) == file]
            _check_listed(listed, {name for _, name in found})
        if not found:
            raise CheckpointError(f"{self.path} holds no tensors: download it again.")
        stored = {strip_prefix(name): (file, name) for file, name in found}
        if len(stored) < len(found):
            raise CheckpointError(f"{self.path} holds some tensors twice, with and without a prefix: convert it again.")
        if is_stitched(stored):
            return {stitched_name(name): held for name, held in stored.items() if not is_unused(name)}
        return stored

    def _meta(self, file: Path, name: str) -> Tensor:
        stored = self._opened[file].get_slice(name)
        if stored.get_dtype() not in DTYPES:
            raise CheckpointError(
                f"{file} holds {name_list([name])} as {stored.get_dtype()}, which is not read here: download the model "
                "in another precision."
            )
        shape = stored.get_shape()
        try:
            if len(shape) > MOST_DIMENSIONS:
                raise ValueError(f"it has {len(shape)} dimensions")
            return torch.empty(shape, dtype=DTYPES[stored.get_dtype()], device="meta")
        # The sizes of a tensor without values may be any.
        except (ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"{file}: {name_list([name])} has a shape that no tensor has. The file is damaged: download it again."
            ) from error

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors one after the other, each in memory of its own that is free when the tensor is."""
        return ((name, self.load(name)) for name in self._stored)

    def load(self, name: str) -> Tensor:
        """One tensor, in memory of its own. Raises KeyError where the checkpoint has no such name."""
        file, stored = self._stored[name]
        # What safetensors gives is the file itself, mapped into memory.
        return self._opened[file].get_tensor(stored).clone()

    def names_in(self, file: Path) -> dict[str, str]:
        """What of a file counts: names in it, and the same without prefix."""
        return {stored: name for name, (its_file, stored) in self._stored.items() if its_file == file}


def load_into(
    model: nn.Module, checkpoint: Checkpoint, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> None:
    """Fill a model from a checkpoint, one tensor at a time.

    The model is best built on the meta device: then no more memory is taken than the model needs once.

    Args:
        model: a model whose state-dict names are the checkpoint's.
        checkpoint: the weights; scaled fp8 weights are multiplied out.
        dtype: what the parameters become; by default what is stored, and bfloat16 for fp8.
        device: where the parameters go.

    Raises:
        CheckpointError: the names or shapes are not the model's.
    """
    expected = model.state_dict()
    check_names(checkpoint.meta, expected, checkpoint.path.name)
    check_tensor_shapes(checkpoint.meta, expected, checkpoint.path.name)
    tensors = read_scaled_fp8(checkpoint, dtype)
    state = {name: tensor.to(device) for name, tensor in tensors if name in expected}
    model.load_state_dict(with_optional(state), assign=True)


def read_scaled_fp8(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> Iterator[tuple[str, Tensor]]:
    """Stream a checkpoint's parameters as floats: fp8 weights times their scales, and all others as they are.

    Args:
        checkpoint: any checkpoint; one without fp8 weights is passed through.
        dtype: what the floats become; by default what is stored, and bfloat16 for fp8.

    Raises:
        CheckpointError: a weight is quantised in another form than fp8 with one scale a tensor.
    """
    for name, stored in checkpoint.meta.items():
        if is_side_tensor(name):
            continue
        tensor = checkpoint.load(name)
        scale = _scale_of(checkpoint, name)
        if scale is not None and (stored.dtype not in FLOAT8_DTYPES or scale.numel() != 1):
            raise CheckpointError(
                f"{checkpoint.path.name} is quantised in a form that is not read here ({name} is stored as "
                f"{str(stored.dtype).removeprefix('torch.')}). Use the bf16, fp16 or scaled fp8 file of the model."
            )
        if stored.dtype in FLOAT8_DTYPES:
            tensor = (tensor.float() if scale is None else tensor.float() * scale.float()).to(dtype or torch.bfloat16)
        yield name, tensor.to(dtype or tensor.dtype) if tensor.is_floating_point() else tensor


def check_names(found: Collection[str], expected: Collection[str], source: str = "The file") -> None:
    """Compare the names that a file has with those that the model wants.

    Names that the model does not know are one warning, because the released files are loaded non-strictly by their own
    code; those of quantisation are no news.

    Raises:
        CheckpointError: names are missing; the message lists them.
    """
    missing = sorted(set(expected) - set(found) - OPTIONAL_NAMES)
    if missing:
        raise CheckpointError(
            f"{source} lacks {len(missing)} of the model's {len(expected)} tensors: {name_list(missing)}. "
            "It is damaged or incomplete: download it again."
        )
    unknown = sorted(name for name in set(found) - set(expected) if not is_side_tensor(name))
    if unknown:
        logger.warning("%s holds %d tensors that are not used: %s", source, len(unknown), name_list(unknown))


def check_tensor_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str = "The file") -> None:
    """Compare the shapes that a file's tensors have with those that the model wants; packed weights are passed over.

    Raises:
        CheckpointError: a shape differs; the message names the tensor.
    """
    for name, tensor in found.items():
        if name not in expected or tensor.dtype in PACKED_DTYPES or tensor.shape == expected[name].shape:
            continue
        raise CheckpointError(
            f"{source}: {name_list([name])} has the shape {list(tensor.shape)}, the model wants "
            f"{list(expected[name].shape)}. The file is damaged or of another variant of the model."
        )


def name_list(names: list[str], shown: int = LISTED_NAMES) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - shown
    return ", ".join(map(_shown, names[:shown])) + (f" and {rest} more" if rest > 0 else "")


def _shown(name: str) -> str:
    """A name as a message can hold it: of some length, and without signs that nobody sees."""
    cut = name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…"
    return "".join(sign if sign.isprintable() else "�" for sign in cut)


def with_optional(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with zeros for the parameters that a file may lack."""
    norm = state.get("audio_blocks.0.self_attn.norm_q.weight")
    if "audio_padding" not in state and norm is not None:
        state["audio_padding"] = torch.zeros_like(norm)
    return state


def _scale_of(checkpoint: Checkpoint, name: str) -> Tensor | None:
    layer = name.removesuffix(".weight")
    for scale in (f"{layer}.weight_scale", f"{layer}.scale_weight"):
        if scale in checkpoint.meta:
            return checkpoint.load(scale)
    return None


def _find_index(path: Path) -> Path | None:
    if path.is_file():
        return path if path.name.endswith(INDEX_SUFFIX) else None
    if not path.is_dir():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    indices = sorted(path.glob(f"*{INDEX_SUFFIX}"))
    if len(indices) > 1:
        raise CheckpointError(
            f"The folder {path} holds several models ({name_list([index.name for index in indices])}): give each a "
            "folder of its own."
        )
    return indices[0] if indices else None


def _single_file(path: Path) -> Path:
    if path.is_dir():
        return _only_file(path)
    if not path.name.lower().endswith(WEIGHT_SUFFIXES):
        raise CheckpointError(
            f"{path.name} is not a safetensors file, and no other kind is read: take the model's .safetensors files, "
            "or save its tensors as one with safetensors.torch.save_file."
        )
    part = re.search(r"-\d+-of-(\d+)\.safetensors$", path.name)
    if part and int(part[1]) > 1:
        raise CheckpointError(
            f"{path.name} is one of {int(part[1])} parts of a model: choose the folder that holds them and their index."
        )
    return path


def _only_file(folder: Path) -> Path:
    files = sorted(file for file in folder.iterdir() if file.name.lower().endswith(WEIGHT_SUFFIXES) and file.is_file())
    if len(files) == 1:
        return _single_file(files[0])
    if files:
        raise CheckpointError(
            f"The folder {folder} holds {len(files)} weight files and no index that says how they belong together: "
            f"download its {INDEX_SUFFIX} file too, or choose one file."
        )
    others = sorted(file.name for file in folder.iterdir() if file.is_file())
    content = f"no .safetensors file, only {name_list(others)}" if others else "no files"
    raise CheckpointError(f"The folder {folder} holds {content}: choose the folder that the model was downloaded to.")


def _read_index(index: Path) -> dict[str, Path]:
    """Each tensor's name and the shard that it lies in."""
    if index.stat().st_size > MOST_HEADER_BYTES:
        raise CheckpointError(
            f"The index {index} has {index.stat().st_size / 1e6:.0f} MB, and no model's has more than "
            f"{MOST_HEADER_BYTES / 1e6:.0f}: it is damaged, or no index. Download it again."
        )
    try:
        weight_map = parsed_json(index.read_text(encoding="utf-8"))["weight_map"]
        listed = {str(name): index.parent / Path(shard).name for name, shard in weight_map.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"The index {index} is damaged: download it again.") from error
    if not listed:
        raise CheckpointError(f"The index {index} lists no tensors: download it again.")
    # Not Path.is_file, which raises where no file can have such a name.
    missing = sorted({file.name for file in listed.values() if not os.path.isfile(file)})
    if missing:
        raise FileNotFoundError(
            f"{name_list(missing)} of {len(set(listed.values()))} shards is missing in {index.parent}: "
            "download it again."
        )
    return listed


def _check_listed(listed: Mapping[str, Path], found: Collection[str]) -> None:
    lacking = [name for name in listed if name not in found]
    if lacking:
        files = name_list(sorted({listed[name].name for name in lacking}))
        raise CheckpointError(
            f"{files} lacks {name_list(lacking)}, which the index says is there: index and shards are of different "
            "versions, download them again."
        )


def _check_headers(files: Collection[Path]) -> None:
    """Refuse headers that would take much memory, before they are read."""
    total = 0
    for file in files:
        with file.open("rb") as opened:
            length, start = opened.read(HEADER_LENGTH_BYTES), opened.read(1)
        header_bytes = int.from_bytes(length, "little")
        # What begins otherwise, or ends earlier, has no header, and is told from one when it is opened.
        total += header_bytes if start == b"{" and header_bytes < file.stat().st_size else 0
        if total > MOST_HEADER_BYTES:
            raise CheckpointError(
                f"{file} begins with {total / 1e6:.0f} MB of names, and no model has more than "
                f"{MOST_HEADER_BYTES / 1e6:.0f}: it is damaged, or not a model. Download it again."
            )


def _open(file: Path) -> safe_open:
    if file.stat().st_size == 0:
        raise CheckpointError(f"{file} is empty: download it again.")
    try:
        return safe_open(file, framework="pt")
    except SafetensorError as error:
        raise CheckpointError(_why_not_opened(file, error)) from error


def _why_not_opened(file: Path, error: SafetensorError) -> str:
    with file.open("rb") as opened:
        start = opened.read(HEADER_LENGTH_BYTES + 1)
    for foreign, kind in FOREIGN_STARTS:
        if start.startswith(foreign):
            return f"{file} is {kind}. Download the .safetensors file of the model."
    if start[HEADER_LENGTH_BYTES:] != b"{":  # a header's first byte, behind its length
        return f"{file} is not a safetensors file, or is damaged: download it again."
    return f"{file} is cut off or damaged ({error}). Delete the file and download it again."


def _merged_metadata(headers: Mapping[Path, dict[str, str]], renamed: Callable[[str], str]) -> dict[str, str]:
    merged = {key: value for header in headers.values() for key, value in header.items()}
    first, layers = dict[str, Any](), dict[str, Any]()
    for file, header in headers.items():
        if QUANTISATION_METADATA not in header:
            continue
        try:
            quantised = parsed_json(header[QUANTISATION_METADATA])
            own = {renamed(strip_prefix(name)): dict(form) for name, form in quantised["layers"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{file}: its description of its quantised layers is damaged. Download it or convert it again."
            ) from error
        first = first or quantised
        layers |= own
    if first:
        merged[QUANTISATION_METADATA] = json.dumps({**first, "layers": layers})
    return merged
