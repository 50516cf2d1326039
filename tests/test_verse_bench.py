"""The benchmark on made-up items, with small models in the place of the large ones."""

from __future__ import annotations

import argparse
import json
import logging
import socket
import urllib.request
import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from batch_client.jobs import Choice, read_jobs
from batch_client.table import BadTable
from numpy.typing import NDArray
from PIL import Image

from uniavgen_core.face.detection import Face
from uniavgen_core.files import NotInstalledError
from uniavgen_core.media.muxing import write_video
from uniavgen_lab.verse_bench import verse_command
from uniavgen_lab.verse_bench.bench_items import MadeItem, read_items
from uniavgen_lab.verse_bench.bench_jobs import add_verse_jobs_arguments, run_verse_jobs
from uniavgen_lab.verse_bench.bench_measures import (
    PROBES,
    Probe,
    frame_mean,
    likeness,
    lips,
    movement,
    sound_and_text,
    sound_classes,
    subject_consistency,
    words,
)
from uniavgen_lab.verse_bench.bench_models import NotThereError, OfflineError, find_files, offline
from uniavgen_lab.verse_bench.bench_tables import ALL, CLASS_ID, PAIRS, SIGNED, TABLES, columns_of, totals
from uniavgen_lab.verse_bench.kept_measures import KeptMeasures
from uniavgen_lab.verse_bench.sync_models import confidence, segments
from uniavgen_lab.verse_bench.verse_command import add_verse_bench_arguments, run_verse_bench

WORKFLOWS = Path(__file__).parent.parent / "workflows" / "api"
RATE, SIDE = 24_000, 32
NAMES = ("cat", "street", "talk")
"""An item of each set."""


def write_item(folder: Path, name: str, said: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(said), encoding="utf-8")
    Image.new("RGB", (SIDE, SIDE), (128, 64, 0)).save(folder / f"{name}.jpg")


