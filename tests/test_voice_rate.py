"""How long somebody speaks in a recording, whatever silence is around it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from uniavgen_core.audio.mel import log_mel, peak_scale
from uniavgen_core.audio.voice import voiced_seconds
from uniavgen_core.config import SAMPLE_RATE
from uniavgen_core.speech.duration import reference_pace, seconds_for_speech

SPEECH = "Some call me nature, others call me mother nature, and I have been here for a long time"


def voice(seconds: float) -> Tensor:
    """Syllables (samples), five a second, of a few partials."""
    time = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = torch.sin(2 * math.pi * 180 * time) + 0.5 * torch.sin(2 * math.pi * 900 * time)
    return 0.5 * tone * (0.15 + 0.85 * torch.sin(math.pi * 5 * time).square())


def silence(seconds: float, level: float = 0.0) -> Tensor:
    noise = torch.randn(round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(1))
    return level * noise


def click(seconds: float) -> Tensor:
    sound = silence(seconds)
    sound[len(sound) // 2 :][:48] = 0.8
    return sound


def measured(*parts: Tensor) -> float:
    return voiced_seconds(log_mel(peak_scale(torch.cat(parts)[None]))[0])


@pytest.mark.parametrize("level", [0.0, 3e-4, 1e-3])
def test_silence_around_a_voice_does_not_count(level: float) -> None:
    clean, quiet = voice(2.0), silence(4.0, level)
    for parts in ((quiet, clean), (clean, quiet), (quiet, clean, quiet), (silence(20.0, level), clean)):
        assert measured(*parts) == pytest.approx(2.0, abs=0.3)
    assert measured(clean) == pytest.approx(2.0, abs=0.05)


def test_silence_within_counts_as_a_breath() -> None:
    assert measured(voice(1.0), silence(4.0), voice(1.0)) == pytest.approx(2.4, abs=0.1)
    assert measured(voice(1.0), silence(0.2), voice(1.0)) == pytest.approx(2.2, abs=0.1)


def test_a_click_is_no_voice() -> None:
    assert measured(click(4.0), voice(2.0), click(4.0)) == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize(
    "around", [(), ("before",), ("after",), ("before", "after")], ids=lambda around: "+".join(around)
)
def test_the_same_words_take_the_same_time_whatever_is_around_a_real_voice(
    shared_data: Path, around: tuple[str, ...]
) -> None:
    samples, rate = soundfile.read(shared_data / "speech" / "reference_male.wav", dtype="float32")
    assert rate == SAMPLE_RATE
    sound = torch.from_numpy(samples)
    if "before" in around:
        sound = torch.cat((silence(4.0), sound))
    if "after" in around:
        sound = torch.cat((sound, silence(4.0)))
    pace = reference_pace("Selected forms are propagated.", "en", measured(sound))
    assert seconds_for_speech(SPEECH[:85], "en", pace) == pytest.approx(5.8, abs=0.4)
