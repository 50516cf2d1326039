"""Checkpoints: opening, checking, recognising and loading safetensors files.

A checkpoint is one safetensors file or a folder of shards with an index. Opening one reads the headers only, and finds
missing and truncated files there, before gigabytes are read. Names lose the prefixes that hosts put before them.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors import safe_open
from torch import Tensor, nn

from .config import HEAD_WIDTH, ModelSizes

logger = logging.getLogger(__name__)

PREFIXES = ("model.diffusion_model.", "diffusion_model.")
INDEX_SUFFIX = ".safetensors.index.json"
WEIGHT_SUFFIXES = (".safetensors", ".sft")
OPTIONAL_NAMES = frozenset({"audio_padding"})
"""Parameters that a file may lack; they are zeros then."""
LISTED_NAMES = 20
"""Names that one message lists; the rest are counted."""
MAX_HEADER_BYTES = 100_000_000
"""The limit that the safetensors library sets, too."""
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
FLOAT8_DTYPES = (torch.float8_e4m3fn, torch.float8_e5m2)

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


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: its file, its name in it, its first byte, and what the bytes mean."""

    file: Path
    name: str
    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> Tensor:
        """The tensor, read into memory of its own."""
        values = numpy.fromfile(self.file, dtype=numpy.uint8, count=self.nbytes, offset=self.start)
        return torch.from_numpy(values).view(self.dtype).reshape(self.shape)


class Checkpoint:
    """An opened checkpoint, of which only the headers have been read.

    Args:
        path: a safetensors file, a folder that holds one or that holds shards and their index, or the index itself.

    Attributes:
        path: as given.
        files: the safetensors files, in order.
        meta: each tensor's name, without prefix, and a meta tensor of its shape and data type; in the order in which
            the tensors lie in the files.
        metadata: the text that the files' headers carry; names of quantised layers in it have no prefix either.

    Raises:
        FileNotFoundError: there is no such file or folder, or a shard is missing.
        CheckpointError: there are no weights, or they are damaged, or in another format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        index = _find_index(self.path)
        listed = None if index is None else _read_index(index)
        self.files = [_single_file(self.path)] if listed is None else sorted(set(listed.values()))
        headers = {file: _read_header(file) for file in self.files}
        self.metadata = _merged_metadata([metadata for _, metadata in headers.values()])
        self._stored = self._collect([tensor for tensors, _ in headers.values() for tensor in tensors], listed)
        self.meta = {name: torch.empty(t.shape, dtype=t.dtype, device="meta") for name, t in self._stored.items()}

    def _collect(self, tensors: list[StoredTensor], listed: Mapping[str, Path] | None) -> dict[str, StoredTensor]:
        if listed is not None:
            tensors = [tensor for tensor in tensors if listed.get(tensor.name) == tensor.file]
            _check_listed(listed, {tensor.name for tensor in tensors})
        if not tensors:
            raise CheckpointError(f"{self.path} holds no tensors: download it again.")
        stored = {strip_prefix(tensor.name): tensor for tensor in tensors}
        if len(stored) < len(tensors):
            raise CheckpointError(f"{self.path} holds some tensors twice, with and without a prefix: convert it again.")
        return stored

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors one after the other, each in memory of its own that is free when the tensor is."""
        for name, stored in self._stored.items():
            yield name, stored.read()

    def load(self, name: str) -> Tensor:
        """One tensor, in memory of its own. Raises KeyError where the checkpoint has no such name."""
        return self._stored[name].read()

    def mapped(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors that are windows onto the files: memory is taken only where they are used."""
        for file in self.files:
            names = [name for name, stored in self._stored.items() if stored.file == file]
            with safe_open(file, framework="pt", device="cpu") as opened:
                yield from ((name, opened.get_tensor(self._stored[name].name)) for name in names)


def state_dict(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a recognised model, memory-mapped; parameters that a file may lack are added as zeros."""
    return _with_optional(dict(checkpoint.mapped()))


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
    state = {}
    for name, tensor in read_scaled_fp8(checkpoint, dtype):
        if name not in expected:
            continue
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{checkpoint.path.name}: {name} has the shape {list(tensor.shape)}, the model wants "
                f"{list(expected[name].shape)}. The file is damaged or of another variant of the model."
            )
        state[name] = tensor.to(device)
    model.load_state_dict(_with_optional(state), assign=True)


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
            f"{source} lacks {len(missing)} of the model's {len(expected)} tensors: {_listed(missing)}. "
            "It is damaged or incomplete: download it again."
        )
    unknown = sorted(name for name in set(found) - set(expected) if not is_side_tensor(name))
    if unknown:
        logger.warning("%s holds %d tensors that are not used: %s", source, len(unknown), _listed(unknown))


