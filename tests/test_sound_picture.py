"""A picture of a sound, with its words."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from uniavgen_core.media.cues import Cue
from uniavgen_core.media.mixing import describe_sound
from uniavgen_core.media.sound_picture import CLIPPED, HEAD_ROWS, WAVE, WAVE_ROWS, WORD_ROWS, WORDS, draw_sound

RATE = 8_000


def tone(seconds: float, loud: float) -> Tensor:
    return loud * torch.sin(torch.arange(round(seconds * RATE)) * (2_000 / RATE))[None]


def columns(image: Tensor, colour: tuple[int, int, int], top: int, rows: int) -> list[int]:
    """Columns of some rows in which a colour is seen."""
    wanted = torch.tensor(colour) / 255
    return ((image[0, top : top + rows] - wanted).abs() < 1e-3).all(dim=-1).any(dim=0).nonzero().flatten().tolist()


def test_loud_and_silent_parts_are_seen_where_they_are() -> None:
    sound = torch.cat((tone(2, 0.5), torch.zeros(1, 2 * RATE), tone(4, 1.5)), dim=1)
    image = draw_sound(sound, RATE, width=800)
    assert image.shape == (1, HEAD_ROWS + WAVE_ROWS + WORD_ROWS, 800, 3)
    quarter = HEAD_ROWS + WAVE_ROWS // 4 + 2
    assert columns(image, WAVE, quarter, 3)[-1] == pytest.approx(199, abs=1)
    assert not columns(image, CLIPPED, HEAD_ROWS, WAVE_ROWS)[0] < 399
    assert columns(image, CLIPPED, quarter, 3)[-1] == 799
    assert image.min() >= 0 and image.max() <= 1


def test_words_stand_under_their_time_in_each_row() -> None:
    cues = [Cue(1, 3, "Hello there."), Cue(7, 9, "It goes on.")]
    image = draw_sound(tone(12, 0.5), RATE, cues, width=800)
    assert image.shape[1] == HEAD_ROWS + 2 * (WAVE_ROWS + WORD_ROWS)
    first, second = HEAD_ROWS + WAVE_ROWS, HEAD_ROWS + 2 * WAVE_ROWS + WORD_ROWS
    assert (columns(image, WORDS[0], first, WORD_ROWS)[0], columns(image, WORDS[0], first, WORD_ROWS)[-1]) == (101, 299)
    assert columns(image, WORDS[1], first, WORD_ROWS)[0] == 701
    assert columns(image, WORDS[1], second, WORD_ROWS)[-1] == pytest.approx(99, abs=1)


def test_any_sound_has_a_picture() -> None:
    assert draw_sound(torch.full((2, 10), math.nan), RATE).shape[0] == 1
    assert draw_sound(torch.zeros(6, 1), RATE, [Cue(0, 1, "银行"), Cue(1, 9, "x" * 500)]).shape[3] == 3
    assert draw_sound(torch.zeros(1, 4_000 * 100), 100).shape[1] == HEAD_ROWS + 120 * (WAVE_ROWS + WORD_ROWS)
    brief = [Cue(7.999, 8.001, "An edge"), Cue(9, 9.001, "A moment")]
    assert columns(draw_sound(tone(12, 0.5), RATE, brief, width=800), WORDS[1], HEAD_ROWS + 2 * WAVE_ROWS, 60) == [101]
    with pytest.raises(ValueError, match="audio is empty"):
        draw_sound(torch.zeros(1, 0), RATE)


def test_a_sound_is_told_of() -> None:
    assert describe_sound(48_000, 2) == "stereo, 48 kHz"
    assert describe_sound(24_000, 1, torch.zeros(1, 100)) == "mono, 24 kHz, silent"
    said = describe_sound(44_100, 1, 0.5 * torch.sin(torch.arange(88_200) * (2 * math.pi * 997 / 44_100))[None])
    # A sine of full scale at 997 Hz is -3.01 LUFS (BS.1770), and this one 6.02 dB softer.
    assert said.startswith("mono, 44.1 kHz, -9.") and said.endswith(" LUFS, peak -6.0 dB")
    assert float(said.split(", ")[2].split()[0]) == pytest.approx(-9.03, abs=0.15)
