"""Many clips: rows of a CSV file as prompts, sent to servers that come and go."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import av
import batch
import numpy
import pytest
import ray
import soundfile
from batch_client.jobs import Choice, Job, read_jobs
from batch_client.server import Limits
from batch_client.table import BadTable
from batch_client.workflow import SLOTS, holders, read_workflow
from comfy.fake_server import FakeComfy, fake_comfy, result_name
from comfy.graphs import Prompt, api_workflow, id_of
from comfy.install import ComfyInstall
from comfy.server import ComfyServer
from patience import PATIENCE_SECONDS, wait_until
from PIL import Image
from ray.util.state import list_actors

from uniavgen_core.config import SAMPLE_RATE, pixel_frames
from uniavgen_core.joint_latent import check_seconds

ROOT = Path(__file__).absolute().parent.parent
SCRIPT = ROOT / "tools" / "batch.py"
WORKFLOWS = ROOT / "workflows" / "api"
RELEASE_COLUMNS = (
    "data_id",
    "ref_image_path",
    "ref_audio_path",
    "ref_speech_content",
    "video_path",
    "audio_path",
    "speech_content",
    "prompt",
    "lang",
)
ROW = {"ref_image_path": "face.png", "speech_content": "Good morning.", "prompt": "A woman speaks.", "lang": "en"}
TINY_ROW = {
    "task": "tiny_joint_generation",
    "speech_content": "Hello, three red birds.",
    "prompt": "A happy woman looks at the camera and speaks.",
}
GIVEN = {
    "joint_generation": ROW,
    "reference_voice": ROW | {"ref_audio_path": "voice.wav", "ref_speech_content": "Hello there."},
    "audio_driven": ROW | {"audio_path": "voice.wav"},
    "dubbing": ROW | {"video_path": "clip.mp4"},
}
"""What the release's tasks are given."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the rows name."""
    for name in ("face.png", "voice.wav", "clip.mp4"):
        (tmp_path / name).write_bytes(f"content of {name}".encode())
    return tmp_path


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Ray, begun once for all batches of this process; where a machine lets it begin none, its tests are skipped."""
    try:
        batch.begin_ray(None)
    except batch.BadServers as error:
        pytest.skip(f"Ray does not begin here: {error}")
    yield
    ray.shutdown()


@pytest.fixture
def no_waiting(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the actors look often and wait little."""
    monkeypatch.setattr(batch, "Limits", partial(Limits, poll=0.02, patience=0.1, longest_wait=0.1))


@pytest.fixture
def servers(no_waiting: None) -> Iterator[list[FakeComfy]]:
    """Two stand-ins for ComfyUI."""
    with ExitStack() as stack:
        yield [stack.enter_context(fake_comfy()) for _ in range(2)]


def write_table(folder: Path, rows: Sequence[dict[str, str]], columns: Sequence[str] | None = None) -> Path:
    """A CSV file of these rows; by default they name its columns."""
    table = folder / "jobs.csv"
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns or list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return table


def many(count: int, **changes: str) -> list[dict[str, str]]:
    return [{"data_id": f"clip_{number}", **ROW, **changes, "seed": str(number)} for number in range(1, count + 1)]


def jobs_of(table: Path, notes: list[str] | None = None, **choice: Any) -> list[Job]:
    return read_jobs(table, Choice(WORKFLOWS, **choice), "batch", (notes if notes is not None else []).append)


def node(prompt: Prompt, kind: str) -> dict[str, Any]:
    """The inputs of the only node of this class."""
    inputs: dict[str, Any] = prompt[id_of(prompt, kind)]["inputs"]
    return inputs


def caption(prompt: Prompt, role: str) -> str:
    """The text that reaches an input of UniAVGenConditioning."""
    text: str = prompt[node(prompt, "UniAVGenConditioning")[role][0]]["inputs"]["text"]
    return text


def run(table: Path, servers: Sequence[FakeComfy | ComfyServer], *options: str) -> int:
    """Run the command in this process; its exit status."""
    return batch.main([str(table), *(word for server in servers for word in ("--server", server.url)), *options])


def start(
    table: Path, servers: Sequence[FakeComfy | ComfyServer], *options: str, **environment: str
) -> subprocess.Popen[str]:
    """Run the command in a process of its own."""
    addresses = (word for server in servers for word in ("--server", server.url))
    command = [sys.executable, str(SCRIPT), str(table), *addresses, *options]
    return subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_heed_interrupts,
    )


def _heed_interrupts() -> None:
    """A shell lets what it starts in the background ignore interrupts, and so would the command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


InThread = Callable[..., "Future[int]"]
"""`run` in a thread, so that a test can act in the meantime."""
GIVE_UP = ("--give-up", "1")
"""More than any test takes, so that no server is given up on a busy machine; a failed test's client ends after it."""


@pytest.fixture
def in_thread(servers: list[FakeComfy]) -> Iterator[InThread]:
    with ThreadPoolExecutor() as executor:
        yield lambda table, servers, *options: executor.submit(run, table, servers, *GIVE_UP, *options)
        # A client that a failed test has left behind ends when nobody answers.
        for server in servers:
            server.kill()