@dataclass(frozen=True)
class Signature:
    """Tensor names that give a kind of file away.

    Attributes:
        kind: what to call it, with its article.
        names: patterns, each of which some tensor's name must match.
        without: patterns that no tensor's name may match.
        channels: where names do not tell, the input channels of `patch_embedding.weight`.
        advice: what to do with such a file.
    """

    kind: str
    names: tuple[str, ...]
    without: tuple[str, ...] = ()
    channels: int | None = None
    advice: str = "Choose the UniAVGen model's folder or file instead."

    def fits(self, meta: Mapping[str, Tensor]) -> bool:
        """Whether a file with these tensors is of this kind."""
        if not all(_any_fits(meta, pattern) for pattern in self.names):
            return False
        if any(_any_fits(meta, pattern) for pattern in self.without):
            return False
        return self.channels is None or _patch_channels(meta) == self.channels


_AS_LORA = "A LoRA is applied to a loaded model, with a LoRA loader."
_AS_VAE = "Load it as the VAE, and choose the UniAVGen model's folder or file here."
_AS_TEXT_ENCODER = "Load it as the text encoder, and choose the UniAVGen model's folder or file here."
_AS_AUDIO_CODEC = "Load it as the audio codec, and choose the UniAVGen model's folder or file here."
_WAN = ("head.modulation", "blocks.0.self_attn.q.weight")

