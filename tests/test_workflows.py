"""A person's whole way with each workflow, from the dropped file to the saved clip."""

from __future__ import annotations

import math
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy
import pytest
import soundfile
import torch
from comfy.browser import Frontend, open_frontend
from comfy.files import (
    picture_packets,
    write_interpolator,
    write_joint_model,
    write_universe_model,
    write_upscaler,
    write_video_model,
    write_video_vae,
    write_vocoder,
)
from comfy.graphs import (
    WORKFLOWS,
    Prompt,
    api_workflow,
    id_of,
    ids_of,
    nodes_of,
    set_inputs,
    ui_workflow,
)
from comfy.install import ComfyInstall
from comfy.server import ComfyServer
from comfy.workflow_runs import (
    CAPTION_ENCODER,
    HEIGHT,
    INTERPOLATOR,
    OTHER_GENERATOR,
    STEPS,
    UPSCALER,
    VIDEO_VAE,
    WAN_21_VAE,
    WIDTH,
    YUNET,
    add_save,
    check_clip,
    clip_of,
    distance,
    edited,
    frames_of_joint,
    read_clip,
    read_clip_pictures,
    read_parts,
    read_pictures,
    read_saved_mask,
    run,
    save_mask,
    save_parts,
    saved_clip,
)
from PIL import Image
from playwright.sync_api import Browser
from safetensors.torch import save_file
from small_model import small_sizes
from workflow_source.templates import forms

from uniavgen_core.config import AUDIO_TOKENS_PER_SECOND, FRAME_RATE, SAMPLE_RATE, pixel_frames
from uniavgen_core.face.lip_sync import mouth_open_area
from uniavgen_core.joint_latent import check_seconds
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.tasks import PAST_FRAMES
from uniavgen_core.tiny.bundle import CAPTION_WIDTH
from uniavgen_core.universe1.stitched_sizes import UNIVERSE_CHANNELS, UNIVERSE_FRAME_RATE

ROOT = WORKFLOWS.parent
TEST_PACK = ROOT / "tests" / "comfy" / "test_pack"
CODEC_ERROR = 3.2
"""Levels of 255 by which the small model's codec changes a picture of few steps on average: 2.7 are measured."""
WHOLE_FOLDERS = ("UniAVGen/*.safetensors", "code2wav_bigvgan_model/*.safetensors")
SILENT = 0.3
"""Part of the speaking mouth's movement that a silent one may show."""


@pytest.fixture(scope="module")
def server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """ComfyUI as a new user has it, with the pack and no model files."""
    base = tmp_path_factory.mktemp("workflows")
    with ComfyServer(comfy_install, base, [ROOT, TEST_PACK], ["--preview-method", "latent2rgb"]) as running:
        running.add_input(comfy_install.path / "input" / "example.png")
        yield running


