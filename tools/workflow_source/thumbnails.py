"""The workflows' pictures, which ComfyUI's template browser shows: the frontend's own drawing of each graph."""

from __future__ import annotations

import io
import os
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from comfy.browser import Frontend, find_chromium, launch_chromium, open_frontend
from comfy.graphs import WORKFLOW_NAMES, ui_workflow
from comfy.install import HOW_TO_SET, find_install
from comfy.server import ComfyServer
from PIL import Image
from test_frontends import add_files

PACK_FOLDER = "uniavgen"
SCALE = 0.75
"""Pixels of the screenshot for a unit of the graph."""
LARGEST = (1024, 700)
BYTES = 100_000
QUALITIES = (88, 80, 70, 60)
BORDER, CORNER, SIDEBAR = 10, 150, 500
"""Units around the groups; where the graph begins on the page; room for what the frontend shows beside it."""
HIDE_MESSAGES = "[data-testid=error-overlay], .p-toast {display: none !important}"
SHOW_FROM = """([scale, left, top, corner]) => {
    const box = document.querySelector("#graph-canvas").getBoundingClientRect();
    const view = window.app.canvas.ds;
    view.scale = scale;
    view.offset[0] = (corner - box.x) / scale - left;
    view.offset[1] = (corner - box.y) / scale - top;
    window.app.canvas.setDirty(true, true);
}"""
DRAWN_MILLISECONDS = 1200
"""How long the frontend may take to draw."""


def make_thumbnails(names: Collection[str], pack: Path) -> None:
    """Write `workflows/graphs/NAME.jpg` for each name, or for all workflows where there is none.

    Raises:
        RuntimeError: there is no ComfyUI or no Chromium to draw with.
    """
    install, chromium = find_install(os.environ, pack), find_chromium(os.environ)
    if not install or not chromium:
        raise RuntimeError(f"{HOW_TO_SET}; and CHROMIUM_PATH where chromium is not on the path")
    with TemporaryDirectory() as folder:
        # Its name is shown on the nodes, whatever the checkout is called.
        link = Path(folder) / PACK_FOLDER
        link.symlink_to(pack)
        with ComfyServer(install, Path(folder) / "base", [link]) as server, launch_chromium(chromium) as browser:
            add_files(server)
            with open_frontend(browser, server) as frontend:
                for name in names or WORKFLOW_NAMES:
                    workflow = ui_workflow(name)
                    frontend.drop_workflow(name, workflow)
                    write_small(photograph(frontend, workflow), pack / "workflows" / "graphs" / f"{name}.jpg")


def photograph(frontend: Frontend, workflow: dict[str, Any]) -> Image.Image:
    """The whole graph that is on the page."""
    boxes = [group["bounding"] for group in workflow["groups"]]
    left, top = (min(box[axis] for box in boxes) - BORDER for axis in (0, 1))
    right, bottom = (max(box[axis] + box[axis + 2] for box in boxes) + BORDER for axis in (0, 1))
    width, height = int((right - left) * SCALE), int((bottom - top) * SCALE)
    page = frontend.page
    page.set_viewport_size({"width": width + SIDEBAR, "height": height + SIDEBAR})
    page.add_style_tag(content=HIDE_MESSAGES)
    frontend.settle()
    page.evaluate(SHOW_FROM, [SCALE, left, top, CORNER])
    page.wait_for_timeout(DRAWN_MILLISECONDS)
    taken = page.screenshot(clip={"x": CORNER, "y": CORNER, "width": width, "height": height})
    return Image.open(io.BytesIO(taken)).convert("RGB")


def write_small(picture: Image.Image, file: Path) -> None:
    """Write a JPEG that the template browser loads at once."""
    picture.thumbnail(LARGEST, Image.Resampling.LANCZOS)
    for quality in QUALITIES:
        picture.save(file, quality=quality, optimize=True)
        if file.stat().st_size < BYTES:
            return
