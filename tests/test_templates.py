"""Templates, apps and blueprints as files: few fields, one screen, nothing missing but weights, all found by name."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from node_schemas import schemas
from PIL import Image
from workflow_source.node_kinds import DOWNLOADS, NOTE, node_kinds
from workflow_source.templates import TemplateForm, forms

from uniavgen_core.long_form.script import parse_script
from uniavgen_core.tiny.knowledge import unknown_words
from uniavgen_lab.world.sentences import check_known_words

ROOT = Path(__file__).parent.parent
WORKFLOWS, BLUEPRINTS, SAMPLES = ROOT / "workflows", ROOT / "subgraphs", ROOT / "web" / "samples"
MOST_FIELDS, MOST_NODES = 10, 6
SCREEN = (1500, 820)
"""Of the graph at its own size, on a screen of 1600 × 1000 with the frontend's bars."""
TITLE_HEIGHT = 30
MEDIA = {"LoadImage": "image", "LoadVideo": "file", "LoadAudio": "audio"}
NOT_IN_FILE_NAMES = set('<>:"/\\|?*#%')
FORMS = list(forms())
FORM = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.file_name)
TYPED = ("talking head", "lip sync", "dub", "voice over", "video")
"""What people look for."""


def saved(name: str, folder: Path = WORKFLOWS) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads((folder / f"{name}.json").read_text("utf-8"))
    return graph


