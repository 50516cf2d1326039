"""The workflows of the pack: their files, and a person's whole way from the dropped file to the saved clip."""

from __future__ import annotations

import math
import re
import urllib.request
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy
import pytest
import soundfile
import tomllib
import torch
from comfy.browser import Frontend, open_frontend
from comfy.files import (
    picture_packets,
    small_sizes,
    write_interpolator,
    write_joint_model,
    write_upscaler,
    write_video_model,
    write_vocoder,
)
from comfy.graphs import (
    WORKFLOW_NAMES,
    WORKFLOWS,
    Prompt,
    api_workflow,
    for_this_version,
    id_of,
    ids_of,
    nodes_of,
    set_inputs,
    ui_workflow,
)
from comfy.install import ComfyInstall
from comfy.server import ComfyServer
from PIL import Image
from playwright.sync_api import Browser
from safetensors.torch import save_file

from uniavgen_core import demo
from uniavgen_core.config import AUDIO_TOKENS_PER_SECOND, FRAME_RATE, SAMPLE_RATE, pixel_frames
from uniavgen_core.evaluation.mouth import mouth_open_area
from uniavgen_core.joint_latent import check_seconds
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.speech.duration import seconds_for_speech
from uniavgen_core.tasks import PAST_FRAMES
from uniavgen_core.tiny.bundle import CAPTION_WIDTH
from uniavgen_core.tiny.world import MOODS, SIDES, caption_of_two, check_words, draw_caption

ROOT = WORKFLOWS.parent
NOTE = "MarkdownNote"
TITLE_HEIGHT = 30
CAPTION_ENCODER = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
VIDEO_VAE = "wan2.2_vae.safetensors"
OTHER_GENERATOR = "wan2.2_ti2v_5B_fp16.safetensors"
UPSCALER = "2xNomosUni_compact_multijpg.safetensors"
INTERPOLATOR = "rife_v4.26.safetensors"
YUNET = "face_detection_yunet_2023mar.onnx"
OWN_DOWNLOADS = {CAPTION_ENCODER: "text_encoders", VIDEO_VAE: "vae"}
DETECTOR = {YUNET: "detection"}
MORE_DOWNLOADS = {
    "chain_upscale": {OTHER_GENERATOR: "diffusion_models", UPSCALER: "upscale_models"},
    "chain_interpolation": {INTERPOLATOR: "frame_interpolation"},
    "tiny_chain_interpolation": {INTERPOLATOR: "frame_interpolation"},
    "face_mask": DETECTOR,
    "two_speakers": DETECTOR,
    "dialogue": DETECTOR,
}
"""Files that nodes of others ask for, and the folders that they go to."""
MACHINE_PATH = re.compile(r"""(^|[\s"'(=])(/|~/|[A-Za-z]:\\)\w|localhost|127\.0\.0\.1""")
STEPS = 3
WIDTH, HEIGHT = 128, 160
TASKS = ("joint_generation", "reference_voice", "continuation", "dubbing", "audio_driven", "long_form", "script")
CHAINS = ("chain_upscale", "chain_interpolation")
"""With nodes of others before or behind the pack's own. Dubbing, from Load Video to Save Video, is one, too."""
FACES = ("two_speakers", "dialogue", "face_map")
MADE_FOR = (*TASKS, "fast", *CHAINS, *FACES)
"""Each with the released model and with the small one."""
WITHOUT_MODEL = ("face_mask",)
ONLY_SHOWN = "Preview"
"""Title of the last group of a workflow that saves nothing."""
WORKFLOW = pytest.mark.parametrize("name", WORKFLOW_NAMES)
CODEC_ERROR = 3.2
"""Levels of 255 by which the small model's codec changes a picture of few steps on average: 2.7 are measured."""
SILENT = 0.3
"""Part of the speaking mouth's movement that a silent one may show."""
REAL_MEDIA = {"LoadImage": "image", "LoadVideo": "file", "LoadAudio": "audio"}
"""Core nodes that ask for a file, and the input that names it."""


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


