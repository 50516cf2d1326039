"""The harness itself, on core nodes and a stub pack: that it starts, runs, cancels, and reports what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from comfy.browser import open_frontend
from comfy.files import joint_weights, small_sizes, write_shards, write_vocoder
from comfy.install import ComfyInstall, find_install
from comfy.prompt_errors import PromptFailed, PromptInterrupted, PromptRejected
from comfy.server import ComfyServer, ServerError
from PIL import Image
from playwright.sync_api import Browser
from safetensors import safe_open

from uniavgen_core.audio.vocoder import load_bigvgan
from uniavgen_core.joint_latent import denormalise_mel

STUB_PACK = Path(__file__).parent / "comfy" / "stub_pack"
IMAGE_PROMPT = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "harness"}},
}


@pytest.fixture(scope="module")
def server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(comfy_install, tmp_path_factory.mktemp("harness"), packs=[STUB_PACK]) as running:
        yield running


def wait_prompt(seconds: float = 0.0, error: str = "") -> dict[str, Any]:
    return {"7": {"class_type": "HarnessWait", "inputs": {"seconds": seconds, "error": error}}}


def ui_node(number: int, kind: str, widgets: list[Any], image_input: int | None, image_output: int | None) -> dict:
    """A node of a workflow in UI form, with at most one picture coming in and one going out."""
    return {
        "id": number,
        "type": kind,
        "pos": [100 + 350 * number, 200],
        "size": [300, 150],
        "flags": {},
        "order": number,
        "mode": 0,
        "inputs": [{"name": "images", "type": "IMAGE", "link": image_input}] if kind == "SaveImage" else [],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [image_output]}] if image_output else [],
        "properties": {"Node name for S&R": kind},
        "widgets_values": widgets,
    }


def ui_workflow(*nodes: dict[str, Any]) -> dict[str, Any]:
    """A workflow in which node 1's picture goes to node 2."""
    return {
        "last_node_id": len(nodes),
        "last_link_id": 1,
        "nodes": list(nodes),
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


EMPTY_IMAGE = ui_node(1, "EmptyImage", [64, 48, 1, 255], image_input=None, image_output=1)
SAVE_IMAGE = ui_node(2, "SaveImage", ["dropped"], image_input=1, image_output=None)


def test_core_graph_runs(server: ComfyServer) -> None:
    assert "HarnessWait" in server.object_info()
    files = server.output_files(server.run(IMAGE_PROMPT))
    assert [Image.open(file).size for file in files] == [(64, 48)]


def test_error_names_the_node(server: ComfyServer) -> None:
    with pytest.raises(PromptFailed) as caught:
        server.run(wait_prompt(error="Speech is empty: write a sentence."))
    failure = caught.value
    assert (failure.node_id, failure.node_type) == ("7", "HarnessWait")
    assert (failure.exception_type, failure.message) == ("ValueError", "Speech is empty: write a sentence.")


def test_invalid_prompt_is_rejected(server: ComfyServer) -> None:
    with pytest.raises(PromptRejected) as caught:
        server.run({"2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "harness"}}})
    (error,) = caught.value.node_errors["2"]["errors"]
    assert (error["type"], error["details"]) == ("required_input_missing", "images")


def test_events_and_previews(server: ComfyServer) -> None:
    with server.events() as events:
        prompt_id = server.queue(wait_prompt(seconds=0.5))
        events.wait_for("execution_success", lambda data: data["prompt_id"] == prompt_id)
    assert events.of_type("progress")[-1]["value"] == events.of_type("progress")[-1]["max"] == 10
    assert 1 <= events.previews <= 10


def test_interrupt_leaves_the_queue_usable(server: ComfyServer) -> None:
    with server.events() as events:
        prompt_id = server.queue(wait_prompt(seconds=60.0))
        events.wait_for("executing", lambda data: data["node"] == "7")
        server.interrupt()
        with pytest.raises(PromptInterrupted):
            server.result(prompt_id)
    assert server.run(IMAGE_PROMPT)


def test_broken_pack_stops_the_start(comfy_install: ComfyInstall, tmp_path: Path) -> None:
    pack = tmp_path / "broken_pack"
    pack.mkdir()
    (pack / "__init__.py").write_text("import no_such_module\n")
    server = ComfyServer(comfy_install, tmp_path / "base", packs=[pack])
    with pytest.raises(ServerError, match="no_such_module"), server:
        pass


def test_dropped_workflow_loads_and_runs(server: ComfyServer, chromium: Browser, tmp_path: Path) -> None:
    with open_frontend(chromium, server) as frontend:
        frontend.drop_workflow("core_only", ui_workflow(EMPTY_IMAGE, SAVE_IMAGE))
        assert frontend.problems() == []
        assert frontend.api_prompt()["2"]["inputs"] == {"images": ["1", 0], "filename_prefix": "dropped"}
        (file,) = server.output_files(frontend.run())
        frontend.screenshot(tmp_path / "frontend.png")
    assert Image.open(file).size == (64, 48)
    assert Image.open(tmp_path / "frontend.png").size == (1600, 1000)


def test_frontend_shows_what_is_wrong(server: ComfyServer, chromium: Browser) -> None:
    unknown = ui_node(3, "NoSuchNode", [], image_input=None, image_output=None)
    missing = ui_node(4, "VAELoader", ["no_such_file.safetensors"], image_input=None, image_output=None)
    with open_frontend(chromium, server) as frontend:
        frontend.drop_workflow("broken", ui_workflow(EMPTY_IMAGE, SAVE_IMAGE, unknown, missing))
        problems = frontend.problems()
    assert {"node 3 (NoSuchNode) is of an unknown type", "node 4 (VAELoader) is red"} <= set(problems)


def test_frontend_shows_the_error_of_a_run(server: ComfyServer, chromium: Browser) -> None:
    failing = ui_node(3, "HarnessWait", [0.0, "Zero seconds asked for."], image_input=None, image_output=None)
    with open_frontend(chromium, server) as frontend:
        frontend.drop_workflow("failing", ui_workflow(EMPTY_IMAGE, SAVE_IMAGE, failing))
        with pytest.raises(PromptFailed, match="Zero seconds asked for"):
            frontend.run()
        assert "node 3 (HarnessWait): Zero seconds asked for." in frontend.problems()


def test_video_vae_is_taken(server: ComfyServer, video_vae: Path, tmp_path: Path) -> None:
    noise = torch.randint(256, (64, 96, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    Image.fromarray(noise.numpy()).save(tmp_path / "noise.png")
    prompt = {
        "1": {"class_type": "VAELoader", "inputs": {"vae_name": server.add_model("vae", video_vae)}},
        "2": {"class_type": "LoadImage", "inputs": {"image": server.add_input(tmp_path / "noise.png")}},
        "3": {"class_type": "VAEEncode", "inputs": {"pixels": ["2", 0], "vae": ["1", 0]}},
        "4": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 0]}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "decoded"}},
        "6": {"class_type": "SaveLatent", "inputs": {"samples": ["3", 0], "filename_prefix": "encoded"}},
    }
    outputs = server.run(prompt)
    (picture,) = server.output_files({"5": outputs["5"]})
    (latent,) = server.output_files({"6": outputs["6"]})
    with safe_open(latent, framework="pt") as file:
        encoded = file.get_tensor("latent_tensor")
    assert encoded.shape == (1, 48, 1, 4, 6)
    assert 0.3 < encoded.std() < 3
    pixels = numpy.array(Image.open(picture)) / 255
    assert Image.open(picture).size == (96, 64)
    assert 0.02 < pixels.std() < 0.4


def test_shards_hold_each_tensor_once(tmp_path: Path) -> None:
    weights = joint_weights(small_sizes(text_width=64))
    folder = write_shards(tmp_path / "joint", weights, shards=3)
    index = json.loads((folder / "diffusion_pytorch_model.safetensors.index.json").read_text())
    held: dict[str, str] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as shard:
            held.update({name: file.name for name in shard.keys()})  # noqa: SIM118
    assert held == index["weight_map"]
    assert held.keys() == weights.keys()
    assert len(set(held.values())) == 3


@torch.no_grad()
def test_vocoder_is_audible(tmp_path: Path) -> None:
    mel = denormalise_mel(torch.randn(1, 30, 80, generator=torch.Generator().manual_seed(1)))
    assert 0.02 < load_bigvgan(write_vocoder(tmp_path / "vocoder"))(mel).std() < 0.5


def test_install_is_found(tmp_path: Path) -> None:
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "pack"
    python = tmp_path / "ComfyUI" / ".venv" / "bin" / "python"
    for file in (pack / "__init__.py", python, tmp_path / "ComfyUI" / "main.py"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    around_the_pack = ComfyInstall(tmp_path / "ComfyUI", python)
    assert find_install({}, pack) == around_the_pack
    assert find_install({"COMFYUI_PATH": str(tmp_path / "ComfyUI")}, tmp_path / "elsewhere") == around_the_pack
    assert find_install({}, tmp_path / "elsewhere") is None
    with pytest.raises(ValueError, match="has no main.py"):
        find_install({"COMFYUI_PATH": str(tmp_path)}, pack)
    python.unlink()
    with pytest.raises(ValueError, match="set COMFYUI_PYTHON"):
        find_install({"COMFYUI_PATH": str(tmp_path / "ComfyUI")}, pack)
