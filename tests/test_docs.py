"""What users read agrees with the code: the README, each node's help page and its Chinese translation."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomllib
from comfy.server import ComfyServer

from uniavgen_core.tiny.world import KINDS, MOODS, WORDS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
HELP = ROOT / "web" / "docs"
TRANSLATIONS = json.loads((ROOT / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
PAGES = [README, *sorted(HELP.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE_SPAN = re.compile(r"`([^`]+)`")
CHINESE_CHARACTER = re.compile(r"[\u4e00-\u9fff]")
I18N_SYNTAX = re.compile(r"[{}@|$]")
"""The frontend's translations give these characters a meaning of their own."""


@dataclass(frozen=True)
class Schema:
    """A node's id, the paths of its inputs ("task.portrait" is an input of an option of "task"), and its outputs."""

    node_id: str
    inputs: tuple[str, ...]
    outputs: int


def parsed(folder: str) -> list[ast.Module]:
    return [ast.parse(file.read_text(encoding="utf-8")) for file in sorted((ROOT / folder).rglob("*.py"))]


def functions(modules: list[ast.Module]) -> dict[str, ast.FunctionDef]:
    return {node.name: node for module in modules for node in module.body if isinstance(node, ast.FunctionDef)}


def assigned(function: ast.FunctionDef) -> dict[str, ast.expr]:
    """Local names and the expressions that they stand for."""
    return {
        target.id: node.value
        for node in function.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def returned(function: ast.FunctionDef) -> ast.expr:
    (value,) = (node.value for node in function.body if isinstance(node, ast.Return) and node.value is not None)
    return value


def input_paths(
    node: ast.expr, names: dict[str, ast.expr], helpers: dict[str, ast.FunctionDef], prefix: str = ""
) -> Iterator[str]:
    """Paths of the inputs that an expression in a schema makes, those of options behind the input they belong to."""
    if isinstance(node, ast.Name):
        yield from input_paths(names[node.id], names, helpers, prefix)
    elif isinstance(node, ast.Starred):
        yield from input_paths(node.value, names, helpers, prefix)
    elif isinstance(node, ast.List):
        for element in node.elts:
            yield from input_paths(element, names, helpers, prefix)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        helper = helpers[node.func.id]
        yield from input_paths(returned(helper), assigned(helper), helpers, prefix)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "Option":
        yield from input_paths(node.args[1], names, helpers, prefix)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "Input":
        path = prefix + ast.literal_eval(node.args[0])
        yield path
        if ast.unparse(node.func) == "io.DynamicCombo.Input":
            yield from input_paths(keywords(node)["options"], names, helpers, f"{path}.")
    else:
        raise AssertionError(f"line {node.lineno}: this test cannot read {ast.unparse(node)}")


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def read_schemas() -> list[Schema]:
    """Schemas of all nodes, from their source: without ComfyUI they cannot be imported."""
    modules = parsed("nodes")
    helpers = functions(modules)
    defined = [
        node
        for module in modules
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name == "define_schema"
    ]
    schemas = []
    for function in defined:
        call = returned(function)
        assert isinstance(call, ast.Call)
        given = keywords(call)
        paths = tuple(dict.fromkeys(input_paths(given["inputs"], assigned(function), helpers)))
        outputs = given["outputs"]
        assert isinstance(outputs, ast.List)
        schemas.append(Schema(ast.literal_eval(given["node_id"]), paths, len(outputs.elts)))
    return schemas


SCHEMAS = read_schemas()
NODES = pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.node_id)


def test_every_node_id_is_found() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "nodes").rglob("*.py"))
    assert sorted(re.findall(r'node_id="(\w+)"', source)) == sorted(schema.node_id for schema in SCHEMAS)


@NODES
def test_help_names_every_input(schema: Schema) -> None:
    named = set(CODE_SPAN.findall((HELP / f"{schema.node_id}.md").read_text(encoding="utf-8")))
    assert [path for path in schema.inputs if path.split(".")[-1] not in named] == []


def test_help_and_translations_are_of_existing_nodes() -> None:
    ids = {schema.node_id for schema in SCHEMAS}
    assert {page.stem for page in HELP.glob("*.md")} == ids
    assert TRANSLATIONS.keys() == ids


