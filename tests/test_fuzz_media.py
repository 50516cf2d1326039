"""Media files that are damaged: read as far as they can be, or refused by name."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from fuzzing import damaged, fuzzed, nothing_left, refused_in_words
from hypothesis import given
from hypothesis import strategies as st
from odd_files import tone, write_pictures
from PIL import Image

from uniavgen_core.media.container import Source
from uniavgen_core.media.images import read_image
from uniavgen_core.media.muxing import replace_audio
from uniavgen_core.media.track import open_track
from uniavgen_core.media.video import VideoFile

pytestmark = pytest.mark.fuzz
MOST_FRAMES = 40
"""That are read of a film: a damaged one may say that it lasts for years."""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small films and sounds, whole."""
    folder = tmp_path_factory.mktemp("films")
    made = {}
    for name, codec in {
        "film.mp4": "libx264",
        "film.mkv": "libx264",
        "film.avi": "mpeg4",
        "film.webm": "libvpx",
    }.items():
        sound = tone(0.4) if name != "film.webm" and name != "film.avi" else None
        made[name] = write_pictures(folder / name, range(10), codec=codec, sound=sound).read_bytes()
    with io.BytesIO() as file:
        with wave.open(file, "wb") as sound_file:
            sound_file.setparams((1, 2, 24_000, 0, "NONE", ""))
            sound_file.writeframes((tone(0.2)[0] * 32767).astype("<i2").tobytes())
        made["sound.wav"] = file.getvalue()
    return made


@pytest.fixture(scope="module")
def images() -> dict[str, bytes]:
    """Small images, whole."""
    made = {}
    for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
        with io.BytesIO() as file:
            Image.radial_gradient("L").resize((32, 24)).convert("RGB").save(file, form)
            made[f"image.{form.lower()}"] = file.getvalue()
    return made


def read_film(source: Source) -> None:
    video = VideoFile(source)
    assert video.frames >= 1
    for image in islice(video.images(32, 32), MOST_FRAMES):
        assert image.shape[-1] == 3
        assert image.isfinite().all()


def read_sound(source: Source) -> None:
    with open_track(source) as track:
        if track is not None:
            for piece in islice(track.pieces, MOST_FRAMES):
                assert piece.isfinite().all()


def chosen(data: st.DataObject, whole: dict[str, bytes], folder: Path) -> Path:
    name = data.draw(st.sampled_from(sorted(whole)))
    path = folder / f"damaged_{name}"
    path.write_bytes(data.draw(damaged(whole[name])))
    return path


@fuzzed
@given(st.data())
@pytest.mark.parametrize("read", [read_film, read_sound])
def test_films(
    tmp_path_factory: pytest.TempPathFactory,
    films: dict[str, bytes],
    read: Callable[[Source], None],
    data: st.DataObject,
) -> None:
    path = chosen(data, films, tmp_path_factory.getbasetemp())
    with nothing_left(path.parent), refused_in_words(path.name):
        read(path)


@fuzzed
@given(st.data())
def test_a_new_sound_for_a_film(
    tmp_path_factory: pytest.TempPathFactory, films: dict[str, bytes], data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "new_sound"
    folder.mkdir(exist_ok=True)
    path = chosen(data, {"film.mp4": films["film.mp4"]}, folder)
    target = folder / "made.mp4"
    target.unlink(missing_ok=True)
    with refused_in_words(path.name):
        replace_audio(path, target, torch.zeros(1, 2400), 24_000)
        assert target.is_file()
    assert {file.name for file in folder.iterdir()} <= {path.name, target.name}


@fuzzed
@given(st.data())
def test_images(tmp_path_factory: pytest.TempPathFactory, images: dict[str, bytes], data: st.DataObject) -> None:
    path = chosen(data, images, tmp_path_factory.getbasetemp())
    with nothing_left(path.parent), refused_in_words(path.name):
        image = read_image(path)
        assert image.shape[-1] == 3
        assert image.isfinite().all()
