"""A file's sound of which a stretch is replaced: which packets are copied, and that all else sounds as it did."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import torch
from torch import Tensor

from uniavgen_core.media.copying import plan_copy
from uniavgen_core.media.muxing import replace_audio
from uniavgen_core.media.sound_splicing import FRAME_SAMPLES, SoundSplice, splice_sound
from uniavgen_core.media.track import open_track, whole_track

RATE, SECONDS = 48_000, 4.0


def voice(channels: int = 2, rate: int = RATE, seconds: float = SECONDS) -> Tensor:
    """Something like a voice: syllables of harmonics, with noise between."""
    time = torch.arange(round(seconds * rate)) / rate
    loud = (torch.sin(2 * torch.pi * 2.5 * time).clamp(min=0)).sqrt()
    tone = sum(torch.sin(2 * torch.pi * 140 * n * time + n) / n for n in range(1, 12))
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(2))
    mono = 0.2 * loud * tone + 0.002 * noise
    return torch.stack([mono * (0.5 + 0.5 * channel) for channel in range(channels)])


def write(
    path: Path, waveform: Tensor, rate: int = RATE, codec: str = "aac", seconds: float = SECONDS, **options: str
) -> Path:
    with av.open(path, "w") as output:
        picture = output.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        sound = output.add_stream(codec, rate=rate, layout="mono" if len(waveform) == 1 else "stereo")
        # Noise that the decoder makes up is another one where it has made up other noise before.
        sound.options = {"aac_pns": "0", **options} if codec == "aac" else {}
        for index in range(round(25 * seconds)):
            pixels = numpy.full((64, 64, 3), index % 200, numpy.uint8)
            output.mux(picture.encode(av.VideoFrame.from_ndarray(pixels)))
        output.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(waveform.numpy(), format="fltp", layout=sound.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        output.mux(sound.encode(frame))
        output.mux(sound.encode())
    return path


def packets(path: Path) -> list[bytes]:
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def heard(path: Path) -> Tensor:
    with open_track(path) as track:
        assert track is not None
        return whole_track(track)[0]


def replaced(source: Path, target: Path, start: float, end: float) -> tuple[Any, Tensor, Tensor]:
    """How the sound was spliced, what was asked for, and what is heard."""
    own = heard(source)
    with av.open(source) as container:
        rate = container.streams.audio[0].rate
    asked = own.clone()
    first, last = round(start * rate), round(end * rate)
    asked[:, first:last] = 0.1 * torch.randn(len(own), last - first, generator=torch.Generator().manual_seed(3))
    plan = plan_copy(source)
    seconds = (Fraction(start).limit_denominator(1000), Fraction(end).limit_denominator(1000))
    splice = splice_sound(source, plan, iter(asked.split(5000, dim=-1)), seconds)
    if isinstance(splice, SoundSplice):
        replace_audio(source, target, asked, rate, plan, splice=splice)
    return splice, asked, heard(target) if target.is_file() else own


@pytest.mark.parametrize(
    ("channels", "rate", "options"),
    [(2, 48_000, {}), (1, 44_100, {}), (1, 24_000, {"aac_coder": "fast"})],
    ids=["stereo", "mono", "low rate"],
)
def test_samples_outside_are_the_files_own(tmp_path: Path, channels: int, rate: int, options: dict[str, str]) -> None:
    """Bit for bit as they are decoded, but for two frames where the encoders meet, and the new stretch."""
    source = write(tmp_path / "source.mp4", voice(channels, rate), rate, **options)
    splice, asked, made = replaced(source, tmp_path / "made.mp4", 1.5, 2.1)
    assert isinstance(splice, SoundSplice) and splice.end is not None
    before, after = packets(source), packets(tmp_path / "made.mp4")
    assert len(after) == len(before)
    assert after[: splice.first] == before[: splice.first] and after[splice.end :] == before[splice.end :]
    own = heard(source)
    assert made.shape == own.shape
    first, last = (splice.start + index * FRAME_SAMPLES for index in (splice.first, splice.end))
    assert torch.equal(made[:, :first], own[:, :first])
    assert torch.equal(made[:, last + FRAME_SAMPLES :], own[:, last + FRAME_SAMPLES :])
    assert 1.5 * rate - 14 * FRAME_SAMPLES < first < 1.5 * rate
    assert 2.1 * rate <= last < 2.1 * rate + 14 * FRAME_SAMPLES
    level = own.square().mean().sqrt()
    for frame in (first, last):
        difference = (made - asked)[:, frame : frame + FRAME_SAMPLES]
        assert difference.square().mean().sqrt() < 0.1 * level
    inside = (made - asked)[:, round(1.5 * rate) : round(2.1 * rate)]
    assert inside.square().mean().sqrt() < 0.05


def test_a_stretch_at_either_end(tmp_path: Path) -> None:
    source = write(tmp_path / "source.mp4", voice())
    own, count = heard(source), len(packets(source))
    splice, _, made = replaced(source, tmp_path / "first.mp4", 0.0, 0.5)
    assert isinstance(splice, SoundSplice) and splice.first == 0 and splice.end is not None
    behind = splice.start + (splice.end + 1) * FRAME_SAMPLES
    assert made.shape == own.shape and torch.equal(made[:, behind:], own[:, behind:])
    splice, _, made = replaced(source, tmp_path / "last.mp4", 3.5, SECONDS)
    assert isinstance(splice, SoundSplice) and splice.end is None
    before = splice.start + splice.first * FRAME_SAMPLES
    assert made.shape == own.shape and torch.equal(made[:, :before], own[:, :before])
    assert len(packets(tmp_path / "last.mp4")) == count


@pytest.mark.parametrize(("start", "ends_before"), [(2.5, False), (3.05, False), (3.4, True)])
def test_a_sound_that_ends_before_the_picture(tmp_path: Path, start: float, ends_before: bool) -> None:
    source = write(tmp_path / "source.mp4", voice(seconds=3.0), seconds=4.0)
    asked = torch.nn.functional.pad(heard(source), (0, RATE))
    asked[:, round(start * RATE) : round(3.8 * RATE)] = 0
    seconds = (Fraction(start).limit_denominator(100), Fraction(19, 5))
    splice = splice_sound(source, plan_copy(source), iter(asked.split(5000, dim=-1)), seconds)
    if ends_before:
        assert splice == "it ends before the new sound begins"
        return
    assert isinstance(splice, SoundSplice) and splice.end is None
    assert 0 < splice.first < len(packets(source)) and splice.samples == asked.shape[-1]


def test_a_sound_that_stays_is_copied_whole(tmp_path: Path) -> None:
    source = write(tmp_path / "source.mp4", voice(), aac_pns="1")
    plan = plan_copy(source)
    splice = splice_sound(source, plan, iter([]), None)
    assert isinstance(splice, SoundSplice)
    replace_audio(source, tmp_path / "made.mp4", heard(source), RATE, plan, splice=splice)
    assert packets(tmp_path / "made.mp4") == packets(source)
    assert torch.equal(heard(tmp_path / "made.mp4"), heard(source))


@pytest.mark.parametrize(
    ("name", "codec", "why"), [("a.mkv", "aac", "only AAC in MP4"), ("a.mp4", "libmp3lame", "only AAC in MP4")]
)
def test_another_sound_is_encoded_anew(tmp_path: Path, name: str, codec: str, why: str) -> None:
    source = write(tmp_path / name, voice(), codec=codec)
    assert why in splice_sound(source, plan_copy(source), iter([]), None)


def test_a_trimmed_video_is_encoded_anew(tmp_path: Path) -> None:
    source = write(tmp_path / "source.mp4", voice())
    assert "trimmed" in splice_sound(source, plan_copy(source).part(1.0, 2.0), iter([]), None)
