"""A blueprint between core nodes: what it takes and gives is what other nodes give and take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from comfy.graphs import Prompt, for_this_version, set_inputs
from comfy.install import ComfyInstall
from comfy.server import ComfyServer
from workflow_source.node_kinds import FRONTEND_ONLY, NOTE

ROOT = Path(__file__).absolute().parent.parent
BLUEPRINT = ROOT / "subgraphs" / "Talking Head from a Portrait - UniAVGen small model.json"
SAMPLE = ROOT / "web" / "samples" / "uniavgen_portrait.png"
STEPS = 2
INPUTS_ID, OUTPUTS_ID = -10, -20


@pytest.fixture(scope="module")
def server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(comfy_install, tmp_path_factory.mktemp("blueprints"), [ROOT]) as running:
        running.add_input(SAMPLE)
        yield running


def inner_prompt(graph: dict[str, Any], given: dict[str, Any]) -> tuple[Prompt, list[Any]]:
    """The inner nodes of a blueprint in API form, and where its VIDEO comes from.

    Args:
        given: links or values of its inputs, by their names; others keep what the inner widgets are set to.
    """
    (definition,) = graph["definitions"]["subgraphs"]
    links = {link["id"]: link for link in definition["links"]}
    prompt: Prompt = {}
    for node in definition["nodes"]:
        if node["type"] == NOTE:
            continue
        values = node.get("widgets_values_named", {})
        inputs = {name: value for name, value in values.items() if name not in FRONTEND_ONLY}
        for slot in node["inputs"]:
            link = links.get(slot["link"])
            if link and link["origin_id"] != INPUTS_ID:
                inputs[slot["name"]] = [str(link["origin_id"]), link["origin_slot"]]
            elif link and (name := definition["inputs"][link["origin_slot"]]["name"]) in given:
                inputs[slot["name"]] = given[name]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    (result,) = (link for link in links.values() if link["target_id"] == OUTPUTS_ID)
    return prompt, [str(result["origin_id"]), result["origin_slot"]]


def test_core_nodes_stand_before_and_behind_it(server: ComfyServer) -> None:
    """A loaded picture is mirrored before it, its clip is enlarged behind it, and the sound is kept."""
    graph = json.loads(BLUEPRINT.read_text("utf-8"))
    given = {"portrait": ["mirrored", 0], "speech": "Hello, two black dogs.", "seconds": 1.0}
    prompt, video = inner_prompt(graph, given)
    set_inputs(prompt, "UniAVGenSampler", steps=STEPS)
    prompt |= {
        "loaded": {"class_type": "LoadImage", "inputs": {"image": SAMPLE.name}},
        "mirrored": {
            "class_type": "ImageFlip",
            "inputs": {"image": ["loaded", 0], "flip_method": "y-axis: horizontally"},
        },
        "parts": {"class_type": "GetVideoComponents", "inputs": {"video": video}},
        "larger": {
            "class_type": "ImageScaleBy",
            "inputs": {"image": ["parts", 0], "upscale_method": "lanczos", "scale_by": 2},
        },
        "joined": {
            "class_type": "CreateVideo",
            "inputs": {"images": ["larger", 0], "audio": ["parts", 1], "fps": ["parts", 2], "bit_depth": 8},
        },
        "saved": {
            "class_type": "SaveVideo",
            "inputs": {
                "video": ["joined", 0],
                "filename_prefix": "video/chained",
                "format": "auto",
                "codec": "auto",
                "format.codec": "auto",
            },
        },
    }
    prompt = for_this_version(prompt, server.object_info())
    (clip,) = server.output_files({"saved": server.run(prompt)["saved"]})
    with av.open(clip) as container:
        (picture,) = container.streams.video
        assert (picture.width, picture.height) == (256, 256)
        assert len(container.streams.audio) == 1
