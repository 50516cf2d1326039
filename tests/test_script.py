"""Scripts, and how they become segments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from uniavgen_core.config import LATENT_SECONDS, clip_seconds
from uniavgen_core.long_form.pacing import Pacing, ends_sentence, words_in_the_past
from uniavgen_core.long_form.planning import (
    DRAWL,
    LongFormSettings,
    drawl_note,
    frames_for,
    paced_to,
    plan_clip,
    plan_segments,
    plan_wordless,
)
from uniavgen_core.long_form.script import Passage, parse_script, script_hints
from uniavgen_core.media.cues import subtitles
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.speech.rules import Unit

PARAGRAPH = (
    "The old house stood empty for years, and nobody went near it. Then one spring the birds came back: three of them "
    "sat on the roof and sang. By summer there were so many that the neighbours came to listen. Nobody knows why."
)
FRAMES, PAST = 21, 3
ROOM = (FRAMES - PAST) * LATENT_SECONDS
SETTINGS = LongFormSettings(Pacing(), FRAMES, PAST)


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


@pytest.mark.parametrize(
    "text",
    [
        "A woman. ｜ Hello. [pause 1] Bye.",
        "A woman. | Hello. 【pause 1】 Bye.",
        "A woman. | Hello. ［pause １］Bye.",
        "A woman. | Hello. [ Pause 1.0 ] Bye.",
        'A woman. | Hello. <break time="1s"/> Bye.',
        "A woman. | Hello. <break time='1000ms'></break> Bye.",
        "- A woman. | Hello. [pause 1] Bye.",
        "# Scene 1\n\ufeffA woman. | Hello. [pause 1] Bye.\n---",
        "\ufeff* A woman. | Hello. [pause 1] Bye.",
    ],
)
def test_marks_of_other_keyboards_and_programs_are_understood(text: str) -> None:
    (line,) = parse_script(text)
    assert line.caption.lstrip("\ufeff") == "A woman."
    assert line.passages == (Passage(0.0, "Hello."), Passage(1.0, "Bye."))


def test_what_was_taken_otherwise_is_told() -> None:
    assert not script_hints("A woman. | Hello. ［pause 1］ [Nguyen|win]")
    told = " ".join(script_hints('# Scene 1\n- A woman. | Hello. <break time="1s"/>'))
    assert "“# Scene 1” is Markdown" in told and "Signs of a list" in told and "<break …/> is taken as" in told


def test_a_reading_does_not_part_a_line() -> None:
    text = "A woman. | Ask [Nguyen|win] now. [pause 1] ［銀行｜yin2 hang2］\n[Siobhan|shiv-awn] said so."
    line, second = parse_script(text)
    assert line.passages == (Passage(0.0, "Ask [Nguyen|win] now."), Passage(1.0, "[銀行|yin2 hang2]"))
    assert (second.caption, second.passages) == ("A woman.", (Passage(0.0, "[Siobhan|shiv-awn] said so."),))


def test_words_that_cannot_be_said_are_refused_with_their_line() -> None:
    lines = parse_script("A woman. | Hello.\n\nПривет, мир.")
    with pytest.raises(ValueError, match=r"^Line 3 of the script: The model cannot say “Привет, мир\.”"):
        plan_clip(lines, SETTINGS)


def test_segments_say_what_is_read_and_show_what_is_written() -> None:
    _, plan = plan_clip(parse_script("a | Ask [Nguyen|win] at 3:05 pm. It costs $5."), SETTINGS)
    assert " ".join(segment.words for segment in plan) == "Ask win at three oh five P M. It costs five dollars."
    assert " ".join(segment.written for segment in plan) == "Ask Nguyen at 3:05 pm. It costs $5."


def test_a_long_number_is_spread_over_segments() -> None:
    digits = "12345678901234567890"
    _, plan = plan_clip(parse_script(f"a | {digits} {digits}"), SETTINGS)
    assert len(plan) > 2 and max(segment.seconds for segment in plan) <= ROOM + PAST * LATENT_SECONDS
    assert len(" ".join(segment.words for segment in plan).split()) == 40
    assert " ".join(filter(None, (segment.written for segment in plan))) == f"{digits} {digits}"


@pytest.mark.parametrize("read_numbers", [True, False])
@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("We met Dr. Smith. He left.", ["Smith.", "left."]),
        ("See J. R. R. Tolkien, Mr. Li and St. Paul. Bye!", ["Paul.", "Bye!"]),
        ("It is 3.5 km, e.g. by bus, etc. and so on. Good?", ["on.", "Good?"]),
        ("Well... maybe… So it is.", ["is."]),
        ("Mail a.b@example.com or see www.example.com. Now.", ["com.", "Now."]),
        ("She said: “No.” Then she left.", ['No."', "left."]),
        ("今天很好。明天呢？好……吧！", ["好。", "呢？", "吧！"]),
    ],
)
def test_sentences_end_where_they_do(text: str, ends: list[str], read_numbers: bool) -> None:
    units = [*SpeechReader(read_numbers).read(text).units]
    following = [*units[1:], Unit("", "", "")]
    found = [unit.said.strip() for unit, after in zip(units, following, strict=True) if ends_sentence(unit, after)]
    assert len(found) == len(ends)
    assert all(one.endswith(end) for one, end in zip(found, ends, strict=True))


@pytest.mark.parametrize(
    "text", ["Hello there.", "Hi!", "One short sentence. [pause 1] And one.", "Internationalization!"]
)
@pytest.mark.parametrize("seconds", [30.0, 300.0])
def test_few_words_for_a_long_clip_are_drawn_out_and_the_rest_is_silent(text: str, seconds: float) -> None:
    lines = parse_script(f"a | {text}")
    settings, plan = plan_clip(lines, replace(SETTINGS, seconds=seconds))
    assert 1 < settings.pacing.stretch <= DRAWL
    assert not plan[-1].words and plan[0].words
    frames = sum(segment.latent_frames or 0 for segment in plan)
    assert frames * LATENT_SECONDS == pytest.approx(seconds, abs=LATENT_SECONDS)
    assert "[pause 5]" in str(drawl_note(lines, plan))


def test_a_clip_that_its_words_fill_is_told_nothing() -> None:
    lines = parse_script(f"a | {PARAGRAPH}")
    for seconds in (None, 20.0):
        assert drawl_note(lines, plan_clip(lines, replace(SETTINGS, seconds=seconds))[1]) is None


def test_a_long_script_asks_for_each_word_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning takes time that grows with the words, not with their square."""
    measured: list[int] = []
    time_of = Pacing.unit_seconds

    def unit_seconds(pacing: Pacing, units: Sequence[Unit], language: str) -> float:
        measured.append(len(units))
        return time_of(pacing, units, language)

    monkeypatch.setattr(Pacing, "unit_seconds", unit_seconds)
    words = 2_000
    text = "word " * (words - 1) + "word."
    _, plan = plan_clip(parse_script(f"a | {text}"), replace(SETTINGS, seconds=words / 3 * 1.2))
    assert " ".join(segment.words for segment in plan) == text
    assert sum(measured) <= 6 * words


