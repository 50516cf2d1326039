"""The nodes on a real server: what goes wrong is said on the right node, and what should work does."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import soundfile
import torch
import torchaudio
from comfy.files import joint_weights, picture_packets, write_joint_model, write_shards, write_video_vae
from comfy.graphs import GUIDANCE, ClipGraph, GraphBuilder, Link
from comfy.install import ComfyInstall
from comfy.prompt_errors import PromptFailed, PromptInterrupted, PromptRejected
from comfy.server import ComfyServer
from common import relative_error
from PIL import Image
from safetensors.torch import load_file, save_file
from small_model import small_sizes
from torch import Tensor

from uniavgen_core.config import LATENT_CHANNELS, clip_seconds
from uniavgen_core.convert import convert
from uniavgen_core.media.muxing import write_video
from uniavgen_core.speech.duration import seconds_for_speech
from uniavgen_core.tiny.bundle import CAPTION_WIDTH, MODEL_SIZES
from uniavgen_core.tiny.drawing import draw_portrait
from uniavgen_lab.video_files import read_video, stream_summary

PACK = Path(__file__).absolute().parent.parent
TEST_PACK = Path(__file__).absolute().parent / "comfy" / "test_pack"
NODE_IDS = {
    "UniAVGenModelLoader",
    "UniAVGenAudioCodecLoader",
    "UniAVGenTinyLoader",
    "UniAVGenTinyPortrait",
    "UniAVGenLatent",
    "UniAVGenLatentMask",
    "UniAVGenConditioning",
    "UniAVGenReferencePicture",
    "UniAVGenCaptionChange",
    "UniAVGenSpeakerVoice",
    "UniAVGenRecordings",
    "UniAVGenBestOf",
    "UniAVGenScene",
    "UniAVGenChooseVoice",
    "UniAVGenScheduler",
    "UniAVGenGuider",
    "UniAVGenSampler",
    "UniAVGenScript",
    "UniAVGenLongForm",
    "UniAVGenJoin",
    "UniAVGenRange",
    "UniAVGenPutBack",
    "UniAVGenAVMux",
    "UniAVGenSaveSubtitled",
    "UniAVGenSoundBed",
    "UniAVGenWaveform",
    "UniAVGenWords",
    "UniAVGenFaceMask",
    "UniAVGenFacePortrait",
    "UniAVGenFaceGuidance",
    "UniAVGenFaceMapCapture",
    "UniAVGenFaceMap",
    "UniAVGenSideBySide",
    "UniVerse1Latent",
    "UniVerse1Conditioning",
    "UniVerse1Schedule",
    "UniVerse1SoundDecode",
}
OTHER_WIDTH = 96
"""Width of captions that a model of another training would read."""


@pytest.fixture(scope="module")
def server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(comfy_install, tmp_path_factory.mktemp("nodes"), packs=[PACK, TEST_PACK]) as running:
        yield running


@pytest.fixture(scope="module")
def models(server: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Good and bad files in models/diffusion_models."""
    folder = tmp_path_factory.mktemp("models")
    sizes = small_sizes(text_width=CAPTION_WIDTH)
    weights = joint_weights(sizes)
    shards = {name: write_shards(folder / name, weights, shards=2) for name in ("good", "truncated", "missing_shard")}
    first, second = sorted(shards["truncated"].glob("*.safetensors"))
    second.write_bytes(second.read_bytes()[:-1000])
    sorted(shards["missing_shard"].glob("*.safetensors"))[1].unlink()
    write_joint_model(folder / "other_width", replace(sizes, text_width=OTHER_WIDTH))
    save_file(weights, folder / "one_file.safetensors")
    convert(shards["good"], folder / "fp8.safetensors", "fp8_e4m3fn")
    save_file(wan_weights(), folder / "wan.safetensors")
    for entry in sorted(folder.iterdir()):
        server.add_model("diffusion_models", entry)


def wan_weights() -> dict[str, Tensor]:
    """The names by which Wan 2.2 5B is known, with its number of latent channels."""
    return {
        "patch_embedding.weight": torch.zeros(8, LATENT_CHANNELS, 1, 2, 2),
        "head.modulation": torch.zeros(1, 2, 8),
        "blocks.0.self_attn.q.weight": torch.zeros(8, 8),
    }


