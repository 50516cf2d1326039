"""What UniAVGen AV Mux gives survives ComfyUI's Save Video: run by its python in its folder, one JSON line a check.

python video_checks.py PACK FOLDER SOURCE …: PACK is the pack's folder, FOLDER an empty one for files, and each SOURCE a
video whose picture gets a new sound.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import traceback
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

PACK, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
SOURCES = [Path(source) for source in sys.argv[3:]]
sys.argv = ["main.py", "--cpu", "--base-directory", str(FOLDER)]
sys.path.insert(0, str(Path.cwd()))

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import av  # noqa: E402
import torch  # noqa: E402
from comfy_api.latest import InputImpl, Types  # noqa: E402

import nodes  # noqa: E402, F401

spec = importlib.util.spec_from_file_location("pack", PACK / "__init__.py", submodule_search_locations=[str(PACK)])
sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["pack"])

from pack.nodes.media import AVMux  # noqa: E402

RATE = 24_000
FORMATS = [item.value for item in Types.VideoContainer]
KEEPING = {"video": "video", "audio": "audio"}


def sound(seconds: float, channels: int = 1, rate: int = RATE, batch: int = 1) -> dict[str, Any]:
    wave = 0.4 * torch.sin(torch.arange(round(seconds * rate)) * 2 * math.pi * 440 / rate)
    return {"waveform": wave.expand(batch, channels, -1).clone(), "sample_rate": rate}


def frames(count: int, height: int = 48, width: int = 64, channels: int = 3) -> torch.Tensor:
    pictures = torch.linspace(0.2, 0.8, width).expand(count, height, width)[..., None].repeat(1, 1, 1, channels)
    for index, picture in enumerate(pictures):
        picture[:8, index : index + 8] = 1
    return pictures


def mux(video: Any, audio: dict[str, Any], length: str = "video") -> Any:
    settings = {"frame_rate": 16.0, "fade": 0.0, "loudness": {"loudness": "as it is"}}
    return AVMux.execute(video=video, audio=audio, length=length, **settings).result[0]


def saved(video: Any) -> Iterator[tuple[str, list[float], float]]:
    """Each format that Save Video offers, the seconds at which its file shows frames, and the length of its sound."""
    for format in FORMATS:
        path = FOLDER / f"saved_{format}.{Types.VideoContainer.get_extension(format)}"
        video.save_to(str(path), format=Types.VideoContainer(format), codec=Types.VideoCodec("auto"))
        with av.open(str(path)) as container:
            times = [frame.time for frame in container.decode(video=0)]
        with av.open(str(path)) as container:
            samples = [(frame.samples, frame.sample_rate, frame.time) for frame in container.decode(audio=0)]
        assert abs(samples[0][2]) < 0.003, f"{format}: the sound starts at {samples[0][2]}"
        yield format, times, sum(count for count, *_ in samples) / samples[0][1]


def check_saved(video: Any, count: int, seconds: float, step: float | None = None) -> None:
    for format, times, heard in saved(video):
        assert len(times) == count, f"{format}: {len(times)} frames of {count}"
        assert times == sorted(set(times)), f"{format}: {times}"
        assert abs(times[0]) < 0.002, f"{format}: the first frame is shown at {times[0]}"
        assert abs(heard - seconds) < 0.1, f"{format}: {heard} s of sound, not {seconds}"
        if step:
            worst = max(abs(time - index * step) for index, time in enumerate(times))
            assert worst < step, f"{format}: a frame is shown {worst} s beside its time"


def copied_or_encoded(source: Path) -> None:
    video = InputImpl.VideoFromFile(str(source))
    with av.open(str(source)) as container:
        count = sum(1 for _ in container.decode(video=0))
    check_saved(mux(video, sound(3)), count, count / 25, 1 / 25)


def trimmed(source: Path) -> None:
    video = InputImpl.VideoFromFile(str(source), start_time=0.4, duration=0.8)
    check_saved(mux(video, sound(3)), 20, 0.8, 1 / 25)


def held(source: Path) -> None:
    check_saved(mux(InputImpl.VideoFromFile(str(source)), sound(6), "audio"), 150, 6, 1 / 25)


def cut(source: Path) -> None:
    check_saved(mux(InputImpl.VideoFromFile(str(source)), sound(0.6), "audio"), 15, 0.6, 1 / 25)


def images() -> None:
    for given in (frames(17, channels=4), frames(17, 49, 65), frames(17, channels=1), frames(17).half()):
        video = mux(given, sound(3))
        check_saved(video, 17, 17 / 16, 1 / 16)
        assert video.get_dimensions() == (64, 48)


def one_image() -> None:
    check_saved(mux(frames(1), sound(0.05)), 1, 1 / 16)
    check_saved(mux(frames(1), sound(3), "audio"), 48, 3, 1 / 16)


def long_still() -> None:
    video = mux(frames(2), sound(100), "audio")
    check_saved(video, 1600, 100, 1 / 16)


def batch() -> None:
    check_saved(mux(frames(34), sound(1, batch=2)), 34, 34 / 16, 1 / 16)


def sounds() -> None:
    for channels in (1, 2, 3, 4, 5, 6, 7, 8, 16):
        check_saved(mux(frames(8), sound(1, channels)), 8, 0.5)
    for rate in (8000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000, 40_000):
        check_saved(mux(frames(8), sound(1, 2, rate)), 8, 0.5)
    loud = sound(1)
    loud["waveform"] *= 5
    check_saved(mux(frames(8), loud), 8, 0.5)
    check_saved(mux(frames(8), sound(0)), 8, 0.5)


def parts(bit_depth: int = 8) -> Any:
    components = Types.VideoComponents(images=frames(20, 49, 65), audio=sound(2), frame_rate=Fraction(30_000, 1001))
    return InputImpl.VideoFromComponents(components, bit_depth)


def components() -> None:
    for bit_depth in (8, 10):
        video = mux(parts(bit_depth), sound(2))
        assert video.get_bit_depth() == bit_depth
        check_saved(video, 20, 20 * 1001 / 30_000, 1001 / 30_000)


def trimmed_components() -> None:
    components = Types.VideoComponents(images=frames(20), audio=sound(2), frame_rate=Fraction(20))
    video = InputImpl.VideoFromComponents(components).as_trimmed(0.25, 0.5)
    check_saved(mux(video, sound(2)), 10, 0.5, 1 / 20)


def refused() -> None:
    cases: list[tuple[Callable[[], Any], list[str]]] = [
        (lambda: mux(frames(4), sound(0), "audio"), ["audio is empty"]),
        (lambda: mux(frames(4), sound(1, batch=2), "audio"), ["2 sounds"]),
        (lambda: mux(parts(), sound(1, batch=2)), ["2 sounds", "VIDEO"]),
        (lambda: mux(frames(4, 1, 64), sound(1)), ["64 × 1", "too small"]),
        (lambda: mux(frames(4, channels=7), sound(1)), ["7 channels"]),
        (lambda: mux(frames(4), {"waveform": torch.full((1, 1, 100), math.nan), "sample_rate": RATE}), ["NaN"]),
        (lambda: mux(frames(4), {"waveform": torch.zeros(1, 0, 100), "sample_rate": RATE}), ["no sound"]),
        (lambda: mux(frames(2), {"waveform": torch.zeros(1, 1, 50_000), "sample_rate": 1}, "audio"), ["hours", "12"]),
        (lambda: mux(InputImpl.VideoFromFile(str(Path(__file__))), sound(1)), ["damaged or not"]),
        (lambda: mux(InputImpl.VideoFromFile(str(SOURCES[0]), start_time=50), sound(1)), ["second 50"]),
    ]
    for call, words in cases:
        try:
            call()
        except ValueError as error:
            missing = [word for word in words if word not in str(error)]
            assert not missing, f"{error} does not say {missing}"
        else:
            raise AssertionError(f"nothing was refused where {words} should be said")


def main() -> None:
    torch.set_num_threads(1)
    checks: dict[str, Callable[[], None]] = {
        f"copied_or_encoded {source.name}": lambda source=source: copied_or_encoded(source) for source in SOURCES
    }
    for check in (trimmed, held, cut):
        checks[check.__name__] = lambda check=check: check(SOURCES[0])
    for whole in (images, one_image, long_still, batch, sounds, components, trimmed_components, refused):
        checks[whole.__name__] = whole
    for name, function in checks.items():
        result: dict[str, Any] = {"check": name, "ok": True}
        try:
            function()
        except Exception:
            result |= {"ok": False, "error": traceback.format_exc()}
        print("CHECK " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
