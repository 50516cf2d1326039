"""What the soak asks for, looks at and reports; `make soak` runs it on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfy.graphs import nodes_of
from soak_run.clip_checks import ClipFault, check_finished
from soak_run.drawn_prompts import BAD, WORKFLOWS, draw_prompt
from soak_run.impatient_client import CANCEL, DELETE, DELETED, DONE, FAILED, FAULTY, INTERRUPTED, WAIT, PromptEnd
from soak_run.server_watch import files_left
from soak_run.soak_report import SoakReport

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE, pixel_frames
from uniavgen_core.joint_latent import check_seconds
from uniavgen_core.media.muxing import write_video

NUMBERS = range(200)
SEED = 3


def test_the_same_seed_asks_for_the_same_and_for_every_task() -> None:
    drawn = [draw_prompt(number, SEED) for number in NUMBERS]
    assert drawn == [draw_prompt(number, SEED) for number in NUMBERS]
    assert {each.workflow for each in drawn} == {*WORKFLOWS}
    assert {each.wrong for each in drawn} <= {"", *BAD}
    assert 0 < sum(bool(each.wrong) for each in drawn) < len(drawn) / 5
    assert drawn != [draw_prompt(number, SEED + 1) for number in NUMBERS]


def test_clips_reach_as_far_as_their_ranges() -> None:
    for number in NUMBERS:
        prompt = draw_prompt(number, SEED, "tiny_retake", bad=False).prompt
        first, _ = nodes_of(prompt, "UniAVGenLatent")
        assert first["inputs"]["seconds"] >= max(node["inputs"]["end"] for node in nodes_of(prompt, "UniAVGenRange"))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (PromptEnd(1, "", WAIT, DONE), True),
        (PromptEnd(1, "", WAIT, FAILED, "No room."), False),
        (PromptEnd(1, "", WAIT, FAILED, "No room.", wrong="a length"), True),
        (PromptEnd(1, "", WAIT, FAILED, "No space left on device", disk_was_full=True), True),
        (PromptEnd(1, "", WAIT, FAILED, "The disk of temp is full: delete files there.", disk_was_full=True), True),
        (PromptEnd(1, "", WAIT, FAILED, "'NoneType' object", disk_was_full=True), False),
        (PromptEnd(1, "", WAIT, FAILED, "The speech wants about 4 seconds at this voice's pace"), True),
        (PromptEnd(1, "", WAIT, INTERRUPTED), False),
        (PromptEnd(1, "", CANCEL, INTERRUPTED), True),
        (PromptEnd(1, "", WAIT, DELETED), False),
        (PromptEnd(1, "", DELETE, DELETED), True),
        (PromptEnd(1, "", WAIT, FAULTY, "silent"), False),
    ],
)
def test_what_may_become_of_a_prompt(outcome: PromptEnd, expected: bool) -> None:
    assert outcome.is_expected == expected


def test_files_that_nobody_named_are_left(tmp_path: Path) -> None:
    segments = tmp_path / "output" / "uniavgen_long_form"
    named = tmp_path / "output" / "clip.mp4"
    wanted = [named, segments / f"{'a' * 64}.mp4", tmp_path / "input" / "given.png"]
    left = [segments / f".{'a' * 32}.mp4", tmp_path / "temp" / "x.mp4", tmp_path / "input" / "clip.mp4"]
    for path in (*wanted, *left):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = files_left(tmp_path, {str(named)}, {"given.png"})
    assert found == sorted(path.relative_to(tmp_path).as_posix() for path in left)


def test_a_clip_is_read_whole(tmp_path: Path) -> None:
    drawn = draw_prompt(0, SEED, "tiny_joint_generation", bad=False)
    inputs = next(node["inputs"] for node in drawn.prompt.values() if node["class_type"] == "UniAVGenLatent")
    count = pixel_frames(check_seconds(inputs["seconds"]))
    frames = torch.rand(count, inputs["size.height"], inputs["size.width"], 3)
    sound = torch.rand(1, round(count / FRAME_RATE * SAMPLE_RATE))
    right, short, broken = (tmp_path / f"{name}.mp4" for name in ("right", "short", "broken"))
    write_video(right, frames, FRAME_RATE, sound, SAMPLE_RATE)
    check_finished(drawn, [right])
    write_video(short, frames[:-8], FRAME_RATE, sound[:, : -SAMPLE_RATE // 2], SAMPLE_RATE)
    broken.write_bytes(right.read_bytes()[:200])
    for files in ([], [short], [broken]):
        with pytest.raises(ClipFault):
            check_finished(drawn, files)


def test_the_report_says_what_is_not_as_it_should_be(tmp_path: Path) -> None:
    report = SoakReport(SEED, 2, "0.33", small_disk=True, memory={0: 10**8, 50: 10**9, 200: 1_030_000_000})
    report.outcomes = [PromptEnd(1, "tiny_fast", WAIT, DONE), PromptEnd(2, "tiny_fast", WAIT, FAILED, "Seed 17 fell.")]
    report.files_left = ["temp/x.mp4"]
    assert report.growth == pytest.approx(0.03)
    assert len(report.faults) == 3
    report.write(tmp_path / "soak")
    assert "Clips right: 1 of 1" in (tmp_path / "soak.md").read_text(encoding="utf-8")
