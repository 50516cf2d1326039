"""What users read agrees with the code: the README, each node's help page and its Chinese translation."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomllib
from comfy.server import ComfyServer

from uniavgen_core.__main__ import main
from uniavgen_core.tiny.people import KINDS
from uniavgen_lab.world.sentences import MOODS, WORDS

ROOT = Path(__file__).absolute().parent.parent
PACK = ROOT.name
README = ROOT / "README.md"
HELP = ROOT / "web" / "docs"
TRANSLATIONS = json.loads((ROOT / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
PAGES = [README, *sorted(HELP.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE_SPAN = re.compile(r"`([^`]+)`")
CHINESE_CHARACTER = re.compile(r"[\u4e00-\u9fff]")
I18N_SYNTAX = re.compile(r"[{}@|$]")
"""The frontend's translations give these characters a meaning of their own."""
NODES = pytest.mark.parametrize("node_id", sorted(TRANSLATIONS))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_help_translations_and_readme_have_the_same_nodes() -> None:
    assert {page.stem for page in HELP.glob("*.md")} == TRANSLATIONS.keys()
    assert set(re.findall(r"\(web/docs/(\w+)\.md\)", read(README))) >= TRANSLATIONS.keys()


@NODES
def test_translations_are_chinese(node_id: str) -> None:
    translation = TRANSLATIONS[node_id]
    assert translation["display_name"] and CHINESE_CHARACTER.search(translation["description"])


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
    text = read(page)
    targets = [target for target in LINK.findall(text) if not target.startswith("https://")]
    headings = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    missing = [target for target in targets if target not in headings and not (page.parent / target).is_file()]
    assert missing == []


def test_help_lists_the_small_models_world() -> None:
    text = " ".join(read(HELP / "UniAVGenTinyLoader.md").split())
    assert f"{', '.join(WORDS)}." in text
    assert all(word in text for word in (*KINDS, *MOODS))
    assert f"{len(WORDS)} words" in read(ROOT / "docs" / "small_model.md")


def commands() -> list[str]:
    return sorted({name for page in PAGES for name in re.findall(r"-m uniavgen_core ([\w-]+)", read(page))})


@pytest.mark.parametrize("name", commands())
def test_commands_of_the_pages_are_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["uniavgen_core", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def test_readme_names_targets_of_the_makefile() -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", read(README), re.MULTILINE | re.DOTALL)
    used = set(re.findall(r"\bmake (\w+)", "\n".join(blocks)))
    targets = set(re.findall(r"^(\w+):", read(ROOT / "Makefile"), re.MULTILINE))
    assert used == {"demo", "test"}
    assert used <= targets


def test_readme_agrees_with_the_project_file() -> None:
    text = read(README)
    settings = tomllib.loads(read(ROOT / "pyproject.toml"))
    minimum = settings["tool"]["comfy"]["requires-comfyui"].removeprefix(">=")
    assert f"Version {settings['project']['version']}, for ComfyUI {minimum} or newer" in text
    assert f"git clone {settings['project']['urls']['Repository']}\n" in text


@NODES
def test_help_and_translation_name_what_a_node_takes_and_gives(comfy_server: ComfyServer, node_id: str) -> None:
    node, translation = comfy_server.request(f"/object_info/{node_id}")[node_id], TRANSLATIONS[node_id]
    inputs = set(known_inputs(node["input"]))
    named = set(CODE_SPAN.findall(read(HELP / f"{node_id}.md")))
    assert [path for path in sorted(inputs) if path.split(".")[-1] not in named] == []
    # The frontend looks names up with underscores in place of dots.
    assert translation["inputs"].keys() == {path.replace(".", "_") for path in inputs}
    assert list(translation["outputs"]) == [str(index) for index in range(len(node["output"]))]


def test_all_nodes_have_help_and_are_translated(comfy_server: ComfyServer) -> None:
    info = comfy_server.object_info()
    assert {name for name in info if info[name]["python_module"] == f"custom_nodes.{PACK}"} == TRANSLATIONS.keys()
    assert comfy_server.request("/i18n")["zh"]["nodeDefs"].items() >= TRANSLATIONS.items()


def known_inputs(inputs: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Paths of a node's inputs as ComfyUI describes them."""
    for kind in ("required", "optional"):
        for name, (_, *settings) in inputs.get(kind, {}).items():
            yield prefix + name
            for option in settings[0].get("options", []) if settings else []:
                if isinstance(option, dict):
                    yield from known_inputs(option["inputs"], f"{prefix}{name}.")
