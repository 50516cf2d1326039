"""Pauses in the words of one clip: `Hello. [pause 0.5] I have news.`

Within a clip the model places its pauses itself, by punctuation. So a pause becomes a sign that is paused at, and the
clip gets its time. Where silence has to be exact, a long clip gives each passage its own segment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .markup import BREAK, LONGEST_PAUSE_SECONDS, break_seconds, pause_seconds
from .reader import SpeechReader, Spoken
from .text import detect_language

PAUSE = re.compile(r"\s*[\[［【]\s*pause\b([^\]\[］【】|｜]*)[\]］】]\s*", re.IGNORECASE)
PAUSED_AT = re.compile(r"[.!?。！？,;:，；：、…—-][\"'”’)》]*$")
"""The end of words after which a voice pauses by itself."""
SIGN = {"en": "… ", "zh": "……"}
"""What a voice pauses at, where no other sign stands."""


@dataclass(frozen=True)
class SpokenClip:
    """What is said in one clip."""

    spoken: Spoken
    pause_seconds: float = 0.0
    """Seconds of the pauses that are wanted in it."""

    def seconds(self, pace: float = 1.0) -> float:
        """Seconds that it takes, with its pauses."""
        return self.spoken.seconds(pace) + self.pause_seconds

    def notes(self) -> list[str]:
        """As of `Spoken`."""
        if not self.pause_seconds:
            return self.spoken.notes()
        return [
            f"The clip gets {self.pause_seconds:g} s more for its pauses, which fall at signs such as … and as the "
            "voice likes; UniAVGen Long Form keeps pauses exactly.",
            *self.spoken.notes(),
        ]


def read_clip(reader: SpeechReader, text: str, language: str | None = None) -> SpokenClip:
    """What a text says in one clip, pauses among it.

    Args:
        language: "en", "zh" or None, as of `SpeechReader.read`.

    Raises:
        ValueError: as there, or a pause has no length.
    """
    marked = BREAK.sub(lambda tag: f"[pause {break_seconds(tag[1]):g}]" if break_seconds(tag[1]) else " ", text)
    pieces = PAUSE.split(marked)
    if len(pieces) == 1:
        return SpokenClip(reader.read(text, language))
    seconds = sum(_seconds(value) for value in pieces[1::2])
    sign = SIGN[language or detect_language(text)]
    said = ""
    for words in pieces[::2]:
        paused = said.rstrip()
        said = f"{paused}{' ' if PAUSED_AT.search(paused) else sign}{words}" if paused and words else paused + words
    if not said.strip():
        raise ValueError("The speech has pauses and no words: write words, or leave it empty.")
    return SpokenClip(reader.read(said, language), seconds)


def _seconds(value: str) -> float:
    seconds = pause_seconds(value)
    if seconds is None:
        raise ValueError(
            f"The speech has [pause{value}]: give seconds above 0 and up to {LONGEST_PAUSE_SECONDS:g}, such as "
            "[pause 0.5]."
        )
    return seconds
