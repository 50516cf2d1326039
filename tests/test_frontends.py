"""The workflows in ComfyUI's own frontend and in the newest, in both renderers: no link or value comes off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import av
import pytest
from comfy.browser import NODES_2, PERSIST, Frontend, open_frontend
from comfy.editing import PASTED, Box, Editor, close_tabs, differences, renamed
from comfy.files import write_joint_model, write_universe_model, write_vocoder
from comfy.graphs import WORKFLOW_NAMES, Prompt, api_workflow, for_this_version, ids_of, ui_workflow, without_meta
from comfy.install import ComfyInstall, newest_frontend
from comfy.server import ComfyServer
from playwright.sync_api import Browser
from small_model import small_sizes
from workflow_source.node_kinds import SHARDS

from uniavgen_core.tiny.bundle import CAPTION_WIDTH

ROOT = Path(__file__).absolute().parent.parent
WORKFLOW = pytest.mark.parametrize("name", WORKFLOW_NAMES)
STEPS = 3
ROUNDING = 1
"""Units of the graph by which nodes may seem to overlap: positions on the screen are whole pixels."""
PASTE = "Comfy.Canvas.PasteFromClipboard"
DELETE = "Comfy.Canvas.DeleteSelectedItems"
PASTE_WITH_LINKS = "Comfy.Canvas.PasteFromClipboardWithConnect"
FEED = """([variants, makers]) => {
    const {graph} = window.app;
    const made = {};
    const linked = [];
    const add = (kind, column, row) => {
        const node = window.LiteGraph.createNode(kind);
        node.pos = [column * 500, row * 1000];
        graph.add(node);
        return node;
    };
    const feed = (node, input) => {
        const [type] = String(input.type).split(",");
        if (!(type in makers)) return;
        const [kind, output] = makers[type];
        made[kind] ??= add(kind, -1, Object.keys(made).length);
        if (made[kind].connect(output, node, input.name)) linked.push([node.type, input.name]);
    };
    variants.forEach(([kind, options], index) => {
        const node = add(kind, index % 6, Math.floor(index / 6));
        for (const [name, option] of Object.entries(options)) {
            const widget = node.widgets.find(widget => widget.name === name);
            widget.value = option;
            widget.callback?.(option);
        }
        for (const input of node.inputs) feed(node, input);
    });
    return linked;
}"""
"""Adds a node for each variant, and feeds each of its inputs of a type that something makes."""
MAIN_NODES = (
    "UniAVGenLatent",
    "UniAVGenConditioning",
    "UniAVGenSampler",
    "UniAVGenGuider",
    "UniAVGenLongForm",
    "UniAVGenSpeakerVoice",
    "UniAVGenScene",
    "UniAVGenRecordings",
    "UniAVGenFacePortrait",
    "UniAVGenFaceGuidance",
)
"""Not UniAVGenFaceMask: core's Batch Masks behind it loses its inputs, as any node whose inputs grow in number."""


@pytest.fixture(scope="module", params=["own", "newest"])
def server(
    request: pytest.FixtureRequest,
    comfy_install: ComfyInstall,
    chromium: Browser,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ComfyServer]:
    """ComfyUI with the pack, all files that the workflows name, and its own frontend or the newest one.

    It takes the browser so that nothing is started where there is none.
    """
    arguments = ["--preview-method", "latent2rgb"]
    if request.param == "newest":
        folder = newest_frontend()
        if folder is None:
            pytest.skip("no newest frontend: install requirements-dev.txt")
        arguments += ["--front-end-root", str(folder)]
    with ComfyServer(comfy_install, tmp_path_factory.mktemp(request.param), [ROOT], arguments) as running:
        add_files(running)
        yield running