def report(table: Path) -> list[dict[str, Any]]:
    """The lines of the report."""
    lines = table.with_suffix(".report.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def states(table: Path) -> list[tuple[int, str]]:
    return [(line["row"], line["state"]) for line in report(table)]


# Rows as prompts


def test_release_example_is_understood(folder: Path) -> None:
    """A row as in the release's own CSV files: no task, spaces before the caption, cells that are empty."""
    table = write_table(folder, [ROW | {"data_id": "0", "prompt": " A woman speaks."}], RELEASE_COLUMNS)
    (job,) = jobs_of(table)
    original = read_workflow(WORKFLOWS / "joint_generation.json")
    assert (job.row, job.name, job.task) == (2, "0", "joint_generation")
    assert caption(job.prompt, "positive") == "A woman speaks."
    assert caption(job.prompt, "negative") == caption(original, "negative")
    assert node(job.prompt, "UniAVGenConditioning")["speech"] == "Good morning."
    assert node(job.prompt, "UniAVGenConditioning")["language"] == "English"
    assert node(job.prompt, "SaveVideo")["filename_prefix"] == "batch/0"
    assert node(job.prompt, "UniAVGenSampler") == node(original, "UniAVGenSampler")
    ((name, file),) = job.files.items()
    assert file == folder / "face.png"
    assert node(job.prompt, "LoadImage")["image"] == f"uniavgen_batch/{name}"
    assert name.endswith(".png")


def test_numbers_of_nodes_do_not_matter(folder: Path) -> None:
    prompt = read_workflow(WORKFLOWS / "joint_generation.json")
    numbers = dict(zip(prompt, (f"{number}0" for number in reversed(prompt)), strict=True))

    def renumbered(original: Prompt) -> Prompt:
        return {
            numbers[number]: {"class_type": value["class_type"], "inputs": dict(map(relinked, value["inputs"].items()))}
            for number, value in original.items()
        }

    def relinked(item: tuple[str, Any]) -> tuple[str, Any]:
        name, value = item
        return name, [numbers[value[0]], value[1]] if isinstance(value, list) else value

    file = folder / "renumbered.json"
    file.write_text(json.dumps(renumbered(prompt)), encoding="utf-8")
    table = write_table(folder, many(1, seconds="3"))
    ((usual,), (other,)) = jobs_of(table), jobs_of(table, workflow=file)
    assert other.prompt == renumbered(usual.prompt)


def test_seed_seconds_and_other_inputs(folder: Path) -> None:
    row = {
        "seed": "7",
        "seconds": "2.5",
        "negative_prompt": "blurred",
        "UniAVGenSampler.steps": "4",
        "UniAVGenSampler.shift": "3.5",
        "# remark": "not for the servers",
    }
    (job,) = jobs_of(write_table(folder, [ROW | row | {"data_id": "a"}]))
    sampler, latent = node(job.prompt, "UniAVGenSampler"), node(job.prompt, "UniAVGenLatent")
    assert (sampler["seed"], sampler["steps"], sampler["shift"]) == (7, 4, 3.5)
    assert latent["seconds"] == 2.5
    assert caption(job.prompt, "negative") == "blurred"


def reference_voice() -> Prompt:
    """The joint workflow with a reference voice, whose transcript and caption come from nodes of their own."""
    prompt = api_workflow("joint_generation")
    prompt["voice"] = {"class_type": "LoadAudio", "inputs": {"audio": "example.wav"}}
    prompt["cut"] = {"class_type": "TrimAudioDuration", "inputs": {"audio": ["voice", 0], "duration": 5}}
    prompt["said"] = {"class_type": "PrimitiveString", "inputs": {"value": "Example."}}
    node(prompt, "UniAVGenConditioning").update({"reference_audio": ["cut", 0], "reference_transcript": ["said", 0]})
    return prompt


def dubbing(picture: bool) -> Prompt:
    """The joint workflow, but for a video whose frames reach the latent over other nodes."""
    prompt = api_workflow("joint_generation")
    prompt["clip"] = {"class_type": "LoadVideo", "inputs": {"file": "example.mp4"}}
    prompt["frames"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["clip", 0]}}
    latent = node(prompt, "UniAVGenLatent")
    face = latent.pop("portrait")
    latent.update({"task": "dubbing", "video": ["frames", 0]})
    if picture:
        prompt["face"] = {"class_type": "UniAVGenReferencePicture", "inputs": {"image": face}}
    return prompt


def audio_driven() -> Prompt:
    """The joint workflow with a given sound."""
    prompt = api_workflow("joint_generation")
    prompt["sound"] = {"class_type": "LoadAudio", "inputs": {"audio": "example.wav"}}
    node(prompt, "UniAVGenLatent").update({"task": "audio_driven", "audio": ["sound", 0]})
    return prompt


def test_files_of_every_task_find_their_nodes(folder: Path) -> None:
    places_of_files = {
        "reference_voice": (reference_voice(), {"LoadImage": "face.png", "LoadAudio": "voice.wav"}),
        "audio_driven": (audio_driven(), {"LoadImage": "face.png", "LoadAudio": "voice.wav"}),
        "dubbing": (dubbing(picture=True), {"LoadImage": "face.png", "LoadVideo": "clip.mp4"}),
    }
    for task, (prompt, wanted) in places_of_files.items():
        (folder / f"{task}.json").write_text(json.dumps(prompt), encoding="utf-8")
        table = write_table(folder, [GIVEN[task] | {"data_id": "1"}], RELEASE_COLUMNS)
        (job,) = read_jobs(table, Choice(folder), "batch", print)
        assert job.task == task
        inputs = {"LoadImage": "image", "LoadAudio": "audio", "LoadVideo": "file"}
        files = {kind: job.files[Path(node(job.prompt, kind)[inputs[kind]]).name].name for kind in wanted}
        assert files == wanted
        if task == "reference_voice":
            assert job.prompt["said"]["inputs"]["value"] == "Hello there."


@pytest.mark.parametrize("task", [task for task in GIVEN if (WORKFLOWS / f"{task}.json").is_file()])
def test_workflows_of_the_pack_take_the_release_rows(folder: Path, task: str) -> None:
    (job,) = jobs_of(write_table(folder, [GIVEN[task] | {"data_id": "1"}], RELEASE_COLUMNS))
    assert job.task == task
    # Dubbing may take the video's own picture.
    given = {value for name, value in GIVEN[task].items() if name.endswith("_path")}
    assert {file.name for file in job.files.values()} | {"face.png"} == given


def test_a_video_and_a_sound_are_given_for_new_lips(folder: Path) -> None:
    row = {"data_id": "1", "task": "resync", "prompt": "A woman speaks.", "video_path": "clip.mp4"}
    (job,) = jobs_of(write_table(folder, [row | {"audio_path": "voice.wav"}]))
    kinds = {"LoadVideo": "file", "LoadAudio": "audio"}
    files = {kind: job.files[Path(node(job.prompt, kind)[name]).name].name for kind, name in kinds.items()}
    assert files == {"LoadVideo": "clip.mp4", "LoadAudio": "voice.wav"}


def test_words_of_a_given_sound_need_not_be_known(folder: Path) -> None:
    (folder / "audio_driven.json").write_text(json.dumps(audio_driven()), encoding="utf-8")
    row = {name: value for name, value in GIVEN["audio_driven"].items() if name != "speech_content"}
    for table in (write_table(folder, [row | {"data_id": "1"}], columns) for columns in (None, RELEASE_COLUMNS)):
        (job,) = read_jobs(table, Choice(folder), "batch", print)
        assert node(job.prompt, "UniAVGenConditioning")["speech"] == ""


