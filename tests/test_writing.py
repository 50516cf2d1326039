"""Videos that are written: whatever they are made from, they play, whole and in time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.codeccontext import VideoCodecContext
from odd_files import copied, garbled, numbers, tone, write_pictures
from torch import Tensor

from uniavgen_core.media import copying, encoding, muxing
from uniavgen_core.media.video import VideoFile
from uniavgen_lab import video_files as reading

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
    Case("png", "clip.mov", False, "rgba", size=(33, 48)),
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
    plan = copying.plan_copy(source)
    assert (plan.why_encoded is None) == case.is_copied, plan.why_encoded
    seconds = (case.ticks[-1] + 1) / 25
    assert float(plan.seconds) == pytest.approx(seconds, abs=A_FRAME)
    assert plan.count == FRAMES
    if plan.why_encoded != "times of frames are missing":
        assert abs(float(plan.seconds) - float(VideoFile(source).seconds)) < A_FRAME
    sound = clicks(float(plan.seconds), RATE)
    muxing.replace_audio(source, target, sound, RATE, plan)
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


@pytest.mark.parametrize("count", [7, 18])
def test_glued_files_are_shown_one_after_the_other(tmp_path: Path, count: int) -> None:
    seconds = count / 25
    case = Case("libx264", "part.ts", False, options=REORDERED, container="mpegts", ticks=range(count), start=30)
    part, glued = write_source(tmp_path / case.name, case).read_bytes(), tmp_path / "glued.ts"
    glued.write_bytes(3 * part)
    plan = copying.plan_copy(glued)
    assert plan.why_encoded == "its times start anew"
    assert float(plan.seconds) == pytest.approx(3 * seconds, abs=A_FRAME)
    muxing.replace_audio(glued, tmp_path / "new.mp4", clicks(3 * seconds, RATE), RATE)
    check_plays(tmp_path / "new.mp4", 3 * seconds)
    frames, times = shown(tmp_path / "new.mp4")
    assert times == pytest.approx([index / 25 for index in range(3 * count)], abs=2e-3)
    brightness = [frame.mean() for frame in frames]
    assert brightness == pytest.approx(3 * brightness[:count], abs=2)


def test_a_sound_that_appears_in_the_middle_is_no_trouble(tmp_path: Path) -> None:
    case = Case("libx264", "mute.ts", False, options=REORDERED, container="mpegts", ticks=range(10), start=30)
    mute = write_source(tmp_path / case.name, case)
    muxing.write_video(tmp_path / "heard.ts", torch.rand(10, 48, 64, 3), 25, clicks(0.4, RATE), RATE)
    glued = tmp_path / "glued.ts"
    glued.write_bytes(50 * mute.read_bytes() + (tmp_path / "heard.ts").read_bytes())
    plan = copying.plan_copy(glued)
    assert plan.count == 510
    muxing.replace_audio(glued, tmp_path / "new.mp4", clicks(2, RATE), RATE, plan)
    assert len(shown(tmp_path / "new.mp4")[0]) == 510


def test_a_recording_that_starts_in_the_middle_starts_with_its_first_whole_frame(tmp_path: Path) -> None:
    options = REORDERED | {"g": "10", "sc_threshold": "0"}
    whole = write_source(tmp_path / "whole.ts", Case("libx264", "whole.ts", True, options=options, container="mpegts"))
    with av.open(str(whole)) as container:
        third = [packet.pos for packet in container.demux(video=0) if packet.size][3]
    late = tmp_path / "late.ts"
    late.write_bytes(whole.read_bytes()[third:])
    readable, _ = shown(late)
    assert len(readable) < FRAMES
    plan = copying.plan_copy(late)
    assert plan.why_encoded and plan.count == len(readable)
    muxing.replace_audio(late, tmp_path / "new.mp4", clicks(1, RATE), RATE, plan)
    frames, times = shown(tmp_path / "new.mp4")
    assert len(frames) == len(readable) and times[0] == 0
    assert [frame.mean() for frame in frames] == pytest.approx([frame.mean() for frame in readable], abs=2)


def test_a_picture_that_changes_its_size_is_shown_in_one(tmp_path: Path) -> None:
    """As a download does whose quality followed the network."""
    parts = [
        write_source(tmp_path / f"{start}.ts", Case("libx264", "", True, container="mpegts", size=size, start=start))
        for size, start in (((64, 48), 30), ((96, 48), 30 + FRAMES), ((64, 48), 30 + 2 * FRAMES))
    ]
    source = tmp_path / "changing.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    plan = copying.plan_copy(source)
    assert plan.why_encoded == "its size changes"
    muxing.replace_audio(source, tmp_path / "new.mp4", clicks(float(plan.seconds), RATE), RATE, plan)
    check_plays(tmp_path / "new.mp4", 3 * FRAMES / 25)
    frames, times = shown(tmp_path / "new.mp4")
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    assert times == pytest.approx([index / 25 for index in range(3 * FRAMES)], abs=2e-3)


def test_a_wrong_time_is_not_waited_for(tmp_path: Path) -> None:
    case = Case("libx264", "jump.mkv", False, ticks=[0, 1, 2, 3, 4, 25 * 3600, 25 * 3600 + 1])
    source = write_source(tmp_path / case.name, case)
    plan = copying.plan_copy(source)
    assert plan.why_encoded and "leap" in plan.why_encoded
    assert float(plan.seconds) == pytest.approx(7 / 25, abs=A_FRAME)
    muxing.replace_audio(source, tmp_path / "new.mp4", clicks(7 / 25, RATE), RATE)
    assert shown(tmp_path / "new.mp4")[1] == pytest.approx([index / 25 for index in range(7)], abs=A_FRAME)


def with_tags(path: Path, codec: str, pixels: str, tags: tuple[int, int, int], aspect: Fraction) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 240, 192, pixels
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = tags
        context.sample_aspect_ratio = aspect
        for index in range(5):
            frame = av.VideoFrame(240, 192, pixels)
            for plane, value in zip(frame.planes, (90 + index, 110, 160), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.colorspace, frame.color_primaries, frame.color_trc = tags[2], tags[0], tags[1]
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def tagged(context: VideoCodecContext) -> tuple[int, int, int]:
    return context.color_primaries, context.color_trc, context.colorspace


@pytest.mark.parametrize(
    ("codec", "name"), [("libx264", "clip.mkv"), ("mpeg2video", "clip.mkv"), ("mpeg4", "clip.mp4")]
)
@pytest.mark.parametrize("tags", [(1, 1, 1), (5, 6, 5), (6, 6, 6)])
def test_pixel_aspect_and_colours_are_kept(tmp_path: Path, codec: str, name: str, tags: tuple[int, int, int]) -> None:
    source = with_tags(tmp_path / name, codec, "yuv420p", tags, Fraction(16, 11))
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        wanted = stream.sample_aspect_ratio, *tagged(stream.codec_context)
    assert wanted[0] != 1
    muxing.replace_audio(source, tmp_path / "new.mp4", clicks(0.2, RATE), RATE)
    with av.open(str(tmp_path / "new.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.sample_aspect_ratio, *tagged(stream.codec_context)) == wanted
        frame = next(container.decode(stream))
        rows = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    planes = [row[:, : plane.width].mean() for row, plane in zip(rows, frame.planes, strict=True)]
    assert planes == pytest.approx([90, 110, 160], abs=6), "the values are not converted"


def write_hdr(path: Path, codec: str, transfer: int) -> Path:
    """A ramp from black to white, in ten bits of BT.2020."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(
            codec, rate=25, options={"crf": "5", **QUIET} if codec == "libx265" else {"crf": "5"}
        )
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, transfer, 9
        luma = np.linspace(64, 940, 128).astype("<u2")
        for _ in range(5):
            frame = av.VideoFrame(128, 64, "yuv420p10le")
            for plane, row in zip(frame.planes, (luma, np.full(64, 500, "<u2"), np.full(64, 540, "<u2")), strict=True):
                rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
                rows[:, : plane.width] = row
                plane.update(rows.tobytes())
            frame.color_primaries, frame.color_trc, frame.colorspace = 9, transfer, 9
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def test_transparent_yuv_has_the_colours_that_its_tags_say(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "alpha.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        stream.codec_context.colorspace = 6
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 4), (200, 40, 40, 255), np.uint8), format="rgba")
        output.mux(stream.encode(frame.reformat(format="yuva420p", dst_colorspace="ITU601")) + stream.encode(None))
    muxing.replace_audio(tmp_path / "alpha.mkv", tmp_path / "new.mp4", clicks(0.04, RATE), RATE)
    assert reading.read_video(tmp_path / "new.mp4")[0].mean(dim=(0, 1, 2)).mul(255).tolist() == pytest.approx(
        [200, 40, 40], abs=3
    )


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_that_is_encoded_anew_looks_as_it_is_read(tmp_path: Path, transfer: int) -> None:
    source = write_hdr(tmp_path / "hdr.mp4", "libx264", transfer)
    muxing.replace_audio(source, tmp_path / "new.mp4", clicks(0.2, RATE), RATE)
    with av.open(str(tmp_path / "new.mp4")) as container:
        assert tagged(container.streams.video[0].codec_context) == (1, 13, 1)
    before, after = reading.read_video(source)[0], reading.read_video(tmp_path / "new.mp4")[0]
    assert before.shape == after.shape
    assert float((before - after).abs().mean()) < 2 / 255
    assert float(after[0, :, -8:].mean()) > 0.8 and float(after[0, :, :8].mean()) < 0.1


