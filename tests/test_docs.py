"""What users read agrees with the code: links, commands, each node's help page and its Chinese translation."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from comfy.server import ComfyServer
from node_schemas import input_paths, schemas

from uniavgen_core.tiny.people import KINDS
from uniavgen_lab.world.sentences import MOODS, WORDS

ROOT = Path(__file__).absolute().parent.parent
HELP = ROOT / "web" / "docs"
TRANSLATIONS = json.loads((ROOT / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(HELP.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"(?:\]\(|src=\")([^)\s\"]+)")
CODE_SPAN = re.compile(r"`([^`]+)`")
CHINESE_CHARACTER = re.compile(r"[\u4e00-\u9fff]")
I18N_SYNTAX = re.compile(r"[{}@|$]")
"""The frontend's translations give these characters a meaning of their own."""
NODES = pytest.mark.parametrize("node_id", sorted(TRANSLATIONS))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_help_translations_and_the_page_of_nodes_have_the_same_nodes() -> None:
    assert {page.stem for page in HELP.glob("*.md")} == TRANSLATIONS.keys()
    listed = re.findall(r"^\| \[.+?\]\(\.\./web/docs/(\w+)\.md\)", read(ROOT / "docs" / "nodes.md"), re.MULTILINE)
    assert sorted(listed) == sorted(TRANSLATIONS)


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


def headings(page: Path) -> set[str]:
    """What a link to a part of the page may end in, as GitHub makes it: without signs, with hyphens for spaces."""
    titles = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_local_links_lead_somewhere(page: Path) -> None:
    def leads(target: str) -> bool:
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        return file.is_file() and (not heading or heading in headings(file))

    targets = [target for target in LINK.findall(read(page)) if not target.startswith("https://")]
    assert [target for target in targets if not leads(target)] == []


def test_help_lists_the_small_models_world() -> None:
    text = " ".join(read(HELP / "UniAVGenTinyLoader.md").split())
    assert f"{', '.join(WORDS)}." in text
    assert all(word in text for word in (*KINDS, *MOODS))


def commands() -> list[tuple[str, str]]:
    """Packages and commands that the pages say."""
    said = (re.findall(r"-m (uniavgen_core|uniavgen_lab) ([\w-]+)", read(page)) for page in PAGES)
    return sorted({command for found in said for command in found})


@pytest.mark.parametrize(("package", "name"), commands())
def test_commands_of_the_pages_are_there(package: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [package, name, "--help"])
    with pytest.raises(SystemExit) as ended:
        import_module(f"{package}.__main__").main()
    assert ended.value.code == 0


def test_make_has_the_targets_of_the_pages() -> None:
    blocks = [
        block for page in PAGES for block in re.findall(r"^```bash\n(.*?)^```", read(page), re.MULTILINE | re.DOTALL)
    ]
    used = set(re.findall(r"^make (\w+)", "\n".join(blocks), re.MULTILINE))
    assert used and used <= set(re.findall(r"^(\w+):", read(ROOT / "Makefile"), re.MULTILINE))


@NODES
def test_help_and_translation_name_what_a_node_takes_and_gives(node_id: str) -> None:
    node, translation = schemas()[node_id], TRANSLATIONS[node_id]
    inputs = set(input_paths(node.inputs))
    named = set(CODE_SPAN.findall(read(HELP / f"{node_id}.md")))
    assert [path for path in sorted(inputs) if path.split(".")[-1] not in named] == []
    # The frontend looks names up with underscores in place of dots.
    assert translation["inputs"].keys() == {path.replace(".", "_") for path in inputs}
    assert list(translation["outputs"]) == [str(index) for index in range(len(node.outputs))]


def test_all_nodes_have_help_and_are_translated() -> None:
    assert schemas().keys() == TRANSLATIONS.keys()


def test_comfyui_finds_the_translations(comfy_server: ComfyServer) -> None:
    assert comfy_server.request("/i18n")["zh"]["nodeDefs"].items() >= TRANSLATIONS.items()


def test_security_names_tests_that_there_are() -> None:
    named = set(re.findall(r"`(test_\w+)`", read(ROOT / "SECURITY.md")))
    there = {name for file in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", read(file))}
    assert named - there == set()
