"""Videos that are written: whatever they are made from, they play, whole and in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from uniavgen_core.media import copying, reading, writing

RATE = 24_000
FRAMES = 40
FIRST_BRIGHTNESS, BRIGHTER = 20, 4
"""The brightness of a source's first frame, and by how much each next one is brighter: it tells a frame's number."""
REORDERED = {"bf": "2", "b_strategy": "0"}
FAST_VPX = {"deadline": "realtime"}
QUIET = {"x265-params": "log-level=none"}
EVENLY = tuple(range(FRAMES))
AS_TELEPHONES_DO = (*range(20), *range(20, 60, 2))
"""Half of the frames are missing in the second half."""


A_FRAME = 1.01 / 25


@dataclass(frozen=True)
class Case:
    """A file that somebody brings."""

    codec: str
    name: str
    is_copied: bool
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    container: str | None = None
    ticks: Sequence[int] = EVENLY
    size: tuple[int, int] = (64, 48)
    start: int = 0

    def __str__(self) -> str:
        parts = [self.codec, self.name, self.pixels, "x".join(map(str, self.size))]
        parts += ["reordered"] * bool(self.options.get("bf")) + ["uneven"] * (self.ticks != EVENLY)
        return "-".join([*parts, f"from-{self.start}"] if self.start else parts)


H264 = [
    Case("libx264", name, is_copied, options=options, container=container, start=start)
    for name, container in [
        ("clip.ts", "mpegts"), ("clip.mts", "mpegts"), ("clip.flv", "flv"), ("clip.avi", "avi"), ("clip.mkv", None),
        ("clip.mov", None), ("clip.mp4", None), ("clip.m4v", "mp4"), ("clip.3gp", None), ("clip.mpg", "mpeg"),
    ]
    for options, is_copied, start in [
        ({"bf": "0"}, name != "clip.mpg", 0),
        (REORDERED, name not in {"clip.avi", "clip.mpg"}, 0 if name == "clip.avi" else 30),
    ]
]  # fmt: skip
CASES = [
    *H264,
    Case("libx265", "clip.mkv", True, options=QUIET),
    Case("libx265", "clip.ts", True, options=QUIET, container="mpegts"),
    Case("libx265", "clip.mp4", True, "yuv420p10le", QUIET),
    Case("libsvtav1", "clip.webm", True, options={"preset": "12"}),
    Case("libvpx-vp9", "clip.webm", True, options=FAST_VPX),
    Case("libvpx-vp9", "clip.webm", True, options=FAST_VPX, ticks=AS_TELEPHONES_DO),
    Case("libx264", "clip.mp4", True, options=REORDERED, ticks=AS_TELEPHONES_DO),
    Case("libx264", "clip.mkv", True, options=REORDERED, ticks=AS_TELEPHONES_DO, start=30),
    Case("libx264", "clip.ts", True, options=REORDERED, container="mpegts", ticks=AS_TELEPHONES_DO),
    Case("libx264", "clip.mp4", False, "yuv420p10le", REORDERED),
    Case("libx264", "clip.mp4", False, "yuv444p"),
    Case("libvpx-vp9", "clip.webm", False, options=FAST_VPX, size=(65, 49)),
    Case("libvpx", "clip.webm", False, options=FAST_VPX),
    Case("libvpx", "clip.webm", False, options=FAST_VPX, ticks=AS_TELEPHONES_DO, size=(65, 49)),
    Case("mpeg1video", "clip.mpg", False, options={"bf": "2"}, container="mpeg"),
    Case("mpeg2video", "clip.vob", False, options={"bf": "2"}, container="vob"),
    Case("mpeg2video", "clip.ts", False, options={"bf": "2"}, container="mpegts", start=30),
    Case("mpeg4", "clip.avi", False, options={"bf": "2"}),
    Case("mpeg4", "clip.mp4", False),
    Case("mjpeg", "clip.avi", False, "yuvj420p"),
    Case("mjpeg", "clip.mkv", False, "yuvj422p", ticks=AS_TELEPHONES_DO, size=(65, 49)),
    Case("wmv2", "clip.wmv", False),
    Case("prores_ks", "clip.mov", False, "yuv422p10le"),
    Case("huffyuv", "clip.avi", False, "yuv422p"),
    Case("ffv1", "clip.mkv", False, "gray"),
    Case("ffv1", "clip.mkv", False, "bgr0", size=(65, 49)),
    Case("qtrle", "clip.mov", False, "argb"),
    Case("png", "clip.mov", False, "rgba", size=(1, 49) if False else (3, 49)),
]


def write_source(path: Path, case: Case, sound: bool = False) -> Path:
    """A file of the case's frames, each of one brightness, at these twenty-fifths of a second, and maybe a sound."""
    width, height = case.size
    with av.open(str(path), "w", format=case.container) as output:
        stream = output.add_stream(case.codec, rate=25, options=case.options)
        stream.width, stream.height, stream.pix_fmt = width, height, case.pixels
        stream.codec_context.time_base = Fraction(1, 25)
        for number, tick in enumerate(case.ticks):
            value = FIRST_BRIGHTNESS + BRIGHTER * number
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), value, np.uint8)).reformat(
                format=case.pixels, dst_color_range="JPEG" if case.pixels.startswith("yuvj") else "MPEG"
            )
            frame.pts, frame.time_base = case.start + tick, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def clicks(seconds: float, sample_rate: int, channels: int = 1) -> Tensor:
    """Short bursts, at times that repeat nowhere, so that correlation has one peak."""
    samples = torch.zeros(channels, round(seconds * sample_rate))
    length = sample_rate // 600
    for start in (0.11, 0.4, 0.83, 1.07, 1.71):
        first = round(start * sample_rate)
        if first + length < samples.shape[1]:
            samples[:, first : first + length] = 0.7 * torch.hann_window(length)
    return samples