@NODES
def test_translation_names_every_input_and_output(schema: Schema) -> None:
    translation = TRANSLATIONS[schema.node_id]
    assert translation["display_name"] and CHINESE_CHARACTER.search(translation["description"])
    # The frontend looks names up with underscores in place of dots.
    assert translation["inputs"].keys() == {path.replace(".", "_") for path in schema.inputs}
    assert list(translation["outputs"]) == [str(index) for index in range(schema.outputs)]


def test_translations_are_plain_text() -> None:
    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        else:
            for part in value.values():
                yield from texts(part)

    assert [text for text in texts(TRANSLATIONS) if not text.strip() or I18N_SYNTAX.search(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_local_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [target for target in LINK.findall(text) if not target.startswith("https://")]
    headings = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    missing = [target for target in targets if target not in headings and not (page.parent / target).is_file()]
    assert missing == []


def test_help_lists_the_small_models_world() -> None:
    text = " ".join((HELP / "UniAVGenTinyLoader.md").read_text(encoding="utf-8").split())
    assert f"{', '.join(WORDS)}." in text
    assert all(word in text for word in (*KINDS, *MOODS))
    assert f"{len(WORDS)} words" in (ROOT / "docs" / "small_model.md").read_text(encoding="utf-8")


def test_pages_name_commands_that_there_are() -> None:
    source = (ROOT / "uniavgen_core" / "__main__.py").read_text(encoding="utf-8")
    known = set(re.findall(r'add_parser\("([\w-]+)"', source))
    used = {name for page in PAGES for name in re.findall(r"-m uniavgen_core ([\w-]+)", page.read_text("utf-8"))}
    assert {"demo", "render", "train-codec", "train", "bundle", "evaluate"} <= used <= known


def test_readme_lists_every_node() -> None:
    text = README.read_text(encoding="utf-8")
    assert [schema.node_id for schema in SCHEMAS if f"(web/docs/{schema.node_id}.md)" not in text] == []


def test_readme_names_targets_of_the_makefile() -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    used = set(re.findall(r"\bmake (\w+)", "\n".join(blocks)))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert used == {"demo", "test"}
    assert used <= targets


def test_readme_agrees_with_the_project_file() -> None:
    text = README.read_text(encoding="utf-8")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    minimum = settings["tool"]["comfy"]["requires-comfyui"].removeprefix(">=")
    assert f"Version {settings['project']['version']}, for ComfyUI {minimum} or newer" in text
    assert f"git clone {settings['project']['urls']['Repository']}\n" in text


def test_readme_quotes_messages_of_the_code() -> None:
    """Messages in the table of what to do, up to their gaps (…), stand somewhere in the code."""
    section = README.read_text(encoding="utf-8").split("## When something goes wrong")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| ")]
    quoted = [part.strip() for row in rows for span in CODE_SPAN.findall(row) for part in span.split("…")]
    written = [
        node.value
        for module in parsed("nodes") + parsed("uniavgen_core")
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(quoted) > 10
    assert [part for part in quoted if not any(part in text for text in written)] == []


def test_comfyui_serves_help_and_translations(comfy_server: ComfyServer) -> None:
    """Also that the schemas read from the source are those that ComfyUI knows."""
    info = comfy_server.object_info()
    served = comfy_server.request("/i18n")["zh"]["nodeDefs"]
    for schema in SCHEMAS:
        # ComfyUI puts optional inputs last, so the order is another one.
        assert set(known_inputs(info[schema.node_id]["input"])) == set(schema.inputs)
        assert len(info[schema.node_id]["output"]) == schema.outputs
        assert served[schema.node_id] == TRANSLATIONS[schema.node_id]


def known_inputs(inputs: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Paths of a node's inputs as ComfyUI describes them."""
    for kind in ("required", "optional"):
        for name, (_, *settings) in inputs.get(kind, {}).items():
            yield prefix + name
            for option in settings[0].get("options", []) if settings else []:
                if isinstance(option, dict):
                    yield from known_inputs(option["inputs"], f"{prefix}{name}.")