SIGNATURES = (
    Signature("a training state (an optimiser's)", ("*.exp_avg",), advice="Choose the trained weights instead."),
    Signature("a training state (an optimiser's)", ("optimizer.*",), advice="Choose the trained weights instead."),
    Signature("a LoRA", ("*.lora_A*",), advice=_AS_LORA),
    Signature("a LoRA", ("*.lora_down.weight",), advice=_AS_LORA),
    Signature("a LoRA (LoKr)", ("*.lokr_w1*",), advice=_AS_LORA),
    Signature("a LoRA (LoHa)", ("*.hada_w1_a",), advice=_AS_LORA),
    Signature("a LoRA (weight differences)", ("*.diff",), advice=_AS_LORA),
    Signature("a ControlNet", ("control_model.input_blocks.0.0.weight",)),
    Signature("a ControlNet", ("controlnet_blocks.*",)),
    Signature("Ovi (video and sound)", ("video_model.blocks.*", "audio_model.blocks.*")),
    Signature("Ovi (video and sound)", ("blocks.0.cross_attn.k_fusion.weight",)),
    Signature(
        "LTX-2 (video and sound)", ("adaln_single.emb.timestep_embedder.linear_1.bias", "audio_adaln_single.linear.*")
    ),
    Signature("PixArt", ("adaln_single.emb.timestep_embedder.linear_1.bias", "pos_embed.proj.bias")),
    Signature("LTX-Video", ("adaln_single.emb.timestep_embedder.linear_1.bias", "transformer_blocks.0.attn2.to_k.*")),
    Signature("MiniMax H3 (video and sound)", ("video_patch_proj.weight", "audio_patch_proj.weight")),
    Signature("Hunyuan Video", ("txt_in.individual_token_refiner.blocks.0.norm1.weight",)),
    Signature("Flux.2", ("double_blocks.0.*", "double_stream_modulation_img.lin.weight")),
    Signature("Chroma", ("double_blocks.0.*", "distilled_guidance_layer.*")),
    Signature("Flux", ("double_blocks.0.img_attn.norm.key_norm.*", "img_in.weight")),
    Signature("Hunyuan 3D", ("latent_in.weight", "cond_in.weight", "double_blocks.0.*")),
    Signature("Stable Diffusion 3", ("joint_blocks.0.context_block.attn.qkv.weight",)),
    Signature("SDXL", ("input_blocks.0.0.weight", "label_emb.0.0.weight")),
    Signature("Stable Diffusion 1.5 or 2", ("input_blocks.0.0.weight", "middle_block.*")),
    Signature("a Stable Diffusion U-Net", ("down_blocks.0.resnets.0.conv1.weight", "time_embedding.linear_1.weight")),
    Signature("Qwen-Image", ("txt_norm.weight", "img_in.weight", "transformer_blocks.0.*")),
    Signature("Lumina 2 or Z-Image", ("cap_embedder.1.weight", "noise_refiner.0.*")),
    Signature("HiDream", ("caption_projection.0.linear.weight",)),
    Signature("Mochi", ("t5_yproj.weight",)),
    Signature("CogVideoX", ("blocks.0.norm1.linear.weight",)),
    Signature("Cosmos", ("*blocks.block0.blocks.0.block.attn.to_q.0.weight",)),
    Signature("Cosmos Predict 2", ("*blocks.0.mlp.layer1.weight", "*x_embedder.proj.1.weight")),
    Signature("Kandinsky 5", ("visual_transformer_blocks.0.cross_attention.key_norm.weight",)),
    Signature("ACE-Step (music)", ("*genre_embedder.weight", "*lyric_embs.weight")),
    Signature("ACE-Step 1.5 (music)", ("*encoder.lyric_encoder.layers.0.input_layernorm.weight",)),
    Signature("Stable Audio", ("*transformer.rotary_pos_emb.inv_freq", "*to_timestep_embed.0.weight")),
    Signature("F5-TTS (speech)", ("*transformer.text_embed.text_embed.weight", "*transformer.transformer_blocks.0.*")),
    Signature("Wan VACE", (*_WAN, "vace_patch_embedding.weight"), ("audio_blocks.*",)),
    Signature("Wan 2.2 S2V", (*_WAN, "casual_audio_encoder.*"), ("audio_blocks.*",)),
    Signature("HuMo (Wan)", (*_WAN, "audio_proj.audio_proj_glob_1.layer.bias"), ("audio_blocks.*",)),
    Signature("Wan Animate", (*_WAN, "face_adapter.*"), ("audio_blocks.*",)),
    Signature("Wan 2.2 5B (video only, no sound)", _WAN, ("audio_blocks.*",), 48),
    Signature("Wan 2.1 or 2.2 (video only, no sound)", _WAN, ("audio_blocks.*",)),
    Signature("Wan (video only, no sound)", ("condition_embedder.time_embedder.linear_1.*", "blocks.0.attn1.to_q.*")),
    Signature("the Wan 2.2 VAE", ("decoder.upsamples.0.upsamples.0.residual.2.weight",), advice=_AS_VAE),
    Signature(
        "the Wan 2.1 VAE",
        ("decoder.middle.0.residual.0.gamma",),
        advice="UniAVGen needs the Wan 2.2 VAE, and its own folder or file here.",
    ),
    Signature("a tiny video VAE (TAEHV)", ("decoder.22.bias", "decoder.1.weight"), advice=_AS_VAE),
    Signature("a tiny VAE (TAESD)", ("taesd_decoder.1.weight",)),
    Signature("the LTX VAE", ("decoder.up_blocks.0.res_blocks.0.conv1.conv.weight",)),
    Signature("a video VAE (Hunyuan Video or CogVideoX)", ("decoder.conv_in.conv.weight",)),
    Signature("an audio VAE", ("*vocoder.activation_post.downsample.lowpass.filter",)),
    Signature("an audio VAE", ("*vocoder.resblocks.0.convs1.0.weight",)),
    Signature("an audio VAE", ("decoder.layers.1.layers.0.beta",)),
    Signature("an image VAE", ("decoder.conv_in.weight", "decoder.conv_out.*")),
    Signature("a T5 or umT5 text encoder", ("*encoder.block.0.layer.0.SelfAttention.q.*",), advice=_AS_TEXT_ENCODER),
    Signature("a T5 or umT5 text encoder", ("token_embedding.weight", "blocks.0.attn.q.*"), advice=_AS_TEXT_ENCODER),
    Signature("a CLIP text encoder", ("*encoder.layers.0.mlp.fc1.weight", "*embeddings.token_embedding.weight")),
    Signature("a CLIP vision encoder", ("*vision_model.encoder.layers.0.mlp.fc1.weight",)),
    Signature("a language model (a text encoder)", ("*layers.0.self_attn.q_proj.*", "*layers.0.mlp.gate_proj.*")),
    Signature("Qwen2.5-Omni's token2wav", ("*code2wav_bigvgan_model.conv_pre.*",), advice=_AS_AUDIO_CODEC),
    Signature("a vocoder (BigVGAN)", ("conv_pre.*", "ups.0.*", "activation_post.*"), advice=_AS_AUDIO_CODEC),
    Signature("a vocoder (HiFi-GAN)", ("conv_pre.*", "ups.0.*")),
)
"""Kinds of files that people choose by mistake; the first that fits counts, so the special stand before the general."""


