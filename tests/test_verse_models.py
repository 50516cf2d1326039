"""The measuring models' loaders, on models of their kinds that are small and random."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional

from uniavgen_core.files import NotInstalledError
from uniavgen_lab.verse_bench import picture_models, sound_models
from uniavgen_lab.verse_bench.bench_models import read_weights
from uniavgen_lab.verse_bench.picture_models import (
    AestheticPredictor,
    CroppedQuality,
    DinoFeatures,
    OpticalFlow,
    VisionTokens,
    random_crops,
    torchvision_names,
)
from uniavgen_lab.verse_bench.sound_models import Clap, SoundClasses, Whisper
from uniavgen_lab.verse_bench.sync_models import OFFSETS, Synchformer

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

CPU = torch.device("cpu")
FRAMES = numpy.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=numpy.uint8)
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_aesthetic_score_is_linear_layers_on_unit_features(tmp_path: Path) -> None:
    folder, head = tmp_path / "siglip", tmp_path / "head.pth"
    vision = transformers.SiglipVisionConfig(**VISION, image_size=28, patch_size=14)
    model = transformers.SiglipVisionModel(vision).eval()
    model.save_pretrained(folder)
    processor = transformers.SiglipImageProcessor(size={"height": 28, "width": 28})
    processor.save_pretrained(folder)
    layers = nn.Sequential(nn.Linear(16, 8), nn.Dropout(0.5), nn.Linear(8, 1)).eval()
    torch.save({f"scoring_head.{name}": x for name, x in layers.state_dict().items()}, head)
    with torch.no_grad():
        pixels = processor(images=list(FRAMES), return_tensors="pt").pixel_values
        features = model(pixels).pooler_output
        expected = layers(features / features.norm(dim=-1, keepdim=True))[:, 0]
    found = AestheticPredictor((head, folder), CPU)(FRAMES)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)


class SmallQuality:
    """How bright images are, all of a frame's parts weighed together; its own parts are nothing but black."""

    net = nn.Linear(1, 1)
    maniqa_arch: Any

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        parts = self.maniqa_arch.uniform_crop(images, crop_size=224, crop_num=20)
        return parts.mean(dim=(1, 2, 3)).view(-1, 1)


def test_maniqa_sees_random_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = SimpleNamespace(uniform_crop=lambda images, crop_size, crop_num: 0 * images)
    metric = SmallQuality()
    metric.maniqa_arch = network
    library = SimpleNamespace(create_metric=lambda name, **options: metric, create_model=None)
    libraries = {"pyiqa": library, "timm": library, "pyiqa.archs.maniqa_arch": network}
    monkeypatch.setattr(picture_models, "needed", lambda name, *purpose: libraries[name])
    torch.save(metric.net.state_dict(), tmp_path / "ckpt.pt")
    model = CroppedQuality((tmp_path / "ckpt.pt",), CPU)
    frames = numpy.random.default_rng(0).integers(0, 256, (2, 230, 300, 3), dtype=numpy.uint8)
    random = numpy.random.default_rng(0)
    expected = [random_crops(frame, random).mean() / 255 for frame in frames]
    assert model(frames) == pytest.approx(expected, abs=1e-5) and numpy.array_equal(model(frames), model(frames))
    assert network.uniform_crop(torch.ones(1), 224, 20) == 0
    with pytest.raises(ValueError, match="fewer than 224 pixels"):
        model(frames[:, :200])


def test_random_parts_lie_anywhere() -> None:
    places = numpy.stack(numpy.meshgrid(numpy.arange(230), numpy.arange(225), [0], indexing="ij"), axis=-1)
    parts = random_crops(places[:, :, 0].astype(numpy.uint8), numpy.random.default_rng(0))
    assert parts.shape == (20, 224, 224, 3)
    corners = {(int(part[0, 0, 0]), int(part[0, 0, 1])) for part in parts}
    assert all(numpy.array_equal(part - part[0, 0], places[:224, :224, 0]) for part in parts)
    assert {top for top, _ in corners} == set(range(7)) and {left for _, left in corners} == {0, 1}


