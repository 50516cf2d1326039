"""Files of weights that lie: refused by name, before they cost anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import node_schemas
import pytest
import torch
from fuzzing import DEEP, NUMBERS, damaged, fuzzed, fuzzed_rarely, nothing_left, odd_json, refused_in_words
from golden_weights import weights_by_rule
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from uniavgen_core.audio.vocoder import _read_sizes
from uniavgen_core.backend import torch_operations
from uniavgen_core.checkpoint import MOST_HEADER_BYTES, Checkpoint, CheckpointError
from uniavgen_core.config import ModelSizes
from uniavgen_core.convert import convert
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.recognition import empty_model

pytestmark = pytest.mark.fuzz
SIZES = ModelSizes(2, 128, 128, 128, 64, 32, vocabulary_rows=4, speech_width=8, speech_ffn_width=8, speech_blocks=1)
WEIGHTS = weights_by_rule(JointDiT(SIZES, torch_operations, device=torch.device("meta")))
SMALL = save({"a.weight": torch.ones(2, 3), "b": torch.ones(4, dtype=torch.int8)}, {"format": "pt"})
INDEX = "model.safetensors.index.json"
PART = "model-00001-of-00001.safetensors"


def with_header(header: str | bytes, data: bytes = bytes(64)) -> bytes:
    text = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    return len(text).to_bytes(8, "little") + text + data


def whole(path: Path) -> None:
    """Read all of a checkpoint."""
    checkpoint = Checkpoint(path)
    for name, tensor in checkpoint:
        assert tensor.shape == checkpoint.meta[name].shape


numbers = st.integers(-4, 40) | st.sampled_from(NUMBERS) | st.just(0.5) | st.just(-1)
tensor_facts = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "I8", "F8_E4M3", "F8_E8M0", "F4", "C64", "BOOL", "X", 3]),
        "shape": st.lists(numbers, max_size=4) | odd_json(4),
        "data_offsets": st.tuples(numbers, numbers) | odd_json(4),
    }
)
headers = st.dictionaries(
    st.sampled_from(["a", "model.diffusion_model.a", "b\0", "é"]) | st.text(max_size=5), tensor_facts, max_size=3
)
metadata = st.dictionaries(st.sampled_from(["format", "_quantization_metadata"]), st.text(max_size=5), max_size=2)


@fuzzed
@given(damaged(SMALL))
def test_damaged_safetensors(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(content)
    with nothing_left(path.parent), refused_in_words(path.name):
        whole(path)


@fuzzed
@given(headers, metadata | odd_json(), st.integers(0, 64))
def test_headers_that_lie(tmp_path_factory: pytest.TempPathFactory, header: Any, notes: Any, length: int) -> None:
    path = tmp_path_factory.getbasetemp() / "lies.safetensors"
    path.write_bytes(with_header(json.dumps(header | {"__metadata__": notes}), bytes(length)))
    with refused_in_words(path.name):
        whole(path)


@fuzzed
@given(odd_json() | st.fixed_dictionaries({"layers": st.dictionaries(st.text(max_size=4), odd_json(3), max_size=2)}))
def test_quantisation_that_lies(tmp_path_factory: pytest.TempPathFactory, notes: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "quantised.safetensors"
    path.write_bytes(save({"a": torch.ones(2)}, {"_quantization_metadata": json.dumps(notes)}))
    with refused_in_words(path.name):
        whole(path)


shards = st.sampled_from([PART, f"../{PART}", "/etc/passwd", "..", "", "\0", "x" * 300, "\ud800", INDEX]) | odd_json(3)
indices = st.fixed_dictionaries(
    {"weight_map": st.dictionaries(st.sampled_from(["a.weight", "b", "c"]), shards, max_size=3) | odd_json(5)}
)


@fuzzed
@given(indices.map(json.dumps) | odd_json().map(json.dumps) | st.text(max_size=20))
def test_indices_that_lie(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "shards"
    folder.mkdir(exist_ok=True)
    (folder / PART).write_bytes(SMALL)
    (folder / INDEX).write_bytes(text.encode("utf-8", "surrogatepass"))
    with nothing_left(folder), refused_in_words(str(folder), PART):
        checkpoint = Checkpoint(folder)
        assert {file.parent for file in checkpoint.files} == {folder}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_header(f'{{"a": {DEEP}'), "damaged"),
        (with_header('{"__metadata__": {"a": {}}}'), "damaged"),
        (
            with_header('{"a": {"dtype": "F32", "shape": [0, 18446744073709551615], "data_offsets": [0, 0]}}', b""),
            "shape",
        ),
        (with_header('{"a": ' + " " * MOST_HEADER_BYTES + "1}"), "begins with 10 MB of names"),
        (save({"a": torch.ones(1)}, {"_quantization_metadata": DEEP}), "quantised layers is damaged"),
        (save({"a": torch.ones(1)}, {"_quantization_metadata": "9" * 5000}), "quantised layers is damaged"),
    ],
)
def test_single_lies(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"model.safetensors.*{message}"):
        whole(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DEEP, "damaged"),
        ('{"weight_map": {"a": ' + "9" * 5000 + "}}", "damaged"),
        ('{"weight_map": {}}', "lists no tensors"),
        (" " * (MOST_HEADER_BYTES + 1), "has 10 MB"),
    ],
)
def test_single_lies_of_an_index(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(CheckpointError, match=f"{INDEX}.* {message}"):
        Checkpoint(tmp_path)


shapes = st.lists(st.integers(0, 200) | st.just(2**9), max_size=6)
dtypes = st.sampled_from([torch.float32, torch.uint8, torch.int8, torch.bool, torch.float8_e4m3fn])


@fuzzed_rarely
@given(st.data())
def test_models_of_odd_shapes_are_refused(data: st.DataObject) -> None:
    meta = {name: tensor.to("meta") for name, tensor in WEIGHTS.items()}
    for name in data.draw(st.lists(st.sampled_from(sorted(meta)), max_size=3, unique=True)):
        shape, dtype = data.draw(shapes), data.draw(dtypes)
        meta[name] = torch.empty(shape, dtype=dtype, device="meta")
    for name in data.draw(st.lists(st.sampled_from(sorted(meta)), max_size=2, unique=True)):
        del meta[name]
    for name in data.draw(st.lists(st.sampled_from(["blocks.99", "blocks.x.y", "blocks.", f"blocks.{'9' * 5000}.a"]))):
        meta[name] = torch.empty(1, device="meta")
    with refused_in_words("given.safetensors"):
        empty_model(meta, "given.safetensors")


@fuzzed_rarely
@given(st.data())
def test_conversion_leaves_nothing_half_made(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "convert"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tensors = dict(WEIGHTS)
    for name in data.draw(st.lists(st.sampled_from(sorted(tensors)), max_size=2, unique=True)):
        kind = data.draw(st.sampled_from(["nan", "large", "complex", "int", "other shape", "e8m0"]))
        tensors[name] = {
            "nan": lambda one: one * torch.nan,
            "large": lambda one: one + 1e30,
            "complex": lambda one: one.to(torch.complex64),
            "int": lambda one: one.to(torch.int32),
            "other shape": lambda one: one.reshape(-1),
            "e8m0": lambda one: one.to(torch.float8_e8m0fnu),
        }[kind](tensors[name]).contiguous()
    (folder / "given.safetensors").write_bytes(save(tensors))
    precision, suffix = data.draw(
        st.sampled_from(
            [("bf16", "safetensors"), ("fp16", "safetensors"), ("fp8_e4m3fn", "safetensors"), ("q8_0", "gguf")]
        )
    )
    target = folder / f"made.{suffix}"
    with refused_in_words("given.safetensors"):
        convert(folder / "given.safetensors", target, precision)
    assert {file.name for file in folder.iterdir()} <= {"given.safetensors", target.name}


@fuzzed
@given(odd_json() | st.dictionaries(st.sampled_from(["mel_dim", "upsample_rates", "bigvgan_config"]), odd_json(5)))
def test_vocoder_configs_that_lie(tmp_path_factory: pytest.TempPathFactory, values: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "config.json"
    path.write_text(json.dumps(values))
    with refused_in_words(path.name):
        _read_sizes(path.parent)


def gguf_state(path: str) -> dict[str, torch.Tensor]:
    """Reads as ComfyUI-GGUF does."""
    reader = gguf.GGUFReader(path)
    return {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in reader.tensors}


@pytest.fixture(scope="module")
def gguf_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("gguf")
    (folder / "model.safetensors").write_bytes(save(WEIGHTS))
    convert(folder / "model.safetensors", folder / "model.gguf", "q8_0")
    return (folder / "model.gguf").read_bytes()


@fuzzed
@given(st.data())
def test_gguf_files_that_lie(tmp_path_factory: pytest.TempPathFactory, gguf_bytes: bytes, data: st.DataObject) -> None:
    node_schemas.nodes()
    loading: Any = node_schemas.sys.modules[f"{node_schemas.NAME}.nodes.comfy_loading"]
    path = tmp_path_factory.getbasetemp() / "lies.gguf"
    # Most of a file is weights, which lie to nobody.
    path.write_bytes(data.draw(damaged(gguf_bytes[:6000])) + gguf_bytes[6000:])
    pack = {"gguf_sd_loader": gguf_state}
    made = SimpleNamespace(**vars(loading))
    with pytest.MonkeyPatch.context() as patch, refused_in_words(path.name):
        patch.setattr(loading, "_pack", lambda: pack)
        patch.setattr(loading, "empty_model", lambda meta, name: made.empty_model(meta, name) and _stop())
        loading.load_gguf(str(path))


def _stop() -> None:
    """What is behind is ComfyUI's."""
    raise ValueError("lies.gguf was read")
