"""What will be said, shown before anything is sampled, and pauses in one clip."""

from __future__ import annotations

import pytest
from fuzzing import fuzzed, refused_in_words, texts
from hypothesis import given

from uniavgen_core.long_form.pacing import Pacing
from uniavgen_core.long_form.words_report import report_on_words
from uniavgen_core.speech.pauses import read_clip
from uniavgen_core.speech.reader import SpeechReader

READER = SpeechReader()


@pytest.mark.parametrize(
    ("text", "said", "seconds"),
    [
        ("Hello. [pause 0.5] I have news.", "Hello. I have news.", 0.5),
        ("Hello [pause 1] there[ PAUSE .25 ]again", "Hello… there… again", 1.25),
        ("[pause 1] Hello there. [pause 2]", "Hello there.", 3),
        ("Hello <break time='500ms'/> there <break strength='none'/> now", "Hello… there now", 0.5),
        ("“Wait.” [pause 1] Go", '"Wait." Go', 1),
        ("你好【pause 1】世界。［pause １］再见。", "你好……世界。 再见。", 2),
        ("[Nguyen|win] [pause 1] came", "win… came", 1),
        ("Hello there.", "Hello there.", 0),
    ],
)
def test_a_pause_is_a_sign_and_time(text: str, said: str, seconds: float) -> None:
    clip = read_clip(READER, text)
    assert clip.spoken.text == said
    assert clip.pause_seconds == seconds
    assert clip.seconds() == pytest.approx(seconds + READER.read(said).seconds())
    assert any("more for its pauses" in note for note in clip.notes()) == bool(seconds)
    assert not any("left out" in note for note in clip.notes())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Hello. [pause] Bye.", r"The speech has \[pause\]: give seconds"),
        ("Hello. [pause 61] Bye.", "up to 60"),
        ("[pause 1]", "pauses and no words"),
    ],
)
def test_pauses_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_clip(READER, text)


def test_other_marks_of_scripts_are_left_out_as_before() -> None:
    clip = read_clip(READER, "[seed 7] Hello. [pause 1] Bye.")
    assert clip.spoken.text == "Hello. Bye."
    assert any("[seed 7] is left out" in note for note in clip.notes())


def test_words_of_a_clip_are_shown_with_their_seconds() -> None:
    report = report_on_words("It costs $5 at 12:30. [pause 1] OK?", Pacing())
    assert "It costs five dollars at twelve thirty." in report.text
    assert report.seconds == pytest.approx(read_clip(READER, "It costs $5 at 12:30. [pause 1] OK?").seconds())
    assert f"About {report.seconds:.1f} s" in report.text and "has room for it" in report.text
    assert report_on_words("Hello there.", Pacing(pace=2.0)).seconds < report_on_words("Hello there.", Pacing()).seconds
    assert "use UniAVGen Long Form" in report_on_words("Word after word. " * 40, Pacing()).text


def test_lines_of_a_script_are_shown_one_by_one() -> None:
    report = report_on_words("A woman. | Hello there. [pause 2] Bye.\nIt is $5.", Pacing())
    head, first, second = report.text.splitlines()
    assert first.startswith("line 1  0.0 to 3") and first.endswith("Hello there. Bye.")
    assert second.startswith("line 2  3") and second.endswith("It is five dollars.")
    assert head == f"In all about {report.seconds:.1f} s"
    timed = report_on_words("1 --> 3 Hello there.\n4 --> 4.6 One two three.", Pacing())
    assert timed.seconds == 4.6
    assert "line 1  1.0 to 3.0 s (takes 0.8)  Hello there." in timed.text
    assert "said faster" in timed.text


@pytest.mark.parametrize("text", ["", " \n"])
def test_no_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="There are no words"):
        report_on_words(text, Pacing())


@pytest.mark.fuzz
@fuzzed
@given(texts)
def test_any_words(text: str) -> None:
    with refused_in_words("speech", "script", "words", "reading", "read", "[", "“", "word"):
        report = report_on_words(text, Pacing(reader=READER))
        assert report.seconds >= 0 and report.text