def test_every_one_that_has_a_model_has_its_two() -> None:
    assert set(WORKFLOW_NAMES) == {*MADE_FOR, *(f"tiny_{name}" for name in MADE_FOR), *WITHOUT_MODEL}
    assert {file.stem for file in (WORKFLOWS / "api").glob("*.json")} == set(WORKFLOW_NAMES)


@WORKFLOW
def test_nodes_name_their_pack(name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "nodes").glob("*.py"))
    known = set(re.findall(r'node_id="(\w+)"', source))
    for node in ui_workflow(name)["nodes"]:
        kind, properties = node["type"], node["properties"]
        if kind == NOTE:
            continue
        ours = kind.startswith("UniAVGen")
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
    assert titles[-1].endswith(" and save") or name in WITHOUT_MODEL and titles[-1] == ONLY_SHOWN
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
    file = WORKFLOWS / f"{name}.jpg"
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
            assert re.fullmatch(rf"https://huggingface\.co/[\w./-]+/{re.escape(model['name'])}", model["url"])
            offered[model["name"]] = model["directory"]
    of_the_model = {} if name.startswith("tiny_") or name in WITHOUT_MODEL else OWN_DOWNLOADS
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
    if not ids_of(prompt, "ImageStitch"):
        (kind,) = set(kinds.values())
        return {draw_caption(kind, mood, Random(seed)) for mood in MOODS for seed in range(20)}
    stitched = prompt[id_of(prompt, "ImageStitch")]["inputs"]
    beside = [kinds[stitched[side][0]] for side in ("image1", "image2")]
    return {caption_of_two(beside, side, mood) for side in (None, *SIDES) for mood in MOODS}


@pytest.mark.parametrize("name", MADE_FOR)
def test_the_tiny_ones_keep_to_their_world(name: str) -> None:
    prompt = api_workflow(f"tiny_{name}")
    captions = known_captions(prompt) | {""}
    assert {node["inputs"]["text"] for node in nodes_of(prompt, "CLIPTextEncode")} <= captions
    for node in nodes_of(prompt, "PrimitiveStringMultiline"):
        check_words(node["inputs"]["value"])
    for node in nodes_of(prompt, "UniAVGenConditioning"):
        speech = node["inputs"]["speech"]
        if isinstance(speech, str) and speech:
            check_words(speech)
    for node in nodes_of(prompt, "UniAVGenScript"):
        for line in parse_script(node["inputs"]["script"]):
            assert line.caption in captions
            for passage in line.passages:
                for sentence in passage.words.split(". "):
                    check_words(sentence)


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


@pytest.fixture(scope="module")
def server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """ComfyUI as a new user has it, with the pack and no model files."""
    base = tmp_path_factory.mktemp("workflows")
    with ComfyServer(comfy_install, base, [ROOT], ["--preview-method", "latent2rgb"]) as running:
        running.add_input(comfy_install.path / "input" / "example.png")
        yield running


