"""Conversion: precision, names, the file's form, and what must not happen to files."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gguf
import pytest
import torch
from comfy.install import ComfyInstall
from golden_weights import weights_by_rule
from peak_memory import STATUS, printed_number
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from uniavgen_core import convert, convert_safetensors
from uniavgen_core.__main__ import main
from uniavgen_core.backend import torch_operations
from uniavgen_core.checkpoint import Checkpoint, CheckpointError, load_into
from uniavgen_core.config import ModelSizes
from uniavgen_core.files import NotInstalledError
from uniavgen_core.model.joint_dit import JointDiT

SIZES = ModelSizes(3, 256, 384, 128, 256, 64, vocabulary_rows=12, speech_width=16, speech_ffn_width=32)


def meta_model() -> JointDiT:
    return JointDiT(SIZES, torch_operations, device=torch.device("meta"))


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return weights_by_rule(meta_model())


@pytest.fixture(params=["single", "shards", "prefixed"])
def source(request: pytest.FixtureRequest, weights: dict[str, Tensor], tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    if request.param == "single":
        save_file(weights, folder / "model.safetensors")
        return folder / "model.safetensors"
    if request.param == "prefixed":
        save_file({f"model.diffusion_model.{name}": weights[name] for name in weights}, folder / "m.safetensors")
        return folder
    return write_shards(folder, weights)


def write_shards(folder: Path, weights: dict[str, Tensor]) -> Path:
    names = sorted(weights)
    for part in range(2):
        shard = {name: weights[name] for name in names[part::2]}
        save_file(shard, folder / f"diffusion_pytorch_model-{part + 1:05}-of-00002.safetensors")
    weight_map = {name: f"diffusion_pytorch_model-{i % 2 + 1:05}-of-00002.safetensors" for i, name in enumerate(names)}
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return folder


@pytest.fixture
def model_file(weights: dict[str, Tensor], tmp_path: Path) -> Path:
    save_file(weights, tmp_path / "model.safetensors", metadata={"origin": "test"})
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_torchs_rounding(
    source: Path, weights: dict[str, Tensor], tmp_path: Path, precision: str
) -> None:
    size = convert.convert(source, tmp_path / "out.safetensors", precision)
    assert size == (tmp_path / "out.safetensors").stat().st_size
    converted = load_file(tmp_path / "out.safetensors")
    assert converted.keys() == weights.keys()
    for name, tensor in converted.items():
        assert tensor.dtype == convert_safetensors.PRECISIONS[precision]
        assert torch.equal(tensor, weights[name].to(convert_safetensors.PRECISIONS[precision])), name
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.safetensors", "source"]


def is_float8(name: str) -> bool:
    layer = name.removesuffix(".weight")
    linear = layer.split(".")[-1] in "qkvo" or ".ffn." in layer
    return linear and "blocks." in name and name.endswith(".weight")


def test_fp8_is_scaled(source: Path, weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "out.safetensors"
    convert.convert(source, path, "fp8_e4m3fn")
    converted = load_file(path)
    for name, weight in weights.items():
        stored = converted.pop(name)
        if not is_float8(name):
            assert torch.equal(stored, weight.bfloat16()), name
            continue
        scale = converted.pop(f"{name}_scale")
        assert (stored.dtype, scale.dtype, scale.shape) == (torch.float8_e4m3fn, torch.float32, ())
        assert scale == weight.abs().max() / 448
        error = (stored.float() * scale - weight).norm() / weight.norm()
        assert 0.01 < error < 0.04, name
    assert not converted


def test_fp8_metadata_names_the_layers(model_file: Path, weights: dict[str, Tensor], tmp_path: Path) -> None:
    convert.convert(model_file, tmp_path / "out.safetensors", "fp8_e4m3fn")
    with safe_open(tmp_path / "out.safetensors", framework="pt") as file:
        metadata = file.metadata()
    layers = json.loads(metadata["_quantization_metadata"])["layers"]
    assert set(layers) == {name.removesuffix(".weight") for name in weights if is_float8(name)}
    assert {layer["format"] for layer in layers.values()} == {"float8_e4m3fn"}
    assert (metadata["format"], metadata["source_dtype"], metadata["origin"]) == ("pt", "F32", "test")
    assert metadata["converted_by"].startswith("uniavgen")


def test_fp8_file_is_loaded_by_the_core(model_file: Path, weights: dict[str, Tensor], tmp_path: Path) -> None:
    convert.convert(model_file, tmp_path / "out.safetensors", "fp8_e4m3fn")
    model = meta_model()
    load_into(model, Checkpoint(tmp_path / "out.safetensors"), torch.float32)
    for name, parameter in model.named_parameters():
        assert (parameter - weights[name]).norm() <= 0.04 * weights[name].norm(), name


def test_tensors_are_aligned(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.safetensors"
    convert.convert(model_file, path, "fp8_e4m3fn")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    widths = {"F32": 4, "BF16": 2, "F8_E4M3": 1}
    entries = [entry for name, entry in header.items() if name != "__metadata__"]
    assert all(entry["data_offsets"][0] % widths[entry["dtype"]] == 0 for entry in entries)


@pytest.mark.parametrize(("form", "limit"), [("q8_0", 0.01), ("q5_1", 0.06), ("q4_0", 0.15)])
def test_gguf_is_quantised_in_the_blocks(
    source: Path, weights: dict[str, Tensor], tmp_path: Path, form: str, limit: float
) -> None:
    path = tmp_path / "out.gguf"
    assert convert.convert(source, path, form) == path.stat().st_size
    reader = gguf.GGUFReader(path)
    assert reader.get_field("general.architecture").contents() == "wan"
    found = {tensor.name: tensor for tensor in reader.tensors}
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        tensor = found[name]
        values = torch.tensor(gguf.quants.dequantize(tensor.data, tensor.tensor_type)).reshape(weight.shape)
        assert list(reversed(tensor.shape.tolist())) == list(weight.shape), name
        if is_float8(name):
            assert tensor.tensor_type.name == form.upper(), name
            assert 1e-3 < (values - weight).norm() / weight.norm() < limit, name
        elif weight.ndim == 1 or "modulation" in name:
            assert torch.equal(values, weight), name
        else:
            assert torch.equal(values, weight.bfloat16().float()), name


def test_rows_that_no_block_fits_are_bf16_in_gguf(tmp_path: Path) -> None:
    sizes = replace(SIZES, audio_ffn_width=250)
    save_file(weights_by_rule(JointDiT(sizes, torch_operations, device="meta")), tmp_path / "model.safetensors")
    convert.convert(tmp_path / "model.safetensors", tmp_path / "out.gguf", "q8_0")
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "out.gguf").tensors}
    assert types["audio_blocks.0.ffn.2.weight"] == "BF16" and types["audio_blocks.0.ffn.0.weight"] == "Q8_0"


def test_gguf_takes_what_the_model_has(weights: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({**weights, "extra.weight": torch.full((2, 2), torch.nan)}, tmp_path / "model.safetensors")
    convert.convert(tmp_path / "model.safetensors", tmp_path / "out.gguf", "q8_0")
    assert "extra.weight" not in {tensor.name for tensor in gguf.GGUFReader(tmp_path / "out.gguf").tensors}


def test_values_too_large_for_gguf(weights: dict[str, Tensor], tmp_path: Path) -> None:
    name = "blocks.0.ffn.0.weight"
    save_file({**weights, name: torch.full_like(weights[name], 1e6)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"{name} holds values too large for q4_1: choose bf16"):
        convert.convert(tmp_path / "model.safetensors", tmp_path / "out.gguf", "q4_1")
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_gguf_without_its_library(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(NotInstalledError, match=r"gguf is needed to write GGUF files .* pip install '.\[gguf\]'"):
        convert.convert(model_file, tmp_path / "out.gguf", "q8_0")
    assert not (tmp_path / "out.gguf").exists()


def test_zero_weight_in_fp8(weights: dict[str, Tensor], tmp_path: Path) -> None:
    zeros = {**weights, "blocks.0.ffn.2.weight": torch.zeros_like(weights["blocks.0.ffn.2.weight"])}
    save_file(zeros, tmp_path / "model.safetensors")
    convert.convert(tmp_path / "model.safetensors", tmp_path / "out.safetensors", "fp8_e4m3fn")
    read = load_file(tmp_path / "out.safetensors")
    assert not read["blocks.0.ffn.2.weight"].float().any()
    assert read["blocks.0.ffn.2.weight_scale"] == 1


def test_unknown_and_integer_tensors_are_kept(weights: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({**weights, "step": torch.tensor([70_000])}, tmp_path / "model.safetensors")
    convert.convert(tmp_path / "model.safetensors", tmp_path / "out.safetensors", "bf16")
    step = load_file(tmp_path / "out.safetensors")["step"]
    assert (step.dtype, step.item()) == (torch.int64, 70_000)


def test_never_overwrites_without_force(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.safetensors"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="out.safetensors exists: give another name, or --force"):
        convert.convert(model_file, path, "bf16")
    assert path.read_bytes() == b"precious"
    convert.convert(model_file, path, "bf16", force=True)
    assert Checkpoint(path).meta["patch_embedding.weight"].dtype == torch.bfloat16


@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_never_overwrites_the_source(model_file: Path, tmp_path: Path, link: str) -> None:
    path = model_file
    if link != "same":
        path = tmp_path / "link.safetensors"
        path.symlink_to(model_file) if link == "symbolic" else path.hardlink_to(model_file)
    before = model_file.read_bytes()
    with pytest.raises(FileExistsError, match="is the source itself"):
        convert.convert(model_file, path, "bf16", force=True)
    assert model_file.read_bytes() == before


def test_never_overwrites_a_shard(weights: dict[str, Tensor], tmp_path: Path) -> None:
    folder = write_shards(tmp_path, weights)
    with pytest.raises(FileExistsError, match="is the source itself"):
        convert.convert(folder, folder / "diffusion_pytorch_model-00001-of-00002.safetensors", "bf16", force=True)


def test_bad_destinations(model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere: make it first"):
        convert.convert(model_file, tmp_path / "nowhere" / "out.safetensors", "bf16")
    with pytest.raises(OSError, match="name of a file that ends in .safetensors"):
        convert.convert(model_file, tmp_path, "bf16")
    with pytest.raises(OSError, match="name of a file that ends in .gguf"):
        convert.convert(model_file, tmp_path / "out.safetensors", "q8_0")


def test_quantised_source_is_refused(model_file: Path, tmp_path: Path) -> None:
    convert.convert(model_file, tmp_path / "fp8.safetensors", "fp8_e4m3fn")
    with pytest.raises(CheckpointError, match="fp8.safetensors is quantised already"):
        convert.convert(tmp_path / "fp8.safetensors", tmp_path / "out.safetensors", "bf16")


def test_incomplete_source_is_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({name: weights[name] for name in weights if "ffn.2.bias" not in name}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="lacks 6 of .* audio_blocks.0.ffn.2.bias"):
        convert.convert(tmp_path / "model.safetensors", tmp_path / "out.safetensors", "bf16")


@pytest.mark.parametrize(
    ("value", "precision", "message"),
    [(1e6, "fp16", "head.head.bias holds values too large for .*float16"), (float("nan"), "bf16", "not numbers")],
)
def test_values_that_do_not_fit(
    weights: dict[str, Tensor], tmp_path: Path, value: float, precision: str, message: str
) -> None:
    bias = torch.full_like(weights["head.head.bias"], value)
    save_file({**weights, "head.head.bias": bias}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        convert.convert(tmp_path / "model.safetensors", tmp_path / "out.safetensors", precision)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def failing(checkpoint: Checkpoint, error: BaseException) -> Iterator[tuple[str, Tensor]]:
    name = next(iter(checkpoint.meta))
    yield name, checkpoint.load(name)
    raise error


@pytest.mark.parametrize(("name", "precision"), [("out.safetensors", "bf16"), ("out.gguf", "q8_0")])
@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), OSError("40 requested and 0 written")],
    ids=["cancelled", "full", "full, as numpy says it"],
)
def test_nothing_half_written_is_left(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, name: str, precision: str
) -> None:
    monkeypatch.setattr(Checkpoint, "__iter__", lambda checkpoint: failing(checkpoint, error))
    expected = f"disk is full, {name} was not written" if isinstance(error, OSError) else None
    with pytest.raises(type(error), match=expected):
        convert.convert(model_file, tmp_path / name, precision)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_too_small_a_disk(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="out.safetensors takes .* GB, but its disk has 0.0 GB left"):
        convert.convert(model_file, tmp_path / "out.safetensors", "bf16")


def test_command_line(
    model_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*more: str) -> tuple[int, str]:
        arguments = ["convert", str(model_file), str(tmp_path / "out.safetensors"), "--dtype", "fp16", *more]
        monkeypatch.setattr(sys, "argv", ["uniavgen_core", *arguments])
        return main(), capfd.readouterr().err

    status, output = run()
    assert status == 0 and "100%" in output
    status, output = run()
    assert status == 1 and "out.safetensors exists" in output
    assert run("--force")[0] == 0


MEMORY_SCRIPT = """
from pathlib import Path
from peak_memory import PeakMemory
from uniavgen_core.backend import torch_operations
from uniavgen_core.config import ModelSizes
from uniavgen_core.convert import convert
from uniavgen_core.model.joint_dit import JointDiT

