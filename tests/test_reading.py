"""Video and sound as people bring them: read by their times, as far as they go."""

from __future__ import annotations

import io
import logging
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from odd_files import LEVELS, audio_packets, copied, garbled, numbers, tone, write_pictures
from torch import Tensor

from uniavgen_core.config import FRAME_RATE
from uniavgen_core.media import container as container_module
from uniavgen_core.media import muxing
from uniavgen_core.media import track as track_module
from uniavgen_core.media.video import VideoFile
from uniavgen_core.media.waveforms import PIECE_SAMPLES
from uniavgen_core.model_rates import dubbed_images, past_images
from uniavgen_lab.video_files import read_audio, read_video, stream_summary

RATE = 24_000
SIDE = 64


def at_16(file: VideoFile, **which: int) -> list[int]:
    """The numbers of the counting pictures that a file shows at 16 a second."""
    return numbers([frame.numpy() for frame in file.images(SIDE, SIDE, **which)])


def expected_at_16(ticks: list[int], rate: int, seconds: float) -> list[int]:
    """The tick that is on the screen in the middle of each sixteenth of a second."""
    middles = [(index + 0.5) / FRAME_RATE for index in range(round(seconds * FRAME_RATE))]
    return [max(tick for tick in ticks if tick / rate <= middle) % LEVELS for middle in middles]


UNEVEN = {
    "telephone": [*range(60), *range(60, 96, 4)],
    "capture with stills": [0, 1, 2, 40, 41, 42, 80, 95],
    "even": [*range(90)],
    "slow": [*range(0, 90, 6)],
}


@pytest.mark.parametrize("ticks", UNEVEN.values(), ids=UNEVEN.keys())
@pytest.mark.parametrize("kind", [".mp4", ".mkv", ".mov"])
def test_each_frame_is_given_at_the_time_at_which_it_is_shown(tmp_path: Path, kind: str, ticks: list[int]) -> None:
    file = VideoFile(write_pictures(tmp_path / f"clip{kind}", ticks, options={"bf": "2"}))
    seen = at_16(file)
    assert seen == expected_at_16(ticks, 30, len(seen) / FRAME_RATE)
    assert len(seen) / FRAME_RATE == pytest.approx((ticks[-1] + 1) / 30, abs=5 / 30)


