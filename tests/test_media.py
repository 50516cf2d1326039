"""Files in and out: pictures, sound, video, and what is left behind when writing is cut short."""

from __future__ import annotations

import hashlib
import struct
import wave
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torchaudio
from PIL import Image
from torch import Tensor

from uniavgen_core.media import images, loudness, muxing, waveforms
from uniavgen_core.media.frames import to_float
from uniavgen_core.media.loudness import loudness_gain
from uniavgen_core.media.soundtrack import soundtrack
from uniavgen_core.media.video import VideoFile
from uniavgen_lab import video_files as reading

RATE = 24_000


def click_track(seconds: float, sample_rate: int, channels: int = 1) -> Tensor:
    """Short bursts, at times that repeat nowhere, so that correlation has one peak."""
    samples = torch.zeros(channels, round(seconds * sample_rate))
    for start in (0.11, 0.4, 0.83, 1.07, 1.71):
        first = round(start * sample_rate)
        if first + 40 < samples.shape[1]:
            samples[:, first : first + 40] = 0.7 * torch.hann_window(40)
    return samples


def shift_seconds(heard: Tensor, given: Tensor, sample_rate: int) -> float:
    """By how much the first channel of one waveform lags behind that of another."""
    size = 2 * max(heard.shape[-1], given.shape[-1])
    spectrum = torch.fft.rfft(heard[0], size) * torch.fft.rfft(given[0], size).conj()
    lag = int(torch.fft.irfft(spectrum, size).argmax())
    return (lag if lag < size // 2 else lag - size) / sample_rate


def moving_frames(count: int, height: int = 48, width: int = 64) -> Tensor:
    """A bright square that walks over a gradient."""
    ramp = torch.linspace(0.2, 0.6, width).expand(height, width)
    frames = ramp[None, :, :, None].repeat(count, 1, 1, 3)
    for index, frame in enumerate(frames):
        frame[10:26, index * 2 : index * 2 + 16] = torch.tensor([0.9, 0.5, 0.1])
    return frames


def picture_packets(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [hashlib.sha256(bytes(packet)).hexdigest() for packet in container.demux(video=0) if packet.size]


def remux(source: Path, target: Path, picture_delay: float, sound_delay: float = 0.0) -> Path:
    """Copy an MP4 file's streams with their start moved by that many seconds."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        delays = {"video": picture_delay, "audio": sound_delay}
        copies = {stream.index: writer.add_stream_from_template(stream) for stream in reader.streams}
        for packet in reader.demux():
            if packet.dts is None or packet.pts is None:
                continue
            delay = round(delays[packet.stream.type] / packet.time_base)
            packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
            packet.stream = copies[packet.stream.index]
            writer.mux_one(packet)
    return target


def png(path: Path, pixels: np.ndarray, colour_type: int) -> Path:
    """A 16-bit PNG of pixels (height, width, channels), which Pillow cannot write in colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


# Pictures


def test_grey_palette_and_alpha_pictures_become_rgb(tmp_path: Path) -> None:
    grey = np.array([[0, 51], [102, 255]], dtype=np.uint8)
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]], [[0, 0, 0, 51], [0, 255, 0, 255]]], dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    Image.fromarray(rgba[..., :3]).quantize(4).save(tmp_path / "palette.png")
    seen = images.read_image(tmp_path / "grey.png")
    assert seen.shape == (1, 2, 2, 3) and seen.dtype == torch.float32
    assert torch.allclose(seen[0, :, :, 1], torch.tensor([[0, 0.2], [0.4, 1]]))
    over_white = torch.tensor([[[1, 0, 0], [1, 1, 1]], [[0.8, 0.8, 0.8], [0, 1, 0]]])
    assert torch.allclose(images.read_image(tmp_path / "rgba.png")[0], over_white)
    assert torch.equal(images.read_image(tmp_path / "palette.png")[0], torch.from_numpy(rgba[..., :3]).float() / 255)


