"""Texts as people write them: readings, marks of other programs, what is left out, and how long all takes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from uniavgen_core.long_form.pacing import ends_sentence
from uniavgen_core.speech.duration import seconds_for_speech, speech_seconds
from uniavgen_core.speech.reader import SpeechReader, Spoken

READER = SpeechReader()


def read(text: str) -> Spoken:
    return READER.read(text)


@pytest.mark.parametrize(
    ("written", "said", "shown"),
    [
        ("Ask [Nguyen|win] now.", "Ask win now.", "Ask Nguyen now."),
        ("［GIF｜jif］, 【Siobhan|shiv-awn】!", "jif, shiv-awn!", "GIF, Siobhan!"),
        ("[Привет|privyet] means hi", "privyet means hi", "Привет means hi"),
        ("The [C++|see plus plus] way", "The see plus plus way", "The C++ way"),
    ],
)
def test_an_english_reading_is_said_as_it_is_spelt(written: str, said: str, shown: str) -> None:
    spoken = read(written)
    assert (spoken.text, spoken.written, spoken.notes()) == (said, shown, [])


@pytest.mark.parametrize("text", ["[Nguyen|]", "[|win]", "[ | ]"])
def test_a_reading_of_one_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="lacks a part: write"):
        read(f"Hello {text}.")


@pytest.mark.parametrize("reading", ["вин", "w1n", "win!", "---"])
def test_a_reading_that_cannot_be_said_is_refused_by_name(reading: str) -> None:
    with pytest.raises(ValueError, match="spell it in Latin letters") as error:
        read(f"Hello [Nguyen|{reading}].")
    assert f"“[Nguyen|{reading}]”" in str(error.value)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("[pause 0.5] Hi", "Hi", "[pause 0.5] is left out: such marks work in UniAVGen Script"),
        ("Hi 【pause 1】 you［seed 7］", "Hi you", "【pause 1】, ［seed 7］ are left out"),
        (
            'One <break time="500ms"/> two',
            "One two",
            '<break time="500ms"/> is left out. For pauses, write [pause',
        ),
        ("<speak><p>Hi</p></speak>", "Hi", "SSML is not read"),
        ("A calm woman. | Hello.", "A calm woman. Hello.", "The sign | is left out. Only UniAVGen Script takes"),
        ("A calm woman. ｜ Hello.", "A calm woman. Hello.", "the caption belongs in CLIP Text Encode"),
        ("This is **bold** and *it*", "This is bold and it", "Markdown is not read: **, * are left out."),
        ("# Title\n- one\n- `two`", "Title one two", "Markdown is not read"),
        ("See [the page](https://example.com/a).", "See the page.", "Markdown is not read"),
        ("Hello [laughs] there", "Hello laughs there", "[laughs] is said as words"),
    ],
)
def test_marks_of_other_programs_are_not_said_and_the_user_is_told(text: str, said: str, hint: str) -> None:
    spoken = read(text)
    assert spoken.text == said
    assert hint in " ".join(spoken.notes())


@pytest.mark.parametrize("text", ["I <3 you", "5 * 3 is 15", "a - b", "snake_case_name", "1 < 2 and 3 > 2"])
def test_what_only_looks_like_a_mark_is_none(text: str) -> None:
    assert not read(text).hints


def test_emphasis_ends_at_the_next_sign_of_its_kind() -> None:
    spoken = read("**one** ***two*** **a *b* c** __d__ ~~e~~ **f **g** and **h")
    assert spoken.text == "one two a b c d e f g and h"


def test_what_is_left_out_is_named_once() -> None:
    spoken = read("Hi 😀 there 😀\u200b, {you}")
    assert spoken.text == "Hi there , you"
    assert spoken.left_out == ("GRINNING FACE 😀", "LEFT CURLY BRACKET {", "RIGHT CURLY BRACKET }")
    assert spoken.notes()[0].startswith("Left out, as it has no sound: GRINNING FACE 😀, LEFT CURLY")


@pytest.mark.parametrize("text", ["", " \n", "\u3000"])
def test_an_empty_text_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(ValueError, match="^The speech is empty: write what the person says"):
        read(text)
    with pytest.raises(ValueError, match="^The reference transcript is empty: write what the recording says"):
        READER.read(text, name="reference transcript")


@pytest.mark.parametrize("text", ["...", "?!", "\u200b", "[pause 1]"])
def test_a_text_without_words_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="The speech holds no words"):
        read(text)


def test_emoji_alone_are_no_words() -> None:
    with pytest.raises(ValueError, match="The model cannot say “🙂”"):
        read("🙂")


@pytest.mark.parametrize(
    ("written", "words", "language"),
    [
        ("Call 555-0123-4567 now.", "Call five five five, zero one two three, four five six seven now.", "en"),
        ("$1,250.50", "one thousand, two hundred and fifty dollars and fifty cents", "en"),
        ("电话138-0013-8000", "电话幺三八，零零幺三，八零零零", "zh"),
        ("2026年11月27日", "二零二六年十一月二十七日", "zh"),
    ],
)
@pytest.mark.parametrize("read_numbers", [True, False])
def test_the_length_follows_from_what_is_said(written: str, words: str, language: str, read_numbers: bool) -> None:
    spoken = SpeechReader(read_numbers).read(written)
    assert spoken.seconds() == pytest.approx(speech_seconds(words, language))
    assert spoken.seconds(pace=2) == pytest.approx(spoken.seconds() / 2)
    assert spoken.seconds() > 2 * speech_seconds(written, language) or language == "zh"


def test_a_telephone_number_takes_its_time() -> None:
    assert seconds_for_speech(read("Call 555-0123-4567 now.").text, "en") == pytest.approx(4.8, abs=0.5)


def test_letters_take_the_time_of_their_names() -> None:
    assert read("FBI").seconds() == pytest.approx(len("eff bee i") / 15)
    assert read("WWW").seconds() == pytest.approx(3 * len("double-you") / 15 + 2 / 15)
    assert read("A plan I don't like").seconds() == pytest.approx(len("A plan I don't like") / 15)


@pytest.mark.parametrize("text", ["One two, three.", "Call 555-0123 at 3:05 pm.", "“Hi” — she said; $5!", "MP3 4K ok"])
def test_units_join_to_the_text(text: str) -> None:
    spoken = read(text)
    assert " ".join("".join(unit.said for unit in spoken.units).split()) == spoken.text
    assert all(unit.read.strip() for unit in spoken.units)


def test_a_text_can_be_cut_behind_what_is_read_out() -> None:
    units = read("We go at 5 p.m. Then to the U.S. He is there, etc. They know.").units
    ends = [index for index, (unit, after) in enumerate(pairwise(units)) if ends_sentence(unit, after)]
    assert [units[index].said.split()[-1] for index in ends] == ["M.", "S.", "cetera."]
    assert [units[index + 1].said for index in ends] == ["Then ", "He ", "They "]


def test_a_sentence_may_begin_with_a_number() -> None:
    units = read("I do. 5 people came.").units
    assert ends_sentence(units[1], units[2])


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("[李明|Lee Ming] is here.", "en"),
        ("[银行|yin2 hang2]", "zh"),
        ("[银行|yín háng]", "zh"),
        ("[Nguyen|阮]", "zh"),
        ("我是[Nguyen|win]", "zh"),
    ],
)
def test_the_language_is_that_of_what_is_said(text: str, language: str) -> None:
    assert read(text).language == language


def test_a_long_text_can_be_stopped() -> None:
    class Stopped(BaseException):
        pass

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        SpeechReader(step=stop).read("Hello there.")
    with pytest.raises(Stopped):
        SpeechReader(step=stop).read("你好")
