"""The face nodes on a real server, with the face models that a user may have."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from comfy.graphs import ClipGraph, GraphBuilder, Link
from comfy.install import ComfyInstall
from comfy.prompt_errors import PromptFailed, PromptInterrupted
from comfy.server import ComfyServer
from PIL import Image

PACK = Path(__file__).absolute().parent.parent
SCRFD, YUNET = "models/buffalo_sc/det_500m.onnx", "face_detection_yunet_2023mar.onnx"
MASK = {
    "detector": SCRFD, "face": "largest", "shape": "ellipse", "margin": 0.0, "feather": 0.0, "frame_rate": 16.0,
    "detect_every": 0, "longest_gap": 1.0, "smoothing": 0.4,
}  # fmt: skip
FACES_OF_CROWD = 50
PORTRAIT = {"detector": SCRFD, "face": "largest", "aspect_ratio": "square", "face_height": 40.0}


@pytest.fixture(scope="module")
def server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(comfy_install, tmp_path_factory.mktemp("face"), packs=[PACK]) as running:
        yield running


@pytest.fixture(scope="module")
def bare_server(server: ComfyServer) -> ComfyServer:
    """The server before there are face models; ask for it in the first test only."""
    return server


@pytest.fixture(scope="module")
def models(server: ComfyServer, shared_data: Path) -> None:
    """Models as other packs lay them out, and files that are none."""
    folder = server.models / "insightface"
    (folder / SCRFD).parent.mkdir(parents=True)
    shutil.copyfile(shared_data / "face" / "scrfd_500m_kps.onnx", folder / SCRFD)
    shutil.copyfile(shared_data / "face" / "yunet_n_640_640.onnx", folder / YUNET)
    shutil.copyfile(shared_data / "face" / "face_landmark.onnx", folder / "another.onnx")
    (folder / "det_damaged.onnx").write_bytes((folder / SCRFD).read_bytes()[:100_000])
    (folder / "yunet_damaged.onnx").write_text("hello", encoding="utf-8")
    (folder / "inswapper_128.onnx").touch()
    for name in ("woman", "second"):
        server.add_input(shared_data / "portraits" / f"{name}.png")
    with Image.open(shared_data / "portraits" / "woman.png") as picture:
        canvas = Image.new("RGB", (800, 1200))
        canvas.paste(picture.convert("RGB").resize((120, 160)), (340, 500))
        canvas.save(server.base / "input" / "far.png")
        picture.convert("L").save(server.base / "input" / "grey.png")
        picture.convert("RGB").resize((192, 256)).save(server.base / "input" / "small.png")
        crowd, face = (
            Image.new("RGB", (1200, 800)),
            picture.convert("RGB").crop((236, 0, 596, 480)).resize((120, 160)),
        )
        for number in range(FACES_OF_CROWD):
            crowd.paste(face, (number % 10 * 120, number // 10 * 160))
        crowd.save(server.base / "input" / "crowd.png")


def load(name: str) -> tuple[GraphBuilder, Link]:
    graph = GraphBuilder()
    return graph, [graph.add("LoadImage", image=f"{name}.png"), 0]


def mask_graph(name: str, **changes: Any) -> tuple[GraphBuilder, str]:
    """A graph that masks a picture's face and shows the report; the node's id."""
    graph, picture = load(name)
    return with_mask(graph, picture, **changes)


def with_mask(graph: GraphBuilder, images: Link, **changes: Any) -> tuple[GraphBuilder, str]:
    node = graph.add("UniAVGenFaceMask", images=images, **{**MASK, **changes})
    graph.add("PreviewAny", source=[node, 1])
    return graph, node


def run_mask(server: ComfyServer, name: str, **changes: Any) -> numpy.ndarray:
    graph, node = mask_graph(name, **changes)
    image = graph.add("MaskToImage", mask=[node, 0])
    saver = graph.add("SaveImage", images=[image, 0], filename_prefix="mask")
    outputs = server.run(graph.prompt)
    return pixels(server.output_files({saver: outputs[saver]})[0])[..., 0] / 255


def pixels(file: Path) -> numpy.ndarray:
    with Image.open(file) as picture:
        return numpy.asarray(picture.convert("RGB")).astype(float)


def iou(first: numpy.ndarray, second: numpy.ndarray) -> float:
    return float(numpy.minimum(first, second).sum() / numpy.maximum(first, second).sum())


def shown(server: ComfyServer, graph: GraphBuilder, node: str) -> str:
    """What a node shows on itself as the graph runs."""
    with server.events() as events:
        server.result(server.queue(graph.prompt))
    (text,) = [text for number, text in events.texts if number == node]
    return text


def refused(server: ComfyServer, graph: GraphBuilder, node: str, *parts: str) -> None:
    with pytest.raises(PromptFailed) as caught:
        server.run(graph.prompt)
    assert caught.value.node_id == node
    for part in parts:
        assert part in caught.value.message


def offered(server: ComfyServer) -> list[str]:
    kind, options = server.object_info()["UniAVGenFaceMask"]["input"]["required"]["detector"]
    return options["options"] if kind == "COMBO" else kind


def test_without_models_the_node_says_what_to_put_where(bare_server: ComfyServer, shared_data: Path) -> None:
    bare_server.add_input(shared_data / "portraits" / "woman.png")
    (choice,) = offered(bare_server)
    refused(bare_server, *mask_graph("woman", detector=choice), "There is no face detector", "models/insightface")


def test_detectors_of_the_users_folders_are_offered(server: ComfyServer, models: None) -> None:
    names = offered(server)
    assert set(names) == {SCRFD, YUNET, "det_damaged.onnx", "yunet_damaged.onnx", "another.onnx"}
    assert names[-1] == "another.onnx"


def test_a_face_is_masked_alike_by_both_detectors(server: ComfyServer, models: None) -> None:
    mask = run_mask(server, "woman")
    assert mask.shape == (1024, 768)
    assert iou(mask, run_mask(server, "woman", detector=YUNET)) > 0.75
    assert iou(mask, run_mask(server, "grey")) > 0.9
    rows, columns = numpy.nonzero(mask > 0.5)
    filled = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean()
    assert filled == pytest.approx(numpy.pi / 4, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"detector": "det_damaged.onnx"}, ("det_damaged.onnx", "damaged", "download it again")),
        ({"detector": "yunet_damaged.onnx"}, ("yunet_damaged.onnx", "damaged or not YuNet")),
        ({"detector": "another.onnx"}, ("another.onnx", "no face detector of insightface")),
        ({"face": "number", "face__number": 3}, ("shows 1 face,", "number up to 1")),
        (
            {"face": "portrait", "face__recogniser": "no recognition model in models/insightface"},
            ("no recognition model", "w600k_r50.onnx"),
        ),
    ],
)
def test_masks_are_refused(server: ComfyServer, models: None, changes: dict[str, Any], parts: tuple[str, ...]) -> None:
    graph, picture = load("woman")
    if changes.get("face") == "portrait":
        changes = {**changes, "portrait": picture}
    refused(server, *with_mask(graph, picture, **changes), *parts)


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (2000, 2)])
@pytest.mark.parametrize("detector", [SCRFD, YUNET])
def test_pictures_without_a_face_are_refused(
    server: ComfyServer, models: None, size: tuple[int, int], detector: str
) -> None:
    graph = GraphBuilder()
    empty = graph.add("EmptyImage", width=size[0], height=size[1], batch_size=2, color=0x8060A0)
    refused(server, *with_mask(graph, [empty, 0], detector=detector), "No face is found in images")
    graph = GraphBuilder()
    empty = graph.add("EmptyImage", width=size[0], height=size[1], batch_size=2, color=0x8060A0)
    node = graph.add("UniAVGenFacePortrait", images=[empty, 0], **{**PORTRAIT, "detector": detector})
    graph.add("PreviewImage", images=[node, 0])
    refused(server, graph, node, "No face is found in images")


def test_a_portrait_is_cut_out(server: ComfyServer, models: None) -> None:
    graph, picture = load("far")
    node = graph.add("UniAVGenFacePortrait", images=picture, **PORTRAIT)
    saver = graph.add("SaveImage", images=[node, 0], filename_prefix="portrait")
    said = graph.add("PreviewAny", source=[node, 1])
    outputs = server.run(graph.prompt)
    height, width, _ = pixels(server.output_files({saver: outputs[saver]})[0]).shape
    assert height == width < 300
    assert f"{width} × {height} pixels" in "".join(outputs[said]["text"]) and "40%" in "".join(outputs[said]["text"])


def test_the_report_is_shown_on_the_node(server: ComfyServer, models: None) -> None:
    graph, picture = load("small")
    empty = graph.add("EmptyImage", width=192, height=256, batch_size=3, color=0x102030)
    clip = graph.add("ImageBatch", image1=picture, image2=[empty, 0])
    graph, node = with_mask(graph, [clip, 0], feather=1.0)
    assert shown(server, graph, node) == (
        "1 of 4 frames show a face that is meant.\nFrames without one: 1–3 (0.06–0.25 s)."
    )
    graph, picture = load("far")
    node = graph.add("UniAVGenFacePortrait", images=picture, **{**PORTRAIT, "face_height": 50.0})
    graph.add("PreviewImage", images=[node, 0])
    assert shown(server, graph, node).startswith("The face takes 50% of the height of ")


def test_every_face_of_a_crowd_is_masked(server: ComfyServer, models: None) -> None:
    mask = run_mask(server, "crowd", face="all", margin=-20.0)
    assert (mask[80::160, 60::120] == 1).all() and mask[80::160, 60::120].size == FACES_OF_CROWD
    refused(server, *mask_graph("crowd", face="number", face__number=51), "shows 50 faces", "number up to 50")


def test_a_picture_with_alpha_is_masked_and_cut_out(server: ComfyServer, models: None) -> None:
    graph, picture = load("woman")
    clear = graph.add("SolidMask", value=0.0, width=768, height=1024)
    joined = graph.add("JoinImageWithAlpha", image=picture, alpha=[clear, 0])
    masks = [graph.add("UniAVGenFaceMask", images=images, **MASK) for images in (picture, [joined, 0])]
    saved = [graph.add("MaskToImage", mask=[mask, 0]) for mask in masks]
    both = graph.add("ImageBatch", image1=[saved[0], 0], image2=[saved[1], 0])
    saver = graph.add("SaveImage", images=[both, 0], filename_prefix="alpha")
    cut = graph.add("UniAVGenFacePortrait", images=[joined, 0], **PORTRAIT)
    portrait = graph.add("SaveImage", images=[cut, 0], filename_prefix="alpha_portrait")
    outputs = server.run(graph.prompt)
    plain, alpha = map(pixels, server.output_files({saver: outputs[saver]}))
    assert plain.max() == 255 and (plain == alpha).all()
    with Image.open(server.output_files({portrait: outputs[portrait]})[0]) as picture:
        assert picture.mode == "RGBA" and picture.width == picture.height


def test_a_hull_takes_the_mesh_where_there_is_one(server: ComfyServer, models: None, shared_data: Path) -> None:
    five = run_mask(server, "woman", shape="hull")
    mesh = server.models / "insightface" / "face_landmark.onnx"
    mesh.write_text("hello", encoding="utf-8")
    refused(server, *mask_graph("woman", shape="hull"), "face_landmark.onnx is damaged", "download it again")
    shutil.copyfile(shared_data / "face" / "face_landmark.onnx", mesh)
    many = run_mask(server, "woman", shape="hull")
    assert (many * five).sum() > 0.99 * five.sum() and five.sum() < 0.4 * many.sum()
    assert 0.75 < iou(many, run_mask(server, "woman")) < 0.99


def test_a_hull_shows_progress_and_can_be_cancelled(server: ComfyServer, models: None, shared_data: Path) -> None:
    shutil.copyfile(shared_data / "face" / "face_landmark.onnx", server.models / "insightface" / "face_landmark.onnx")
    graph, picture = load("small")
    many = graph.add("RepeatImageBatch", image=picture, amount=400)
    graph, _ = with_mask(graph, [many, 0], shape="hull")
    with server.events() as events:
        prompt_id = server.queue(graph.prompt)
        events.wait_for("progress", lambda data: data["value"] > 402)
        server.interrupt()
        with pytest.raises(PromptInterrupted):
            server.result(prompt_id)
        progress = events.of_type("progress")
    assert {data["max"] for data in progress} == {1200}
    assert max(data["value"] for data in progress) < 800, "the mesh was not at its end"


def test_a_clip_shows_progress_and_can_be_cancelled(server: ComfyServer, models: None) -> None:
    graph, picture = load("small")
    many = graph.add("RepeatImageBatch", image=picture, amount=400)
    graph, node = with_mask(graph, [many, 0], detect_every=1)
    with server.events() as events:
        prompt_id = server.queue(graph.prompt)
        events.wait_for("progress", lambda data: data["value"] >= 2)
        server.interrupt()
        with pytest.raises(PromptInterrupted) as caught:
            server.result(prompt_id)
        assert {data["max"] for data in events.of_type("progress")} == {800}
    assert caught.value.node_id == node


@pytest.mark.parametrize(
    ("portrait", "said"),
    [("woman", ""), ("far", "takes 3% of its height; below 8%"), ("empty", "No face is found in ")],
)
def test_portraits_are_looked_at_but_never_refused(server: ComfyServer, models: None, portrait: str, said: str) -> None:
    graph = ClipGraph()
    picture = [graph.add("LoadImage", image=f"{portrait}.png"), 0]
    if portrait == "empty":
        picture = [graph.add("EmptyImage", width=64, height=64, batch_size=1, color=0x102030), 0]
    graph.add_reference_picture(picture)
    graph.add("PreviewAny", source=[graph.conditioning, 0])
    before = len(server.log())
    with server.events() as events:
        server.run(graph.prompt)
    faults = [line for line in server.log()[before:].splitlines() if " in image" in line]
    shown_faults = [text for node, text in events.texts if node == graph.conditioning]
    assert len(faults) == len(shown_faults) == bool(said)
    assert all(said in fault for fault in faults + shown_faults)
