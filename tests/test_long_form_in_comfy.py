"""Long clips on a real server: what is finished stays finished, and what cannot start a clip is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
import soundfile
import torch
from comfy.files import picture_packets
from comfy.graphs import Link, Prompt, api_workflow, id_of, ids_of, set_inputs
from comfy.install import ComfyInstall
from comfy.prompt_errors import PromptFailed, PromptInterrupted
from comfy.server import ComfyServer
from safetensors.torch import save_file

from uniavgen_core.config import FRAME_RATE
from uniavgen_core.media.cues import parse_subtitles
from uniavgen_core.media.muxing import write_video
from uniavgen_lab.video_files import read_audio, stream_summary

PACK = Path(__file__).absolute().parent.parent
SCRIPT = "A happy woman talks. | Hello, three red birds. We see two green fish.\nA sad woman talks. | Goodbye, one cat."
STEPS = 2


@pytest.fixture(scope="module")
def server(comfy_install: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with ComfyServer(comfy_install, tmp_path_factory.mktemp("long"), [PACK]) as running:
        yield running


def long_prompt(script: str = SCRIPT, steps: int = STEPS, **changes: Any) -> Prompt:
    prompt = api_workflow("tiny_long_form")
    set_inputs(prompt, "UniAVGenScheduler", steps=steps)
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
    # Enough steps that the third segment is under way when the cancel comes.
    steps = 3 * STEPS
    prompt = long_prompt(steps=steps)
    with server.events() as events:
        prompt_id = server.queue(prompt)
        assert events.wait_for("progress", lambda data: data["value"] > 2 * steps)
        server.interrupt()
        with pytest.raises(PromptInterrupted):
            server.result(prompt_id)
        whole = {data["max"] for data in events.of_type("progress")}
    again = segments(server, prompt)
    were_kept = [was_kept for _, was_kept in again]
    assert were_kept[:2] == [True, True]
    assert not were_kept[-1]
    assert whole == {len(again) * steps}

    changed = segments(server, long_prompt(SCRIPT.replace("| Goodbye", "| [seed 9] Goodbye"), steps))
    assert [was_kept for _, was_kept in changed] == [line == 1 for line, _ in changed]


def test_finished_segments_are_seen_and_heard_while_the_clip_goes_on(server: ComfyServer) -> None:
    prompt = long_prompt(SCRIPT.replace("| Hello", "| [seed 77] Hello"), steps=3 * STEPS)
    with server.events() as events:
        prompt_id = server.queue(prompt)
        shown = events.wait_for("executed", lambda data: data["node"] == long_id(prompt))
        (file,) = shown["output"]["images"]
        with av.open(str(server.base / file["type"] / file["filename"])) as container:
            assert {stream.type for stream in container.streams} == {"video", "audio"}
            first = container.duration / av.time_base
        result = server.result(prompt_id)
        names = [
            event["output"]["images"][0] for event in events.of_type("executed") if event["node"] == long_id(prompt)
        ]
    reader = next(number for number, node in prompt.items() if node["inputs"].get("source") == [long_id(prompt), 1])
    rows = "".join(result[reader]["text"]).splitlines()
    assert len(names) == len(rows) + 1, "each segment, and the clip"
    assert first == pytest.approx(float(rows[0].split(" to ")[1].split()[0]), abs=0.1)
    assert long_id(prompt) not in result, "it is no result of the node"
    left = {path.name for path in (server.base / "temp").glob("uniavgen_*.mp4")}
    assert not left & {name["filename"] for name in names[:-1]}


def test_cues_are_kept_on_a_server(server: ComfyServer, tmp_path: Path) -> None:
    timed = "A happy woman talks. |\n0.5 --> 2.1 Hello, three red birds.\n3 --> 4.5 Goodbye, one cat."
    prompt = long_prompt(timed, subtitle_track=True)
    saver = {"video": [long_id(prompt), 0], "subtitles": [long_id(prompt), 2], "filename_prefix": "timed/clip"}
    prompt["save"] = {"class_type": "UniAVGenSaveSubtitled", "inputs": saver}
    (file,) = server.output_files({"save": server.run(prompt)["save"]})
    with av.open(str(file)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "subtitle"]
        assert container.duration / av.time_base == pytest.approx(4.5, abs=0.1)
    text = file.with_suffix(".srt").read_text(encoding="utf-8")
    cues = parse_subtitles(text)
    assert [cue.text for cue in cues] == ["Hello, three red birds.", "Goodbye, one cat."]
    assert [cue.start for cue in cues] == pytest.approx([0.5, 3.0], abs=0.1)
    refused(server, long_prompt(timed.replace("2.1 Hello", "0.8 Hello")), "Line 2 of the script", "more time, or fewer")


KEPT_FOLDER = Path("output") / "uniavgen_long_form"


def kept(server: ComfyServer, prompt: Prompt) -> set[bool]:
    """Whether segments of a run were kept: all, none, or some."""
    # Words that the script replaces: they make no other clip, but ComfyUI does not take the last one's from its cache.
    set_inputs(prompt, "UniAVGenConditioning", speech=f"Run {uuid.uuid4().hex}.")
    return {was_kept for _, was_kept in segments(server, prompt)}


def renumbered(prompt: Prompt) -> Prompt:
    """The prompt with other numbers and titles, and in another order."""

    def moved(value: Any) -> Any:
        return [f"9{value[0]}", value[1]] if isinstance(value, list) else value

    return {
        f"9{number}": {
            "class_type": node["class_type"],
            "inputs": {name: moved(value) for name, value in reversed(node["inputs"].items())},
            "_meta": {"title": f"My {number}"},
        }
        for number, node in reversed(prompt.items())
    }


def with_lora(file: Path, number: float) -> Prompt:
    """The long clip through a LoRA of these weights."""
    layer, ends = "diffusion_model.blocks.0.self_attn.q", {"A": (4, 256), "B": (256, 4)}
    save_file({f"{layer}.lora_{end}.weight": torch.full(shape, number) for end, shape in ends.items()}, file)
    prompt = long_prompt()
    guider = prompt[id_of(prompt, "UniAVGenGuider")]["inputs"]
    inputs = {"model": guider["model"], "lora_name": file.name, "strength_model": 1.0}
    prompt["lora"] = {"class_type": "LoraLoaderModelOnly", "inputs": inputs}
    guider["model"] = ["lora", 0]
    return prompt


def test_segments_live_through_all_that_does_not_change_them(server: ComfyServer, comfy_install: ComfyInstall) -> None:
    prompt = long_prompt()
    segments(server, prompt)
    assert kept(server, prompt) == {True}
    server.request("/free", {"unload_models": True, "free_memory": True})
    assert kept(server, prompt) == {True}
    assert kept(server, renumbered(prompt)) == {True}
    with ComfyServer(comfy_install, server.base) as restarted:
        assert kept(restarted, prompt) == {True}
    assert [*(server.base / KEPT_FOLDER).glob("*.safetensors")]


def test_what_segments_are_made_with_redoes_all(server: ComfyServer, tmp_path: Path) -> None:
    segments(server, long_prompt())
    seeded, shifted, guided = long_prompt(), long_prompt(), long_prompt()
    set_inputs(seeded, "RandomNoise", noise_seed=3)
    set_inputs(shifted, "UniAVGenScheduler", shift=4.0)
    set_inputs(guided, "UniAVGenGuider", video_scale=2.5)
    for prompt in (seeded, shifted, guided, long_prompt(steps=STEPS + 1)):
        assert kept(server, prompt) == {False}
        assert kept(server, renumbered(prompt)) == {True}
    server.add_model("loras", tmp_path / "voice.safetensors")
    for number in (0.1, 0.2):
        prompt = with_lora(tmp_path / "voice.safetensors", number)
        assert kept(server, prompt) == {False}
        assert kept(server, renumbered(prompt)) == {True}


def test_nothing_is_kept_where_that_is_not_wanted(server: ComfyServer) -> None:
    folder = server.base / KEPT_FOLDER
    segments(server, long_prompt())
    assert [*folder.iterdir()]
    assert kept(server, long_prompt(keep=False)) == {False}
    assert not [*folder.iterdir()], "what was kept is deleted"
    assert not [path for path in (server.base / "temp").rglob("*.safetensors")]
    assert kept(server, long_prompt()) == {False}


def refused(server: ComfyServer, prompt: Prompt, *parts: str) -> None:
    with pytest.raises(PromptFailed) as caught:
        server.run(prompt)
    for part in parts:
        assert part in caught.value.message


def test_what_is_wrong_in_a_script_is_said_before_anything_is_sampled(server: ComfyServer) -> None:
    with server.events() as events:
        refused(server, long_prompt("A woman. | Hello.\nA man. | one | two"), "Line 2 of the script has 2 signs")
        refused(server, long_prompt("A woman. | Hello.\nA man. |"), "Line 2 of the script says nothing")
        refused(server, long_prompt("A woman. | Hello.\nA man. | Привет, мир."), "Line 2", "The model cannot say")
        refused(server, long_prompt(seconds=1.0), "The script wants about")
        refused(server, long_prompt(past_frames=20), "kept past")
        assert events.of_type("execution_error")
        assert not events.of_type("progress")


def test_a_clip_starts_with_a_portrait_or_an_end(server: ComfyServer) -> None:
    prompt = long_prompt()
    set_inputs(prompt, "UniAVGenLatent", batch_size=2)
    refused(server, prompt, "holds 2 clips", "batch_size to 1")
    prompt = long_prompt()
    latent = prompt[id_of(prompt, "UniAVGenLatent")]["inputs"]
    portrait = latent["portrait"]
    prompt["90"] = {"class_type": "RepeatImageBatch", "inputs": {"image": portrait, "amount": 9}}
    latent |= {"task": "dubbing", "video": ["90", 0]}
    refused(server, prompt, "starts with a portrait or with the end of a clip")


SOUND_RATE, SOUND_SECONDS = 32_000, 6.1
VIDEO_RATE, VIDEO_FRAMES = 25, 110


def voice(seconds: float = SOUND_SECONDS, rate: int = SOUND_RATE) -> torch.Tensor:
    """A stereo sound (2, samples) that swells and fades like syllables."""
    time = torch.arange(round(seconds * rate)) / rate
    tone = 0.3 * torch.sin(2 * torch.pi * 200 * time) * torch.sin(3 * torch.pi * time).square()
    return torch.stack((tone, 0.5 * tone))


def sound_file(server: ComfyServer, file: Path, sound: torch.Tensor) -> str:
    soundfile.write(file, sound.T.numpy(), SOUND_RATE)
    return server.add_input(file)


@pytest.fixture(scope="module")
def driving(server: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A recording of a voice."""
    return sound_file(server, tmp_path_factory.mktemp("driving") / "driving.wav", voice())