@pytest.fixture(scope="module")
def files(server: ComfyServer, video_vae: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the workflows ask for: weights of small size in the real formats, random ones or zeros, and real media."""
    folder = tmp_path_factory.mktemp("files")
    # The captions come from the tiny bundle's encoder, so the model reads its width.
    server.add_model("diffusion_models", write_joint_model(folder / "UniAVGen", small_sizes(CAPTION_WIDTH)))
    server.add_model("vocoders", write_vocoder(folder / "code2wav_bigvgan_model"))
    server.add_model("vae", video_vae, VIDEO_VAE)
    other = write_video_model(folder / OTHER_GENERATOR, small_sizes(CAPTION_WIDTH))
    server.add_model("diffusion_models", other)
    server.add_model("upscale_models", write_upscaler(folder / UPSCALER))
    server.add_model("frame_interpolation", write_interpolator(folder / INTERPOLATOR))
    for file in ("portraits/woman.png", "clips/dubbing.mp4", "speech/driving.wav", "speech/basic_ref_en.wav"):
        server.add_input(shared_data / file)
    # umT5-XXL cannot be had for a test. A file of its name lets the frontend find nothing missing; nothing reads it.
    save_file({"nothing": torch.zeros(1)}, folder / CAPTION_ENCODER)
    server.add_model("text_encoders", folder / CAPTION_ENCODER)
    server.add_model("detection", shared_data / "face" / "yunet_n_640_640.onnx", YUNET)
    write_pair(shared_data, server.base / "input" / "pair.png")


def write_pair(shared_data: Path, file: Path) -> None:
    """A picture of two people, as wide as two portraits."""
    pair = Image.new("RGB", (768, 512))
    for left, name in ((0, "woman"), (384, "second")):
        with Image.open(shared_data / "portraits" / f"{name}.png") as portrait:
            pair.paste(portrait.convert("RGB").resize((384, 512)), (left, 0))
    pair.save(file)


def media_of(name: str) -> dict[str, str]:
    """The real file that each loader of media takes in a workflow."""
    sound = "driving.wav" if name == "audio_driven" else "basic_ref_en.wav"
    picture = "pair.png" if name in ("two_speakers", "dialogue") else "woman.png"
    return {"LoadImage": picture, "LoadVideo": "dubbing.mp4", "LoadAudio": sound}


def edited(name: str) -> Prompt:
    """A workflow in API form, with the test's changes: few steps, small pictures, short clips, files that are there."""
    prompt = api_workflow(name)
    for kind in ("UniAVGenSampler", "UniAVGenScheduler"):
        for node in nodes_of(prompt, kind):
            node["inputs"]["steps"] = STEPS
    for kind, file in media_of(name).items():
        for node in nodes_of(prompt, kind):
            node["inputs"][REAL_MEDIA[kind]] = file
    if not name.startswith("tiny_") and name not in WITHOUT_MODEL:
        set_inputs(prompt, "UniAVGenLatent", size="custom", size__width=WIDTH, size__height=HEIGHT)
        replace_caption_encoder(prompt)
    if name in CHAINS:
        set_inputs(prompt, "UniAVGenConditioning", speech="Hello, it is me.")
    if name == "chain_upscale":
        set_inputs(prompt, "KSampler", steps=STEPS)
        set_inputs(prompt, "Wan22ImageToVideoLatent", width=WIDTH, height=HEIGHT, length=33)
    if name in ("long_form", "script"):
        set_inputs(prompt, "UniAVGenLatent", seconds=1.5)
        set_inputs(prompt, "UniAVGenScript", script="A woman. | Hello, my friends. [pause 0.5] It is me.")
    if name == "dialogue":
        set_inputs(prompt, "UniAVGenLatent", seconds=1.5)
        set_inputs(prompt, "UniAVGenScript", script="Two people. | [speaker 1] Hello. It is me.\n[speaker 2] Hello.")
    if name in ("two_speakers", "face_map"):
        set_inputs(prompt, "UniAVGenConditioning", speech="Hello, it is me.")
    return prompt


def replace_caption_encoder(prompt: Prompt) -> None:
    """The tiny bundle's caption encoder in the place of umT5-XXL, which cannot be had for a test."""
    encoder = id_of(prompt, "CLIPLoader")
    del prompt[encoder]
    prompt["100"] = {"class_type": "UniAVGenTinyLoader", "inputs": {}}
    for node in prompt.values():
        if node["inputs"].get("clip") == [encoder, 0]:
            node["inputs"]["clip"] = ["100", 1]


REPLACE_CAPTION_ENCODER = """() => {
    const graph = window.app.graph;
    const [encoder] = graph.nodes.filter(node => node.type === "CLIPLoader");
    const readers = graph.nodes.filter(node => node.type === "CLIPTextEncode");
    const tiny = window.LiteGraph.createNode("UniAVGenTinyLoader");
    tiny.pos = [...encoder.pos];
    graph.add(tiny);
    graph.remove(encoder);
    for (const reader of readers) tiny.connect(1, reader, "clip");
}"""
"""As `replace_caption_encoder`, in the graph on the page."""


def edit_page(frontend: Frontend) -> None:
    """The test's changes of joint_generation, by the hands of a user."""
    frontend.set_widgets("UniAVGenSampler", {"steps": STEPS})
    frontend.set_widgets("LoadImage", {"image": "woman.png"})
    frontend.set_widgets("UniAVGenLatent", {"size": "custom", "size.width": WIDTH, "size.height": HEIGHT})
    frontend.page.evaluate(REPLACE_CAPTION_ENCODER)
    frontend.settle()


def read_clip(file: Path) -> tuple[numpy.ndarray, numpy.ndarray, list[float]]:
    """Pictures (F, H, W, 3) of bytes, sound (channels, samples), and the seconds of both."""
    with av.open(file) as container:
        assert sorted(stream.type for stream in container.streams) == ["audio", "video"]
        video, audio = container.streams.video[0], container.streams.audio[0]
        seconds = [float(stream.duration * stream.time_base) for stream in (video, audio)]
        pictures = numpy.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video)])
        container.seek(0)
        sound = numpy.concatenate([frame.to_ndarray() for frame in container.decode(audio)], axis=1)
    return pictures, sound, seconds