def subgraph_of(graph: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The only subgraph of a graph: its node and its definition."""
    (definition,) = graph["definitions"]["subgraphs"]
    (node,) = (node for node in graph["nodes"] if node["type"] == definition["id"])
    return node, definition


def test_the_template_browser_shows_them_and_no_open_graph() -> None:
    names = {file.stem for file in WORKFLOWS.glob("*.json")}
    assert names == {name for form in FORMS for name in form.pictured_files}
    assert all("UniAVGen" in name and not NOT_IN_FILE_NAMES & set(name) for name in names)
    assert {form.template.describe.__name__ for form in FORMS} <= {
        file.stem for file in (WORKFLOWS / "graphs").glob("*.json")
    }


@FORM
def test_it_is_a_form_of_a_few_nodes_and_fields(form: TemplateForm) -> None:
    graph = saved(form.file_name)
    kinds = [node["type"] for node in graph["nodes"]]
    node, _ = subgraph_of(graph)
    assert len(kinds) <= MOST_NODES and kinds.count(NOTE) == kinds.count("SaveVideo") == 1
    assert set(kinds) <= {NOTE, "SaveVideo", *MEDIA, node["type"]}
    fields = [slot for slot in node["inputs"] if "widget" in slot]
    assert len(fields) <= MOST_FIELDS
    assert all(slot["label"] for slot in node["inputs"])
    assert len({slot["name"] for slot in node["inputs"]}) == len(node["inputs"])


@FORM
def test_it_fits_a_screen_at_its_own_size(form: TemplateForm) -> None:
    graph = saved(form.file_name)
    assert graph["extra"]["ds"]["scale"] == 1
    boxes = [
        (*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1]) for node in graph["nodes"]
    ]
    assert max(box[2] for box in boxes) <= SCREEN[0] and max(box[3] for box in boxes) <= SCREEN[1]
    for first, second in combinations(boxes, 2):
        beside = first[2] <= second[0] or second[2] <= first[0]
        assert beside or first[3] <= second[1] - TITLE_HEIGHT or second[3] <= first[1] - TITLE_HEIGHT


@FORM
def test_its_samples_ship_with_the_pack(form: TemplateForm) -> None:
    added = (ROOT / "web" / "samples.js").read_text("utf-8")
    for node in saved(form.file_name)["nodes"]:
        if node["type"] in MEDIA:
            file = node["widgets_values_named"][MEDIA[node["type"]]]
            assert (SAMPLES / file).is_file() and f'"{file}": "{node["type"]}"' in added


@FORM
def test_links_and_fields_hold_together(form: TemplateForm) -> None:
    graph = saved(form.file_name)
    node, definition = subgraph_of(graph)
    assert [slot["name"] for slot in node["inputs"]] == [slot["name"] for slot in definition["inputs"]]
    assert definition["outputs"][0]["type"] == "VIDEO"
    inner = {node["id"]: node for node in definition["nodes"]}
    assert not inner.keys() & {node["id"] for node in graph["nodes"]}
    for link in definition["links"]:
        if link["target_id"] in inner:
            assert inner[link["target_id"]]["inputs"][link["target_slot"]]["link"] == link["id"]
        if link["origin_id"] in inner:
            assert link["id"] in inner[link["origin_id"]]["outputs"][link["origin_slot"]]["links"]
        else:
            assert link["id"] in definition["inputs"][link["origin_slot"]]["linkIds"]
    for number, origin, output, target, slot, kind in graph["links"]:
        nodes = {node["id"]: node for node in graph["nodes"]}
        assert nodes[target]["inputs"][slot]["link"] == number
        assert number in nodes[origin]["outputs"][output]["links"]
        assert kind in nodes[target]["inputs"][slot]["type"].split(",")
    for number, name in node["properties"]["proxyWidgets"]:
        assert name in inner[int(number)]["widgets_values_named"]


@FORM
def test_its_fields_have_the_widgets_types(form: TemplateForm) -> None:
    kinds = {schema.node_id: {given.name: given.type for given in schema.inputs} for schema in schemas().values()}
    titles = {node.title or node.kind.id: node.kind for node in form.flow().nodes} | node_kinds()
    for field in form.fields:
        kind = titles[field.node]
        default = kind.widgets[field.widget]
        own = {int: "INT", float: "FLOAT", str: "STRING"}.get(default.__class__, "COMBO")
        assert field.type == (kinds[kind.id][field.widget] if kind.is_ours else own)


@FORM
def test_every_file_of_the_model_is_announced_with_folder_and_link(form: TemplateForm) -> None:
    graph = saved(form.file_name)
    node, definition = subgraph_of(graph)
    (note,) = (node["widgets_values"][0] for node in graph["nodes"] if node["type"] == NOTE)
    announced = {
        model["name"]: model for inner in definition["nodes"] for model in inner["properties"].get("models", [])
    }
    if form.tiny:
        assert announced == {} and "No files" in note
        return
    asked_for = {slot["name"] for slot in node["inputs"]} & {"model", "vocoder", "text_encoder", "vae"}
    assert len(asked_for) == 4 and len(announced) >= 4
    for name, model in announced.items():
        # What the frontend takes for the name of a file of weights.
        assert name.endswith((".safetensors", ".onnx"))
        assert model["directory"] == DOWNLOADS[name][0]
        assert f"{model['directory']}/" in note or f"`{model['directory']}`" in note
    assert note.count("https://") >= 3 and note.count(" GB") == 4


@pytest.mark.parametrize("form", [form for form in FORMS if form.tiny], ids=lambda form: form.file_name)
def test_the_small_ones_keep_to_their_world(form: TemplateForm) -> None:
    nodes = {node.kind.id: node.values for node in form.flow().nodes}
    sentences = [nodes["UniAVGenConditioning"].get("speech", "")]
    sentences += [nodes.get("UniAVGenRange", {}).get(name, "") for name in ("words", "words_before", "words_after")]
    for words in filter(None, sentences):
        check_known_words(words)
    # A line of a script may be several sentences.
    lines = [line.speech for line in parse_script(nodes.get("UniAVGenScript", {}).get("script", "a | "))]
    assert any([*sentences, *lines]) and unknown_words(" ".join(lines)) == []


@pytest.mark.parametrize("form", [form for form in FORMS if form.template.app], ids=lambda form: form.app_name)
def test_an_app_is_its_template_as_a_form(form: TemplateForm) -> None:
    app, template = saved(form.app_name), saved(form.file_name)
    shown = app["extra"].pop("linearData")
    assert app["extra"].pop("linearMode") is True
    assert {**app, "id": 0} == {**template, "id": 0}
    nodes = {str(node["id"]): node for node in app["nodes"]}
    assert [nodes[number]["type"] for number in shown["outputs"]] == ["SaveVideo"]
    for number, name, *_ in shown["inputs"]:
        assert name in [slot["name"] for slot in nodes[number]["inputs"] if "widget" in slot]
    given = [node for node in app["nodes"] if node["type"] in MEDIA]
    assert len(shown["inputs"]) == len(given) + len(form.fields)


@pytest.mark.parametrize("name", [name for form in FORMS for name in form.pictured_files])
def test_its_picture_is_square_and_small(name: str) -> None:
    file = WORKFLOWS / f"{name}.jpg"
    with Image.open(file) as picture:
        assert picture.format == "JPEG" and picture.width == picture.height >= 256
    assert file.stat().st_size < 60_000


BLUEPRINT_FORMS = [form for form in FORMS if form.has_blueprint]


@pytest.mark.parametrize("form", BLUEPRINT_FORMS, ids=lambda form: form.blueprint_name)
def test_a_blueprint_is_one_node_with_plain_fields_and_a_video(form: TemplateForm) -> None:
    graph = saved(form.blueprint_name, BLUEPRINTS)
    node, definition = subgraph_of(graph)
    assert graph["nodes"] == [node] and graph["links"] == []
    assert [slot["type"] for slot in node["outputs"]] == ["VIDEO"]
    assert definition["category"] and definition["description"]
    types = {slot["type"] for slot in node["inputs"] if "widget" in slot}
    assert types <= {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}
    _, of_template = subgraph_of(saved(form.file_name))
    assert [inner["type"] for inner in definition["nodes"]] == [inner["type"] for inner in of_template["nodes"]]


@pytest.mark.parametrize("typed", TYPED)
def test_blueprints_are_found_by_what_people_type(typed: str) -> None:
    # The frontends look at the name alone: the aliases in the file of a pack's blueprint are not searched.
    assert any(typed in file.stem.lower() for file in BLUEPRINTS.glob("*.json"))


def test_every_template_has_a_blueprint_of_the_released_model() -> None:
    assert {form.template.title for form in BLUEPRINT_FORMS} == {form.template.title for form in FORMS}
    assert {file.stem for file in BLUEPRINTS.glob("*.json")} == {form.blueprint_name for form in BLUEPRINT_FORMS}
