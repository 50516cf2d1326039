"""Seams between segments: colours, loudness and the crossfade."""

from __future__ import annotations

import math

import pytest
import torch

from uniavgen_core.audio.voice import loud_db, voiced_span
from uniavgen_core.config import HOP_LENGTH, MEL_BANDS, SAMPLE_RATE, SAMPLES_A_FRAME
from uniavgen_core.long_form.seams import (
    FADE_FRAMES,
    colours_of,
    correct_frames,
    correct_loudness,
    crossfade,
    fade_from_past,
    join_clips,
    join_gain,
    voice_db,
)


def pictures(frames: int, seed: int = 0) -> torch.Tensor:
    """Frames of one scene: smooth patches of colour away from black and white."""
    patches = torch.rand(1, 4, 4, 3, generator=torch.Generator().manual_seed(seed)) * 0.5 + 0.25
    return patches.repeat_interleave(8, 1).repeat_interleave(8, 2).expand(frames, -1, -1, -1).clone()


def tone(samples: int, phase: float = 0.0) -> torch.Tensor:
    return 0.3 * torch.sin(2 * math.pi * 220 * torch.arange(samples) / SAMPLE_RATE + phase)


def mel(level: float, tokens: int) -> torch.Tensor:
    return torch.full((tokens, MEL_BANDS), level)


def test_what_the_codec_did_to_the_past_is_undone() -> None:
    past, codec = pictures(9), lambda frames: frames * 0.95 + 0.02
    new = pictures(24)
    corrected = correct_frames(codec(new), codec(past), past, colours_of(past))
    torch.testing.assert_close(corrected, new, atol=2e-3, rtol=0)


def test_drift_is_taken_back_from_nothing_at_the_seam_to_all_at_the_end() -> None:
    first, past = pictures(33), pictures(9) + 0.04
    drifted = pictures(24) + 0.04
    corrected = correct_frames(drifted, past, past, colours_of(first))
    difference = (corrected - first[:24]).mean(dim=(1, 2, 3))
    assert difference[0] == pytest.approx(0.04, abs=0.003), "no jump at the seam"
    assert difference[-1] == pytest.approx(0, abs=0.003)
    assert torch.all(difference.diff() <= 1e-6)


def walk(frames: int) -> torch.Tensor:
    """A bright square that moves on by two pixels a frame, in front of the patches."""
    scene = pictures(frames)
    for index, frame in enumerate(scene):
        frame[8:20, 2 * index : 2 * index + 8] = 0.9
    return scene


def grain(seed: int, amount: float = 0.05) -> torch.Tensor:
    return amount * torch.randn(32, 32, 3, generator=torch.Generator().manual_seed(seed))


def change(frames: torch.Tensor) -> torch.Tensor:
    return (frames[1:] - frames[:-1]).abs().mean(dim=(1, 2, 3))


def test_detail_that_the_codec_lost_in_the_past_fades_out() -> None:
    scene = walk(12)
    past, kept, new = scene[:4] + grain(1), scene[:4], scene[4:]
    shown = fade_from_past(new, kept, past)
    before, after = change(torch.cat((past[-1:], new)))[0], change(torch.cat((past[-1:], shown)))
    assert after[0] < before / 2
    assert after.max() < before / 2
    torch.testing.assert_close(shown[FADE_FRAMES:], new[FADE_FRAMES:])


def test_a_texture_that_jumps_at_the_seam_fades_over() -> None:
    scene = pictures(20)
    past, new = scene[:9] + grain(1), scene[9:] + grain(2)
    shown = torch.cat((past[-1:], fade_from_past(new, past, past)))
    jump = change(torch.cat((past[-1:], new)))[0]
    torch.testing.assert_close(change(shown)[: FADE_FRAMES + 1], (jump / (FADE_FRAMES + 1)).expand(FADE_FRAMES + 1))
    torch.testing.assert_close(shown[1 + FADE_FRAMES :], new[FADE_FRAMES:])


def test_motion_goes_on_over_the_seam() -> None:
    scene = walk(12)
    torch.testing.assert_close(fade_from_past(scene[4:], scene[:4], scene[:4]), scene[4:], atol=2e-3, rtol=0)