def check_clip(file: Path, frames: int | None = None, frame_rate: float = FRAME_RATE) -> numpy.ndarray:
    """The saved file is a clip: picture and sound of one length, movement, something to hear. Its pictures."""
    pictures, sound, seconds = read_clip(file)
    if frames is not None:
        assert len(pictures) == frames
    assert seconds == pytest.approx([len(pictures) / frame_rate] * 2, abs=1 / frame_rate)
    changes = numpy.abs(numpy.diff(pictures.astype(float), axis=0)).mean(axis=(1, 2, 3))
    # Real clips of the small model's world move by 0.4 to 2 levels of 255 a frame.
    assert (changes > 0.1).mean() > 0.8, f"the picture stands still: {changes.round(1)}"
    assert sound.std() > 1e-3, "the sound is silent"
    return pictures


def frames_of_joint(prompt: Prompt) -> int:
    """Frames that a workflow of joint generation promises."""
    speech = prompt[id_of(prompt, "UniAVGenConditioning")]["inputs"]["speech"]
    wanted = prompt[id_of(prompt, "UniAVGenLatent")]["inputs"]["seconds"]
    return pixel_frames(check_seconds(wanted or seconds_for_speech(speech, "en")))


def saved_clip(server: ComfyServer, outputs: dict[str, Any]) -> Path:
    (file,) = server.output_files(outputs)
    assert file.parent == server.base / "output" / "video"
    return file


def test_downloads_are_offered(server: ComfyServer, chromium: Browser) -> None:
    with open_frontend(chromium, server) as frontend:
        frontend.drop_workflow("joint_generation", ui_workflow("joint_generation"))
        # A dispatched event, because for a moment an invisible overlay takes the real clicks.
        frontend.page.get_by_test_id("error-overlay-see-errors").dispatch_event("click")
        buttons = frontend.page.get_by_text("Download", exact=True)
        buttons.nth(1).wait_for(timeout=10_000)
        assert buttons.count() == 2
        panel, notes, _ = frontend.page.locator("body").inner_text().partition("Two folders")
    assert notes
    assert CAPTION_ENCODER in panel
    assert VIDEO_VAE in panel


def test_templates_are_listed(server: ComfyServer) -> None:
    (templates,) = server.request("/workflow_templates").values()
    assert sorted(templates) == sorted(WORKFLOW_NAMES)
    for name in templates:
        address = f"{server.url}/api/workflow_templates/{ROOT.name}/{name}"
        with urllib.request.urlopen(f"{address}.jpg", timeout=30) as answer:
            assert answer.read() == (WORKFLOWS / f"{name}.jpg").read_bytes()


def test_run_by_hand(server: ComfyServer, files: None, chromium: Browser) -> None:
    name = "joint_generation"
    with open_frontend(chromium, server) as frontend:
        frontend.drop_workflow(name, ui_workflow(name))
        edit_page(frontend)
        frontend.watch_run()
        clip = saved_clip(server, frontend.run())
        assert frontend.problems() == []
        assert frontend.script_errors == []
        frontend.wait_for_run_of(STEPS)
    check_clip(clip, frames_of_joint(edited(name)))


def run(server: ComfyServer, prompt: Prompt) -> dict[str, Any]:
    """The outputs of a prompt, without inputs that this ComfyUI does not know."""
    return server.run(for_this_version(prompt, server.object_info()))


