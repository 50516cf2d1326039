"""Several people in a long clip: their voices, scenes and recordings, without ComfyUI."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from counting_host import SCENE_VALUE, CountingHost
from torch import Tensor

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE, SAMPLES_A_FRAME, pixel_frames
from uniavgen_core.face.steering import clip_mask, turn_mask
from uniavgen_core.long_form.cast import Cast, ReferenceVoice, SceneStart, recorded_voice
from uniavgen_core.long_form.maker import FinishedSegment, LongClip
from uniavgen_core.long_form.pacing import Pacing
from uniavgen_core.long_form.planning import LongFormSettings, plan_clip
from uniavgen_core.long_form.recording import VideoRecording
from uniavgen_core.long_form.room_tone import over_cut, room_tone
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.long_form.store import SegmentStore
from uniavgen_core.long_form.turns import SpokenTurns, who_speaks
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_lab.video_files import read_video, stream_summary

LONGEST, PAST = 13, 3
DIALOGUE = (
    "A woman. | [scene 1] [speaker 1] One two three four.\n"
    "A man. | [scene 2] [speaker 2] Five six seven eight nine ten, five six seven eight nine ten.\n"
    "[speaker 2] Eleven.\n"
    "A woman. | [scene 1] [speaker 1] Twelve thirteen."
)


def dialogue(
    host: CountingHost, folder: Path, script: str = DIALOGUE, seconds: float | None = None, **pacing: tuple[float, ...]
) -> LongClip:
    settings = LongFormSettings(Pacing(**pacing), LONGEST, PAST, seed=5, seconds=seconds)
    return LongClip(host, SegmentStore(folder), *plan_clip(parse_script(script), settings))


def made_anew(made: list[FinishedSegment]) -> set[int]:
    """Lines of which a segment was not kept."""
    return {one.planned.line.number for one in made if not one.was_kept}


def tone(seconds: float, amplitude: float, seed: int = 0) -> Tensor:
    """Noise (samples) at 24 kHz."""
    samples = round(seconds * SAMPLE_RATE)
    return amplitude * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def test_a_scene_lasts_until_the_next_one() -> None:
    lines = parse_script(DIALOGUE)
    assert [line.scene for line in lines] == [1, 2, 2, 1]
    plan = plan_clip(lines, LongFormSettings(Pacing(), LONGEST, PAST))[1]
    starts = [segment.line.number for segment in plan if segment.starts_scene]
    assert starts == [1, 2, 4] and len(plan) > 4
    with pytest.raises(ValueError, match=r"\[scene 0\]: give a whole number from 1"):
        parse_script("A. | [scene 0] b")


def test_a_cut_starts_from_the_scenes_picture_and_nothing_goes_over_it(tmp_path: Path) -> None:
    host = CountingHost()
    clip = dialogue(host, tmp_path / "kept")
    made = clip.make()
    for one, order in zip(made, host.orders, strict=True):
        if one.planned.starts_scene:
            assert order.video.shape[2] == 1 and order.mel.shape[2] == 0
            assert float(order.video[0, 0, 0, 0, 0]) == SCENE_VALUE * (one.planned.line.scene - 1)
            assert order.words == one.planned.words, "what was said before the cut is not told"
        else:
            assert order.video.shape[2] == PAST
    clip.write(made, tmp_path / "clip.mp4")
    frames = sum(round(one.seconds * FRAME_RATE) for one in made)
    assert stream_summary(tmp_path / "clip.mp4").frames == frames
    pictures = read_video(tmp_path / "clip.mp4")[0].mean(dim=(1, 2, 3))
    for before, one in zip(made, made[1:], strict=False):
        first = round(one.start * FRAME_RATE)
        jump = float(pictures[first] - pictures[first - 1])
        if one.planned.line.scene != before.planned.line.scene:
            picture = SCENE_VALUE * (one.planned.line.scene - 1)
            assert float(pictures[first]) == pytest.approx(picture, abs=0.02), (
                "its own colours, from the first frame on"
            )
        else:
            assert abs(jump) < 0.02


@pytest.mark.parametrize("seconds", [6.0, 7.3, 12.05])
def test_a_clip_with_cuts_is_as_long_as_asked_for(tmp_path: Path, seconds: float) -> None:
    clip = dialogue(CountingHost(), tmp_path, seconds=seconds)
    made = clip.make()
    assert sum(one.seconds for one in made) == pytest.approx(seconds, abs=1 / FRAME_RATE)
    assert sum(len(piece[0]) for piece in clip.waveform(made)) == round(sum(one.seconds for one in made) * SAMPLE_RATE)


def test_a_pause_at_a_cut_belongs_to_the_new_scene(tmp_path: Path) -> None:
    host = CountingHost()
    made = dialogue(host, tmp_path, "A. | One two.\nB. | [scene 2] [pause 0.5] Three four.").make()
    assert [one.planned.pause_seconds for one in made] == [0, 0.5]
    assert host.orders[1].silence == pytest.approx(0.5)


def test_a_changed_voice_remakes_only_the_scenes_of_its_speaker(tmp_path: Path) -> None:
    host = CountingHost()
    dialogue(host, tmp_path).make()
    host.names = {2: "another voice"}
    again = dialogue(host, tmp_path).make()
    assert made_anew(again) == {2, 3}
    shorter = dialogue(
        host, tmp_path, DIALOGUE.replace("| [scene 1] [speaker 1] One two three four.", "| One two.")
    ).make()
    assert made_anew(shorter) == {1}
    assert [one.start for one in shorter][1:] == pytest.approx(
        [sum(before.seconds for before in shorter[:index]) for index in range(1, len(shorter))]
    ), "what is kept begins where it does now"


def test_a_changed_voice_in_one_picture_remakes_what_follows(tmp_path: Path) -> None:
    script = "Two. | [speaker 1] One two.\n[speaker 2] Three four.\n[speaker 1] Five six."
    host = CountingHost()
    dialogue(host, tmp_path, script).make()
    host.names = {2: "another voice"}
    assert made_anew(dialogue(host, tmp_path, script).make()) == {2, 3}


def test_each_speaker_has_a_pace(tmp_path: Path) -> None:
    script = "Two. | [speaker 1] One two three four.\n[speaker 2] One two three four.\nOne two three four."
    settings = LongFormSettings(Pacing(pace=0.5, paces=(1.0, 2.0)), LONGEST, PAST)
    plan = plan_clip(parse_script(script), settings)[1]
    times: dict[int, float] = {}
    for segment in plan:
        times[segment.line.number] = times.get(segment.line.number, 0.0) + segment.spoken_seconds
    assert times[1] == pytest.approx(2 * times[2]) and times[3] == pytest.approx(2 * times[1], rel=0.1)
    assert repr(settings) == repr(LongFormSettings(Pacing(pace=0.5, paces=(3.0,)), LONGEST, PAST))


def cast(masks: int = 0, voices: int = 0, scene_masks: int | None = None) -> Cast:
    def faces(count: int) -> Tensor | None:
        return torch.rand(count, 8, 8) if count else None

    voice = ReferenceVoice(torch.zeros(1, 4, 80), SpeechReader().read("Hello."), 1.0, "key")
    scenes = [SceneStart(None, faces(masks))]
    if scene_masks is not None:
        scenes.append(SceneStart(torch.rand(1, 8, 8, 3), faces(scene_masks)))
    return Cast(tuple(scenes), (voice,) * voices)


@pytest.mark.parametrize(
    ("known", "script", "recorded", "message"),
    [
        (cast(), "A. | [speaker 1] b", 0, "Line 1 .* speakers holds 0 masks"),
        (cast(masks=1), "A. | a\n[speaker 2] b", 0, "Line 2 .* speakers holds 1 masks"),
        (cast(masks=2, voices=1), "A. | [speaker 2] b", 0, "Line 1 .* voices holds 1: connect one UniAVGen Speaker"),
        (cast(masks=1, voices=2), "A. | [speaker 2] b", 0, "speakers holds 1 masks"),
        (cast(), "A. | a\n[scene 2] b", 0, "Line 2 .* in scene 2, but there are only 1"),
        (cast(scene_masks=0), "A. | [scene 2] b", 0, "a clip begins with scene 1"),
        (cast(masks=2, scene_masks=1), "A. | a\n[scene 2] [speaker 2] b", 0, "speakers of scene 2 holds 1 masks"),
        (cast(masks=1), "A. |", 2, "recordings of 2 people, but speakers holds 1 masks"),
    ],
)
def test_who_or_what_is_not_known_is_refused(known: Cast, script: str, recorded: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        known.check(parse_script(script), recorded)


def test_who_and_what_is_known_is_taken() -> None:
    cast(voices=2).check(parse_script("A. | [speaker 2] b"))
    cast(voices=2, scene_masks=0).check(parse_script("A. | [speaker 1] b\n[scene 2] [speaker 2] c"))
    cast(masks=2).check(parse_script("A. |"), 2)


def test_a_voice_needs_its_words() -> None:
    reader, sound = SpeechReader(), tone(2.0, 0.2).view(1, 1, -1)
    with pytest.raises(ValueError, match="transcript is empty"):
        recorded_voice(reader, sound, SAMPLE_RATE, "  ")
    with pytest.raises(ValueError, match="does not fit"):
        recorded_voice(reader, sound, SAMPLE_RATE, "Hello. " * 60)
    voice = recorded_voice(reader, sound, SAMPLE_RATE, "Hello there, three red birds.")
    assert voice.key != recorded_voice(reader, sound * 0.5, SAMPLE_RATE, "Hello there, three red birds.").key
    assert voice.key != recorded_voice(reader, sound, SAMPLE_RATE, "Hello here, three red birds.").key


def rms(waveform: Tensor) -> float:
    return float(waveform.square().mean().sqrt())


@pytest.mark.parametrize(("first", "second"), [(0.01, 0.002), (0.002, 0.01), (0.01, 0.01)])
def test_room_tone_goes_on_over_a_cut(first: float, second: float) -> None:
    before = torch.cat((tone(0.6, 0.3), tone(0.8, first, 1)))
    after = torch.cat((tone(0.3, second, 2), tone(0.6, 0.3, 3), tone(0.3, second, 4)))
    held = round(0.5 * SAMPLE_RATE)
    end, start = over_cut(before, after, held)
    assert (len(end), len(start)) == (held, len(after))
    near = round(0.06 * SAMPLE_RATE)
    louder = max(first, second)
    assert rms(end[-near:]) == pytest.approx(louder, rel=0.25) and rms(start[:near]) == pytest.approx(louder, rel=0.25)
    assert rms(end[:240]) == pytest.approx(first, rel=0.35), "far from the cut each scene has its own"
    spoken = slice(round(0.3 * SAMPLE_RATE), round(0.9 * SAMPLE_RATE))
    assert rms(start[spoken] - after[spoken]) < louder, "words stay as they are, with room tone below them"
    assert rms(start[round(0.8 * SAMPLE_RATE) :] - after[round(0.8 * SAMPLE_RATE) :]) == 0
    assert abs(float(end[-1] - start[0])) < 1e-6, "no sample jumps"


def test_what_is_no_room_tone_is_not_laid_under_the_next_scene() -> None:
    voice = tone(1.0, 0.3)
    assert not len(room_tone(voice)) and not len(room_tone(torch.zeros(SAMPLE_RATE)))
    end, start = over_cut(voice, torch.zeros(SAMPLE_RATE), SAMPLE_RATE // 2)
    assert not start.any() and torch.equal(end[: -SAMPLE_RATE // 40], voice[SAMPLE_RATE // 2 : -SAMPLE_RATE // 40])


def talk() -> tuple[Tensor, Tensor]:
    """Tracks of two people: 0-1 s the first, 1.5-2.5 s the second, 3-4 s both; each hears the other one softly."""
    first, second = torch.zeros(2, round(4 * SAMPLE_RATE))
    for track, start, seed in ((first, 0.0, 1), (second, 1.5, 2), (first, 3.0, 3), (second, 3.0, 4)):
        begin = round(start * SAMPLE_RATE)
        track[begin : begin + SAMPLE_RATE] += tone(1.0, 0.3, seed)
    # The second microphone is of half the loudness.
    return first + 0.05 * second, 0.5 * (second + 0.05 * first)


def test_who_is_loud_speaks() -> None:
    turns = who_speaks(talk(), 4 * FRAME_RATE)
    assert turns.any(dim=1).all(), "somebody is always masked"
    assert turns[:16].tolist() == [[True, False]] * 16
    assert turns[24:40].tolist() == [[False, True]] * 16
    assert turns[48:].tolist() == [[True, True]] * 16
    assert turns[19].tolist() == [True, False] and turns[21].tolist() == [False, True], "silence goes to the nearer one"


def recordings(in_turn: bool, *tracks: Tensor, rate: int = SAMPLE_RATE) -> SpokenTurns:
    names = [f"audio_{number}" for number in range(1, len(tracks) + 1)]
    return SpokenTurns([(track.view(1, 1, -1), rate) for track in tracks], names, in_turn)


def test_recordings_follow_each_other_or_are_heard_together() -> None:
    first, second = talk()
    together = recordings(False, first, second)
    mix = first + second
    torch.testing.assert_close(together.waveform[0, 0], mix / mix.abs().max().clamp_min(1))
    assert together.seconds == 4.0 and "speaker 1 and 2" in together.describe()
    in_turn = recordings(True, first, second[: 2 * SAMPLE_RATE])
    assert in_turn.seconds == 6.0
    assert in_turn.describe().splitlines() == [
        "   0.00 to    4.00 s  speaker 1",
        "   4.00 to    6.00 s  speaker 2",
    ]
    speaking = in_turn.speaking(4 * FRAME_RATE - 4, 3)
    assert speaking.shape == (pixel_frames(3), 2) and speaking[:4, 0].all() and speaking[4:, 1].all()
    assert recordings(True, first).speaking(60, 13).shape == (49, 1), "the last one speaks beyond the end"


def test_tracks_of_other_rates_and_channels_are_one_sound() -> None:
    tracks = [(tone(1.0, 0.2).expand(1, 2, -1), SAMPLE_RATE), (tone(0.5, 0.2).view(1, 1, -1), SAMPLE_RATE // 2)]
    both = SpokenTurns(tracks, ["audio_1", "audio_2"], in_turn=False)
    assert both.sample_rate == SAMPLE_RATE and both.waveform.shape == (1, 2, SAMPLE_RATE)


def test_recordings_that_cannot_be_of_one_talk_are_refused() -> None:
    first, second = talk()
    with pytest.raises(ValueError, match=r"not of one length .*audio_1 4.00, audio_2 3.00.*'in turn'"):
        recordings(False, first, second[: 3 * SAMPLE_RATE])
    with pytest.raises(ValueError, match="audio_2 is silent"):
        recordings(False, first, torch.zeros_like(first))
    settings = LongFormSettings(Pacing(), LONGEST, PAST)
    with pytest.raises(ValueError, match=r"Line 1 .* leave out \[speaker …\]"):
        recordings(False, first, second).plan(parse_script("A. | [speaker 1] b"), settings)


def test_a_recorded_picture_is_not_cut() -> None:
    footage = type("Footage", (), {"frames": 40, "images": lambda *_: iter(())})()
    along = VideoRecording(footage, 64, 64)
    with pytest.raises(ValueError, match=r"Line 2 .* has \[scene 2\], but the recording is a video"):
        along.plan(parse_script("A. | b\n[scene 2] c"), LongFormSettings(Pacing(), LONGEST, PAST))


def test_each_segment_is_told_who_speaks_and_known_by_it(tmp_path: Path) -> None:
    first, second = talk()
    lines = parse_script("Two. |")

    def make(*tracks: Tensor) -> tuple[list[FinishedSegment], CountingHost]:
        host, along = CountingHost(), recordings(False, *tracks)
        settings = LongFormSettings(Pacing(), 9, PAST, seconds=along.seconds)
        settings, plan = along.plan(lines, settings)
        return LongClip(host, SegmentStore(tmp_path), settings, plan, along).make(), host

    made, host = make(first, second)
    for one, order in zip(made, host.orders, strict=True):
        assert order.speaking is not None and order.speaking.shape == (pixel_frames(order.latent_frames), 2)
        end = math.ceil((one.start + one.seconds) * FRAME_RATE)
        assert order.speaking[-1].tolist() == who_speaks((first, second), 64)[min(end, 64) - 1].tolist()
    assert not made_anew(make(first, second)[0])
    assert made_anew(make(second, first)[0]), "the same sound, but of the other mouth"


def test_masks_follow_who_speaks() -> None:
    faces = torch.zeros(2, 64, 96)
    faces[0, :, :32], faces[1, :, 64:] = 1, 1
    speaking = torch.zeros(pixel_frames(4), 2, dtype=torch.bool)
    speaking[:5, 0], speaking[5:7, 1], speaking[7:, :] = True, True, True
    tokens = turn_mask(faces, speaking, 2, 3)
    left, right = (clip_mask(face[None], FRAME_RATE, 1, 2, 3)[0] for face in faces)
    torch.testing.assert_close(tokens[0], left)
    torch.testing.assert_close(tokens[1], left)
    torch.testing.assert_close(tokens[2], torch.maximum(left / 2, right))
    torch.testing.assert_close(tokens[3], torch.maximum(left, right))


def test_in_the_past_whoever_spoke_there_is_masked(tmp_path: Path) -> None:
    host = CountingHost()
    script = "Two. | [speaker 1] One two.\n[speaker 2] Three four.\n[speaker 2] [pause 2] Five."
    dialogue(host, tmp_path, script).make()
    first, second, *_, last = host.orders
    assert [(order.past_frames, order.past_speaker) for order in (first, second)] == [(0, None), (PAST, 1)]
    assert last.past_speaker == 2
    faces = torch.zeros(2, 64, 96)
    faces[0, :, :32], faces[1, :, 64:] = 1, 1
    known = Cast((SceneStart(None, faces),))
    left, right = (clip_mask(face[None], FRAME_RATE, 1, 2, 3)[0] for face in faces)
    for order, past in ((first, left), (second, left), (last, right)):
        tokens, new = known.tokens(order, 2, 3), left if order is first else right
        assert len(tokens) == order.latent_frames
        for index, row in enumerate(tokens):
            torch.testing.assert_close(row, past if index < PAST else new)


def test_the_sound_of_turns_ends_with_the_clip() -> None:
    along = recordings(True, tone(1.03, 0.2), tone(0.5, 0.2))
    assert along.turns.shape == (math.ceil(1.53 * FRAME_RATE), 2)
    assert along.frames * SAMPLES_A_FRAME >= along.waveform.shape[-1]
