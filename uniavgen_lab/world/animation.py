"""From phonemes, loudness and mood to a pose a frame: visemes, blinks, brows and head motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

import numpy
from numpy.typing import NDArray

from uniavgen_core.config import FRAME_RATE
from uniavgen_core.tiny.pose import Pose

from .sentences import MOODS
from .synthesiser import Phoneme

GRID_RATE = 400
"""Moments a second at which mouth targets are blended before they are taken at the frames."""
CLOSURE_REACH = 0.022
"""Seconds by which a closure of the lips is widened, so that a frame at 16 a second sees it."""
MOOD_SECONDS = 0.25
"""The first frame is neutral; after this time the mood shows in full."""
BLINK_SECONDS = 0.2
VOWELS = "aeiouAEIOUV03@"
"""First letters of espeak's vowels."""


@dataclass(frozen=True)
class Viseme:
    """A mouth shape to aim for; fields as in `Pose`."""

    mouth_open: float
    mouth_width: float = 0.0
    lips_round: float = 0.0
    lips_pressed: float = 0.0
    teeth: float = 0.0
    tongue: float = 0.0
    seconds: float = 0.075
    """Width of the kernel that blends it with its neighbours: short for quick gestures."""

    def shape(self) -> tuple[float, ...]:
        """The targets in the order of `SHAPE_FIELDS`."""
        return tuple(getattr(self, name) for name in SHAPE_FIELDS)


SHAPE_FIELDS = ("mouth_open", "mouth_width", "lips_round", "lips_pressed", "teeth", "tongue")
VISEMES = MappingProxyType(
    {
        "rest": Viseme(0.0),
        "closed": Viseme(0.0, mouth_width=-0.1, lips_pressed=1.0, seconds=0.05),
        "lip_teeth": Viseme(0.16, mouth_width=0.1, lips_pressed=0.7, teeth=1.0, seconds=0.06),
        "tongue": Viseme(0.38, mouth_width=0.1, teeth=0.4, tongue=1.0, seconds=0.06),
        "narrow": Viseme(0.26, mouth_width=0.7, teeth=1.0, seconds=0.06),
        "wide": Viseme(0.6, mouth_width=1.0, teeth=0.7),
        "mid": Viseme(0.72, mouth_width=0.35, teeth=0.5),
        "open": Viseme(1.0, mouth_width=0.3, teeth=0.5, tongue=0.1),
        "round_open": Viseme(0.88, mouth_width=-0.3, lips_round=0.55, teeth=0.15),
        "round_narrow": Viseme(0.58, mouth_width=-0.5, lips_round=1.0),
        "glide": Viseme(0.28, mouth_width=-0.6, lips_round=1.0, seconds=0.06),
        "pursed": Viseme(0.3, mouth_width=-0.4, lips_round=0.75, teeth=0.9, seconds=0.06),
        "back": Viseme(0.34, mouth_width=0.1, teeth=0.3, tongue=0.2, seconds=0.06),
    }
)
"""Mouth shapes by name. `rest` is silence."""

_SYMBOLS = MappingProxyType(
    {
        "closed": ("m", "b", "p"),
        "lip_teeth": ("f", "v"),
        "tongue": ("T", "D", "l", "L", "n", "t", "d", "t#", "*"),
        "narrow": ("s", "z"),
        "wide": ("i", "i:", "I", "I#", "I2", "j"),
        "mid": ("E", "@", "@2", "@L", "3", "3:", "e", "V", "a#", "@-"),
        "open": ("a", "A:", "A", "A@", "aa", "a2"),
        "round_open": ("O:", "O", "O2", "O@", "0", "o", "o@"),
        "round_narrow": ("u:", "u", "U", "8"),
        "glide": ("w",),
        "pursed": ("S", "Z", "tS", "dZ", "r"),
        "back": ("k", "g", "N", "h", "x"),
    }
)
_DIPHTHONGS = MappingProxyType(
    {
        "aI": ("open", "wide"),
        "aI@": ("open", "wide", "mid"),
        "aU": ("open", "round_narrow"),
        "eI": ("mid", "wide"),
        "e@": ("mid", "mid"),
        "i@": ("wide", "mid"),
        "oU": ("round_open", "round_narrow"),
        "OI": ("round_open", "wide"),
        "U@": ("round_narrow", "mid"),
    }
)