@pytest.fixture(scope="module")
def silent_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of another size and rate than the model's."""
    file = tmp_path_factory.mktemp("film") / "film.mp4"
    steps = torch.linspace(0.2, 0.8, VIDEO_FRAMES).view(-1, 1, 1, 1)
    write_video(file, steps * torch.rand(1, 144, 176, 3, generator=torch.Generator().manual_seed(0)), VIDEO_RATE)
    return file


def along(loader: str, script: str, **file: str) -> Prompt:
    """A long clip of short segments along a loaded file."""
    prompt = long_prompt(script)
    set_inputs(prompt, "UniAVGenLatent", seconds=2.0)
    prompt["90"] = {"class_type": loader, "inputs": file}
    return recorded(prompt, ["90", 0])


def recorded(prompt: Prompt, source: Link, **changes: Any) -> Prompt:
    set_inputs(prompt, "UniAVGenLongForm", recording=source, **changes)
    return prompt


def made(server: ComfyServer, prompt: Prompt) -> tuple[Path, str]:
    """The saved clip, and the report."""
    outputs = server.run(prompt)
    (report, _) = ("".join(outputs[number]["text"]) for number in ids_of(prompt, "PreviewAny"))
    (saved,) = server.output_files({id_of(prompt, "SaveVideo"): outputs[id_of(prompt, "SaveVideo")]})
    return saved, report


