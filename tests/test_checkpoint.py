"""Checkpoints: opening, checking, recognising and loading."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
import torch
from golden_weights import weights_by_rule
from peak_memory import STATUS, printed_number
from safetensors.torch import save_file
from torch import Tensor

from uniavgen_core.backend import torch_operations
from uniavgen_core.checkpoint import (
    DTYPES,
    LISTED_NAMES,
    Checkpoint,
    CheckpointError,
    check_names,
    load_into,
    read_scaled_fp8,
)
from uniavgen_core.config import RELEASED_SIZES, ModelSizes
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.recognition import SIGNATURES, Signature, recognise

SIZES = ModelSizes(4, 256, 384, 128, 256, 64, vocabulary_rows=12, speech_width=16, speech_ffn_width=32)
INDEX = "diffusion_pytorch_model.safetensors.index.json"


def meta_model(sizes: ModelSizes) -> JointDiT:
    return JointDiT(sizes, torch_operations, device=torch.device("meta"))


def meta(*names: str) -> dict[str, Tensor]:
    return {name: torch.empty(8, 8, device="meta") for name in names}


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return weights_by_rule(meta_model(SIZES))


@pytest.fixture
def single(weights: dict[str, Tensor], tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(weights, path, metadata={"format": "pt", "origin": "test"})
    return path


@pytest.fixture
def shards(weights: dict[str, Tensor], tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    names = sorted(weights)
    weight_map = {}
    for part in range(3):
        file = f"diffusion_pytorch_model-{part + 1:05}-of-00003.safetensors"
        save_file({name: weights[name] for name in names[part::3]}, folder / file)
        weight_map.update(dict.fromkeys(names[part::3], file))
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def same(found: dict[str, Tensor], weights: dict[str, Tensor]) -> bool:
    return found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)


def test_single_file(single: Path, weights: dict[str, Tensor]) -> None:
    checkpoint = Checkpoint(single)
    assert checkpoint.metadata["origin"] == "test"
    assert all(tensor.is_meta and tensor.shape == weights[name].shape for name, tensor in checkpoint.meta.items())
    assert all(tensor.dtype == weights[name].dtype for name, tensor in checkpoint.meta.items())
    assert torch.equal(checkpoint.load("patch_embedding.weight"), weights["patch_embedding.weight"])
    assert same(dict(checkpoint), weights)


@pytest.mark.parametrize("given", ["folder", "index"])
def test_shards_are_streamed_file_by_file(shards: Path, weights: dict[str, Tensor], given: str) -> None:
    checkpoint = Checkpoint(shards if given == "folder" else shards / INDEX)
    assert len(checkpoint.files) == 3
    assert same(dict(checkpoint), weights)
    weight_map = json.loads((shards / INDEX).read_text())["weight_map"]
    order = [weight_map[name] for name, _ in checkpoint]
    assert order == sorted(order)


def test_folder_with_one_file(single: Path, weights: dict[str, Tensor]) -> None:
    assert same(dict(Checkpoint(single.parent)), weights)


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model."])
def test_prefixes_are_removed(tmp_path: Path, weights: dict[str, Tensor], prefix: str) -> None:
    path = tmp_path / "prefixed.safetensors"
    quantised = {"format_version": "1.0", "layers": {f"{prefix}blocks.0.ffn.0": {"format": "float8_e4m3fn"}}}
    metadata = {"_quantization_metadata": json.dumps(quantised)}
    save_file({prefix + name: tensor for name, tensor in weights.items()}, path, metadata=metadata)
    checkpoint = Checkpoint(path)
    assert same(dict(checkpoint), weights)
    assert list(json.loads(checkpoint.metadata["_quantization_metadata"])["layers"]) == ["blocks.0.ffn.0"]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file or folder .*nowhere"):
        Checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="holds no files: choose the folder"):
        Checkpoint(tmp_path)
    (tmp_path / "Wan2.2_VAE.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match="only Wan2.2_VAE.pth"):
        Checkpoint(tmp_path)


def test_several_files_without_index(shards: Path) -> None:
    (shards / INDEX).unlink()
    with pytest.raises(CheckpointError, match="3 weight files and no index"):
        Checkpoint(shards)


def test_one_shard_in_place_of_the_folder(shards: Path) -> None:
    with pytest.raises(CheckpointError, match="one of 3 parts of a model: choose the folder"):
        Checkpoint(shards / "diffusion_pytorch_model-00002-of-00003.safetensors")


def test_missing_shard(shards: Path) -> None:
    (shards / "diffusion_pytorch_model-00002-of-00003.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="00002-of-00003.safetensors of 3 shards is missing .* download it"):
        Checkpoint(shards)


def test_truncated_shard(shards: Path) -> None:
    file = shards / "diffusion_pytorch_model-00003-of-00003.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="00003-of-00003.safetensors is cut off or damaged .* download it again"):
        Checkpoint(shards)


def test_truncated_within_the_header(single: Path) -> None:
    single.write_bytes(single.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="model.safetensors is cut off or damaged"):
        Checkpoint(single)


def test_damaged_header(single: Path) -> None:
    content = bytearray(single.read_bytes())
    content[9:13] = b"\xff\xff\xff\xff"
    single.write_bytes(content)
    with pytest.raises(CheckpointError, match="model.safetensors is cut off or damaged"):
        Checkpoint(single)


def test_damaged_index(shards: Path) -> None:
    (shards / INDEX).write_text('{"weight_map": {"a"')
    with pytest.raises(CheckpointError, match="index .* is damaged"):
        Checkpoint(shards)


def test_index_lists_what_its_shard_lacks(shards: Path) -> None:
    index = json.loads((shards / INDEX).read_text())
    index["weight_map"]["blocks.9.modulation"] = "diffusion_pytorch_model-00001-of-00003.safetensors"
    (shards / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="00001-of-00003.safetensors lacks blocks.9.modulation"):
        Checkpoint(shards)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(100), "is a PyTorch file"),
        (b"GGUF" + b"\xff" * 100, "is a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (b"\xff" * 100, "is not a safetensors file"),
        (b"\x02\0\0\0\0\0\0\0{}", "holds no tensors"),
    ],
)
def test_not_a_safetensors_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint(path)


@pytest.mark.parametrize("name", ["model.pth", "model.ckpt", "model.gguf", "model.bin"])
def test_other_formats(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(CheckpointError, match=f"{name} is not a safetensors file.*save_file"):
        Checkpoint(tmp_path / name)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "U8", "I8", "BOOL", "I64", "BF16"])
def test_types_of_quantised_weights(tmp_path: Path, dtype: str) -> None:
    values = torch.arange(6, dtype=torch.uint8).mul(7).view(1, 6)
    stored = values.bool() if dtype == "BOOL" else values.to(DTYPES[dtype])
    save_file({"a.weight": stored, "a.scale": torch.tensor(0.5)}, tmp_path / "model.safetensors")
    checkpoint = Checkpoint(tmp_path / "model.safetensors")
    assert checkpoint.meta["a.weight"].dtype == stored.dtype
    assert checkpoint.meta["a.scale"].shape == ()
    assert torch.equal(checkpoint.load("a.weight").view(torch.uint8), stored.view(torch.uint8))


def test_a_type_that_torch_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"a.weight": torch.zeros(2, dtype=torch.int16)}, tmp_path / "model.safetensors")
    monkeypatch.delitem(DTYPES, "I16")
    with pytest.raises(CheckpointError, match="holds a.weight as I16, which is not read here"):
        Checkpoint(tmp_path / "model.safetensors")


def test_tensors_do_not_live_in_the_file(single: Path, weights: dict[str, Tensor]) -> None:
    name, tensor = next(iter(Checkpoint(single)))
    single.write_bytes(bytes(single.stat().st_size))
    assert torch.equal(tensor, weights[name])


def test_load_into(shards: Path, weights: dict[str, Tensor]) -> None:
    model = meta_model(SIZES)
    load_into(model, Checkpoint(shards))
    assert same(dict(model.state_dict()), weights)
    assert all(parameter.requires_grad for parameter in model.parameters())
    model = meta_model(SIZES)
    load_into(model, Checkpoint(shards), torch.bfloat16)
    assert same(dict(model.state_dict()), {name: tensor.bfloat16() for name, tensor in weights.items()})


def test_audio_padding_may_be_missing(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    path = tmp_path / "model.safetensors"
    save_file({name: tensor for name, tensor in weights.items() if name != "audio_padding"}, path)
    model = meta_model(SIZES)
    load_into(model, Checkpoint(path))
    assert torch.equal(model.audio_padding, torch.zeros(SIZES.audio_width))


def test_a_stale_tensor_in_another_shard_does_not_count(shards: Path) -> None:
    checkpoint = Checkpoint(shards)
    names = [checkpoint.names_in(file) for file in checkpoint.files]
    assert sum(map(len, names)) == len(checkpoint.meta)
    assert all(stored == name for part in names for stored, name in part.items())


def test_wrong_shape(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    path = tmp_path / "model.safetensors"
    save_file({**weights, "blocks.1.ffn.2.bias": torch.zeros(7)}, path)
    with pytest.raises(CheckpointError, match=r"blocks.1.ffn.2.bias has the shape \[7\], the model wants \[256\]"):
        load_into(meta_model(SIZES), Checkpoint(path))


def test_scaled_fp8_is_multiplied_out(tmp_path: Path) -> None:
    weight = torch.randn(16, 32).to(torch.float8_e4m3fn)
    tensors = {
        "a.weight": weight,
        "a.weight_scale": torch.tensor(0.25),
        "a.comfy_quant": torch.zeros(4, dtype=torch.uint8),
        "b.weight": weight.clone(),
        "b.bias": torch.randn(16),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    checkpoint = Checkpoint(tmp_path / "model.safetensors")
    read = dict(read_scaled_fp8(checkpoint, torch.float32))
    assert torch.equal(read.pop("a.weight"), weight.float() * 0.25)
    assert torch.equal(read.pop("b.weight"), weight.float())
    assert torch.equal(read.pop("b.bias"), tensors["b.bias"])
    assert not read
    as_stored = {name: tensor.dtype for name, tensor in read_scaled_fp8(checkpoint)}
    assert as_stored == {"a.weight": torch.bfloat16, "b.weight": torch.bfloat16, "b.bias": torch.float32}


def test_other_quantised_forms_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a.weight": torch.zeros(4, 4, dtype=torch.int8), "a.weight_scale": torch.ones(4, 1)}, path)
    with pytest.raises(CheckpointError, match="quantised in a form that is not read here .a.weight is stored as int8"):
        dict(read_scaled_fp8(Checkpoint(path)))


def test_missing_names_are_listed() -> None:
    expected = [f"layer.{i:02}.weight" for i in range(30)] + ["audio_padding"]
    with pytest.raises(CheckpointError) as caught:
        check_names(expected[29:30], expected, "model.safetensors")
    message = str(caught.value)
    assert message.startswith("model.safetensors lacks 29 of the model's 31 tensors: layer.00.weight, layer.01.weight")
    assert message.count("layer.") == LISTED_NAMES
    assert "and 9 more" in message
    assert "audio_padding" not in message


def test_unknown_names_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    side = ["a.weight_scale", "a.weight_scale_2", "a.input_scale", "a.scale_weight", "a.comfy_quant", "scaled_fp8"]
    with caplog.at_level(logging.WARNING):
        check_names(["a.weight", *side], ["a.weight"])
        assert not caplog.records
        check_names(["a.weight", "b.weight", "teacher.weight", *side], ["a.weight"])
    assert [record.getMessage() for record in caplog.records] == [
        "The file holds 2 tensors that are not used: b.weight, teacher.weight"
    ]


@pytest.mark.parametrize("sizes", [SIZES, RELEASED_SIZES], ids=["4 blocks", "30 blocks"])
def test_sizes_are_recognised(sizes: ModelSizes) -> None:
    assert recognise(meta_model(sizes).state_dict()) == sizes


def test_packed_weights_are_recognised() -> None:
    names = dict(meta_model(SIZES).state_dict())
    for name, tensor in names.items():
        if tensor.ndim == 2 and name.endswith(".weight"):
            names[name] = torch.empty(tensor.shape[0], tensor.shape[1] // 2, dtype=torch.uint8, device="meta")
    assert recognise(names) == SIZES


def without(prefix: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in meta_model(SIZES).state_dict().items() if not name.startswith(prefix)}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (without("audio_blocks.3."), "4 video blocks but 3 audio blocks"),
        (without("a2v_blocks.1."), "a2v_blocks 0 to 1 are expected, 1 are there"),
        (without("v2a_blocks."), "v2a_blocks 0 to 1 are expected, 0 are there"),
        (without("blocks.1."), "blocks 0 to 2 are expected, 3 are there"),
        (without("head_audio"), "incomplete UniAVGen model, it lacks head_audio.head.weight"),
        (without("text_embedding_video.0.weight"), "lacks text_embedding_video.0.weight"),
        ({**without("?"), "text_embedding_video.0.weight": torch.empty(8)}, "unknown shapes"),
        ({**without("?"), "patch_embedding.weight": torch.empty(8, 8)}, "has not 5 dimensions"),
        (meta_model(ModelSizes(2, 320, 64, 128, 64, 64)).state_dict(), "video width 320 is no multiple of 128"),
        ({}, "neither UniAVGen nor UniVerse-1, nor of another kind"),
        (meta("some.weight"), "holds some.weight and others"),
    ],
)
def test_damaged_and_unknown_models(names: dict[str, Tensor], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        recognise(names, "model.safetensors")


WAN = ["head.modulation", "head.head.weight", "blocks.0.self_attn.q.weight", "patch_embedding.weight"]
OTHER_MODELS = [
    ("Wan (video only, no sound)", WAN),
    ("Wan (video only, no sound)", [*WAN, "face_adapter.fuser_blocks.0.k_norm.weight"]),
    ("LTX", ["adaln_single.emb.timestep_embedder.linear_1.bias", "transformer_blocks.0.attn2.to_k.weight"]),
    ("Ovi", ["video_model.blocks.0.self_attn.q.weight", "audio_model.blocks.0.self_attn.q.weight"]),
    ("Ovi", [*WAN, "blocks.0.cross_attn.k_fusion.weight"]),
    ("Flux or Hunyuan Video", ["double_blocks.0.img_attn.norm.key_norm.scale", "img_in.weight"]),
    (
        "Stable Diffusion",
        ["input_blocks.0.0.weight", "cond_stage_model.transformer.text_model.final_layer_norm.weight"],
    ),
    ("another diffusion transformer", ["txt_norm.weight", "img_in.weight", "transformer_blocks.0.img_mod.1.weight"]),
    ("the Wan 2.2 VAE", ["decoder.upsamples.0.upsamples.0.residual.2.weight", "decoder.middle.0.residual.0.gamma"]),
    ("the Wan 2.1 VAE", ["decoder.middle.0.residual.0.gamma", "decoder.conv1.weight"]),
    ("another VAE", ["decoder.1.weight", "decoder.22.bias"]),
    ("another VAE", ["decoder.conv_in.weight", "decoder.conv_out.weight"]),
    ("a text encoder", ["shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"]),
    ("a text encoder", ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.gate_proj.weight"]),
    ("a CLIP vision encoder", ["vision_model.encoder.layers.0.mlp.fc1.weight"]),
    ("a LoRA", [f"{name}.lora_A.weight" for name in ("blocks.0.self_attn.q", "audio_blocks.0.self_attn.q")]),
    ("a LoRA", ["lora_unet_blocks_0_ffn_0.lora_down.weight", "lora_unet_blocks_0_ffn_0.alpha"]),
    ("a vocoder", ["conv_pre.weight", "ups.0.0.weight", "activation_post.act.alpha"]),
    ("a vocoder", ["token2wav.code2wav_bigvgan_model.conv_pre.weight"]),
    ("a training state", ["blocks.0.self_attn.q.weight", "audio_blocks.0.ffn.0.weight.exp_avg"]),
]


@pytest.mark.parametrize(("kind", "names"), OTHER_MODELS)
def test_other_models_are_named(kind: str, names: list[str]) -> None:
    with pytest.raises(CheckpointError, match=f"^picked.safetensors looks like {re.escape(kind)}.* not like"):
        recognise(meta(*names), "picked.safetensors")


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: signature.kind)
def test_no_signature_hides_another(signature: Signature) -> None:
    for pattern in signature.names:
        tensors = meta(pattern.replace("*", "x"))
        assert next(other for other in SIGNATURES if other.fits(tensors)) == signature


MEMORY_SCRIPT = """
import torch
from peak_memory import PeakMemory
from uniavgen_core.backend import torch_operations
from uniavgen_core.checkpoint import Checkpoint, load_into
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.recognition import recognise

dtype = {"bfloat16": torch.bfloat16, "None": None}[sys.argv[2]]
checkpoint = Checkpoint(sys.argv[1])
model = JointDiT(recognise(checkpoint.meta), torch_operations, device="meta")
with PeakMemory() as taken:
    load_into(model, checkpoint, dtype)
print(taken.bytes / sum(parameter.nbytes for parameter in model.parameters()))
"""


@pytest.mark.skipif(not STATUS.exists(), reason="memory is read from Linux's /proc")
@pytest.mark.parametrize("dtype", ["None", "bfloat16"])
def test_peak_memory_is_the_model_once(tmp_path: Path, dtype: str) -> None:
    sizes = ModelSizes(8, 512, 2048, 128, 256, 64)
    path = tmp_path / "model.safetensors"
    names = meta_model(sizes).state_dict()
    save_file({name: torch.zeros_like(tensor, device="cpu") for name, tensor in names.items()}, path)
    assert 0.9 < printed_number(MEMORY_SCRIPT, str(path), dtype) < 1.4
