"""New lips in a video of any length: what each segment is given and keeps, and what the clip becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from counting_host import COLUMNS, ROWS, CountingHost
from torch import Tensor

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE, SPATIAL_COMPRESSION, latent_frames, pixel_frames
from uniavgen_core.long_form.maker import LongClip
from uniavgen_core.long_form.pacing import Pacing
from uniavgen_core.long_form.planning import LongFormSettings
from uniavgen_core.long_form.recording import AudioRecording, NewLips
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.long_form.store import SegmentStore
from uniavgen_core.media.pasting import paste_back
from uniavgen_core.media.region import Region, region_of
from uniavgen_core.media.video import VideoFile, VideoInMemory

HEIGHT, WIDTH = ROWS * SPATIAL_COMPRESSION, COLUMNS * SPATIAL_COMPRESSION
LONGEST, PAST = 13, 3
FRAMES = 150
WORDS = "A woman. | One two three four five six. Seven eight nine ten eleven."


def footage() -> VideoInMemory:
    """Its frames' brightness tells their number."""
    frames = (torch.arange(FRAMES) / 400).view(-1, 1, 1, 1).expand(-1, HEIGHT, WIDTH, 3)
    return VideoInMemory(frames, FRAME_RATE)


def region(video: VideoInMemory) -> Region:
    """The left of two tokens."""
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[:, :, :12] = 1
    return region_of("mask", mask, video, latent_frames(video.frames), clip=(WIDTH, HEIGHT))


def sound(seconds: float) -> Tensor:
    time = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.3 * torch.sin(1500 * time) * torch.sin(3 * torch.pi * time).square()).view(1, 1, -1)


def long_clip(host: CountingHost, folder: Path, lips: NewLips, script: str) -> LongClip:
    settings = LongFormSettings(Pacing(), LONGEST, PAST, 1, seed=5, seconds=lips.seconds)
    return LongClip(host, SegmentStore(folder), *lips.plan(parse_script(script), settings), lips)


@pytest.mark.parametrize("kind", ["a sound", "a shorter sound", "words"])
def test_each_segment_keeps_what_is_around_the_lips(tmp_path: Path, kind: str) -> None:
    video, host = footage(), CountingHost()
    seconds = {"a sound": FRAMES / FRAME_RATE, "a shorter sound": 6.0}.get(kind)
    spoken = None if seconds is None else AudioRecording(sound(seconds), SAMPLE_RATE, video.frames)
    clip = long_clip(host, tmp_path, NewLips(video, region(video), spoken), WORDS if spoken is None else "A woman. |")
    made = clip.make()
    assert len(made) > 2 and sum(one.seconds for one in made) == pytest.approx(FRAMES / FRAME_RATE)
    for index, order in enumerate(host.orders):
        assert order.kept_video is not None and len(order.kept_video) == order.latent_frames == order.video.shape[2]
        first = PAST if index else 1
        assert order.kept_video == (True,) * first + ((False, True),) * (order.latent_frames - first)
        assert (order.mel.shape[2] > 100) == (spoken is not None)
    # Each begins with the end of the one before, and goes on with the video's own frames.
    for one, order in zip(made, host.orders[1:], strict=False):
        stored = clip.store.read(one.key)
        assert stored is not None and stored.past_images is not None and stored.colours is None
        torch.testing.assert_close(order.video[:, :, :PAST], host.encode(stored.past_images))
        start = round((one.start + one.seconds) * FRAME_RATE)
        follows = host.encode(video.stored[start + 3 : start + 4])
        torch.testing.assert_close(order.video[:, :, PAST : PAST + 1], follows)
    clip.write(made, tmp_path / "lips.mp4")
    lips = VideoFile(tmp_path / "lips.mp4")
    assert lips.own_frames == FRAMES
    pasted = torch.stack(list(paste_back(video, lips.own_images(), FRAME_RATE, region(video))))
    changed = (pasted != video.stored).any(dim=-1)
    assert pasted.shape == video.stored.shape and changed[1:, :, :16].any() and not changed[:, :, 44:].any()
    assert float((pasted - video.stored).abs().max()) < 0.03, "the counting host makes what was there"


def test_nothing_is_read_twice_and_a_segment_is_found_again(tmp_path: Path) -> None:
    video = footage()
    spoken = AudioRecording(sound(9), SAMPLE_RATE, video.frames)
    first = long_clip(CountingHost(), tmp_path, NewLips(video, region(video), spoken), "A woman. |").make()
    again = long_clip(CountingHost(), tmp_path, NewLips(video, region(video), spoken), "A woman. |").make()
    assert [one.key for one in first] == [one.key for one in again] and all(one.was_kept for one in again)
    assert pixel_frames(latent_frames(FRAMES)) >= FRAMES
