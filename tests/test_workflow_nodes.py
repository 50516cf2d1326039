"""What the workflows' script knows of nodes is what ComfyUI says of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy.install import ComfyInstall
from comfy.server import ComfyServer
from workflow_source.node_kinds import NOTE, OPTIONAL, NodeKind, node_kinds
from workflow_source.saved_forms import COMFYUI_VERSION

ROOT = Path(__file__).absolute().parent.parent
DYNAMIC, GROWING = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"
EMPTY = {"STRING": "", "INT": 0, "FLOAT": 0, "BOOLEAN": False}
UPLOADS = {
    "image_upload": {"upload": "image"},
    "video_upload": {"upload": "image"},
    "audio_upload": {"audioUI": None, "upload": ""},
}
"""Widgets that the frontend puts behind one that offers files of the input folder."""


@pytest.fixture(scope="module")
def info(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What ComfyUI says of its nodes, of the version that the files are saved for."""
    with ComfyServer(comfy_install, tmp_path_factory.mktemp("nodes"), [ROOT]) as server:
        version = server.request("/system_stats")["system"]["comfyui_version"]
        if version != COMFYUI_VERSION:
            pytest.skip(f"the files are saved for ComfyUI {COMFYUI_VERSION}, this is {version}")
        yield server.object_info()


PLAYERS: dict[str, dict[str, Any]] = {"PreviewAudio": {"audioUI": None}}
"""Widgets that the frontend gives a node, of which the server says nothing."""


@pytest.mark.parametrize("kind", [kind for kind in node_kinds().values() if kind.id != NOTE], ids=lambda kind: kind.id)
def test_a_node_is_as_comfyui_says(info: dict[str, Any], kind: NodeKind) -> None:
    said = info[kind.id]
    assert kind.title == (said["display_name"] or kind.id)
    assert list(kind.outputs.items()) == list(zip(said["output_name"], said["output"], strict=True))
    assert list(kind.links.items()) == list(links(said["input"]).items())
    defaults = widgets(said["input"]) | PLAYERS.get(kind.id, {})
    shown = kind.values({})
    assert list(shown) == list(defaults)
    # None: only files are offered, and the user's at that.
    assert {name: defaults[name] for name in shown if shown[name] is not None} == {
        name: value for name, value in shown.items() if value is not None
    }


def inputs(said: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any], bool]]:
    """Name, type, settings and whether it may be left open, of each input."""
    for need in ("required", "optional"):
        for name, (type, *settings) in said.get(need, {}).items():
            said_more = settings[0] if settings else {}
            if isinstance(type, list):
                yield name, "COMBO", {"options": type, **said_more}, need == "optional"
            else:
                yield name, type, said_more, need == "optional"


def links(said: dict[str, Any]) -> dict[str, str]:
    """As `NodeKind.links`; of inputs that grow in number, three."""
    found = {}
    for name, type, settings, optional in inputs(said):
        if type == GROWING:
            ((part, (grown, *_)),) = settings["template"]["input"]["required"].items()
            found |= {f"{name}.{part}{index}": grown + OPTIONAL * (index > 0) for index in range(3)}
        elif settings.get("forceInput") or type not in (*EMPTY, "COMBO", DYNAMIC):
            found[name] = type + OPTIONAL * optional
    return found


def widgets(said: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name and default of each widget that a new node shows."""
    found: dict[str, Any] = {}
    for name, type, settings, _ in inputs(said):
        first = next(iter(settings.get("options", [])), None)
        if type == DYNAMIC:
            found |= {prefix + name: first["key"]} | widgets(first["inputs"], f"{prefix}{name}.")
        elif type in (*EMPTY, "COMBO") and not settings.get("forceInput"):
            found[prefix + name] = settings.get("default", EMPTY.get(type, first))
        if settings.get("control_after_generate"):
            found["control_after_generate"] = "randomize"
        for upload in UPLOADS.keys() & settings.keys():
            found |= {prefix + name: ""} | UPLOADS[upload]
    return found
