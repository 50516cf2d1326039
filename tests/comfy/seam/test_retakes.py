"""A part of a video made anew and put back; and what lies between two clips."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from clips import assert_kept, base, chirp, conditions, latent_of, pictures, refused, sample, tiny_vae
from comfy_api.latest import InputImpl, Types
from pack.nodes import comfy_latent
from pack.nodes.edits import BOTH, PARTS, PICTURE, SOUND, Range
from pack.nodes.put_backs import PutBackNode
from pack.uniavgen_core.config import audio_tokens, pixel_frames
from pack.uniavgen_core.media.muxing import write_video

RATE, SECONDS = 25, 4.0
FRAMES = pictures(round(RATE * SECONDS))
SOUND_RATE = 48_000
REAL_CLIP = Path(__file__).resolve().parents[4] / "shared" / "data" / "clips" / "dubbing.mp4"


def stereo() -> dict[str, Any]:
    """A voice that is louder on the left."""
    mono = chirp(SECONDS, SOUND_RATE)["waveform"]
    return {"waveform": torch.cat((mono, mono * 0.5), dim=1), "sample_rate": SOUND_RATE}


def in_memory(frames: torch.Tensor = FRAMES, audio: dict | None = None) -> Any:
    held = Types.VideoComponents(images=frames, audio=audio or stereo(), frame_rate=Fraction(RATE))
    return InputImpl.VideoFromComponents(held)


def in_file(name: str = "retake.mp4", frames: torch.Tensor = FRAMES) -> Any:
    path = base() / name
    sound = stereo()
    write_video(path, frames, RATE, sound["waveform"][0], SOUND_RATE, channels=2)
    return InputImpl.VideoFromFile(str(path))


def wanted(start: float = 1.5, end: float = 2.1, parts: str = BOTH, **words: str) -> tuple[Any, str]:
    texts = {"words_before": "", "words": "", "words_after": ""} | words
    return Range.execute(start, end, parts, **texts).result


def retake_latent(video: Any, chosen: Any, width: int = 64, height: int = 64, **more: Any) -> dict:
    task = {"task": "retake", "video": video, "range": chosen, "seconds": 2.5, "past_frames": 2} | more
    return latent_of(task, width, height)


def decoded(latent: dict) -> tuple[torch.Tensor, dict]:
    """White frames of a segment, and a loud noise."""
    frames = pixel_frames(latent["samples"].unbind()[0].shape[2])
    waveform = torch.randn(1, 1, audio_tokens(frames) * 240, generator=torch.Generator().manual_seed(6)) * 0.2
    return torch.ones(frames, 64, 64, 3), {"waveform": waveform, "sample_rate": 24_000}


def packets(path: Any, kind: str = "video") -> list[bytes]:
    with av.open(str(path)) as container:
        stream = container.streams.get(**{kind: 0})
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def test_words_go_on_in_one_text() -> None:
    _, speech = wanted(words_before="Hello, three", words="blue cats.", words_after=" Goodbye. ")
    assert speech == "Hello, three blue cats. Goodbye."
    assert wanted(words_before="你好，", words="三只红鸟。", words_after="再见。")[1] == "你好，三只红鸟。再见。"


@pytest.mark.parametrize("parts", PARTS)
def test_all_but_the_range_is_kept(patcher: Any, parts: str) -> None:
    latent = retake_latent(in_memory(), wanted(parts=parts)[0])
    segment = latent[comfy_latent.ORIGIN].segment
    kept = comfy_latent.kept_parts(latent)
    assert kept == segment.kept()
    assert (kept.all_video, kept.all_audio) == (parts == SOUND, parts == PICTURE)
    assert kept.video[0] and kept.video[-1]
    result = sample(patcher, latent, 2, conds=conditions(speech="Hello there, it is me."))
    assert_kept(latent, result)


def test_a_retake_in_memory_changes_nothing_else() -> None:
    video = in_memory()
    latent = retake_latent(video, wanted()[0])
    start, end = latent[comfy_latent.ORIGIN].segment.picture_seconds
    images, audio = decoded(latent)
    made = PutBackNode.execute(latent, video, images, 16.0, 16.0, audio).result[0].get_components()
    inside = torch.tensor([start <= Fraction(2 * index + 1, 2 * RATE) < end for index in range(len(FRAMES))])
    assert torch.equal(made.images[~inside], FRAMES[~inside])
    assert not torch.equal(made.images[inside], FRAMES[inside])
    assert start <= Fraction(3, 2) and end >= Fraction(21, 10) and end - start <= Fraction(21, 20)
    first, last = (round(second * SOUND_RATE) for second in latent[comfy_latent.ORIGIN].segment.sound_seconds)
    own, new = stereo()["waveform"], made.audio["waveform"]
    assert made.audio["sample_rate"] == SOUND_RATE and new.shape == own.shape
    assert torch.equal(new[..., :first], own[..., :first]) and torch.equal(new[..., last:], own[..., last:])
    # The new voice is as loud as that which was there, and as far to the left.
    levels = [x[0, :, first + 3000 : last - 3000].square().mean(dim=-1).sqrt() for x in (own, new)]
    torch.testing.assert_close(levels[1], levels[0], rtol=0.25, atol=0)


@pytest.mark.parametrize("parts", PARTS)
def test_a_retake_of_a_file_copies_packets(parts: str) -> None:
    video = in_file()
    latent = retake_latent(video, wanted(parts=parts)[0])
    images, audio = decoded(latent)
    made = PutBackNode.execute(latent, video, images, 16.0, 16.0, audio).result[0]
    before, after = packets(video.get_stream_source()), packets(made.get_stream_source())
    assert len(before) == len(after)
    same = sum(one == other for one, other in zip(before, after, strict=True))
    assert same == len(before) if parts == SOUND else 30 <= same < len(before)
    sounds = [packets(clip.get_stream_source(), "audio") for clip in (video, made)]
    copied = sum(one == other for one, other in zip(*sounds, strict=True))
    assert copied == len(sounds[0]) if parts == PICTURE else len(sounds[0]) / 2 < copied < len(sounds[0]) - 28
    shown = made.get_components()
    assert shown.images.shape == FRAMES.shape
    assert shown.audio["waveform"].shape[-1] == pytest.approx(SECONDS * SOUND_RATE, abs=2048)


def test_a_bridge_keeps_both_clips(patcher: Any) -> None:
    clips = in_file(), in_file("behind.mp4", FRAMES.flip(0))
    task = {"task": "bridge", "video": clips[0], "next_video": clips[1], "seconds": 2.5, "past_frames": 2}
    latent = latent_of(task)
    kept = comfy_latent.kept_parts(latent)
    assert kept.video == (True,) * 2 + (False,) * 7 + (True,) * 2
    assert_kept(latent, sample(patcher, latent, 2, conds=conditions(speech="Hello there.")))
    images, audio = decoded(latent)
    made = PutBackNode.execute(latent, clips[0], images, 16.0, 16.0, audio, next_video=clips[1]).result[0]
    own = [packets(clip.get_stream_source()) for clip in clips]
    joined = packets(made.get_stream_source())
    assert joined[: len(own[0])] == own[0] and joined[-len(own[1]) :] == own[1]
    assert len(joined) == len(own[0]) + 28 + len(own[1])
    shown = made.get_components()
    assert shown.audio["waveform"].shape[1:] == (2, pytest.approx((2 * SECONDS + 28 / 16) * SOUND_RATE, abs=2048))


def test_a_bridge_of_frames() -> None:
    clips = in_memory(), in_memory(FRAMES.flip(0))
    task = {"task": "bridge", "video": clips[0], "next_video": clips[1], "seconds": 2.5, "past_frames": 2}
    latent = latent_of(task)
    images, audio = decoded(latent)
    made = (
        PutBackNode.execute(latent, clips[0], images, 16.0, 16.0, audio, next_video=clips[1]).result[0].get_components()
    )
    assert torch.equal(made.images[:100], FRAMES) and torch.equal(made.images[-100:], FRAMES.flip(0))
    own, new = stereo()["waveform"], made.audio["waveform"]
    assert torch.equal(new[..., : own.shape[-1]], own) and torch.equal(new[..., -own.shape[-1] :], own)
    step = new.diff(dim=-1).abs().amax(dim=1)[0]
    seams = [own.shape[-1] - 1, new.shape[-1] - own.shape[-1] - 1]
    assert step[seams].max() < 0.1


def put_back_frames(latent: dict) -> None:
    """Frames of the video in place of the segment's."""
    PutBackNode.execute(latent, in_memory(), FRAMES, 16.0, 16.0, decoded(latent_of_retake())[1])


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: retake_latent(in_memory(), wanted(3.5, 9)[0]), ["4.00 s", "beyond its end"]),
        (lambda: wanted(3, 2), ["end is 2", "later"]),
        (lambda: wanted(1, 2, words="ж"), ["Cyrillic"]),
        (
            lambda: retake_latent(in_memory(), wanted(1.5, 2.1, words="Far too many words for so short a range.")[0]),
            ["0.6", "widen the range"],
        ),
        (lambda: latent_of({"task": "retake", "video": in_memory()}), ["range is not connected", "UniAVGen Range"]),
        (lambda: retake_latent(FRAMES, wanted()[0], frame_rate=25.0), ["audio is missing"]),
        (
            lambda: latent_of({"task": "bridge", "video": in_memory(), "next_video": in_memory(FRAMES[:, :32])}),
            ["64 × 64", "64 × 32", "one size"],
        ),
        (
            lambda: latent_of({"task": "bridge", "video": in_memory(), "next_video": in_memory(), "seconds": 1.0}),
            ["1.06 seconds", "past_frames"],
        ),
        (lambda: put_back_frames({"samples": None}), ["retake"]),
        (lambda: put_back_frames(latent_of_retake()), ["100 frames", "VAE Decode"]),
    ],
    ids=[
        "beyond the end", "end before start", "no word", "too many words", "no range", "no sound", "two sizes",
        "nothing between", "another LATENT", "other images",
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make: Any, parts: list[str]) -> None:
    with refused(*parts):
        make()