KSAMPLER = {"seed": 7, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}


def model_loader(name: str) -> tuple[GraphBuilder, str]:
    """A graph that only loads a model; the loader's id."""
    graph = GraphBuilder()
    loader = graph.add("UniAVGenModelLoader", model_name=name, weight_dtype="default")
    graph.add("PreviewAny", source=[loader, 0])
    return graph, loader


def sampled(graph: ClipGraph, node: str | None = None, **changes: Any) -> tuple[ClipGraph, str]:
    """The graph with a sampler and something that wants its result; the id of the node that is to fail."""
    sampler = graph.add_sampler(**changes)
    graph.add("PreviewAny", source=[sampler, 0])
    return graph, node or sampler


def refused(server: ComfyServer, graph: GraphBuilder, node: str, *parts: str) -> None:
    """Run the graph; it must fail on this node, in words that hold all these parts."""
    with pytest.raises(PromptFailed) as caught:
        server.run(graph.prompt)
    assert (caught.value.node_id, caught.value.node_type) == (node, graph.prompt[node]["class_type"])
    for part in parts:
        assert part in caught.value.message


def rejected(server: ComfyServer, graph: GraphBuilder, node: str, *parts: str) -> None:
    """Run the graph; ComfyUI must not begin, because of this node, and say so in words that hold all these parts."""
    with pytest.raises(PromptRejected) as caught:
        server.run(graph.prompt)
    (fault,) = caught.value.node_errors[node]["errors"]
    for part in parts:
        assert part in fault["details"]


def run_streams(server: ComfyServer, graph: ClipGraph, latent: str) -> list[Tensor]:
    """Run the graph; both streams of the node's latent."""
    savers = graph.save_streams(latent, "streams")
    outputs = server.run(graph.prompt)
    files = [server.output_files({saver: outputs[saver]})[0] for saver in savers]
    return [load_file(file)["latent_tensor"] for file in files]


def test_all_nodes_are_there(server: ComfyServer) -> None:
    info = server.object_info()
    assert {name for name in info if name.startswith(("UniAVGen", "UniVerse1"))} == NODE_IDS
    assert {info[name]["python_module"] for name in NODE_IDS} == {f"custom_nodes.{PACK.name}"}


def test_the_drawn_portrait(server: ComfyServer) -> None:
    graph = GraphBuilder()
    portrait = graph.add("UniAVGenTinyPortrait", kind="grandfather", person=7)
    graph.add("SaveImage", images=[portrait, 0], filename_prefix="portrait")
    (file,) = server.output_files(server.run(graph.prompt))
    with Image.open(file) as picture:
        pixels = numpy.asarray(picture.convert("RGB"))
    assert numpy.array_equal(pixels, draw_portrait(7, "grandfather")[0].mul(255).round().byte().numpy())


def test_no_model_file(server: ComfyServer) -> None:
    ((choice,), _) = offered_models(server)
    rejected(server, *model_loader(choice), "models/diffusion_models", "press R")


def offered_models(server: ComfyServer) -> tuple[list[str], dict[str, Any]]:
    kind, options = server.object_info()["UniAVGenModelLoader"]["input"]["required"]["model_name"]
    return (options["options"] if kind == "COMBO" else kind), options


def test_models_appear_when_they_are_there(server: ComfyServer, models: None) -> None:
    names, _ = offered_models(server)
    folders = {"good/", "truncated/", "missing_shard/", "other_width/"}
    assert set(names) == folders | {"one_file.safetensors", "fp8.safetensors", "wan.safetensors"}


def test_model_that_is_not_there(server: ComfyServer, models: None) -> None:
    rejected(server, *model_loader("UniAVGen/"), "'UniAVGen/'", "models/diffusion_models", "press R")


