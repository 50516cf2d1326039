from __future__ import annotations

from pathlib import Path

import pytest
from batch_client.jobs import TASK_NAMES

from uniavgen_core.config import audio_tokens, pixel_frames
from uniavgen_core.joint_latent import tokens_of_frames
from uniavgen_core.tasks import TASKS, KeptParts, Switches, kept_prefix, past_tokens, task_switches

FRAMES, TOKENS = 3, 56
BOTH, TO_VIDEO, TO_AUDIO = Switches(True, True), Switches(True, False), Switches(False, True)


def test_kept_prefix() -> None:
    kept = kept_prefix(4, 6, kept_frames=1, kept_tokens=2)
    assert kept == KeptParts((True, False, False, False), (True, True, False, False, False, False))
    assert kept_prefix(2, 3, kept_frames=1) == KeptParts((True, False), (False, False, False))
    assert kept_prefix(2, 3, kept_frames=2, kept_tokens=3) == KeptParts((True, True), (True, True, True))


@pytest.mark.parametrize(
    ("task", "frames", "tokens"),
    [
        ("joint", 1, 0),
        ("reference_voice", 1, 0),
        ("continuation", 3, 56),
        ("dubbing", 21, 0),
        ("audio_driven", 1, 506),
    ],
)
def test_what_each_task_keeps(task: str, frames: int, tokens: int) -> None:
    kept = TASKS[task].kept(21, 506)
    assert kept == kept_prefix(21, 506, frames, tokens)
    assert TASKS[task].reference_voice == (task == "reference_voice")


def test_a_voice_has_a_still_of_which_nothing_is_kept() -> None:
    assert TASKS["voice"].kept(21, 506) == kept_prefix(1, 506)
    assert not TASKS["voice"].generates_video
    assert not TASKS["voice"].has_past


@pytest.mark.parametrize("negative", [False, True])
def test_a_voice_follows_a_still_that_is_generated_with_it(negative: bool) -> None:
    for kept_frames, has_voice, switches in (
        (0, False, TO_AUDIO),
        (0, True, Switches(False, False)),
        (1, False, Switches(False, False)),
        (1, True, Switches(False, False)),
    ):
        assert task_switches(kept_prefix(1, 506, kept_frames), has_voice, negative) == switches
    # One latent frame with its own six tokens is a clip.
    assert task_switches(kept_prefix(1, 6), False, negative) == BOTH


def test_a_past_is_as_long_as_asked() -> None:
    assert TASKS["continuation"].kept(21, 506, past_frames=5) == kept_prefix(21, 506, 5, 106)
    for frames in range(1, 22):
        for past in range(1, frames + 1):
            tokens = audio_tokens(pixel_frames(frames))
            assert past_tokens(past) == len(tokens_of_frames(range(past), frames, tokens))


@pytest.mark.parametrize(
    ("kept_frames", "kept_tokens", "has_voice", "positive", "negative"),
    [
        (1, 0, False, BOTH, BOTH),
        (1, 0, True, TO_VIDEO, BOTH),
        (2, 19, False, BOTH, BOTH),
        (2, 19, True, TO_VIDEO, BOTH),
        (FRAMES, 0, False, TO_AUDIO, TO_AUDIO),
        (FRAMES, 0, True, TO_AUDIO, TO_AUDIO),
        (1, TOKENS, False, TO_VIDEO, TO_VIDEO),
    ],
    ids=["joint", "reference voice", "continuation", "continuation, voice", "dubbing", "dubbing, voice", "driven"],
)
def test_switches_of_each_task(
    kept_frames: int, kept_tokens: int, has_voice: bool, positive: Switches, negative: Switches
) -> None:
    kept = kept_prefix(FRAMES, TOKENS, kept_frames, kept_tokens)
    assert task_switches(kept, has_voice, negative=False) == positive
    assert task_switches(kept, has_voice, negative=True) == negative


def test_the_batch_client_names_workflows_as_the_tasks_are_called() -> None:
    """It runs without torch, so that it cannot ask them."""
    titles = {task.title.replace(" ", "_").replace("-", "_") for task in TASKS.values()}
    assert set(TASK_NAMES.values()) <= titles
    workflows = {path.stem for path in (Path(__file__).parent.parent / "workflows" / "api").glob("*.json")}
    assert titles <= workflows
