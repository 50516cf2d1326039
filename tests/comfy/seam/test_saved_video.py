"""What UniAVGen AV Mux gives survives ComfyUI's Save Video, in each of its formats.

The environment's VIDEO_SOURCES is a folder of videos of 25 frames a second, whose picture gets a new sound.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from clips import refused
from comfy_api.latest import InputImpl, Types
from pack.nodes.media import AVMux

RATE = 24_000
SOURCES = sorted(Path(os.environ["VIDEO_SOURCES"]).iterdir())
FORMATS = pytest.mark.parametrize("format", [item.value for item in Types.VideoContainer])


def sound(seconds: float, channels: int = 1, rate: int = RATE, batch: int = 1) -> dict[str, Any]:
    wave = 0.4 * torch.sin(torch.arange(round(seconds * rate)) * 2 * math.pi * 440 / rate)
    return {"waveform": wave.expand(batch, channels, -1).clone(), "sample_rate": rate}


def loud_sound() -> dict[str, Any]:
    return {"waveform": 5 * sound(1)["waveform"], "sample_rate": RATE}


def frames(count: int, height: int = 48, width: int = 64, channels: int = 3) -> torch.Tensor:
    """An IMAGE of a ramp with a white square that moves."""
    pictures = torch.linspace(0.2, 0.8, width).expand(count, height, width)[..., None].repeat(1, 1, 1, channels)
    for index, picture in enumerate(pictures):
        picture[:8, index : index + 8] = 1
    return pictures


def file(source: Path, **trim: float) -> Any:
    return InputImpl.VideoFromFile(str(source), **trim)


def components(bit_depth: int = 8) -> Any:
    """A VIDEO of frames and sound that no file holds."""
    held = Types.VideoComponents(images=frames(20, 49, 65), audio=sound(2), frame_rate=Fraction(30_000, 1001))
    return InputImpl.VideoFromComponents(held, bit_depth)


def mux(video: Any, audio: dict[str, Any], length: str = "video") -> Any:
    settings = {"frame_rate": 16.0, "fade": 0.0, "loudness": {"loudness": "as it is"}}
    return AVMux.execute(video=video, audio=audio, length=length, **settings).result[0]


@pytest.fixture
def check_saved(tmp_path: Path, format: str) -> Callable[..., None]:
    """Saves a VIDEO as Save Video does and looks at its frames, their times and the length of its sound."""

    def check(video: Any, count: int, seconds: float, step: float | None = None) -> None:
        path = tmp_path / f"saved.{Types.VideoContainer.get_extension(format)}"
        video.save_to(str(path), format=Types.VideoContainer(format), codec=Types.VideoCodec("auto"))
        with av.open(str(path)) as container:
            times = [frame.time for frame in container.decode(video=0)]
        with av.open(str(path)) as container:
            samples = [(frame.samples, frame.sample_rate, frame.time) for frame in container.decode(audio=0)]
        assert abs(samples[0][2]) < 0.003, "the sound starts late"
        assert sum(count for count, *_ in samples) / samples[0][1] == pytest.approx(seconds, abs=0.1)
        assert len(times) == count
        assert times == sorted(set(times))
        assert abs(times[0]) < 0.002, "the first frame is shown late"
        if step:
            assert max(abs(time - index * step) for index, time in enumerate(times)) < step

    return check


@FORMATS
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_file_copied_or_encoded(check_saved: Callable[..., None], source: Path) -> None:
    with av.open(str(source)) as container:
        count = sum(1 for _ in container.decode(video=0))
    check_saved(mux(file(source), sound(3)), count, count / 25, 1 / 25)


@FORMATS
def test_a_trimmed_file(check_saved: Callable[..., None]) -> None:
    check_saved(mux(file(SOURCES[0], start_time=0.4, duration=0.8), sound(3)), 20, 0.8, 1 / 25)


@FORMATS
def test_a_file_held_for_its_sound(check_saved: Callable[..., None]) -> None:
    check_saved(mux(file(SOURCES[0]), sound(6), "audio"), 150, 6, 1 / 25)


@FORMATS
def test_a_file_cut_for_its_sound(check_saved: Callable[..., None]) -> None:
    check_saved(mux(file(SOURCES[0]), sound(0.6), "audio"), 15, 0.6, 1 / 25)


@FORMATS
@pytest.mark.parametrize(
    "images",
    [frames(17, channels=4), frames(17, 49, 65), frames(17, channels=1), frames(17).half()],
    ids=["RGBA", "odd size", "grey", "half precision"],
)
def test_images(check_saved: Callable[..., None], images: torch.Tensor) -> None:
    video = mux(images, sound(3))
    check_saved(video, 17, 17 / 16, 1 / 16)
    assert video.get_dimensions() == (64, 48)


@FORMATS
@pytest.mark.parametrize(
    ("images", "audio", "length", "count", "seconds", "step"),
    [
        (1, sound(0.05), "video", 1, 1 / 16, None),
        (1, sound(3), "audio", 48, 3, 1 / 16),
        (2, sound(100), "audio", 1600, 100, 1 / 16),
        (34, sound(1, batch=2), "video", 34, 34 / 16, None),
    ],
    ids=["one image", "one held", "a long still", "a batch of sounds"],
)
def test_lengths(
    check_saved: Callable[..., None],
    images: int,
    audio: dict,
    length: str,
    count: int,
    seconds: float,
    step: float | None,
) -> None:
    check_saved(mux(frames(images), audio, length), count, seconds, step)


@FORMATS
@pytest.mark.parametrize(
    "audio",
    [
        *(sound(1, channels) for channels in (1, 2, 3, 4, 5, 6, 7, 8, 16)),
        *(sound(1, 2, rate) for rate in (8000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000, 40_000)),
        loud_sound(),
        sound(0),
    ],
    ids=lambda audio: f"{audio['waveform'].shape[1]}x{audio['sample_rate']}",
)
def test_sounds(check_saved: Callable[..., None], audio: dict) -> None:
    check_saved(mux(frames(8), audio), 8, 0.5)


@FORMATS
@pytest.mark.parametrize("bit_depth", [8, 10])
def test_components(check_saved: Callable[..., None], bit_depth: int) -> None:
    video = mux(components(bit_depth), sound(2))
    assert video.get_bit_depth() == bit_depth
    check_saved(video, 20, 20 * 1001 / 30_000, 1001 / 30_000)


@FORMATS
def test_trimmed_components(check_saved: Callable[..., None]) -> None:
    held = Types.VideoComponents(images=frames(20), audio=sound(2), frame_rate=Fraction(20))
    check_saved(mux(InputImpl.VideoFromComponents(held).as_trimmed(0.25, 0.5), sound(2)), 10, 0.5, 1 / 20)


def waveform(values: torch.Tensor, rate: int = RATE) -> dict[str, Any]:
    return {"waveform": values, "sample_rate": rate}


@pytest.mark.parametrize(
    ("video", "audio", "length", "parts"),
    [
        (frames(4), sound(0), "audio", ["audio is empty"]),
        (frames(4), sound(1, batch=2), "audio", ["2 sounds"]),
        (components(), sound(1, batch=2), "video", ["2 sounds", "VIDEO"]),
        (frames(4, 1, 64), sound(1), "video", ["64 × 1", "too small"]),
        (frames(4, channels=7), sound(1), "video", ["7 channels"]),
        (frames(4), waveform(torch.full((1, 1, 100), math.nan)), "video", ["NaN"]),
        (frames(4), waveform(torch.zeros(1, 0, 100)), "video", ["no sound"]),
        (frames(2), waveform(torch.zeros(1, 1, 50_000), 1), "audio", ["hours", "12"]),
        (file(Path(__file__)), sound(1), "video", ["damaged or not"]),
        (file(SOURCES[0], start_time=50), sound(1), "video", ["second 50"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_refused(video: Any, audio: dict, length: str, parts: list[str]) -> None:
    with refused(*parts):
        mux(video, audio, length)