def test_transparent_palette_colour_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "palette.gif", transparency=1)
    assert torch.equal(images.read_image(tmp_path / "palette.gif"), torch.ones(1, 4, 4, 3))


def test_sixteen_bit_pictures_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.array([[[0], [13107]], [[32768], [65535]]])
    wanted = torch.from_numpy(values / 65535).float().expand(2, 2, 3)
    grey = images.read_image(png(tmp_path / "grey.png", values, 0))[0]
    colour = images.read_image(png(tmp_path / "colour.png", values.repeat(3, -1), 2))[0]
    assert torch.allclose(grey, wanted)
    assert torch.allclose(colour, wanted, atol=1 / 255)


def test_exif_orientation_turns_the_picture(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 3), dtype=np.uint8)
    pixels[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise: the right half comes to the bottom
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    seen = images.read_image(tmp_path / "turned.png")
    assert seen.shape == (1, 16, 8, 3)
    assert seen[0, :8].max() == 0 and seen[0, 8:].min() == 1


def test_real_portrait_fits_the_model(shared_data: Path) -> None:
    portrait = images.read_image(shared_data / "portraits" / "woman.png")
    assert portrait.shape == (1, 1024, 768, 3)
    width, height = images.automatic_size(768, 1024)
    assert images.crop_and_resize(portrait, width, height).shape == (1, 992, 736, 3)


def test_unreadable_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="notes.png is not a picture"):
        images.read_image(tmp_path / "notes.png")
    with pytest.raises(ValueError, match="cut.png is damaged"):
        images.read_image(tmp_path / "cut.png")
    with pytest.raises(FileNotFoundError, match="absent.png: there is no such"):
        images.read_image(tmp_path / "absent.png")


def test_to_rgb_takes_one_to_four_channels() -> None:
    batch = torch.rand(2, 3, 4, 5)[..., :4]
    assert torch.equal(images.to_rgb(batch[..., :1]), batch[..., :1].repeat(1, 1, 1, 3))
    assert torch.equal(images.to_rgb(batch[..., :3]), batch[..., :3])
    alpha = batch[..., 1:2]
    assert torch.allclose(images.to_rgb(batch[..., :2])[..., 2], (batch[..., :1] * alpha + 1 - alpha)[..., 0])
    assert torch.allclose(images.to_rgb(torch.zeros(1, 1, 1, 4)), torch.ones(1, 1, 1, 3))
    with pytest.raises(ValueError, match="5 channels"):
        images.to_rgb(torch.zeros(1, 2, 2, 5))


def test_crop_and_resize_keeps_the_centre_and_the_range() -> None:
    image = torch.zeros(2, 100, 300, 3)
    image[:, :, 100:200] = 1
    assert torch.equal(images.crop_and_resize(image, 100, 100), torch.ones(2, 100, 100, 3))
    wide = images.crop_and_resize(image, 64, 32)
    assert wide.shape == (2, 32, 64, 3) and wide.min() >= 0 and wide.max() <= 1
    assert torch.allclose(wide, wide.flip(2), atol=1e-5), "the crop is centred"
    stripes = (torch.arange(256) % 2).float()[None, None, :, None].expand(1, 256, 256, 3)
    assert (images.crop_and_resize(stripes, 64, 64) - 0.5).abs()[:, 2:-2, 2:-2].max() < 0.05, "no aliasing"


def test_half_precision_is_resized_on_the_cpu() -> None:
    frames = torch.rand(1, 20, 30, 3, generator=torch.Generator().manual_seed(0))
    half = images.crop_and_resize(frames.half(), 16, 16)
    assert half.dtype == torch.float16
    assert torch.allclose(half.float(), images.crop_and_resize(frames, 16, 16), atol=2e-3)


