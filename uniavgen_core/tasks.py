"""The five tasks of the paper as masks over a joint latent: what is kept, and what follows from it for the interaction.

Nothing else in the code knows the tasks: a task is what it keeps (arXiv 2511.03334, section 3.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from .config import audio_tokens, pixel_frames

PAST_FRAMES = 3
"""Latent frames of the past that a continuation keeps: nine pixel frames and 0.56 seconds of sound."""


@dataclass(frozen=True)
class KeptParts:
    """Which latent frames (T) and audio tokens (L) are given and stay as they are."""

    video: tuple[bool, ...]
    audio: tuple[bool, ...]


def kept_prefix(latent_frames: int, tokens: int, kept_frames: int, kept_tokens: int = 0) -> KeptParts:
    """Keep the first frames and tokens."""
    return KeptParts(
        video=tuple(frame < kept_frames for frame in range(latent_frames)),
        audio=tuple(token < kept_tokens for token in range(tokens)),
    )


class Given(Enum):
    """How much of a stream is given."""

    NOTHING = auto()
    FIRST_FRAME = auto()
    PAST = auto()
    ALL = auto()


@dataclass(frozen=True)
class Task:
    """What a task is given of each stream, and whether of a voice."""

    video: Given
    audio: Given
    reference_voice: bool = False

    def kept(self, latent_frames: int, tokens: int, past_frames: int = PAST_FRAMES) -> KeptParts:
        """What stays as it is of T latent frames and L audio tokens.

        Args:
            past_frames: latent frames of the past, where the task has one.
        """
        frames = {Given.NOTHING: 0, Given.FIRST_FRAME: 1, Given.PAST: past_frames, Given.ALL: latent_frames}
        sounds = {Given.NOTHING: 0, Given.PAST: past_tokens(past_frames), Given.ALL: tokens}
        return kept_prefix(latent_frames, tokens, frames[self.video], sounds[self.audio])


TASKS = {
    "joint": Task(Given.FIRST_FRAME, Given.NOTHING),
    "reference_voice": Task(Given.FIRST_FRAME, Given.NOTHING, reference_voice=True),
    "continuation": Task(Given.PAST, Given.PAST),
    "dubbing": Task(Given.ALL, Given.NOTHING),
    "audio_driven": Task(Given.FIRST_FRAME, Given.ALL),
}


def past_tokens(past_frames: int) -> int:
    """Audio tokens that sound during the first latent frames of a clip."""
    return audio_tokens(pixel_frames(past_frames))


@dataclass(frozen=True)
class Directions:
    """Which directions of the interaction run in a pass."""

    audio_to_video: bool
    video_to_audio: bool


def directions(
    kept_video: Sequence[bool], kept_audio: Sequence[bool], has_reference_voice: bool, negative: bool
) -> Directions:
    """The directions of a pass, as the released model does its tasks.

    A stream that is given entirely takes no updates. With a reference voice and generated video, the voice must not
    follow the face in the positive pass.
    """
    all_video, all_audio = all(kept_video), all(kept_audio)
    voice_is_given = has_reference_voice and not all_video and not negative
    return Directions(audio_to_video=not all_video, video_to_audio=not (all_audio or voice_is_given))
