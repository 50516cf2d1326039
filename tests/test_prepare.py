"""Real clips to shards: what is read, cut and skipped, and that a run trains on them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from small_model import SMALL

from uniavgen_core.config import HOP_LENGTH, SAMPLE_RATE, SAMPLES_A_FRAME, audio_tokens, pixel_frames
from uniavgen_core.face.detection import Face, FaceDetector
from uniavgen_core.face.models import open_detector
from uniavgen_core.media.muxing import write_video
from uniavgen_core.tiny.bundle import build_tiny
from uniavgen_lab.training.batches import Batches, BatchSettings
from uniavgen_lab.training.clip_files import Sentence, UnfitClipError, find_clip_files, read_transcript
from uniavgen_lab.training.frozen_captions import FrozenCaptions
from uniavgen_lab.training.prepare import Preparation, Summary, prepare
from uniavgen_lab.training.real_clips import Form, RealClip, cut_utterance, read_real_clip
from uniavgen_lab.training.shards import Shards
from uniavgen_lab.training.trainer import Trainer
from uniavgen_lab.training.training_config import TrainConfig, read_config
from uniavgen_lab.training.video_codecs import WanCodec, load_codec

RATE = 25
SIDE = 64
FORM = Form(latent_frames=6, short_side=SIDE)
GRID = {"G_bbaf2n": "[0.5-1.4] Bin blue at f.", "G_swiz3n": "[0.5-1.4] Set white in z."}
GRID_RUN = """
output: run
validation_data: shards
codec: codec.safetensors
precision: "no"
log_every: 5
validate_every: 100
save_every: 100
sample_every: 20
sizes: {blocks: 1, video_width: 256, video_ffn_width: 256, audio_width: 128, audio_ffn_width: 128}
stages:
  - {name: joint, steps: 20, tasks: {joint: 1}, data: shards, batch_size: 2,
     learning_rate: 2.0e-3, final_learning_rate: 1.0e-3, face_mask_weight: [0.1, 0.0]}
