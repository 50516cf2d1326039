"""The demo: a clip of the small model without ComfyUI, its picture, and its measures."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from PIL import Image

from uniavgen_core.config import clip_seconds
from uniavgen_lab import demo
from uniavgen_lab.video_files import stream_summary
from uniavgen_lab.world.sentences import LATENT_FRAMES, WORDS


def options(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    demo.add_demo_arguments(parser)
    return parser.parse_args(given)


def test_a_clip_its_picture_and_its_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "made" / "clip.mp4"
    asked = options("--kind=child", "--mood=sad", "--speech=One red bird.", "--steps=1", f"--output={clip}")
    assert demo.run_demo(asked) == 0
    made = stream_summary(clip)
    assert (made.width, made.height, made.frames, made.sample_rate) == (128, 128, 29, 24_000)
    assert made.video_seconds == pytest.approx(made.audio_seconds, abs=0.01)
    with Image.open(clip.with_suffix(".png")) as picture:
        assert picture.width == 8 * 128 and picture.height > 128 + 80
    printed = capsys.readouterr().out
    assert "child" in printed and "sad" in printed and "One red bird." in printed
    for measure in ("lip sync", "voice of the kind shown", "voice in the mood asked", "likeness to the portrait"):
        assert measure in printed
    assert "heard" in printed or "pip install" in printed
    assert "corpus clips" in printed


def test_other_words_are_refused_with_the_list() -> None:
    with pytest.raises(ValueError, match="'zebras'") as refused:
        demo.run_demo(options("--speech", "Three zebras."))
    assert all(word in str(refused.value) for word in WORDS)


def test_words_are_written_as_the_corpus_has_them() -> None:
    assert demo.make_scene(options("--speech=good evening one RED bird!")).speech == "Good evening, one red bird."
    with pytest.raises(ValueError, match="cannot say 7 words: say 2 to 6 of its words"):
        demo.make_scene(options("--speech", "Hello, I see one red bird, please."))


def test_a_picture_of_ones_own(tmp_path: Path) -> None:
    Image.new("RGBA", (300, 200), (200, 150, 120, 255)).save(tmp_path / "portrait.png")
    portrait = f"--portrait={tmp_path / 'portrait.png'}"
    scene = demo.make_scene(options(portrait, "--caption=A sad man talks."))
    assert scene.portrait.shape == (1, 128, 128, 3)
    assert scene.kind is None and scene.mood is None
    assert "angry man" in demo.make_scene(options(portrait, "--kind=man", "--mood=angry", "--seed=2")).caption
    with pytest.raises(ValueError, match="--kind"):
        demo.make_scene(options(portrait))


def test_clips_are_as_long_as_those_of_the_corpus() -> None:
    assert demo.clip_length("Hi, fish.") == clip_seconds(LATENT_FRAMES[0])
    assert demo.clip_length("Good morning, seven yellow horses and eight orange ducks.") == clip_seconds(12)
    assert demo.clip_length("Two red cats and nine fish.") == clip_seconds(11)