def test_vision_tokens_are_those_of_the_last_layer(tmp_path: Path) -> None:
    config = transformers.DINOv3ViTConfig(**VISION, image_size=32, patch_size=16, num_register_tokens=4)
    transformers.DINOv3ViTModel(config).save_pretrained(tmp_path)
    processor = transformers.DINOv3ViTImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path)
    tokens = VisionTokens((tmp_path,), CPU)(FRAMES)
    # The class, 4 registers and 2 × 2 patches: the last but one is the patch at the lower left here.
    assert tokens.shape == (3, 1 + 4 + 4, 16)
    again = VisionTokens((tmp_path,), CPU)(FRAMES[1:2])
    assert numpy.allclose(again[0], tokens[1], atol=1e-5)


def test_dino_sees_frames_whose_shorter_side_is_224(tmp_path: Path) -> None:
    config = transformers.ViTConfig(**VISION, image_size=224, patch_size=16)
    model = transformers.ViTModel(config, add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path)
    transformers.ViTImageProcessor().save_pretrained(tmp_path)
    found = DinoFeatures((tmp_path,), CPU)(FRAMES)
    pixels = functional.interpolate(torch.from_numpy(FRAMES).movedim(-1, 1).float(), (224, 336), mode="bilinear") / 255
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = model((pixels - mean) / deviation, interpolate_pos_encoding=True).last_hidden_state[:, :1]
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)


def authors_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """RAFT's weights as its authors name them, from torchvision's names: the other way round than the loader goes."""
    renamed = {}
    for name, value in weights.items():
        new = name.replace("feature_encoder", "fnet").replace("context_encoder", "cnet")
        new = new.replace("recurrent_block.convgru", "gru").replace("motion_encoder.convcorr", "encoder.convc")
        new = new.replace("motion_encoder.convflow", "encoder.convf").replace("motion_encoder", "encoder")
        new = new.replace("mask_predictor.convrelu", "update_block.mask").replace(
            "mask_predictor.conv", "update_block.mask.2"
        )
        parts = new.split(".")
        if parts[0] in ("fnet", "cnet"):
            if parts[1] == "convnormrelu":
                parts[1:3] = ["conv1" if parts[2] == "0" else "norm1"]
            elif parts[1] == "conv":
                parts[1] = "conv2"
            elif parts[3].startswith("convnormrelu"):
                number = parts[3][-1]
                parts[3:5] = [f"conv{number}" if parts[4] == "0" else f"norm{number}"]
        elif parts[1] == "gru1" or parts[1] == "gru2":
            parts[1:3] = ["gru", parts[2] + parts[1][-1]]
        elif parts[1] == "encoder":
            parts.pop(3)
        renamed["module." + ".".join(parts)] = value
    return renamed


def test_flow_takes_the_authors_weights(tmp_path: Path) -> None:
    optical_flow = pytest.importorskip("torchvision.models.optical_flow", reason="torchvision is not installed")
    model = optical_flow.raft_large(weights=None, progress=False).eval()
    own = model.state_dict()
    theirs = authors_names(own)
    for name in (
        "fnet.conv1.weight", "cnet.norm1.running_mean", "cnet.layer2.0.norm2.weight",
        "fnet.layer3.0.downsample.0.weight",
        "fnet.conv2.bias", "update_block.encoder.convc2.weight", "update_block.encoder.conv.bias",
        "update_block.gru.convq2.weight", "update_block.flow_head.conv1.weight", "update_block.mask.2.weight",
    ):  # fmt: skip
        assert f"module.{name}" in theirs
    theirs["module.cnet.layer2.0.norm3.weight"] = torch.zeros(1)
    torch.save(theirs, tmp_path / "raft-things.pth")
    assert torchvision_names(read_weights(tmp_path / "raft-things.pth")).keys() == own.keys()
    pair = [torch.rand(1, 3, 128, 128) * 255 for _ in range(2)]
    with torch.no_grad():
        expected = model(*(2 * frames / 255 - 1 for frames in pair), num_flow_updates=20)[-1]
    assert torch.equal(OpticalFlow((tmp_path / "raft-things.pth",), CPU)(*pair), expected)