def test_vocoder_that_is_not_there(server: ComfyServer) -> None:
    graph = GraphBuilder()
    loader = graph.add("UniAVGenAudioCodecLoader", vocoder_name="code2wav_bigvgan_model/")
    graph.add("PreviewAny", source=[loader, 0])
    rejected(server, graph, loader, "'code2wav_bigvgan_model/'", "models/vocoders", "Griffin-Lim")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("wan.safetensors", ("looks like Wan", "UniAVGen")),
        ("truncated/", ("00002-of-00002", "cut off", "download it again")),
        ("missing_shard/", ("00002-of-00002", "missing", "download")),
    ],
)
def test_bad_model_files(server: ComfyServer, models: None, name: str, parts: tuple[str, ...]) -> None:
    refused(server, *model_loader(name), *parts)


def test_caption_encoder_of_another_width(server: ComfyServer, models: None) -> None:
    graph = ClipGraph()
    loader = graph.add("UniAVGenModelLoader", model_name="other_width/", weight_dtype="default")
    refused(server, *sampled(graph, model=[loader, 0]), str(CAPTION_WIDTH), str(OTHER_WIDTH), "CLIPLoader")


def test_vae_of_wan_2_1(server: ComfyServer, comfy_install: ComfyInstall, tmp_path: Path) -> None:
    file = write_video_vae(comfy_install, tmp_path / "wan_2.1_vae.safetensors", latent_channels=16)
    graph = ClipGraph()
    vae = graph.add("VAELoader", vae_name=server.add_model("vae", file))
    graph.prompt[graph.latent]["inputs"]["vae"] = [vae, 0]
    refused(server, *sampled(graph, graph.latent), "16 latent channels", "Wan 2.2 VAE")


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"size__width": 100}, ("width is 100", "multiple of 32", "96")),
        ({"size__height": 72}, ("height is 72", "multiple of 32", "64")),
        ({"seconds": 0.0}, ("seconds is 0", "UniAVGen Conditioning to conditioning")),
        ({"seconds": 25.0}, ("25.00 seconds", "20.06")),
        ({"task": "dubbing"}, ("video is not connected", "'dubbing'")),
        ({"task": "continuation"}, ("video is not connected", "'continuation'")),
        ({"task": "audio_driven"}, ("audio is not connected", "'audio_driven'")),
    ],
)
def test_latent_refuses(server: ComfyServer, settings: dict[str, Any], parts: tuple[str, ...]) -> None:
    graph = ClipGraph(**settings)
    refused(server, *sampled(graph, graph.latent), *parts)


@pytest.mark.parametrize("task", ["joint", "audio_driven"])
def test_latent_without_its_portrait(server: ComfyServer, task: str) -> None:
    graph = ClipGraph(task=task)
    inputs = graph.prompt[graph.latent]["inputs"]
    inputs["audio"] = [graph.add("EmptyAudio", duration=1.0, sample_rate=24000, channels=1), 0]
    del inputs["portrait"]
    refused(server, *sampled(graph, graph.latent), "portrait is not connected", f"'{task}'", "Connect one to portrait")


@pytest.mark.parametrize(
    ("speech", "parts"),
    [
        ("word " * 80, ("seconds", "20.06")),
        (" \n ", ("seconds is 0", "says nothing")),
    ],
)
def test_words_that_set_no_length(server: ComfyServer, speech: str, parts: tuple[str, ...]) -> None:
    graph = ClipGraph(speech=speech)
    graph.take_length_from_words()
    refused(server, *sampled(graph, graph.latent), *parts)


def test_words_set_the_length(server: ComfyServer) -> None:
    graph = ClipGraph(speech="Hello, this is a sentence.")
    graph.take_length_from_words()
    video, _ = run_streams(server, graph, graph.latent)
    assert clip_seconds(video.shape[2]) == seconds_for_speech("Hello, this is a sentence.", "en")


