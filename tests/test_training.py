"""Training: a run resumes exactly, its batches are what their tasks say, and configurations are read with care."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import load_file
from small_model import FRAMES, RUN, TOKENS, write_config, write_shards

from uniavgen_core.config import MEL_BANDS
from uniavgen_core.tasks import Switches
from uniavgen_lab.training.batches import TRAINING_TASKS, Batch, Batches, BatchSettings
from uniavgen_lab.training.codec_training import CodecTrainer
from uniavgen_lab.training.shards import Shards, TrainingClip, write_shard
from uniavgen_lab.training.trainer import Trainer
from uniavgen_lab.training.training_config import CodecConfig, TrainConfig, read_config


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return write_shards(tmp_path / "shards")


def batch_of(shards: Shards, task: str, step: int = 0, text_dropout: float = 0.0) -> Batch:
    settings = BatchSettings(4, {task: 1.0}, text_dropout, interaction_dropout=0.0, timestep_shift=1.0)
    return Batches(shards, settings, range(step, step + 1), seed=0)[0]


def train(folder: Path, *stops: int | None) -> dict[str, torch.Tensor]:
    """Train in as many runs as there are stops, each in an object of its own; the weights."""
    pytest.importorskip("accelerate", reason="needs accelerate and tensorboard")
    config = read_config(write_config(folder), TrainConfig)
    for stop in stops:
        Trainer(config, stop).run()
    return load_file(folder / "run" / "weights.safetensors")


def test_a_run_that_stops_and_resumes_gives_the_weights_of_an_unbroken_one(
    shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tmp_path, None)
    (tmp_path / "run").rename(tmp_path / "whole")
    broken = train(tmp_path, 5, 13, None)
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)

    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [5, 10, 15, 20]
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [10, 20]
    assert all(torch.isfinite(torch.tensor(line["loss"])) for line in lines if line["kind"] == "train")
    assert len(list((tmp_path / "whole" / "checkpoints").iterdir())) == 2
    assert list((tmp_path / "whole" / "tensorboard").rglob("events.out.tfevents*"))


def test_what_is_kept_follows_from_the_task(shards: Shards) -> None:
    kept = {task: batch_of(shards, task).kept for task in TRAINING_TASKS}
    video = {task: sum(parts.video) for task, parts in kept.items()}
    audio = {task: sum(parts.audio) for task, parts in kept.items()}
    assert video["joint"] == video["reference_voice"] == video["audio_driven"] == 1
    assert video["dubbing"] == FRAMES
    assert video["continuation"] == 2
    assert audio["joint"] == audio["reference_voice"] == audio["dubbing"] == 0
    assert audio["audio_driven"] == TOKENS
    assert audio["continuation"] == 31
    for task in ("retake", "bridge"):
        ends, heard = kept[task].video, kept[task].audio
        assert ends[0] and ends[-1] and not all(ends)
        assert heard[0] and heard[-1] and not all(heard)


def test_sound_that_is_given_is_loud_and_sound_to_make_is_not(shards: Shards) -> None:
    clean = torch.stack([shards.tensor(clip, "audio") for clip in range(len(shards))])
    for task, offset in (("joint", 0), ("continuation", 0), ("audio_driven", 1)):
        for row in batch_of(shards, task).audio[:, 0]:
            assert (clean + offset - row).abs().amax(dim=(1, 2)).min() < 0.01, task


def test_a_reference_voice_is_the_partners_sound_with_its_transcript(shards: Shards) -> None:
    for task in TRAINING_TASKS:
        batch = batch_of(shards, task)
        assert (batch.reference_audio is not None) == TRAINING_TASKS[task].reference_voice
    batch = batch_of(shards, "reference_voice")
    assert batch.reference_audio is not None
    assert batch.reference_audio.shape == (4, TOKENS + 30, MEL_BANDS)
    plain = batch_of(shards, "joint")
    assert all(len(symbols) > 1.8 * len(plain.symbols[0]) for symbols in batch.symbols)


def test_joint_clips_start_at_rest(shards: Shards) -> None:
    for step in range(10):
        batch = batch_of(shards, "joint", step)
        assert batch.video is not None
        starts = [
            clip
            for clip in range(len(shards))
            for row in batch.video
            if torch.allclose(shards.tensor(clip, "video"), row, atol=1e-3)
        ]
        assert len(starts) == 4
        assert all(shards.labels[clip].starts_at_rest for clip in starts)


def test_caption_and_words_are_left_out_together(shards: Shards) -> None:
    batches = [batch_of(shards, "joint", step, text_dropout=0.5) for step in range(10)]
    dropped = [caption == "" for batch in batches for caption in batch.captions]
    silent = [symbols == [0] + [-1] * 9 for batch in batches for symbols in batch.symbols]
    assert dropped == silent
    assert 5 < sum(dropped) < 35


def test_batches_follow_from_seed_step_and_process_alone(shards: Shards) -> None:
    settings = BatchSettings(4, {"joint": 1.0}, 0.1, 0.1, 1.0)

    def noise(step: int, **place: int) -> torch.Tensor:
        return Batches(shards, settings, range(step, step + 3), **{"seed": 0, **place})[0].audio_noise

    assert torch.equal(noise(4), Batches(shards, settings, range(10), seed=0)[4].audio_noise)
    others = (noise(5), noise(4, seed=1), noise(4, process=1))
    assert all(other.shape != noise(4).shape or not torch.equal(noise(4), other) for other in others)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("output: run", "outptu: run"), "unknown entries outptu"),
        (("validation_data: shards\n", ""), "write validation_data"),
        (("steps: 12", "steps: many"), "stages 2: steps is 'many'"),
        (("output: run", "output: ["), "is not YAML"),
        (("warmup_steps: 2", "shares: [1, 2]"), "stage 'audio': shares are 1, 2, data has 1 folders"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_config(write_config(tmp_path, RUN.replace(*change)), TrainConfig)


def test_folders_have_the_shares_that_are_asked_for(shards: Shards, tmp_path: Path) -> None:
    """However many clips they hold: so that a few new ones are mixed with many old ones."""
    few = tmp_path / "few"
    few.mkdir()
    write_shard(few / "0.safetensors", [new_clip(shards)])
    both = Shards(few, tmp_path / "shards")
    settings = BatchSettings(2, {"joint": 1.0}, 0.0, 0.0, timestep_shift=1.0, shares=(3.0, 1.0))
    batches = Batches(both, settings, range(80), seed=0)
    new = [[caption == "new" for caption in batches[step].captions] for step in range(80)]
    assert all(all(clips) or not any(clips) for clips in new)
    assert 45 <= sum(map(all, new)) <= 72
    with pytest.raises(ValueError, match="or those of a folder, have no clip for the task reference_voice"):
        Batches(both, replace(settings, tasks={"reference_voice": 1.0}), range(1), seed=0)


def new_clip(shards: Shards) -> TrainingClip:
    tensors = {name: shards.tensor(0, name) for name in ("audio", "loud_audio", "video", "portrait", "face_mask")}
    return TrainingClip(replace(shards.labels[0], caption="new", partner=None), **tensors)


def test_unknown_tasks_and_empty_folders_are_named(shards: Shards, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no task singing"):
        batch_of(shards, "singing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no shards"):
        Shards(tmp_path / "empty")


CODEC = """
output: codec
precision: "no"
steps: 6
clips: 2
batch_size: 2
learning_rate: 1.0e-3
final_learning_rate: 1.0e-4
warmup_steps: 1
log_every: 2
"""


def train_codec(folder: Path, *stops: int | None) -> dict[str, torch.Tensor]:
    """Train a codec on windows of noise in as many runs as there are stops; the weights."""
    pytest.importorskip("accelerate", reason="needs accelerate and tensorboard")
    (folder / "codec").mkdir(exist_ok=True)
    windows = numpy.random.default_rng(0).integers(0, 256, (4, 9, 32, 32, 3), dtype=numpy.uint8)
    numpy.save(folder / "codec" / "frames.npy", windows)
    for stop in stops:
        weights = CodecTrainer(read_config(write_config(folder, CODEC), CodecConfig), stop).run()
    return load_file(weights)


def test_a_codec_that_stops_and_resumes_is_that_of_an_unbroken_run(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    first, second = train_codec(whole, None), train_codec(broken, 2, 5, None)
    assert all(torch.equal(first[name], second[name]) for name in first)
    start = train_codec(tmp_path, 1)
    learned = {name for name in first if not torch.equal(first[name], start[name])}
    assert learned and all(name.startswith("refiner.") for name in learned), "latents must not change"


def test_a_batch_whose_branches_do_not_see_each_other_leaves_out_half_the_texts(shards: Shards) -> None:
    settings = BatchSettings(4, {"joint": 1.0}, text_dropout=0.0, interaction_dropout=1.0, timestep_shift=1.0)
    batches = [Batches(shards, settings, range(10), seed=0)[step] for step in range(10)]
    assert all(batch.switches == Switches(False, False) for batch in batches)
    dropped = sum(caption == "" for batch in batches for caption in batch.captions)
    assert 10 < dropped < 30


def test_with_a_reference_voice_the_negative_pass_sees_the_face_and_is_told_nothing(shards: Shards) -> None:
    settings = BatchSettings(4, {"reference_voice": 1.0}, text_dropout=0.5, interaction_dropout=0.0, timestep_shift=1.0)
    batches = [Batches(shards, settings, range(12), seed=0)[step] for step in range(12)]
    negative = [batch for batch in batches if batch.switches.video_to_audio]
    assert 2 < len(negative) < 10
    assert all(set(batch.captions) == {""} for batch in negative)
    assert any(set(batch.captions) != {""} for batch in batches)


def test_some_batches_are_given_the_true_face_mask(shards: Shards) -> None:
    def given(share: float) -> list[bool]:
        settings = BatchSettings(4, {"joint": 1.0}, 0.0, 0.0, timestep_shift=1.0, given_face_mask=share)
        return [batch.mask_is_given for batch in Batches(shards, settings, range(40), seed=0)]

    assert not any(given(0.0)) and all(given(1.0))
    assert 4 <= sum(given(0.25)) <= 18


def test_the_portrait_of_dubbing_is_the_videos_first_frame(shards: Shards) -> None:
    for task in ("dubbing", "audio_driven"):
        batch = batch_of(shards, task)
        assert batch.video is not None and batch.portrait is not None
        assert torch.equal(batch.portrait, batch.video[:, :, :1]) == (task == "dubbing")