def add_files(server: ComfyServer) -> None:
    """Whatever a workflow names, so that nothing is red: files that nothing reads may be empty."""
    folder = server.base / "files"
    server.add_model(
        "diffusion_models", write_joint_model(folder / "UniAVGen", small_sizes(blocks=4, text_width=CAPTION_WIDTH))
    )
    server.add_model("diffusion_models", write_universe_model(folder / "UniVerse-1", CAPTION_WIDTH))
    server.add_model("vocoders", write_vocoder(folder / "code2wav_bigvgan_model"))
    for name in WORKFLOW_NAMES:
        for node in ui_workflow(name)["nodes"]:
            for model in node["properties"].get("models", []):
                if model["name"].endswith(SHARDS):
                    continue
                file = server.models / model["directory"] / model["name"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()


@pytest.fixture(scope="module", params=["classic", "nodes2"])
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The frontend as users have it, which brings back open workflows after a reload, with one of its renderers."""
    return {PERSIST: True, NODES_2: request.param == "nodes2"}


@pytest.fixture(scope="module")
def shared_frontend(settings: dict[str, Any], server: ComfyServer, chromium: Browser) -> Iterator[Frontend]:
    """One page for all tests of a frontend and renderer."""
    with open_frontend(chromium, server, settings) as page:
        yield page


@pytest.fixture
def frontend(shared_frontend: Frontend) -> Frontend:
    """The shared page with an empty graph in its only tab."""
    close_tabs(shared_frontend)
    shared_frontend.console_errors.clear()
    shared_frontend.script_errors.clear()
    return shared_frontend


class Record:
    """What went wrong with a graph, and in which step."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self.lines: list[str] = []
        self.seen: set[str] = set()

    def add(self, step: str, lines: list[str]) -> None:
        """Note what went wrong, but not what had been noted before."""
        self.lines += [f"{step}: {line}" for line in lines if line not in self.seen]
        self.seen.update(lines)

    def compare(self, step: str, expected: Prompt) -> None:
        """Note what the graph on the page has otherwise, what is red on it, and the errors of its scripts."""
        frontend = self.editor.frontend
        self.add(step, differences(expected, self.editor.prompt()))
        self.add(step, frontend.problems() + frontend.script_errors + frontend.console_errors)
        frontend.script_errors.clear()
        frontend.console_errors.clear()

    def check(self) -> None:
        """Fail with all that went wrong."""
        assert not self.lines, "\n" + "\n".join(self.lines)


def overlaps(boxes: dict[str, Box]) -> list[str]:
    """Pairs of nodes that cover each other, and by how much."""
    lines = []
    for (first, one), (second, other) in combinations(boxes.items(), 2):
        width, height = (min(one[2 + axis], other[2 + axis]) - max(one[axis], other[axis]) for axis in (0, 1))
        if min(width, height) > ROUNDING:
            lines.append(f"nodes {first} and {second} overlap by {width:.0f} × {height:.0f}")
    return lines


def choose_other_size(editor: Editor, prompt: Prompt, info: dict[str, Any]) -> Prompt:
    """Change the size of each UniAVGenLatent from auto to custom, or back; the prompt that this makes of `prompt`."""
    _, size = info["UniAVGenLatent"]["input"]["required"]["size"]
    options = {option["key"]: option["inputs"]["required"] for option in size["options"]}
    latents = {number: prompt[number]["inputs"] for number in ids_of(prompt, "UniAVGenLatent")}
    chosen = {number: "auto" if inputs["size"] == "custom" else "custom" for number, inputs in latents.items()}
    editor.set_widget("size", chosen)
    changed = dict(prompt)
    for number, inputs in latents.items():
        option = chosen[number]
        kept = {name: value for name, value in inputs.items() if not name.startswith("size.")}
        defaults = {f"size.{name}": details["default"] for name, (_, details) in options[option].items()}
        changed[number] = {"class_type": "UniAVGenLatent", "inputs": {**kept, "size": option, **defaults}}
    return changed


def copies(prompt: Prompt, copied: Collection[str]) -> Prompt:
    """What copies of nodes look like in API form, linked with each other and with all that is not copied."""
    names = {number: PASTED + number if number in copied else number for number in prompt}
    return renamed({number: prompt[number] for number in copied}, names)


def without_inputs_from_outside(copied: Prompt, prompt: Prompt) -> Prompt:
    """Copies of nodes without the inputs that are linked with other nodes in the prompt that they were copied from."""

    def is_from_outside(number: str, name: str) -> bool:
        source = prompt[number.removeprefix(PASTED)]["inputs"].get(name)
        return isinstance(source, list) and PASTED + source[0] not in copied

    return {
        number: {
            **node,
            "inputs": {name: node["inputs"][name] for name in node["inputs"] if not is_from_outside(number, name)},
        }
        for number, node in copied.items()
    }


def undo_and_look_away(record: Record, prompt: Prompt, changed: Prompt) -> None:
    """Take back the step that made `changed` of `prompt`, do it again, and look at another tab for a while."""
    editor = record.editor
    editor.undo()
    record.compare("undo", prompt)
    editor.redo()
    record.compare("redo", changed)
    editor.tab_away_and_back()
    record.compare("tab away and back", changed)


def save_and_open(record: Record, prompt: Prompt) -> None:
    """Save the graph, close it, and open the file."""
    editor = record.editor
    # Both renderers save to the same server, under different names.
    editor.save_as(f"{editor.name} {'nodes2' if editor.frontend.settings[NODES_2] else 'classic'}")
    editor.close_and_open()
    record.compare("save and open", prompt)


def paste(record: Record, prompt: Prompt, main: list[str]) -> None:
    """Copy nodes and paste them, with links to the other nodes and without, and delete the copies."""
    editor = record.editor
    before, expected = editor.marks(), copies(prompt, main)
    editor.copy(main)
    editor.change(PASTE_WITH_LINKS)
    record.add("paste with links", differences(expected, editor.prompt_of_copies(before)))
    editor.change(DELETE)
    editor.copy(main)
    editor.change(PASTE)
    alone = [without_inputs_from_outside(found, prompt) for found in (expected, editor.prompt_of_copies(before))]
    record.add("paste", differences(*alone))
    editor.change(DELETE)
    record.compare("copies deleted", prompt)


@WORKFLOW
def test_nothing_comes_off(server: ComfyServer, frontend: Frontend, name: str) -> None:
    """Links and values of a workflow stay what they are, whatever is done to it."""
    info = server.object_info()
    shipped = for_this_version(api_workflow(name), info)
    main = [number for kind in MAIN_NODES for number in ids_of(shipped, kind)]
    editor = Editor(frontend, name, ui_workflow(name))
    record = Record(editor)
    record.compare("drop", shipped)
    record.add("drop", overlaps(editor.boxes()))
    latents = ids_of(shipped, "UniAVGenLatent") or main
    editor.convert_to_subgraph(latents)
    record.compare(f"subgraph of {latents}", shipped)
    editor.unpack_subgraphs()
    record.compare(f"subgraph of {latents} unpacked", shipped)
    changed = choose_other_size(editor, shipped, info)
    frontend.settle()
    record.compare("other size", changed)
    record.add("other size", overlaps(editor.boxes()))
    undo_and_look_away(record, shipped, changed)
    editor.convert_to_subgraph(main)
    record.compare("subgraph", changed)
    save_and_open(record, changed)
    editor.unpack_subgraphs()
    record.compare("subgraph unpacked", changed)
    paste(record, changed, main)
    record.check()


def test_run_by_hand(server: ComfyServer, settings: dict[str, Any], frontend: Frontend) -> None:
    """Drop, Run, look: progress and previews come, nothing is red, and the file is a clip."""
    frontend.drop_workflow("tiny_joint_generation", ui_workflow("tiny_joint_generation"))
    # Its own seed for each renderer: what the server has made already, it does not make again.
    frontend.set_widgets("UniAVGenSampler", {"steps": STEPS, "seed": int(settings[NODES_2])})
    frontend.watch_run()
    (clip,) = server.output_files(frontend.run())
    frontend.wait_for_run_of(STEPS)
    assert frontend.problems() + frontend.script_errors + frontend.console_errors == []
    with av.open(clip) as container:
        frames = Counter(frame.__class__ for frame in container.decode())
    assert frames[av.VideoFrame] > 1 and frames[av.AudioFrame] > 1


@pytest.mark.parametrize("names", [WORKFLOW_NAMES[::2], WORKFLOW_NAMES[1::2]], ids=["even", "odd"])
def test_a_reload_brings_all_back(
    server: ComfyServer, settings: dict[str, Any], chromium: Browser, names: tuple[str, ...]
) -> None:
    """Each workflow in a tab of its own, after its size was changed."""
    info = server.object_info()
    changed = {}
    # A page without history: closed workflows count among those that the frontend remembers.
    with open_frontend(chromium, server, settings) as frontend:
        for name in names:
            editor = Editor(frontend, name, ui_workflow(name))
            changed[name] = choose_other_size(editor, for_this_version(api_workflow(name), info), info)
            editor.wait_until_kept()
        frontend.reload()
        assert frontend.tabs()[-len(changed) :] == list(changed)
        record = Record(editor)
        for name in reversed(names):
            frontend.wait_for_workflow(name, len(ui_workflow(name)["nodes"]))
            record.compare(name, changed[name])
            frontend.command("Workspace.PreviousOpenedWorkflow")
    record.check()


def choices(inputs: dict[str, Any], prefix: str = "") -> list[dict[str, str]]:
    """All that the options of inputs can be set to, one after another, each as {name of a widget: option}."""
    found = []
    for name, (kind, *details) in inputs.items():
        if kind != "COMFY_DYNAMICCOMBO_V3":
            continue
        for option in details[0]["options"]:
            chosen = {prefix + name: option["key"]}
            inner = all_inputs(option["inputs"])
            found += [chosen | more for more in choices(inner, f"{prefix}{name}.") or [{}]]
    return found


def all_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    """The required inputs of a node or option, and the optional ones."""
    return inputs.get("required", {}) | inputs.get("optional", {})


def variants(info: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """Each node of the pack with each choice of its options."""
    ours = {kind: all_inputs(node["input"]) for kind, node in info.items() if kind.startswith("UniAVGen")}
    return [(kind, chosen) for kind, inputs in ours.items() for chosen in choices(inputs) or [{}]]


def makers(info: dict[str, Any]) -> dict[str, tuple[str, int]]:
    """For each type of links a node that has an output of it, and the number of the output."""
    found: dict[str, tuple[str, int]] = {}
    for kind in sorted(info, key=lambda kind: (not kind.startswith("Primitive"), kind)):
        for number, made in enumerate(info[kind]["output"]):
            if isinstance(made, str) and made != "COMBO":
                found.setdefault(made, (kind, number))
    return found


@pytest.fixture
def fed(server: ComfyServer, frontend: Frontend) -> tuple[Record, Prompt]:
    """A graph of all nodes of the pack, in each option, each input fed by a node that makes what it takes."""
    info = server.object_info()
    linked = {tuple(link) for link in frontend.page.evaluate(FEED, [variants(info), makers(info)])}
    assert {("UniAVGenLatent", "seconds"), ("UniAVGenSampler", "seed"), ("UniAVGenAVMux", "audio")} <= linked
    prompt = without_meta(frontend.api_prompt())
    found = {
        (node["class_type"], name)
        for node in prompt.values()
        for name in node["inputs"]
        if isinstance(node["inputs"][name], list)
    }
    assert linked <= found
    record = Record(Editor(frontend, "fed", frontend.workflow()))
    record.compare("drop", prompt)
    return record, prompt


def test_every_input_stays_linked(server: ComfyServer, fed: tuple[Record, Prompt]) -> None:
    """Whatever feeds an input, such as a number a widget, feeds it still after what loads the graph anew."""
    record, prompt = fed
    changed = choose_other_size(record.editor, prompt, server.object_info())
    undo_and_look_away(record, prompt, changed)
    save_and_open(record, changed)
    record.editor.reload()
    record.compare("reload", changed)
    record.check()


def test_every_input_stays_linked_in_subgraphs_and_copies(fed: tuple[Record, Prompt]) -> None:
    """Whatever feeds an input feeds it still in a subgraph and in a copy."""
    record, prompt = fed
    ours = [number for number, node in prompt.items() if node["class_type"].startswith("UniAVGen")]
    record.editor.convert_to_subgraph(ours)
    record.compare("subgraph", prompt)
    record.editor.unpack_subgraphs()
    record.compare("subgraph unpacked", prompt)
    paste(record, prompt, ours)
    record.check()
