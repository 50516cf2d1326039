"""The files of the workflows: what they say, how they look, and that they are up to date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from random import Random
from typing import Any

import pytest
import tomllib
from comfy.graphs import (
    GRAPHS,
    WORKFLOW_NAMES,
    WORKFLOWS,
    Prompt,
    api_workflow,
    id_of,
    ids_of,
    nodes_of,
    ui_workflow,
)
from comfy.workflow_runs import (
    ACE_STEP,
    CAPTION_ENCODER,
    INTERPOLATOR,
    OTHER_GENERATOR,
    UPSCALER,
    VIDEO_VAE,
    WAN_21_VAE,
    YUNET,
)
from PIL import Image
from workflow_source.descriptions import FOR_BOTH_MODELS

from uniavgen_core.joint_latent import check_seconds
from uniavgen_core.long_form.script import parse_script
from uniavgen_lab import demo
from uniavgen_lab.world.sentences import MOODS, SIDES, caption_of_two, check_known_words, draw_caption
from workflows import out_of_date

ROOT = WORKFLOWS.parent
NOTE = "MarkdownNote"
TITLE_HEIGHT = 30
MODEL, VOCODER, UNIVERSE = (
    f"{folder}/*.safetensors" for folder in ("UniAVGen", "code2wav_bigvgan_model", "UniVerse-1")
)
FOLDERS = {MODEL: "diffusion_models", VOCODER: "vocoders", UNIVERSE: "diffusion_models"}
"""Of files that are not one download."""
OWN_DOWNLOADS = {CAPTION_ENCODER: "text_encoders", VIDEO_VAE: "vae"} | FOLDERS
DETECTOR = {YUNET: "detection"}
OF_UNIVERSE = {WAN_21_VAE: "vae", ACE_STEP: "checkpoints"}
MORE_DOWNLOADS = {
    "chain_upscale": {OTHER_GENERATOR: "diffusion_models", UPSCALER: "upscale_models"},
    "chain_interpolation": {INTERPOLATOR: "frame_interpolation"},
    "tiny_chain_interpolation": {INTERPOLATOR: "frame_interpolation"},
    "face_mask": DETECTOR,
    "two_speakers": DETECTOR,
    "dialogue": DETECTOR,
    "two_voices": DETECTOR,
    "recordings": DETECTOR,
    "best_of": DETECTOR,
    "universe1": OF_UNIVERSE,
    "compare": OF_UNIVERSE,
}
"""Files that nodes of others ask for, and the folders that they go to."""
MACHINE_PATH = re.compile(r"""(^|[\s"'(=])(/|~/|[A-Za-z]:\\)\w|localhost|127\.0\.0\.1""")
MADE_FOR = [describe.__name__ for describe in FOR_BOTH_MODELS]
WORKFLOW = pytest.mark.parametrize("name", WORKFLOW_NAMES)


def texts(value: Any) -> Iterator[str]:
    """All strings in a JSON value, keys of objects too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from texts(part)


def box(node: dict[str, Any]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a node with its title."""
    (left, top), (width, height) = node["pos"], node["size"]
    return left, top - TITLE_HEIGHT, left + width, top + height


def overlap(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def contains(outer: list[float], inner: tuple[float, float, float, float]) -> bool:
    left, top, width, height = outer
    return left <= inner[0] and top <= inner[1] and inner[2] <= left + width and inner[3] <= top + height


def test_they_are_what_their_descriptions_say() -> None:
    assert out_of_date() == [], "run python tools/workflows.py"


@WORKFLOW
def test_nodes_name_their_pack(name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "nodes").glob("*.py"))
    known = set(re.findall(r'node_id="(\w+)"', source))
    for node in ui_workflow(name)["nodes"]:
        kind, properties = node["type"], node["properties"]
        if kind == NOTE:
            continue
        ours = kind.startswith(("UniAVGen", "UniVerse1"))
        assert properties["Node name for S&R"] == kind
        assert properties["cnr_id"] == ("uniavgen" if ours else "comfy-core")
        assert properties["ver"] == version if ours else re.fullmatch(r"0\.\d+\.\d+", properties["ver"])
        assert kind in known or not ours


@WORKFLOW
def test_links_hold_together(name: str) -> None:
    workflow = ui_workflow(name)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"])
    links = {link[0]: link for link in workflow["links"]}
    for number, source, output, target, _, kind in links.values():
        assert nodes[source]["outputs"][output]["type"] == kind
        assert number in nodes[source]["outputs"][output]["links"]
        (taken,) = (slot["type"] for slot in nodes[target]["inputs"] if slot.get("link") == number)
        assert kind in taken.split(",") or taken == "*"
    plugged = [slot["link"] for node in nodes.values() for slot in node["inputs"] if slot.get("link") is not None]
    assert sorted(plugged) == sorted(links)


@WORKFLOW
def test_it_reads_from_left_to_right(name: str) -> None:
    workflow = ui_workflow(name)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for first, second in combinations(nodes.values(), 2):
        assert not overlap(box(first), box(second)), f"nodes {first['id']} and {second['id']} overlap"
    for _, source, _, target, _, _ in workflow["links"]:
        assert nodes[source]["pos"][0] <= nodes[target]["pos"][0], f"the link from {source} to {target} runs backwards"
    titles = [group["title"] for group in sorted(workflow["groups"], key=lambda group: group["bounding"][0])]
    assert titles[0] == "Load"
    assert titles[-1].endswith("Preview" if name == "face_mask" else " and save")
    for left, right in pairwise(sorted(group["bounding"] for group in workflow["groups"])):
        assert left[0] + left[2] < right[0]
    for node in nodes.values():
        assert any(contains(group["bounding"], box(node)) for group in workflow["groups"]), f"{node['id']} is outside"


@WORKFLOW
def test_nothing_of_a_machine_is_in_it(name: str) -> None:
    for value in (ui_workflow(name), api_workflow(name)):
        assert [text for text in texts(value) if MACHINE_PATH.search(text)] == []


@WORKFLOW
def test_thumbnail_is_small(name: str) -> None:
    file = GRAPHS / f"{name}.jpg"
    with Image.open(file) as picture:
        assert picture.format == "JPEG"
        assert max(picture.size) <= 1024
    assert file.stat().st_size < 100_000


@WORKFLOW
def test_downloads_are_those_of_the_loaders(name: str) -> None:
    offered = {}
    for node in ui_workflow(name)["nodes"]:
        for model in node["properties"].get("models", []):
            assert model["name"] in node["widgets_values"]
            # The frontend downloads a file from the one, and only links to the other.
            folder = r"https://hf\.co/[\w-]+/[\w-]+/tree/main"
            file = rf"https://huggingface\.co/[\w./-]+/{re.escape(model['name'])}"
            assert re.fullmatch(folder if model["name"] in FOLDERS else file, model["url"])
            offered[model["name"]] = model["directory"]
    kinds = {"CLIPLoader": CAPTION_ENCODER, "UniAVGenLatent": VIDEO_VAE, "UniAVGenAudioCodecLoader": VOCODER}
    prompt = api_workflow(name)
    needed = [file for kind, file in kinds.items() if not name.startswith("tiny_") and ids_of(prompt, kind)]
    needed += [node["inputs"]["model_name"] for node in nodes_of(prompt, "UniAVGenModelLoader")]
    of_the_model = {file: OWN_DOWNLOADS[file] for file in needed}
    assert offered == of_the_model | MORE_DOWNLOADS.get(name, {})


@pytest.mark.parametrize("name", MADE_FOR)
def test_the_note_of_a_tiny_one_says_whether_it_needs_a_file(name: str) -> None:
    (note, *_) = (node["widgets_values"][0] for node in ui_workflow(f"tiny_{name}")["nodes"] if node["type"] == NOTE)
    files = "one file" if MORE_DOWNLOADS.get(f"tiny_{name}") else "no files"
    assert note.startswith(f"This graph needs **{files}**")


@pytest.mark.parametrize("name", [name for name, files in MORE_DOWNLOADS.items() if YUNET in files])
def test_a_note_says_where_the_detector_goes_and_how_it_is_licensed(name: str) -> None:
    notes = [node["widgets_values"][0] for node in ui_workflow(name)["nodes"] if node["type"] == NOTE]
    (note,) = (note for note in notes if YUNET in note)
    assert all(part in note for part in ("detection/", "licence MIT", "non-commercial"))


def known_captions(prompt: Prompt) -> set[str]:
    """Captions that the small model knows for who is in the picture."""
    kinds = {number: prompt[number]["inputs"]["kind"] for number in ids_of(prompt, "UniAVGenTinyPortrait")}
    alone = {draw_caption(kind, mood, Random(seed)) for kind in kinds.values() for mood in MOODS for seed in range(20)}
    if not ids_of(prompt, "ImageStitch"):
        return alone
    stitched = prompt[id_of(prompt, "ImageStitch")]["inputs"]
    beside = [kinds[stitched[side][0]] for side in ("image1", "image2")]
    return {caption_of_two(beside, side, mood) for side in (None, *SIDES) for mood in MOODS} | alone


@pytest.mark.parametrize("name", MADE_FOR)
def test_the_tiny_ones_keep_to_their_world(name: str) -> None:
    prompt = api_workflow(f"tiny_{name}")
    captions = known_captions(prompt) | {""}
    assert {node["inputs"]["text"] for node in nodes_of(prompt, "CLIPTextEncode")} <= captions
    for node in nodes_of(prompt, "PrimitiveStringMultiline"):
        check_known_words(node["inputs"]["value"])
    for node in nodes_of(prompt, "UniAVGenConditioning"):
        speech = node["inputs"]["speech"]
        if isinstance(speech, str) and speech:
            check_known_words(speech)
    for node in nodes_of(prompt, "UniAVGenScript"):
        for line in parse_script(node["inputs"]["script"]):
            assert line.caption in captions
            for passage in line.passages:
                for sentence in passage.words.split(". "):
                    check_known_words(sentence)


def test_the_tiny_clip_is_as_long_as_its_words() -> None:
    prompt = api_workflow("tiny_joint_generation")
    speech = prompt[id_of(prompt, "UniAVGenConditioning")]["inputs"]["speech"]
    seconds = prompt[id_of(prompt, "UniAVGenLatent")]["inputs"]["seconds"]
    assert check_seconds(seconds) == check_seconds(demo.clip_length(speech))


def test_note_says_where_the_folders_go() -> None:
    notes = [node["widgets_values"][0] for node in ui_workflow("joint_generation")["nodes"] if node["type"] == NOTE]
    (files,) = (note for note in notes if "MCG-NJU/UniAVGen" in note)
    assert {"diffusion_models/", "UniAVGen/", "vocoders/", "code2wav_bigvgan_model/"} <= set(
        re.findall(r"[\w.]+/", files)
    )