@pytest.mark.parametrize("read_numbers", [True, False])
def test_the_length_and_the_report_are_of_what_is_said(server: ComfyServer, read_numbers: bool) -> None:
    graph = ClipGraph(speech="Call 555-0123-4567 now 😀.")
    graph.take_length_from_words()
    graph.prompt[graph.conditioning]["inputs"]["read_numbers"] = read_numbers
    with server.events() as events:
        video, _ = run_streams(server, graph, graph.latent)
    words = "Call five five five, zero one two three, four five six seven now ."
    assert clip_seconds(video.shape[2]) == seconds_for_speech(words, "en")
    (shown,) = [text for node, text in events.texts if node == graph.conditioning]
    assert (words if read_numbers else "Call 555-0123-4567 now .") in shown
    assert "Left out, as it has no sound: GRINNING FACE 😀." in shown


def test_conditioning_refuses_what_cannot_be_said(server: ComfyServer) -> None:
    graph = ClipGraph(speech="Привет, мир")
    refused(server, *sampled(graph, graph.conditioning), "Привет", "English", "Chinese")


WORDS_THAT_DO_NOT_FIT = [
    ("", ("speech is empty", "UniAVGen Conditioning")),
    ("word " * 30, ("wants about 10.06 seconds", "lasts 0.56")),
]


@pytest.mark.parametrize(("speech", "parts"), WORDS_THAT_DO_NOT_FIT)
def test_words_that_do_not_fit_are_refused_before_sampling(
    server: ComfyServer, speech: str, parts: tuple[str, ...]
) -> None:
    graph = ClipGraph(speech=speech)
    with server.events() as events:
        refused(server, *sampled(graph), *parts)
        assert not events.of_type("progress")
    graph = ClipGraph(speech=speech)
    graph.prompt[graph.latent]["inputs"]["conditioning"] = [graph.conditioning, 0]
    refused(server, *sampled(graph, graph.latent), *parts)


def with_voice(sound: Callable[[ClipGraph], Link], transcript: str = "Selected forms are propagated.") -> ClipGraph:
    """A graph whose reference voice is this sound."""
    graph = ClipGraph()
    graph.conditioning = graph.add_conditioning(reference_audio=sound(graph), reference_transcript=transcript)
    return graph


def empty_audio(seconds: float) -> Callable[[ClipGraph], Link]:
    return lambda graph: [graph.add("EmptyAudio", duration=seconds, sample_rate=24000, channels=2), 0]


@pytest.mark.parametrize(
    ("sound", "parts"),
    [
        (empty_audio(0.0), ("reference_audio", "empty")),
        (empty_audio(1.0), ("reference_audio", "silent")),
        (lambda graph: [graph.add("HarnessNaN"), 1], ("reference_audio", "NaN")),
    ],
)
def test_reference_voice_refuses(
    server: ComfyServer, sound: Callable[[ClipGraph], Link], parts: tuple[str, ...]
) -> None:
    graph = with_voice(sound)
    refused(server, *sampled(graph, graph.conditioning), *parts)


def test_portrait_of_nan(server: ComfyServer) -> None:
    graph = ClipGraph()
    graph.prompt[graph.latent]["inputs"]["portrait"] = [graph.add("HarnessNaN"), 0]
    refused(server, *sampled(graph, graph.latent), "portrait", "NaN")


@pytest.mark.parametrize("poisoned", ["reference picture", "sampler"])
def test_latent_of_nan(server: ComfyServer, poisoned: str) -> None:
    graph = ClipGraph()
    latent = [graph.add("HarnessNaNLatent", latent=[graph.latent, 0]), 0]
    if poisoned == "sampler":
        refused(server, *sampled(graph, latent_image=latent), "LATENT", "NaN")
        return
    graph.add_reference_picture([graph.add("HarnessNaN"), 0])
    refused(server, *sampled(graph, graph.conditioning), "image", "NaN")


@pytest.mark.parametrize(("source", "name"), [(0, "video"), (1, "audio")])
def test_mux_of_nan(server: ComfyServer, source: int, name: str) -> None:
    graph = GraphBuilder()
    picture = [graph.add("EmptyImage", width=64, height=64, batch_size=5, color=0), 0]
    audio = [graph.add("EmptyAudio", duration=1.0, sample_rate=24000, channels=1), 0]
    inputs = {"video": picture, "audio": audio, name: [graph.add("HarnessNaN"), source]}
    mux = graph.add("UniAVGenAVMux", **inputs, frame_rate=16.0, loudness="as it is", fade=0.0, length="video")
    graph.add("PreviewAny", source=[mux, 0])
    refused(server, graph, mux, name, "NaN")