@pytest.mark.parametrize(
    ("size", "short_side", "wanted"),
    [
        ((1120, 736), 736, (1120, 736)),
        ((768, 1024), 736, (736, 992)),
        ((500, 500), 128, (128, 128)),
        ((4000, 500), 128, (256, 128)),
        ((500, 4000), 736, (736, 1472)),
        ((30, 20), 10, (32, 32)),
    ],
)
def test_automatic_size(size: tuple[int, int], short_side: int, wanted: tuple[int, int]) -> None:
    assert images.automatic_size(*size, short_side) == wanted


# Sound


@pytest.mark.parametrize(("width", "rate", "channels"), [(1, 8000, 1), (2, 44_100, 2), (3, 48_000, 1), (4, 96_000, 2)])
def test_whole_number_samples_are_scaled_to_full_scale_one(
    tmp_path: Path, width: int, rate: int, channels: int
) -> None:
    full = 2 ** (8 * width - 1)
    values = [0, full // 2, -full, full - 1] * 100
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", "NONE"))
        offset = full if width == 1 else 0
        for value in values:
            file.writeframesraw((value + offset).to_bytes(width, "little", signed=width > 1) * channels)
    waveform, sample_rate = reading.read_audio(tmp_path / "sound.wav")
    assert sample_rate == rate and waveform.shape == (1, channels, 400) and waveform.dtype == torch.float32
    assert torch.allclose(waveform[0, -1], torch.tensor(values) / full, atol=1e-7)


def test_float_samples_are_read_as_they_are(tmp_path: Path) -> None:
    given = np.linspace(-1, 1, 500, dtype=np.float32)[None]
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(given, format="flt", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame) + stream.encode(None))
    assert np.array_equal(reading.read_audio(tmp_path / "sound.wav")[0][0].numpy(), given)


def test_real_speech_is_read_sample_by_sample(shared_data: Path) -> None:
    for name in ("reference_male.wav", "driving.wav"):
        waveform, sample_rate = reading.read_audio(shared_data / "speech" / name)
        with wave.open(str(shared_data / "speech" / name)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
            assert sample_rate == file.getframerate()
        assert np.array_equal(waveform[0].numpy(), samples.T / np.float32(32768))


def test_files_without_sound_or_picture_are_named(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "NONE"))
        file.writeframes(bytes(2000))
    muxing.write_video(tmp_path / "mute.mp4", moving_frames(3), 16)
    with pytest.raises(ValueError, match="mute.mp4 has no sound"):
        reading.read_audio(tmp_path / "mute.mp4")
    with pytest.raises(ValueError, match="sound.wav has no picture"):
        reading.read_video(tmp_path / "sound.wav")
    (tmp_path / "notes.mp4").write_text("neither")
    with pytest.raises(ValueError, match="notes.mp4 is damaged or not a sound or video file"):
        reading.read_video(tmp_path / "notes.mp4")
    with pytest.raises(FileNotFoundError, match="absent.mp4"):
        reading.read_video(tmp_path / "absent.mp4")


def test_fit_audio_cuts_and_pads_at_the_end() -> None:
    waveform = torch.arange(1.0, 7.0).reshape(1, 2, 3)
    assert torch.equal(waveforms.fit_audio(waveform, 2), waveform[..., :2])
    assert torch.equal(waveforms.fit_audio(waveform, 5)[..., 3:], torch.zeros(1, 2, 2))
    assert torch.equal(waveforms.fit_audio(waveform, 5)[..., :3], waveform)


def test_fade_touches_only_the_ends() -> None:
    faded = soundtrack(torch.ones(1, 2, 1000), 1000, None, fade_seconds=0.1)[0]
    assert faded[0, 0] == 0 and faded[0, -1] == 0 and faded[0, 50] == 0.5
    assert torch.equal(faded[:, 100:900], torch.ones(2, 800))
    assert torch.equal(faded, faded.flip(-1))
    assert torch.equal(soundtrack(torch.ones(1, 1, 3), 1000, None), torch.ones(1, 1, 3))
    assert soundtrack(torch.ones(1, 1, 10), 1000, None, fade_seconds=9).shape == (1, 1, 10)


