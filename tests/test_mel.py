from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from uniavgen_core.audio.mel import PEAK, denormalise_mel, log_mel, normalise_mel, peak_scale, to_model_waveform
from uniavgen_core.config import SAMPLE_RATE

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