def lag_seconds(heard: Tensor, given: Tensor, sample_rate: int) -> float:
    """By how much the first channel of one waveform is later than that of another."""
    size = 2 * max(heard.shape[-1], given.shape[-1])
    spectrum = torch.fft.rfft(heard[0], size) * torch.fft.rfft(given[0], size).conj()
    lag = int(torch.fft.irfft(spectrum, size).argmax())
    return (lag if lag < size // 2 else lag - size) / sample_rate


def shown(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """The frames of a file, in bytes, and the seconds at which they are shown."""
    with av.open(str(path)) as container:
        frames = [(frame.to_ndarray(format="rgb24"), frame.time) for frame in container.decode(video=0)]
    return [pixels for pixels, _ in frames], [time for _, time in frames]


def check_plays(path: Path, seconds: float) -> None:
    """What every player wants of a file: MP4 that starts with its index, picture and AAC from 0 on, of one length."""
    boxes = [path.read_bytes().find(kind) for kind in (b"ftyp", b"moov", b"mdat")]
    assert 0 < boxes[0] < boxes[1] < boxes[2]
    with av.open(str(path)) as container:
        assert "mp4" in container.format.name
        (picture,), (sound,) = container.streams.video, container.streams.audio
        assert picture.codec_context.codec.canonical_name in {"h264", "hevc", "vp9", "av1"}
        assert picture.codec_context.pix_fmt in {"yuv420p", "yuvj420p", "yuv420p10le"}
        assert picture.width % 2 == picture.height % 2 == 0
        assert sound.codec_context.name == "aac"
        assert picture.start_time == sound.start_time == 0
        assert float(picture.duration * picture.time_base) == pytest.approx(seconds, abs=A_FRAME)
        assert float(sound.duration * sound.time_base) == pytest.approx(seconds, abs=A_FRAME)
        packets = [packet for packet in container.demux(picture) if packet.size]
    decoding = [packet.dts for packet in packets]
    assert None not in decoding, "ComfyUI's Save Video drops such packets"
    assert decoding == sorted({*decoding})
    assert all(packet.pts >= packet.dts for packet in packets)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_new_sound_for_what_people_bring(tmp_path: Path, case: Case) -> None:
    source, target = write_source(tmp_path / case.name, case), tmp_path / "new.mp4"
    plan = copying.plan_picture(source)
    assert (plan.why_encoded is None) == case.is_copied, plan.why_encoded
    seconds = (case.ticks[-1] + 1) / 25
    assert float(plan.seconds) == pytest.approx(seconds, abs=A_FRAME)
    assert plan.count == FRAMES
    sound = clicks(float(plan.seconds), RATE)
    writing.replace_audio(source, target, sound, RATE, plan)
    check_plays(target, seconds)
    (before, _), (after, times) = shown(source), shown(target)
    width, height = (side - side % 2 for side in case.size)
    assert [frame.shape for frame in after] == FRAMES * [(height, width, 3)]
    for given, made in zip(before, after, strict=True):
        distance = np.abs(given[:height, :width].astype(int) - made)
        assert distance.mean() < (0.01 if case.is_copied else 2.5)
    assert times == pytest.approx([tick / 25 for tick in case.ticks], abs=2e-3)
    heard, rate = reading.read_audio(target)
    assert rate == RATE and abs(lag_seconds(heard[0], sound, RATE)) < 1e-3