def visemes_of(symbol: str) -> tuple[Viseme, ...]:
    """The mouth shapes of one of espeak-ng's phonemes, in order: one, or more for a diphthong.

    Stress marks are skipped. An unknown vowel is `mid`, an unknown consonant `back`, a pause `rest`.
    """
    symbol = symbol.lstrip("',%=|")
    if symbol.startswith("_") or not symbol:
        return (VISEMES["rest"],)
    if symbol in _DIPHTHONGS:
        return tuple(VISEMES[name] for name in _DIPHTHONGS[symbol])
    for name, symbols in _SYMBOLS.items():
        if symbol in symbols:
            return (VISEMES[name],)
    return (VISEMES["mid" if symbol[0] in VOWELS else "back"],)


@dataclass(frozen=True)
class Manner:
    """How a mood looks; fields as in `Pose` where they have its names."""

    mouth_corners: float
    brow_raise: float
    brow_angle: float
    eyelids: float
    opening: float
    """The mouth opens by this factor."""
    head_y: float
    sway: tuple[float, float, float]
    """Reach of head_x and head_y in pixels and of the tilt in degrees."""
    sway_rate: float
    """Turns a second."""
    bounce: float
    """Pixels that the head nods on loud syllables."""
    blink_pause: tuple[float, float]
    """Seconds from one blink to the next."""


MANNERS = MappingProxyType(
    {
        "neutral": Manner(0.0, 0.0, 0.0, 1.0, 1.0, 0.0, (0.6, 0.25, 0.6), 0.35, 0.2, (2.0, 4.0)),
        "happy": Manner(0.95, 0.8, -0.12, 1.0, 1.0, -0.5, (1.2, 0.6, 1.8), 0.8, 0.6, (1.8, 3.2)),
        "angry": Manner(-0.5, -0.75, 1.0, 0.8, 1.0, 0.3, (0.5, 0.3, 0.6), 0.6, 1.4, (2.5, 4.5)),
        "sad": Manner(-1.0, 0.25, -1.0, 0.72, 0.85, 1.5, (0.5, 0.3, 0.8), 0.2, 0.0, (3.0, 5.0)),
    }
)
"""How each of MOODS looks."""


def animate(
    phonemes: Sequence[Phoneme], envelope: NDArray[numpy.floating], mood: str, frames: int, seed: int
) -> list[Pose]:
    """Poses of a clip at 16 frames a second; frame i is at i / 16 s. The first is neutral and at rest.

    Args:
        phonemes: speech sounds in order of time; gaps are silence.
        envelope: (frames) the sound's RMS around each frame, on any scale.
        mood: one of MOODS.
        frames: how many.
        seed: of blinks and head motion.

    Raises:
        ValueError: an unknown mood, or an envelope of another length.
    """
    if mood not in MOODS:
        raise ValueError(f"There is no mood {mood!r}. Moods are: {', '.join(MOODS)}.")
    if len(envelope) != frames:
        raise ValueError(f"The envelope has {len(envelope)} values for {frames} frames.")
    manner, random = MANNERS[mood], Random(f"animation {seed}")
    loudness = _loudness(numpy.asarray(envelope, dtype=numpy.float64))
    shapes = _mouth_shapes(phonemes, loudness, manner)
    fade = _fade(frames)
    head = _head_motion(loudness, manner, random) * fade[:, None]
    lids = _eyelids(frames, manner, random, fade)
    strength = random.uniform(0.88, 1.12)
    return [
        Pose(
            **dict(zip(SHAPE_FIELDS, map(float, shapes[frame]), strict=True)),
            mouth_corners=float(strength * manner.mouth_corners * fade[frame]),
            brow_raise=float((strength * manner.brow_raise + 0.25 * (loudness[frame] - 0.3)) * fade[frame]),
            brow_angle=float(strength * manner.brow_angle * fade[frame]),
            eyelids=float(lids[frame]),
            head_x=float(head[frame, 0]),
            head_y=float(head[frame, 1]),
            head_tilt=float(head[frame, 2]),
        )
        for frame in range(frames)
    ]