def recognise(meta: Mapping[str, Tensor], source: str = "The file") -> ModelSizes:
    """The sizes of a UniAVGen model, from names and shapes alone.

    Args:
        meta: tensors by name, without prefixes; meta tensors do.
        source: what to call the file in an error.

    Raises:
        CheckpointError: the file is of another kind (the message says of which), or of an unknown variant.
    """
    for signature in SIGNATURES:
        if signature.fits(meta):
            raise CheckpointError(
                f"{source} looks like {signature.kind}, not like a UniAVGen model. {signature.advice}"
            )
    if not _any_fits(meta, "audio_blocks.*"):
        raise CheckpointError(
            f"{source} is not a UniAVGen model, nor of another kind that is known here; it holds "
            f"{_listed(list(meta)[:3])} and others. Choose the UniAVGen model's folder or file."
        )
    try:
        sizes = ModelSizes.from_state_dict(meta)
    except KeyError as error:
        raise CheckpointError(
            f"{source} is an incomplete UniAVGen model, it lacks {error.args[0]}: download it again."
        ) from error
    except (IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"{source} holds tensors of unknown shapes: it is damaged, download it again.") from error
    faults = _variant_faults(meta, sizes)
    if faults:
        raise CheckpointError(
            f"{source} is a damaged UniAVGen model, or a variant that is not known: {'; '.join(faults)}. "
            "Download it again, or choose the released model."
        )
    return sizes


def _variant_faults(meta: Mapping[str, Tensor], sizes: ModelSizes) -> list[str]:
    faults = []
    audio_blocks = _indices(meta, "audio_blocks")
    if len(audio_blocks) != sizes.blocks:
        faults.append(f"{sizes.blocks} video blocks but {len(audio_blocks)} audio blocks")
    counts = {"blocks": sizes.blocks, "a2v_blocks": sizes.interactions, "v2a_blocks": sizes.interactions}
    for prefix, wanted in counts.items():
        found = _indices(meta, prefix)
        if found != set(range(wanted)):
            faults.append(f"{prefix} 0 to {wanted - 1} are expected, {len(found)} are there")
    for stream, width in {"video": sizes.video_width, "audio": sizes.audio_width}.items():
        if width % HEAD_WIDTH:
            faults.append(f"the {stream} width {width} is no multiple of {HEAD_WIDTH}")
    if len(sizes.patch) != 3:
        faults.append("patch_embedding.weight has not 5 dimensions")
    return faults


def _indices(meta: Mapping[str, Tensor], prefix: str) -> set[int]:
    parts = (name.split(".") for name in meta if name.startswith(f"{prefix}."))
    return {int(part[1]) for part in parts if part[1].isdecimal()}


def _any_fits(names: Collection[str], pattern: str) -> bool:
    return pattern in names if "*" not in pattern else any(fnmatchcase(name, pattern) for name in names)


def _patch_channels(meta: Mapping[str, Tensor]) -> int | None:
    weight = meta.get("patch_embedding.weight")
    return None if weight is None or weight.ndim < 2 else weight.shape[1]