"""


class MiddleFace(FaceDetector):
    """Finds a face in the middle of each frame that is not black."""

    def __init__(self) -> None:
        pass

    def largest_face(self, frame: NDArray[numpy.uint8]) -> Face | None:
        height, width = frame.shape[:2]
        box = numpy.array([width / 4, height / 4, 3 * width / 4, 3 * height / 4], dtype=numpy.float32)
        return Face(box, numpy.zeros((5, 2))) if frame.max() > 64 else None


def write_clip(
    path: Path, words: str | None, seconds: float = 1.2, brightness: float = 0.5, sound: bool = True
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = torch.full((round(seconds * RATE), SIDE, SIDE, 3), brightness)
    wave = torch.sin(torch.arange(round(seconds * SAMPLE_RATE)) / 20).unsqueeze(0) / 2
    write_video(path, frames, RATE, wave if sound else None, SAMPLE_RATE)
    if words is not None:
        path.with_suffix(".txt").write_text(words, encoding="utf-8")


def preparation(folder: Path, **changes: Any) -> Preparation:
    plain = Preparation(folder / "clips", folder / "shards", FORM, build_tiny().codec, MiddleFace())
    return replace(plain, **changes)


def ramp(frames: int) -> RealClip:
    """A clip whose frames are numbered, with a click at each second."""
    numbered = (torch.arange(frames) / 1000).view(-1, 1, 1, 1).repeat(1, SIDE, SIDE, 3)
    waveform = torch.zeros(frames * SAMPLES_A_FRAME)
    waveform[::SAMPLE_RATE] = 0.5
    return RealClip(numbered, waveform)


def test_clips_become_shards_and_those_that_do_not_fit_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clips = tmp_path / "clips"
    write_clip(clips / "anna" / "one.mp4", "Two red birds.\nA woman talks.\n")
    write_clip(clips / "anna" / "two.mkv", "你好，朋友。")
    write_clip(clips / "anna" / "more" / "three.mp4", "Good morning.")
    write_clip(clips / "bert.mp4", "[0.0-0.9] Hello.\n[0.9-1.0] Bye.")
    write_clip(clips / "short.mp4", "Hi.", seconds=0.5)
    write_clip(clips / "dark.mp4", "Hello.", brightness=0.0)
    write_clip(clips / "mute.mp4", "Hello.", sound=False)
    write_clip(clips / "wordless.mp4", None)
    (clips / "broken.mp4").write_text("nothing", encoding="utf-8")
    (clips / "broken.txt").write_text("Hello.", encoding="utf-8")
    summary = prepare(preparation(tmp_path, caption="Somebody talks."))

    shards = Shards(tmp_path / "shards")
    said = [(label.speech, label.caption, label.language, label.partner) for label in shards.labels]
    assert said == [
        ("Good morning.", "Somebody talks.", "en", 1),
        ("Two red birds.", "A woman talks.", "en", 0),
        ("你好，朋友。", "Somebody talks.", "zh", None),
        ("Hello.", "Somebody talks.", "en", None),
    ]
    frames = shards.labels[0].latent_frames
    assert shards.tensor(0, "video").shape == (48, frames, 4, 4)
    assert torch.equal(shards.tensor(0, "portrait"), shards.tensor(0, "video")[:, :1])
    assert shards.tensor(0, "audio").shape == (audio_tokens(pixel_frames(frames)), 80)
    assert shards.tensor(0, "face_mask").mean() == pytest.approx(torch.pi / 16, rel=0.05)
    assert (summary.utterances, summary.skipped) == (4, 6)
    reasons = {
        "bert.mp4": "shorter than 0.81 s",
        "broken.mp4": "damaged",
        "dark.mp4": "No face is found",
        "mute.mp4": "it has no sound",
        "short.mp4": "shorter than 0.81 s",
        "wordless.mp4": "write what is said to wordless.txt",
    }
    logged = dict(zip(reasons, sorted(record.getMessage() for record in caplog.records), strict=True))
    assert all(text.startswith(f"skipped {name}: ") and reasons[name] in text for name, text in logged.items())


def test_a_finished_clip_is_not_done_again(tmp_path: Path) -> None:
    write_clip(tmp_path / "clips" / "one.mp4", "Two red birds.")
    settings = {"codec": "one"}
    prepare(preparation(tmp_path, settings=settings))
    (shard,) = (tmp_path / "shards").iterdir()
    before = shard.stat().st_mtime_ns
    assert prepare(preparation(tmp_path, settings=settings)) == Summary(finished=1)
    write_clip(tmp_path / "clips" / "two.mp4", "Good morning.")
    assert prepare(preparation(tmp_path, settings=settings)).utterances == 1
    assert shard.stat().st_mtime_ns == before
    assert [label.speech for label in Shards(tmp_path / "shards").labels] == ["Two red birds.", "Good morning."]
    with pytest.raises(ValueError, match="holds shards of --codec one: give the same, or another folder"):
        prepare(preparation(tmp_path, settings={"codec": "other"}))


def test_a_clip_is_read_at_the_models_rate_as_users_videos_are(tmp_path: Path) -> None:
    numbered = (torch.arange(50) * 4 / 255).view(-1, 1, 1, 1).repeat(1, SIDE, SIDE, 3)
    write_video(tmp_path / "clip.mp4", numbered, RATE, torch.rand(1, 2 * SAMPLE_RATE) - 0.5, SAMPLE_RATE)
    clip = read_real_clip(tmp_path / "clip.mp4")
    assert len(clip.frames) == 32 and len(clip.waveform) == pytest.approx(2 * SAMPLE_RATE, abs=0.05 * SAMPLE_RATE)
    shown = (clip.frames.mean(dim=(1, 2, 3)) * 255 / 4).round() / RATE
    since = (torch.arange(32) + 0.5) / 16 - shown
    assert since.min() >= -1e-6 and since.max() < 1 / RATE, "each is on the screen in the middle of its time"


def test_pictures_and_sound_are_cut_at_the_same_time() -> None:
    utterance = cut_utterance(ramp(64), Sentence("Hello.", 0.5, 1.8), Form(21, SIDE))
    assert utterance.latent_frames == 6
    assert (utterance.frames[:, 0, 0, 0] * 1000).round().tolist() == [*range(8, 29)]
    assert len(utterance.waveform) == audio_tokens(21) * HOP_LENGTH
    assert torch.nonzero(utterance.waveform).flatten().tolist() == [SAMPLE_RATE // 2]
    assert utterance.loud_waveform.max() == pytest.approx(0.999146)


@pytest.mark.parametrize(("end", "frames"), [(None, 7), (1.6, 7), (1.3, 6), (9.0, 7)])
def test_segments_are_whole_latent_frames_of_what_there_is(end: float | None, frames: int) -> None:
    assert cut_utterance(ramp(25), Sentence("Hello.", 0.0, end), Form(21, SIDE)).latent_frames == frames


def test_pictures_take_the_size_that_is_asked_for() -> None:
    wide = replace(ramp(25), frames=torch.rand(25, 90, 160, 3))
    assert cut_utterance(wide, Sentence("Hello."), Form(21, SIDE)).frames.shape[1:3] == (64, 128)
    assert cut_utterance(wide, Sentence("Hello."), Form(21, SIDE, (96, 32))).frames.shape[1:3] == (32, 96)


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (Sentence("Hello."), "it lasts 4.00 s, at most 1.31 s are wanted: split"),
        (Sentence("Hello.", 1.0, 1.5), "shorter than 0.81 s"),
        (Sentence("Hello.", 9.0, 10.0), "shorter than 0.81 s"),
        (Sentence("Привет.", 0.0, 1.0), "cannot say"),
    ],
)
def test_sentences_that_do_not_fit_are_refused(sentence: Sentence, message: str) -> None:
    with pytest.raises(UnfitClipError, match=message):
        cut_utterance(ramp(64), sentence, FORM)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "is empty"),
        ("Hello.\nA man.\nA third line.", "too many lines"),
        ("[2-1.5] Hello.", "must end after it starts"),
    ],
)
def test_wrong_transcripts_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    with pytest.raises(UnfitClipError, match=message):
        read_transcript(tmp_path / "a.txt")


def test_a_folder_without_clips_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Hello.", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="There are no clips in"):
        find_clip_files(tmp_path)


def test_clips_of_one_batch_have_partners_of_one_length(tmp_path: Path) -> None:
    for name, seconds in {"a": 1.0, "b": 1.25, "c": 1.25, "d": 1.5}.items():
        write_clip(tmp_path / "clips" / "anna" / f"{name}.mp4", "Hello there.", seconds)
    prepare(preparation(tmp_path))
    shards = Shards(tmp_path / "shards")
    batches = Batches(shards, BatchSettings(3, {"reference_voice": 1.0}, 0.0, 0.0, 1.0), range(8), seed=0)
    shapes = set()
    for step in range(8):
        batch = batches[step]
        assert batch.reference_audio is not None
        shapes.add((batch.audio.shape, batch.reference_audio.shape))
    assert len(shapes) > 1
    with pytest.raises(ValueError, match="no clip for the task reference_voice"):
        write_clip(tmp_path / "alone" / "clips" / "e.mp4", "Hello there.")
        prepare(preparation(tmp_path / "alone"))
        Batches(
            Shards(tmp_path / "alone" / "shards"), BatchSettings(1, {"reference_voice": 1.0}, 0, 0, 1), range(1), seed=0
        )


# Codecs and caption encoders


@pytest.fixture
def wan_folder(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a diffusers folder of a random VAE in the form of Wan 2.2's, with so many channels."""
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers")

    def make(channels: int) -> Path:
        torch.manual_seed(0)
        vae = diffusers.AutoencoderKLWan(
            base_dim=8, decoder_base_dim=8, z_dim=channels, num_res_blocks=1, is_residual=True, in_channels=12,
            out_channels=12, patch_size=2, scale_factor_spatial=16,
            latents_mean=[0.1 * channel for channel in range(channels)], latents_std=[2.0] * channels,
        )  # fmt: skip
        vae.save_pretrained(tmp_path / "wan" / "vae")
        return tmp_path / "wan"

    return make