def set_loudness(waveform: Tensor, sample_rate: int, lufs: float) -> Tensor:
    """A waveform (…, channels, samples) of a loudness."""
    sounds = waveform.reshape(-1, *waveform.shape[-2:])
    return torch.stack([sound * loudness_gain(sound, sample_rate, lufs) for sound in sounds]).reshape(waveform.shape)


def test_loudness_in_pieces_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 7 * RATE, generator=generator) * torch.linspace(0.001, 0.05, 7 * RATE)
    wanted = 10 ** ((-30 - float(torchaudio.functional.loudness(noise * 0.1, RATE)) - 20) / 20)
    monkeypatch.setattr(loudness, "MEASURED_SAMPLES", RATE)
    assert loudness_gain(noise, RATE, -30) == pytest.approx(wanted, rel=1e-3)


def test_set_loudness_reaches_the_target(shared_data: Path) -> None:
    import torchaudio

    waveform, rate = reading.read_audio(shared_data / "speech" / "basic_ref_en.wav")
    changed = set_loudness(waveform, rate, -30)
    assert float(torchaudio.functional.loudness(changed[0], rate)) == pytest.approx(-30, abs=0.1)
    assert changed.shape == waveform.shape
    full_scale = 10 ** (-1 / 20)
    assert set_loudness(waveform, rate, 0).abs().max() == pytest.approx(full_scale, abs=1e-4), "never clips"


def test_set_loudness_leaves_silence_and_takes_short_sound() -> None:
    silence = torch.zeros(1, 2, RATE)
    assert torch.equal(set_loudness(silence, RATE, -20), silence)
    short = 0.01 * torch.sin(torch.arange(2400) * 0.3)[None, None]
    louder = set_loudness(torch.cat((short, torch.zeros_like(short))), RATE, -30)
    assert louder[0].abs().max() > short.abs().max()
    assert torch.equal(louder[1], torch.zeros(1, 2400))


# Video


def test_set_loudness_of_surround_sound_leaves_its_bass_out() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = 0.01 * torch.randn(2, 6, RATE, generator=generator)
    noise[:, 3] *= 2
    without = set_loudness(noise[:, [0, 1, 2, 4, 5]], RATE, -30)
    changed = set_loudness(noise, RATE, -30)
    torch.testing.assert_close(changed[:, [0, 1, 2, 4, 5]], without)
    torch.testing.assert_close(changed[:, 3] / noise[:, 3], changed[:, 0] / noise[:, 0], msg="one gain for all")
    torch.testing.assert_close(set_loudness(noise[0], RATE, -30), changed[0])
    only = torch.zeros(1, 6, RATE)
    only[:, 3] = noise[:1, 3]
    torch.testing.assert_close(set_loudness(only, RATE, -30)[:, 3], set_loudness(noise[:1, 3], RATE, -30))
    with pytest.raises(ValueError, match="7 channels"):
        set_loudness(torch.ones(7, RATE), RATE, -30)


def test_real_clip_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "clips" / "dubbing.mp4"
    with av.open(str(path)) as container:
        third = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][2]
    frames, frame_rate, sound = reading.read_video(path)
    assert frames.shape == (81, 736, 1280, 3) and frame_rate == Fraction(16)
    assert float((frames[2] - torch.from_numpy(third).float() / 255).abs().mean()) < 2 / 255
    assert sound is not None
    waveform, sample_rate = sound
    assert sample_rate == 24_000
    assert waveform.shape == (1, 1, 120_960), "the length that the container states, without the codec's padding"