def test_hdr_that_is_copied_stays_hdr(tmp_path: Path) -> None:
    source = write_hdr(tmp_path / "hdr.mkv", "libx265", 18)
    muxing.replace_audio(source, tmp_path / "new.mp4", clicks(0.2, RATE), RATE)
    with av.open(str(tmp_path / "new.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, *tagged(context)) == ("hevc", "yuv420p10le", 9, 18, 9)
        assert context.codec_tag == "hvc1", "what QuickTime and Safari play"


def turned(path: Path, quarters: int) -> Path:
    """The MP4 file with a display matrix that turns it clockwise."""
    one = 1 << 16
    sine, cosine = [(0, one), (one, 0), (0, -one), (-one, 0)][quarters]
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    matrix = struct.pack(">9i", cosine, sine, 0, -sine, cosine, 0, 0, 0, 1 << 30)
    header, track, rest = path.read_bytes().partition(b"tkhd")
    path.write_bytes(header + track + rest.replace(upright, matrix, 1))
    return path


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_turned_pictures_stay_upright(tmp_path: Path, codec: str, quarters: int) -> None:
    picture = torch.zeros(32, 64, 3)
    picture[:8, :16] = 1
    with av.open(str(tmp_path / "turned.mp4"), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        pixels = picture.mul(255).byte().numpy()
        output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)) + stream.encode(None))
    source = turned(tmp_path / "turned.mp4", quarters)
    muxing.replace_audio(source, tmp_path / "new.mp4", clicks(0.04, RATE), RATE)
    with av.open(str(tmp_path / "new.mp4")) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        seen = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        aspect = stream.sample_aspect_ratio if frame.rotation % 180 == 0 else 1 / stream.sample_aspect_ratio
    wanted = np.rot90(picture.numpy() * 255, -quarters)
    assert np.abs(seen - wanted).mean() < 6
    assert aspect == (2 if quarters == 2 else Fraction(1, 2))