def write_sound(path: Path, seconds: float = 1.0, loudness: float = 0.25) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        samples = loudness * numpy.sin(numpy.arange(round(seconds * 16_000)) / 10)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def write_clip(path: Path, brightness: float = 0.5, seconds: float = 1.0, sound: bool = True) -> None:
    path.parent.mkdir(exist_ok=True)
    frames = torch.full((round(25 * seconds), SIDE, SIDE, 3), brightness)
    heard = 0.5 * torch.sin(torch.arange(round(RATE * seconds)) / 20)[None]
    write_video(path, frames, 25, heard if sound else None, RATE if sound else None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set with one item in each set, and one that is broken."""
    write_item(tmp_path / "data/set1", "cat", {"video_prompt": "A cat.", "audio_prompt": ["a cat purrs"]})
    street = {
        "video_prompt": "A man\nspeaks, outside.", "audio_prompt": ["street", "steps"],
        "speech_prompt": {"speaker": "man", "text": "Good morning."},
    }  # fmt: skip
    write_item(tmp_path / "data/set2", "street", street)
    write_sound(tmp_path / "data/set2/street.wav")
    talk = {"video_prompt": "A talk.", "audio_prompt": [], "speech_prompt": {"speaker": "woman", "text": "Thank you."}}
    write_item(tmp_path / "data/set3", "talk", talk)
    (tmp_path / "data/set3/half.json").write_text('{"video_prompt": ', encoding="utf-8")
    return tmp_path / "data"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A clip of each item, without sound files."""
    for index, name in enumerate(NAMES):
        write_clip(tmp_path / "clips" / f"{name}.mp4", 0.25 + 0.25 * index)
    return tmp_path / "clips"


def made(data: Path, outputs: Path, name: str) -> MadeItem:
    return next(MadeItem(item, outputs) for item in read_items(data)[0] if item.name == name)


def test_items_are_read_and_broken_ones_named(data: Path, tmp_path: Path) -> None:
    items, broken = read_items(data)
    assert [(item.name, item.folder, item.sounds, item.speech) for item in items] == [
        ("cat", "set1", ("a cat purrs",), ""),
        ("street", "set2", ("street", "steps"), "Good morning."),
        ("talk", "set3", None, "Thank you."),
    ]
    assert list(broken) == ["set3/half"] and "half.json is no JSON" in broken["set3/half"]
    write_item(data / "set1", "empty", {"video_prompt": "x", "audio_prompt": [""]})
    write_item(data / "set1", "none", {"video_prompt": "x", "audio_prompt": ""})
    write_item(data / "set1", "wrong", {"video_prompt": ["x"]})
    write_item(data / "set1", "number", {"video_prompt": "x", "audio_prompt": 5})
    marked = data / "set3/talk.json"
    marked.write_text(marked.read_text(encoding="utf-8"), encoding="utf-8-sig")
    items, broken = read_items(data)
    assert {item.name: item.sounds for item in items if item.folder != "set2"} == {
        "cat": ("a cat purrs",), "empty": ("",), "none": None, "talk": None,
    }  # fmt: skip
    assert "wrong.json has no text in video_prompt" in broken["set1/wrong"]
    assert "number.json has no list of texts in audio_prompt" in broken["set1/number"]
    with pytest.raises(ValueError, match="set1, set2, set3: give the folder of Verse-Bench"):
        read_items(tmp_path / "clips")


def test_frames_are_taken_at_another_rate(data: Path, outputs: Path) -> None:
    clip = made(data, outputs, "cat")
    assert clip.rate == 25 and clip.frames.shape == (25, SIDE, SIDE, 3)
    clip.__dict__["_video"] = (numpy.arange(32, dtype=numpy.uint8), Fraction(16))
    assert clip.frames_at(8).tolist() == list(range(1, 32, 2))
    assert len(clip.frames_at(25)) == 50 and clip.frames_at(32).tolist() == numpy.arange(32).repeat(2).tolist()
    assert clip.frames_at(16).tolist() == list(range(32))


def test_sound_is_the_files_or_else_the_videos(data: Path, outputs: Path) -> None:
    clip = made(data, outputs, "cat")
    assert abs(clip.heard(48_000)).max() == pytest.approx(0.5, abs=0.05)
    assert clip.heard(48_000).shape[0] == pytest.approx(48_000, abs=2100)
    assert clip.file("sound") == clip.video
    write_sound(clip.sound, 0.5, loudness=0.1)
    assert abs(clip.heard(48_000)).max() == pytest.approx(0.1, abs=0.02) and len(clip.heard(48_000)) == 24_000
    assert clip.file("sound") == clip.sound
    assert abs(clip.video_sound(16_000)).max() == pytest.approx(0.5, abs=0.05)
    clip.sound.unlink()
    write_clip(clip.video, sound=False)
    for hear in (clip.heard, clip.video_sound):
        with pytest.raises(ValueError, match=r"cat\.mp4 has no sound"):
            hear(16_000)


def brightness(frames: NDArray[numpy.uint8]) -> NDArray[numpy.floating]:
    return frames.mean(axis=(1, 2, 3)) / 25.5


def tokens(frames: NDArray[numpy.uint8]) -> NDArray[numpy.floating]:
    """Four tokens of two values: the first is bright, the last but one dark."""
    bright = frames.mean(axis=(1, 2, 3)) / 255
    one = numpy.ones_like(bright)
    return numpy.stack(
        [numpy.stack(pair, axis=1) for pair in ((bright, one), (one, one), (one, -bright), (one, 0 * one))], axis=1
    )


def test_measures_of_frames(data: Path, outputs: Path) -> None:
    clip = made(data, outputs, "street")
    level = clip.frames.mean() / 255
    assert frame_mean("aesthetic", 10, brightness)(clip)["aesthetic"] == pytest.approx(level, abs=1e-3)
    image = clip.first_frame.mean() / 255
    angles = {"id_class": numpy.arctan(level) - numpy.arctan(image)}
    angles["id_patch"] = angles["id_class"]
    assert likeness(tokens)(clip) == pytest.approx({key: numpy.cos(x) for key, x in angles.items()}, abs=1e-4)
    assert subject_consistency(tokens)(clip) == pytest.approx({"subject": 1}, abs=1e-4)
    clip.__dict__["_video"] = (numpy.array([0, 255, 0], dtype=numpy.uint8).reshape(3, 1, 1, 1), Fraction(25))
    # (1, 0) and (1, 1) are 45 degrees apart: 2nd frame 45 and 45, 3rd 0 from the first and 45 from the one before.
    side = numpy.cos(numpy.pi / 4)
    assert subject_consistency(tokens)(clip)["subject"] == pytest.approx((side + (1 + side) / 2) / 2)


def test_a_video_of_one_frame_is_refused(data: Path, outputs: Path) -> None:
    clip = made(data, outputs, "cat")
    clip.__dict__["_video"] = (numpy.zeros((1, 8, 8, 3), dtype=numpy.uint8), Fraction(25))
    for measure in (subject_consistency(tokens), movement(lambda one, other: one[:, :2])):
        with pytest.raises(ValueError, match="one frame"):
            measure(clip)


def test_motion_looks_at_smaller_frames_and_at_eight_a_second(data: Path, outputs: Path) -> None:
    clip = made(data, outputs, "cat")
    frames = numpy.arange(25, dtype=numpy.uint8).reshape(-1, 1, 1, 1) * numpy.ones((1, 8, 1300, 3), dtype=numpy.uint8)
    clip.__dict__["_video"] = (frames, Fraction(25))
    seen = []

    def flow(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        seen.append((tuple(one.shape[-2:]), float(one.mean()), float(other.mean())))
        return (other - one)[:, :2] * torch.tensor([1.0, -3.0]).view(1, 2, 1, 1)

    values = movement(flow)(clip)
    # A step of 1 between frames moves 1 across and -3 down: the mean of both is 2.
    assert values["motion"] == pytest.approx(2)
    assert seen[0] == ((8, 328), 0, 1) and len(seen) == 24 + 8
    assert seen[24:26] == [((8, 1304), 0, 3), ((8, 1304), 3, 6)]
    # 3 frames apart it is √90 pixels, above 6 · 8 / 256.
    assert values["dynamic"] == 1


class SmallClap:
    """Hears how loud a sound is, and reads how long a text is."""

    def hear(self, waveform: NDArray[numpy.float32]) -> NDArray[numpy.floating]:
        return numpy.array([float(abs(waveform).max()), len(waveform) / 48_000])

    def read(self, text: str) -> NDArray[numpy.floating]:
        return numpy.array([0.0, float(len(text))])


def test_measures_of_sounds(data: Path, outputs: Path) -> None:
    clip = made(data, outputs, "street")
    write_sound(clip.sound, 0.5)
    values = sound_and_text(SmallClap())(clip)
    peak = 10 ** (-1 / 20)
    assert values["features"] == pytest.approx([peak, 0.5], abs=1e-3)
    assert values["original_features"] == pytest.approx([peak, 1.0], abs=1e-3)
    assert values["cs"] == pytest.approx(0.5 / numpy.hypot(peak, 0.5), abs=1e-3)
    other = made(data, outputs, "cat")
    write_sound(other.sound)
    assert set(sound_and_text(SmallClap())(other)) == {"cs"}

    def classes(windows: NDArray[numpy.float32]) -> NDArray[numpy.floating]:
        assert windows.shape[1] == 320_000
        return numpy.stack([[abs(window).sum() / 30_000, 0.0] for window in windows])

    loud = [
        abs(sound).sum() / abs(sound).max() * peak / 30_000
        for sound in (clip.original_sound(32_000), clip.heard(32_000))
    ]
    p, q = (1 / (1 + numpy.exp(-x)) for x in loud)
    expected = p * numpy.log(p / (q + 1e-6)) + (1 - p) * numpy.log((1 - p) / (1 - q + 1e-6))
    assert sound_classes(classes)(clip)["kl"] == pytest.approx(expected, rel=1e-3)


def test_words_are_compared_with_the_speech(data: Path, outputs: Path) -> None:
    clip = made(data, outputs, "street")
    write_sound(clip.sound)
    compared = []

    def error(text: str, heard: str) -> float:
        compared.append((text, heard))
        return 0.5

    assert words("wer", error, lambda sound: f"{len(sound)} samples")(clip) == {"wer": 0.5}
    assert compared == [("Good morning.", "16000 samples")]


def test_confidence_is_the_mean_of_long_runs() -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    frames = numpy.zeros((180, 40, 40, 3), dtype=numpy.uint8)
    frames[:60] = frames[70:110] = 10
    frames[120:] = 20
    sound = numpy.arange(180 * 640, dtype=numpy.float32)
    measured: list[tuple[int, ...]] = []

    def faces(frame: NDArray[numpy.uint8]) -> Sequence[Face]:
        boxes = numpy.array([[4.0, 4, 8, 8], [10.0, 10, 30, 30]])
        return [Face(box, numpy.zeros((5, 2)), score) for box, score in zip(boxes, (0.5, 0.9), strict=True)][
            : 2 * bool(frame.any())
        ]

    def errors(crops: NDArray[numpy.uint8], heard: NDArray[numpy.float32]) -> dict[str, float]:
        measured.append((len(crops), int(heard[0]), int(heard[-1])))
        return {"lse_c": float(crops[0, 100, 112, 0]), "sound_late_frames": 3.0}

    # The run of 40 frames is too short; the others' faces are as bright as their frames.
    assert confidence(frames, sound, lambda frame: [face._replace(score=0.4) for face in faces(frame)], errors) is None
    assert measured == []
    assert confidence(frames, sound, faces, errors) == pytest.approx((10 + 20) / 2)
    assert measured == [(60, 0, 59 * 640 - 1), (60, 120 * 640, 179 * 640 - 1)]
    assert confidence(frames[60:110], sound, faces, errors) is None
    late = {"lse_c": 1.0, "sound_late_frames": -14.0}
    assert confidence(frames, sound, faces, lambda crops, heard: late) is None
    assert lips(lambda clip: None)(None) == {}  # type: ignore[arg-type]


def test_synchformer_is_given_eleven_pieces() -> None:
    numbers = (numpy.arange(110) * 2).astype(numpy.uint8)
    frames = numpy.broadcast_to(numbers.reshape(-1, 1, 1, 1), (110, 300, 260, 3))
    click = numpy.zeros(16_000 * 5, dtype=numpy.float32)
    click[(2 + 3 * 8) * 640 + 5000] = 1
    seen, mel = segments(frames, click)
    assert seen.shape == (11, 16, 3, 224, 224) and mel.shape == (11, 1, 128, 66)
    shown = ((seen[:, :, 0, 0, 0] + 1) * 127.5).round() / 2
    assert torch.equal(shown, torch.arange(2, 82 + 1, 8).view(-1, 1) + torch.arange(16))
    # The click is in the second half of the third piece and in the first half of the fourth, 8 frames on.
    loudest = mel[:, 0].mean(dim=1)[:, :65].argmax(dim=1)
    assert loudest[3] == round(5000 / 160)
    assert loudest[2] == pytest.approx(round((5000 + 5120) / 160), abs=1)
    assert mel[0, 0, 0, -1] == pytest.approx(4.2677393 / 2 / 4.5689974)
    with pytest.raises(ValueError, match="shorter than 4 seconds"):
        segments(frames[:99], click)


def small_probe(names: tuple[str, ...], reads: tuple[str, ...], measure: Any, loads: list[str]) -> Probe:
    def load(paths: Sequence[Path], device: torch.device) -> Any:
        loads.append(names[0])
        if paths[0].read_bytes() == b"damaged":
            raise ValueError("it is damaged")
        return measure

    return Probe(names, load, reads)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Small models in the place of all; the files of those that have been loaded."""
    found: list[str] = []

    def offset(clip: MadeItem) -> dict[str, float]:
        return {"offset": {"cat": -0.4, "street": 0.2}[clip.item.name]}

    def loudness(clip: MadeItem) -> dict[str, float]:
        return dict.fromkeys(("CE", "CU", "PC", "PQ"), float(abs(clip.heard(16_000)).max()))

    small = {
        "aesthetic": small_probe(("a.pth",), ("video",), frame_mean("aesthetic", 10, brightness), found),
        "musiq": small_probe(("m.pth",), ("video",), frame_mean("musiq", 10, brightness), found),
        "maniqa": small_probe(("q.pth",), ("video",), frame_mean("maniqa", 10, brightness), found),
        "dinov3": small_probe(("d",), ("video", "image"), likeness(tokens), found),
        "audiobox": small_probe(("box.pt",), ("sound",), loudness, found),
        "clap": small_probe(("clap",), ("sound", "prompts", "original"), sound_and_text(SmallClap()), found),
        "synchformer": small_probe(("s.pt",), ("video",), offset, found),
    }
    for name, probe in PROBES.items():
        monkeypatch.setitem(PROBES, name, small.get(name, probe))
    return found


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("a.pth", "m.pth", "q.pth", "d", "box.pt", "clap", "s.pt"):
        (folder / name).write_bytes(b"weights")
    return folder


def run(data: Path, outputs: Path, models: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    add_verse_bench_arguments(parser)
    return run_verse_bench(parser.parse_args([str(data), str(outputs), "--models", str(models), "--json", *options]))


def found_by(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """What the command has printed: its JSON, and all of it."""
    shown = capsys.readouterr().out
    return json.loads(shown.splitlines()[-1]), shown


def test_command_measures_what_is_there(
    data: Path, outputs: Path, models: Path, loads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, outputs, models) == 0
    found, shown = found_by(capsys)
    joint = found["tables"]["joint"]
    assert {name: row["items"] for name, row in joint.items()} == {"set1": 1, "set2": 1, "set3": 1, ALL: 3}
    assert joint[ALL]["AS"] == pytest.approx(0.5, abs=0.02) and joint["set3"]["AS"] == pytest.approx(0.75, abs=0.02)
    assert joint[ALL]["AV-A"] == pytest.approx(0.3) and joint[ALL][SIGNED] == pytest.approx(-0.1)
    assert joint["set3"]["AV-A"] is joint["set3"]["CE"] is joint["set3"]["CS"] is None
    assert joint["set2"]["FD"] is None and joint["set2"][PAIRS] == pytest.approx(0, abs=1e-2)
    assert joint[ALL]["CE"] == pytest.approx(0.5, abs=0.05)
    assert joint[ALL]["KL"] is joint[ALL]["WER"] is None
    table_1 = found["tables"]["uniavgen"]
    assert set(table_1) == {"set2", "set3", ALL} and table_1[ALL]["items"] == 2
    assert found["not_measured"]["KL"] == "not measured: passt-s-f128-p16-s10-ap.476-swa.pt is missing"
    assert "Gemini" in found["not_measured"]["TC"]
    assert "PQ" in table_1[ALL] and "PQ" not in found["not_measured"]
    assert found["scores"]["put right"]["video"] == pytest.approx((joint[ALL]["AS"] + joint[ALL][CLASS_ID]) / 2)
    assert found["scores"]["put right"]["overall"] is None
    assert list(found["left_out"]) == ["set3/half"]
    assert "| UniVerse-1, as published (second hand) | – | 0.200 | 0.470 | 0.890 |" in shown
    assert "KL: not measured: passt-s-f128-p16-s10-ap.476-swa.pt is missing" in shown
    assert {file.name for file in outputs.iterdir()} == {*(f"{name}.mp4" for name in NAMES), "verse_bench.jsonl"}


def test_a_second_run_measures_only_what_has_changed(
    data: Path, outputs: Path, models: Path, loads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(data, outputs, models)
    first, _ = found_by(capsys)
    assert len(loads) == 7
    loads.clear()
    kept = outputs / "verse_bench.jsonl"
    kept.write_text(kept.read_text(encoding="utf-8") + '{"key": "ha', encoding="utf-8")
    run(data, outputs, models)
    assert found_by(capsys)[0] == first and loads == []
    write_clip(outputs / "cat.mp4", 1.0)
    run(data, outputs, models)
    changed, _ = found_by(capsys)
    # The sound, too: without a file of its own it is the new video's.
    assert set(loads) == {"a.pth", "m.pth", "q.pth", "d", "s.pt", "box.pt", "clap"}
    assert changed["tables"]["joint"]["set1"]["AS"] > first["tables"]["joint"]["set1"]["AS"]
    assert changed["tables"]["joint"]["set2"] == first["tables"]["joint"]["set2"]
    loads.clear()
    (models / "box.pt").write_bytes(b"other weights")
    run(data, outputs, models)
    assert loads == ["box.pt"] and found_by(capsys)[0] == changed
    run(data, outputs, models)
    assert found_by(capsys)[0] == changed


def test_a_run_that_was_stopped_goes_on(
    data: Path, outputs: Path, models: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def stopped(clip: MadeItem) -> dict[str, float]:
        seen.append(clip.item.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return {"offset": 0.0}

    monkeypatch.setitem(PROBES, "synchformer", small_probe(("s.pt",), ("video",), stopped, loads))
    options = ("--tables", "video_to_audio")
    with pytest.raises(KeyboardInterrupt):
        run(data, outputs, models, *options)
    assert run(data, outputs, models, *options) == 0
    assert seen == ["cat", "street", "street"]


def test_broken_items_and_models_are_named_and_left_out(
    data: Path, outputs: Path, models: Path, loads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (outputs / "cat.mp4").write_bytes(b"no video")
    (models / "box.pt").write_bytes(b"damaged")
    assert run(data, outputs, models) == 0
    found, _ = found_by(capsys)
    assert {name.split(",")[0] for name in found["left_out"]} == {"set3/half", "cat"}
    assert "cat.mp4" in found["left_out"]["cat, aesthetic"]
    assert found["not_measured"]["PQ"] == "not measured: box.pt cannot be loaded (it is damaged)"
    assert found["tables"]["joint"][ALL]["AS"] == pytest.approx((0.5 + 0.75) / 2, abs=0.02)


def test_what_gives_no_number_or_no_sound_is_left_out(
    data: Path, outputs: Path, models: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It neither ends the run nor spoils the mean of the others."""
    write_clip(outputs / "talk.mp4", sound=False)

    def offset(clip: MadeItem) -> dict[str, float]:
        return {"offset": float("nan") if clip.item.name == "cat" else 0.2}

    monkeypatch.setitem(PROBES, "synchformer", small_probe(("s.pt",), ("video",), offset, loads))
    assert run(data, outputs, models) == 0
    found, _ = found_by(capsys)
    assert found["tables"]["joint"][ALL]["AV-A"] == pytest.approx(0.2)
    assert found["left_out"]["cat, synchformer"] == "offset is no number"
    assert found["left_out"]["talk, audiobox"] == "talk.mp4 has no sound"
    assert found["tables"]["uniavgen"][ALL]["PQ"] == pytest.approx(0.5, abs=0.05)


def test_a_library_that_is_missed_late_is_named_once(
    data: Path, outputs: Path, models: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def absent(clip: MadeItem) -> dict[str, float]:
        raise NotInstalledError("run pip install '.[people]'")

    monkeypatch.setitem(PROBES, "synchformer", small_probe(("s.pt", "a.pth"), ("video",), absent, loads))
    assert run(data, outputs, models) == 0
    found, _ = found_by(capsys)
    assert found["not_measured"]["AV-A"] == "not measured: run pip install '.[people]'"
    assert list(found["left_out"]) == ["set3/half"]
    (models / "s.pt").write_bytes(b"damaged")
    assert run(data, outputs, models) == 0
    assert found_by(capsys)[0]["not_measured"]["AV-A"].startswith(
        "not measured: s.pt and a.pth cannot be loaded (it is"
    )


def test_wrong_folders_are_named(data: Path, outputs: Path, models: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere is no folder: give that of the models"):
        run(data, outputs, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"models holds no NAME\.mp4 of the 3 items"):
        run(data, models, models)


def test_distance_of_a_set_is_taken_over_its_items(data: Path) -> None:
    items, _ = read_items(data)
    street = next(item for item in items if item.name == "street")
    random = numpy.random.default_rng(0)
    many = {
        type(street)(**{**vars(street), "name": str(index)}): {
            "features": random.normal(size=3).tolist(), "original_features": random.normal(size=3).tolist()
        }
        for index in range(40)
    }  # fmt: skip
    row = totals(TABLES["video_to_audio"], many, {})[ALL]
    pairs = [numpy.array(values["features"]) - values["original_features"] for values in many.values()]
    assert row[PAIRS] == pytest.approx(numpy.mean([pair @ pair for pair in pairs]))
    assert 0 < row["FD"] < row[PAIRS]
    assert totals(TABLES["video_to_audio"], many, {"clap": "missing"})[ALL]["FD"] is None


def test_models_are_found_by_their_names(tmp_path: Path) -> None:
    with pytest.raises(NotThereError, match=r"^weights\.pth or w\*\.pt is missing$"):
        find_files(tmp_path, ("weights.pth or w*.pt",))
    with pytest.raises(NotThereError, match=r"^a and c are missing$"):
        (tmp_path / "b").touch()
        find_files(tmp_path, ("a", "b", "c"))
    (tmp_path / "w2.pt").touch()
    assert find_files(tmp_path, ("weights.pth or w*.pt",)) == [tmp_path / "w2.pt"]
    assert {probe for column in columns_of(list(TABLES)) for probe in column.probes} == set(PROBES)


def test_nothing_is_fetched() -> None:
    with offline(), pytest.raises(OSError, match=r"nothing is downloaded here.* models\.invalid") as caught:
        urllib.request.urlopen("http://models.invalid/model.pth")
    assert isinstance(getattr(caught.value, "reason", caught.value), OfflineError)
    with offline(), socket.socket() as reached, pytest.raises(OfflineError, match=r"127\.0\.0\.1"):
        reached.connect(("127.0.0.1", 9))
    with socket.socket() as listening, socket.socket() as reached:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        reached.connect(listening.getsockname())


def test_half_a_line_is_no_measure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "kept.jsonl"
    file.write_text('{"key": "a", "values": {"x": 1}}\n{"key": "b", "val', encoding="utf-8")
    kept = KeptMeasures(file)
    assert kept.find("a") == {"x": 1} and kept.find("b") is None
    assert "a line that is no measure" in caplog.text
    kept.add("b", {"y": 2})
    assert KeptMeasures(file).find("b") == {"y": 2}


def jobs(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_verse_jobs_arguments(parser)
    return run_verse_jobs(parser.parse_args(arguments))


def test_items_become_a_table_for_the_batch(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    table = data / "jobs.csv"
    assert jobs(str(data), str(table), "--with-speech") == 0
    assert "left out: set3/half" in caplog.text and "--allow-outside" not in caplog.text
    found = read_jobs(table, Choice(WORKFLOWS), "verse", lambda note: None)
    assert [job.name for job in found] == ["street", "talk"] and {job.task for job in found} == {"joint_generation"}
    assert list(found[0].files.values()) == [(data / "set2/street.jpg").resolve()]
    texts = json.dumps(found[0].prompt)
    assert "A man\\nspeaks, outside." in texts and "Good morning." in texts
    assert jobs(str(data), str(tmp_path / "all.csv"), "--sets", "set1", "--sound-column", "SomeNode.sound") == 0
    assert (tmp_path / "all.csv").read_text(encoding="utf-8").splitlines() == [
        "data_id,ref_image_path,prompt,speech_content,SomeNode.sound",
        "cat,data/set1/cat.jpg,A cat.,,a cat purrs",
    ]
    assert jobs(str(data), str(tmp_path / "elsewhere/jobs.csv")) == 0
    assert "--allow-outside" in caplog.text
    with pytest.raises(ValueError, match="holds no such items"):
        jobs(str(data), str(table), "--sets", "set1", "--with-speech")
    with pytest.raises(ValueError, match="give sound_content or NodeClass.input"):
        jobs(str(data), str(table), "--sound-column", "sound")


UNIVERSE_GRAPH: dict[str, Any] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["9", 0], "text": "somebody"}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["9", 0], "text": ""}},
    "4": {
        "class_type": "UniVerse1Conditioning",
        "inputs": {
            "positive": ["2", 0], "negative": ["3", 0], "clip": ["9", 0], "sound": "rain", "speech": "Hello.",
            "language": "auto",
        },
    },
    "5": {"class_type": "UniVerse1Latent", "inputs": {"vae": ["9", 2], "image": ["1", 0], "seconds": 5.0}},
    "6": {"class_type": "RandomNoise", "inputs": {"noise_seed": 1}},
    "7": {"class_type": "SaveVideo", "inputs": {"video": ["8", 0], "filename_prefix": "video/x"}},
}  # fmt: skip
"""UniVerse-1's nodes, as far as the batch has to do with them."""


def test_items_go_into_a_graph_of_universe_1(data: Path) -> None:
    """Also those in which nobody speaks, or nothing is heard: the graph's own texts never stay."""
    workflow, table = data / "graph.json", data / "jobs.csv"
    workflow.write_text(json.dumps(UNIVERSE_GRAPH), encoding="utf-8")
    assert jobs(str(data), str(table), "--sound-column", "sound_content") == 0
    found = read_jobs(table, Choice(WORKFLOWS, workflow=workflow), "verse", lambda note: None)
    texts = [(job.prompt["4"]["inputs"]["sound"], job.prompt["4"]["inputs"]["speech"]) for job in found]
    assert texts == [("a cat purrs", ""), ("street, steps", "Good morning."), ("", "Thank you.")]
    assert [job.prompt["2"]["inputs"]["text"] for job in found] == ["A cat.", "A man\nspeaks, outside.", "A talk."]
    assert {job.prompt["3"]["inputs"]["text"] for job in found} == {""}
    assert [len(job.files) for job in found] == [1, 1, 1]
    assert found[0].prompt["1"]["inputs"]["image"].endswith(next(iter(found[0].files)))
    assert found[0].prompt["7"]["inputs"]["filename_prefix"] == "verse/cat"
    assert jobs(str(data), str(table)) == 0
    with pytest.raises(BadTable, match="column sound_content is missing, but the workflow wants a text of the sound"):
        read_jobs(table, Choice(WORKFLOWS, workflow=workflow), "verse", lambda note: None)
    table.write_text("data_id,prompt,speech_content,sound_content,ref_image_path,seconds\nx,A,,,set1/cat.jpg,2.5\n")
    (job,) = read_jobs(table, Choice(WORKFLOWS, workflow=workflow), "verse", lambda note: None)
    assert job.prompt["5"]["inputs"]["seconds"] == 2.5


def test_help_says_where_each_model_is_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    verse_command.add_verse_bench_arguments(parser)
    shown = parser.format_help()
    assert all(name in shown for probe in PROBES.values() for name in probe.names)
