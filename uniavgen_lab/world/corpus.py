"""The small model's corpus: any clip is made from its seed, with the truth about it.

Clips come in pairs. Seeds 2n and 2n + 1 show the same person in the same mood for the same time, with other words, so
that one is the reference voice of the other. A listener may stand beside the speaker, and keeps silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

import numpy

from uniavgen_core.config import FRAME_RATE, HOP_LENGTH, SAMPLE_RATE, audio_tokens, clip_seconds, pixel_frames
from uniavgen_core.face.lip_sync import rms_envelope
from uniavgen_core.tiny.drawing import Painter
from uniavgen_core.tiny.people import KINDS, Person
from uniavgen_core.tiny.pose import Pose

from .animation import animate
from .newcomer import NEWCOMER, newcomer_person, newcomer_voice
from .sentences import (
    LATENT_FRAMES,
    MOODS,
    SIDES,
    caption_of_two,
    draw_caption,
    draw_sentence,
)
from .synthesiser import Phoneme, Speech, Synthesiser, Voice

SPLITS = {
    "train": range(0, 1_000_000_000),
    "validation": range(1_000_000_000, 1_100_000_000),
    "test": range(1_100_000_000, 1_200_000_000),
}
"""Seeds of each part of the corpus."""
FIRST_LISTENER = SPLITS["test"].stop // 2
"""Seed of the first person who is nobody's speaker."""
LEAD_SECONDS = (0.08, 0.2)
"""Silence before the first word."""
TAIL_SECONDS = 0.08
"""Least silence after the last word."""
SHORTEST_SHARE = 0.6
"""Of a clip's time that is spoken, at least."""
REST_SHARE = 0.75
"""Of the clips that start at rest."""
FRAMES_BEFORE = 10
"""Pixel frames that lie before a clip that does not start at rest."""


@dataclass(frozen=True)
class CorpusClip:
    """A clip and the truth about it."""

    seed: int
    person: Person
    mood: str
    caption: str
    speech: str
    latent_frames: int
    waveform: numpy.ndarray
    """(samples) at 24 kHz, float32, as loud as the mood is: audio_tokens · 240 samples."""
    phonemes: tuple[Phoneme, ...]
    starts_at_rest: bool
    """Whether the first frame is the portrait; else the clip starts in the middle of the person's mood and motion."""
    listener: Person | None = None
    """Who stands beside the speaker, in a picture twice as wide."""
    side: str = ""
    """`left` or `right`: where the speaker is, beside a listener."""

    @property
    def seconds(self) -> float:
        return clip_seconds(self.latent_frames)

    @property
    def kind(self) -> str:
        return self.person.kind

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the people from left to right."""
        kinds = (self.kind,) if self.listener is None else (self.kind, self.listener.kind)
        return kinds[::-1] if self.side == "right" else kinds

    @cached_property
    def _painter(self) -> Painter:
        return Painter(self.person)

    @cached_property
    def _listener_painter(self) -> Painter | None:
        return None if self.listener is None else Painter(self.listener)

    @cached_property
    def pictures(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Frames (F, 128, 128, 3) of bytes and masks of the speaker's face (F, 128, 128) of 0 or 255.

        With a listener they are 256 wide.
        """
        before = 0 if self.starts_at_rest else FRAMES_BEFORE
        seconds = before / FRAME_RATE
        phonemes = [Phoneme(p.start + seconds, p.end + seconds, p.symbol) for p in self.phonemes]
        envelope = rms_envelope(self.waveform, pixel_frames(self.latent_frames))
        envelope = numpy.pad(envelope, (before, 0))
        poses = animate(phonemes, envelope, self.mood, len(envelope), self.seed)[before:]
        pictures, masks = paint(self._painter, poses)
        if self._listener_painter is None:
            return pictures, masks
        # A seed that no clip has, as the listener moves in a way of its own.
        silent = animate((), numpy.zeros_like(envelope), "neutral", len(envelope), -1 - self.seed)[before:]
        beside, _ = paint(self._listener_painter, silent)
        return self._side_by_side(pictures, beside), self._side_by_side(masks, numpy.zeros_like(masks))

    def _side_by_side(self, speaker: numpy.ndarray, listener: numpy.ndarray) -> numpy.ndarray:
        halves = (listener, speaker) if self.side == "right" else (speaker, listener)
        return numpy.concatenate(halves, axis=2)

    @property
    def portrait(self) -> numpy.ndarray:
        """The people at rest, (128, 128, 3) of bytes, or 256 wide with a listener."""
        speaker, _ = paint(self._painter, [Pose()])
        if self._listener_painter is None:
            return speaker[0]
        return self._side_by_side(speaker, paint(self._listener_painter, [Pose()])[0])[0]

    @property
    def faces_at_rest(self) -> dict[str, numpy.ndarray]:
        """Masks of the faces of two people at rest, by side, (128, 256) of 0 or 255 each."""
        assert self._listener_painter is not None
        speaker, listener = (paint(painter, [Pose()])[1] for painter in (self._painter, self._listener_painter))
        empty = numpy.zeros_like(speaker)
        (other,) = set(SIDES) - {self.side}
        return {
            self.side: self._side_by_side(speaker, empty)[0],
            other: self._side_by_side(empty, listener)[0],
        }

    @property
    def frames(self) -> numpy.ndarray:
        return self.pictures[0]

    @property
    def face_mask(self) -> numpy.ndarray:
        return self.pictures[1]