def latent_of_retake() -> dict:
    return retake_latent(in_memory(), wanted()[0])


def test_a_range_of_a_long_file_is_taken_from_its_middle(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    write_video(path, FRAMES.repeat(5, 1, 1, 1), RATE, stereo()["waveform"][0].repeat(1, 5), SOUND_RATE, channels=2)
    video = InputImpl.VideoFromFile(str(path))
    latent = retake_latent(video, wanted(12.3, 12.9)[0])
    segment = latent[comfy_latent.ORIGIN].segment
    assert 10 < segment.start < Fraction("12.3") - Fraction(1, 4)
    assert segment.picture_seconds[0] == Fraction(196, 16)
    images, audio = decoded(latent)
    made = PutBackNode.execute(latent, video, images, 16.0, 16.0, audio).result[0]
    same = [one == other for one, other in zip(packets(path), packets(made.get_stream_source()), strict=True)]
    assert same[:300] == [True] * 300


@pytest.mark.skipif(not REAL_CLIP.is_file(), reason=f"{REAL_CLIP} is not there")
def test_a_real_clip_keeps_its_size_its_times_and_its_packets(patcher: Any) -> None:
    """1280 × 736 pixels, by random weights: what comes out is noise, where it is put back is not."""
    video = InputImpl.VideoFromFile(str(REAL_CLIP))
    size = {"width": 1280, "height": 736}
    latent = retake_latent(video, wanted(2.0, 2.3)[0], seconds=1.5, past_frames=1, **size)
    sampled = sample(patcher, latent, 1, conds=conditions(speech="Hello."), video_scale=1.0, audio_scale=1.0)
    assert_kept(latent, sampled)
    images = tiny_vae().decode(sampled[0]).flatten(0, 1)
    made = PutBackNode.execute(latent | {"samples": None}, video, images, 16.0, 16.0, decoded(latent)[1]).result[0]
    before, after = packets(REAL_CLIP), packets(made.get_stream_source())
    assert len(before) == len(after) and after[:30] == before[:30]
    assert made.get_dimensions() == (1280, 736)
    clips = {"video": video, "next_video": video, "past_frames": 1}
    latent = latent_of({"task": "bridge", "seconds": 1.0} | clips, **size)
    images, audio = decoded(latent)
    images = images[:, :1, :1].expand(-1, 736, 1280, -1)
    made = PutBackNode.execute(latent, video, images, 16.0, 16.0, audio, next_video=video).result[0]
    joined = packets(made.get_stream_source())
    assert joined[: len(before)] == before and joined[-len(before) :] == before
