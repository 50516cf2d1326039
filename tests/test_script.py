"""Scripts, and how they become segments."""

from __future__ import annotations

import math
from random import Random

import pytest

from uniavgen_core.config import LATENT_SECONDS, clip_seconds
from uniavgen_core.long_form.script import Passage, parse_script
from uniavgen_core.long_form.segments import (
    Pacing,
    Segment,
    new_frames,
    paced_to,
    plan_clip,
    plan_segments,
    plan_wordless,
    words_in_the_past,
)
from uniavgen_core.long_form.subtitles import subtitles
from uniavgen_core.speech.text import words_of

PARAGRAPH = (
    "The old house stood empty for years, and nobody went near it. Then one spring the birds came back: three of them "
    "sat on the roof and sang. By summer there were so many that the neighbours came to listen. Nobody knows why."
)
FRAMES, PAST = 21, 3
ROOM = (FRAMES - PAST) * LATENT_SECONDS


def test_lines_have_captions_passages_and_seeds() -> None:
    first, second, third = parse_script(
        "A calm woman. | Hello. [pause 0.5] I have news.\n\n"
        r"A woman at a door \| sign. | [ SEED 7 ] [pause .25][pause 1]We won!  [pause 2.]" + "\n"
        "[Speaker 2] It is\tover.\n"
    )
    assert (first.number, first.caption, first.seed) == (1, "A calm woman.", None)
    assert first.passages == (Passage(0.0, "Hello."), Passage(0.5, "I have news."))
    assert first.speech == "Hello. I have news."
    assert (second.number, second.caption, second.seed) == (3, "A woman at a door | sign.", 7)
    assert second.passages == (Passage(1.25, "We won!"), Passage(2.0, ""))
    assert (third.caption, third.passages) == (second.caption, (Passage(0.0, "It is over."),))
    assert [line.speaker for line in (first, second, third)] == [None, None, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n \n", "The script is empty"),
        ("Hello.", "Line 1 of the script has no caption"),
        ("\na | b | c", "Line 2 of the script has 2 signs"),
        ("a | b [pause]", r"Line 1 of the script has \[pause \]"),
        ("a | b [pause -1]", r"\[pause -1\]"),
        ("a | b [pause 0]", r"\[pause 0\]"),
        ("a | b [pause 61]", "up to 60"),
        ("a | b [pause nan]", r"\[pause nan\]"),
        ("a | b [seed x]", r"\[seed x\]: give a whole number"),
        ("a | b [seed 18446744073709551616]", "give a whole number"),
        ("a | b [speaker]", r"\[speaker \]: give a whole number from 1"),
        ("a | b [speaker 0]", r"\[speaker 0\]: give a whole number from 1"),
        ("a | [speaker 1] b [speaker 2] c", r"two marks \[speaker\]: begin a new line"),
        ("a | b [laugh]", r"a mark \[laugh\]"),
    ],
)
def test_what_is_wrong_is_said_with_the_lines_number(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_script(text)


@pytest.mark.parametrize("text", ["a |", "b | One.\na | [seed 1]"])
def test_a_caption_alone_says_nothing_without_a_recording(text: str) -> None:
    lines = parse_script(text)
    assert (lines[-1].caption, lines[-1].passages, lines[-1].speech) == ("a", (), "")
    with pytest.raises(ValueError, match=f"Line {len(lines)} of the script says nothing: write `caption"):
        plan_clip(lines, Pacing(), FRAMES, PAST)


def test_a_paragraph_is_spread_over_segments_of_about_one_length() -> None:
    plan = plan_segments(parse_script(f"A woman. | {PARAGRAPH}"), Pacing(), FRAMES, PAST)
    assert " ".join(segment.words for segment in plan) == PARAGRAPH
    seconds = [segment.seconds for segment in plan]
    assert max(seconds) <= ROOM
    assert min(seconds) > 0.5 * max(seconds)
    assert sum(segment.words[-1] in ".,:" for segment in plan) >= 3, "cuts fall on ends of sentences and clauses"


def test_chinese_is_cut_between_words() -> None:
    text = "今天天气很好，我们一起去公园散步，然后去喝咖啡，最后回家看电影。你觉得怎么样？"
    plan = plan_segments(parse_script(f"A woman. | {text}"), Pacing(), FRAMES, PAST)
    assert "".join(segment.words for segment in plan) == text
    assert len(plan) == 2
    assert all(segment.words[-1] in "，。？" for segment in plan)
    assert {"公园", "喝咖啡，"} <= set(words_of(text, "zh"))


def test_a_pause_parts_a_line_and_a_long_one_is_a_segment_of_its_own() -> None:
    plan = plan_segments(parse_script("a | One. [pause 0.5] Two. [pause 10] [pause 1]"), Pacing(), FRAMES, PAST)
    assert [(segment.words, segment.pause_seconds) for segment in plan] == [
        ("One.", 0.0),
        ("Two.", 0.5),
        ("", ROOM),
        ("", 2 * ROOM),
        ("", 11.0),
    ]
    assert sum(segment.seconds for segment in plan) == pytest.approx(11.5 + Pacing().seconds("One.") * 2)


def test_a_word_longer_than_a_segment_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Line 1 of the script: “a{100}” alone takes 6\.7 seconds"):
        plan_segments(parse_script("x | " + "a" * 100), Pacing(), FRAMES, PAST)
    with pytest.raises(ValueError, match=r"lasts 0\.56 seconds, and its kept past 0\.56 of them"):
        plan_segments(parse_script("x | a"), Pacing(), PAST, PAST)


def test_a_length_that_is_asked_for_stretches_the_words_alone() -> None:
    lines = parse_script(f"a | {PARAGRAPH} [pause 2] End.")
    pacing = paced_to(lines, Pacing(), 30.0)
    plan = plan_segments(lines, pacing, FRAMES, PAST)
    assert sum(segment.seconds for segment in plan) == pytest.approx(30.0, abs=1.0)
    assert max(segment.seconds for segment in plan) <= ROOM
    with pytest.raises(ValueError, match="wants about 17.0 seconds, 2.0 of them pauses"):
        paced_to(lines, Pacing(), 8.0)
    with pytest.raises(ValueError, match="says nothing"):
        paced_to(parse_script("a | [pause 1]"), Pacing(), 8.0)


def test_whole_latent_frames_cover_the_time() -> None:
    assert [new_frames(seconds) for seconds in (0.0, 0.1, 0.25, 0.26, 1.0)] == [1, 1, 1, 2, 4]


def test_words_of_the_past_are_those_said_at_its_end() -> None:
    pacing = Pacing()
    assert words_in_the_past("one two red six", (0.0, 1.6), 0.9, pacing) == "red six"
    assert words_in_the_past("one two red six", (0.0, 1.6), 1.5, pacing) == ""
    assert words_in_the_past("one two red six", (0.0, 0.8), 0.9, pacing) == "", "they are over"
    assert words_in_the_past("one two red six", (1.0, 1.6), 0.9, pacing) == "one two red six"
    assert words_in_the_past("", (0.0, 0.0), 0.5, pacing) == ""


@pytest.mark.parametrize("seed", range(40))
def test_a_sound_is_cut_into_few_pieces_where_it_is_quiet(seed: int) -> None:
    random = Random(seed)
    past = random.randint(1, 5)
    longest, given, length = past + random.randint(1, 18), random.randint(1, past), random.randint(1, 200)
    loudness = [random.random() for _ in range(length)]
    (line,) = parse_script("A woman. |")
    plan = plan_wordless(line, loudness, longest, past, given)
    new = [segment.latent_frames or 0 for segment in plan]
    assert sum(new) == length
    assert 1 <= new[0] <= longest - given and all(1 <= frames <= longest - past for frames in new[1:])
    assert len(new) == 1 + max(0, math.ceil((length - longest + given) / (longest - past)))
    assert len(new) == 1 or given + new[0] >= past, "the first one leaves a whole past"


def test_a_cut_falls_on_the_quiet_moment_near_it() -> None:
    loudness = [1.0] * 40
    loudness[17] = 0.1
    (line,) = parse_script("A woman. |")
    assert [segment.latent_frames for segment in plan_wordless(line, loudness, 30, PAST)] == [18, 22]
    with pytest.raises(ValueError, match=r"lasts 0\.56 seconds, and its kept past"):
        plan_wordless(line, loudness, PAST, PAST)


def test_subtitles() -> None:
    assert subtitles([(0, 1.5, "Hi."), (1.5, 2, ""), (61.25, 3700.1, "Ho.")]) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHi.\n\n2\n00:01:01,250 --> 01:01:40,100\nHo.\n\n"
    )


def test_a_segment_says_how_long_it_is() -> None:
    (segment,) = plan_segments(parse_script("a | Hello."), Pacing(pace=0.5), FRAMES, PAST)
    assert segment == Segment(segment.line, "Hello.", 0.0, 0.8)
    assert segment.seconds < clip_seconds(FRAMES)


def test_the_first_segment_has_room_for_all_its_frames() -> None:
    words = "a" * 70
    assert len(plan_segments(parse_script(f"x | {words}"), Pacing(), FRAMES, PAST)) == 1
    with pytest.raises(ValueError, match="room for 4.5"):
        plan_segments(parse_script(f"x | {words}"), Pacing(), FRAMES, PAST, given_frames=PAST)