def test_a_script_stands_for_caption_words_and_length(folder: Path) -> None:
    prompt = api_workflow("joint_generation")
    prompt["script"] = {"class_type": "UniAVGenScript", "inputs": {"script": "A woman speaks. | Hello."}}
    prompt["long"] = {"class_type": "UniAVGenLongForm", "inputs": {"script": ["script", 0], "seconds": 0.0}}
    (folder / "long_form.json").write_text(json.dumps(prompt), encoding="utf-8")
    row = {"data_id": "1", "task": "long_form", "ref_image_path": "face.png", "seconds": "20"}
    lines = "A woman speaks. | Good morning.\n| Good night."
    (job,) = read_jobs(write_table(folder, [row | {"script": lines}]), Choice(folder), "batch", print)
    assert job.prompt["script"]["inputs"]["script"] == lines
    assert job.prompt["long"]["inputs"]["seconds"] == 20
    assert node(job.prompt, "UniAVGenLatent") == node(prompt, "UniAVGenLatent")
    with pytest.raises(BadTable, match="^column script is missing"):
        read_jobs(write_table(folder, [row]), Choice(folder), "batch", print)


def test_picture_of_a_video_says_who_speaks(folder: Path) -> None:
    """The release's rows for dubbing name a portrait; a workflow that takes the video's own does without it."""
    (folder / "dubbing.json").write_text(json.dumps(dubbing(picture=False)), encoding="utf-8")
    notes: list[str] = []
    table = write_table(folder, [GIVEN["dubbing"] | {"data_id": str(number)} for number in range(3)])
    for job in read_jobs(table, Choice(folder), "batch", notes.append):
        assert [file.name for file in job.files.values()] == ["clip.mp4"]
    assert len(notes) == 1 and "ref_image_path is not used" in notes[0] and "as in row 2" in notes[0]


@pytest.mark.parametrize(
    ("name", "task"), [("0", "joint_generation"), ("AVG", "joint_generation"), ("tiny-joint generation", None)]
)
def test_names_of_tasks(folder: Path, name: str, task: str | None) -> None:
    row = ROW if task else TINY_ROW
    (job,) = jobs_of(write_table(folder, [row | {"data_id": "1", "task": name}]), task="dubbing")
    assert job.task == (task or "tiny_joint_generation")


def test_the_same_row_has_the_same_key(folder: Path) -> None:
    """A key follows from what is made, not from names of files or the row's place."""
    first, second = jobs_of(write_table(folder, many(2)))
    (folder / "face.png").rename(folder / "other.png")
    others = jobs_of(write_table(folder, list(reversed(many(2, ref_image_path="other.png")))))
    assert [job.key for job in others] == [second.key, first.key]
    (folder / "other.png").write_bytes(b"another face")
    assert not {job.key for job in jobs_of(write_table(folder, many(2, ref_image_path="other.png")))} & {
        first.key,
        second.key,
    }


def test_bom_and_empty_rows(folder: Path) -> None:
    table = write_table(folder, many(2))
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\r\n".join([lines[0], "", lines[1], ",,,", lines[2], ""]), encoding="utf-8-sig", newline="")
    assert [(job.row, job.name) for job in jobs_of(table)] == [(3, "clip_1"), (5, "clip_2")]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"speech_content": ""}, ["row 3, column speech_content: is empty", "speech"]),
        ({"ref_image_path": "nowhere.png"}, ["row 3, column ref_image_path: there is no file nowhere.png"]),
        ({"task": "singing"}, ["row 3, column task", "“singing”", "joint_generation"]),
        ({"audio_path": "voice.wav"}, ["row 3, column audio_path: this workflow has no place for a sound"]),
        (
            {"task": "tiny_joint_generation"},
            ["row 3, column ref_image_path: this workflow has no place for a portrait"],
        ),
        ({"lang": "fr"}, ["row 3, column lang: “fr”"]),
        ({"seed": "-1"}, ["row 3, column seed: “-1”"]),
        ({"seconds": "soon"}, ["row 3, column seconds: “soon”"]),
        ({"seconds": "inf"}, ["row 3, column seconds: “inf”"]),
        ({"data_id": ""}, ["row 3, column data_id: is empty"]),
        ({"data_id": "../clip"}, ["row 3, column data_id: “../clip” cannot be a file's name"]),
        ({"data_id": "CLIP_1"}, ["row 3, column data_id: “CLIP_1” is row 2's name, too"]),
        ({"UniAVGenSampler.steps": "many"}, ["row 3, column UniAVGenSampler.steps: “many” is no number"]),
        ({"UniAVGenSampler.stepz": "4"}, ["row 3, column UniAVGenSampler.stepz", "only seed, steps"]),
        ({"UniAVGenSampler.model": "4"}, ["row 3, column UniAVGenSampler.model", "no input model to set"]),
        ({"KSampler.steps": "4"}, ["row 3, column KSampler.steps", "no nodes of class KSampler"]),
        ({"CLIPTextEncode.text": "4"}, ["row 3, column CLIPTextEncode.text", "2 nodes of class CLIPTextEncode"]),
    ],
)
def test_bad_rows_are_named(folder: Path, changes: dict[str, str], parts: list[str]) -> None:
    good, bad = many(2)
    table = write_table(folder, [good | {"task": "joint_generation"}, bad | {"task": "joint_generation"} | changes])
    with pytest.raises(BadTable) as caught:
        jobs_of(table)
    assert len(str(caught.value).splitlines()) == 1
    for part in parts:
        assert part in str(caught.value)


def test_all_faults_are_named_at_once(folder: Path) -> None:
    rows = many(3, task="joint_generation")
    rows[0]["seed"], rows[2]["lang"], rows[2]["ref_image_path"] = "x", "x", ""
    with pytest.raises(BadTable) as caught:
        jobs_of(write_table(folder, rows))
    starts = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert sorted(starts) == ["row 2, column seed", "row 4, column lang", "row 4, column ref_image_path"]


