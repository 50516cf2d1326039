"""The corpus: a clip follows from its seed, pairs share a voice, and shards hold what the model sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch

from uniavgen_core.config import MEL_BANDS, SAMPLE_RATE, audio_tokens, pixel_frames
from uniavgen_core.face.lip_sync import correlation, mouth_open_area, rms_envelope
from uniavgen_core.tiny.bundle import build_tiny
from uniavgen_core.tiny.drawing import Painter
from uniavgen_core.tiny.people import Person
from uniavgen_core.tiny.pose import Pose
from uniavgen_lab.world.sentences import FEWEST_WORDS, MOST_WORDS, WORDS, words_of

pytest.importorskip("espeakng_loader", reason="needs espeakng-loader")
corpus = pytest.importorskip("uniavgen_lab.world.corpus")
render = pytest.importorskip("uniavgen_lab.training.render")
shards = pytest.importorskip("uniavgen_lab.training.shards")

FIRST = corpus.SPLITS["train"].start + 7000
CLIPS = 4


@pytest.fixture(scope="module")
def clips() -> list[corpus.CorpusClip]:
    synthesiser = corpus.Synthesiser()
    return [corpus.make_clip(seed, synthesiser) for seed in range(FIRST, FIRST + CLIPS)]


def test_a_clip_follows_from_its_seed(clips: list[corpus.CorpusClip]) -> None:
    again = corpus.make_clip(FIRST + 1, corpus.Synthesiser())
    assert again.speech == clips[1].speech and again.caption == clips[1].caption
    assert numpy.array_equal(again.waveform, clips[1].waveform)
    assert numpy.array_equal(again.frames, clips[1].frames)


def test_a_person_is_drawn_as_if_anew_in_each_picture(
    clips: list[corpus.CorpusClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    painters = []

    class CountedPainter(Painter):
        def __init__(self, person: Person) -> None:
            painters.append(person)
            super().__init__(person)

    monkeypatch.setattr(corpus, "Painter", CountedPainter)
    clip = replace(clips[0])
    first, last = clip.frames[0].copy(), clip.frames[-1].copy()
    assert numpy.array_equal(clip.portrait, Painter(clip.person).draw(Pose())[0])
    assert painters == [clip.person]
    assert numpy.array_equal(first, clips[0].frames[0]) and numpy.array_equal(last, clips[0].frames[-1])


def test_picture_and_sound_are_equally_long_and_the_words_are_the_worlds(clips: list[corpus.CorpusClip]) -> None:
    for clip in clips:
        frames = pixel_frames(clip.latent_frames)
        assert clip.frames.shape == (frames, 128, 128, 3)
        assert clip.face_mask.shape == (frames, 128, 128)
        assert len(clip.waveform) == audio_tokens(frames) * 240
        assert FEWEST_WORDS <= len(words_of(clip.speech)) <= MOST_WORDS
        assert set(words_of(clip.speech)) <= set(WORDS)
        assert clip.mood in clip.caption and clip.kind in clip.caption
        assert clip.phonemes[-1].end <= len(clip.waveform) / SAMPLE_RATE


def test_pairs_share_person_mood_and_length_but_not_the_words(clips: list[corpus.CorpusClip]) -> None:
    for seed in (0, 2):
        one, other = clips[seed], clips[seed + 1]
        assert corpus.partner(one.seed) == other.seed
        assert (one.person, one.mood, one.latent_frames) == (other.person, other.mood, other.latent_frames)
        assert not numpy.array_equal(one.waveform, other.waveform)
    assert clips[0].person != clips[2].person


def test_the_mouth_follows_the_sound(clips: list[corpus.CorpusClip]) -> None:
    for clip in clips:
        loudness = rms_envelope(clip.waveform, len(clip.frames))
        assert correlation(mouth_open_area(clip.frames), loudness) > 0.7


def test_a_clip_from_rest_starts_as_its_portrait() -> None:
    synthesiser = corpus.Synthesiser()
    made = [corpus.make_clip(seed, synthesiser) for seed in range(FIRST, FIRST + 40, 2)]
    rest = next(clip for clip in made if clip.starts_at_rest)
    moving = next(clip for clip in made if not clip.starts_at_rest)
    assert numpy.array_equal(rest.frames[0], rest.portrait)
    assert not numpy.array_equal(moving.frames[0], moving.portrait)


def test_a_listener_stands_beside_the_speaker_and_keeps_silent(clips: list[corpus.CorpusClip]) -> None:
    pair = [corpus.beside_a_listener(clip) for clip in clips[:2]]
    assert pair[0].listener == pair[1].listener != pair[0].person
    for clip, alone in zip(pair, clips, strict=False):
        halves = {"left": clip.frames[:, :, :128], "right": clip.frames[:, :, 128:]}
        masks = {"left": clip.face_mask[:, :, :128], "right": clip.face_mask[:, :, 128:]}
        (silent,) = {"left", "right"} - {clip.side}
        assert numpy.array_equal(masks[clip.side], alone.face_mask) and not masks[silent].any()
        moves = {side: mouth_open_area(half).std() for side, half in halves.items()}
        assert moves[silent] < 0.1 * moves[clip.side]
        assert clip.portrait.shape == (128, 256, 3)
        assert clip.mood in clip.caption and f"a {clip.listener.kind}" in clip.caption.lower()
        assert clip.speech == alone.speech and numpy.array_equal(clip.waveform, alone.waveform)


def test_splits_never_overlap() -> None:
    ranges = sorted(corpus.SPLITS.values(), key=lambda seeds: seeds.start)
    assert all(before.stop <= after.start for before, after in zip(ranges, ranges[1:], strict=False))
    assert all(seeds.start % 2 == 0 and len(seeds) % 2 == 0 for seeds in ranges)


def test_nobody_listens_who_speaks_elsewhere() -> None:
    assert max(seeds.stop for seeds in corpus.SPLITS.values()) // 2 <= corpus.FIRST_LISTENER


def test_shards_of_two_people_lie_beside_the_others(clips: list[corpus.CorpusClip], tmp_path: Path) -> None:
    codec = build_tiny().codec
    for two_people in (False, True):
        render.render(render.Rendering(tmp_path, FIRST, 2, codec, two_people), workers=1)
    found = shards.Shards(tmp_path)
    assert [label.speech for label in found.labels] == [clip.speech for clip in clips[:2]] * 2
    widths = [found.tensor(clip, "video").shape[-1] for clip in range(4)]
    assert widths == [8, 8, 16, 16]
    assert found.tensor(2, "face_mask").shape == (clips[0].latent_frames, 32)
    forms = found.of_one_form(from_rest=False, with_partner=True)
    assert [form.tolist() for form in forms] == [[0, 1], [2, 3]]


def test_shards_hold_latents_mels_and_masks(clips: list[corpus.CorpusClip], tmp_path: Path) -> None:
    codec = build_tiny().codec
    render.render(render.Rendering(tmp_path, FIRST, CLIPS, codec), workers=1)
    found = shards.Shards(tmp_path)
    assert [label.speech for label in found.labels] == [clip.speech for clip in clips]
    assert [found.partner(clip) for clip in range(CLIPS)] == [1, 0, 3, 2]
    frames = clips[0].latent_frames
    tokens = audio_tokens(pixel_frames(frames))
    assert found.tensor(0, "video").shape == (48, frames, 8, 8)
    assert found.tensor(0, "audio").shape == found.tensor(0, "loud_audio").shape == (tokens, MEL_BANDS)
    assert found.tensor(0, "loud_audio").amax() >= found.tensor(0, "audio").amax()
    mask = found.tensor(0, "face_mask")
    assert mask.shape == (frames, 16)
    share = float((torch.from_numpy(clips[0].face_mask[0]) > 127).float().mean())
    assert abs(float(mask[0].mean()) - share) < 0.01

    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    render.render(render.Rendering(tmp_path, FIRST, CLIPS, codec), workers=1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    with pytest.raises(ValueError, match="another picture codec"):
        render.render(render.Rendering(tmp_path, FIRST, CLIPS, build_tiny(seed=1).codec), workers=1)