@pytest.mark.parametrize("kind", [".mp4", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize("frames", ["0", "2"])
def test_a_window_of_frames_is_that_of_the_whole(tmp_path: Path, kind: str, frames: str) -> None:
    options = {"bf": frames, "g": "25"}
    file = VideoFile(write_pictures(tmp_path / f"clip{kind}", range(95), rate=25, options=options))
    whole = at_16(file)
    for first in (0, 7, 40, len(whole) - 9):
        assert at_16(file, first=first) == whole[first:]
        assert at_16(file, first=first, last=first + 5) == whole[first : first + 5]


@pytest.mark.parametrize("kind", [".mp4", ".mkv", ".ts"])
def test_a_trimmed_video_is_read_from_its_start_for_its_length(tmp_path: Path, kind: str) -> None:
    sound = tone(3.8)
    sound[:, : 2 * RATE] = 0
    path = write_pictures(tmp_path / f"clip{kind}", range(95), rate=25, sound=sound)
    trimmed = VideoFile(path, 1.5, 1.25)
    assert trimmed.seconds == Fraction(5, 4) and trimmed.frames == 20
    assert at_16(trimmed) == [int((1.5 + (index + 0.5) / 16) * 25) % LEVELS for index in range(20)]
    frames, rate, track = trimmed.parts()
    assert len(frames) == 31 and rate == 25 and track is not None
    assert track[0].shape[-1] == pytest.approx(1.25 * RATE, abs=50)
    loud = (track[0][0, 0].abs() > 0.05).nonzero()[0] / RATE
    assert float(loud) == pytest.approx(0.5, abs=0.06)
    with pytest.raises(ValueError, match=r"clip\..* lasts 3\.80 s, but is wanted from 9\.00 s on"):
        VideoFile(path, 9.0)


def test_reordered_frames_in_avi_keep_their_rate_and_times(tmp_path: Path) -> None:
    ticks = range(75)
    source = write_pictures(tmp_path / "cam.ts", ticks, rate=25, options={"bf": "2", "g": "50"})
    file = copied(source, tmp_path / "copy.avi")
    video = VideoFile(file)
    assert float(video.seconds) == pytest.approx(3, abs=0.05)
    assert video.times.rate == 25
    assert at_16(video) == expected_at_16([*ticks], 25, 3)
    assert len(read_video(file)[0]) == 75


def test_files_glued_together_go_on_at_once_with_their_sound(tmp_path: Path) -> None:
    sound = tone(2.0)
    sound[:, : RATE // 2] = 0
    first = write_pictures(tmp_path / "part.ts", range(50), rate=25, sound=sound, options={"bf": "2"})
    glued = tmp_path / "glued.ts"
    glued.write_bytes(2 * first.read_bytes())
    video = VideoFile(glued)
    assert at_16(video) == 2 * at_16(VideoFile(first))
    frames, _, track = read_video(glued)
    assert len(frames) == 100 and track is not None
    loud = track[0][0, 0].unfold(0, 480, 480).square().mean(dim=1) > 1e-3
    changes = (loud[1:] != loud[:-1]).nonzero().flatten() * 480 / RATE
    torch.testing.assert_close(changes[:3], torch.tensor([0.5, 2.0, 2.5]), atol=0.08, rtol=0)


def heard_seconds(video: VideoFile) -> tuple[float, float, float]:
    """How long the sound of a file is, and when it is heard first and last."""
    with video.track() as track:
        assert track is not None
        samples = torch.cat([*track.pieces], dim=-1)[0]
        loud = (samples.abs() > 0.05).nonzero()[:, 0]
        return tuple(float(count) / track.sample_rate for count in (len(samples), loud[0], loud[-1]))


@pytest.mark.parametrize("kind", [".mkv", ".mp4"])
def test_sound_that_is_missing_for_long_is_silence(tmp_path: Path, kind: str) -> None:
    source = write_pictures(tmp_path / f"whole{kind}", range(100), rate=1, codec="mpeg4", sound=tone(100))

    def change(packet: av.Packet, index: int) -> av.Packet | None:
        is_missing = packet.stream.type == "audio" and 5 < packet.pts * packet.time_base < 85
        return None if is_missing else packet

    video = VideoFile(copied(source, tmp_path / f"gap{kind}", change))
    assert heard_seconds(video) == pytest.approx((100, 0, 100), abs=0.2)
    with VideoFile(video.source, 80, 10).track() as track:
        assert track is not None
        samples = torch.cat([*track.pieces], dim=-1)[0]
    loud = float((samples.abs() > 0.05).nonzero()[0]) / RATE
    assert (len(samples) / RATE, loud) == pytest.approx((10, 5), abs=0.1)


SLIDES = [*range(5), *range(95, 110)]


@pytest.mark.parametrize(("kind", "has_sound"), [(".mkv", True), (".mp4", True), (".mp4", False), (".mov", False)])
def test_a_slide_that_is_shown_for_long_stays(tmp_path: Path, kind: str, has_sound: bool) -> None:
    sound = tone(110) if has_sound else None
    if sound is not None:
        sound[:, : 100 * RATE] = 0
    video = VideoFile(write_pictures(tmp_path / f"slides{kind}", SLIDES, rate=1, sound=sound))
    assert float(video.seconds) == pytest.approx(110, abs=0.1)
    assert at_16(video, first=1500, last=1540) == expected_at_16(SLIDES, 1, 110)[1500:1540]
    if has_sound:
        assert heard_seconds(video) == pytest.approx((110, 100, 110), abs=0.1)


@pytest.mark.parametrize("leaps", [{"video"}, {"video", "audio"}])
def test_a_leap_in_which_nothing_comes_is_a_wrong_time(tmp_path: Path, leaps: set[str]) -> None:
    source = write_pictures(tmp_path / "whole.mkv", range(50), rate=25, sound=tone(2), options={"bf": "0"})

    def change(packet: av.Packet, index: int) -> av.Packet:
        if packet.stream.type in leaps and packet.pts * packet.time_base >= 1:
            packet.pts += 90_000_000
            packet.dts += 90_000_000
        return packet

    video = VideoFile(copied(source, tmp_path / "leap.mkv", change))
    assert float(video.seconds) == pytest.approx(2, abs=0.1)
    assert heard_seconds(video) == pytest.approx((2, 0, 2), abs=0.1)
    assert at_16(video) == at_16(VideoFile(source))


def cut_in_the_middle(folder: Path) -> Path:
    """A stream of 60 frames at 25 a second that starts ten frames before its first whole one."""
    options = {"g": "30", "sc_threshold": "0", "bf": "0", "x264-params": "repeat-headers=1"}
    whole = write_pictures(folder / "whole.ts", range(80), rate=25, options=options)
    with av.open(str(whole)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
    file = folder / "cut.ts"
    file.write_bytes(whole.read_bytes()[positions[20] :])
    return file


def test_what_comes_before_the_first_whole_frame_does_not_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = VideoFile(cut_in_the_middle(tmp_path))
    assert float(video.seconds) == pytest.approx(50 / 25, abs=0.01)
    assert "cut.ts does not start with a whole frame: its first 0.4" in caplog.text
    assert at_16(video) == [(30 + tick) % LEVELS for tick in expected_at_16([*range(50)], 25, 2)]
    assert video.own_frames == len([*video.own_images()]) == 50


def test_a_warning_comes_once_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_pictures(tmp_path / "whole.mkv", range(90), codec="mpeg4", options={"g": "1"})
    torn = copied(source, tmp_path / "torn.mkv", lambda packet, index: garbled(packet) if 30 <= index < 40 else packet)
    sizes = [write_pictures(tmp_path / f"{side}.ts", range(30), size=(side, side)) for side in (64, 96)]
    changing = tmp_path / "changing.ts"
    changing.write_bytes(b"".join(part.read_bytes() for part in 2 * sizes))
    for file in (torn, changing):
        caplog.clear()
        video = VideoFile(file)
        for _ in range(3):
            at_16(video)
        assert len(caplog.messages) == len({*caplog.messages}) == 1, caplog.messages


def test_the_tail_of_a_long_clip_is_not_decoded_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pictures(tmp_path / "long.mp4", range(3000), rate=25, options={"g": "50"})
    decoded = list[int]()
    original = container_module.decoded

    def counting(packet: av.Packet) -> object:
        decoded.append(1)
        return original(packet)

    monkeypatch.setattr("uniavgen_core.media.video.decoded", counting)
    video = VideoFile(path)
    assert not decoded, "its length is known before its frames are decoded"
    assert past_images(video, 3, SIDE, SIDE).shape == (9, SIDE, SIDE, 3)
    assert len(decoded) < 150


def test_reading_can_be_stopped_at_any_packet(tmp_path: Path) -> None:
    class Stop(BaseException):
        pass

    path = write_pictures(tmp_path / "clip.mp4", range(60), sound=tone(2))
    left = 10_000

    def check() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Stop

    video = VideoFile(path, check=check)
    frames = video.images(SIDE, SIDE)
    next(frames)
    left = 3
    with pytest.raises(Stop):
        list(frames)
    left = 3
    with pytest.raises(Stop), video.track() as track:
        assert track is not None
        list(track.pieces)


def test_a_file_in_memory_is_read_in_two_places_at_once(tmp_path: Path) -> None:
    path = write_pictures(tmp_path / "clip.mp4", range(60), sound=tone(2))
    memory = io.BytesIO(path.read_bytes())
    video = VideoFile(memory)
    frames = video.images(SIDE, SIDE)
    seen = [next(frames)]
    with video.track() as track:
        assert track is not None and sum(piece.shape[-1] for piece in track.pieces) == 2 * RATE
    seen += frames
    assert numbers([frame.numpy() for frame in seen]) == at_16(VideoFile(path))


LEFT_HALF_WAY = """
import sys
import av
from uniavgen_core.media.container import opened, video_stream
av.logging.set_level(av.logging.WARNING)
for _ in range(60):
    with opened(sys.argv[1]) as container:
        stream = video_stream(container)
        stream.thread_type, stream.codec_context.thread_count = "AUTO", 4
        next(container.decode(stream))
"""


def test_a_file_may_be_left_half_way_where_somebody_listens_to_libav(tmp_path: Path) -> None:
    """As another pack does that wants to see its messages."""
    path = write_pictures(tmp_path / "clip.mp4", range(60), size=(320, 240), options={"bf": "2"})
    root = Path(container_module.__file__).parents[2]
    subprocess.run([sys.executable, "-c", LEFT_HALF_WAY, str(path)], cwd=root, timeout=120, check=True)


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise av.error.PermissionError(13, "Permission denied")

    path = write_pictures(tmp_path / "clip.mp4", range(3))
    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(ValueError, match=r"clip.mp4 may not be read by ComfyUI .Permission denied.\. Allow it"):
        VideoFile(path)


# Damage


def test_a_cut_off_file_is_read_up_to_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = {"g": "10", "qp": "5"}
    whole = write_pictures(tmp_path / "whole.mp4", range(90), options=options, sound=tone(3))
    front = tmp_path / "front.mp4"
    with av.open(str(whole)) as reader, av.open(str(front), "w", options={"movflags": "+faststart"}) as writer:
        copies = {stream.index: writer.add_stream_from_template(stream) for stream in reader.streams}
        for packet in reader.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                writer.mux_one(packet)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(front.read_bytes()[: front.stat().st_size * 2 // 3])
    with caplog.at_level(logging.WARNING):
        seen = at_16(VideoFile(cut))
    # Of the last packet a part is there.
    assert 10 < len(seen) < 46 and seen[:-1] == at_16(VideoFile(whole))[: len(seen) - 1]
    assert f"{cut} is damaged or cut off at {len(seen) / 16:.1f}" in caplog.text
    assert 1 < read_audio(cut)[0].shape[-1] / RATE < 3
    without_index = tmp_path / "no_index.mp4"
    without_index.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ValueError, match="no_index.mp4 is damaged or not a sound or video file .* Copy or record it"):
        VideoFile(without_index)


def test_damaged_packets_of_the_picture_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_pictures(tmp_path / "whole.mkv", range(90), codec="mpeg4", options={"g": "1"})
    file = copied(source, tmp_path / "torn.mkv", lambda packet, index: garbled(packet) if 30 <= index < 40 else packet)
    seen = at_16(VideoFile(file))
    assert len(seen) == 48
    assert seen[:15] == at_16(VideoFile(source))[:15] and seen[-25:] == at_16(VideoFile(source))[-25:]
    assert VideoFile(file).own_frames == 90


def test_a_picture_that_cannot_be_decoded_at_all_is_refused_by_name(tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "whole.mkv", range(20), codec="libx264")
    file = copied(source, tmp_path / "noise.mkv", lambda packet, index: garbled(packet))
    with pytest.raises(ValueError, match="noise.mkv is damaged: none of its picture can be decoded"):
        dubbed_images(VideoFile(file), SIDE, SIDE)


def test_one_damaged_packet_of_sound_is_silence_of_its_length(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_pictures(tmp_path / "whole.mp4", range(90), sound=tone(3))

    def change(packet: av.Packet, index: int) -> av.Packet:
        return garbled(packet) if packet.stream.type == "audio" and index == 40 else packet

    file = copied(source, tmp_path / "torn.mp4", change)
    whole, heard = read_audio(source)[0], read_audio(file)[0]
    assert heard.shape == whole.shape
    place = 39 * 1024
    torch.testing.assert_close(heard[..., : place - 1024], whole[..., : place - 1024])
    torch.testing.assert_close(heard[..., place + 3 * 1024 :], whole[..., place + 3 * 1024 :], atol=1e-3, rtol=0)
    assert "torn.mp4 is damaged" in caplog.text


def test_a_picture_that_changes_its_size_is_cropped_to_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = [
        write_pictures(tmp_path / "small.ts", range(30), size=(64, 64)),
        write_pictures(tmp_path / "large.ts", range(30), size=(128, 96)),
    ]
    file = tmp_path / "both.ts"
    file.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert at_16(VideoFile(file)) == 2 * at_16(VideoFile(parts[0]))
    assert "changes its size at 1.00 s" in caplog.text
    assert read_video(file)[0].shape == (60, 64, 64, 3)


def adts(path: Path, sound: np.ndarray, rate: int) -> bytes:
    with av.open(str(path), "w", format="adts") as writer:
        layout = {1: "mono", 2: "stereo"}[len(sound)]
        for packet in audio_packets(writer.add_stream("aac", rate=rate, layout=layout), sound, rate):
            writer.mux(packet)
    return path.read_bytes()


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 1), (24_000, 2), (44_100, 2), (16_000, 1)])
def test_rate_and_channels_that_change_are_followed(tmp_path: Path, rate: int, channels: int) -> None:
    first = adts(tmp_path / "first.aac", tone(1.0), RATE)
    second = adts(tmp_path / "second.aac", tone(1.0, rate, channels, hertz=440), rate)
    (tmp_path / "both.aac").write_bytes(first + second)
    heard, heard_rate = read_audio(tmp_path / "both.aac")
    assert heard_rate == RATE and heard.shape[1] == 1
    assert heard.shape[-1] / RATE == pytest.approx(2, abs=0.25)
    for start, hertz in ((0.3, 220), (heard.shape[-1] / RATE - 0.8, 440)):
        part = heard[0, 0, round(start * RATE) :][: RATE // 2]
        spectrum = torch.fft.rfft(part * torch.hann_window(len(part))).abs()
        assert float(spectrum.argmax()) * 2 == pytest.approx(hertz, abs=6)
        assert float(part.abs().max()) == pytest.approx(0.4, abs=0.1)


def test_sound_in_an_unknown_form_leaves_the_other_track(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, sound = tmp_path / "apac.mp4", tone(1)
    with av.open(str(file), "w") as writer:
        picture = writer.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        tracks = [writer.add_stream("aac", rate=RATE, layout="mono") for _ in range(2)]
        for _ in range(25):
            writer.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        writer.mux(picture.encode(None))
        for track in tracks:
            writer.mux(audio_packets(track, sound, RATE))
    # FFmpeg knows the form by the box inside, too.
    file.write_bytes(file.read_bytes().replace(b"mp4a", b"apac", 1).replace(b"esds", b"zzzz", 1))
    waveform, rate = read_audio(file)
    assert rate == RATE and float(waveform.abs().max()) > 0.3
    assert read_video(file)[2] is not None
    assert "sound in a form that FFmpeg does not know" in caplog.text
    file.write_bytes(file.read_bytes().replace(b"mp4a", b"apac").replace(b"esds", b"zzzz"))
    assert read_video(file)[2] is None
    with pytest.raises(ValueError, match=r"apac.mp4 has no sound that can be read"):
        read_audio(file)


def test_an_unknown_picture_and_an_empty_file_are_named(tmp_path: Path) -> None:
    file = write_pictures(tmp_path / "odd.mp4", range(10))
    file.write_bytes(file.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(ValueError, match="odd.mp4: its picture is in a form that FFmpeg does not know"):
        VideoFile(file)
    (tmp_path / "none.mp4").write_bytes(b"")
    for read in (VideoFile, read_audio, stream_summary):
        with pytest.raises(ValueError, match="none.mp4 is empty"):
            read(tmp_path / "none.mp4")


def test_tags_that_are_not_text_do_no_harm(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "tagged.mkv"), "w") as writer:
        writer.metadata["title"] = "QQQQQQ"
        stream = writer.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        writer.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        writer.mux(stream.encode(None))
    path = tmp_path / "tagged.mkv"
    path.write_bytes(path.read_bytes().replace(b"QQQQQQ", b"\xff\xfe\xe9\xff\xc3\x28"))
    assert len([*VideoFile(path).own_images()]) == 1


def test_a_cover_is_no_picture(tmp_path: Path) -> None:
    plain = adts(tmp_path / "plain.aac", tone(1), RATE)
    assert plain
    with av.open(str(tmp_path / "covered.m4a"), "w", format="mp4") as writer:
        cover = writer.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        heard = writer.add_stream("aac", rate=RATE, layout="mono")
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        writer.mux(cover.encode(frame))
        writer.mux(cover.encode(None))
        writer.mux(audio_packets(heard, tone(1), RATE))
    with pytest.raises(ValueError, match="covered.m4a has no picture"):
        VideoFile(tmp_path / "covered.m4a")
    summary = stream_summary(tmp_path / "covered.m4a")
    assert (summary.video_codec, summary.frames) == (None, 0)
    assert summary.audio_codec == "aac" and summary.audio_seconds == pytest.approx(1, abs=0.05)


# What is shown


def sixteen_by_eleven(stream: av.VideoStream) -> None:
    stream.codec_context.sample_aspect_ratio = Fraction(16, 11)


def test_pixels_that_are_not_square_are_drawn_out(tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    write_pictures(path, range(20), size=(240, 192), set_up=sixteen_by_eleven)
    assert VideoFile(path).size == (349, 192)
    assert read_video(path)[0].shape[1:] == (192, 349, 3)
    one = 1 << 16
    header, track, rest = path.read_bytes().partition(b"tkhd")
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(header + track + rest.replace(upright, clockwise, 1))
    assert VideoFile(path).size == (192, 349)


def test_a_circle_of_pixels_that_are_not_square_stays_round(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:192, :240]
    inside = ((columns - 120) * 16 / 11) ** 2 + (rows - 96) ** 2 < 60**2
    picture = np.where(inside[..., None], 220, 20).astype(np.uint8).repeat(3, axis=-1)
    path = tmp_path / "circle.mp4"
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 240, 192, "yuv420p"
        sixteen_by_eleven(stream)
        for _ in range(4):
            writer.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        writer.mux(stream.encode(None))
    seen = next(VideoFile(path).images(128, 128))[..., 0] > 120
    across, down = int(seen.any(dim=0).sum()), int(seen.any(dim=1).sum())
    assert abs(across - down) <= 2 and across == pytest.approx(120 * 128 / 192, abs=3)


# Colour. The formulas are those of ITU-R BT.2100, BT.2087 and BT.2390, in numpy.

BT709_TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
WHITE_NITS = 203
COLOURS = {
    "black": (0.0, 0.0, 0.0),
    "grey": (0.5, 0.5, 0.5),
    "dark": (0.2, 0.2, 0.2),
    "skin": (0.65, 0.5, 0.43),
    "red": (0.7, 0.1, 0.1),
    "green": (0.1, 0.6, 0.2),
    "blue": (0.2, 0.2, 0.8),
}


def linear(colour: tuple[float, float, float]) -> np.ndarray:
    values = np.array(colour)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def pq(nits: np.ndarray) -> np.ndarray:
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(nits: np.ndarray) -> np.ndarray:
    light = nits / 1000
    luminance = max(float(light @ [0.2627, 0.6780, 0.0593]), 1e-12)
    scene = light * luminance ** (1 / 1.2 - 1)
    upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def write_deep(path: Path, values: np.ndarray, transfer: int, primaries: int = 9, matrix: int = 9) -> Path:
    """Ten-bit frames of one colour (R, G, B), limited range, BT.2020 or BT.709."""
    red, _, blue = values
    weights, across, down = ((0.2627, 0.678, 0.0593), 1.8814, 1.4746) if matrix == 9 else (
        (0.2126, 0.7152, 0.0722), 1.8556, 1.5748
    )  # fmt: skip
    luma = float(values @ weights)
    planes = [64 + 876 * luma, 512 + 896 * (blue - luma) / across, 512 + 896 * (red - luma) / down]
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = (
            transfer, primaries, matrix, 1,
        )  # fmt: skip
        for _ in range(3):
            frame = av.VideoFrame(64, 64, "yuv420p10le")
            for plane, value in zip(frame.planes, planes, strict=True):
                plane.update(np.full(plane.buffer_size // 2, round(value), np.uint16).tobytes())
            frame.colorspace, frame.color_range = matrix, 1
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    return path


def seen_colour(path: Path) -> Tensor:
    """Levels of 255."""
    return read_video(path)[0][0, 20, 20] * 255


@pytest.mark.parametrize("transfer", [16, 18], ids=["pq", "hlg"])
@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS.keys())
def test_hdr_is_shown_as_on_an_ordinary_screen(
    tmp_path: Path, transfer: int, colour: tuple[float, float, float]
) -> None:
    """Colours below the curve's knee, at about half of the screen's light, are what they are in SDR."""
    nits = BT709_TO_2020 @ linear(colour) * WHITE_NITS
    values = pq(nits) if transfer == 16 else hlg(nits)
    seen = seen_colour(write_deep(tmp_path / "hdr.mkv", values, transfer))
    torch.testing.assert_close(seen, torch.tensor(colour) * 255, atol=4, rtol=0)


@pytest.mark.parametrize("transfer", [16, 18], ids=["pq", "hlg"])
def test_the_brightest_light_of_hdr_is_compressed_and_never_turns_dark(tmp_path: Path, transfer: int) -> None:
    code = pq if transfer == 16 else hlg
    seen = [
        float(seen_colour(write_deep(tmp_path / f"{nits}.mkv", code(np.full(3, float(nits))), transfer))[0])
        for nits in (50, 100, 203, 400, 700, 1000)
    ]
    assert seen == sorted(seen) and seen[-1] == pytest.approx(255, abs=1)
    assert 220 < seen[2] < 240, "what is white on paper is nearly white"


def test_hdr_keeps_its_colours_saturated(tmp_path: Path) -> None:
    nits = BT709_TO_2020 @ linear((0.95, 0.2, 0.2)) * 600
    seen = seen_colour(write_deep(tmp_path / "red.mkv", hlg(nits), 18))
    assert seen[0] > 220 and seen[1] < 0.45 * seen[0] and abs(float(seen[1] - seen[2])) < 4


def test_ten_bits_and_wide_colours_of_ordinary_range_are_right(tmp_path: Path) -> None:
    for colour in COLOURS.values():
        plain = write_deep(tmp_path / "plain.mkv", np.array(colour), 1, primaries=1, matrix=1)
        torch.testing.assert_close(seen_colour(plain), torch.tensor(colour) * 255, atol=1, rtol=0)
        wide = BT709_TO_2020 @ linear(colour)
        encoded = np.where(wide <= 0.0031308, 12.92 * wide, 1.055 * wide ** (1 / 2.4) - 0.055)
        shown = seen_colour(write_deep(tmp_path / "wide.mkv", encoded, 14))
        torch.testing.assert_close(shown, torch.tensor(colour) * 255, atol=3, rtol=0)


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2"}])
def test_packets_without_times_follow_each_other(tmp_path: Path, options: dict[str, str]) -> None:
    """A program stream of MPEG gives times to some packets only."""
    file = write_pictures(tmp_path / "clip.vob", range(40), rate=25, options=options)
    with av.open(str(file)) as container:
        assert None in {packet.pts for packet in container.demux(video=0) if packet.size}
    frames, rate, _ = read_video(file)
    assert (len(frames), rate) == (40, 25)


@pytest.mark.parametrize("expected", [0, 1000, 10**6, 10**13])
def test_a_wrong_length_takes_no_memory(monkeypatch: pytest.MonkeyPatch, expected: int) -> None:
    monkeypatch.setattr(track_module, "RESERVED_VALUES", 5000)
    sound = torch.rand(2, 9999, generator=torch.Generator().manual_seed(0))
    whole = track_module.whole_track(track_module.AudioTrack(1000, 2, expected, iter(sound.split(70, dim=-1))))
    assert torch.equal(whole[0], sound)
    assert whole.untyped_storage().nbytes() < 1.2 * sound.nbytes


def test_of_a_span_no_more_is_expected_than_it_has(tmp_path: Path) -> None:
    muxing.write_video(tmp_path / "clip.mp4", torch.rand(80, 16, 16, 3), 16, torch.rand(1, 5 * RATE), RATE)
    span = track_module.Span(Fraction(1), Fraction(2))
    with track_module.open_track(tmp_path / "clip.mp4", span) as track:
        assert track is not None and track.expected == RATE
        assert track_module.whole_track(track).shape == (1, 1, RATE)


def test_a_long_silence_comes_in_pieces(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "late.mkv"), "w") as output:
        picture = output.add_stream("mpeg4", rate=1)
        picture.width = picture.height = 16
        sound = output.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for _ in range(100):
            output.mux(picture.encode(av.VideoFrame(16, 16, "yuv420p")))
        output.mux(picture.encode(None))
        frame = av.AudioFrame.from_ndarray(np.full((1, RATE), 9999, np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 90 * RATE, Fraction(1, RATE)
        output.mux(sound.encode(frame) + sound.encode(None))
    with VideoFile(tmp_path / "late.mkv").track() as track:
        assert track is not None
        lengths = [piece.shape[-1] for piece in track.pieces]
    assert sum(lengths) == 91 * RATE and max(lengths) <= PIECE_SAMPLES < 90 * RATE