def test_a_sound_is_spoken_from_start_to_end(server: ComfyServer, driving: str, tmp_path: Path) -> None:
    saved, report = made(server, along("LoadAudio", "A happy woman talks. |", audio=driving))
    assert len(report.splitlines()) >= 3
    summary = stream_summary(saved)
    assert summary.frames == -(-SOUND_SECONDS * FRAME_RATE // 1)
    assert (summary.sample_rate, summary.channels) == (SOUND_RATE, 2)
    assert summary.audio_seconds == pytest.approx(summary.video_seconds, abs=0.05)
    heard, _ = read_audio(saved)
    given = voice()
    error = heard[0, :, : given.shape[1]] - given
    assert float(error.square().mean() / given.square().mean()) < 1e-3, "the recording, to the error of AAC"
    given[:, -SOUND_RATE:] *= 0.9
    changed = sound_file(server, tmp_path / "changed.wav", given)
    _, report = made(server, along("LoadAudio", "A happy woman talks. |", audio=changed))
    were_kept = ["  kept  " in row for row in report.splitlines()]
    assert were_kept[:2] == [True, True] and not were_kept[-1], "only what follows the change is made again"


def test_a_video_gets_a_voice_and_keeps_its_picture(server: ComfyServer, silent_film: Path) -> None:
    prompt = along(
        "LoadVideo", "A woman talks. | Hello, three red birds. We see one cat.", file=server.add_input(silent_film)
    )
    saved, report = made(server, prompt)
    assert len(report.splitlines()) >= 3
    assert picture_packets(saved) == picture_packets(silent_film)
    summary = stream_summary(saved)
    assert summary.video_seconds == VIDEO_FRAMES / VIDEO_RATE
    assert summary.audio_seconds == pytest.approx(VIDEO_FRAMES / VIDEO_RATE, abs=0.05)
    assert read_audio(saved)[0].abs().max() > 0.01


def test_frames_become_a_recording_through_create_video(server: ComfyServer) -> None:
    prompt = along(
        "EmptyImage", "A woman talks. | Hello, three red birds.", width=160, height=128, batch_size=60, color=128
    )
    prompt["91"] = {"class_type": "CreateVideo", "inputs": {"images": ["90", 0], "fps": 20.0}}
    saved, _ = made(server, recorded(prompt, ["91", 0]))
    summary = stream_summary(saved)
    assert (summary.frames, summary.frame_rate, summary.width) == (60, 20, 160)
    assert summary.audio_seconds == pytest.approx(3, abs=0.05)


def test_what_is_no_recording_is_refused(server: ComfyServer, driving: str, silent_film: Path, tmp_path: Path) -> None:
    film, words = server.add_input(silent_film), "A woman talks. | Hello."
    with server.events() as events:
        prompt = along("LoadVideo", words, file=film)
        refused(server, recorded(prompt, ["90", 0], seconds=5.0), "seconds is 5", "the recording sets the length")
        refused(server, along("LoadVideo", "A woman. |", file=film), "The script says nothing: write what the voice")
        refused(server, along("LoadVideo", "A woman. | " + "Hello. " * 60, file=film), "The script wants about")
        prompt["91"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["90", 0]}}
        refused(server, recorded(prompt, ["91", 1], seconds=0.0), "recording is missing: connect a sound")
        prompt = along("EmptyAudio", "A woman. |", duration=3.0, sample_rate=16000, channels=1)
        refused(server, prompt, "recording is silent")
        refused(server, along("LoadVideo", words, file=server.add_input(sound_only(tmp_path))), "has no picture")
        damaged = server.add_input(without_content(silent_film, tmp_path / "damaged.mp4"))
        refused(server, along("LoadVideo", words, file=damaged), "recording", "none of its picture can be decoded")
        prompt = along("LoadAudio", "A woman. |", audio=driving)
        conditioning = prompt[id_of(prompt, "UniAVGenConditioning")]["inputs"]
        conditioning |= {
            "reference_audio": ["90", 0],
            "reference_transcript": "Hello, three red birds. We see two green fish and a cat.",
        }
        refused(server, prompt, "The recording is a sound", "disconnect reference_audio")
        assert not events.of_type("progress")


