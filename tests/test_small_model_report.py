"""The script that makes the figures of docs/small_model.md."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="matplotlib, which draws the report, is not installed")

from uniavgen_lab import small_model_report
from uniavgen_lab.small_model_report import Loss
from uniavgen_lab.training.training_config import Stage, TrainConfig

CONFIG = TrainConfig(
    output="",
    validation_data="",
    stages=[
        Stage(name=name, steps=100, tasks={}, data="", batch_size=1, learning_rate=1, final_learning_rate=1)
        for name in ("audio", "joint")
    ],
)
LOG = [
    {"step": 50, "kind": "train", "audio": 4.0, "audio/audio": 4.0, "loss": 4.0, "gradient_norm": 1.0},
    {"step": 100, "kind": "train", "audio": 9.0, "audio/audio": 9.0, "loss": 9.0, "gradient_norm": 1.0},
    {"step": 100, "kind": "validation", "audio/audio": 2.5},
    # Done again after a stop.
    {"step": 100, "kind": "train", "audio": 2.0, "audio/audio": 2.0, "loss": 2.0, "gradient_norm": 1.0},
    {"step": 150, "kind": "train", "audio": 1.0, "video": 3.0, "face_mask": 0.5, "loss": 4.5, "seconds_a_step": 1.0},
]
ROW = {"lip_sync": 1.0, "word_error_rate": 0.1, "timbre": None, "psnr": 30.123}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG), encoding="utf-8")
    return tmp_path


def test_a_log_is_thinned(run_folder: Path) -> None:
    losses = small_model_report.read_log(run_folder, CONFIG)
    assert sorted(losses, key=lambda loss: (loss.step, loss.kind, loss.loss)) == [
        Loss(100, "audio", "train", "audio", 3.0),
        Loss(100, "audio", "validation", "audio/audio", 2.5),
        Loss(200, "joint", "train", "audio", 1.0),
        Loss(200, "joint", "train", "face_mask", 0.5),
        Loss(200, "joint", "train", "video", 3.0),
    ]
    small_model_report.write_losses(run_folder / "log.csv", losses)
    assert small_model_report.read_losses(run_folder / "log.csv") == losses
    small_model_report.draw_losses(losses, run_folder / "loss.png")
    with Image.open(run_folder / "loss.png") as picture:
        assert picture.width > 2 * picture.height


def test_measures_as_a_table() -> None:
    lines = small_model_report.measures_table({"joint": ROW, "corpus": {**ROW, "psnr": None}}).splitlines()
    assert lines[0] == "|  | lip sync | word error | PSNR, dB |"
    assert lines[2:] == ["| real clips | 1.00 | 0.10 | – |", "| joint generation | 1.00 | 0.10 | 30.1 |"]


def test_the_page_is_filled(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader", reason="the corpus' synthesiser is not installed")
    monkeypatch.setattr(small_model_report, "Sampling", partial(small_model_report.Sampling, steps=1))
    monkeypatch.setattr(small_model_report, "KINDS", ("one",))
    page = run_folder / "page.md"
    page.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n", encoding="utf-8")
    printed = run_folder / "evaluation.json"
    printed.write_text("a table\n" + json.dumps({"corpus": ROW, "joint": ROW}), encoding="utf-8")
    given = ["--page", str(page), "--evaluation", str(printed), "--weights", str(run_folder / "none.safetensors")]
    monkeypatch.setattr("sys.argv", ["small_model_report", *given])
    for _ in range(2):
        small_model_report.main()
        text = page.read_text(encoding="utf-8")
        assert text.startswith("before\n<!-- figures -->\n") and text.endswith("<!-- end of figures -->\nafter\n")
        assert text.count("| real clips |") == text.count("contact_sheet.jpg") == text.count("random for now") == 1
        assert "old" not in text
    for name in ("contact_sheet.jpg", "spectrogram.png"):
        with Image.open(page.with_suffix("") / name) as picture:
            assert picture.width > 800