def clip_of(server: ComfyServer, prompt: Prompt, outputs: dict[str, Any]) -> Path:
    saver = ids_of(prompt, "SaveVideo")[0]
    return saved_clip(server, {saver: outputs[saver]})


@pytest.mark.parametrize("name", ["joint_generation", "tiny_joint_generation"])
def test_joint_generation(server: ComfyServer, files: None, name: str) -> None:
    prompt = edited(name)
    set_inputs(prompt, "UniAVGenConditioning", speech="Hello, it is me.")
    with server.events() as events:
        clip = saved_clip(server, run(server, prompt))
        assert events.wait_for("progress", lambda data: data["value"] == data["max"] == STEPS)
        assert events.previews >= STEPS
    check_clip(clip, frames_of_joint(prompt))


@pytest.mark.parametrize("name", ["reference_voice", "tiny_reference_voice"])
def test_reference_voice(server: ComfyServer, files: None, name: str) -> None:
    prompt = edited(name)
    check_clip(clip_of(server, prompt, run(server, prompt)))


def added_frames(prompt: Prompt) -> int:
    """Frames that a continuation adds to its past."""
    seconds = nodes_of(prompt, "UniAVGenLatent")[-1]["inputs"]["seconds"]
    return pixel_frames(check_seconds(seconds)) - pixel_frames(PAST_FRAMES)


def test_a_continuation_goes_on(server: ComfyServer, files: None) -> None:
    """Its frames are not compared with the past: a video codec of random weights shows nothing of it."""
    prompt = edited("continuation")
    past = add_save(prompt, prompt[id_of(prompt, "UniAVGenJoin")]["inputs"]["past"], "past")
    outputs = run(server, prompt)
    (before,) = server.output_files({past: outputs[past]})
    check_clip(clip_of(server, prompt, outputs), len(read_clip_pictures(before)) + added_frames(prompt))


def test_the_small_models_continuation_shows_its_past_unchanged_and_goes_on(server: ComfyServer) -> None:
    prompt = edited("tiny_continuation")
    join = id_of(prompt, "UniAVGenJoin")
    sources = {"past": prompt[join]["inputs"]["past"], "own": prompt[join]["inputs"]["images"], "joined": [join, 0]}
    for name, source in sources.items():
        prompt[name] = {"class_type": "SaveImage", "inputs": {"images": source, "filename_prefix": name}}
    outputs = run(server, prompt)
    past, own, joined = (read_pictures(server.output_files({name: outputs[name]})) for name in sources)
    check_clip(clip_of(server, prompt, outputs), len(past) + added_frames(prompt))
    assert numpy.array_equal(joined[: len(past)], past)
    kept = pixel_frames(PAST_FRAMES)
    difference, to_earlier = (distance(own[:kept], frames) for frames in (past[-kept:], past[-kept - 1 : -1]))
    assert difference < CODEC_ERROR, "it begins with its past, but for the codec's error"
    assert difference < to_earlier, "it begins with no other moment of its past"


def add_save(prompt: Prompt, source: list[Any], prefix: str) -> str:
    """Save pictures or a video beside what the workflow saves; the node's id."""
    kind = prompt[source[0]]["class_type"]
    if kind != "LoadVideo":
        prompt["201"] = {"class_type": "CreateVideo", "inputs": {"images": source, "fps": FRAME_RATE, "bit_depth": 8}}
        source = ["201", 0]
    inputs = prompt[id_of(prompt, "SaveVideo")]["inputs"] | {"video": source, "filename_prefix": prefix}
    prompt["200"] = {"class_type": "SaveVideo", "inputs": inputs}
    return "200"


def distance(first: numpy.ndarray, second: numpy.ndarray) -> float:
    """Mean absolute difference of pictures of bytes, in levels."""
    return float(numpy.abs(first.astype(float) - second).mean())


def read_pictures(files: list[Path]) -> numpy.ndarray:
    """Pictures (F, H, W, 3) of bytes."""
    return numpy.stack([numpy.asarray(Image.open(file)) for file in files])