def test_files_outside_are_refused(folder: Path) -> None:
    inside = folder / "inside"
    inside.mkdir()
    (inside / "link.png").symlink_to(folder / "face.png")
    (folder / "passwd").write_bytes(b"root")
    outside = ["../face.png", str(folder / "face.png"), "link.png"]
    for name in outside:
        table = write_table(inside, many(1, ref_image_path=name))
        with pytest.raises(BadTable, match="outside the CSV file's folder.*--allow-outside"):
            jobs_of(table)
        assert len(jobs_of(table, allow_outside=True)) == 1
    for name in ("../passwd", "/etc/passwd"):
        for allow in (False, True):
            with pytest.raises(BadTable, match="is no picture, sound or video by its name"):
                jobs_of(write_table(inside, many(1, ref_image_path=name)), allow_outside=allow)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "no column data_id"),
        ("data_id;prompt\n1;hello\n", "separated by commas"),
        ("data_id,prompt\n", "has no rows"),
        ("data_id,prompt\n,\n\n", "has no rows"),
        ("data_id,prompt,promt\n1,a,b\n", "column promt is unknown"),
        ("data_id,prompt,prompt\n1,a,b\n", "column prompt is there 2 times"),
        ("data_id,prompt\n1,a red bird, and a blue one\n", "row 2 has more cells"),
        ('data_id,prompt\n1,"a red bird\n', "is no CSV file"),
        ("data_id,prompt\n1,a\n2,b\n", "column speech_content is missing, but the workflow wants a speech"),
    ],
)
def test_bad_tables(folder: Path, content: str, part: str) -> None:
    table = folder / "jobs.csv"
    table.write_text(content, encoding="utf-8")
    with pytest.raises(BadTable, match=part) as caught:
        jobs_of(table)
    assert str(caught.value).count(part) == 1


def test_other_encoding(folder: Path) -> None:
    table = folder / "jobs.csv"
    table.write_text("data_id,prompt\n1,Grüße\n", encoding="cp1252")
    with pytest.raises(BadTable, match="UTF-8"):
        jobs_of(table)


def test_every_slot_of_the_joint_workflow_is_found() -> None:
    prompt = read_workflow(WORKFLOWS / "joint_generation.json")
    found = {column for column, slot in SLOTS.items() if holders(prompt, slot)}
    assert found == {"prompt", "negative_prompt", "speech_content", "lang", "seed", "data_id", "ref_image_path"}


# Servers


def test_rows_are_spread_over_servers(folder: Path, servers: list[FakeComfy], in_thread: InThread) -> None:
    table = write_table(folder, many(7))
    for server in servers:
        server.hold()
    status = in_thread(table, servers, "--output", str(folder / "clips"))
    for server in servers:
        server.wait_for(lambda server=server: len(server.prompts) == 2)
    for server in servers:
        server.release()
    assert status.result() == 0
    assert sorted(name for server in servers for name in server.runs) == sorted(
        f"clip_{number}" for number in range(1, 8)
    )
    assert all(server.uploads == 1 and server.longest_queue == 2 for server in servers)
    for number, line in enumerate(report(table), 1):
        assert (line["row"], line["name"], line["state"], line["seconds"]) == (
            number + 1,
            f"clip_{number}",
            "done",
            2.5,
        )
        (file,) = line["files"]
        assert file == {"filename": f"clip_{number}_00001_.mp4", "subfolder": "uniavgen_batch", "type": "output"}
        (server,) = (server for server in servers if server.url == line["server"])
        saved = folder / "clips" / f"clip_{number}.mp4"
        assert line["saved"] == [str(saved)]
        assert saved.read_bytes() == server.outputs[f"uniavgen_batch/clip_{number}_00001_.mp4"]
        # The stand-in's files hold the prompt.
        prompt = json.loads(saved.read_bytes())
        assert node(prompt, "UniAVGenSampler")["seed"] == number
        assert server.inputs[node(prompt, "LoadImage")["image"]] == b"content of face.png"


@pytest.mark.parametrize("depth", [1, 3])
def test_queue_is_bounded(folder: Path, servers: list[FakeComfy], in_thread: InThread, depth: int) -> None:
    server = servers[0]
    server.hold()
    status = in_thread(write_table(folder, many(5)), [server], "--queue", str(depth))
    server.wait_for(lambda: len(server.prompts) == depth)
    server.release()
    assert status.result() == 0
    assert server.longest_queue == depth


def test_finished_rows_are_not_sent_again(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(3))
    assert run(table, servers) == 0
    assert run(table, servers) == 0
    write_table(folder, [*many(4), {**many(1)[0], "data_id": "again"}])
    assert run(table, servers) == 0
    names = Counter(name for server in servers for name in server.runs)
    assert names == dict.fromkeys(["clip_1", "clip_2", "clip_3", "clip_4", "again"], 1)
    assert states(table) == [(row, "done") for row in range(2, 7)]


def test_results_of_an_earlier_run_are_fetched(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(2))
    assert run(table, servers) == 0
    assert run(table, servers, "--output", str(folder / "clips")) == 0
    assert sorted(file.name for file in (folder / "clips").iterdir()) == ["clip_1.mp4", "clip_2.mp4"]
    assert sum(len(server.runs) for server in servers) == 2


def test_rows_that_left_the_table_stay_in_the_report(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(2))
    assert run(table, servers) == 0
    write_table(folder, many(2)[1:])
    assert run(table, servers) == 0
    assert [(line["row"], line["name"]) for line in report(table)] == [(2, "clip_2"), (None, "clip_1")]


