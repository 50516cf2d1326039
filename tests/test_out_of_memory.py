"""A device whose memory is too small for a prompt: ComfyUI says so itself, and goes on with the next one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from comfy.graphs import Prompt, api_workflow, id_of, ids_of, nodes_of, set_inputs
from comfy.install import ComfyInstall
from comfy.prompt_errors import PromptFailed
from comfy.server import ComfyServer

PACK = Path(__file__).absolute().parent.parent
TEST_PACK = Path(__file__).absolute().parent / "comfy" / "test_pack"
COMFYUI_SAYS = "This error means you ran out of memory on your GPU."
SMALL_SIDE, LARGE_SIDE = 64, 256
MOST_TOKENS = 250
"""A clip of the large side has 64 tokens of picture in each of its 7 latent frames; sound alone has about 150."""
SECONDS = 1.5
HELD_RATIO = 1.02


@pytest.fixture(scope="module")
def server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    # With ComfyUI's other caches, what earlier prompts made is held until memory runs low.
    base, packs = tmp_path_factory.mktemp("memory"), [PACK, TEST_PACK]
    with ComfyServer(comfy_install, base, packs, ["--cache-classic"]) as running:
        yield running


def on_small_device(workflow: str, side: int, seed: int) -> Prompt:
    """A workflow of the small model with pictures of this size, on a device of little memory."""
    prompt = api_workflow(workflow)
    set_inputs(prompt, "UniAVGenLatent", seconds=SECONDS, size__width=side, size__height=side)
    for kind in ("UniAVGenSampler", "UniAVGenScheduler"):
        for node in nodes_of(prompt, kind):
            node["inputs"]["steps"] = 2
    for node in prompt.values():
        node["inputs"] |= {name: seed for name in ("seed", "noise_seed") if name in node["inputs"]}
    if ids_of(prompt, "UniAVGenScript"):
        set_inputs(prompt, "UniAVGenScript", script="A happy woman talks. | Hello, three red birds. I like my cat.")
    inputs = {"model": [id_of(prompt, "UniAVGenTinyLoader"), 0], "most_tokens": MOST_TOKENS}
    for kind in ("UniAVGenSampler", "UniAVGenGuider"):
        for node in nodes_of(prompt, kind):
            node["inputs"]["model"] = ["small", 0]
    return prompt | {"small": {"class_type": "HarnessSmallMemory", "inputs": inputs}}


def tensor_bytes(server: ComfyServer, run: int) -> int:
    """What the server holds in tensors; the prompt before is not in its cache any more."""
    prompt: Prompt = {
        "1": {"class_type": "HarnessTensorBytes", "inputs": {"run": run}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    return int("".join(server.run(prompt)["2"]["text"]))


def files_below(server: ComfyServer) -> set[Path]:
    """All that lies in the folders of temp and output."""
    return {path for name in ("temp", "output") for path in (server.base / name).rglob("*") if path.is_file()}


@pytest.mark.parametrize("workflow", ["tiny_joint_generation", "tiny_long_form"])
def test_too_large_a_prompt_fails_as_comfyui_says_and_the_next_one_works(server: ComfyServer, workflow: str) -> None:
    server.run(on_small_device(workflow, SMALL_SIDE, seed=1))
    held, files = tensor_bytes(server, run=1), files_below(server)

    for seed in range(3):
        with pytest.raises(PromptFailed) as caught:
            server.run(on_small_device(workflow, LARGE_SIDE, seed))
        assert caught.value.exception_type.endswith("OutOfMemoryError")
        assert caught.value.message.startswith("CUDA out of memory.")
        assert COMFYUI_SAYS in caught.value.message
    assert files_below(server) == files
    assert tensor_bytes(server, run=2) <= held * HELD_RATIO

    outputs = server.run(on_small_device(workflow, SMALL_SIDE, seed=2))
    (clip,) = [file for file in server.output_files(outputs) if file.suffix == ".mp4"]
    assert clip.stat().st_size
    assert tensor_bytes(server, run=3) <= held * HELD_RATIO
