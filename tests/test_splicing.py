"""Videos of which some frames are replaced, and two with frames between them: what is copied, and that it plays."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy
import pytest
import torch
from torch import Tensor

from uniavgen_core.media.copying import plan_copy
from uniavgen_core.media.h264 import AvcHeader
from uniavgen_core.media.muxing import join_bridge, replace_frames
from uniavgen_core.media.splicing import find_stretch

WIDTH, HEIGHT, RATE, COUNT = 96, 64, 25, 60
SECONDS = Fraction(1), Fraction(3, 2)
RED = torch.tensor([1.0, 0.0, 0.0])
SILENCE = torch.zeros(1, 24_000)


def write(path: Path, codec: str = "libx264", shift: int = 0, **options: str) -> Path:
    """A square that moves over a slope of colour."""
    with av.open(path, "w") as output:
        stream = output.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.options = WIDTH, HEIGHT, "yuv420p", options
        for index in range(COUNT):
            pixels = numpy.zeros((HEIGHT, WIDTH, 3), numpy.uint8)
            pixels[..., 1] = numpy.linspace(20, 200, WIDTH)
            pixels[20:40, (index + shift) % 70 : (index + shift) % 70 + 20] = 255
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        output.mux(stream.encode())
    return path


def read(path: Path) -> tuple[list[Fraction], numpy.ndarray]:
    """When each frame is shown from the first on, and frames (F, H, W, 3) of bytes."""
    with av.open(path) as container:
        frames = [(f.pts * f.time_base, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    return [time - frames[0][0] for time, _ in frames], numpy.stack([pixels for _, pixels in frames])


def packets(path: Path) -> list[bytes]:
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def in_range(second: Fraction) -> bool:
    return SECONDS[0] <= second < SECONDS[1]


def replace_in_range(source: Path, target: Path) -> bool:
    """Redden what is shown in the range; whether packets were copied."""
    plan = plan_copy(source)
    stretch = find_stretch(source, plan, SECONDS)
    spliced = None if isinstance(stretch, str) else stretch
    replace_frames(
        source, target, iter([SILENCE]), 24_000, plan, spliced,
        lambda second, shown: shown() * 0.5 + RED * 0.5 if in_range(second) else None,
    )  # fmt: skip
    return spliced is not None


@pytest.mark.parametrize(
    ("options", "copied"),
    [({"g": "10", "bf": "3"}, 45), ({"g": "250", "bf": "2"}, 20), ({"g": "12", "bf": "0", "profile": "baseline"}, 37)],
    ids=["short groups", "one group", "baseline"],
)
def test_packets_outside_are_copied(tmp_path: Path, options: dict[str, str], copied: int) -> None:
    source, target = write(tmp_path / "source.mp4", **options), tmp_path / "target.mp4"
    assert replace_in_range(source, target)
    before, after = packets(source), packets(target)
    same = [one == other for one, other in zip(before, after, strict=True)]
    assert sum(same) >= copied
    (times, old), (new_times, new) = read(source), read(target)
    assert new_times == times
    changed = numpy.abs(new.astype(int) - old).mean(axis=(1, 2, 3))
    inside = numpy.array([in_range(time + Fraction(1, 2 * RATE)) for time in times])
    assert (changed[inside] > 30).all()
    # Those that are encoded anew beside the range are hardly changed; most are not at all.
    assert changed[~inside].max() < 3
    assert (changed == 0).sum() >= copied - 4


def test_a_cut_without_frames_that_wait_for_others_is_found_before_the_range(tmp_path: Path) -> None:
    source = write(tmp_path / "source.mp4", g="250", bf="3")
    stretch = find_stretch(source, plan_copy(source), SECONDS)
    assert not isinstance(stretch, str)
    assert RATE - 5 <= stretch.first <= RATE
    assert stretch.end == COUNT


def test_another_codec_is_encoded_anew(tmp_path: Path) -> None:
    source, target = write(tmp_path / "source.mp4", codec="libvpx-vp9"), tmp_path / "target.mp4"
    assert not replace_in_range(source, target)
    times, frames = read(target)
    assert len(frames) == COUNT
    inside = [in_range(time + Fraction(1, 2 * RATE)) for time in times]
    red = frames[..., 0].astype(int).mean(axis=(1, 2)) - frames[..., 1].mean(axis=(1, 2))
    assert red[inside].min() > red[numpy.logical_not(inside)].max()


@pytest.mark.parametrize("alike", [True, False])
def test_a_bridge_copies_both_clips_where_it_can(tmp_path: Path, alike: bool) -> None:
    first = write(tmp_path / "first.mp4", g="12")
    last = write(tmp_path / "last.mp4", shift=30, g="12", **({} if alike else {"profile": "baseline"}))
    between: list[Tensor] = [RED.expand(HEIGHT, WIDTH, 3)] * 8
    target = tmp_path / "target.mp4"
    plans = [plan_copy(first), plan_copy(last)]
    told = join_bridge([first, last], plans, target, between, iter([SILENCE]), 24_000)
    assert [line.split(":")[0] for line in told] == ([] if alike else ["next_video"])
    own, made = packets(first), packets(target)
    assert made[:COUNT] == own
    assert (made[-COUNT:] == packets(last)) == alike
    times, frames = read(target)
    assert len(frames) == 2 * COUNT + 8
    assert times[COUNT] == Fraction(COUNT, RATE)
    assert times[COUNT + 8] == Fraction(COUNT, RATE) + Fraction(1, 2)
    assert numpy.array_equal(frames[:COUNT], read(first)[1])
    change = numpy.abs(frames[COUNT + 8 :].astype(int) - read(last)[1]).mean()
    assert change == 0 if alike else change < 3
    assert (frames[COUNT : COUNT + 8].mean(axis=(1, 2)) - [255, 0, 0]).max() < 6


def test_headers_are_read_and_written(tmp_path: Path) -> None:
    with av.open(write(tmp_path / "source.mp4")) as container:
        data = bytes(container.streams.video[0].codec_context.extradata)
    header = AvcHeader.read(data)
    assert header is not None
    assert header.to_bytes() == data
    assert header.free_id() == 1
    assert AvcHeader.read(data[:9]) is None
    assert AvcHeader.read(b"\0\0\0\1") is None