@pytest.mark.parametrize("seed", range(20))
def test_a_passage_is_cut_into_as_few_pieces_as_do(seed: int) -> None:
    random = Random(seed)
    words = [
        "".join(random.choices("bdgklmnprst", k=random.randint(3, 40))) + random.choice(["", "", ",", "."])
        for _ in range(80)
    ]
    _, plan = plan_clip(parse_script("x | " + " ".join(words)), SETTINGS)
    assert " ".join(segment.words for segment in plan) == " ".join(words)
    assert all(segment.seconds <= ROOM + 1e-6 for segment in plan[1:])
    pieces, taken = 1, 0.0
    for word in words:
        if taken and (taken + 1 + len(word)) / 15 > ROOM + 1e-9:
            pieces, taken = pieces + 1, 0.0
        taken += len(word) + (1 if taken else 0)
    assert len(plan) == pieces


def test_a_script_can_be_stopped_while_it_is_planned() -> None:
    class Stopped(BaseException):
        pass

    steps = iter(range(20))

    def step() -> None:
        if next(steps, None) is None:
            raise Stopped

    with pytest.raises(Stopped):
        plan_clip(
            parse_script(f"a | {PARAGRAPH}"), LongFormSettings(Pacing(reader=SpeechReader(step=step)), FRAMES, PAST)
        )


@pytest.mark.parametrize("text", ["a |", "b | One.\na | [seed 1]"])
def test_a_caption_alone_says_nothing_without_a_recording(text: str) -> None:
    lines = parse_script(text)
    assert (lines[-1].caption, lines[-1].passages, lines[-1].speech) == ("a", (), "")
    with pytest.raises(ValueError, match=f"Line {len(lines)} of the script says nothing: write `caption"):
        plan_clip(lines, SETTINGS)


def test_a_paragraph_is_spread_over_segments_of_about_one_length() -> None:
    plan = plan_segments(parse_script(f"A woman. | {PARAGRAPH}"), SETTINGS)
    assert " ".join(segment.words for segment in plan) == PARAGRAPH
    seconds = [segment.seconds for segment in plan]
    assert max(seconds) <= ROOM
    assert min(seconds) > 0.5 * max(seconds)
    assert sum(segment.words[-1] in ".,:" for segment in plan) >= 3, "cuts fall on ends of sentences and clauses"


