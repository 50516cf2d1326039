"""Random masks for training: what batches keep of their clips, and what the losses are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_model import FRAMES, RUN, SMALL, TOKENS, write_config, write_shards

from uniavgen_core.joint_latent import stream_masks, tokens_of_frames
from uniavgen_core.tasks import KeptParts, put_back
from uniavgen_lab.training.batches import Batch, Batches, BatchSettings
from uniavgen_lab.training.random_masks import random_area, random_range
from uniavgen_lab.training.shards import Shards
from uniavgen_lab.training.start import build_learner
from uniavgen_lab.training.training_config import MaskShares, TrainConfig, read_config

TIMES = 60


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return write_shards(tmp_path / "shards")


def batches_of(shards: Shards, masks: MaskShares, count: int = TIMES, **tasks: float) -> list[Batch]:
    settings = BatchSettings(2, tasks or {"joint": 1.0}, 0.0, 0.0, timestep_shift=1.0, masks=masks)
    batches = Batches(shards, settings, range(count), seed=0)
    return [batches[step] for step in range(count)]


def generated(flags: tuple[bool, ...]) -> list[int]:
    return [index for index, kept in enumerate(flags) if not kept]


def test_a_range_is_of_neighbours_and_of_one_time_in_both_streams() -> None:
    generator, frames = torch.Generator().manual_seed(0), 9
    tokens = 206
    kinds = set()
    for _ in range(TIMES):
        kept = random_range(frames, tokens, generator)
        video, audio = generated(kept.whole_frames), generated(kept.audio)
        assert all(isinstance(frame, bool) for frame in kept.video) and 0 < len(video) + len(audio)
        for indices in (video, audio):
            assert indices == list(range(indices[0], indices[-1] + 1)) if indices else True
        if video and audio:
            assert audio == tokens_of_frames(video, frames, tokens)
        kinds.add((bool(video), bool(audio), 0 in video, frames - 1 in video))
    assert {(True, False), (False, True), (True, True)} == {kind[:2] for kind in kinds}
    assert {kind[2:] for kind in kinds if kind[0]} >= {(True, False), (False, True), (False, False)}


def test_an_area_is_a_rectangle_the_face_its_lower_half_or_another() -> None:
    face = torch.zeros(2, 5, 8, 6)
    face[:, :, 2:6, 1:4] = 0.6
    found, times, sounds = set(), set(), set()
    generator = torch.Generator().manual_seed(0)
    for _ in range(TIMES):
        kept = random_area(face.flatten(2), 6, 81, generator)
        tokens = ~kept.video_tokens(48).view(5, 8, 6)
        rows, columns = tokens.any(dim=2).any(dim=0).nonzero(), tokens.any(dim=1).any(dim=0).nonzero()
        changed = tokens.any(dim=(1, 2))
        first = tokens[changed][0]
        assert bool((tokens[changed] == first).all()), "the area does not move"
        assert int(first.sum()) == len(rows) * len(columns) < 48
        found.add((int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])))
        times.add(bool(changed.all()))
        sounds.add(sum(kept.audio))
    assert {(2, 5, 1, 3), (4, 5, 1, 3)} < found and len(found) > 5
    assert times == {True, False} and sounds == {0, 81}


def test_batches_mix_edits_in_by_their_shares(shards: Shards) -> None:
    names = [batch.task for batch in batches_of(shards, MaskShares(ranges=0.3, areas=0.3))]
    assert all(9 <= names.count(name) <= 36 for name in ("joint", "range", "area"))
    assert {batch.task for batch in batches_of(shards, MaskShares())} == {"joint"}
    both = batches_of(shards, MaskShares(areas=1.0), audio=1.0, reference_voice=1.0)
    assert {batch.task for batch in both} == {"audio", "reference_voice"}


def test_an_edit_has_the_first_frame_for_a_portrait_only_where_it_is_given(shards: Shards) -> None:
    seen = set()
    for batch in batches_of(shards, MaskShares(ranges=0.5, areas=0.5)):
        first_is_given = batch.kept.video[0] is True
        assert torch.equal(batch.portrait, batch.video[:, :, :1]) == first_is_given
        seen.add(first_is_given)
        loud = torch.stack([shards.tensor(clip, "loud_audio") for clip in range(len(shards))])
        nearest = (loud - batch.audio[0, 0]).abs().amax(dim=(1, 2)).min()
        assert (nearest < 0.01) == batch.kept.all_audio, "sound that is all given is loud"
    assert seen == {True, False}


def test_losses_are_of_what_the_mask_generates(shards: Shards, tmp_path: Path) -> None:
    learner = build_learner(TrainConfig(output="", stages=[], validation_data="", folder=tmp_path, sizes=SMALL))
    (batch,) = batches_of(shards, MaskShares(areas=1.0), count=1)
    tokens = (True, (True, False, True, True), (True, False, True, True))
    batch = replace(batch, kept=KeptParts(tokens, (False,) * TOKENS))
    before = learner(batch)
    masks = stream_masks(batch.kept, *batch.video.shape[3:])
    others = [x + 5 * (1 - mask) for x, mask in zip((batch.video_noise, batch.audio_noise), masks, strict=True)]
    kept = put_back(batch.kept, (batch.video_noise + 5, batch.audio_noise), (batch.video_noise, batch.audio_noise))
    assert torch.equal(kept[0], others[0]) and not torch.equal(kept[0], batch.video_noise)
    after = learner(replace(batch, video_noise=others[0], audio_noise=others[1]))
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert len(batch.kept.video) == FRAMES


@pytest.mark.parametrize(
    ("masks", "message"),
    [("{ranges: 0.7, areas: 0.5}", "at most 1 together"), ("{range: 0.1}", "masks: unknown entries range")],
)
def test_shares_that_cannot_be_are_named(tmp_path: Path, masks: str, message: str) -> None:
    text = RUN.replace("batch_size: 2,", f"batch_size: 2, masks: {masks},", 1)
    with pytest.raises(ValueError, match=message):
        read_config(write_config(tmp_path, text), TrainConfig)