@pytest.fixture(scope="module")
def files(server: ComfyServer, video_vae: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the workflows ask for: weights of small size in the real formats, random ones or zeros, and real media."""
    folder = tmp_path_factory.mktemp("files")
    # The captions come from the tiny bundle's encoder, so the model reads its width.
    server.add_model(
        "diffusion_models", write_joint_model(folder / "UniAVGen", small_sizes(blocks=4, text_width=CAPTION_WIDTH))
    )
    server.add_model("vocoders", write_vocoder(folder / "code2wav_bigvgan_model"))
    server.add_model("vae", video_vae, VIDEO_VAE)
    server.add_model("diffusion_models", write_universe_model(folder / "UniVerse-1", CAPTION_WIDTH))
    server.add_model("vae", write_video_vae(server.install, folder / WAN_21_VAE, UNIVERSE_CHANNELS))
    other = write_video_model(folder / OTHER_GENERATOR, small_sizes(blocks=4, text_width=CAPTION_WIDTH))
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


def test_downloads_are_offered(server: ComfyServer, chromium: Browser) -> None:
    with open_frontend(chromium, server) as frontend:
        frontend.drop_workflow("joint_generation", ui_workflow("joint_generation"))
        # A dispatched event, because for a moment an invisible overlay takes the real clicks.
        frontend.page.get_by_test_id("error-overlay-see-errors").dispatch_event("click")
        buttons = frontend.page.get_by_text("Download", exact=True)
        buttons.nth(1).wait_for()
        assert buttons.count() == 2
        panel, notes, _ = frontend.page.locator("body").inner_text().partition("Two folders")
    assert notes
    # Of what is a whole folder, the frontend says only that it is missing.
    assert all(file in panel for file in (CAPTION_ENCODER, VIDEO_VAE, *WHOLE_FOLDERS))


def test_templates_are_listed(server: ComfyServer) -> None:
    (templates,) = server.request("/workflow_templates").values()
    assert sorted(templates) == sorted(name for form in forms() for name in form.pictured_files)
    for name in templates:
        address = f"{server.url}/api/workflow_templates/{ROOT.name}/{quote(name)}"
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


@pytest.mark.parametrize("name", ["joint_generation", "tiny_joint_generation"])
def test_joint_generation(server: ComfyServer, files: None, name: str) -> None:
    prompt = edited(name)
    set_inputs(prompt, "UniAVGenConditioning", speech="Hello, it is me.")
    with server.events() as events:
        clip = saved_clip(server, run(server, prompt))
        assert events.wait_for("progress", lambda data: data["value"] == data["max"] == STEPS)
        events.wait_for_previews(STEPS)
    check_clip(clip, frames_of_joint(prompt))


@pytest.mark.parametrize("name", ["changing_mood", "tiny_changing_mood"])
def test_a_mood_changes_within_a_clip(server: ComfyServer, files: None, name: str) -> None:
    prompt = edited(name)
    changed = prompt[id_of(prompt, "UniAVGenCaptionChange")]["inputs"]["seconds"]
    pictures = check_clip(clip_of(server, prompt, run(server, prompt)), frames_of_joint(prompt))
    assert 0 < changed < len(pictures) / FRAME_RATE


def test_the_best_of_several_seeds_is_finished(server: ComfyServer) -> None:
    """Of the small model, whose lips need no landmarks."""
    prompt = edited("tiny_best_of")
    outputs = run(server, prompt)
    report = "".join(outputs[id_of(prompt, "PreviewAny")]["text"])
    scores = {int(seed): float(score) for seed, score in re.findall(r"seed (\d+): (-?[\d.]+)", report)}
    assert len(scores) == 4
    (finished,) = re.findall(r"Finished: seed (\d+)", report)
    assert scores[int(finished)] == max(scores.values())
    check_clip(clip_of(server, prompt, outputs), frames_of_joint(prompt))


def test_universe_makes_a_clip(server: ComfyServer, files: None) -> None:
    prompt = edited("universe1")
    with server.events() as events:
        clip = saved_clip(server, run(server, prompt))
        events.wait_for_previews(STEPS)
    assert check_clip(clip, 9, UNIVERSE_FRAME_RATE).shape[1:3] == (512, 512)


def test_both_models_are_compared_in_one_video(server: ComfyServer, files: None) -> None:
    prompt = edited("compare")
    pictures, sound, seconds = read_clip(saved_clip(server, run(server, prompt)))
    label, width = 20, WIDTH + HEIGHT
    assert pictures.shape[1:3] == (label + HEIGHT, width)
    assert seconds[0] == pytest.approx(len(pictures) / UNIVERSE_FRAME_RATE, abs=0.05)
    assert (pictures[:, :label, :WIDTH].max(axis=(1, 2, 3)) > 100).all(), "the model's name is above its clip"
    left, right = pictures[:, label:, :WIDTH].astype(float), pictures[:, label:, WIDTH:].astype(float)
    moves = [numpy.abs(numpy.diff(half, axis=0)).mean(axis=(1, 2, 3)) > 0.1 for half in (left, right)]
    of_right = 9
    assert moves[0][:-of_right].mean() > 0.4, "first the left one"
    assert moves[1][1 - of_right :].mean() > 0.8, "then the right one"
    heard = round(of_right / UNIVERSE_FRAME_RATE * sound.shape[1] / seconds[1])
    assert min(sound[:, :-heard].std(), sound[:, -heard:].std()) > 1e-3, "both are heard"


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


def test_a_retake_keeps_the_packets_before_it(server: ComfyServer, files: None, shared_data: Path) -> None:
    prompt = edited("retake")
    clip = clip_of(server, prompt, run(server, prompt))
    source = picture_packets(shared_data / "clips" / "dubbing.mp4")
    made = picture_packets(clip)
    assert len(made) == len(source)
    start = prompt[id_of(prompt, "UniAVGenRange")]["inputs"]["start"]
    before = math.floor(start * FRAME_RATE) - 4
    assert made[:before] == source[:before] and made != source


def test_a_bridge_lies_between_both_clips(server: ComfyServer, files: None, shared_data: Path) -> None:
    prompt = edited("bridge")
    made = picture_packets(clip_of(server, prompt, run(server, prompt)))
    source = picture_packets(shared_data / "clips" / "dubbing.mp4")
    assert len(made) > 2 * len(source)
    assert made[: len(source)] == source and made[-len(source) :] == source


@pytest.mark.parametrize("name", ["tiny_retake", "tiny_bridge"])
def test_the_small_models_clip_is_changed(server: ComfyServer, name: str) -> None:
    prompt = edited(name)
    (created,) = ids_of(prompt, "CreateVideo")
    save_parts(prompt, "own", created)
    save_parts(prompt, "made", id_of(prompt, "UniAVGenPutBack"))
    outputs = run(server, prompt)
    (frames, sound), (made, heard) = (read_parts(server, outputs, key) for key in ("own", "made"))
    check_clip(clip_of(server, prompt, outputs), len(made))
    # In a retake the range begins at second 1; a bridge stands behind all of the clip.
    first = len(frames) if name == "tiny_bridge" else FRAME_RATE - 4
    assert numpy.array_equal(made[:first], frames[:first])
    length = min(len(sound), first * SAMPLE_RATE // FRAME_RATE)
    assert numpy.array_equal(heard[:length], sound[:length])
    assert len(made) > len(frames) if name == "tiny_bridge" else len(made) == len(frames)


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
    source = add_save(prompt, nodes_of(prompt, "UniAVGenAVMux")[-1]["inputs"]["video"], "dubbed")
    prompt[source]["inputs"]["video"] = nodes_of(prompt, "UniAVGenAVMux")[-1]["inputs"]["video"]
    outputs = run(server, prompt)
    pictures = check_clip(clip_of(server, prompt, {key: value for key, value in outputs.items() if key != source}))
    (before,) = server.output_files({source: outputs[source]})
    assert numpy.array_equal(read_clip_pictures(before), pictures)


@pytest.mark.parametrize("name", ["chain_upscale", "tiny_chain_upscale"])
def test_another_generators_clip_is_dubbed_and_doubled_in_size(server: ComfyServer, files: None, name: str) -> None:
    prompt = edited(name)
    frame_rate = prompt[id_of(prompt, "PrimitiveFloat")]["inputs"]["value"]
    upscaled = nodes_of(prompt, "UniAVGenAVMux")[-1]["inputs"]["video"]
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
    frames = prompt[inputs["video"][0]]["inputs"]["images"]
    prompt["plain"] = {
        "class_type": "UniAVGenAVMux",
        "inputs": inputs | {"video": frames, "frame_rate": FRAME_RATE, "length": "video"},
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


@pytest.mark.parametrize(
    "name", ["long_form", "tiny_long_form", "script", "tiny_script", "dialogue", "two_voices", "cuts"]
)
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


@pytest.mark.parametrize("name", ["tiny_dialogue", "tiny_two_voices"])
def test_the_small_models_two_people_speak_in_turn(server: ComfyServer, name: str) -> None:
    prompt = api_workflow(name)
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


def test_the_small_models_recordings_are_spoken_by_whoever_said_them(server: ComfyServer) -> None:
    prompt = api_workflow("tiny_recordings")
    outputs = run(server, prompt)
    pictures = check_clip(clip_of(server, prompt, outputs))
    turns = "".join(outputs[ids_of(prompt, "PreviewAny")[0]]["text"]).splitlines()
    assert [turn.split("speaker ")[1] for turn in turns] == ["1", "2"]
    for number, turn in enumerate(turns):
        first, end = (round(float(time) * FRAME_RATE) for time in re.findall(r"\d+\.\d+", turn))
        movements = mouth_movements(pictures[first:end])
        assert movements[number] == max(movements), f"{turn}: {movements}"


def test_the_small_models_dialogue_is_cut_to_who_speaks(server: ComfyServer) -> None:
    prompt = api_workflow("tiny_cuts")
    outputs = run(server, prompt)
    pictures = check_clip(clip_of(server, prompt, outputs))
    report = "".join(outputs[ids_of(prompt, "PreviewAny")[0]]["text"])
    starts = [round(float(time) * FRAME_RATE) for time in re.findall(r"([\d.]+) to", report)]
    first, second, third = (pictures[start].astype(float) for start in starts[:3])
    assert len(starts) == 3 and distance(first, second) > 10
    assert distance(first, third) < distance(first, second) / 4, "back to the first scene's portrait"
    before = pictures[starts[1] - 1].astype(float)
    assert distance(first, before) < distance(second, before) / 2, "no frame of one scene is mixed with the other's"


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