@pytest.mark.parametrize(("kept", "new"), [(1, 1), (1, 4), (9, 1)])
def test_a_fade_takes_as_few_frames_as_there_are(kept: int, new: int) -> None:
    scene = pictures(kept + new)
    shown = fade_from_past(scene[kept:] + grain(2), scene[:kept], scene[:kept])
    assert shown.shape == scene[kept:].shape
    assert (shown[0] - scene[0]).abs().mean() < grain(2).abs().mean()


def test_another_scene_is_not_forced_into_the_first_ones_colours() -> None:
    night = pictures(24) * 0.2
    corrected = correct_frames(night, night[:9], night[:9], colours_of(pictures(33)))
    assert corrected[-1].mean() < night.mean() + 0.1


def test_the_voice_is_found_between_silences() -> None:
    speech = torch.cat((mel(-11, 20), mel(-3, 50), mel(-11, 30)))
    assert voiced_span(speech, loud_db(speech)) == (0.2, 0.7)
    assert voiced_span(mel(-11, 40), loud_db(speech)) == (0.0, 0.0)
    assert voice_db(speech) == pytest.approx(voice_db(mel(-3, 10)))
    assert voice_db(mel(-3, 10)) - voice_db(mel(-4, 10)) == pytest.approx(20 / math.log(10))


def test_loudness_comes_back_slowly_and_mel_and_sound_agree() -> None:
    sound, tokens = tone(200 * HOP_LENGTH), 200
    louder = mel(-2.8, tokens)
    corrected, changed = correct_loudness(louder, sound, voice_db(mel(-3.0, 10)), start_token=56)
    torch.testing.assert_close(corrected[:56], louder[:56])
    torch.testing.assert_close(changed[: 55 * HOP_LENGTH], sound[: 55 * HOP_LENGTH])
    assert corrected[-1, 0] == pytest.approx(-3.0, abs=0.01)
    gain = changed[-HOP_LENGTH:].std() / sound[-HOP_LENGTH:].std()
    assert float(gain.log()) == pytest.approx(-0.2, abs=0.01)


def test_a_loudness_that_is_meant_stays() -> None:
    sound, shouted = tone(100 * HOP_LENGTH), mel(-1.0, 100)
    corrected, changed = correct_loudness(shouted, sound, voice_db(mel(-3.0, 10)), start_token=0)
    assert corrected is shouted
    assert changed is sound


@pytest.mark.parametrize("phase", [0.0, math.pi / 2, 2.0])
def test_a_crossfade_keeps_the_power_whatever_the_phases(phase: float) -> None:
    before, after = tone(13_500), tone(13_500, phase)
    mixed = crossfade(before, after, SAMPLE_RATE)
    assert len(mixed) == 13_500
    levels = mixed.unfold(0, 1200, 600).std(dim=1)
    assert float(levels.min()) > 0.85 * float(before.std())
    assert float(levels.max()) < 1.15 * float(before.std())


def test_a_crossfade_falls_on_the_quietest_place() -> None:
    quiet = torch.ones(13_500)
    quiet[6000:7500] = 0.05
    before, after = tone(13_500) * quiet, tone(13_500, 1.0) * quiet
    mixed = crossfade(before, after, SAMPLE_RATE)
    torch.testing.assert_close(mixed[:6000], before[:6000])
    torch.testing.assert_close(mixed[7500:], after[7500:])


def test_equal_sounds_are_not_changed() -> None:
    sound = tone(13_500)
    torch.testing.assert_close(crossfade(sound, sound, SAMPLE_RATE), sound)


SHARED = 9
OVERLAP = SHARED * SAMPLES_A_FRAME


def moving(frames: int, start: int = 0) -> torch.Tensor:
    """Frames of one scene in which a bright column goes round: each frame differs from those beside it."""
    clip = pictures(frames)
    for index, frame in enumerate(clip):
        frame[:, (start + index) % 32] += 0.2
    return clip


def test_a_continuation_goes_on_where_its_past_ends() -> None:
    whole, sound = moving(60), tone(60 * SAMPLES_A_FRAME)
    start = 40 - SHARED
    heard = sound[start * SAMPLES_A_FRAME :]
    clip, joined = join_clips(whole[:40], sound[: 40 * SAMPLES_A_FRAME], whole[start:], heard, SHARED)
    assert len(clip) == 60
    assert torch.equal(clip[:40], whole[:40])
    torch.testing.assert_close(clip, whole, atol=5e-3, rtol=0)
    torch.testing.assert_close(joined, sound)