def _listed(names: list[str]) -> str:
    rest = len(names) - LISTED_NAMES
    return ", ".join(names[:LISTED_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _with_optional(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if "audio_padding" not in state:
        state["audio_padding"] = torch.zeros_like(state["audio_blocks.0.self_attn.norm_q.weight"])
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
            f"The folder {path} holds several models: choose one of {_listed([index.name for index in indices])}."
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
    files = sorted(file for file in folder.iterdir() if file.name.lower().endswith(WEIGHT_SUFFIXES))
    if len(files) == 1:
        return _single_file(files[0])
    if files:
        raise CheckpointError(
            f"The folder {folder} holds {len(files)} weight files and no index that says how they belong together: "
            f"download its {INDEX_SUFFIX} file too, or choose one file."
        )
    others = sorted(file.name for file in folder.iterdir() if file.is_file())
    content = f"no .safetensors file, only {_listed(others)}" if others else "no files"
    raise CheckpointError(f"The folder {folder} holds {content}: choose the folder that the model was downloaded to.")


def _read_index(index: Path) -> dict[str, Path]:
    """Each tensor's name and the shard that it lies in."""
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        listed = {str(name): index.parent / Path(shard).name for name, shard in weight_map.items()}
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"The index {index} is damaged: download it again.") from error
    missing = sorted({file.name for file in listed.values() if not file.is_file()})
    if missing:
        raise FileNotFoundError(
            f"{_listed(missing)} of {len(set(listed.values()))} shards is missing in {index.parent}: download it again."
        )
    return listed


def _check_listed(listed: Mapping[str, Path], found: Collection[str]) -> None:
    lacking = [name for name in listed if name not in found]
    if lacking:
        files = _listed(sorted({listed[name].name for name in lacking}))
        raise CheckpointError(
            f"{files} lacks {_listed(lacking)}, which the index says is there: index and shards are of different "
            "versions, download them again."
        )


def _read_header(file: Path) -> tuple[list[StoredTensor], dict[str, str]]:
    """A safetensors file's tensors, in the order of their bytes, and its metadata.

    The format: 8 bytes with the header's length, the header as JSON, then the tensors' bytes, without holes.
    """
    size = file.stat().st_size
    if size == 0:
        raise CheckpointError(f"{file} is empty: download it again.")
    with file.open("rb") as opened:
        start = opened.read(9)
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{" or length > MAX_HEADER_BYTES:
            raise CheckpointError(_foreign(file, start))
        if 8 + length > size:
            raise CheckpointError(_truncated(file, size, 8 + length))
        text = b"{" + opened.read(length - 1)
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {})
        entries = sorted(header.items(), key=lambda entry: entry[1]["data_offsets"])
        tensors = [_stored(file, name, 8 + length, entry) for name, entry in entries]
    except (UnicodeDecodeError, json.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The header of {file} cannot be read, it is damaged or of a newer format: download the file again."
        ) from error
    wanted = max((tensor.start + tensor.nbytes for tensor in tensors), default=8 + length)
    if size != wanted:
        raise CheckpointError(_truncated(file, size, wanted))
    return tensors, metadata


def _stored(file: Path, name: str, data_start: int, entry: Mapping[str, Any]) -> StoredTensor:
    start, end = entry["data_offsets"]
    tensor = StoredTensor(file, name, data_start + start, DTYPES[entry["dtype"]], tuple(entry["shape"]))
    if start < 0 or tensor.nbytes != end - start:
        raise ValueError(f"{name} does not fill its bytes")
    return tensor


def _foreign(file: Path, start: bytes) -> str:
    for foreign, kind in FOREIGN_STARTS:
        if start.startswith(foreign):
            return f"{file} is {kind}. Download the .safetensors file of the model."
    return f"{file} is not a safetensors file, or is damaged: download it again."


def _truncated(file: Path, size: int, wanted: int) -> str:
    return (
        f"{file} has {size:,} bytes, but its header wants {wanted:,}: the download was cut off or damaged. "
        "Delete the file and download it again."
    )


def _merged_metadata(headers: list[dict[str, str]]) -> dict[str, str]:
    merged = {key: value for header in headers for key, value in header.items()}
    quantised = [json.loads(header[QUANTISATION_METADATA]) for header in headers if QUANTISATION_METADATA in header]
    if quantised:
        layers = {strip_prefix(name): form for part in quantised for name, form in part["layers"].items()}
        merged[QUANTISATION_METADATA] = json.dumps({**quantised[0], "layers": layers})
    return merged
