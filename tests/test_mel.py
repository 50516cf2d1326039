from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from uniavgen_core.audio.mel import PEAK, log_mel, peak_scale, to_model_waveform
from uniavgen_core.checks import check_waveform
from uniavgen_core.config import SAMPLE_RATE
from uniavgen_core.joint_latent import denormalise_mel, normalise_mel
from uniavgen_core.media.waveforms import ResampledWaveform, mono_at_rate, to_mono

GOLDEN = load_file(Path(__file__).parent / "golden" / "mel.safetensors")


def tone(rate: int, seconds: float = 0.5) -> torch.Tensor:
    return torch.sin(2 * torch.pi * 440 * torch.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize("name", ["example_a2v", "example_ravg"])
def test_equals_the_released_features(name: str) -> None:
    mel = log_mel(GOLDEN[f"{name}.waveform"])
    error = (mel - GOLDEN[f"{name}.mel"]).abs()
    assert mel.shape == GOLDEN[f"{name}.mel"].shape
    assert error.mean() <= 1e-5
    assert error.max() <= 1e-3


@pytest.mark.parametrize("samples", [393, 479, 480, 24_000])
def test_one_frame_for_240_samples_in_any_batch(samples: int) -> None:
    waveform = torch.randn(2, 3, samples, generator=torch.Generator().manual_seed(0))
    mel = log_mel(waveform)
    assert mel.shape == (2, 3, samples // 240, 80)
    assert mel.dtype == torch.float32
    # A band's few bins may be weak beside the frame, and what the transform rounds is measured by the frame.
    torch.testing.assert_close(mel[1, 2], log_mel(waveform[1, 2]), atol=1e-4, rtol=0)


def test_too_short_a_sound_is_an_error() -> None:
    with pytest.raises(ValueError, match="too short: 392 samples"):
        log_mel(torch.zeros(392))


def test_normalisation() -> None:
    assert normalise_mel(torch.tensor(-5.1753 + 2.1544)).item() == pytest.approx(1)
    torch.testing.assert_close(denormalise_mel(normalise_mel(GOLDEN["example_a2v.mel"])), GOLDEN["example_a2v.mel"])


def test_peak_scale_gives_each_sound_one_gain_and_leaves_silence() -> None:
    sounds = torch.stack([0.1 * tone(SAMPLE_RATE), -3 * tone(SAMPLE_RATE), torch.zeros(12_000)])
    scaled = peak_scale(sounds)
    torch.testing.assert_close(scaled.abs().amax(dim=1), torch.tensor([PEAK, PEAK, 0.0]))
    torch.testing.assert_close(scaled[1], -scaled[0])


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
def test_stereo_of_any_rate_becomes_mono_at_24_khz(rate: int) -> None:
    stereo = torch.stack([2 * tone(rate), torch.zeros(rate // 2)])[None]
    waveform = to_model_waveform(stereo, rate)
    assert waveform.shape == (1, 12_000)
    torch.testing.assert_close(waveform[0, 500:-500], tone(SAMPLE_RATE)[500:-500], atol=0.02, rtol=0)


def test_an_empty_sound_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty or malformed"):
        to_model_waveform(torch.zeros(1, 2, 0), 44_100)


def voice(seconds: float, rate: int = SAMPLE_RATE) -> torch.Tensor:
    time = torch.arange(round(seconds * rate)) / rate
    return 0.3 * torch.sin(2 * torch.pi * (200 + 40 * time) * time)


def loudness(sound: torch.Tensor) -> torch.Tensor:
    """Of each tenth of a second."""
    return sound.unfold(-1, SAMPLE_RATE // 10, SAMPLE_RATE // 10).square().mean(dim=-1).sqrt()


@pytest.mark.parametrize("gain", [-1.0, -0.95, -1.3, -0.6])
@pytest.mark.parametrize("channels", [2, 3, 6, 8])
def test_an_inverted_channel_does_not_cancel_a_voice(gain: float, channels: int) -> None:
    mono = voice(2)
    sound = torch.zeros(1, channels, len(mono))
    sound[0, 0], sound[0, 1] = mono, gain * mono
    mixed = to_mono(sound, SAMPLE_RATE)[0]
    assert float((loudness(mixed) / loudness(mono)).min()) > 0.3 * 2 / channels
    check_waveform("sound", sound)


def test_a_voice_that_is_inverted_for_a_while_stays_one_voice() -> None:
    mono = voice(4)
    sound = mono.repeat(1, 2, 1)
    sound[0, 1, SAMPLE_RATE : 3 * SAMPLE_RATE] *= -1
    mixed = to_mono(sound, SAMPLE_RATE)[0]
    assert float((mixed - mono).abs().max()) < 0.35 and float((loudness(mixed) / loudness(mono)).min()) > 0.7
    torch.testing.assert_close(mixed[: SAMPLE_RATE - 4800], mono[: SAMPLE_RATE - 4800])


def test_channels_that_do_not_cancel_are_mixed_by_their_mean() -> None:
    noise = torch.randn(2, 2, SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(to_mono(noise, SAMPLE_RATE), noise.mean(dim=1))
    one_side = torch.stack((voice(1), torch.zeros(SAMPLE_RATE)))[None]
    torch.testing.assert_close(to_mono(one_side, SAMPLE_RATE)[0], voice(1) / 2)


@pytest.mark.parametrize("channels", [6, 8])
def test_a_fourth_channel_is_bass_only_beside_others(channels: int) -> None:
    bass = 0.5 * torch.sin(torch.arange(SAMPLE_RATE) * 0.01)
    sound = torch.zeros(1, channels, len(bass))
    sound[0, 3] = bass
    check_waveform("sound", sound)
    torch.testing.assert_close(to_mono(sound, SAMPLE_RATE)[0], bass / channels)
    sound[0, 0] = voice(1)
    torch.testing.assert_close(to_mono(sound, SAMPLE_RATE)[0], voice(1) / (channels - 1))
    sound[0, 0, SAMPLE_RATE // 2 :] = 0
    mixed = to_mono(sound, SAMPLE_RATE)[0]
    torch.testing.assert_close(mixed[-SAMPLE_RATE // 4 :], bass[-SAMPLE_RATE // 4 :] / channels)
    assert float(mixed.diff().abs().max()) < 0.1 / (channels - 1), "it is faded in"


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, SAMPLE_RATE])
def test_a_stretch_of_a_sound_is_that_of_the_whole(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = 0.1 * torch.randn(1, 2, 3 * rate + 77, generator=torch.Generator().manual_seed(0))
    noise[0, 1, rate : 2 * rate] = -noise[0, 0, rate : 2 * rate]
    sound = ResampledWaveform(noise, rate, SAMPLE_RATE)
    whole = sound.stretch(0, sound.samples)
    assert sound.samples == to_model_waveform(noise, rate).shape[-1]
    torch.testing.assert_close(sound.stretch(12_345, 50_000), whole[:, 12_345:50_000], atol=1e-5, rtol=0)
    assert not sound.stretch(sound.samples, sound.samples + 10).any()
    monkeypatch.setattr("uniavgen_core.media.waveforms.PIECE_SAMPLES", 10_000)
    for pieces in (sound.pieces(), mono_at_rate(iter(noise[0].split(1013, dim=-1)), rate, SAMPLE_RATE)):
        torch.testing.assert_close(torch.cat([*pieces], dim=-1), whole, atol=1e-5, rtol=0)
