"""Any text at all: said, or refused in a sentence."""

from __future__ import annotations

import pytest
from fuzzing import fuzzed, refused_in_words, texts
from hypothesis import given
from hypothesis import strategies as st

from uniavgen_core.long_form.pacing import Pacing
from uniavgen_core.long_form.planning import LongFormSettings
from uniavgen_core.long_form.script import parse_script, script_hints
from uniavgen_core.long_form.timed_planning import plan_script
from uniavgen_core.speech.reader import SpeechReader

pytestmark = pytest.mark.fuzz
READERS = {read_numbers: SpeechReader(read_numbers) for read_numbers in (True, False)}
languages = st.sampled_from([None, "en", "zh"])
WORDS = ("speech", "script", "reading", "read", "[", "“", "word")
"""What a sentence on words speaks of."""


@fuzzed
@given(texts, languages, st.booleans())
def test_speech(text: str, language: str | None, read_numbers: bool) -> None:
    reader = READERS[read_numbers]
    with refused_in_words(*WORDS):
        spoken = reader.read(text, language)
        assert spoken.seconds() >= 0
        symbols = reader.symbols(spoken.text, spoken.language)
        assert all(0 <= symbol < len(reader.lexicon.indices) for symbol in symbols)
        assert reader.units(spoken.text, spoken.language) is not None
        assert all(note.strip() for note in spoken.notes())


@fuzzed
@given(texts, languages, st.sampled_from([None, 1.0, 30.0, 3600.0]), st.booleans())
def test_scripts(text: str, language: str | None, seconds: float | None, has_caption: bool) -> None:
    script = f"A woman. | Hello.\n{text}" if has_caption else text
    with refused_in_words("script"):
        script_hints(script)
        lines = parse_script(script)
        pacing = Pacing(language, reader=READERS[True])
        plan = plan_script(lines, LongFormSettings(pacing, longest=31, past_frames=3, seconds=seconds))[1]
        assert plan[-1].is_last
        assert all(0 <= segment.seed < 2**64 and segment.seconds > 0 for segment in plan)
