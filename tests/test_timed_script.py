"""Scripts that say when each line is said, and subtitles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from counting_host import CountingHost
from fuzzing import fuzzed, texts
from hypothesis import given
from hypothesis import strategies as st

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE, pixel_frames
from uniavgen_core.long_form.maker import FinishedSegment, LongClip
from uniavgen_core.long_form.pacing import Pacing
from uniavgen_core.long_form.planning import LongFormSettings, PlannedSegment, drawl_note
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.long_form.store import SegmentStore
from uniavgen_core.long_form.timed_planning import hurry_notes, plan_script
from uniavgen_core.long_form.timeline import phrases_of
from uniavgen_core.media.cues import Cue, cues_within, parse_subtitles, seconds_of_time, subtitles
from uniavgen_core.speech.reader import SpeechReader

LONGEST, PAST = 21, 3
SETTINGS = LongFormSettings(Pacing(), LONGEST, PAST)
EIGHTH = 0.125 + 1e-9
SRT = """1
00:00:01,000 --> 00:00:03,500
Good evening.
I have <i>news</i>.

2
00:00:05,250 --> 00:00:07,000
{\\an8}Everybody waited.
"""


def test_subrip_is_a_script() -> None:
    first, second = parse_script(SRT, "A calm  woman.")
    assert (first.caption, first.speech) == ("A calm woman.", "Good evening. I have news.")
    assert (first.number, first.start, first.end) == (2, 1.0, 3.5)
    assert (second.number, second.speech, second.start, second.end) == (7, "Everybody waited.", 5.25, 7.0)


@pytest.mark.parametrize(
    "text",
    [
        "A calm woman. |\n00:01.0 --> 00:03.5 Good evening. I have news.\n5.25 --> 7 Everybody waited.",
        "A calm woman. |\n\n0:01.000 -> 0:03.500\nGood evening.\n- I have news.\n0:0:5.25 → 0:0:7 Everybody waited.",
        "\ufeff00:00:01,000 --> 00:00:03,500  X1:40 X2:600 Y1:20 Y2:50\r\nA calm woman. | Good evening. I have news."
        "\r\n\r\n00:00:05,250 --> 00:00:07,000\r\nEverybody waited.\r\n",
        "WEBVTT Kind: captions\nLanguage: en\n\nNOTE one --\ntwo\n\nSTYLE\n::cue { color: red }\n\nA calm woman. |\n\n"
        "intro\n00:01.000 --> 00:03.500 align:start line:0%\n<v Anna>Good evening. <00:02.000><c.loud>I have</c> news."
        "\n\n00:05.250 --> 00:07.000\nEverybody waited.",
    ],
)
def test_other_forms_are_the_same_script(text: str) -> None:
    wanted = [(line.caption, line.passages, line.start, line.end) for line in parse_script(SRT, "A calm woman.")]
    assert [(line.caption, line.passages, line.start, line.end) for line in parse_script(text)] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff00:00:01,000 --> 00:00:02,000\n- Hi.\n\n4 --> 5 Bye.",
        "1\r\r\n00:00:01,000 --> 00:00:02,000\r\r\nHi.\r\r\n\r\r\n2\r\r\n00:00:04.000 --> 00:00:05.000\r\r\nBye.\r\r\n",
        "1\n00：00：01，000 --> 00：00：02，000\n\u202aHi.\n2\n00:00:03,000 --> 00:00:03,500\n{\\an8}<i> </i>\n\n"
        "\u200e3\n00:00:04,000 --> 00:00:05,000\n<br/>Bye.\\N",
    ],
)
def test_what_other_programs_make_of_subtitles_is_read(text: str) -> None:
    assert parse_subtitles(text) == [Cue(1, 2, "Hi."), Cue(4, 5, "Bye.")]
    assert [(line.start, line.end, line.speech) for line in parse_script(text, "A woman.")] == [
        (1, 2, "Hi."), (4, 5, "Bye."),
    ]  # fmt: skip


def test_cues_without_a_text_are_no_script() -> None:
    with pytest.raises(ValueError, match="The script is empty"):
        parse_script("1 --> 2\n\n3 --> 4 <i></i>", "A woman.")


def test_a_slight_overlap_is_cut() -> None:
    first, second = parse_script("1 --> 3.125 One.\n3 --> 5 Two.", "A woman.")
    assert (first.end, second.start) == (3, 3)


def test_cues_that_are_shown_together_are_one_and_end_with_the_clip() -> None:
    cues = parse_subtitles(
        "1 --> 3\nOne.\nTwo.\n\n1 --> 4 Three.\n\n1 --> 2\nOne.\nTwo.\n\n6 --> 9 Four.\n10 --> 11 Five."
    )
    assert cues[:2] == [Cue(1, 4, "One.\nTwo.\nThree."), Cue(6, 9, "Four.")]
    assert parse_subtitles(subtitles(cues)) == cues
    assert cues_within(cues, 7.5) == [cues[0], Cue(6, 7.5, "Four.")]


def test_captions_between_cues_hold_for_those_that_follow() -> None:
    lines = parse_script(
        "Calm. |\n1 --> 2 One.\nSad. |\n3 --> 4\nTwo.\n\nHappy. |\n5 --> 6 Three.\n\n7 --> 8\nAngry. | Four."
    )
    assert [(line.caption, line.speech) for line in lines] == [
        ("Calm.", "One."), ("Sad.", "Two."), ("Happy.", "Three."), ("Angry.", "Four."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SRT, "Line 2 of the script has no caption"),
        ("a | b\n1 --> 2 Hello.", "Line 1 of the script has no time, and others have"),
        ("a |\n1 --> 1 Hello.", "Line 2 of the script is said from 1 to 1 seconds"),
        ("a |\n1 --> 3 Hello.\n2 --> 4 Bye.", "Line 3 of the script is said from 2 to 4 seconds.*ended, at 3"),
        ("a |\n1 --> 3 [laugh] Hello.", r"Line 2 of the script has a mark \[laugh\]"),
    ],
)
def test_what_is_wrong_in_a_script_with_times_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_script(text)


def planned(text: str, settings: LongFormSettings = SETTINGS) -> list[tuple[float, float, PlannedSegment]]:
    """Each segment with the seconds of the clip at which what it adds begins and ends."""
    settings, plan = plan_script(parse_script(text, "A woman."), settings)
    found, end = [], 0
    for index, segment in enumerate(plan):
        given = settings.kept_frames if not index else 1 if segment.starts_scene else settings.past_frames
        assert segment.latent_frames is not None and segment.latent_frames + given <= settings.longest
        assert given + segment.latent_frames >= settings.past_frames
        added = pixel_frames(given + segment.latent_frames)
        added -= 0 if not index or segment.starts_scene else pixel_frames(settings.past_frames)
        found.append((end / FRAME_RATE, (end + added) / FRAME_RATE, segment))
        end += added
    return found


def test_words_begin_and_end_in_their_time() -> None:
    words = "one two three four five six seven"
    text = (
        f"0.4 --> 3 {words}\n3 --> 5.13 {words}\n17.3 --> 19 {words}.\n\n20 --> 40 {words}, {words}, {words}, {words}."
    )
    segments = planned(text)
    for line in parse_script(text, "A woman."):
        own = [
            (start, end, segment)
            for start, end, segment in segments
            if segment.words and segment.line.number == line.number
        ]
        start, _, first = own[0]
        assert first.onset == line.start
        assert start <= (line.start or 0) + EIGHTH
        assert all(before[1] == after[0] for before, after in zip(own, own[1:], strict=False))
        assert " ".join(segment.words for *_, segment in own) == line.speech
        if line.end != 40:
            assert own[-1][1] == pytest.approx(line.end, abs=EIGHTH)
    assert segments[-1][1] >= 40 and segments[-1][0] < 40
    # Drawn out half as much again, and no more: the rest is silent.
    spoken = [end for _, end, segment in segments if segment.words][-1]
    assert spoken == pytest.approx(20 + 1.5 * Pacing().seconds(", ".join([words] * 4) + "."), abs=0.3)
    lines = parse_script(text, "A woman.")
    assert drawl_note(lines, [segment for *_, segment in segments]) is None


def test_words_that_cannot_be_said_in_their_time_are_refused_or_told() -> None:
    # 29 characters: 1.9 seconds.
    words = "One two three four five, six."
    with pytest.raises(ValueError, match=r"Line 1 of the script is said from 1 to 2 seconds, which leaves 1\.0"):
        planned(f"1 --> 2 {words}")
    with pytest.raises(ValueError, match=r"Line 1 .* leaves 0\.0 for words"):
        planned(f"1 --> 3 [pause 2] {words}")
    assert planned(f"1 --> 2.5 {words}")
    assert planned(f"1 --> 3 {words}")
    for end, is_told in ((2.5, True), (3.0, False)):
        lines = parse_script(f"1 --> {end} {words}", "A woman.")
        read = [
            replace(line, passages=tuple(replace(p, spoken=Pacing().read(p.words)) for p in line.passages))
            for line in lines
        ]
        assert ["they are said faster" in note for note in hurry_notes(read, Pacing())] == [True] * is_told


def test_a_clip_that_is_shorter_than_its_lines_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Line 2 of the script is said up to second 12, but the clip lasts 10\.00"):
        planned("1 --> 3 Hello.\n10 --> 12 Bye now.", replace(SETTINGS, seconds=10.0))
    with pytest.raises(
        ValueError, match=r"Line 2 of the script is said up to 99\.0 hours, but a clip lasts 12 at most"
    ):
        planned("1 --> 3 Hello.\n98:59:58 --> 99:00:00 Bye now.")
    assert planned("1 --> 3 Hello.", replace(SETTINGS, seconds=30.0))[-1][1] >= 30


def test_a_scene_begins_with_its_first_line() -> None:
    segments = planned("1 --> 3 Hello there.\n12 --> 14 [scene 2] And here.\n15 --> 16 Bye.")
    ((start, _, cut),) = [each for each in segments[1:] if each[2].starts_scene]
    assert cut.words == "And here." and 11.7 < start <= 12


@pytest.mark.parametrize("seed", range(12))
def test_any_cues_are_kept(seed: int) -> None:
    random, time, rows = Random(seed), 0.0, []
    for _ in range(random.randint(1, 8)):
        time += random.choice([0.0, 0.0, 0.1, 0.3, 1.0, 4.0, 9.0]) * random.random()
        words = " ".join(random.choice(["a", "word", "seventeen", "12:30"]) for _ in range(random.randint(1, 30)))
        seconds = Pacing().unit_seconds(SpeechReader().read(words).units, "en") * random.uniform(0.85, 3) + 0.3
        # The first segment has to leave a whole past.
        seconds = seconds if rows else max(seconds, 1.2)
        rows.append((time, time + seconds, words))
        time += seconds
    text = "\n".join(f"{start:.3f} --> {end:.3f} {words}" for start, end, words in rows)
    settings = replace(SETTINGS, past_frames=random.choice([1, 3, 5]), longest=random.choice([13, 21, 31]))
    segments = planned(text, settings)
    for start, end, _ in rows:
        first = next(each for each in segments if each[2].onset == pytest.approx(start, abs=1e-3))
        assert first[0] <= start + EIGHTH
        own = [each for each in segments if each[2].line is first[2].line and each[2].words]
        assert own[-1][1] <= end + 2 * EIGHTH
    assert segments[-1][1] == pytest.approx(time, abs=0.25 + EIGHTH)


def test_a_made_clip_is_heard_at_its_times(tmp_path: Path) -> None:
    text = (
        "A woman. |\n1 --> 3 One two three four five.\n6.3 --> 8 Six seven eight nine ten.\n8 --> 9.5 Eleven, twelve."
    )
    settings, plan = plan_script(parse_script(text), SETTINGS)
    clip = LongClip(CountingHost(trailing_tokens=0), SegmentStore(tmp_path), settings, plan)
    made = clip.make()
    waveform = torch.cat([piece[0] for piece in clip.waveform(made)])
    assert len(waveform) == round(9.5 * SAMPLE_RATE)
    loud = waveform.abs().unfold(0, 240, 240).amax(dim=1) > 1e-3
    edges = (loud.int().diff().nonzero().flatten() + 1) / 100
    assert edges.tolist() == pytest.approx([1.0, 3.0, 6.3], abs=0.15)
    again = LongClip(CountingHost(trailing_tokens=0), SegmentStore(tmp_path), settings, plan).make()
    assert all(one.was_kept for one in again)
    cues = phrases_of(made)
    assert [cue.text for cue in cues] == ["One two three four five.", "Six seven eight nine ten.", "Eleven, twelve."]
    assert [cue.start for cue in cues] == pytest.approx([1.0, 6.3, 8.0], abs=0.15)


def finished(*parts: tuple[str, float, float]) -> list[FinishedSegment]:
    """Segments of one line that say words from a second to another one of the clip, without silence."""
    (line,) = parse_script("a | x")
    return [
        FinishedSegment(
            PlannedSegment(line, words, 0.0, end - start, spoken=SpeechReader().read(words)),
            "",
            start,
            end - start,
            0.0,
            False,
        )
        for words, start, end in parts
    ]


def test_subtitles_come_by_phrase() -> None:
    cues = phrases_of(
        finished(
            ("The old house stood empty for years, and nobody went near it. Then one", 0, 4),
            ("spring the birds came. It cost $5 at 12:30.", 4, 7),
        )
    )
    assert [cue.text for cue in cues] == [
        "The old house stood empty for years,", "and nobody went near it.", "Then one spring the birds came.",
        "It cost $5 at 12:30.",
    ]  # fmt: skip
    assert cues[0].start == 0 and cues[-1].end == pytest.approx(7)
    third = cues[2]
    assert third.start < 4 < third.end
    assert all(before.end <= after.start for before, after in zip(cues, cues[1:], strict=False))
    chinese = phrases_of(finished(("今天天气很好，我们一起去公园散步吧。你觉得怎么样？", 0, 5)))
    assert [cue.text for cue in chinese] == ["今天天气很好，", "我们一起去公园散步吧。", "你觉得怎么样？"]


def test_a_long_sentence_is_cut_into_rows() -> None:
    words = " ".join(["word"] * 60)
    cues = phrases_of(finished((words, 0, 20)))
    assert " ".join(cue.text for cue in cues) == words
    assert max(len(cue.text) for cue in cues) <= 42 and min(len(cue.text) for cue in cues) > 21


def test_subtitles_are_read_back() -> None:
    cues = [Cue(0.5, 1.25, "Hello."), Cue(1.25, 3.0, "Good evening, 5 --> x."), Cue(3661.125, 3662.0, "再见。")]
    assert parse_subtitles(subtitles(cues)) == cues
    assert parse_subtitles("") == []
    assert parse_subtitles("3 --> 6 Two.\n1 --> 4 One.\n9 --> 8 Never.") == [Cue(1, 3, "One."), Cue(3, 6, "Two.")]
    with pytest.raises(ValueError, match="The subtitles hold no times"):
        parse_subtitles("Hello.")
    assert seconds_of_time("1:02:03,5") == 3723.5


TIMED = [
    "1 --> 2", "00:00:01,000 --> 00:00:02,000", "-->", "WEBVTT", "NOTE", "\n", "\n\n", "1", "a |", "<i>", "<v Bob>",
    "&lt;", "{\\an8}", "99:99:99,999 --> 999999999:00:00", "- ", "3 --> 1 x", "[scene 2]", "align:start",
]  # fmt: skip
timed_texts = st.lists(st.sampled_from(TIMED) | texts, max_size=14).map("".join)


@pytest.mark.fuzz
@fuzzed
@given(timed_texts)
def test_any_subtitles(text: str) -> None:
    try:
        cues = parse_subtitles(text)
    except ValueError as error:
        assert "subtitles" in str(error)
        return
    assert all(cue.start < cue.end and cue.text for cue in cues)
    assert all(before.end <= after.start for before, after in zip(cues, cues[1:], strict=False))


READER = SpeechReader()


@pytest.mark.fuzz
@fuzzed
@given(timed_texts, st.sampled_from([None, 1.0, 30.0]))
def test_any_script_with_times(text: str, seconds: float | None) -> None:
    script = f"A woman. |\n1 --> 3 Hello.\n{text}"
    try:
        lines = parse_script(script)
        if max(line.end or 0 for line in lines) > 3600:
            return
        _, plan = plan_script(lines, LongFormSettings(Pacing(reader=READER), 31, 3, seconds=seconds))
    except ValueError as error:
        assert "script" in str(error)
        return
    assert plan[-1].is_last
