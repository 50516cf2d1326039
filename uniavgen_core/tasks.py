"""The tasks as masks over a joint latent: what is kept, and what follows from it for the interaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class KeptParts:
    """Which latent frames (T) and audio tokens (L) are given and stay as they are."""

    video: tuple[bool, ...]
    audio: tuple[bool, ...]


def kept_prefix(latent_frames: int, audio_tokens: int, kept_frames: int, kept_tokens: int = 0) -> KeptParts:
    """Keep the first frames and tokens.

    Joint generation and a reference voice keep frame 0, continuation some frames and their tokens, dubbing all frames,
    audio-driven video frame 0 and all tokens.
    """
    return KeptParts(
        video=tuple(frame < kept_frames for frame in range(latent_frames)),
        audio=tuple(token < kept_tokens for token in range(audio_tokens)),
    )


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