def test_written_video_comes_back(tmp_path: Path) -> None:
    frames, clicks = moving_frames(33), click_track(33 / 16, RATE)
    path = tmp_path / "clip.mp4"
    muxing.write_video(path, frames, 16, clicks, RATE)
    seen, frame_rate, sound = reading.read_video(path)
    assert seen.shape == frames.shape and frame_rate == 16
    assert float((seen - frames).abs().mean()) < 0.01
    assert float((seen - frames).mean().abs()) < 0.5 / 255, "no bias in brightness"
    assert sound is not None and sound[0].shape == (1, 1, clicks.shape[-1])
    summary = reading.stream_summary(path)
    assert (summary.frames, summary.width, summary.height) == (33, 64, 48)
    assert summary.frame_rate == Fraction(16)
    assert (summary.video_codec, summary.audio_codec) == ("h264", "aac")
    assert (summary.sample_rate, summary.channels) == (RATE, 1)
    assert summary.video_seconds == pytest.approx(33 / 16) and summary.audio_seconds == pytest.approx(33 / 16)
    assert list(tmp_path.iterdir()) == [path]


def test_colours_survive(tmp_path: Path) -> None:
    colours = torch.tensor([[1.0, 1, 1], [0, 0, 0], [0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.2, 0.2, 0.9], [0.9, 0.7, 0.6]])
    frames = colours[:, None, None].expand(6, 32, 32, 3)
    muxing.write_video(tmp_path / "colours.mp4", frames, 16)
    assert float((reading.read_video(tmp_path / "colours.mp4")[0] - frames).abs().max()) < 3 / 255


@pytest.mark.parametrize(
    ("suffix", "rate", "channels"),
    [(".mp4", 24_000, 1), (".mp4", 44_100, 2), (".mp4", 40_000, 1), (".mov", 16_000, 1), (".mkv", 96_000, 2)],
)
def test_sound_is_not_shifted(tmp_path: Path, suffix: str, rate: int, channels: int) -> None:
    clicks = click_track(2, rate, channels)
    path = tmp_path / f"clip{suffix}"
    muxing.write_video(path, moving_frames(32), Fraction(16), clicks, rate)
    heard, heard_rate = reading.read_audio(path)
    assert heard.shape[1] == channels
    assert heard.shape[-1] / heard_rate == pytest.approx(2, abs=1 / heard_rate)
    given = click_track(2, heard_rate, channels)
    assert abs(shift_seconds(heard[0], given, heard_rate)) < 1e-3
    assert float(heard[0].max()) == pytest.approx(0.7, abs=0.1)


def test_odd_sizes_lose_one_row_and_column(tmp_path: Path) -> None:
    frames = moving_frames(4, 49, 65)
    muxing.write_video(tmp_path / "odd.mp4", frames, 16)
    seen = reading.read_video(tmp_path / "odd.mp4")[0]
    assert seen.shape == (4, 48, 64, 3)
    assert float((seen - frames[:, :48, :64]).abs().mean()) < 0.01
    with pytest.raises(ValueError, match="too small"):
        muxing.write_video(tmp_path / "tiny.mp4", torch.zeros(1, 1, 8, 3), 16)
    with pytest.raises(ValueError, match="no frames"):
        muxing.write_video(tmp_path / "none.mp4", torch.zeros(0, 8, 8, 3), 16)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
def test_interrupted_writing_leaves_nothing_and_keeps_the_old_file(tmp_path: Path, fault: type[BaseException]) -> None:
    def frames() -> Iterator[Tensor]:
        yield from moving_frames(60)
        raise fault

    target = tmp_path / "clip.mp4"
    target.write_text("the old clip")
    with pytest.raises(fault):
        muxing.write_video(target, frames(), 16, click_track(4, RATE), RATE)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert target.read_text() == "the old clip"


def test_replaced_sound_leaves_the_picture_alone(tmp_path: Path, shared_data: Path) -> None:
    source, target = shared_data / "clips" / "dubbing.mp4", tmp_path / "dubbed.mp4"
    clicks = click_track(81 / 16, RATE)
    muxing.replace_audio(source, target, clicks, RATE)
    assert picture_packets(target) == picture_packets(source)
    heard, heard_rate = reading.read_audio(target)
    assert heard_rate == RATE and heard.shape == (1, 1, clicks.shape[-1])
    assert abs(shift_seconds(heard[0], clicks, RATE)) < 1e-3
    summary = reading.stream_summary(target)
    assert (summary.frames, summary.frame_rate, summary.audio_codec) == (81, Fraction(16), "aac")
    assert summary.video_seconds == pytest.approx(81 / 16, abs=1e-3)