def test_a_continuations_colours_meet_the_past_at_the_seam() -> None:
    past, codec = moving(40), lambda frames: frames * 0.95 + 0.02
    clip, _ = join_clips(past, tone(40 * SAMPLES_A_FRAME), codec(moving(33, 31)), tone(33 * SAMPLES_A_FRAME), SHARED)
    colours = clip[40 - SHARED :].mean(dim=(1, 2, 3))
    assert float((colours - colours[0]).abs().max()) < 3e-3


def test_a_continuation_keeps_the_light_that_the_past_ended_in() -> None:
    evening = pictures(33) * 0.4
    past = torch.cat((pictures(60), evening))
    silence = torch.zeros(len(past) * SAMPLES_A_FRAME)
    clip, _ = join_clips(past, silence, evening, torch.zeros(33 * SAMPLES_A_FRAME), SHARED)
    torch.testing.assert_close(clip[-24:], evening[-24:], atol=2e-3, rtol=0)


@pytest.mark.parametrize("scale", [0.05, 0.5, 1.0, 2.0])
def test_a_continuation_at_full_scale_comes_to_the_pasts_loudness(scale: float) -> None:
    past = tone(40 * SAMPLES_A_FRAME) * scale
    full = tone(40 * SAMPLES_A_FRAME)[-OVERLAP:]
    assert join_gain(past, full, OVERLAP) == pytest.approx(scale, rel=1e-3)


def test_a_gain_is_measured_where_the_past_is_loud() -> None:
    voice = torch.ones(OVERLAP)
    voice[4800:] = 0
    hiss = torch.randn(OVERLAP, generator=torch.Generator().manual_seed(0))
    past = tone(40 * SAMPLES_A_FRAME)
    past[-OVERLAP:] = tone(OVERLAP) * voice + 1e-3 * hiss
    heard = tone(OVERLAP) * voice + 0.1 * hiss * (1 - voice)
    assert join_gain(past, heard, OVERLAP) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.3), (2e-3, 0.3), (0.3, 0.0)])
def test_near_silence_sets_no_gain(before: float, after: float) -> None:
    hiss = torch.randn(OVERLAP, generator=torch.Generator().manual_seed(1))
    past = tone(40 * SAMPLES_A_FRAME)
    past[-OVERLAP:] = before * hiss
    assert join_gain(past, torch.cat((after * hiss, tone(OVERLAP))), OVERLAP) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize(("scale", "gain"), [(0.1, 0.1), (0.5, 0.5), (1.0, 1.0), (2.0, 1.0)])
def test_a_soft_past_that_ends_in_silence_makes_its_continuation_soft(scale: float, gain: float) -> None:
    voice = tone(40 * SAMPLES_A_FRAME) / 0.3
    silence = torch.zeros(OVERLAP)
    past = torch.cat((voice * scale * 0.999, silence))
    assert join_gain(past, torch.cat((silence, voice)), OVERLAP) == pytest.approx(gain, rel=0.01)
    assert join_gain(silence, torch.cat((silence, voice)), OVERLAP) == 1
    assert join_gain(past, silence.repeat(2), OVERLAP) == 1


def test_a_loud_past_that_ends_in_silence_leaves_a_whisper_alone() -> None:
    silence, voice = torch.zeros(OVERLAP), tone(40 * SAMPLES_A_FRAME)
    assert join_gain(torch.cat((voice, silence)), torch.cat((silence, 0.2 * voice)), OVERLAP) == 1


def test_a_gain_is_limited() -> None:
    past = tone(40 * SAMPLES_A_FRAME)
    assert join_gain(past, past[-OVERLAP:] * 0.1, OVERLAP) == 3
    assert join_gain(past, past[-OVERLAP:] * 100, OVERLAP) == pytest.approx(0.1, rel=1e-3), (
        "0.3 of full scale, divided by 3"
    )


@pytest.mark.parametrize(("past", "frames"), [(8, 33), (40, 9)])
def test_clips_shorter_than_what_they_share_are_refused(past: int, frames: int) -> None:
    with pytest.raises(
        ValueError, match=rf"share 9 frames, but the past has {past} and the continuation {frames}: set"
    ):
        join_clips(pictures(past), tone(past), pictures(frames), tone(frames), SHARED)