@pytest.mark.parametrize("reader", ["reference picture", "sampler"])
def test_latent_that_is_not_joint(server: ComfyServer, reader: str) -> None:
    graph = ClipGraph()
    plain = [graph.add("EmptyHunyuanLatentVideo", width=64, height=64, length=9, batch_size=1), 0]
    if reader == "sampler":
        refused(server, *sampled(graph, latent_image=plain), "picture and sound", "UniAVGen Latent")
        return
    graph.add_reference_picture([graph.add("EmptyImage", width=64, height=64, batch_size=1, color=0), 0])
    graph.prompt[graph.conditioning]["inputs"]["latent"] = plain
    refused(server, *sampled(graph, graph.conditioning), "picture and sound", "UniAVGen Latent")


def test_latent_of_another_length(server: ComfyServer) -> None:
    graph = ClipGraph()
    longer = graph.add_latent(portrait=graph.prompt[graph.latent]["inputs"]["portrait"], seconds=1.0)
    video, audio = (graph.add("LTXVSeparateAVLatent", av_latent=[node, 0]) for node in (graph.latent, longer))
    mixed = graph.add("LTXVConcatAVLatent", video_latent=[video, 0], audio_latent=[audio, 1])
    refused(server, *sampled(graph, latent_image=[mixed, 0]), "not equally long", "UniAVGen Latent")


def test_unknown_block(server: ComfyServer) -> None:
    graph, sampler = sampled(ClipGraph(), skip_block="block", **{"skip_block__index": 9})
    refused(server, graph, sampler, "3 blocks", "0 to 2")


def write_png_16_bit(file: Path, pixels: numpy.ndarray) -> None:
    """A colour PNG of 16 bits a channel, which Pillow cannot write."""
    frame = av.VideoFrame.from_ndarray(pixels.astype(numpy.uint16) * 257, format="rgb48le")
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt = pixels.shape[1], pixels.shape[0], "rgb48be"
    codec.time_base = 1
    packets = codec.encode(frame.reformat(format="rgb48be")) + codec.encode(None)
    file.write_bytes(b"".join(bytes(packet) for packet in packets))


