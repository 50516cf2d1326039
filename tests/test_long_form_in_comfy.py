"""Long clips on a real server: what is finished stays finished, and what cannot start a clip is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy.graphs import Prompt, api_workflow, id_of, set_inputs
from comfy.install import ComfyInstall
from comfy.prompt_errors import PromptFailed, PromptInterrupted
from comfy.server import ComfyServer

PACK = Path(__file__).absolute().parent.parent
SCRIPT = "A happy woman talks. | Hello, three red birds. We see two green fish.\nA sad woman talks. | Goodbye, one cat."
STEPS = 2


@pytest.fixture(scope="module")
def server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(comfy_install, tmp_path_factory.mktemp("long"), [PACK]) as running:
        yield running


def long_prompt(script: str = SCRIPT, **changes: Any) -> Prompt:
    prompt = api_workflow("tiny_long_form")
    set_inputs(prompt, "UniAVGenScheduler", steps=STEPS)
    set_inputs(prompt, "UniAVGenScript", script=script)
    set_inputs(prompt, "UniAVGenLongForm", **changes)
    return prompt


def segments(server: ComfyServer, prompt: Prompt) -> list[tuple[int, bool]]:
    """The line of each segment, and whether it was kept, as the report of a run says."""
    reader = next(number for number, node in prompt.items() if node["inputs"].get("source") == [long_id(prompt), 1])
    report = "".join(server.run(prompt)[reader]["text"])
    return [(int(row.split("line ")[1].split()[0]), "  kept  " in row) for row in report.splitlines()]


def long_id(prompt: Prompt) -> str:
    return id_of(prompt, "UniAVGenLongForm")


def test_progress_runs_over_all_segments_and_a_cancelled_clip_goes_on(server: ComfyServer) -> None:
    prompt = long_prompt()
    with server.events() as events:
        prompt_id = server.queue(prompt)
        # The third segment has begun.
        assert events.wait_for("progress", lambda data: data["value"] > 2 * STEPS)
        server.interrupt()
        with pytest.raises(PromptInterrupted):
            server.result(prompt_id, timeout=60)
        whole = {data["max"] for data in events.of_type("progress")}
    again = segments(server, prompt)
    kept = [was_kept for _, was_kept in again]
    assert kept[:2] == [True, True]
    assert not kept[-1]
    assert whole == {len(again) * STEPS}

    changed = segments(server, long_prompt(SCRIPT.replace("| Goodbye", "| [seed 9] Goodbye")))
    assert [was_kept for _, was_kept in changed] == [line == 1 for line, _ in changed]


def refused(server: ComfyServer, prompt: Prompt, *parts: str) -> None:
    with pytest.raises(PromptFailed) as caught:
        server.run(prompt)
    for part in parts:
        assert part in caught.value.message


def test_what_is_wrong_in_a_script_is_said_before_anything_is_sampled(server: ComfyServer) -> None:
    refused(server, long_prompt("A woman. | Hello.\nA man. | one | two"), "Line 2 of the script has 2 signs")
    refused(server, long_prompt("A woman. | Привет, мир."), "The model cannot say")
    refused(server, long_prompt(seconds=1.0), "The script wants about")
    refused(server, long_prompt(past_frames=20), "kept past")


def test_a_clip_starts_with_a_portrait_or_an_end(server: ComfyServer) -> None:
    prompt = long_prompt()
    set_inputs(prompt, "UniAVGenLatent", batch_size=2)
    refused(server, prompt, "holds 2 clips", "batch_size to 1")
    prompt = long_prompt()
    latent = prompt[id_of(prompt, "UniAVGenLatent")]["inputs"]
    portrait = latent["task.portrait"]
    prompt["90"] = {"class_type": "RepeatImageBatch", "inputs": {"image": portrait, "amount": 9}}
    for name in [name for name in latent if name.startswith("task")]:
        del latent[name]
    latent |= {"task": "dubbing", "task.video": ["90", 0], "task.frame_rate": 16.0}
    refused(server, prompt, "starts with a portrait or with the end of a clip")
