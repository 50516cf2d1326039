"""GGUF files, which ComfyUI-GGUF reads."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import comfy.sd
import folder_paths
import pytest
import torch
from clips import assert_close, assert_equal, assert_kept, base, lora, refused, sample
from joint_kinds import UNIAVGEN, JointKind
from pack.nodes.comfy_loading import load_gguf
from pack.nodes.loaders import ModelLoader, model_choices
from pack.tests.common import relative_error
from pack.uniavgen_core import convert

import nodes as comfy_nodes

CLASS = "UnetLoaderGGUF"


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    """ComfyUI-GGUF out of ComfyUI's own custom_nodes."""
    folder = Path(comfy_nodes.__file__).parent / "custom_nodes" / "ComfyUI-GGUF"
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} in ComfyUI's custom_nodes")
    spec = spec_from_file_location("gguf_reader", folder / "__init__.py", submodule_search_locations=[str(folder)])
    sys.modules["gguf_reader"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["gguf_reader"])
    return sys.modules["gguf_reader"]


@pytest.fixture
def with_reader(reader: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """ComfyUI with ComfyUI-GGUF."""
    for name, node in reader.NODE_CLASS_MAPPINGS.items():
        monkeypatch.setitem(comfy_nodes.NODE_CLASS_MAPPINGS, name, node)


def gguf_file(form: str, name: str = "", of: JointKind = UNIAVGEN) -> str:
    """A model's name among the loader's choices, converted to GGUF."""
    folder = base() / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / (name or f"{of.name}_{form}.gguf")
    if not file.exists():
        convert.convert(of.file(), folder / f"{form}.gguf", form)
        (folder / f"{form}.gguf").rename(file)
    return file.name


def test_a_file_is_not_offered_without_what_reads_it() -> None:
    name = gguf_file("q4_1")
    assert name not in model_choices()
    assert "install it and restart ComfyUI" in ModelLoader.validate_inputs(name)


def test_a_file_is_taken_with_what_reads_it(with_reader: None) -> None:
    assert ModelLoader.validate_inputs(gguf_file("q4_1")) is True


def test_another_version_of_what_reads_it_is_named(with_reader: None, monkeypatch: pytest.MonkeyPatch) -> None:
    other = type(CLASS, (), {"__module__": "re"})
    monkeypatch.setitem(comfy_nodes.NODE_CLASS_MAPPINGS, CLASS, other)
    with refused("of another version"):
        ModelLoader.execute(gguf_file("q4_1"), "default")


@pytest.mark.parametrize(("form", "limit"), [("q8_0", 0.02), ("q5_1", 0.1), ("q4_0", 0.2)])
def test_a_file_runs(with_reader: None, kind: JointKind, form: str, limit: float) -> None:
    name, latent = gguf_file(form, of=kind), kind.latent(2)
    assert ModelLoader.validate_inputs(name) is True
    samples = kind.sample(ModelLoader.execute(name, "default")[0], latent, 2)
    assert_kept(latent, samples)
    errors = [relative_error(a, b) for a, b in zip(samples, kind.sample(kind.model(), latent, 2), strict=True)]
    assert 1e-6 < min(errors) and max(errors) < limit


def test_a_file_has_its_own_weight_dtype(with_reader: None) -> None:
    with refused("set weight_dtype to"):
        ModelLoader.execute(gguf_file("q8_0"), "fp8_e4m3fn")


def test_a_name_in_capitals_is_a_file_too(with_reader: None) -> None:
    ModelLoader.execute(gguf_file("q5_0", "CAPITALS.GGUF"), "default")


def test_a_model_is_made_again_for_another_card(with_reader: None, short_latent: dict) -> None:
    patcher = ModelLoader.execute(gguf_file("q8_0"), "default")[0]
    factory, arguments = patcher.cached_patcher_init
    again = factory(*arguments)
    assert type(again) is type(patcher) and again.model is not patcher.model
    assert_equal(sample(again, short_latent, 2), sample(patcher, short_latent, 2))


def test_a_lora_fits(with_reader: None, kind: JointKind) -> None:
    packed, latent = ModelLoader.execute(gguf_file("q8_0", of=kind), "default")[0], kind.latent(2)
    plain = kind.sample(packed, latent, 2)
    weights = lora([*kind.wan_layers], kind.model(), "diffusers")
    changed = []
    for source in (packed, kind.model()):
        patched, _ = comfy.sd.load_lora_for_models(source, None, weights, 1.0, 0.0)
        changed.append(kind.sample(patched, latent, 2))
    assert relative_error(changed[0][0], plain[0]) > 1e-3
    assert_equal(kind.sample(packed, latent, 2), plain)
    assert_close(*changed, 0.05)


def test_a_broken_file_is_named(with_reader: None, tmp_path: Path) -> None:
    whole = Path(folder_paths.get_full_path_or_raise("diffusion_models", gguf_file("q8_0")))
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(whole.read_bytes()[:5000])
    with refused("broken.gguf"):
        load_gguf(str(broken))


def test_a_file_of_another_model_is_named(with_reader: None, tmp_path: Path) -> None:
    import gguf

    other = tmp_path / "other.gguf"
    writer = gguf.GGUFWriter(other, "flux")
    writer.add_tensor("img_in.weight", torch.zeros(32, 32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with refused("other.gguf", "neither UniAVGen nor UniVerse-1"):
        load_gguf(str(other))