def paint(painter: Painter, poses: Sequence[Pose]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pictures (F, 128, 128, 3) of bytes and face masks (F, 128, 128) of 0 or 255 of these poses."""
    pictures, masks = zip(*map(painter.draw, poses), strict=True)
    return numpy.stack(pictures), numpy.stack(masks)


def partner(seed: int) -> int:
    """The seed of the clip that shares this one's person, mood and length."""
    return seed ^ 1


def make_clip(seed: int, synthesiser: Synthesiser, newcomer: bool = False) -> CorpusClip:
    """The clip of a seed. Its pictures are drawn when they are first asked for.

    Args:
        newcomer: somebody of no kind of the world stands in for the seed's person.
    """
    pair = Random(f"pair {seed // 2}")
    person = Person.from_seed(seed // 2, pair.choice(KINDS))
    mood = pair.choice(MOODS)
    latent_frames = pair.choice(LATENT_FRAMES)
    voice = Voice.of(person.kind, mood, seed // 2)
    if newcomer:
        person, voice = newcomer_person(), newcomer_voice(mood)
    random = Random(f"clip {seed}")
    seconds = clip_seconds(latent_frames)
    lead = random.uniform(*LEAD_SECONDS)
    sentence, speech = _say(random, synthesiser, voice, seconds - lead - TAIL_SECONDS, seconds * SHORTEST_SHARE)
    start = round(lead * SAMPLE_RATE)
    waveform = numpy.zeros(audio_tokens(pixel_frames(latent_frames)) * HOP_LENGTH, dtype=numpy.float32)
    waveform[start : start + len(speech.samples)] = speech.samples
    shift = start / SAMPLE_RATE
    return CorpusClip(
        seed=seed,
        person=person,
        mood=mood,
        caption=draw_caption(NEWCOMER if newcomer else person.kind, mood, random),
        speech=sentence,
        latent_frames=latent_frames,
        waveform=waveform,
        phonemes=tuple(Phoneme(p.start + shift, p.end + shift, p.symbol) for p in speech.phonemes),
        starts_at_rest=random.random() < REST_SHARE,
    )


def beside_a_listener(clip: CorpusClip) -> CorpusClip:
    """The same clip with somebody beside the speaker: the same in both clips of a pair."""
    pair, random = Random(f"listener {clip.seed // 2}"), Random(f"side {clip.seed}")
    side = random.choice(SIDES)
    speaker = replace(clip.person, backdrop="plain")
    listener = Person.from_seed(FIRST_LISTENER + clip.seed // 2, pair.choice(KINDS))
    listener = replace(listener, backdrop="plain", background=speaker.background)
    beside = replace(clip, person=speaker, listener=listener, side=side)
    return replace(beside, caption=caption_of_two(beside.kinds, random.choice((None, side)), clip.mood))


def _say(random: Random, synthesiser: Synthesiser, voice: Voice, longest: float, shortest: float) -> tuple[str, Speech]:
    """A sentence that lasts from `shortest` to `longest` seconds, and its sound."""
    while True:
        sentence = draw_sentence(random)
        speech = synthesiser.speak(sentence, voice)
        if shortest <= len(speech.samples) / SAMPLE_RATE <= longest:
            return sentence, speech