def read_clip_pictures(file: Path) -> numpy.ndarray:
    with av.open(file) as container:
        return numpy.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_dubbing_keeps_the_users_own_frames(server: ComfyServer, files: None, shared_data: Path) -> None:
    prompt = edited("dubbing")
    clip = clip_of(server, prompt, run(server, prompt))
    assert picture_packets(clip) == picture_packets(shared_data / "clips" / "dubbing.mp4")
    _, sound, _ = read_clip(clip)
    _, own, _ = read_clip(shared_data / "clips" / "dubbing.mp4")
    length = min(sound.shape[1], own.shape[1])
    assert numpy.abs(sound[0, :length] - own[0, :length]).mean() > 1e-3, "the voice is new"
    assert sound.std() > 1e-3, "it is no silence"


def test_dubbing_the_small_models_clip(server: ComfyServer) -> None:
    prompt = edited("tiny_dubbing")
    source = add_save(prompt, nodes_of(prompt, "UniAVGenAVMux")[-1]["inputs"]["picture"], "dubbed")
    prompt[source]["inputs"]["video"] = nodes_of(prompt, "UniAVGenAVMux")[-1]["inputs"]["picture"]
    outputs = run(server, prompt)
    pictures = check_clip(clip_of(server, prompt, {key: value for key, value in outputs.items() if key != source}))
    (before,) = server.output_files({source: outputs[source]})
    assert numpy.array_equal(read_clip_pictures(before), pictures)


@pytest.mark.parametrize("name", ["chain_upscale", "tiny_chain_upscale"])
def test_another_generators_clip_is_dubbed_and_doubled_in_size(server: ComfyServer, files: None, name: str) -> None:
    prompt = edited(name)
    frame_rate = prompt[id_of(prompt, "PrimitiveFloat")]["inputs"]["value"]
    upscaled = nodes_of(prompt, "UniAVGenAVMux")[-1]["inputs"]["picture"]
    own = prompt[upscaled[0]]["inputs"]["image"]
    for key, images in (("own", own), ("upscaled", upscaled)):
        prompt[key] = {"class_type": "SaveImage", "inputs": {"images": images, "filename_prefix": f"{name}_{key}"}}
    outputs = run(server, prompt)
    before, after = (read_pictures(server.output_files({key: outputs[key]})) for key in ("own", "upscaled"))
    pictures = check_clip(clip_of(server, prompt, outputs), len(before), frame_rate)
    assert pictures.shape == after.shape
    frames, height, width, channels = before.shape
    in_blocks = after.reshape(frames, height, 2, width, 2, channels)
    assert distance(in_blocks.mean(axis=(2, 4)), before) < 1, "they are the generator's own frames"


@pytest.mark.parametrize("name", ["chain_interpolation", "tiny_chain_interpolation"])
def test_interpolation_doubles_the_frames_and_keeps_the_sound(server: ComfyServer, files: None, name: str) -> None:
    prompt = edited(name)
    doubled = id_of(prompt, "UniAVGenAVMux")
    inputs = prompt[doubled]["inputs"]
    frames = prompt[inputs["picture"][0]]["inputs"]["images"]
    prompt["plain"] = {
        "class_type": "UniAVGenAVMux",
        "inputs": inputs | {"picture": frames, "frame_rate": FRAME_RATE, "length": "picture"},
    }
    save_parts(prompt, "before", "plain")
    save_parts(prompt, "after", doubled)
    outputs = run(server, prompt)
    (before, plain_sound), (after, sound) = (read_parts(server, outputs, key) for key in ("before", "after"))
    check_clip(clip_of(server, prompt, outputs), 2 * len(before), 2 * FRAME_RATE)
    assert numpy.array_equal(after[::2], before)
    between = (before[:-1].astype(float) + before[1:]) / 2
    # Neither black nor white, which stand for all that is beyond; and both were cut to whole levels.
    in_range = ((before > 0) & (before < 255))[:-1] & ((before > 0) & (before < 255))[1:]
    assert in_range.mean() > 0.5
    assert numpy.abs(after[1:-1:2] - between)[in_range].max() <= 1, "the test's interpolation averages"
    assert numpy.array_equal(after[-1], before[-1]), "the last frame is held"
    assert numpy.array_equal(plain_sound[: len(sound)], sound)
    assert not plain_sound[len(sound) :].any(), "only silence was added to the length of the picture"
    assert len(sound) / SAMPLE_RATE == pytest.approx(len(before) / FRAME_RATE, abs=1 / AUDIO_TOKENS_PER_SECOND)