@pytest.mark.parametrize(
    ("codec", "name", "pixels"),
    [
        ("png", "alpha.mov", "rgba"), ("png", "alpha.mov", "rgba64be"), ("png", "grey.mov", "ya8"),
        ("apng", "alpha.apng", "rgba"), ("qtrle", "alpha.mov", "argb"), ("ffv1", "alpha.mkv", "yuva420p"),
        ("prores_ks", "alpha.mov", "yuva444p10le"),
    ],
)  # fmt: skip
def test_what_is_transparent_shows_white(tmp_path: Path, codec: str, name: str, pixels: str) -> None:
    given = np.zeros((48, 64, 4), np.uint8)
    given[:, :16], given[:, 16:32] = (90, 90, 90, 255), (90, 90, 90, 128)
    with av.open(str(tmp_path / name), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for index in range(2):
            frame = av.VideoFrame.from_ndarray(given, format="rgba").reformat(format=pixels)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    read = reading.read_video(tmp_path / name)[0][0].mul(255).numpy()
    muxing.replace_audio(tmp_path / name, tmp_path / "new.mp4", clicks(0.08, RATE), RATE)
    for frame in (read, shown(tmp_path / "new.mp4")[0][0]):
        assert frame[:, 2:14].mean() == pytest.approx(90, abs=3)
        assert frame[:, 18:30].mean() == pytest.approx(172, abs=3)
        assert frame[:, 40:].mean() > 252


def test_transparent_frames_show_white_and_grey_ones_are_grey(tmp_path: Path) -> None:
    clear = torch.rand(2, 16, 16, 4, generator=torch.Generator().manual_seed(0))
    clear[..., 3] = 0
    muxing.write_video(tmp_path / "clear.mp4", clear, 16)
    assert min(frame.mean() for frame in shown(tmp_path / "clear.mp4")[0]) > 252
    muxing.write_video(tmp_path / "grey.mp4", torch.full((2, 16, 16, 1), 0.5), 16)
    assert shown(tmp_path / "grey.mp4")[0][1].mean() == pytest.approx(127.5, abs=2)


@pytest.mark.parametrize("rate", [7350, 8000, 11_025, 22_050, 40_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8, 12])
def test_sound_of_any_form_starts_and_ends_with_the_picture(tmp_path: Path, rate: int, channels: int) -> None:
    given = clicks(2, rate, channels)
    given[:, rate] = 3
    muxing.write_video(tmp_path / "clip.mp4", torch.rand(32, 16, 16, 3), 16, given, rate)
    check_plays(tmp_path / "clip.mp4", 2)
    heard, heard_rate = reading.read_audio(tmp_path / "clip.mp4")
    assert heard.shape[1] == {1: 1, 2: 2, 6: 6, 12: 1}.get(channels, 2)
    assert heard.shape[-1] / heard_rate == pytest.approx(2, abs=1e-3)
    assert abs(lag_seconds(heard[0], clicks(2, heard_rate), heard_rate)) < 1.5e-3


@pytest.mark.parametrize("channels", [3, 4, 5, 7, 8, 9])
def test_no_channel_is_lost_when_sound_is_mixed_down(channels: int) -> None:
    for channel in range(channels):
        given = torch.zeros(channels, RATE)
        given[channel] = torch.sin(torch.arange(RATE) * 0.1)
        mixed, rate = encoding.aac_waveform(given, RATE)
        assert rate == RATE and mixed.shape[-1] == RATE
        assert mixed.square().mean() > 1e-3


@pytest.mark.parametrize("channels", [3, 4, 5, 7, 8, 9])
def test_sound_that_is_mixed_down_gets_no_louder(channels: int) -> None:
    tone = 0.9 * torch.sin(torch.arange(RATE) * 0.1)
    mixed, _ = encoding.aac_waveform(tone.repeat(channels, 1), RATE)
    torch.testing.assert_close(mixed, tone.repeat(len(mixed), 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("channels", "first", "second"),
    [(3, 0, 2), (4, 0, 2), (5, 1, 4), (5, 2, 3), (7, 0, 5), (7, 2, 6), (8, 0, 2), (8, 5, 7), (9, 3, 8)],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_an_inverted_channel_cancels_no_voice_when_sound_is_mixed_down(
    tmp_path: Path, channels: int, first: int, second: int, suffix: str
) -> None:
    tone = 0.5 * torch.sin(torch.arange(2 * RATE) * 0.1)
    given = torch.zeros(channels, len(tone))
    given[first], given[second] = tone, -tone
    mixed, _ = encoding.aac_waveform(given, RATE)
    muxing.write_video(tmp_path / f"clip.{suffix}", torch.rand(32, 16, 16, 3), 16, given, RATE)
    heard = reading.read_audio(tmp_path / f"clip.{suffix}")[0][0]
    assert len(mixed) == len(heard) == (1 if channels == 9 else 2)
    for sound in (mixed, heard):
        assert float(sound.square().mean(dim=-1).amax()) > 0.1 * float(tone.square().mean())
    assert float((heard[:, : len(tone)] - mixed).square().mean()) < 1e-3, "a file's sound is mixed by the same rule"


def test_sound_in_a_form_that_aac_takes_stays_to_the_bit() -> None:
    for channels in (1, 2, 6):
        given = 3 * torch.rand(channels, 100)
        assert encoding.aac_waveform(given, 44_100) == (given, 44_100)
    assert encoding.aac_waveform(torch.zeros(2, 0), 192_000)[0].shape[-1] == 0
    assert encoding.aac_waveform(torch.zeros(1, 40_001), 40_000)[0].shape == (1, 44_101)


def test_a_picture_is_held_for_as_long_as_wanted(tmp_path: Path) -> None:
    frames = torch.rand(3, 4, 4, 3, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 1)
    frames = frames.repeat_interleave(8, 2)
    seconds = 1333 / 16
    told: list[int] = []
    muxing.write_video(tmp_path / "held.mp4", frames, 16, clicks(seconds, 8000), 8000, held=1330, progress=told.append)
    check_plays(tmp_path / "held.mp4", seconds)
    pictures, times = shown(tmp_path / "held.mp4")
    assert times == pytest.approx([index / 16 for index in range(1333)], abs=1e-3)
    for picture in pictures[2:]:
        assert np.abs(picture - frames[2].numpy() * 255).mean() < 6
    assert told == sorted(told) and told[-1] == 1333


def test_a_file_is_cut_held_and_trimmed(tmp_path: Path) -> None:
    source = write_source(tmp_path / "clip.mkv", Case("libx264", "clip.mkv", True, options=REORDERED, start=30))
    whole = copying.plan_copy(source)
    plans = {
        "same": whole.lasting(Fraction(1599, 1000)),
        "cut": whole.lasting(Fraction(1, 2)),
        "held": whole.lasting(Fraction(30)),
        "trimmed": whole.part(0.4, 0.8),
        "end": whole.part(1.0, 0.0),
        "held end": whole.part(1.0, 0.0).lasting(Fraction(2)),
    }
    before, _ = shown(source)
    expected = {
        "same": before,
        "cut": before[:13],
        "held": before + 710 * before[-1:],
        "trimmed": before[10:30],
        "end": before[25:],
        "held end": before[25:] + 35 * before[-1:],
    }
    for name, plan in plans.items():
        assert bool(plan.why_encoded) == (name != "same")
        assert plan.count == len(expected[name]), name
        seconds = len(expected[name]) / 25
        assert float(plan.seconds) == pytest.approx(seconds, abs=A_FRAME)
        muxing.replace_audio(source, tmp_path / "new.mp4", clicks(float(plan.seconds), RATE), RATE, plan)
        check_plays(tmp_path / "new.mp4", seconds)
        frames, times = shown(tmp_path / "new.mp4")
        assert times == pytest.approx([index / 25 for index in range(len(expected[name]))], abs=2e-3)
        brightness = [frame.mean() for frame in frames]
        assert brightness == pytest.approx([frame.mean() for frame in expected[name]], abs=2), name
    with pytest.raises(ValueError, match="second 9 on: the video lasts 1.60"):
        whole.part(9, 1)


@pytest.mark.parametrize("name", ["still.mp4", "still.mkv", "still.mov"])
def test_the_frame_on_the_screen_where_a_file_is_trimmed_is_shown(tmp_path: Path, name: str) -> None:
    source = write_source(tmp_path / name, Case("libx264", name, True, ticks=[0, 25, 100, 125]))
    whole = copying.plan_copy(source)
    for start, seconds, wanted, times in (
        (2.0, 0.0, [1, 2, 3], [0, 2, 3]),
        (2.0, 2.5, [1, 2], [0, 2]),
        (2.5, 1.0, [1], [0]),
        (4.0, 1.0, [2], [0]),
        (5.01, 0.0, [3], [0]),
    ):
        plan, footage = whole.part(start, seconds), VideoFile(source, start, seconds)
        assert float(plan.seconds) == pytest.approx(float(footage.seconds), abs=1e-3)
        assert plan.count == len(wanted)
        muxing.replace_audio(source, tmp_path / "new.mp4", clicks(float(plan.seconds), RATE), RATE, plan)
        frames, shown_at = shown(tmp_path / "new.mp4")
        brightness = [FIRST_BRIGHTNESS + BRIGHTER * number for number in wanted]
        assert [frame.mean() for frame in frames] == pytest.approx(brightness, abs=2)
        assert shown_at == pytest.approx(times, abs=2e-3)
        assert float(VideoFile(tmp_path / "new.mp4").seconds) == pytest.approx(float(plan.seconds), abs=A_FRAME)
    with pytest.raises(ValueError, match="second 99 on: the video lasts"):
        whole.part(99, 0)


@pytest.mark.parametrize("rate", [5, 25])
@pytest.mark.parametrize(("codec", "name"), [("libx264", "clip.mp4"), ("mjpeg", "clip.avi"), ("libx264", "clip.ts")])
def test_a_trim_within_a_frame_is_exact(tmp_path: Path, codec: str, name: str, rate: int) -> None:
    def pixels(stream: av.VideoStream) -> None:
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"

    source = write_pictures(tmp_path / name, range(50), rate, codec, set_up=pixels)
    start, seconds = 1.5 / rate, 20.25 / rate
    plan = copying.plan_copy(source).part(start, seconds)
    assert float(plan.seconds) == pytest.approx(seconds, abs=2e-3)
    muxing.replace_audio(source, tmp_path / "new.mp4", clicks(seconds, RATE), RATE, plan)
    check_plays(tmp_path / "new.mp4", seconds)
    frames, times = shown(tmp_path / "new.mp4")
    assert times == pytest.approx([0, *((index + 0.5) / rate for index in range(20))], abs=2e-3)
    given = [frame.mean() for frame in shown(source)[0][1:22]]
    assert plan.count == 21 and [frame.mean() for frame in frames] == pytest.approx(given, abs=2)


def odd_files(folder: Path) -> dict[str, Path]:
    """Files whose times are not simple."""
    slides, plain = [*range(5), *range(95, 110)], write_pictures(folder / "plain.ts", range(50), rate=25)
    glued, broken = folder / "glued.ts", folder / "broken.ts"
    glued.write_bytes(2 * plain.read_bytes())
    with av.open(str(plain)) as container:
        third = [packet.pos for packet in container.demux(video=0) if packet.size][3]
    again = write_pictures(folder / "again.ts", range(50), rate=25, options={"g": "10", "sc_threshold": "0"})
    broken.write_bytes(again.read_bytes()[third:])
    reordered = {"bf": "2", "b_strategy": "0"}
    return {
        "telephone": write_pictures(folder / "telephone.mp4", [*range(60), *range(60, 96, 4)], options=reordered),
        "stills": write_pictures(folder / "stills.mkv", [0, 1, 2, 40, 41, 42, 80, 95]),
        "slides": write_pictures(folder / "slides.mp4", slides, rate=1),
        "heard slides": write_pictures(folder / "slides.mkv", slides, rate=1, sound=tone(110)),
        "leap": write_pictures(folder / "leap.mkv", [0, 1, 2, 3, 90_000, 90_001, 90_002], rate=1),
        "glued": glued,
        "cut": broken,
        "slow avi": write_pictures(folder / "slow.avi", range(20), rate=5, codec="mpeg4"),
        "reordered avi": copied(write_pictures(folder / "r.ts", range(75), options=reordered), folder / "r.avi"),
        "untimed": write_pictures(folder / "clip.vob", range(40), rate=25, options={"bf": "2"}),
        "late": write_pictures(folder / "late.mp4", range(30, 90), options=reordered),
    }


def test_a_file_lasts_as_long_for_those_who_read_it_as_for_those_who_write_it(tmp_path: Path) -> None:
    for name, file in odd_files(tmp_path).items():
        plan, tick = copying.plan_copy(file), 2e-3
        assert float(plan.seconds) == pytest.approx(float(VideoFile(file).seconds), abs=tick), name
        for start, seconds in ((0.5, 0.0), (0.3, 0.6), (0.0, 0.7), (1.21, 40.0)):
            footage, part = VideoFile(file, start, seconds), plan.part(start, seconds)
            assert float(part.seconds) == pytest.approx(float(footage.seconds), abs=tick), (name, start, seconds)
        part = plan.part(0.5, 1.0)
        muxing.replace_audio(file, tmp_path / "new.mp4", clicks(1, RATE), RATE, part)
        wanted = numbers([frame.numpy() for frame in VideoFile(file, 0.5, 1.0).images(64, 64)])
        assert numbers([frame.numpy() for frame in VideoFile(tmp_path / "new.mp4").images(64, 64)]) == wanted, name


def test_frames_behind_damage_keep_their_time_where_times_are_mended(tmp_path: Path) -> None:
    whole = write_pictures(tmp_path / "whole.mkv", range(50), rate=25, codec="mpeg4", options={"g": "1"})

    def change(packet: av.Packet, index: int) -> av.Packet:
        changed = garbled(packet) if 10 <= index < 20 else packet
        if index >= 25:
            changed.pts += 90_000_000
            changed.dts += 90_000_000
        return changed

    file = copied(whole, tmp_path / "leap.mkv", change)
    plan = copying.plan_copy(file)
    assert plan.why_encoded and plan.origin is None
    assert float(plan.seconds) == pytest.approx(2, abs=A_FRAME)
    muxing.replace_audio(file, tmp_path / "new.mp4", clicks(2, RATE), RATE, plan)
    seen = numbers([frame.numpy() for frame in VideoFile(tmp_path / "new.mp4").images(64, 64)])
    for read, first in ((whole, 13), (file, 0)):
        given = numbers([frame.numpy() for frame in VideoFile(read).images(64, 64)])
        assert seen[first:] == pytest.approx(given[first:], abs=1)


def test_a_late_part_is_not_decoded_from_the_start_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_pictures(tmp_path / "long.mp4", range(3000), rate=25, options={"g": "50"})
    part = copying.plan_copy(source).part(110, 2)
    count, original = 0, copying.decoded

    def counting(packet: av.Packet) -> object:
        nonlocal count
        count += 1
        return original(packet)

    monkeypatch.setattr(copying, "decoded", counting)
    muxing.replace_audio(source, tmp_path / "new.mp4", clicks(2, RATE), RATE, part)
    assert count < 150
    seen = numbers([frame.numpy() for frame in VideoFile(tmp_path / "new.mp4").images(64, 64)])
    assert seen == numbers([frame.numpy() for frame in VideoFile(source, 110, 2).images(64, 64)])

    class Stop(BaseException):
        pass

    def after(calls: int) -> Callable[[], None]:
        left = iter(range(calls))

        def check() -> None:
            if next(left, None) is None:
                raise Stop

        return check

    for plan in (part, copying.plan_copy(source)):
        for calls in (0, 5):
            with pytest.raises(Stop):
                muxing.replace_audio(source, tmp_path / "no.mp4", clicks(2, RATE), RATE, plan, check=after(calls))
    assert not (tmp_path / "no.mp4").exists()
    # In the packets, at the first frame, and in the copy that is tried.
    for calls in (0, 3001, 3002, 3100):
        with pytest.raises(Stop):
            copying.plan_copy(source, after(calls))


def test_a_picture_of_which_nothing_can_be_read_is_refused_at_once(tmp_path: Path) -> None:
    source = write_source(tmp_path / "clip.mp4", Case("libx264", "clip.mp4", True))
    header, _, _ = source.read_bytes().partition(b"mdat")
    source.write_bytes(header + b"mdat" + bytes(source.stat().st_size - len(header) - 4))
    with pytest.raises(ValueError, match="clip.mp4 is damaged"):
        copying.plan_copy(source)


def test_a_picture_that_is_too_small_is_refused(tmp_path: Path) -> None:
    source = write_source(tmp_path / "line.mov", Case("png", "line.mov", False, "rgb24", size=(1, 40)))
    with pytest.raises(ValueError, match="1 × 40 pixels are too small"):
        copying.plan_copy(source)


def test_an_interrupt_leaves_the_old_file(tmp_path: Path) -> None:
    source = write_source(tmp_path / "clip.avi", Case("mjpeg", "clip.avi", False, "yuvj420p"))
    target = tmp_path / "new.mp4"
    target.write_text("the old one")

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        muxing.replace_audio(source, target, clicks(1.6, RATE), RATE, progress=stop)
    assert target.read_text() == "the old one" and len([*tmp_path.iterdir()]) == 2


def test_a_picture_shorter_than_a_sample_of_sound(tmp_path: Path) -> None:
    muxing.write_video(tmp_path / "short.mp4", torch.rand(1, 16, 16, 3), 240, torch.zeros(1, 0), 8000)
    assert len(shown(tmp_path / "short.mp4")[0]) == 1