def test_replaced_sound_of_a_broadcast_recording(tmp_path: Path, shared_data: Path) -> None:
    source = sorted((shared_data / "grid").glob("*.mpg"))[0]
    before = reading.stream_summary(source)
    muxing.replace_audio(source, tmp_path / "new.mp4", click_track(3, 44_100), 44_100)
    after = reading.stream_summary(tmp_path / "new.mp4")
    assert (after.frames, after.width, after.height) == (before.frames, before.width, before.height)
    assert after.video_seconds == pytest.approx(before.video_seconds, abs=1 / 25)
    assert after.audio_seconds == pytest.approx(3, abs=1e-3)


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_replaced_sound_starts_with_a_late_picture(tmp_path: Path, suffix: str) -> None:
    frames, clicks = moving_frames(33), click_track(33 / 16, RATE)
    muxing.write_video(tmp_path / "clip.mp4", frames, 16, clicks, RATE)
    late = remux(tmp_path / "clip.mp4", tmp_path / f"late{suffix}", picture_delay=0.75, sound_delay=0.25)
    with av.open(str(late)) as container:
        picture = container.streams.video[0]
        assert picture.start_time and picture.time_base and picture.start_time * picture.time_base > 0.7
    target = tmp_path / "new.mp4"
    muxing.replace_audio(late, target, clicks, RATE)
    with av.open(str(target)) as container:
        assert container.streams.video[0].start_time == 0
    seen, _, sound = reading.read_video(target)
    assert seen.shape == frames.shape and float((seen - frames).abs().mean()) < 0.01
    assert sound is not None
    assert abs(shift_seconds(sound[0][0], clicks, RATE)) < 1e-3


@pytest.mark.parametrize(("picture_delay", "sound_delay"), [(0.5, 0.5), (0.5, 0.25), (0.25, 0.5)])
def test_read_sound_starts_with_the_first_frame(tmp_path: Path, picture_delay: float, sound_delay: float) -> None:
    clicks = click_track(2, RATE)
    muxing.write_video(tmp_path / "clip.mp4", moving_frames(32), 16, clicks, RATE)
    late = remux(tmp_path / "clip.mp4", tmp_path / "late.mkv", picture_delay, sound_delay)
    sound = reading.read_video(late)[2]
    assert sound is not None
    lag = shift_seconds(sound[0][0], clicks, RATE)
    assert lag == pytest.approx(sound_delay - picture_delay, abs=1.5e-3), "Matroska counts in milliseconds"


def test_frames_before_an_edit_stay_hidden(tmp_path: Path) -> None:
    frames, clicks = moving_frames(33), click_track(28 / 16, RATE)
    muxing.write_video(tmp_path / "clip.mp4", frames, 16)
    cut = remux(tmp_path / "clip.mp4", tmp_path / "cut.mp4", picture_delay=-5 / 16)
    shown = reading.read_video(cut)[0]
    assert len(shown) == 28
    muxing.replace_audio(cut, tmp_path / "new.mp4", clicks, RATE)
    seen, _, sound = reading.read_video(tmp_path / "new.mp4")
    assert torch.equal(seen, shown)
    assert sound is not None and abs(shift_seconds(sound[0][0], clicks, RATE)) < 1e-3
    assert reading.stream_summary(tmp_path / "new.mp4").frames == 28


