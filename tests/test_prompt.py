"""What the passes are told to say, and the reference voice."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.audio.voice import reference_mel
from uniavgen_core.speech.reader import SpeechReader

SPACE = 0
READER = SpeechReader()


def tone(seconds: float = 1.0, rate: int = 24_000) -> Tensor:
    """A voice (1, 1, samples) of a few partials, its loudest sample near 0.9."""
    time = torch.arange(round(seconds * rate)) / rate
    return (0.6 * torch.sin(2 * math.pi * 220 * time) + 0.3 * torch.sin(2 * math.pi * 1760 * time)).view(1, 1, -1)


def test_words_alone() -> None:
    assert READER.positive_symbols("  Good day.\n", "en") == READER.symbols("Good day.", "en")
    assert READER.negative_symbols("en") == READER.negative_symbols("zh") == [SPACE] + [-1] * 9


def test_words_after_those_of_a_reference_voice() -> None:
    assert READER.positive_symbols(" Good day.", "en", " Hello there. ") == READER.symbols(
        "Hello there. Good day.", "en"
    )
    assert READER.negative_symbols("en", " Hello there. ") == [*READER.symbols("Hello there.", "en"), SPACE]


def test_chinese_after_a_reference_voice() -> None:
    unspoken = READER.negative_symbols("zh", "你好。")
    assert unspoken[-1] == SPACE
    assert READER.positive_symbols("早上好", "zh", "你好。")[: len(unspoken)] == unspoken


def test_nothing_to_say_is_an_error() -> None:
    with pytest.raises(ValueError, match="The speech is empty"):
        READER.positive_symbols(" \n", "en", "Hello there.")


def test_reference_voice_is_scaled_and_followed_by_silence() -> None:
    sound = 0.02 * tone(seconds=0.5)
    scaled = sound / sound.abs().max() * 0.999146
    expected = log_mel(torch.cat((scaled[0], torch.zeros(1, 7200)), dim=1))
    mel = reference_mel(sound, 24_000, "Hello there.")
    assert mel.shape == (1, 50 + 30, 80)
    torch.testing.assert_close(mel, expected, rtol=0, atol=0.05)
    torch.testing.assert_close(mel[:, 53:], log_mel(torch.zeros(1, 27 * 240)))


def test_reference_voice_of_any_rate_and_channels() -> None:
    stereo = torch.cat((2 * tone(rate=48_000), torch.zeros(1, 1, 48_000)), dim=1)
    batch = torch.cat((stereo, torch.randn(stereo.shape)))
    mel, expected = reference_mel(batch, 48_000, "Hello."), reference_mel(tone(), 24_000, "Hello.")
    assert mel.shape == expected.shape == (1, 130, 80)
    loud = expected[:, 5:95] > -4
    assert (mel[:, 5:95] - expected[:, 5:95])[loud].abs().max() < 0.05


@pytest.mark.parametrize(
    ("waveform", "transcript", "message"),
    [
        (tone(), " \n", "^The reference transcript is empty"),
        (tone() * 0, "Hello.", "^reference_audio is silent"),
        (tone()[..., :0], "Hello.", "^reference_audio is empty"),
        (tone() / 0, "Hello.", "^reference_audio holds values"),
    ],
)
def test_a_reference_voice_that_says_nothing_is_an_error(waveform: Tensor, transcript: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reference_mel(waveform, 24_000, transcript)
