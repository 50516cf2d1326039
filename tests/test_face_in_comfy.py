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
PORTRAIT = {"detector": SCRFD, "face": "largest", "aspect": "square", "face_height": 40.0}


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
    if changes["face" if "face" in changes else "detector"] == "portrait":
        changes = {**changes, "face__portrait": picture}
    refused(server, *with_mask(graph, picture, **changes), *parts)


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (2000, 2)])
@pytest.mark.parametrize("detector", [SCRFD, YUNET])
def test_pictures_without_a_face_are_refused(
    server: ComfyServer, models: None, size: tuple[int, int], detector: str
) -> None:
    graph = GraphBuilder()
    empty = graph.add("EmptyImage", width=size[0], height=size[1], batch_size=2, color=0x8060A0)
    refused(server, *with_mask(graph, [empty, 0], detector=detector), "No face is found in images")


def test_a_portrait_is_cut_out(server: ComfyServer, models: None) -> None:
    graph, picture = load("far")
    node = graph.add("UniAVGenFacePortrait", images=picture, **PORTRAIT)
    saver = graph.add("SaveImage", images=[node, 0], filename_prefix="portrait")
    said = graph.add("PreviewAny", source=[node, 1])
    outputs = server.run(graph.prompt)
    height, width, _ = pixels(server.output_files({saver: outputs[saver]})[0]).shape
    assert height == width < 300
    assert f"{width} × {height} pixels" in "".join(outputs[said]["text"]) and "40%" in "".join(outputs[said]["text"])


def test_a_clip_shows_progress_and_can_be_cancelled(server: ComfyServer, models: None) -> None:
    graph, picture = load("small")
    many = graph.add("RepeatImageBatch", image=picture, amount=400)
    graph, node = with_mask(graph, [many, 0], detect_every=1)
    with server.events() as events:
        prompt_id = server.queue(graph.prompt)
        events.wait_for("progress", lambda data: data["value"] >= 2)
        server.interrupt()
        with pytest.raises(PromptInterrupted) as caught:
            server.result(prompt_id, timeout=30)
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
    graph.conditioning = graph.add_conditioning(
        picture="image", picture__vae=[graph.tiny, 2], picture__reference_image=picture
    )
    graph.add("PreviewAny", source=[graph.conditioning, 0])
    before = len(server.log())
    server.run(graph.prompt)
    faults = [line for line in server.log()[before:].splitlines() if " in reference_image" in line]
    assert len(faults) == bool(said) and all(said in fault for fault in faults)
