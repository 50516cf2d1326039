"""What would let tests in ComfyUI pass without testing anything: a fault that the harness does not report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from comfy.browser import Frontend
from comfy.install import ComfyInstall, find_install
from comfy.server import ComfyServer, ServerError

BROKEN = ("NoSuchNode", []), ("VAELoader", ["no_such_file.safetensors"])


def lone_node(number: int, kind: str, widgets: list[Any]) -> dict[str, Any]:
    """A node of a workflow in UI form, tied to nothing."""
    return {
        "id": number,
        "type": kind,
        "pos": [350 * number, 200],
        "size": [300, 150],
        "flags": {},
        "order": number,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {"Node name for S&R": kind},
        "widgets_values": widgets,
    }


def test_broken_pack_stops_the_start(comfy_install: ComfyInstall, tmp_path: Path) -> None:
    pack = tmp_path / "broken_pack"
    pack.mkdir()
    (pack / "__init__.py").write_text("import no_such_module\n")
    server = ComfyServer(comfy_install, tmp_path / "base", packs=[pack])
    with pytest.raises(ServerError, match="no_such_module"), server:
        pass


def test_frontend_shows_what_is_wrong(frontend: Frontend) -> None:
    nodes = [lone_node(number, *node) for number, node in enumerate(BROKEN, start=1)]
    workflow = {"last_node_id": 2, "last_link_id": 0, "nodes": nodes, "links": [], "groups": [], "version": 0.4}
    frontend.drop_workflow("broken", workflow)
    wanted = {"node 1 (NoSuchNode) is of an unknown type", "node 2 (VAELoader) is red"}
    assert wanted <= set(frontend.problems())


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