def sound_only(folder: Path) -> Path:
    """A video file without a picture."""
    file = folder / "sound.mp4"
    with av.open(str(file), "w") as output:
        stream = output.add_stream("aac", rate=24_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(voice(1.0, 24_000)[:1].numpy(), format="fltp", layout="mono")
        frame.sample_rate = 24_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file


def without_content(source: Path, target: Path) -> Path:
    """The MP4 file with its index, and with nothing where its packets were."""
    before, kind, content = source.read_bytes().partition(b"mdat")
    target.write_bytes(before + kind + bytes(len(content)))
    return target


def two_people(script: str) -> Prompt:
    """A clip of two people, with a mask for each half of the picture."""
    prompt = long_prompt(script, speakers=["both", 0])
    latent = prompt[id_of(prompt, "UniAVGenLatent")]["inputs"]
    one = latent["portrait"]
    stitched = {"image1": one, "image2": ["other", 0], "direction": "right", "match_image_size": True}
    stitched |= {"spacing_width": 0, "spacing_color": "white"}
    prompt["other"] = {"class_type": "UniAVGenTinyPortrait", "inputs": {"kind": "man", "person": 1}}
    prompt["people"] = {"class_type": "ImageStitch", "inputs": stitched}
    latent |= {"portrait": ["people", 0], "size.width": 256}
    for name, width, value in (("none", 256, 0.0), ("half", 128, 1.0)):
        prompt[name] = {"class_type": "SolidMask", "inputs": {"value": value, "width": width, "height": 128}}
    for name, x in (("left", 0), ("right", 128)):
        inputs = {"destination": ["none", 0], "source": ["half", 0], "x": x, "y": 0, "operation": "add"}
        prompt[name] = {"class_type": "MaskComposite", "inputs": inputs}
    prompt["both"] = {
        "class_type": "BatchMasksNode",
        "inputs": {"masks.mask0": ["left", 0], "masks.mask1": ["right", 0]},
    }
    return prompt


def test_each_line_has_its_speaker(server: ComfyServer) -> None:
    script = "A woman and a man. | [speaker 1] Hello, three red birds.\n[speaker 2] Goodbye, one cat."
    made = segments(server, two_people(script))
    assert [was_kept for _, was_kept in made] == [False, False]
    other = segments(server, two_people(script.replace("[speaker 2]", "[speaker 1]")))
    assert [was_kept for _, was_kept in other] == [True, False]
    refused(server, two_people(script.replace("[speaker 2]", "[speaker 3]")), "Line 2", "[speaker 3]", "holds 2 masks")
    prompt = two_people(script)
    del prompt[long_id(prompt)]["inputs"]["speakers"]
    refused(server, prompt, "Line 1", "[speaker 1]", "one mask for each person")


def test_a_lines_speaker_is_steered_by_their_mask(server: ComfyServer) -> None:
    script = "A woman and a man. | [speaker 2] Goodbye, one cat."
    guided = two_people(script.replace("[speaker 2] ", ""))
    sampled = guided[id_of(guided, "UniAVGenGuider")]["inputs"]
    inputs = {
        "model": sampled["model"],
        "mask": ["right", 0],
        "frame_rate": 16.0,
        "operation": "replace",
        "strength": 1.0,
    }
    inputs |= {"layers": "all", "start_percent": 0.0, "end_percent": 1.0}
    guided["guided"] = {"class_type": "UniAVGenFaceGuidance", "inputs": inputs}
    sampled["model"] = ["guided", 0]
    prompts = (two_people(script), guided, two_people(script.replace("2", "1")))
    second, by_node, first = (picture_packets(made(server, prompt)[0]) for prompt in prompts)
    assert second == by_node
    assert second != first


VOICE_WORDS = "Hello, three red birds. We see two green fish and a cat."


def dialogue_by_cuts(voice_file: str, second_words: str = VOICE_WORDS) -> Prompt:
    """A woman and a man in scenes of their own, each with a voice."""
    script = (
        "A happy woman talks. | [speaker 1] Hello, three red birds.\n"
        "A happy man talks. | [scene 2] [speaker 2] Goodbye, one cat.\n"
        "A happy woman talks. | [scene 1] [speaker 1] We see two fish."
    )
    prompt = long_prompt(script, voices=["second", 0], scenes=["scene", 0])
    prompt["voice"] = {"class_type": "LoadAudio", "inputs": {"audio": voice_file}}
    for name, words, before in (("first", VOICE_WORDS, {}), ("second", second_words, {"voices": ["first", 0]})):
        inputs = {"audio": ["voice", 0], "transcript": words} | before
        prompt[name] = {"class_type": "UniAVGenSpeakerVoice", "inputs": inputs}
    prompt["man"] = {"class_type": "UniAVGenTinyPortrait", "inputs": {"kind": "man", "person": 1}}
    prompt["scene"] = {"class_type": "UniAVGenScene", "inputs": {"portrait": ["man", 0]}}
    return prompt


def kept_by_line(server: ComfyServer, prompt: Prompt) -> set[tuple[int, bool]]:
    """Of each line, whether its segments were kept, some or all of them."""
    return set(segments(server, prompt))


def test_another_voice_or_picture_redoes_only_its_scenes(server: ComfyServer, driving: str) -> None:
    assert kept_by_line(server, dialogue_by_cuts(driving)) == {(1, False), (2, False), (3, False)}
    other_words = dialogue_by_cuts(driving, VOICE_WORDS.replace("cat", "dog"))
    assert kept_by_line(server, other_words) == {(1, True), (2, False), (3, True)}
    other_man = dialogue_by_cuts(driving)
    other_man["man"]["inputs"]["person"] = 2
    assert kept_by_line(server, other_man) == {(1, True), (2, False), (3, True)}


def test_a_dialogue_that_cannot_be_is_refused_before_anything_is_sampled(server: ComfyServer, driving: str) -> None:
    with server.events() as events:
        prompt = dialogue_by_cuts(driving)
        prompt[long_id(prompt)]["inputs"] |= {"voices": ["first", 0]}
        refused(server, prompt, "Line 2", "[speaker 2]", "voices holds 1")
        prompt = dialogue_by_cuts(driving)
        del prompt[long_id(prompt)]["inputs"]["scenes"]
        refused(server, prompt, "Line 2", "scene 2", "UniAVGen Scene")
        refused(server, dialogue_by_cuts(driving, ""), "Voice of speaker 2", "transcript is empty")
        prompt = recorded(dialogue_by_cuts(driving), ["voice", 0])
        refused(server, prompt, "The recording is a sound", "disconnect voices")
        prompt["both"] = {
            "class_type": "UniAVGenRecordings",
            "inputs": {"audio_1": ["voice", 0], "audio_2": ["voice", 0], "order": "in turn"},
        }
        alone = long_prompt("Two. |") | {"voice": prompt["voice"], "both": prompt["both"]}
        refused(server, recorded(alone, ["both", 0]), "recordings of 2 people", "holds 0 masks")
        assert not events.of_type("progress")
