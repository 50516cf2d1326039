"""Planning a script takes as many steps more as it has sentences more, and can be stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from uniavgen_core.long_form.pacing import Pacing
from uniavgen_core.long_form.planning import LongFormSettings, PlannedSegment, plan_clip
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.speech.duration import speech_seconds
from uniavgen_core.speech.reader import SpeechReader

SENTENCES = 60
READER = SpeechReader()
ENGLISH, CHINESE = "Mr. Brown has {} apples, which he likes.", "今天天气很好，我们去公园玩{}次。"


def one_line(sentence: str, count: int) -> str:
    return "A woman. | " + " ".join(map(sentence.format, range(1, count + 1)))


SCRIPTS: dict[str, Callable[[int], str]] = {
    "one line": lambda count: one_line(ENGLISH, count),
    "one line with a seed": lambda count: one_line(ENGLISH, count).replace("|", "| [seed 7]"),
    "a line each": lambda count: one_line(ENGLISH, count).replace("likes. ", "likes.\n"),
    "pauses": lambda count: one_line(ENGLISH + " [pause 1]", count),
    "readings": lambda count: one_line("[Nguyen|win] has {} apples.", count),
    "Chinese": lambda count: one_line(CHINESE, count),
    "no sentence ends": lambda count: one_line("and {} apples", count),
    "nothing but signs": lambda count: one_line("A . . - - … word", count),
}


def settings(reader: SpeechReader = READER) -> LongFormSettings:
    return LongFormSettings(Pacing(reader=reader), longest=31, past_frames=3)


def planned(script: str, seconds: float | None = None, reader: SpeechReader = READER) -> list[PlannedSegment]:
    return plan_clip(parse_script(script), replace(settings(reader), seconds=seconds))[1]


def lines_run(work: Callable[[], Any]) -> int:
    """How many lines of the core are run meanwhile; a loop counts each time."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "uniavgen_core" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("kind", SCRIPTS)
def test_steps_grow_with_the_sentences(kind: str) -> None:
    planned(SCRIPTS[kind](1))  # What is loaded once does not count.
    once, twice = (SCRIPTS[kind](count) for count in (SENTENCES, 2 * SENTENCES))
    assert lines_run(lambda: planned(twice)) <= 2.2 * lines_run(lambda: planned(once))


@pytest.mark.parametrize("kind", ["one line", "a line each", "Chinese"])
def test_what_is_measured_grows_with_the_sentences(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    signs = 0

    def counted(text: str, language: str, pace: float = 1.0) -> float:
        nonlocal signs
        signs += len(text)
        return speech_seconds(text, language, pace)

    monkeypatch.setattr("uniavgen_core.long_form.pacing.speech_seconds", counted)
    script = SCRIPTS[kind](SENTENCES)
    seconds = 1.1 * sum(segment.seconds for segment in planned(script))
    signs = 0
    planned(script, seconds)
    # Once to stretch it, once for the longest word, and twice or so to cut it.
    assert len(script) < signs < 8 * len(script)


def test_two_thousand_sentences_are_planned_whole() -> None:
    words = " ".join(segment.written for segment in planned(one_line(ENGLISH, 2000)))
    assert words == one_line(ENGLISH, 2000).partition(" | ")[2]


def test_planning_can_be_stopped_once_all_is_read() -> None:
    class Stop(Exception):
        pass

    stopping = SpeechReader()
    lines = parse_script(one_line(ENGLISH, SENTENCES))
    read = [
        replace(line, passages=tuple(replace(p, spoken=stopping.read(p.words)) for p in line.passages))
        for line in lines
    ]
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps > SENTENCES:
            raise Stop

    stopping.step = step
    with pytest.raises(Stop):
        plan_clip(read, settings(stopping))


def test_what_is_no_word_is_refused() -> None:
    with pytest.raises(ValueError, match="Line 1 of the script: The script has 1000 signs without a space, from “1111"):
        planned("A woman. | Hello. " + "1" * 5000)
    with pytest.raises(ValueError, match="Line 1 of the script has .seed 9+.: give a whole number"):
        planned(f"A woman. | [seed {'9' * 5000}] Hello.")