def test_chinese_is_cut_between_words() -> None:
    text = "今天天气很好，我们一起去公园散步，然后去喝咖啡，最后回家看电影。你觉得怎么样？"
    plan = plan_segments(parse_script(f"A woman. | {text}"), SETTINGS)
    assert "".join(segment.words for segment in plan) == text
    assert len(plan) == 2
    assert all(segment.words[-1] in "，。？" for segment in plan)
    assert {"公园", "喝咖啡，"} <= {unit.said for unit in SpeechReader().read(text).units}


def test_a_pause_parts_a_line_and_a_long_one_is_a_segment_of_its_own() -> None:
    plan = plan_segments(parse_script("a | One. [pause 0.5] Two. [pause 10] [pause 1]"), SETTINGS)
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
        plan_segments(parse_script("x | " + "a" * 100), SETTINGS)
    with pytest.raises(ValueError, match=r"lasts 0\.56 seconds, and its kept past 0\.56 of them"):
        plan_segments(parse_script("x | a"), LongFormSettings(Pacing(), PAST, PAST))


@pytest.mark.parametrize("text", ["www.a.b <", "< www.a.b"])
def test_what_is_not_said_is_no_segment_of_its_own(text: str) -> None:
    """It would last no time."""
    settings = LongFormSettings(Pacing(reader=SpeechReader(True)), longest=31, past_frames=3, seconds=30.0)
    _, plan = plan_clip(parse_script(f"A woman. | Hello.\n{text}"), settings)
    assert [segment.written for segment in plan if segment.written] == ["Hello.", text]
    assert all(segment.seconds > 0 for segment in plan)


def test_a_reading_is_not_cut_inside() -> None:
    with pytest.raises(ValueError, match="“啊{40}” alone takes"):
        plan_segments(parse_script(f"x | [{'啊' * 40}|{' '.join(['a1'] * 40)}]"), SETTINGS)
    plan = plan_segments(parse_script(f"x | {'[啊啊|a1 a1]' * 40}"), SETTINGS)
    assert "".join(segment.words for segment in plan) == "[啊啊|a1 a1]" * 40


def test_a_length_that_is_asked_for_stretches_the_words_alone() -> None:
    lines = parse_script(f"a | {PARAGRAPH} [pause 2] End.")
    pacing = paced_to(lines, Pacing(), 30.0)
    plan = plan_segments(lines, LongFormSettings(pacing, FRAMES, PAST))
    assert sum(segment.seconds for segment in plan) == pytest.approx(30.0, abs=1.0)
    assert max(segment.seconds for segment in plan) <= ROOM
    with pytest.raises(ValueError, match="wants about 17.0 seconds, 2.0 of them pauses"):
        paced_to(lines, Pacing(), 8.0)
    with pytest.raises(ValueError, match="says nothing"):
        paced_to(parse_script("a | [pause 1]"), Pacing(), 8.0)


def test_whole_latent_frames_cover_the_time() -> None:
    assert [frames_for(seconds) for seconds in (0.0, 0.1, 0.25, 0.26, 1.0)] == [1, 1, 1, 2, 4]


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
    plan = plan_wordless(line, loudness, LongFormSettings(Pacing(), longest, past, given))
    new = [segment.latent_frames or 0 for segment in plan]
    assert sum(new) == length
    assert 1 <= new[0] <= longest - given and all(1 <= frames <= longest - past for frames in new[1:])
    assert len(new) == 1 + max(0, math.ceil((length - longest + given) / (longest - past)))
    assert len(new) == 1 or given + new[0] >= past, "the first one leaves a whole past"


def test_a_cut_falls_on_the_quiet_moment_near_it() -> None:
    loudness = [1.0] * 40
    loudness[17] = 0.1
    (line,) = parse_script("A woman. |")
    assert [segment.latent_frames for segment in plan_wordless(line, loudness, replace(SETTINGS, longest=30))] == [
        18,
        22,
    ]
    with pytest.raises(ValueError, match=r"lasts 0\.56 seconds, and its kept past"):
        plan_wordless(line, loudness, replace(SETTINGS, longest=PAST))


def test_subtitles() -> None:
    assert subtitles([(0, 1.5, "Hi."), (1.5, 2, ""), (61.25, 3700.1, "Ho.")]) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHi.\n\n2\n00:01:01,250 --> 01:01:40,100\nHo.\n\n"
    )


def test_a_segment_says_how_long_it_is() -> None:
    (segment,) = plan_segments(parse_script("a | Hello."), LongFormSettings(Pacing(pace=0.5), FRAMES, PAST))
    assert (segment.words, segment.pause_seconds, segment.seconds) == ("Hello.", 0.0, 0.8)
    assert segment.seconds < clip_seconds(FRAMES)


def test_the_first_segment_has_room_for_all_its_frames() -> None:
    words = "a" * 70
    assert len(plan_segments(parse_script(f"x | {words}"), SETTINGS)) == 1
    with pytest.raises(ValueError, match="room for 4.5"):
        plan_segments(parse_script(f"x | {words}"), replace(SETTINGS, kept_frames=PAST))
