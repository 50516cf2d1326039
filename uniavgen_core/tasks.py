"""The tasks of the paper: what each keeps of a joint latent, and what follows from that for the interaction.

A task is what it keeps (arXiv 2511.03334, section 3.6): what is kept is clean, has timestep 0 and takes no update, so
that one model does all of them. No code of the model knows the tasks; who differs by task asks `TASKS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import torch
from torch import Tensor

from .config import audio_tokens, is_still, pixel_frames

PAST_FRAMES = 3
"""Latent frames of the past that a continuation keeps: nine pixel frames and 0.56 seconds of sound."""


@dataclass(frozen=True)
class KeptParts:
    """Which latent frames (T) and audio tokens (L) are given and stay as they are; they may lie anywhere."""

    video: tuple[bool, ...]
    audio: tuple[bool, ...]


def kept_prefix(latent_frames: int, tokens: int, kept_frames: int = 0, kept_tokens: int = 0) -> KeptParts:
    """Keep the first frames and tokens."""
    return KeptParts(
        video=tuple(frame < kept_frames for frame in range(latent_frames)),
        audio=tuple(token < kept_tokens for token in range(tokens)),
    )


def put_back(kept: KeptParts, given: Sequence[Tensor], generated: Sequence[Tensor]) -> list[Tensor]:
    """Both streams as generated, with what is kept of the given ones in place.

    Args:
        given, generated: video (batch, 48, T, h, w) and audio (batch, 1, L, 80).
    """
    return [
        torch.where(torch.tensor(along, device=new.device).view(-1, *[1] * (new.ndim - 3)), old, new)
        for along, old, new in zip((kept.video, kept.audio), given, generated, strict=True)
    ]


@dataclass(frozen=True)
class Switches:
    """What of the model runs in a pass: both directions of the interaction, and the block that is left out."""

    audio_to_video: bool = True
    video_to_audio: bool = True
    skip_block: int = -1
    """-1: none."""


def task_switches(kept: KeptParts, has_reference_voice: bool, negative: bool, skip_block: int = -1) -> Switches:
    """The switches of a pass, as the released model does its tasks.

    A stream that is kept entirely takes no updates. With a reference voice and generated video, the voice must not
    follow the face in the positive pass. A still cannot follow the sound; the voice follows a still that is generated
    with it, unless it has a reference, and not one that is kept, which would be a mouth that never opens.
    """
    all_video, all_audio = all(kept.video), all(kept.audio)
    still = is_still(len(kept.video), len(kept.audio))
    voice_is_given = has_reference_voice and (still or not (all_video or negative))
    unseen = all_audio or voice_is_given or (still and all_video)
    return Switches(audio_to_video=not (all_video or still), video_to_audio=not unseen, skip_block=skip_block)


class Extent(Enum):
    """How much of a stream is kept."""

    NOTHING = auto()
    FIRST_FRAME = auto()
    PAST = auto()
    ALL = auto()
    STILL = auto()
    """Nothing, of a video that is one latent frame however long the sound."""


@dataclass(frozen=True)
class Task:
    """What a task keeps of each stream, and whether it has a reference voice.

    Attributes:
        title: what it is called in tables.
        video: what is kept; FIRST_FRAME is a portrait, all else is of a video.
        audio: what is kept.
    """

    title: str
    video: Extent
    audio: Extent
    reference_voice: bool = False

    def kept(self, latent_frames: int, tokens: int, past_frames: int = PAST_FRAMES) -> KeptParts:
        """What stays as it is of T latent frames and L audio tokens.

        Args:
            past_frames: latent frames of the past, where the task has one.
        """
        if self.video is Extent.STILL:
            return kept_prefix(1, tokens)
        frames = {Extent.NOTHING: 0, Extent.FIRST_FRAME: 1, Extent.PAST: past_frames, Extent.ALL: latent_frames}
        heard = {Extent.NOTHING: 0, Extent.PAST: past_tokens(past_frames), Extent.ALL: tokens}
        return kept_prefix(latent_frames, tokens, frames[self.video], heard[self.audio])

    @property
    def generates_video(self) -> bool:
        return self.video not in (Extent.ALL, Extent.STILL)

    @property
    def generates_audio(self) -> bool:
        return self.audio is not Extent.ALL

    @property
    def has_past(self) -> bool:
        """Whether the clip begins with more than a portrait that was there before, which is no work of the task's."""
        whole_or_none = {Extent.NOTHING, Extent.FIRST_FRAME, Extent.ALL, Extent.STILL}
        return not {self.video, self.audio} <= whole_or_none


TASKS = {
    "joint": Task("joint generation", Extent.FIRST_FRAME, Extent.NOTHING),
    "reference_voice": Task("reference voice", Extent.FIRST_FRAME, Extent.NOTHING, reference_voice=True),
    "continuation": Task("continuation", Extent.PAST, Extent.PAST),
    "dubbing": Task("dubbing", Extent.ALL, Extent.NOTHING),
    "audio_driven": Task("audio-driven", Extent.FIRST_FRAME, Extent.ALL),
    "voice": Task("voice", Extent.STILL, Extent.NOTHING),
}


def past_tokens(past_frames: int) -> int:
    """Audio tokens that sound during the first latent frames of a clip."""
    return audio_tokens(pixel_frames(past_frames))