def _loudness(envelope: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    """The envelope against the clip's loud moments, 0 to about 1; silence before or after does not change it."""
    heard = envelope[envelope > 0.1 * envelope.max(initial=0)]
    if not len(heard):
        return numpy.zeros_like(envelope)
    return numpy.clip(envelope / numpy.percentile(heard, 88), 0, 1.25)


def _fade(frames: int) -> NDArray[numpy.float64]:
    """How far the mood has set in, 0 at the first frame."""
    share = numpy.clip(numpy.arange(frames) / FRAME_RATE / MOOD_SECONDS, 0, 1)
    return share * share * (3 - 2 * share)


def _mouth_shapes(
    phonemes: Sequence[Phoneme], loudness: NDArray[numpy.float64], manner: Manner
) -> NDArray[numpy.float64]:
    """Mouth targets at the frames, (frames, fields of a shape): blended, scaled by loudness, shut by closures."""
    frames = len(loudness)
    grid = numpy.arange(math.ceil(frames / FRAME_RATE * GRID_RATE) + 1) / GRID_RATE
    weighted, total = numpy.zeros((len(grid), len(SHAPE_FIELDS))), numpy.full(len(grid), 1e-6)
    shut = numpy.zeros(len(grid))
    for start, end, viseme in _segments(phonemes):
        weight = _window(grid, start, end, viseme.seconds)
        weighted += weight[:, None] * viseme.shape()
        total += weight
        if viseme.lips_pressed == 1:
            shut = numpy.maximum(shut, _window(grid, start - CLOSURE_REACH, end + CLOSURE_REACH, 0.02))
    shapes = weighted / numpy.maximum(total, 0.15)[:, None]
    shapes[:, 0] *= 1 - shut
    moments = numpy.round(numpy.arange(frames) / FRAME_RATE * GRID_RATE).astype(int)
    sampled = shapes[moments]
    sampled[:, 0] *= manner.opening * (0.12 + 0.88 * loudness)
    sampled[:, 0] = numpy.clip(sampled[:, 0], 0, 1)
    sampled[:1] = 0
    return sampled


def _segments(phonemes: Sequence[Phoneme]) -> list[tuple[float, float, Viseme]]:
    """Start, end and shape of each viseme; a diphthong's shapes share its time."""
    segments = []
    for phoneme in phonemes:
        shapes = visemes_of(phoneme.symbol)
        step = (phoneme.end - phoneme.start) / len(shapes)
        for index, shape in enumerate(shapes):
            start = phoneme.start + index * step
            segments.append((start, start + step, shape))
    return segments


def _window(grid: NDArray[numpy.float64], start: float, end: float, width: float) -> NDArray[numpy.float64]:
    """1 from start to end with soft edges of a width in seconds."""
    begun, over = (0.5 + 0.5 * numpy.tanh(2 * (grid - moment) / width) for moment in (start, end))
    return begun * (1 - over)


def _head_motion(loudness: NDArray[numpy.float64], manner: Manner, random: Random) -> NDArray[numpy.float64]:
    """head_x and head_y in pixels and the tilt in degrees, (frames, 3): slow waves, and nods with the voice."""
    time = numpy.arange(len(loudness)) / FRAME_RATE
    motion = numpy.zeros((len(loudness), 3))
    for axis in range(3):
        for harmonic, share in ((1.0, 0.7), (1.7, 0.3)):
            rate = manner.sway_rate * harmonic * random.uniform(0.85, 1.15)
            phase = random.uniform(0, 2 * math.pi)
            motion[:, axis] += share * manner.sway[axis] * numpy.sin(2 * math.pi * rate * time + phase)
    smooth = numpy.convolve(numpy.pad(loudness, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    motion[:, 1] += manner.head_y + manner.bounce * (smooth - 0.3)
    return motion


def _eyelids(frames: int, manner: Manner, random: Random, fade: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    """How far the eyes are open at each frame, with blinks."""
    time = numpy.arange(frames) / FRAME_RATE
    lids = 1 + (manner.eyelids - 1) * fade
    # Far enough from the first frame that the portrait's eyes are open.
    moment = random.uniform(0.4, manner.blink_pause[1])
    while moment < time[-1] + BLINK_SECONDS:
        closing = numpy.clip(1 - numpy.abs(time - moment) / (BLINK_SECONDS / 2), 0, 1)
        lids = lids * (1 - numpy.clip(1.5 * closing, 0, 1))
        moment += random.uniform(*manner.blink_pause)
    return lids