@pytest.fixture(scope="module")
def portraits(server: ComfyServer, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A real portrait in the forms that people have, and beside each the colour picture that it stands for."""
    folder = tmp_path_factory.mktemp("portraits")
    with Image.open(shared_data / "portraits" / "woman.png") as picture:
        small = picture.convert("RGB").resize((96, 128))
    grey = small.convert("L")
    small.save(folder / "rgb.png")
    grey.save(folder / "grey.png")
    grey.convert("RGB").save(folder / "grey_rgb.png")
    Image.fromarray(numpy.array(grey).astype(numpy.uint16) * 257).save(folder / "grey_16.png")
    write_png_16_bit(folder / "rgb_16.png", numpy.array(small))
    alpha = Image.linear_gradient("L").resize(small.size)
    white = Image.new("RGB", small.size, "white")
    Image.merge("RGBA", (*small.split(), alpha)).save(folder / "rgba.png")
    Image.composite(small, white, alpha).save(folder / "over_white.png")
    small.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "flipped.png")
    for file in sorted(folder.iterdir()):
        server.add_input(file)


def first_frame(server: ComfyServer, build: Callable[[GraphBuilder], Link]) -> Tensor:
    """Latent of the first frame that a portrait gives."""
    graph = ClipGraph()
    graph.prompt[graph.latent]["inputs"]["portrait"] = build(graph)
    return run_streams(server, graph, graph.latent)[0][:, :, 0]


def load(name: str) -> Callable[[GraphBuilder], Link]:
    return lambda graph: [graph.add("LoadImage", image=name), 0]


def join_alpha(graph: GraphBuilder) -> Link:
    """An IMAGE of four channels."""
    picture = graph.add("LoadImage", image="rgba.png")
    return [graph.add("JoinImageWithAlpha", image=[picture, 0], alpha=[picture, 1]), 0]


def batch(graph: GraphBuilder) -> Link:
    pictures = {name: [graph.add("LoadImage", image=f"{name}.png"), 0] for name in ("rgb", "flipped")}
    return [graph.add("ImageBatch", image1=pictures["rgb"], image2=pictures["flipped"]), 0]


@pytest.mark.parametrize(
    ("portrait", "same"),
    [
        (load("grey.png"), "grey_rgb.png"),
        (load("grey_16.png"), "grey_rgb.png"),
        (load("rgb_16.png"), "rgb.png"),
        (join_alpha, "over_white.png"),
        (batch, "rgb.png"),
    ],
    ids=["grey", "grey of 16 bits", "colour of 16 bits", "with alpha, over white", "first of a batch"],
)
def test_portraits_that_just_work(
    server: ComfyServer, portraits: None, portrait: Callable[[GraphBuilder], Link], same: str
) -> None:
    expected = first_frame(server, load(same))
    other = first_frame(server, load("flipped.png"))
    # ComfyUI reads grey pictures with its video library, whose grey is a little other than that of the same colours.
    assert relative_error(first_frame(server, portrait), expected) < 0.02
    assert relative_error(other, expected) > 0.05


@pytest.fixture(scope="module")
def voices(server: ComfyServer, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A real voice in the forms that people have it in."""
    folder = tmp_path_factory.mktemp("voices")
    samples, rate = soundfile.read(shared_data / "speech" / "reference_male.wav", dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    soundfile.write(folder / "mono.wav", mono, rate, subtype="PCM_16")
    soundfile.write(folder / "stereo.wav", numpy.stack([mono, mono], axis=1), rate, subtype="PCM_16")
    # As FLAC, because ComfyUI's own LoadAudio takes no WAV of 8 bits.
    soundfile.write(folder / "8_bit.flac", mono / abs(mono).max() * 0.9, rate, subtype="PCM_S8")
    fast = torchaudio.functional.resample(torch.from_numpy(mono), rate, 96_000)
    soundfile.write(folder / "96_khz.wav", fast.numpy(), 96_000, subtype="PCM_24")
    soundfile.write(folder / "backwards.wav", mono[::-1], rate, subtype="PCM_16")
    for file in sorted(folder.iterdir()):
        server.add_input(file)


def test_voices_that_just_work(server: ComfyServer, voices: None) -> None:
    def spoken(name: str) -> Tensor:
        graph = with_voice(lambda graph: [graph.add("LoadAudio", audio=name), 0])
        return run_streams(server, graph, graph.add_sampler(steps=1))[1]

    mono = spoken("mono.wav")
    other = relative_error(spoken("backwards.wav"), mono)
    assert torch.equal(spoken("stereo.wav"), mono)
    assert relative_error(spoken("96_khz.wav"), mono) < other / 4
    # Its noise floor is another one, so that it need not be as near.
    assert relative_error(spoken("8_bit.flac"), mono) < 0.8 * other


def folder_content(server: ComfyServer) -> set[Path]:
    return {file for name in ("output", "temp") for file in (server.base / name).rglob("*") if file.is_file()}


def test_cancel_leaves_everything_usable(server: ComfyServer) -> None:
    before = folder_content(server)
    graph = ClipGraph()
    sampler = graph.add_sampler(steps=1000)
    graph.save_streams(sampler, "cancelled")
    with server.events() as events:
        prompt_id = server.queue(graph.prompt)
        events.wait_for("progress", lambda data: data["value"] >= 2)
        server.interrupt()
        with pytest.raises(PromptInterrupted) as caught:
            server.result(prompt_id)
    assert caught.value.node_id == sampler
    assert folder_content(server) == before
    again = ClipGraph()
    assert all(stream.isfinite().all() for stream in run_streams(server, again, again.add_sampler()))


def test_mux_copies_the_picture_of_a_video(server: ComfyServer, shared_data: Path) -> None:
    source = shared_data / "clips" / "dubbing.mp4"
    graph = GraphBuilder()
    video = graph.add("LoadVideo", file=server.add_input(source))
    sound = graph.add("LoadAudio", audio=server.add_input(shared_data / "speech" / "reference_male.wav"))
    settings = {"frame_rate": 16.0, "loudness": "as it is", "fade": 0.0, "length": "video"}
    mux = graph.add("UniAVGenAVMux", video=[video, 0], audio=[sound, 0], **settings)
    graph.add("SaveVideo", video=[mux, 0], filename_prefix="dubbed", format="auto", format__codec="auto", codec="auto")
    (saved,) = server.output_files(server.run(graph.prompt))
    assert picture_packets(saved) == picture_packets(source)
    with av.open(saved) as container, av.open(source) as original:
        audio = container.streams.audio[0]
        length = original.streams.video[0].duration * original.streams.video[0].time_base
        assert float(audio.duration * audio.time_base) == pytest.approx(float(length), abs=0.05)
        heard = numpy.concatenate([frame.to_ndarray() for frame in container.decode(audio)], axis=1)
    with wave.open(str(shared_data / "speech" / "reference_male.wav")) as reference:
        spoken = reference.getnframes() / reference.getframerate()
    samples = int(spoken * audio.sample_rate)
    assert heard[:, :samples].std() > 100 * heard[:, samples + audio.sample_rate // 10 :].std()


def test_a_picture_that_no_container_takes_is_encoded_again(server: ComfyServer, tmp_path: Path) -> None:
    source = tmp_path / "lossless.avi"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("huffyuv", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv422p"
        for place in range(20):
            frame = av.VideoFrame.from_ndarray(numpy.full((48, 64, 3), 10 * place, numpy.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    graph = GraphBuilder()
    video = graph.add("LoadVideo", file=server.add_input(source))
    sound = graph.add("EmptyAudio", duration=3.0, sample_rate=24000, channels=1)
    settings = {"frame_rate": 16.0, "loudness": "as it is", "fade": 0.0, "length": "video"}
    mux = graph.add("UniAVGenAVMux", video=[video, 0], audio=[sound, 0], **settings)
    graph.add("SaveVideo", video=[mux, 0], filename_prefix="again", format="auto", format__codec="auto", codec="auto")
    (saved,) = server.output_files(server.run(graph.prompt))
    frames, frame_rate, track = read_video(saved)
    assert (len(frames), frame_rate) == (20, 10)
    torch.testing.assert_close(frames.mean(dim=(1, 2, 3)), torch.arange(20) * 10 / 255, atol=0.03, rtol=0)
    assert track is not None and track[0].shape[-1] / track[1] == pytest.approx(2, abs=0.05)


def test_the_picture_leads_a_longer_old_sound(server: ComfyServer, tmp_path: Path) -> None:
    source = tmp_path / "long_sound.mp4"
    frames = torch.rand(32, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    write_video(source, frames, 16, torch.zeros(1, 4 * 24000), 24000)
    graph = GraphBuilder()
    video = graph.add("LoadVideo", file=server.add_input(source))
    sound = graph.add("EmptyAudio", duration=5.0, sample_rate=24000, channels=1)
    settings = {"frame_rate": 16.0, "fade": 0.0, "length": "video", "loudness": "as it is"}
    mux = graph.add("UniAVGenAVMux", video=[video, 0], audio=[sound, 0], **settings)
    graph.add("SaveVideo", video=[mux, 0], filename_prefix="led", format="auto", format__codec="auto", codec="auto")
    (saved,) = server.output_files(server.run(graph.prompt))
    summary = stream_summary(saved)
    assert summary.video_seconds == 2
    assert summary.audio_seconds == pytest.approx(2, abs=0.05)


def test_sampler_is_guider_and_scheduler(server: ComfyServer) -> None:
    graph = ClipGraph()
    guider = graph.add("UniAVGenGuider", model=[graph.tiny, 0], **graph.conditions(), **GUIDANCE)
    sources = {
        "noise": [graph.add("RandomNoise", noise_seed=7), 0],
        "sampler": [graph.add("KSamplerSelect", sampler_name="euler"), 0],
        "sigmas": [graph.add("UniAVGenScheduler", steps=2, shift=5.0, scheduler="released"), 0],
    }
    latent = {"guider": [guider, 0], "latent_image": [graph.latent, 0]}
    custom = run_streams(server, graph, graph.add("SamplerCustomAdvanced", **sources, **latent))
    whole = ClipGraph()
    assert all(map(torch.equal, custom, run_streams(server, whole, whole.add_sampler())))


def test_plain_ksampler(server: ComfyServer) -> None:
    graph = ClipGraph()
    sources = {"model": [graph.tiny, 0], **graph.conditions(), "latent_image": [graph.latent, 0]}
    video, audio = run_streams(server, graph, graph.add("KSampler", **sources, **KSAMPLER))
    given = ClipGraph()
    first, empty = run_streams(server, given, given.latent)
    assert torch.equal(video[:, :, 0], first[:, :, 0])
    assert video.isfinite().all() and audio.isfinite().all()
    assert (video[:, :, 1:].std(), audio.std()) > (0.1, 0.1)
    assert audio.shape == empty.shape


@pytest.mark.parametrize(
    ("node", "nothing", "something"),
    [
        ("LTXVModalityGuidance", {"modality_scale": 1.0}, {"modality_scale": 3.0}),
        ("LTXVSpatioTemporalGuidance", {"scale": 1.0, "blocks": "29"}, {"scale": 1.0, "blocks": "1"}),
    ],
)
def test_guidance_nodes_of_core(
    server: ComfyServer, node: str, nothing: dict[str, Any], something: dict[str, Any]
) -> None:
    if node not in server.object_info():
        pytest.skip(f"this ComfyUI has no {node}")

    def with_guidance(settings: dict[str, Any]) -> list[Tensor]:
        graph = ClipGraph()
        guidance = graph.add(node, model=[graph.tiny, 0], **settings, start_percent=0.0, end_percent=1.0)
        return run_streams(server, graph, graph.add_sampler(model=[guidance, 0]))

    plain = ClipGraph()
    without = run_streams(server, plain, plain.add_sampler())
    for ours, theirs in zip(with_guidance(nothing), without, strict=True):
        assert relative_error(ours, theirs) < 1e-5
    assert (
        min(relative_error(ours, theirs) for ours, theirs in zip(with_guidance(something), without, strict=True)) > 1e-3
    )
    if "blocks" in nothing:
        assert server.log().count("block 29 of stg_self_attn_blocks") == 1


def test_lora_of_wan_changes_the_clip(server: ComfyServer, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    width = MODEL_SIZES.video_width
    layer = "diffusion_model.blocks.1.self_attn.q"
    down, up = torch.randn(4, width, generator=generator), torch.randn(width, 4, generator=generator)
    save_file({f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}, tmp_path / "wan_lora.safetensors")
    name = server.add_model("loras", tmp_path / "wan_lora.safetensors")

    def with_strength(strength: float) -> list[Tensor]:
        graph = ClipGraph()
        lora = graph.add("LoraLoaderModelOnly", model=[graph.tiny, 0], lora_name=name, strength_model=strength)
        return run_streams(server, graph, graph.add_sampler(model=[lora, 0]))

    plain = ClipGraph()
    without = run_streams(server, plain, plain.add_sampler())
    assert all(map(torch.equal, with_strength(0.0), without))
    assert relative_error(with_strength(1.0)[0], without[0]) > 1e-3
    assert "lora key not loaded" not in server.log()


def test_model_files_in_every_form(server: ComfyServer, models: None) -> None:
    def with_model(name: str) -> list[Tensor]:
        graph = ClipGraph()
        loader = graph.add("UniAVGenModelLoader", model_name=name, weight_dtype="default")
        return run_streams(server, graph, graph.add_sampler(model=[loader, 0]))

    shards = with_model("good/")
    assert all(map(torch.equal, with_model("one_file.safetensors"), shards))
    for rounded, exact in zip(with_model("fp8.safetensors"), shards, strict=True):
        assert 1e-5 < relative_error(rounded, exact) < 0.3