def save_parts(prompt: Prompt, key: str, video: str) -> None:
    """Save frames and sound of a node's VIDEO under node ids that begin with `key`."""
    prompt[key + "_parts"] = {"class_type": "GetVideoComponents", "inputs": {"video": [video, 0]}}
    for output, kind, name in ((0, "SaveImage", "images"), (1, "SaveAudio", "audio")):
        inputs = {name: [key + "_parts", output], "filename_prefix": f"{key}_{name}"}
        prompt[f"{key}_{name}"] = {"class_type": kind, "inputs": inputs}


def read_parts(server: ComfyServer, outputs: dict[str, Any], key: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pictures (F, H, W, 3) of bytes and sound (samples,) that `save_parts` saved."""
    (sound,) = server.output_files({key: outputs[f"{key}_audio"]})
    samples, rate = soundfile.read(sound)
    assert rate == SAMPLE_RATE
    return read_pictures(server.output_files({key: outputs[f"{key}_images"]})), samples


@pytest.mark.parametrize("name", ["audio_driven", "tiny_audio_driven"])
def test_a_given_sound_is_unchanged_to_the_bit(server: ComfyServer, files: None, name: str) -> None:
    prompt = edited(name)
    mux = nodes_of(prompt, "UniAVGenAVMux")[-1]["inputs"]
    prompt["300"] = {"class_type": "GetVideoComponents", "inputs": {"video": [id_of(prompt, "UniAVGenAVMux"), 0]}}
    for number, source in (("301", ["300", 1]), ("302", mux["audio"])):
        prompt[number] = {"class_type": "SaveAudio", "inputs": {"audio": source, "filename_prefix": f"sound_{number}"}}
    outputs = run(server, prompt)
    files = (server.output_files({number: outputs[number]})[0] for number in ("301", "302"))
    (heard, heard_rate), (given, given_rate) = map(soundfile.read, files)
    assert heard_rate == given_rate
    assert len(given) > given_rate
    assert numpy.array_equal(heard, given)
    frames = math.ceil(len(given) * FRAME_RATE / given_rate)
    check_clip(clip_of(server, prompt, outputs), frames)


@pytest.mark.parametrize("name", ["long_form", "tiny_long_form", "script", "tiny_script", "dialogue"])
def test_a_long_clip_is_what_its_report_says(server: ComfyServer, files: None, name: str) -> None:
    prompt = edited(name)
    outputs = run(server, prompt)
    report, captions = ("".join(outputs[number]["text"]) for number in ids_of(prompt, "PreviewAny"))
    lines = report.splitlines()
    assert len(lines) >= 2
    clip = clip_of(server, prompt, outputs)
    pictures = check_clip(clip)
    end = float(re.search(r"to +([\d.]+) s", lines[-1])[1])  # type: ignore[index]
    assert len(pictures) / FRAME_RATE == pytest.approx(end, abs=0.01)
    script = prompt[id_of(prompt, "UniAVGenScript")]["inputs"]["script"]
    words = " ".join(passage.words for line in parse_script(script) for passage in line.passages)
    spoken = [line for line in captions.splitlines() if line and not line[0].isdigit()]
    assert " ".join(spoken).split() == words.split()


def save_mask(prompt: Prompt, mask: list[Any]) -> None:
    """Save a MASK as pictures, under the node id "mask"."""
    prompt["mask_image"] = {"class_type": "MaskToImage", "inputs": {"mask": mask}}
    prompt["mask"] = {"class_type": "SaveImage", "inputs": {"images": ["mask_image", 0], "filename_prefix": "mask"}}


def read_saved_mask(server: ComfyServer, outputs: dict[str, Any]) -> numpy.ndarray:
    """What `save_mask` saved, (n, height, width), 0..255."""
    return read_pictures(server.output_files({"mask": outputs["mask"]}))[..., 0].astype(float)


def mouth_movements(pictures: numpy.ndarray) -> list[float]:
    """How much the mouths of the drawn people side by side move, from left to right."""
    return [float(mouth_open_area(half).std()) for half in numpy.split(pictures, 2, axis=2)]


def test_a_face_is_masked_and_cropped(server: ComfyServer, files: None, shared_data: Path) -> None:
    prompt = edited("face_mask")
    save_mask(prompt, [id_of(prompt, "UniAVGenFaceMask"), 0])
    outputs = run(server, prompt)
    over, portrait = (
        read_pictures(server.output_files({number: outputs[number]}))[0] for number in ids_of(prompt, "PreviewImage")
    )
    (mask,) = read_saved_mask(server, outputs) / 255
    assert 0.02 < mask.mean() < 0.5
    with Image.open(shared_data / "portraits" / "woman.png") as picture:
        own = numpy.asarray(picture.convert("RGB")).astype(float)
    red = numpy.array([255.0, 0.0, 0.0])
    assert numpy.abs(over - (own + (red - own) * mask[..., None] / 2)).max() <= 2
    height, width, _ = portrait.shape
    assert width < own.shape[1]
    assert width / height == pytest.approx(3 / 4, abs=0.01)
    assert ["40%" in "".join(outputs[number]["text"]) for number in ids_of(prompt, "PreviewAny")] == [False, True]


def test_the_face_that_speaks_is_found(server: ComfyServer, files: None) -> None:
    prompt = edited("two_speakers")
    save_mask(prompt, [id_of(prompt, "UniAVGenFaceMask"), 0])
    outputs = run(server, prompt)
    left, right = numpy.split(read_saved_mask(server, outputs)[0], 2, axis=1)
    assert left.max() == 255 and not right.any()
    check_clip(clip_of(server, prompt, outputs), frames_of_joint(prompt))


def test_of_the_small_models_two_people_the_masked_one_speaks(server: ComfyServer) -> None:
    prompt = api_workflow("tiny_two_speakers")
    speaking, silent = mouth_movements(
        check_clip(clip_of(server, prompt, run(server, prompt)), frames_of_joint(prompt))
    )
    assert speaking > 5 and silent <= SILENT * speaking


def test_the_small_models_two_people_speak_in_turn(server: ComfyServer) -> None:
    prompt = api_workflow("tiny_dialogue")
    outputs = run(server, prompt)
    pictures = check_clip(clip_of(server, prompt, outputs))
    script = parse_script(prompt[id_of(prompt, "UniAVGenScript")]["inputs"]["script"])
    report = "".join(outputs[ids_of(prompt, "PreviewAny")[0]]["text"])
    times = re.findall(r"([\d.]+) to +([\d.]+) s  line (\d+)", report)
    for line in script:
        frames = [
            round(float(time) * FRAME_RATE) for *span, number in times if int(number) == line.number for time in span
        ]
        left, right = mouth_movements(pictures[frames[0] : frames[-1]])
        assert line.speaker == (1 if left > right else 2), f"line {line.number}: {left:.1f}, {right:.1f}"


@pytest.mark.parametrize("name", ["face_map", "tiny_face_map"])
def test_the_face_map_lies_over_every_frame(server: ComfyServer, files: None, name: str) -> None:
    prompt = edited(name)
    shown = id_of(prompt, "UniAVGenFaceMap")
    save_mask(prompt, [shown, 1])
    for key, images in (("plain", prompt[shown]["inputs"]["images"]), ("overlay", [shown, 0])):
        prompt[key] = {"class_type": "SaveImage", "inputs": {"images": images, "filename_prefix": f"{name}_{key}"}}
    outputs = run(server, prompt)
    plain, overlay = (read_pictures(server.output_files({key: outputs[key]})) for key in ("plain", "overlay"))
    mask = read_saved_mask(server, outputs)
    assert len(check_clip(clip_of(server, prompt, outputs), frames_of_joint(prompt))) == len(overlay) == len(mask)
    assert distance(overlay, plain) > 10
    # Values beyond 0..1 would be cut to 0 or 255.
    assert (mask > 0).mean() > 0.95 and mask.max() < 255
    if name == "tiny_face_map":
        corners = mask[:, :16, [*range(16), *range(-16, 0)]]
        assert mask[:, 48:96, 48:80].mean() > corners.mean() + 50, "it shows the face"