def test_turned_video_is_read_upright(tmp_path: Path) -> None:
    frames = torch.zeros(4, 32, 64, 3)
    frames[:, :, 32:] = 1
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    muxing.write_video(plain, frames, 16)
    one = 1 << 16
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    header, track, rest = plain.read_bytes().partition(b"tkhd")
    turned.write_bytes(header + track + rest.replace(upright, clockwise, 1))
    muxing.replace_audio(turned, tmp_path / "new.mp4", click_track(0.25, RATE), RATE)
    for path in (turned, tmp_path / "new.mp4"):
        seen = reading.read_video(path)[0]
        assert seen.shape == (4, 64, 32, 3)
        assert seen[:, :30].max() < 0.1 and seen[:, 34:].min() > 0.9, "the right half comes to the bottom"


def test_sound_for_a_single_frame(tmp_path: Path) -> None:
    muxing.write_video(tmp_path / "still.mkv", moving_frames(1), 16)
    muxing.replace_audio(tmp_path / "still.mkv", tmp_path / "new.mp4", click_track(1, RATE), RATE)
    summary = reading.stream_summary(tmp_path / "new.mp4")
    assert summary.frames == 1 and summary.audio_seconds == pytest.approx(1)


def test_replace_audio_may_write_over_its_source_and_read_open_files(tmp_path: Path) -> None:
    path, clicks = tmp_path / "clip.mp4", click_track(1, RATE)
    muxing.write_video(path, moving_frames(16), 16)
    packets = picture_packets(path)
    muxing.replace_audio(path, path, clicks, RATE)
    assert picture_packets(path) == packets
    with path.open("rb") as file:
        muxing.replace_audio(file, tmp_path / "copy.mp4", clicks, RATE)
        assert reading.read_video(file)[2] is not None
    assert picture_packets(tmp_path / "copy.mp4") == packets


def test_length_of_the_picture_without_its_sound(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    muxing.write_video(file, moving_frames(20), 10, click_track(4, RATE), RATE)
    assert VideoFile(file).seconds == reading.stream_summary(file).video_seconds == 2
    with file.open("rb") as opened:
        assert VideoFile(opened).seconds == 2


def write_frames(path: Path, codec: str, places: Sequence[int], pixel_format: str = "yuv420p") -> None:
    """Frames at these thirtieths of a second, whose brightness tells the time."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixel_format
        stream.codec_context.time_base = Fraction(1, 30)
        for place in places:
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 + 3 * (place % 60), np.uint8))
            frame.pts, frame.time_base = place, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv", "uneven.mov"])
def test_frames_that_come_unevenly_are_read_at_even_times(tmp_path: Path, name: str) -> None:
    """As telephones record: half of the frames are missing in the second half."""
    write_frames(tmp_path / name, "libx264", [*range(30), *range(30, 60, 2)])
    frames, rate, _ = reading.read_video(tmp_path / name)
    seconds = torch.arange(len(frames)) / float(rate)
    shown = (frames.mean(dim=(1, 2, 3)) * 255 - 20) / 3 / 30
    torch.testing.assert_close(shown, seconds, atol=0.07, rtol=0)
    video = VideoFile(tmp_path / name)
    assert (video.own_frames, video.times.rate) == (len(frames), rate)
    assert len(frames) / rate == pytest.approx(2, abs=0.05)
    torch.testing.assert_close(torch.stack([*map(to_float, video.own_images())]), frames)


def test_times_that_start_anew_lose_no_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / "part.ts", "libx264", range(30))
    (tmp_path / "twice.ts").write_bytes(2 * (tmp_path / "part.ts").read_bytes())
    video = VideoFile(tmp_path / "twice.ts")
    assert len([*video.own_images()]) == video.own_frames == 60


def test_a_wrong_time_is_not_waited_for(tmp_path: Path) -> None:
    write_frames(tmp_path / "jump.mkv", "libx264", [0, 1, 2, 3, 4, 30 * 3600])
    assert len(reading.read_video(tmp_path / "jump.mkv")[0]) == VideoFile(tmp_path / "jump.mkv").own_frames == 6
