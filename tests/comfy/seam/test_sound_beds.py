"""A bed of sound under the voice of a VIDEO, through UniAVGen Sound Bed and UniAVGen AV Mux."""

from __future__ import annotations

from typing import Any

import av
import pytest
import torch
from clips import refused
from comfy_api.latest import InputImpl
from pack.nodes.media import AVMux
from pack.nodes.sound_beds import SoundBed

SETTINGS = {
    "gain": 0.0, "ducking": 0.0, "fade_in": 0.0, "fade_out": 0.0, "loop": True, "attack": 0.2, "release": 0.8,
}  # fmt: skip


def audio(level: float, seconds: float = 1.0, rate: int = 24_000, channels: int = 1) -> dict[str, Any]:
    wave = level * torch.sin(torch.arange(round(seconds * rate)) * (2_000 / rate))
    return {"waveform": wave.expand(1, channels, -1), "sample_rate": rate}


def mux(video: Any, sound: dict[str, Any], length: str = "video", **more: Any) -> Any:
    settings = {"frame_rate": 16.0, "fade": 0.0, "loudness": {"loudness": "as it is"}}
    return AVMux.execute(video=video, audio=sound, length=length, **settings, **more).result[0]


def heard(video: Any) -> tuple[torch.Tensor, int]:
    sound = video.get_components().audio
    return sound["waveform"], sound["sample_rate"]


def test_frames_and_files_get_a_bed_of_their_length() -> None:
    frames, silent = torch.rand(32, 64, 64, 3), audio(0.0, 0.25)
    video = mux(frames, silent, bed=audio(0.5, 1.5, 44_100, 6))
    waveform, rate = heard(video)
    assert waveform.shape == (1, 2, 96_000) and rate == 48_000
    assert 0.05 < waveform[..., 40_000:60_000].abs().max() < 0.2, "12 dB softer"
    (made,) = SoundBed.execute(audio(0.5, 3.0), **SETTINGS).result
    file = mux(frames, silent, subtitles="0 --> 1 Hello.")
    copied = mux(InputImpl.VideoFromFile(file.get_stream_source()), silent, bed=made)
    with av.open(copied.get_stream_source()) as container:
        (track,) = container.streams.audio
        assert (track.rate, track.channels) == (48_000, 2)
    assert heard(copied)[0].abs().max() > 0.45
    held = mux(frames, audio(0.3, 3.0), "audio", bed=made)
    assert heard(held)[0].shape[-1] == pytest.approx(3 * 48_000, abs=2_048)


def test_a_video_lends_its_own_sound_and_beds_add_up() -> None:
    lender = mux(torch.rand(16, 64, 64, 3), audio(0.4))
    file = mux(torch.rand(16, 64, 64, 3), audio(0.4), subtitles="0 --> 1 Hello.")
    (first,) = SoundBed.execute(lender, **SETTINGS).result
    (both,) = SoundBed.execute(InputImpl.VideoFromFile(file.get_stream_source()), **SETTINGS, bed=first).result
    assert len(both) == 2
    waveform, _ = heard(mux(torch.rand(16, 64, 64, 3), audio(0.0), bed=both))
    assert waveform.abs().max() > 0.6


def test_what_is_no_bed_is_refused() -> None:
    with refused("sound is missing", "connect a sound"):
        SoundBed.execute(None, **SETTINGS)
    with refused("sound", "NaN"):
        SoundBed.execute({"waveform": torch.full((1, 1, 48_000), torch.nan), "sample_rate": 48_000}, **SETTINGS)
    with refused("bed", "2"):
        mux(torch.rand(4, 64, 64, 3), audio(0.1), bed={"waveform": torch.zeros(2, 1, 48_000), "sample_rate": 48_000})
    with refused("too short to be repeated", "loop"):
        SoundBed.execute(audio(0.1, 0.1), **SETTINGS)
    assert SoundBed.execute(audio(0.1, 0.1), **SETTINGS | {"loop": False}).result


def test_a_report_says_what_the_clip_is() -> None:
    settings = {"frame_rate": 16.0, "fade": 0.0, "loudness": {"loudness": "even", "lufs": -20.0}, "length": "video"}
    report = AVMux.execute(video=torch.rand(32, 64, 96, 3), audio=audio(0.3, 2.0, 48_000, 8), **settings).result[1]
    notes, size, sound = report.splitlines()
    assert "8 channels are mixed down to 2" in notes
    assert size == "2.00 s, 32 frames at 16, 96 × 64"
    assert sound.startswith("stereo, 48 kHz, -20.") or sound.startswith("stereo, 48 kHz, -19.9")
