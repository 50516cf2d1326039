"""The templates, apps and blueprints in both frontends and renderers: what they show, run and export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from comfy.browser import NODES_2, Frontend, open_frontend
from comfy.editing import Editor, close_tabs
from comfy.graphs import Prompt, for_this_version, without_meta
from comfy.install import ComfyInstall, newest_frontend
from comfy.server import ComfyServer
from playwright.sync_api import Browser
from test_frontends import Record, add_files, overlaps
from workflow_source.saved_forms import prompt_of
from workflow_source.subgraphs import GIVEN
from workflow_source.templates import TEMPLATES, TemplateForm, forms

ROOT = Path(__file__).absolute().parent.parent
FORMS = [form for form in forms() if not form.tiny or form.template is TEMPLATES[0]]
"""Those of the small model are made in the same way; the first one runs."""
UNPACKED = ("joint_generation", "resync", "dialogue")
"""Descriptions whose templates are taken apart: of one, two and drawn inputs."""
STEPS = 3
OUTSIDE = """() => {
    const {scale, offset} = window.app.canvas.ds;
    const canvas = document.querySelector("#graph-canvas").getBoundingClientRect();
    return window.app.graph.nodes.filter(node => {
        const [left, top, width, height] = node.boundingRect;
        const [x, y] = [(left + offset[0]) * scale, (top + offset[1]) * scale];
        return x < 0 || y < 0 || x + width * scale > canvas.width || y + height * scale > canvas.height;
    }).map(node => node.title).concat(scale === 1 ? [] : [`scale ${scale}`]);
}"""
"""What of the graph is not on the screen at its own size."""
SET_FIELD = """([name, value]) => {
    const [node] = window.app.graph.nodes.filter(node => node.isSubgraphNode?.());
    const widget = node.widgets.find(widget => widget.name === name);
    widget.value = value;
    widget.callback?.(value);
}"""
FIND = {
    "talking head portrait": "joint_generation",
    "voice over": "dubbing",
    "lip sync picture": "audio_driven",
}
"""What is typed into the search of nodes, and whose blueprint comes first."""
SEARCHED_MILLISECONDS, PLACED_MILLISECONDS = 2500, 500
EMPTY_PLACE = (800, 600)
PLACED = "name => window.app.graph.nodes.some(node => node.title === name && node.isSubgraphNode?.())"


@pytest.fixture(scope="module", params=["own", "newest"])
def server(
    request: pytest.FixtureRequest,
    comfy_install: ComfyInstall,
    chromium: Browser,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ComfyServer]:
    """ComfyUI with the pack and its own frontend or the newest one; the samples are not among its inputs."""
    arguments = ["--preview-method", "latent2rgb"]
    if request.param == "newest":
        folder = newest_frontend()
        if folder is None:
            pytest.skip("no newest frontend: install requirements-dev.txt")
        arguments += ["--front-end-root", str(folder)]
    with ComfyServer(comfy_install, tmp_path_factory.mktemp(request.param), [ROOT], arguments) as running:
        add_files(running)
        yield running


@pytest.fixture(scope="module", params=["classic", "nodes2"])
def shared_frontend(request: pytest.FixtureRequest, server: ComfyServer, chromium: Browser) -> Iterator[Frontend]:
    """One page for all tests of a frontend and renderer."""
    with open_frontend(chromium, server, {NODES_2: request.param == "nodes2"}) as page:
        yield page


@pytest.fixture
def frontend(shared_frontend: Frontend) -> Frontend:
    """The shared page with an empty graph in its only tab."""
    close_tabs(shared_frontend)
    shared_frontend.console_errors.clear()
    shared_frontend.script_errors.clear()
    return shared_frontend


def exported(form: TemplateForm, info: dict[str, Any]) -> Prompt:
    """What a template is to run: its description's open graph."""
    return for_this_version(without_meta(prompt_of(form.flow())), info)


def test_templates_show_their_graphs_and_nothing_is_red(server: ComfyServer, frontend: Frontend) -> None:
    """Samples that are not there are brought along; all of a form is on the screen; what it exports is its graph."""
    info = server.object_info()
    failures: list[str] = []
    for form in FORMS:
        record = Record(Editor(frontend, form.file_name, form.graph()))
        record.compare("open", exported(form, info))
        record.add("open", [f"{title} is not on the screen" for title in frontend.page.evaluate(OUTSIDE)])
        record.add("open", overlaps(record.editor.boxes()))
        if form.template.describe.__name__ in UNPACKED:
            record.editor.unpack_subgraphs()
            record.compare("subgraph unpacked", exported(form, info))
        failures += [f"{form.file_name}, {line}" for line in record.lines]
    assert not failures, "\n" + "\n".join(failures)


def test_the_first_template_runs_as_it_opens(server: ComfyServer, frontend: Frontend) -> None:
    (form,) = (form for form in FORMS if form.tiny and form.template is FORMS[0].template)
    frontend.drop_workflow(form.file_name, form.graph())
    frontend.page.evaluate(SET_FIELD, ["steps", STEPS])
    (clip,) = server.output_files(frontend.run())
    assert frontend.problems() + frontend.script_errors + frontend.console_errors == []
    with av.open(clip) as container:
        assert {stream.type for stream in container.streams} == {"video", "audio"}


@pytest.mark.parametrize("nodes_2", [False, True], ids=["classic", "nodes2"])
def test_blueprints_are_found_and_placed(server: ComfyServer, chromium: Browser, nodes_2: bool) -> None:
    """A double click on the canvas of a new page, a few words, and Enter."""
    listed = {entry["name"] for entry in server.request("/global_subgraphs").values()}
    assert {form.blueprint_name for form in FORMS if form.has_blueprint} <= listed
    with open_frontend(chromium, server, {NODES_2: nodes_2}) as frontend:
        for typed, name in FIND.items():
            (form,) = (form for form in FORMS if not form.tiny and form.template.describe.__name__ == name)
            frontend.open_tab()
            frontend.page.mouse.dblclick(*EMPTY_PLACE)
            frontend.page.wait_for_timeout(SEARCHED_MILLISECONDS)
            frontend.page.keyboard.type(typed)
            frontend.page.wait_for_timeout(SEARCHED_MILLISECONDS)
            frontend.page.keyboard.press("Enter")
            frontend.page.wait_for_timeout(PLACED_MILLISECONDS)
            frontend.page.mouse.click(*EMPTY_PLACE)
            frontend.page.wait_for_function(PLACED, arg=form.blueprint_name)
        assert frontend.script_errors + frontend.console_errors == []


def test_apps_open_as_forms_with_their_labels(server: ComfyServer, frontend: Frontend) -> None:
    for form in (form for form in FORMS if form.template.app):
        frontend.drop_workflow(form.app_name, form.app())
        given = [node.title for node in form.flow().nodes if node.kind.id in GIVEN]
        labels = [*given, *(field.label for field in form.fields)]
        # Hidden text, such as that of the nodes behind the form, is not in it.
        frontend.page.wait_for_function(
            "labels => labels.every(label => document.body.innerText.includes(label))", arg=labels
        )
    assert frontend.script_errors + frontend.console_errors == []