def tokenizer_files(folder: Path) -> None:
    letters = {
        token: index for index, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghij", "Ġ"))
    }
    (folder / "vocab.json").write_text(json.dumps(letters), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")


def test_clap_gives_unit_vectors_of_sounds_and_texts(tmp_path: Path) -> None:
    tokenizer_files(tmp_path)
    text = {
        "vocab_size": 20, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    }  # fmt: skip
    audio = {
        "enable_fusion": True, "patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2],
        "hidden_size": 32, "num_hidden_layers": 2, "window_size": 8, "spec_size": 256, "num_mel_bins": 64,
        "enable_patch_layer_norm": True, "aff_block_r": 2,
    }  # fmt: skip
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=8)
    transformers.ClapModel(config).save_pretrained(tmp_path)
    extractor = transformers.ClapFeatureExtractor(truncation="fusion")
    tokenizer = transformers.RobertaTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    transformers.ClapProcessor(extractor, tokenizer).save_pretrained(tmp_path)
    clap = Clap((tmp_path,), CPU)
    sound = numpy.random.default_rng(0).normal(0, 0.1, 48_000).astype(numpy.float32)
    heard, read = clap.hear(sound), clap.read("a big bee")
    assert heard.shape == read.shape == (8,)
    assert numpy.linalg.norm(heard) == pytest.approx(1, abs=1e-5) and numpy.linalg.norm(read) == pytest.approx(
        1, abs=1e-5
    )
    assert not numpy.allclose(read, clap.read("a cab"))
    # A text ends after 77 tokens.
    assert numpy.array_equal(clap.read("a" * 100), clap.read("a" * 90 + "b" * 10))
    assert not numpy.allclose(clap.read("a" * 40), clap.read("a" * 30 + "b" * 10))
    # Longer than 10 seconds: pieces are chosen at random, but always the same.
    long = numpy.tile(sound, 12)
    assert numpy.array_equal(clap.hear(long), clap.hear(long))


class SmallSynchformer(nn.Module):
    """Says the offset whose number the first frame and the last column of the mel spectrogram show."""

    def forward(self, frames: torch.Tensor, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        number = ((frames[0, 0, 0, 0, 0, 0] + 1) * 127.5).round() + (mel.shape[-1] - 66)
        scores = -(torch.arange(21, device=frames.device) - number).abs()
        return scores.sum(), scores.unsqueeze(0)


def test_synchformer_says_the_most_likely_offset(tmp_path: Path) -> None:
    torch.jit.script(SmallSynchformer()).save(str(tmp_path / "s.torchscript"))

    class Clip:
        def frames_at(self, rate: float) -> numpy.ndarray:
            return numpy.full((100, 256, 256, 3), 14, dtype=numpy.uint8)

        def video_sound(self, rate: int) -> numpy.ndarray:
            return numpy.zeros(rate * 4, dtype=numpy.float32)

    found = Synchformer((tmp_path / "s.torchscript",), CPU)(Clip())  # type: ignore[arg-type]
    assert found == pytest.approx(OFFSETS[14]) and found == pytest.approx(0.8)


def test_weights_are_read_without_running_what_they_hold(tmp_path: Path) -> None:
    torch.save({"params": {"module.x": torch.ones(1)}}, tmp_path / "a.pth")
    assert read_weights(tmp_path / "a.pth") == {"x": torch.ones(1)}
    torch.save([1, 2], tmp_path / "b.pth")
    (tmp_path / "c.pth").write_bytes(b"x")
    (tmp_path / "d.pth").touch()
    torch.save({"x": Path("run")}, tmp_path / "e.pth")
    for name in ("b", "c", "d", "e"):
        with pytest.raises(ValueError, match=rf"^{name}\.pth holds no weights: download it again$"):
            read_weights(tmp_path / f"{name}.pth")


def test_absent_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, *arguments: object) -> None:
        raise NotInstalledError(f"{name}: run pip install '.[{arguments[-1]}]'")

    monkeypatch.setattr(sound_models, "needed", absent)
    for model in (SoundClasses, Whisper):
        with pytest.raises(NotInstalledError, match=r"pip install '\.\[benchmark\]'"):
            model((tmp_path,), CPU)
