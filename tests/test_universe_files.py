"""UniVerse-1's files: what is read of them, what becomes of them, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from comfy.files import SHARD_NAME, write_shards, write_universe_model
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from uniavgen_core.checkpoint import QUANTISATION_METADATA, Checkpoint, CheckpointError
from uniavgen_core.convert import convert
from uniavgen_core.recognition import empty_model
from uniavgen_core.universe1.stitched_dit import StitchedDiT

TEXT_WIDTH = 64
UNUSED = {
    name: torch.ones(4)
    for name in (
        "speaker_embedder.weight",
        "projectors.0.0.weight",
        "blocks.0.attn1.add_k_proj.weight",
        "blocks.0.attn1.norm_added_k.weight",
        "blocks.1.attn2.add_q_proj.bias",
        "blocks.1.mel_attn.add_v_proj.weight",
        "blocks.1.mel_cross_attn.add_q_proj.weight",
        "blocks.1.attn1.to_add_out.weight",
    )
}
"""As the release has them: of no effect."""


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """A small model under the release's names, with what has no effect."""
    folder = write_universe_model(tmp_path_factory.mktemp("universe") / "model", TEXT_WIDTH, shards=1)
    with safe_open(folder / f"{SHARD_NAME}-00001-of-00001.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()} | UNUSED  # noqa: SIM118 - no dictionary


@pytest.fixture
def folder(released: dict[str, Tensor], tmp_path: Path) -> Path:
    """The release's folder: two shards and an index."""
    return write_shards(tmp_path / "UniVerse-1", released, 2)


def refusal(path: Path) -> str:
    """What is said of a file that is no model."""
    with pytest.raises((CheckpointError, FileNotFoundError)) as caught:
        empty_model(Checkpoint(path).meta, path.name)
    return str(caught.value)


def test_a_release_is_read_under_the_models_names(folder: Path) -> None:
    source = Checkpoint(folder)
    model = empty_model(source.meta, folder.name)
    assert isinstance(model, StitchedDiT) and model.sizes.blocks == 2 and model.sizes.text_width == TEXT_WIDTH
    assert source.meta.keys() == model.state_dict().keys(), "what has no effect is not read"


@pytest.mark.parametrize("dtype", ["bf16", "fp8_e4m3fn"])
def test_a_release_becomes_one_file(folder: Path, released: dict[str, Tensor], tmp_path: Path, dtype: str) -> None:
    target = tmp_path / "one.safetensors"
    convert(folder, target, dtype)
    source = Checkpoint(target)
    assert isinstance(empty_model(source.meta, target.name), StitchedDiT)
    weight = source.load("blocks.1.mel_to_vid.2.weight").float()
    if dtype == "fp8_e4m3fn":
        weight = weight * source.load("blocks.1.mel_to_vid.2.weight_scale")
    assert torch.allclose(weight, released["blocks.1.mel_to_vid.2.weight"], rtol=0.07, atol=0.01)
    assert (source.meta["blocks.0.self_attn.q.weight"].dtype is torch.float8_e4m3fn) == (dtype == "fp8_e4m3fn")
    assert source.meta["time_projection.1.weight"].dtype is not torch.float8_e4m3fn
    used = sum(tensor.numel() for name, tensor in released.items() if name not in UNUSED)
    # Of fp8, the Linears inside blocks take half.
    assert target.stat().st_size < used * (2.1 if dtype == "bf16" else 1.9)


def test_a_missing_shard_is_named(folder: Path) -> None:
    missing = folder / f"{SHARD_NAME}-00002-of-00002.safetensors"
    missing.unlink()
    assert missing.name in refusal(folder)


def test_an_incomplete_model_is_named(released: dict[str, Tensor], tmp_path: Path) -> None:
    file = tmp_path / "incomplete.safetensors"
    save_file({name: tensor for name, tensor in released.items() if name != "lyric_proj.weight"}, file)
    assert all(part in refusal(file) for part in ("incomplete", "lyric_proj.weight", "download it again"))


def test_a_model_of_another_width_is_named(released: dict[str, Tensor], tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file(released | {"genre_embedder.weight": torch.zeros(100, 768)}, file)
    assert "audio width 100" in refusal(file)


def test_unknown_tensors_are_left_out_with_a_warning(
    released: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "more.safetensors"
    save_file(released | {"something_new.weight": torch.zeros(4)}, file)
    with caplog.at_level(logging.WARNING):
        assert isinstance(empty_model(Checkpoint(file).meta, file.name), StitchedDiT)
    assert "something_new.weight" in caplog.text


@pytest.mark.parametrize(
    ("name", "tensor", "fault"),
    [
        ("lyric_encoder.encoders.0.self_attn.pos_bias_u", torch.zeros(0, 64), "no multiple of its 0 heads"),
        ("proj_in.early_conv_layers.0.weight", torch.zeros(33, 8, 16, 1), "33 of proj_in"),
    ],
)
def test_sizes_that_do_not_fit_are_named(
    released: dict[str, Tensor], tmp_path: Path, name: str, tensor: Tensor, fault: str
) -> None:
    file = tmp_path / "other.safetensors"
    save_file(released | {name: tensor}, file)
    assert fault in refusal(file)


def test_quantised_layers_have_the_models_names(released: dict[str, Tensor], tmp_path: Path) -> None:
    """Those that a file under the release's names tells of."""
    file, form = tmp_path / "fp8.safetensors", {"format": "float8_e4m3fn"}
    names = ("blocks.0.attn1.to_q", "blocks.1.ffn.net.2", "blocks.0.mel_attn.to_out.0")
    notes = {"format_version": "1.0", "layers": dict.fromkeys(names, form)}
    save_file(released, file, {QUANTISATION_METADATA: json.dumps(notes)})
    layers = json.loads(Checkpoint(file).metadata[QUANTISATION_METADATA])["layers"]
    assert layers == dict.fromkeys(("blocks.0.self_attn.q", "blocks.1.ffn.2", "blocks.0.mel_attn.to_out.0"), form)


def test_shifts_and_scales_stay_whole_in_gguf(folder: Path, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    convert(folder, tmp_path / "out.gguf", "q8_0")
    reader = gguf.GGUFReader(tmp_path / "out.gguf")
    assert reader.get_field("general.name").contents() == "UniVerse-1"
    types = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    of_tables = {name: kind for name, kind in types.items() if name.endswith(("modulation", "scale_shift_table"))}
    assert len(of_tables) == 6 and set(of_tables.values()) == {"F32"}
    assert types["blocks.0.mel_attn.to_q.weight"] == "Q8_0" and types["genre_embedder.weight"] == "BF16"


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("genre_embedder.weight", "transformer_blocks.0.attn.to_q.weight", "lyric_embs.weight"), "ACE-Step"),
        (("model.diffusion_model.genre_embedder.weight", "text_encoders.umt5base.shared.weight"), "ACE-Step"),
        (("condition_embedder.time_proj.weight", "blocks.0.attn1.to_q.weight"), "Wan"),
    ],
    ids=["ACE-Step", "its checkpoint", "Wan of diffusers"],
)
def test_the_models_that_it_was_made_from_are_refused(tmp_path: Path, names: tuple[str, ...], kind: str) -> None:
    file = tmp_path / "part.safetensors"
    save_file({name: torch.zeros(4, 4) for name in names}, file)
    assert f"part.safetensors looks like {kind}" in refusal(file)
