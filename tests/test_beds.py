"""Music and ambience under a voice."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
import torchaudio
from torch import Tensor

from uniavgen_core.media import beds as beds_module
from uniavgen_core.media.beds import BED_RATE, Bed, BeddedVoice, LaidBed
from uniavgen_core.media.loudness import loudness_gain
from uniavgen_core.media.mixing import VideoSound

STEADY = {"gain_db": 0.0, "duck_db": 0.0, "fade_in": 0.0, "fade_out": 0.0}


def tone(seconds: float, rate: int, frequency: float = 440.0, loud: float = 0.2, channels: int = 1) -> Tensor:
    wave = loud * torch.sin(torch.arange(round(seconds * rate), dtype=torch.float64) * 2 * math.pi * frequency / rate)
    return wave.float().expand(1, channels, -1)


def silence(seconds: float, rate: int = 24_000) -> Tensor:
    return torch.zeros(1, 1, round(seconds * rate))


def level(sound: Tensor, start: float, end: float) -> float:
    """Power of a stretch of a sound at 48 kHz in decibels."""
    return float(10 * sound[..., round(start * BED_RATE) : round(end * BED_RATE)].square().mean().log10())


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8, 16])
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_any_sounds_become_stereo_at_48_khz(channels: int, rate: int) -> None:
    voice, music = tone(1.0, rate, 300, channels=channels), tone(2.0, rate, 900, channels=channels)
    made = VideoSound(voice, rate, beds=[Bed(music, rate, **STEADY)])
    whole = made.whole(Fraction(3, 2))
    assert (made.sample_rate, made.channels, tuple(whole.shape)) == (48_000, 2, (1, 2, 72_000))
    assert torch.equal(torch.cat([*made.pieces(Fraction(3, 2))], dim=-1)[None], whole)
    assert level(whole, 1.1, 1.4) > -30, "the bed goes on behind the voice"
    assert level(whole, 0.2, 0.8) > level(whole, 1.1, 1.4) + 2


def test_gain_and_fades_of_a_bed() -> None:
    bed = Bed(tone(10, 48_000), 48_000, gain_db=-6, duck_db=0, fade_in=1, fade_out=2)
    made = VideoSound(silence(5), 24_000, beds=[bed]).whole(None)
    assert level(made, 1.5, 2.5) == pytest.approx(level(tone(1, 48_000), 0, 1) - 6, abs=0.05)
    assert not made[..., [0, -1]].any()
    middle = level(made, 1.5, 2.5)
    assert level(made, 0.49, 0.51) == pytest.approx(middle - 6.02, abs=0.3)
    assert level(made, 3.99, 4.01) == pytest.approx(middle - 6.02, abs=0.3)


def test_a_bed_makes_room_for_the_voice() -> None:
    voice = silence(6)
    voice[..., 48_000:72_000] = tone(1, 24_000, 200)
    bed = Bed(tone(6, 48_000, 5_000), 48_000, gain_db=0, duck_db=12, attack=0.2, release=1.0, fade_in=0, fade_out=0)
    made = VideoSound(voice, 24_000, beds=[bed]).whole(None)[0]
    music = torchaudio.functional.highpass_biquad(made, BED_RATE, 2_500.0)
    free = level(music, 0.5, 1.5)
    assert level(music, 2.05, 3.2) == pytest.approx(free - 12, abs=0.8), "down with the first word, and a moment after"
    assert level(music, 1.76, 1.79) > free - 1.5, "not down before it has to"
    assert level(music, 5.0, 5.9) == pytest.approx(free, abs=0.3)
    steps = [level(music, start / 20, (start + 1) / 20) for start in range(120)]
    assert max(abs(after - before) for before, after in zip(steps, steps[1:], strict=False)) < 6, "no jump"
    assert steps[70:95] == sorted(steps[70:95]), "up again all the time"


def test_a_voice_that_is_silent_leaves_the_bed_alone() -> None:
    bed = Bed(tone(4, 48_000), 48_000, gain_db=0, duck_db=40, fade_in=0, fade_out=0)
    made = VideoSound(silence(3), 24_000, beds=[bed]).whole(None)
    torch.testing.assert_close(made[0, :1], tone(3, 48_000)[0])
    nothing = VideoSound(silence(0), 24_000, beds=[bed]).whole(None)
    assert nothing.shape == (1, 2, 0)


def test_a_short_bed_is_repeated_without_a_click() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(1, 2, 48_000, generator=generator)
    laid = LaidBed(Bed(noise, 48_000, **STEADY), 480_000)
    made = laid.stretch(0, 480_000)
    step = 48_000 - 2_400
    torch.testing.assert_close(made[:, :step], noise[0, :, :step])
    torch.testing.assert_close(made[:, 48_000 : 2 * step], noise[0, :, 2_400:step])
    seam = [level(made, start / 1000, start / 1000 + 0.01) for start in range(940, 1010, 5)]
    assert max(seam) - min(seam) < 2, "as loud where it is repeated"
    ends = Bed(noise, 48_000, loops=False, **STEADY)
    once = LaidBed(ends, 480_000).stretch(0, 480_000)
    torch.testing.assert_close(once[:, :48_000], noise[0])
    assert not once[:, 48_000:].any()
    with pytest.raises(ValueError, match="The bed lasts 0.10 seconds, too short to be repeated"):
        Bed(noise[..., :4_800], 48_000)


@pytest.mark.parametrize("rate", [24_000, 44_100])
def test_pieces_are_what_the_whole_is(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    voice = 0.2 * torch.randn(1, 1, 5 * rate, generator=generator) * (torch.arange(5 * rate) // rate % 2)
    beds = [Bed(tone(1.3, 44_100, channels=2), 44_100), Bed(tone(0.7, 8_000, 90), 8_000, duck_db=3)]
    mix = BeddedVoice(voice, rate, 240_000, beds)
    whole = mix.stretch(0, 240_000)
    for start, end in ((0, 1), (100, 77_777), (77_777, 150_001), (239_999, 240_000)):
        torch.testing.assert_close(mix.stretch(start, end), whole[:, start:end], atol=2e-6, rtol=0)
    around = mix.stretch(-10, 240_020)
    assert not around[:, :10].any() and not around[:, -20:].any()
    monkeypatch.setattr(beds_module, "PIECE_SAMPLES", 48_000)
    torch.testing.assert_close(BeddedVoice(voice, rate, 240_000, beds).stretch(0, 240_000), whole, atol=2e-6, rtol=0)


def test_the_whole_has_its_loudness_and_is_never_clipped() -> None:
    voice, beds = tone(3, 24_000, 300), [Bed(tone(3, 48_000, 700, channels=2), 48_000)]
    made = VideoSound(voice, 24_000, target_lufs=-20, beds=beds).whole(None)
    assert 20 * math.log10(loudness_gain(made[0], BED_RATE, -20)) == pytest.approx(0, abs=0.05)
    loud = VideoSound(tone(1, 24_000, loud=0.9), 24_000, beds=[Bed(tone(1, 24_000, loud=0.9), 24_000, **STEADY)])
    assert loud.whole(None).abs().max() == pytest.approx(10 ** (-1 / 20), abs=1e-3)
    soft = VideoSound(tone(1, 48_000), 48_000, fade_seconds=0.1, beds=[Bed(tone(1, 48_000), 48_000, gain_db=-60)])
    kept = soft.whole(None)
    torch.testing.assert_close(kept[0, :1, 4_800:-4_800], tone(1, 48_000)[0, :, 4_800:-4_800], atol=1e-3, rtol=0)
    assert not kept[..., [0, -1]].any()


def test_clips_of_a_batch_have_one_bed() -> None:
    voices = torch.cat((tone(1, 24_000), silence(1)))
    made = VideoSound(voices, 24_000, beds=[Bed(tone(9, 48_000, 900), 48_000, duck_db=0, fade_out=0)]).whole(
        Fraction(3)
    )
    assert made.shape == (1, 2, 144_000)
    assert level(made, 0.6, 0.9) > level(made, 1.6, 2.4) + 10
    assert level(made, 1.1, 1.4) == pytest.approx(level(made, 1.6, 1.9), abs=1)


def test_without_beds_a_sound_stays_as_it_is() -> None:
    voice = tone(1, 22_050, channels=2)
    made = VideoSound(voice, 22_050)
    assert (made.sample_rate, made.channels) == (22_050, 2)
    assert torch.equal(made.whole(None), voice)
