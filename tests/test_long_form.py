"""Long clips, made by a host that counts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from counting_host import TRAILING_TOKENS, CountingHost
from safetensors.torch import save_file

from uniavgen_core.audio.mel import silence_mel
from uniavgen_core.config import FRAME_RATE, HOP_LENGTH, SAMPLE_RATE, audio_tokens, pixel_frames
from uniavgen_core.long_form.maker import FinishedSegment, LongClip
from uniavgen_core.long_form.pacing import Pacing
from uniavgen_core.long_form.planning import LongFormSettings, plan_clip
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.long_form.store import SegmentStore, StoredSegment
from uniavgen_core.long_form.timeline import phrases_of, report
from uniavgen_core.media.cues import subtitles
from uniavgen_core.tasks import past_tokens
from uniavgen_lab.video_files import read_video, stream_summary

LONGEST, PAST = 13, 3
SCRIPT = (
    "A woman. | One two three four five six seven, one two three four five six seven. [pause 0.5] Eight nine.\n"
    "A man. | Ten eleven twelve."
)


def long_clip(host: CountingHost, folder: Path, script: str = SCRIPT, seconds: float | None = None) -> LongClip:
    settings = LongFormSettings(Pacing(), LONGEST, PAST, seed=5, seconds=seconds)
    return LongClip(host, SegmentStore(folder), *plan_clip(parse_script(script), settings))


def stored(clip: LongClip, segment: FinishedSegment) -> StoredSegment:
    """A segment as it is kept."""
    found = clip.store.read(segment.key)
    assert found is not None
    return found


@pytest.fixture
def host() -> CountingHost:
    return CountingHost()


def test_each_segment_keeps_the_end_of_the_one_before(host: CountingHost, tmp_path: Path) -> None:
    clip = long_clip(host, tmp_path)
    made = clip.make()
    assert len(made) > 3
    for before, after in zip(host.orders, host.orders[1:], strict=False):
        assert after.video.shape[2] == PAST
        assert after.mel.shape[2] >= past_tokens(PAST)
        assert after.latent_frames <= LONGEST
        assert before.latent_frames <= LONGEST
    for one, order in zip(made[1:], host.orders[1:], strict=True):
        end = stored(clip, made[made.index(one) - 1])
        torch.testing.assert_close(order.mel[0, 0, : past_tokens(PAST)], end.past_mel)
        torch.testing.assert_close(order.video, host.encode(end.past_images))


def test_seeds_count_on_and_a_line_may_set_its_own(host: CountingHost, tmp_path: Path) -> None:
    long_clip(host, tmp_path, SCRIPT.replace("| One", "| [seed 70] One")).make()
    words = [order.seed for order in host.orders]
    assert words[0] == 70
    assert words[: words.index(71) + 1] == [70, 71]
    assert words[-1] == 5 + len(words) - 1


def test_words_heard_in_the_past_come_before_the_new_ones(host: CountingHost, tmp_path: Path) -> None:
    long_clip(host, tmp_path).make()
    spoken = [order.words for order in host.orders]
    assert spoken[0].startswith("One two")
    assert spoken[1].startswith(spoken[0].split()[-1]), "the last word of a segment is heard in the kept past"


def test_a_pause_is_silence_behind_the_past(host: CountingHost, tmp_path: Path) -> None:
    made = long_clip(host, tmp_path).make()
    (index,) = (index for index, one in enumerate(made) if one.planned.pause_seconds)
    silent = host.orders[index].mel[0, 0, past_tokens(PAST) :]
    # The host falls silent a tenth of a second before a segment's end.
    assert len(silent) == 50 - TRAILING_TOKENS
    torch.testing.assert_close(silent, silence_mel(len(silent))[0, 0])


def test_silence_that_nobody_asked_for_is_cut_off(tmp_path: Path) -> None:
    host = CountingHost(trailing_tokens=80)
    clip = long_clip(host, tmp_path, "A woman. | One two three four five.")
    (made,) = clip.make()
    asked = pixel_frames(host.orders[0].latent_frames) / FRAME_RATE
    assert made.seconds == pytest.approx(asked - 0.5)
    assert stored(clip, made).latent_frames == host.orders[0].latent_frames - 2


def test_nobody_speaks_in_a_segment_of_silence(host: CountingHost, tmp_path: Path) -> None:
    long_clip(host, tmp_path, "A woman. | One. [pause 3]").make()
    silent = [order for order in host.orders if order.mel.shape[2] == audio_tokens(pixel_frames(order.latent_frames))]
    assert silent
    assert silent[-1] is host.orders[-1]


def test_picture_and_sound_are_one_clip_of_one_length(host: CountingHost, tmp_path: Path) -> None:
    clip = long_clip(host, tmp_path / "kept")
    made = clip.make()
    clip.write(made, tmp_path / "clip.mp4")
    summary = stream_summary(tmp_path / "clip.mp4")
    frames = round(sum(one.seconds for one in made) * FRAME_RATE)
    assert summary.frames == frames
    assert summary.frame_rate == FRAME_RATE
    assert summary.sample_rate == SAMPLE_RATE
    assert summary.audio_seconds == pytest.approx(frames / FRAME_RATE, abs=1e-4)
    pictures, _, _ = read_video(tmp_path / "clip.mp4")
    steps = pictures.mean(dim=(1, 2, 3)).diff()
    assert float(steps.abs().max()) < 0.02, "no seam jumps"


@pytest.mark.parametrize("seconds", [6.0, 7.3, 12.05])
def test_a_length_that_is_asked_for_is_right_to_one_frame(host: CountingHost, tmp_path: Path, seconds: float) -> None:
    clip = long_clip(host, tmp_path / "kept", seconds=seconds)
    clip.write(clip.make(), tmp_path / "clip.mp4")
    summary = stream_summary(tmp_path / "clip.mp4")
    assert summary.video_seconds == pytest.approx(seconds, abs=1 / FRAME_RATE)
    assert summary.audio_seconds == pytest.approx(summary.video_seconds, abs=1e-3)


def keys(made: list[FinishedSegment]) -> list[str]:
    return [one.key for one in made]


def test_a_rerun_makes_nothing_again(host: CountingHost, tmp_path: Path) -> None:
    first = long_clip(host, tmp_path).make()
    orders = len(host.orders)
    again = long_clip(host, tmp_path).make()
    assert len(host.orders) == orders
    assert keys(again) == keys(first)
    assert all(one.was_kept for one in again)
    assert not any(one.was_kept for one in first)


def test_a_run_that_was_cancelled_goes_on(host: CountingHost, tmp_path: Path) -> None:
    class Cancelled(BaseException):
        pass

    def cancel(index: int) -> None:
        if index == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        long_clip(host, tmp_path).make(cancel)
    made = long_clip(host, tmp_path).make()
    assert [one.was_kept for one in made] == [True, True, *[False] * (len(made) - 2)]
    assert len(host.orders) == len(made)


def test_a_changed_line_redoes_it_and_those_after_it(host: CountingHost, tmp_path: Path) -> None:
    first = long_clip(host, tmp_path).make()
    changed = long_clip(host, tmp_path, SCRIPT.replace("| Ten", "| [seed 9] Ten")).make()
    kept = [one.was_kept for one in changed]
    assert kept == [one.planned.line.number == 1 for one in changed]
    assert True in kept
    assert keys(changed)[-1] != keys(first)[-1]


def test_another_host_starts_anew(host: CountingHost, tmp_path: Path) -> None:
    long_clip(host, tmp_path).make()
    assert not any(one.was_kept for one in long_clip(CountingHost("another"), tmp_path).make())


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors, video: tensors.write_bytes(tensors.read_bytes()[:-100]),
        lambda tensors, video: tensors.write_bytes(b""),
        lambda tensors, video: save_file({"past_mel": torch.zeros(1, 80)}, tensors, {"segment": '{"of": "old"}'}),
        lambda tensors, video: save_file({"past_mel": torch.zeros(1, 80)}, tensors),
        lambda tensors, video: video.write_bytes(video.read_bytes()[:-100]),
        lambda tensors, video: video.unlink(),
    ],
)
def test_a_damaged_segment_is_made_again(
    host: CountingHost, tmp_path: Path, damage: Callable[[Path, Path], object]
) -> None:
    first = long_clip(host, tmp_path)
    made = first.make()
    damage(tmp_path / f"{made[1].key}.safetensors", first.store.video(made[1].key))
    clip = long_clip(host, tmp_path)
    again = clip.make()
    assert [one.was_kept for one in again] == [index != 1 for index in range(len(made))]
    assert host.orders[-1].words == host.orders[1].words
    clip.write(again, tmp_path / "clip.mp4")


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    def make(script: str, most_bytes: int | None = None) -> list[FinishedSegment]:
        clip = long_clip(CountingHost(), tmp_path, f"A woman. | {script}")
        clip.store.most_bytes = most_bytes
        made = clip.make()
        for path in clip.store.folder.iterdir():
            # Time that a clock can tell.
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 10**9))
        return made

    first, second = make("One."), make("Two.")
    (tmp_path / f".{'0' * 32}.mp4").write_bytes(b"left by a crash")
    (tmp_path / "a_users_own.mp4").write_bytes(b"")
    assert make("One.")[0].was_kept
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    third = make("Three.", most_bytes=size)
    left = {path.stem for path in tmp_path.iterdir()}
    assert left == {first[0].key, third[0].key, "a_users_own"}, "what was used last stays"
    long = make("One two three four five six seven eight nine ten eleven twelve.", most_bytes=1)
    left = {path.stem for path in tmp_path.iterdir()}
    assert left == {*keys(long), "a_users_own"}, "a clip that is being made stays whole"
    assert second[0].key not in left


def test_an_emptied_store_leaves_what_is_not_its_own(host: CountingHost, tmp_path: Path) -> None:
    clip = long_clip(host, tmp_path)
    clip.make()
    (tmp_path / "notes.txt").write_text("mine")
    clip.store.empty()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    SegmentStore(tmp_path / "not there").empty()


def test_report_and_subtitles_say_what_is_said_when(host: CountingHost, tmp_path: Path) -> None:
    made = long_clip(host, tmp_path).make()
    lines = report(made).splitlines()
    assert len(lines) == len(made)
    assert "line 2" in lines[-1]
    assert lines[-1].endswith("Ten eleven twelve.")
    assert f"{made[-1].start:.2f} to" in lines[-1]
    text = subtitles(phrases_of(made))
    assert text.startswith("1\n00:00:00,000 --> ")
    assert " ".join(line for line in text.splitlines() if line and line[0].isalpha()) == " ".join(
        one.planned.words for one in made
    )


def silent_runs(clip: LongClip, made: list[FinishedSegment]) -> list[float]:
    """Lengths in seconds of the silences between what is said."""
    waveform = torch.cat([piece[0] for piece in clip.waveform(made)])
    loud = waveform[: len(waveform) // HOP_LENGTH * HOP_LENGTH].view(-1, HOP_LENGTH).abs().amax(dim=1) > 1e-3
    edges = loud.int().diff().nonzero().flatten().tolist()
    starts_loud = bool(loud[0])
    gaps = list(zip(edges[not starts_loud :: 2], edges[1 + (not starts_loud) :: 2], strict=False))
    return [(end - start) / 100 for start, end in gaps]


@pytest.mark.parametrize("trailing_tokens", [0, 1, 10, 30, 100])
@pytest.mark.parametrize("pause", [0.2, 0.5, 1.0, 1.5, 2.5, 5.0])
def test_a_pause_is_as_long_as_asked(tmp_path: Path, trailing_tokens: int, pause: float) -> None:
    host = CountingHost(trailing_tokens=trailing_tokens)
    clip = long_clip(host, tmp_path, f"A woman. | One two three four. [pause {pause}] Five six seven eight.")
    longest = max(silent_runs(clip, clip.make()))
    assert longest == pytest.approx(pause, abs=0.1)


def random_script(random: Random) -> str:
    def passage() -> str:
        words = " ".join("a" * random.randint(1, 8) for _ in range(random.randint(1, 9)))
        return random.choice(["", f"[pause {random.randint(1, 20) / 10}] "]) + words

    lines = [" ".join(passage() for _ in range(random.randint(1, 3))) for _ in range(random.randint(1, 4))]
    return "\n".join(f"A person. | {line}" for line in lines)


@pytest.mark.parametrize("seed", range(25))
def test_any_script_gives_a_clip_of_the_length_that_is_asked_for(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    host = CountingHost(trailing_tokens=random.choice([0, 10, 60]))
    script, seconds = random_script(random), round(random.uniform(1, 15), 2)
    try:
        clip = long_clip(host, tmp_path, script, seconds)
    except ValueError as error:
        assert "The script wants about" in str(error) or "ask for fewer seconds" in str(error)
        return
    made = clip.make()
    assert sum(one.seconds for one in made) == pytest.approx(seconds, abs=1 / FRAME_RATE)
    assert sum(len(piece[0]) for piece in clip.waveform(made)) == round(sum(one.seconds for one in made) * SAMPLE_RATE)
    times = re.findall(r"(\d\d:\d\d:\d\d,\d\d\d)", subtitles(phrases_of(made)))
    assert times == sorted(times)