JointDiT(ModelSizes(1, 128, 8, 128, 8, 8), torch_operations, device="meta")  # imports much of torch, once
source = Path(sys.argv[1])
with PeakMemory() as taken:
    convert(source, source.with_name("out.safetensors"), "fp8_e4m3fn")
print(taken.bytes / source.stat().st_size)
"""


@pytest.mark.skipif(not STATUS.exists(), reason="memory is read from Linux's /proc")
def test_peak_memory_is_a_few_tensors(tmp_path: Path) -> None:
    names = JointDiT(ModelSizes(8, 512, 2048, 128, 256, 64), torch_operations, device=torch.device("meta")).state_dict()
    path = tmp_path / "model.safetensors"
    save_file({name: torch.zeros_like(tensor, device="cpu") for name, tensor in names.items()}, path)
    assert printed_number(MEMORY_SCRIPT, str(path)) < 0.3


COMFYUI_SCRIPT = """
import sys, torch
path = sys.argv[1]
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import comfy.ops, comfy.utils
from comfy.quant_ops import QuantizedTensor
state, metadata = comfy.utils.load_torch_file(path, return_metadata=True)
state, metadata = comfy.utils.convert_old_quants(state, "", metadata=metadata)
assert comfy.utils.detect_layer_quantization(state, "") == {"mixed_ops": True}
weight, scale = state["blocks.1.ffn.0.weight"].clone(), state["blocks.1.ffn.0.weight_scale"].clone()
bias = state["blocks.1.ffn.0.bias"].clone()
operations = comfy.ops.mixed_precision_ops({"mixed_ops": True}, torch.float32)
linear = operations.Linear(weight.shape[1], weight.shape[0])
layer = {name.removeprefix("blocks.1.ffn.0."): state[name] for name in state if name.startswith("blocks.1.ffn.0.")}
missing, unexpected = linear.load_state_dict(layer, strict=False)
assert not missing and not unexpected, (missing, unexpected)
assert isinstance(linear.weight, QuantizedTensor) and linear._full_precision_mm
x = torch.randn(5, weight.shape[1])
expected = x @ (weight.float() * scale).T + bias.float()
print(float((linear(x) - expected).norm() / expected.norm()))
"""


def test_fp8_is_read_by_comfyui(comfy_install: ComfyInstall, model_file: Path, tmp_path: Path) -> None:
    convert.convert(model_file, tmp_path / "out.safetensors", "fp8_e4m3fn")
    command = [str(comfy_install.python), "-c", COMFYUI_SCRIPT, str(tmp_path / "out.safetensors")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=comfy_install.path, check=False)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout.splitlines()[-1]) < 1e-6
