"""The files in `workflows/` and `subgraphs/`: written from the descriptions in `workflow_source/`.

    python tools/workflows.py                         writes them
    python tools/workflows.py --check                 says which are not up to date; exit status 1 where some are
    python tools/workflows.py --thumbnails [NAME…]    takes the open graphs' pictures, in the ComfyUI of COMFYUI_PATH
    python tools/workflows.py --faces [NAME…]         makes the templates' pictures, in the same ComfyUI
    python tools/workflows.py --samples               draws and speaks what `web/samples/` holds

To run after each change of a description, and of a node's inputs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT), str(ROOT / "tests")]

from workflow_source.clip_faces import make_faces  # noqa: E402
from workflow_source.descriptions import flows  # noqa: E402
from workflow_source.sample_media import draw_samples  # noqa: E402
from workflow_source.saved_forms import graph_of, prompt_of  # noqa: E402
from workflow_source.templates import forms  # noqa: E402
from workflow_source.thumbnails import make_thumbnails  # noqa: E402

WORKFLOWS = ROOT / "workflows"
GRAPHS, PROMPTS = WORKFLOWS / "graphs", WORKFLOWS / "api"
BLUEPRINTS = ROOT / "subgraphs"
SAMPLES = ROOT / "web" / "samples"


def generated_files() -> dict[Path, str]:
    """The text of each file: templates, apps and blueprints, and the open graph of each workflow with its API form."""
    files = {}
    for flow in flows():
        files[GRAPHS / f"{flow.name}.json"] = _as_text(graph_of(flow))
        files[PROMPTS / f"{flow.name}.json"] = _as_text(prompt_of(flow))
    for form in forms():
        files[WORKFLOWS / f"{form.file_name}.json"] = _as_text(form.graph())
        if form.template.app:
            files[WORKFLOWS / f"{form.app_name}.json"] = _as_text(form.app())
        if form.has_blueprint:
            files[BLUEPRINTS / f"{form.blueprint_name}.json"] = _as_text(form.blueprint())
    return files


def out_of_date() -> list[Path]:
    """Files that are missing, that say something else than their description, or that have none."""
    files = generated_files()
    there = {file for folder in (WORKFLOWS, GRAPHS, PROMPTS, BLUEPRINTS) for file in folder.glob("*.json")}
    changed = {file for file in there & files.keys() if file.read_text("utf-8") != files[file]}
    return sorted(changed | (there ^ files.keys()))


def _as_text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit status."""
    parser = argparse.ArgumentParser(description="Writes the files in workflows/ from their descriptions.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is not up to date")
    parser.add_argument(
        "--thumbnails", nargs="*", metavar="NAME", help="take the pictures of these workflows, or of all"
    )
    parser.add_argument(
        "--faces", nargs="*", metavar="NAME", help="make the pictures of the templates of these descriptions, or of all"
    )
    parser.add_argument("--samples", action="store_true", help="draw and speak the samples that graphs begin with")
    chosen = parser.parse_args(arguments)
    if chosen.check:
        files = out_of_date()
        for file in files:
            print(f"not up to date: {file.relative_to(ROOT)}")
        return 1 if files else 0
    if chosen.thumbnails is not None:
        make_thumbnails(chosen.thumbnails, ROOT)
        return 0
    if chosen.faces is not None:
        make_faces(chosen.faces, ROOT)
        return 0
    if chosen.samples:
        draw_samples(SAMPLES)
        return 0
    for file, text in generated_files().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