def test_failing_rows_do_not_stop_the_others(
    folder: Path, servers: list[FakeComfy], capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(folder, many(4))
    for server in servers:
        server.faults["clip_2"] = "the words want about 9 seconds"
    assert run(table, servers) == 1
    assert states(table) == [(2, "done"), (3, "failed"), (4, "done"), (5, "done")]
    assert report(table)[1]["error"] == "SaveVideo: the words want about 9 seconds"
    shown = capsys.readouterr().err
    assert "row 3 (clip_2) failed: SaveVideo: the words want about 9 seconds" in shown
    assert "3 of 4 rows are done, 1 failed" in shown
    for server in servers:
        server.faults.clear()
    assert run(table, servers) == 0
    assert states(table)[1] == (3, "done")
    assert Counter(name for server in servers for name in server.runs)["clip_2"] == 2


def test_rows_that_validation_refuses(folder: Path, servers: list[FakeComfy]) -> None:
    """A file that goes missing on the server, as when its input folder is emptied."""
    table = write_table(folder, many(2))
    server = servers[0]
    server.after = lambda path: server.inputs.clear() if path == "/upload/image" else None
    assert run(table, [server]) == 1
    fault = "LoadImage: Custom validation failed for node (image - Invalid file: uniavgen_batch/"
    assert [line["error"].startswith(fault) for line in report(table)] == [True, True]
    assert server.runs == []


def test_rows_of_which_a_part_is_refused(folder: Path, servers: list[FakeComfy]) -> None:
    """ComfyUI queues such a prompt without that part."""
    table = write_table(folder, many(2))
    server = servers[0]
    server.hold()
    server.partly = True
    assert run(table, [server]) == 1
    assert [line["error"].startswith("PreviewImage: ") for line in report(table)] == [True, True]
    assert not server.running and not server.pending and not server.outputs


def test_a_name_that_is_taken_on_the_server(folder: Path, servers: list[FakeComfy]) -> None:
    """What was cut off while it was uploaded lies there under the same name."""
    table = write_table(folder, many(1))
    (job,) = jobs_of(table)
    (name,) = job.files
    servers[0].inputs[f"uniavgen_batch/{name}"] = b"conte"
    assert run(table, servers[:1]) == 0
    (prompt,) = servers[0].prompts.values()
    assert servers[0].inputs[node(prompt, "LoadImage")["image"]] == b"content of face.png"


def test_rows_of_a_lost_server_go_to_the_other(folder: Path, servers: list[FakeComfy], in_thread: InThread) -> None:
    table = write_table(folder, many(6))
    first, second = servers
    first.hold()
    status = in_thread(table, servers)
    first.wait_for(lambda: len(first.prompts) == 2)
    first.kill()
    assert status.result() == 0
    assert len(first.runs) == 1
    assert sorted(second.runs) == [f"clip_{number}" for number in range(1, 7)]
    assert {line["server"] for line in report(table)} == {second.url}


def test_a_server_that_starts_again_goes_on(folder: Path, servers: list[FakeComfy], in_thread: InThread) -> None:
    table = write_table(folder, many(3))
    server = servers[0]
    server.hold()
    status = in_thread(table, [server])
    server.wait_for(lambda: len(server.prompts) == 2)
    server.kill()
    server.release()
    server.start()
    assert status.result() == 0
    assert states(table) == [(row, "done") for row in (2, 3, 4)]
    # The one that it was working on, and no other, began twice.
    assert sorted(Counter(server.runs).values()) == [1, 1, 2]


def test_a_server_that_was_only_away_keeps_its_rows(
    folder: Path, servers: list[FakeComfy], in_thread: InThread
) -> None:
    """As when a connection breaks: nobody else has taken its rows, which it has meanwhile made."""
    table = write_table(folder, many(3))
    server = servers[0]
    server.hold()
    status = in_thread(table, [server])
    server.wait_for(lambda: len(server.prompts) == 2)
    server.away = True
    wait_until(lambda: [line["state"] for line in report(table)].count("waiting") == 2)
    server.release()
    server.wait_for(lambda: len(server.history) == 2)
    server.away = False
    assert status.result() == 0
    assert server.runs == ["clip_1", "clip_2", "clip_3"]
    assert states(table) == [(row, "done") for row in (2, 3, 4)]


def test_a_server_that_was_only_away_drops_what_others_took(
    folder: Path, servers: list[FakeComfy], in_thread: InThread
) -> None:
    table = write_table(folder, many(4))
    first, second = servers
    first.hold()
    second.hold()
    status = in_thread(table, servers)
    for server in servers:
        server.wait_for(lambda server=server: len(server.prompts) == 2)
    rows = set(map(result_name, first.prompts.values()))
    _, own = map(result_name, second.prompts.values())
    # It has room for one row more, not for two.
    second.hold(own, *rows)
    first.away = True
    second.wait_for(lambda: len(second.prompts) == 3)
    (kept,) = rows - set(map(result_name, second.prompts.values()))
    first.away = False
    first.wait_for(lambda: [result_name(first.prompts[id]) for id in first.running + first.pending] == [kept])
    for server in servers:
        server.release()
    assert status.result() == 0
    assert list(first.outputs) == [f"uniavgen_batch/{kept}_00001_.mp4"]
    assert sorted([kept, *second.runs]) == [f"clip_{number}" for number in range(1, 5)]


def test_a_row_that_ends_its_servers_fails(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(3))
    server = servers[0]
    server.deadly.add("clip_2")
    assert run(table, [server]) == 1
    assert states(table) == [(2, "done"), (3, "failed"), (4, "done")]
    assert "lost 3 times" in report(table)[1]["error"]
    assert Counter(server.runs)["clip_2"] in (3, 4)


def test_a_server_that_makes_rows_in_between_is_not_given_up(folder: Path, servers: list[FakeComfy]) -> None:
    """Nine rows are lost there, but never six in succession."""
    table = write_table(folder, many(6))
    server = servers[0]
    server.deadly |= {"clip_2", "clip_4", "clip_6"}
    assert run(table, [server], "--queue", "1") == 1
    assert [state for _, state in states(table)] == ["done", "failed"] * 3


def test_a_server_that_stays_away_is_given_up(
    folder: Path, servers: list[FakeComfy], in_thread: InThread, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(folder, many(3))
    first, second = servers
    first.hold()
    status = in_thread(table, [first], "--give-up", "0.01")
    first.wait_for(lambda: len(first.prompts) == 2)
    first.kill()
    assert status.result() == 1
    assert [state for _, state in states(table)] == ["waiting"] * 3
    shown = capsys.readouterr().err
    assert f", for 0.6 s. Going on without {first.url}." in shown
    assert "3 are left" in shown
    assert run(table, [second]) == 0
    assert second.runs == ["clip_1", "clip_2", "clip_3"]


def test_a_server_that_hangs(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(3))
    first, second = servers
    ended = threading.Event()
    first.hold()
    first.before = lambda path: ended.wait() if path == "/queue" and first.prompts else None
    assert run(table, servers, "--timeout", "5") == 0
    ended.set()
    assert sorted(second.runs) == ["clip_1", "clip_2", "clip_3"]


def test_a_prompt_that_somebody_cancels(folder: Path, servers: list[FakeComfy], in_thread: InThread) -> None:
    table = write_table(folder, many(2))
    server = servers[0]
    server.hold("clip_1")
    status = in_thread(table, [server])
    server.wait_for(lambda: server.running)
    with server.lock:
        server.end(server.running[0], interrupted=True)
    assert status.result() == 1
    assert states(table) == [(2, "failed"), (3, "done")]
    assert report(table)[0]["error"] == "cancelled on the server"


def test_what_was_queued_is_found_when_the_answer_was_lost(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(3))
    server = servers[0]
    lost = []

    def lose_answer(path: str) -> None:
        if path == "/prompt" and len(lost) < 2:
            lost.append(path)
            raise ConnectionResetError

    server.after = lose_answer
    assert run(table, [server]) == 0
    assert len(lost) == 2
    assert sorted(server.runs) == ["clip_1", "clip_2", "clip_3"]
    assert len(server.prompts) == 3


# Servers that are not as they should be, and disks


def cut_short(connection: BaseHTTPRequestHandler) -> None:
    connection.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbeginning")


def stalled(connection: BaseHTTPRequestHandler) -> None:
    cut_short(connection)
    threading.Event().wait(6)


def dripping(connection: BaseHTTPRequestHandler) -> None:
    connection.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        connection.wfile.write(b" ")
        time.sleep(0.05)


def endless(connection: BaseHTTPRequestHandler) -> None:
    connection.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.wfile.write(bytes(2**16))


def elsewhere(connection: BaseHTTPRequestHandler) -> None:
    connection.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")


def gone(connection: BaseHTTPRequestHandler) -> None:
    connection.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n\x1b[2J<p>")


QUIET = b'"status": {"status_str": "success", "messages": []}'
LIES = [
    *(("queue", lie) for lie in (b"null", b'{"queue_running": 3}', b"[" * 100_000, dripping, endless)),
    *(("prompt", lie) for lie in (b"[]", b'{"node_errors": [1]}', elsewhere)),
    *(("history", b'{"ID": %s}' % lie) for lie in (b"5", b'{"status": 5}', b'{"status": {"messages": [7]}}')),
    ("history", b'{"ID": {"outputs": {"1": {"images": [{"type": "output", "filename": 7}]}}}}'),
    ("history", b'{"ID": {"outputs": {"1": {"images": [{"type": "output", "filename": "\\ud800.mp4"}]}}}}'),
    ("history", b'{"ID": {%s, "outputs": {"1": {"images": [{"type": "output", "filename": "../x/y"}]}}}}' % QUIET),
    *(("view", lie) for lie in (cut_short, stalled, endless, elsewhere, gone)),
]


@pytest.mark.parametrize(("route", "lie"), LIES)
def test_a_server_that_lies_harms_only_its_rows(
    folder: Path, servers: list[FakeComfy], capsys: pytest.CaptureFixture[str], route: str, lie: Any
) -> None:
    table = write_table(folder, many(6))
    liar, honest = servers
    liar.lies[route] = lie
    limits = ("--timeout", "4", "--largest-result", "0.001", "--give-up", "0.01")
    status = run(table, servers, *limits, "--output", str(folder / "clips"))
    lines = report(table)
    assert status == (1 if any(line["state"] != "done" for line in lines) else 0)
    for line in lines:
        assert line["state"] == "done" or line["state"] == "failed" and line["server"] == liar.url and line["error"]
    assert sum(line["server"] == honest.url for line in lines) >= 2
    saved = {f"{line['name']}.mp4" for line in lines if line["state"] == "done"}
    assert {file.name for file in (folder / "clips").iterdir()} == saved
    shown = capsys.readouterr().err
    assert "Traceback" not in shown and "\x1b[2J" not in shown


def test_a_download_that_is_always_cut_short(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(2))
    server = servers[0]
    server.lies["view"] = cut_short
    options = ("--output", str(folder / "clips"))
    assert run(table, [server], *options) == 1
    assert [line["state"] for line in report(table)] == ["failed"] * 2
    server.lies.clear()
    assert run(table, [server], *options) == 0
    assert server.runs == ["clip_1", "clip_2"]


def test_a_success_without_a_file(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(1))
    servers[0].lies["history"] = b'{"ID": {%s, "outputs": {}}}' % QUIET
    assert run(table, servers[:1]) == 1
    assert "names no file" in report(table)[0]["error"]


def test_a_full_disk(folder: Path, servers: list[FakeComfy], capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(folder, many(5))
    clips = folder / "clips"
    clips.mkdir()
    (clips / "clip_2.mp4.part").symlink_to("/dev/full")
    assert run(table, servers[:1], "--output", str(clips)) == 1
    assert "its result cannot be written: [Errno 28] No space left on device" in report(table)[1]["error"]
    assert {state for row, state in states(table) if row != 3} <= {"done", "waiting"}
    shown = capsys.readouterr().err
    assert "no more rows are sent" in shown and "Traceback" not in shown
    assert run(table, servers[:1], "--output", str(clips)) == 0
    assert sorted(servers[0].runs) == [f"clip_{number}" for number in range(1, 6)]
    assert len(list(clips.iterdir())) == 5


def test_an_actor_that_ends_is_begun_anew(folder: Path, servers: list[FakeComfy], in_thread: InThread) -> None:
    table = write_table(folder, many(3))
    server = servers[0]
    server.hold()
    status = in_thread(table, [server])
    server.wait_for(lambda: len(server.prompts) == 2)
    (actor,) = (actor for actor in list_actors(ray.get_runtime_context().gcs_address) if actor.state == "ALIVE")
    os.kill(actor.pid, signal.SIGKILL)
    server.release()
    assert status.result() == 0
    assert server.runs == ["clip_1", "clip_2", "clip_3"]


# What is given wrongly


def refused(capsys: pytest.CaptureFixture[str], servers: Sequence[FakeComfy], *arguments: str) -> str:
    """Run the command, which must refuse to begin; what it says."""
    assert batch.main(list(arguments)) == 2
    assert not any(server.prompts or server.inputs for server in servers)
    shown = capsys.readouterr().err
    assert shown.endswith("Nothing was sent.\n")
    return shown


def test_servers_are_checked_first(folder: Path, servers: list[FakeComfy], capsys: pytest.CaptureFixture[str]) -> None:
    table = str(write_table(folder, many(1)))
    first, second = servers
    second.missing = {"UniAVGenLatent", "UniAVGenSampler"}
    shown = refused(capsys, servers, table, "--server", first.url, "--server", second.url)
    assert f"{second.url} does not know UniAVGenLatent, UniAVGenSampler" in shown
    second.kill()
    shown = refused(capsys, servers, table, "--server", second.url)
    assert f"{second.url} does not answer" in shown
    shown = refused(capsys, servers, table, "--server", f"{first.url}/elsewhere")
    assert "answers 404" in shown
    for address in ("localhost:8188", "http://", "http://host:port", "http://no.such.host.invalid:8188"):
        assert address in refused(capsys, servers, table, "--server", first.url, "--server", address)


def test_one_server_may_be_away_at_first(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(3))
    servers[0].kill()
    assert run(table, servers) == 0
    assert servers[1].runs == ["clip_1", "clip_2", "clip_3"]


def test_files_that_are_not_there(folder: Path, servers: list[FakeComfy], capsys: pytest.CaptureFixture[str]) -> None:
    address = ("--server", servers[0].url)
    assert "nowhere.csv" in refused(capsys, servers, str(folder / "nowhere.csv"), *address)
    table = str(write_table(folder, many(1)))
    assert "row 2, column task" in refused(capsys, servers, table, *address, "--workflow", str(folder / "nowhere.json"))
    ui = str(WORKFLOWS.parent / "joint_generation.json")
    assert "not a workflow in API form" in refused(capsys, servers, table, *address, "--workflow", ui)
    for other in ("no report\n", "no report", '{"row": 1}\n'):
        (folder / "other.txt").write_text(other)
        assert "not a report" in refused(capsys, servers, table, *address, "--report", str(folder / "other.txt"))
        assert (folder / "other.txt").read_text() == other


def test_long_lists_of_faults_are_cut(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(folder, many(50, lang="fr"))
    assert "and 30 more" in refused(capsys, [], str(table), "--server", "http://127.0.0.1:1")


# Clients that end


def test_a_killed_client_goes_on(folder: Path, servers: list[FakeComfy]) -> None:
    """Killed with rows done, rows in the queues and rows unsent, and with half a line in the report."""
    table = write_table(folder, many(6))
    first, second = servers
    second.hold()
    client = start(table, servers)
    second.wait_for(lambda: len(second.prompts) == 2)
    first.wait_for(lambda: len(first.history) >= 2)
    client.kill()
    client.communicate()
    lines = table.with_suffix(".report.jsonl")
    lines.write_bytes(lines.read_bytes() + b'{"row": 3, "na')
    second.release()
    assert run(table, servers, "--output", str(folder / "clips")) == 0
    assert sorted(first.runs + second.runs) == [f"clip_{number}" for number in range(1, 7)]
    assert states(table) == [(row, "done") for row in range(2, 8)]
    assert len(list((folder / "clips").glob("clip_?.mp4"))) == 6


def test_a_client_killed_between_report_and_prompt(folder: Path, servers: list[FakeComfy]) -> None:
    """The report says that a row was sent, but the server never got it."""
    table = write_table(folder, many(2))
    server = servers[0]
    begun = threading.Event()

    def kill_client(path: str) -> None:
        # Its actor may live a little longer, and send the other row, too.
        if path == "/prompt":
            begun.wait()
            client.kill()
            raise ConnectionResetError

    server.before = kill_client
    client = start(table, [server])
    begun.set()
    client.communicate()
    server.before = lambda path: None
    assert {line["state"] for line in report(table)} == {"sent"}
    assert run(table, [server]) == 0
    assert sorted(server.runs) == ["clip_1", "clip_2"]


def test_a_server_given_by_another_name_after_a_kill(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(3))
    server = servers[0]
    server.hold()
    client = start(table, [server])
    server.wait_for(lambda: len(server.prompts) == 2)
    client.kill()
    client.communicate()
    server.release()
    assert batch.main([str(table), "--server", f"http://localhost:{server.port}", "--server", servers[1].url]) == 0
    assert sorted(server.runs + servers[1].runs) == ["clip_1", "clip_2", "clip_3"]


def test_interrupt_leaves_what_is_queued(folder: Path, servers: list[FakeComfy]) -> None:
    table = write_table(folder, many(4))
    server = servers[0]
    server.hold()
    client = start(table, [server])
    server.wait_for(lambda: len(server.prompts) == 2)
    client.send_signal(signal.SIGINT)
    shown, _ = client.communicate(timeout=PATIENCE_SECONDS)
    assert client.returncode == 130
    assert "2 are still with their servers, 2 are left" in shown
    assert "The same command goes on" in shown and "Traceback" not in shown
    assert states(table) == [(2, "sent"), (3, "sent"), (4, "waiting"), (5, "waiting")]
    server.release()
    assert run(table, [server]) == 0
    assert server.runs == [f"clip_{number}" for number in range(1, 5)]


def test_two_clients_do_not_share_a_report(
    folder: Path, servers: list[FakeComfy], capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(folder, many(2))
    server = servers[0]
    server.hold()
    client = start(table, [server])
    server.wait_for(lambda: len(server.prompts) == 2)
    assert run(table, servers) == 2
    assert "is being written by another batch" in capsys.readouterr().err
    server.release()
    client.communicate()
    assert client.returncode == 0
    assert sorted(server.runs) == ["clip_1", "clip_2"]


# Real servers


class KillableServer(ComfyServer):
    """A ComfyUI that can be ended as a crash would."""

    def kill(self) -> None:
        assert self._process
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def other_server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableServer]:
    """A second ComfyUI with the pack; the last test that uses it may kill it."""
    with KillableServer(comfy_install, tmp_path_factory.mktemp("other_server"), [ROOT]) as running:
        yield running


def tiny_rows(count: int) -> list[dict[str, str]]:
    """Rows of the small model, a second and two steps each."""
    short = {"seconds": "1", "UniAVGenSampler.steps": "2"}
    return [{"data_id": f"clip_{number}", **TINY_ROW, **short, "seed": str(number)} for number in range(count)]


OWN_PORTRAIT_AND_VOICE = {
    "task": "",
    "ref_image_path": "face.png",
    "ref_audio_path": "voice.wav",
    "ref_speech_content": "Hello, one red bird.",
}


def write_portrait_and_voice(folder: Path) -> None:
    Image.new("RGB", (128, 128), "teal").save(folder / "face.png")
    sound = numpy.random.default_rng(0).uniform(-0.5, 0.5, SAMPLE_RATE)
    soundfile.write(folder / "voice.wav", sound, SAMPLE_RATE)


def own_portrait_and_voice(folder: Path) -> Path:
    """The small model's workflow for a portrait and a voice from files."""
    prompt = api_workflow("tiny_joint_generation")
    prompt[id_of(prompt, "UniAVGenTinyPortrait")] = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}
    prompt["voice"] = {"class_type": "LoadAudio", "inputs": {"audio": "example.wav"}}
    node(prompt, "UniAVGenConditioning").update({"reference_audio": ["voice", 0], "reference_transcript": "Example."})
    file = folder / "own.json"
    file.write_text(json.dumps(prompt), encoding="utf-8")
    return file


def ends_of_prompts(servers: Sequence[ComfyServer]) -> Counter[tuple[str, str]]:
    """How many prompts of these servers ended in which status, by the names of their results."""
    entries = [entry for server in servers for entry in server.request("/history").values()]
    return Counter((result_name(entry["prompt"][2]), entry["status"]["status_str"]) for entry in entries)


def wait_for_states(table: Path, client: subprocess.Popen[str], *wanted: str) -> None:
    """Wait until the report of a running client has a row in each of these states."""

    def are_there() -> bool:
        assert client.poll() is None, client.communicate()[0]
        file = table.with_suffix(".report.jsonl")
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        last = {line["key"]: line["state"] for line in map(json.loads, text[: text.rfind("\n") + 1].splitlines())}
        return set(wanted) <= set(last.values())

    wait_until(are_there)


def test_a_killed_client_goes_on_with_real_servers(
    folder: Path, comfy_server: ComfyServer, other_server: KillableServer
) -> None:
    servers = (comfy_server, other_server)
    comfy_server.request("/history", {"clear": True})
    write_portrait_and_voice(folder)
    rows = [row | OWN_PORTRAIT_AND_VOICE for row in tiny_rows(5)]
    rows[1]["speech_content"] = "Hello, three red birds. " * 9
    # Under way for some seconds, so that the client is killed meanwhile.
    rows[4]["UniAVGenSampler.steps"] = "100"
    table = write_table(folder, rows)
    options = ("--workflow", str(own_portrait_and_voice(folder)), "--output", str(folder / "clips"))
    client = start(table, servers, *options)
    wait_for_states(table, client, "done", "sent")
    client.kill()
    client.communicate()
    again = start(table, servers, *options)
    shown, _ = again.communicate(timeout=PATIENCE_SECONDS)
    assert again.returncode == 1, shown
    assert states(table) == [(2, "done"), (3, "failed"), (4, "done"), (5, "done"), (6, "done")]
    assert "The speech wants about" in report(table)[1]["error"]
    ends = ends_of_prompts(servers)
    # The first client may have seen the row fail; then the second tried it again.
    assert ends.pop(("clip_1", "error")) in (1, 2)
    assert ends == {(f"clip_{number}", "success"): 1 for number in (0, 2, 3, 4)}
    for number in (0, 2, 3, 4):
        check_clip(folder / "clips" / f"clip_{number}.mp4")


def test_a_killed_real_server_loses_no_row(
    folder: Path, comfy_server: ComfyServer, other_server: KillableServer
) -> None:
    comfy_server.request("/history", {"clear": True})
    table = write_table(folder, tiny_rows(6))
    client = start(table, (comfy_server, other_server), "--output", str(folder / "clips"))
    wait_until(lambda: other_server.request("/queue")["queue_running"])
    other_server.kill()
    shown, _ = client.communicate(timeout=PATIENCE_SECONDS)
    assert client.returncode == 0, shown
    assert f"{other_server.url} does not answer" in shown
    assert states(table) == [(row, "done") for row in range(2, 8)]
    made = {line["name"] for line in report(table) if line["server"] == comfy_server.url}
    assert len(made) >= 2
    assert ends_of_prompts([comfy_server]) == {(name, "success"): 1 for name in made}
    for number in range(6):
        check_clip(folder / "clips" / f"clip_{number}.mp4")


def processes_of(folder: Path) -> list[int]:
    """The ids of the ComfyUIs whose folders lie in this one, and of their keepers."""
    commands = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            commands[int(file.parent.name)] = file.read_bytes().decode().split("\0")
    prefix = str(folder / "uniavgen_batch_")
    return [
        id for id, words in commands.items() if any(word.startswith(prefix) for word in words) and "main.py" in words
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_own_comfyuis_of_which_one_is_killed(folder: Path, comfy_install: ComfyInstall) -> None:
    """The first client is killed, and what it began ends; then a ComfyUI of the second one is."""
    (folder / "custom_nodes").mkdir()
    (folder / "custom_nodes" / "uniavgen").symlink_to(ROOT)
    (folder / "paths.yaml").write_text(f"tests:\n  custom_nodes: {folder / 'custom_nodes'}\n", encoding="utf-8")
    table = write_table(folder, tiny_rows(6))
    own = ("--comfyui", str(comfy_install.path), "--python", str(comfy_install.python), "--workers", "2")
    more = ("--arguments", f"--extra-model-paths-config {folder / 'paths.yaml'} --disable-api-nodes")
    environment = {"TMPDIR": str(folder), "RAY_TMPDIR": os.environ.get("RAY_TMPDIR", "/tmp")}

    def working() -> list[Path]:
        logs = folder.glob("uniavgen_batch_*/comfyui.log")
        return [log.parent for log in logs if b"got prompt" in log.read_bytes()]

    client = start(table, [], *own, *more, "--output", str(folder / "clips"), **environment)
    wait_until(lambda: working() or client.poll() is not None)
    client.kill()
    client.communicate()
    wait_until(lambda: not processes_of(folder) and not list(folder.glob("uniavgen_batch_*")))
    client = start(table, [], *own, *more, "--output", str(folder / "clips"), **environment)
    wait_until(lambda: len(working()) == 2 or client.poll() is not None)
    (*_, comfyui) = sorted(processes_of(working()[0].parent))
    os.kill(comfyui, signal.SIGKILL)
    shown, _ = client.communicate(timeout=PATIENCE_SECONDS)
    assert client.returncode == 0, shown
    assert states(table) == [(row, "done") for row in range(2, 8)]
    for number in range(6):
        check_clip(folder / "clips" / f"clip_{number}.mp4")
    wait_until(lambda: not processes_of(folder) and not list(folder.glob("uniavgen_batch_*")))


def check_clip(file: Path) -> None:
    """A video of a second with sound."""
    with av.open(file) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == pixel_frames(check_seconds(1))
    with av.open(file) as clip:
        assert sum(frame.samples for frame in clip.decode(audio=0)) >= SAMPLE_RATE
