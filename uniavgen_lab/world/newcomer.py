"""A person of no kind that the small model knows, to see what can be taught of somebody new by ten clips."""

from __future__ import annotations

from dataclasses import replace

from uniavgen_core.tiny.people import Person

from .synthesiser import Voice

NEWCOMER = "robot"
"""What captions call the newcomer. The small model has never read the word."""
_SEED = 11
_PITCH = 118.0
"""Hz, between those of a man and a grandfather, and nearly the same all the time."""
_PITCH_RANGE = 0.05
_FORMANTS = 1.32
"""Of a throat shorter than a child's, which no low voice of the world has."""
_ROUGHNESS = 3


def newcomer_person() -> Person:
    """Looks with colours that nobody in the small model's world has."""
    return replace(
        Person.from_seed(_SEED, "man"),
        skin=(126, 178, 196),
        hair=(206, 84, 158),
        eyes=(236, 148, 40),
        lips=(58, 86, 132),
        hair_style="quiff",
        glasses="none",
        beard="none",
        shirt=(52, 56, 64),
        background=(196, 236, 150),
        backdrop="plain",
    )


def newcomer_voice(mood: str) -> Voice:
    """A low, flat, rough voice with high formants, which no kind has; rate, loudness and brightness are the mood's."""
    usual = Voice.of("man", mood, _SEED)
    return replace(
        usual,
        low=_PITCH * (1 - _PITCH_RANGE),
        high=_PITCH * (1 + _PITCH_RANGE),
        formants=_FORMANTS,
        flutter=0,
        roughness=_ROUGHNESS,
    )