@torch.no_grad()
def test_the_wan_codec_normalises_its_latents(wan_folder: Callable[[int], Path]) -> None:
    codec = load_codec(wan_folder(48))
    assert isinstance(codec, WanCodec)
    frames = torch.rand(5, 32, 64, 3)
    latent = codec.encode_frames(frames)
    plain = codec.vae.encode(frames.movedim(-1, 0)[None] * 2 - 1).latent_dist.mode()
    mean = torch.arange(48).view(1, -1, 1, 1, 1) * 0.1
    assert latent.shape == (1, 48, 2, 2, 4)
    assert torch.allclose(latent * 2 + mean, plain, atol=1e-5)
    assert torch.allclose(codec.encode_frames(frames[:1]), latent[:, :, :1], atol=1e-5)
    decoded = codec.decode_frames(latent)
    assert decoded.shape == (1, 5, 32, 64, 3) and 0 <= decoded.min() and decoded.max() <= 1
    assert torch.allclose(decoded * 2 - 1, codec.vae.decode(plain).sample.movedim(1, -1).clamp(-1, 1), atol=1e-4)


def test_another_codec_is_refused(wan_folder: Callable[[int], Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has 16 channels, the model takes 48"):
        load_codec(wan_folder(16))
    with pytest.raises(FileNotFoundError, match="There is no picture codec"):
        load_codec(tmp_path / "nowhere")


@pytest.fixture
def caption_folder(tmp_path: Path) -> Path:
    """A transformers folder of a random umT5 of width 16 that knows a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "woman": 4, "talks": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")
    wrapped.save_pretrained(tmp_path / "umt5" / "tokenizer")
    torch.manual_seed(0)
    sizes = UMT5Config(vocab_size=6, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    UMT5EncoderModel(sizes).save_pretrained(tmp_path / "umt5" / "text_encoder")
    return tmp_path / "umt5"


def test_frozen_captions_train_a_model_without_an_encoder_of_its_own(tmp_path: Path, caption_folder: Path) -> None:
    from uniavgen_lab.training.start import build_learner

    captions = FrozenCaptions(caption_folder, torch.device("cpu"))
    assert captions.features("a woman  talks").shape == (3, 16)
    write_clip(tmp_path / "clips" / "one.mp4", "Two red birds.\na woman talks")
    # The word-level tokenizer of the test gives nothing for an empty text; umT5's gives its end.
    captions.features = lambda text: FrozenCaptions.features(captions, text or "unknown")  # type: ignore[method-assign]
    prepare(preparation(tmp_path, captions=captions))
    shards = Shards(tmp_path / "shards")
    empty = shards.empty_caption(0)
    assert empty is not None and empty.shape == (1, 16)

    (dropped,), (told,) = (
        Batches(shards, BatchSettings(1, {"joint": 1.0}, share, 0.0, 1.0), range(1), seed=0) for share in (1.0, 0.0)
    )
    assert dropped.caption_features is not None and torch.equal(dropped.caption_features[0], empty)
    assert told.caption_features is not None and told.caption_features[0].shape == (3, 16)
    config = TrainConfig(output="", stages=[], validation_data="", sizes=SMALL, frozen_captions=True)
    learner = build_learner(config)
    sum(learner(told).values()).backward()
    grads = [weight.grad for name, weight in learner.named_parameters() if "text_embedding_video" in name]
    assert grads and all(grad is not None for grad in grads)
    with pytest.raises(ValueError, match="hold no features of their captions"):
        learner(replace(told, caption_features=None))


def test_a_caption_as_long_as_can_be_needs_no_padding(tmp_path: Path) -> None:
    from uniavgen_lab.training.start import build_learner

    learner = build_learner(TrainConfig(output="", stages=[], validation_data="", folder=tmp_path))
    write_clip(tmp_path / "clips" / "one.mp4", f"Hello.\n{'long ' * 200}")
    prepare(preparation(tmp_path))
    (batch,) = Batches(Shards(tmp_path / "shards"), BatchSettings(1, {"joint": 1.0}, 0, 0, 1), range(1), seed=0)
    rows, mask = learner._encode_captions(batch)
    assert rows.shape[1] == 512 and mask is None


# A real run


def test_a_run_on_real_clips_learns_and_writes_a_sample(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("accelerate", reason="needs accelerate and tensorboard")
    from uniavgen_lab.training import samples

    monkeypatch.setattr(samples, "SAMPLES", 1)
    (tmp_path / "clips").mkdir()
    for name, words in GRID.items():
        shutil.copy(shared_data / "grid" / f"{name}.mpg", tmp_path / "clips")
        (tmp_path / "clips" / f"{name}.txt").write_text(words, encoding="utf-8")
    detector = open_detector(shared_data / "face" / "scrfd_500m_kps.onnx")
    summary = prepare(preparation(tmp_path, detector=detector, form=Form(6, SIDE), caption="A person talks."))
    assert (summary.utterances, summary.skipped) == (2, 0)
    assert [label.latent_frames for label in Shards(tmp_path / "shards").labels] == [5, 5]
    codec = {name: x.contiguous() for name, x in build_tiny().codec.state_dict().items()}
    save_file(codec, tmp_path / "codec.safetensors")
    (tmp_path / "config.yaml").write_text(GRID_RUN, encoding="utf-8")
    Trainer(read_config(tmp_path / "config.yaml", TrainConfig)).run()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert losses[-1] < 0.9 * losses[0]
    assert {path.suffix for path in (tmp_path / "run" / "samples" / "0000020").iterdir()} == {".png", ".wav"}


def test_segments_of_a_real_clip_are_as_long_as_it(shared_data: Path) -> None:
    clip = read_real_clip(shared_data / "grid" / "G_bbaf2n.mpg")
    utterance = cut_utterance(clip, Sentence("Bin blue at f two now."), Form(21, 128))
    assert utterance.frames.shape == (45, 128, 160, 3)
