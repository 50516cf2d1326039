"""Long clips along a recording: a sound that is spoken, a video that gets a voice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
import torch
from counting_host import COLUMNS, ROWS, CountingHost
from torch import Tensor

from uniavgen_core.audio.mel import log_mel, peak_scale, silence_mel, to_model_waveform
from uniavgen_core.config import (
    FRAME_RATE,
    HOP_LENGTH,
    SAMPLE_RATE,
    SAMPLES_A_FRAME,
    SPATIAL_COMPRESSION,
    audio_tokens,
    latent_frames,
    pixel_frames,
)
from uniavgen_core.long_form.maker import FinishedSegment, LongClip
from uniavgen_core.long_form.pacing import Pacing
from uniavgen_core.long_form.planning import LongFormSettings
from uniavgen_core.long_form.recording import AudioRecording, SourceRecording, VideoRecording
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.long_form.step import SegmentRequest
from uniavgen_core.long_form.store import SegmentStore
from uniavgen_core.long_form.timeline import phrases_of, report
from uniavgen_core.media.cues import subtitles
from uniavgen_core.media.frames import to_float
from uniavgen_core.media.muxing import write_video
from uniavgen_core.media.video import VideoFile, VideoInMemory
from uniavgen_core.model_rates import at_model_rate, whole_latents
from uniavgen_core.tasks import past_tokens
from uniavgen_lab.video_files import read_audio, read_video, stream_summary

HEIGHT, WIDTH = ROWS * SPATIAL_COMPRESSION, COLUMNS * SPATIAL_COMPRESSION
LONGEST, PAST = 13, 3
CAPTION = "A woman. |"
WORDS = "A woman. | One two three four five six. Seven eight nine ten eleven."
SEEDS = pytest.mark.parametrize("seed", range(12))


def speech(seconds: float, rate: int = SAMPLE_RATE, channels: int = 1) -> Tensor:
    """A sound (1, channels, samples) of syllables: a tone that swells three times a second."""
    time = torch.arange(round(seconds * rate)) / rate
    tone = 0.3 * torch.sin(2 * torch.pi * (200 + 40 * time) * time) * torch.sin(3 * torch.pi * time).square()
    return tone * torch.linspace(1, 0.5, channels).view(1, -1, 1)


def numbered(frames: int) -> Tensor:
    """Frames whose brightness tells their number."""
    return (torch.arange(frames) / 400).view(-1, 1, 1, 1).expand(-1, HEIGHT, WIDTH, 3)


def video(frames: Tensor, rate: Fraction | float = FRAME_RATE) -> VideoRecording:
    return VideoRecording(VideoInMemory(frames, rate), WIDTH, HEIGHT)


def settings_along(recording: SourceRecording, kept_frames: int = 1, longest: int = LONGEST) -> LongFormSettings:
    return LongFormSettings(Pacing(), longest, PAST, kept_frames, seed=5, seconds=recording.seconds)


def long_clip(host: CountingHost, folder: Path, recording: SourceRecording, script: str = CAPTION) -> LongClip:
    kept_frames = host.start()[0].shape[2]
    plan = recording.plan(parse_script(script), settings_along(recording, kept_frames))
    return LongClip(host, SegmentStore(folder), *plan, recording)


def of_file(file: Path) -> VideoRecording:
    return VideoRecording(VideoFile(file), WIDTH, HEIGHT)


def starts(host: CountingHost) -> list[int]:
    """The pixel frame of the clip that each request starts with."""
    frames, end = [0], 0
    for order in host.orders[:-1]:
        end += order.latent_frames - (PAST if end else 0)
        frames.append(pixel_frames(end) - pixel_frames(PAST))
    return frames


def frames_of(made: list[FinishedSegment]) -> int:
    return round(sum(one.seconds for one in made) * FRAME_RATE)


@pytest.fixture
def host() -> CountingHost:
    return CountingHost()


@SEEDS
def test_each_segment_is_given_its_part_of_the_whole_sounds_mel(host: CountingHost, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    rate = random.choice([16_000, SAMPLE_RATE, 44_100])
    sound = speech(random.uniform(0.05, 14), rate, channels=2)
    made = long_clip(host, tmp_path, AudioRecording(sound, rate)).make()
    assert frames_of(made) == math.ceil(Fraction(sound.shape[-1] * FRAME_RATE, rate))
    samples = peak_scale(to_model_waveform(sound, rate))
    whole = log_mel(torch.nn.functional.pad(samples, (0, 5 * SAMPLE_RATE)))
    for start, order in zip(starts(host), host.orders, strict=True):
        first, tokens = start * SAMPLES_A_FRAME // HOP_LENGTH, audio_tokens(pixel_frames(order.latent_frames))
        assert order.mel.shape[2] == tokens, "all of the sound is given"
        torch.testing.assert_close(order.mel[0], whole[:, first : first + tokens], atol=1e-4, rtol=1e-4)
        assert order.video.shape[2] == (PAST if start else 1)
        assert (order.words, order.silence) == ("", 0.0)
        assert order.latent_frames <= LONGEST


def test_the_picture_goes_on_from_its_own_past(host: CountingHost, tmp_path: Path) -> None:
    clip = long_clip(host, tmp_path, AudioRecording(speech(9), SAMPLE_RATE))
    made = clip.make()
    for one, order in zip(made, host.orders[1:], strict=False):
        end = clip.store.read(one.key)
        assert end is not None and end.past_images is not None
        assert len(end.waveform) == 0, "the recording itself is heard"
        torch.testing.assert_close(order.video, host.encode(end.past_images))


@pytest.mark.parametrize(
    ("rate", "channels", "written_rate", "written_channels"),
    [(44_100, 2, 44_100, 2), (SAMPLE_RATE, 1, SAMPLE_RATE, 1), (50_000, 3, 64_000, 2)],
)
def test_the_recording_itself_is_heard(
    host: CountingHost, tmp_path: Path, rate: int, channels: int, written_rate: int, written_channels: int
) -> None:
    sound = speech(5.33, rate, channels)
    clip = long_clip(host, tmp_path / "kept", AudioRecording(sound, rate))
    clip.write(clip.make(), tmp_path / "clip.mp4")
    heard, heard_rate = read_audio(tmp_path / "clip.mp4")
    assert (heard_rate, heard.shape[1]) == (written_rate, written_channels)
    summary = stream_summary(tmp_path / "clip.mp4")
    assert summary.frames == math.ceil(5.33 * FRAME_RATE)
    assert summary.audio_seconds == pytest.approx(summary.video_seconds, abs=1e-3)
    if rate == written_rate:
        error = heard[..., : sound.shape[-1]] - sound
        assert float(error.square().mean() / sound.square().mean()) < 1e-3


def test_words_along_a_sound_are_spread_over_it(host: CountingHost, tmp_path: Path) -> None:
    sound = AudioRecording(speech(8.2), SAMPLE_RATE)
    made = long_clip(host, tmp_path, sound, WORDS + "\nA man. | Twelve thirteen.").make()
    assert frames_of(made) == math.ceil(8.2 * FRAME_RATE)
    assert " ".join(one.planned.words for one in made).endswith("ten eleven. Twelve thirteen.")
    assert host.orders[-1].line.caption == "A man."
    assert all(order.mel.shape[2] == audio_tokens(pixel_frames(order.latent_frames)) for order in host.orders)
    assert "Twelve thirteen." in subtitles(phrases_of(made))


def test_without_words_nothing_is_said_to_be_said(host: CountingHost, tmp_path: Path) -> None:
    made = long_clip(host, tmp_path, AudioRecording(speech(4), SAMPLE_RATE), "A woman. | [seed 9]").make()
    assert subtitles(phrases_of(made)) == ""
    assert all(row.endswith("(no words)") for row in report(made).splitlines())
    assert [order.seed for order in host.orders] == [9, 10]


def test_a_sound_that_changes_late_redoes_what_follows(host: CountingHost, tmp_path: Path) -> None:
    first = speech(12)
    made = long_clip(host, tmp_path, AudioRecording(first, SAMPLE_RATE)).make()
    assert all(one.was_kept for one in long_clip(host, tmp_path, AudioRecording(first, SAMPLE_RATE)).make())
    changed = first.clone()
    changed[..., round(8.5 * SAMPLE_RATE) :] *= 0.9
    again = long_clip(host, tmp_path, AudioRecording(changed, SAMPLE_RATE)).make()
    kept = [one.was_kept for one in again]
    assert kept == [one.start + one.seconds < 8.5 for one in made]
    assert True in kept and False in kept


@SEEDS
def test_each_segment_is_given_its_part_of_the_video(host: CountingHost, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    rate = random.choice([8, 16, 25, Fraction(30_000, 1001), 60])
    frames = numbered(round(random.uniform(2.5, 14) * rate))
    clip = long_clip(host, tmp_path, video(frames, rate), WORDS)
    made = clip.make()
    whole = at_model_rate(frames, rate)
    assert frames_of(made) == len(whole) == round(len(frames) * FRAME_RATE / rate)
    assert sum(piece.shape[1] for piece in clip.waveform(made)) == len(whole) * SAMPLES_A_FRAME
    whole = whole_latents(whole)
    for start, order in zip(starts(host), host.orders, strict=True):
        given = whole[start : start + pixel_frames(order.latent_frames)]
        assert order.video.shape[2] == order.latent_frames == latent_frames(len(given)), "all of the picture is given"
        torch.testing.assert_close(order.video, host.encode(given))
    assert [order.mel.shape[2] for order in host.orders] == [0, *[past_tokens(PAST)] * (len(made) - 1)]


def test_the_voice_goes_on_from_its_own_past(host: CountingHost, tmp_path: Path) -> None:
    clip = long_clip(host, tmp_path, video(numbered(112)), WORDS.replace("Seven", "[pause 0.5] Seven"))
    made = clip.make()
    for one, order in zip(made, host.orders[1:], strict=False):
        end = clip.store.read(one.key)
        assert end is not None and end.past_images is None, "the recording itself is shown"
        assert not clip.store.video(one.key).exists()
        torch.testing.assert_close(order.mel[0, 0, : past_tokens(PAST)], end.past_mel)
    (pause,) = (order for order in host.orders if order.silence)
    silent = round(pause.silence * 100)
    torch.testing.assert_close(pause.mel[:, :, -silent:], silence_mel(silent))


def test_nothing_is_decoded_that_is_recorded(tmp_path: Path) -> None:
    class BlindHost(CountingHost):
        def decode_video(self, video: Tensor) -> Tensor:
            raise AssertionError

    class DeafHost(CountingHost):
        def decode_audio(self, mel: Tensor) -> Tensor:
            raise AssertionError

    assert long_clip(BlindHost(), tmp_path, video(numbered(80)), WORDS).make()
    assert long_clip(DeafHost(), tmp_path, AudioRecording(speech(4), SAMPLE_RATE)).make()


def test_a_video_that_changes_late_redoes_what_follows(host: CountingHost, tmp_path: Path) -> None:
    frames = numbered(160)
    made = long_clip(host, tmp_path, video(frames), WORDS).make()
    orders = len(host.orders)
    assert all(one.was_kept for one in long_clip(host, tmp_path, video(frames), WORDS).make())
    assert len(host.orders) == orders
    changed = frames.clone()
    changed[130:] += 0.1
    again = long_clip(host, tmp_path, video(changed), WORDS).make()
    assert [one.was_kept for one in again] == [(one.start + one.seconds) * FRAME_RATE <= 130 for one in made]


def test_frames_are_taken_as_they_are_needed(tmp_path: Path) -> None:
    taken: list[int] = []

    class Watching(CountingHost):
        def sample(self, order: SegmentRequest) -> tuple[Tensor, Tensor]:
            counts.append(len(taken))
            return super().sample(order)

    class Counting(VideoInMemory):
        def images(self, width: int, height: int, first: int = 0, last: int | None = None) -> Iterator[Tensor]:
            for index, frame in enumerate(super().images(width, height, first, last)):
                taken.append(index)
                yield frame

    host, counts = Watching(), list[int]()
    long_clip(host, tmp_path, VideoRecording(Counting(numbered(400), 32), WIDTH, HEIGHT), WORDS).make()
    for start, order, count in zip(starts(host), host.orders, counts, strict=True):
        assert count <= start + pixel_frames(order.latent_frames)


def test_a_video_is_let_go_of_when_its_clip_is_made_or_fails() -> None:
    class Watched(VideoInMemory):
        is_open = False

        def images(self, width: int, height: int, first: int = 0, last: int | None = None) -> Iterator[Tensor]:
            self.is_open = True
            try:
                yield from super().images(width, height, first, last)
            finally:
                self.is_open = False

    footage = Watched(numbered(400), 32)
    recording = VideoRecording(footage, WIDTH, HEIGHT)
    with pytest.raises(KeyboardInterrupt), closing(recording):
        recording.given(0, 3)
        assert footage.is_open
        raise KeyboardInterrupt
    assert not footage.is_open
    with closing(VideoRecording(footage, WIDTH, HEIGHT)), closing(AudioRecording(speech(1), SAMPLE_RATE)) as sound:
        pass
    assert not footage.is_open and sound.track() is not None


def test_what_is_given_does_not_depend_on_the_order_of_asking(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    write_video(file, numbered(60), 25)
    windows = [(20, 4), (0, 3), (8, 3), (24, 4), (2, 3)]
    for recordings in ([video(numbered(60), 25) for _ in range(2)], [of_file(file) for _ in range(2)]):
        in_order, asked = recordings
        wanted = {window: in_order.given(*window)[0] for window in sorted(windows)}
        for window in windows:
            torch.testing.assert_close(asked.given(*window)[0], wanted[window], atol=0, rtol=0)


def test_a_videos_frames_one_by_one_are_those_of_the_whole(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    write_video(file, numbered(60), 25)
    frames, rate, _ = read_video(file)
    video = VideoFile(file)
    assert (video.own_frames, video.times.rate) == (60, rate) == (60, 25)
    assert torch.equal(torch.stack([*map(to_float, video.own_images())]), frames)


def test_a_video_of_another_size_is_cropped(host: CountingHost, tmp_path: Path) -> None:
    wide = torch.rand(40, 48, 200, 4, generator=torch.Generator().manual_seed(0))
    recording = video(wide)
    long_clip(host, tmp_path, recording, "A woman. | One two three.").make()
    assert {order.video.shape[-2:] for order in host.orders} == {(ROWS, COLUMNS)}


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (CAPTION, "The script says nothing: write what the voice says in the video"),
        ("A woman. | [pause 2]", "The script says nothing"),
        (f"{WORDS}\nA man. |", "Line 2 of the script says nothing"),
        ("A woman. | " + "word " * 60, r"The script wants about 19\.9 seconds, 0\.0 of them pauses: give it more time"),
        ("A woman. | One [pause 5]", r"The script wants about 5\.2 seconds"),
    ],
)
def test_a_script_that_does_not_fit_a_video_is_refused(script: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recording = video(numbered(64))
        recording.plan(parse_script(script), settings_along(recording))


def test_a_script_that_does_not_fit_a_sound_is_refused() -> None:
    sound = AudioRecording(speech(4), SAMPLE_RATE)
    settings = settings_along(sound)
    with pytest.raises(ValueError, match="The script has 2 lines and no words"):
        sound.plan(parse_script("A woman. |\nA man. |"), settings)
    with pytest.raises(ValueError, match="Line 2 of the script says nothing"):
        sound.plan(parse_script("A woman. | One.\nA man. |"), settings)
    with pytest.raises(ValueError, match="The script wants about"):
        sound.plan(parse_script("A woman. | " + "word " * 60), settings)
    with pytest.raises(ValueError, match=r"lasts 0\.56 seconds, and its kept past"):
        sound.plan(parse_script(CAPTION), settings_along(sound, longest=PAST))


def test_a_recording_in_which_there_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="recording is silent"):
        AudioRecording(torch.zeros(1, 1, SAMPLE_RATE), SAMPLE_RATE)
    with pytest.raises(ValueError, match="recording holds 2 sounds"):
        AudioRecording(speech(1).expand(2, -1, -1), SAMPLE_RATE)
    with pytest.raises(ValueError, match="recording is empty"):
        AudioRecording(torch.zeros(1, 1, 0), SAMPLE_RATE)
    with pytest.raises(ValueError, match="is not a sound or video file|damaged"):
        (tmp_path / "text.mp4").write_text("no video")
        VideoFile(tmp_path / "text.mp4")


class ContinuingHost(CountingHost):
    """Its clips start with the end of another one."""

    def start(self) -> tuple[Tensor, Tensor]:
        return torch.zeros(1, 48, PAST, ROWS, COLUMNS), torch.full((1, 1, past_tokens(PAST), 80), -4.0)


def test_a_recording_takes_the_place_of_its_stream_at_a_clips_end(tmp_path: Path) -> None:
    frames = numbered(100)
    for recording, script in ((video(frames), WORDS), (AudioRecording(speech(6.25), SAMPLE_RATE), CAPTION)):
        host = ContinuingHost()
        made = long_clip(host, tmp_path, recording, script).make()
        assert frames_of(made) == 100
        first = host.orders[0]
        tokens = audio_tokens(pixel_frames(first.latent_frames))
        given = first.video.shape[2] == first.latent_frames, first.mel.shape[2] == tokens
        assert given == (recording.track() is None, recording.track() is not None)
        if recording.track() is None:
            torch.testing.assert_close(first.mel, host.start()[1])
        else:
            torch.testing.assert_close(first.video, host.start()[0])
