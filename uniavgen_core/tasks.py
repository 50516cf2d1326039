"""The tasks: what each keeps of a joint latent, and what follows from that for the interaction.

A task is what it keeps (arXiv 2511.03334, section 3.6): what is kept is clean, has timestep 0 and takes no update, so
that one model does all of them. No code of the model knows the tasks; who differs by task asks `TASKS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import torch
from einops import repeat
from torch import Tensor

from .config import audio_tokens, is_still, pixel_frames

PAST_FRAMES = 3
"""Latent frames of the past that a continuation keeps: nine pixel frames and 0.56 seconds of sound."""
NEXT_FRAMES = 3
"""Latent frames that are kept at a clip's end, where a task does: twelve pixel frames and 0.75 seconds of sound."""


FrameKept = bool | tuple[bool, ...]
"""Whether a latent frame is kept, or which of its N tokens are, row by row, where some are and some are not."""
KeptVideo = tuple[FrameKept, ...]
"""(T) of each latent frame."""
TOKEN_SIDE = 2
"""Latent pixels along a side of a video token."""


@dataclass(frozen=True)
class KeptParts:
    """What is given and stays as it is, of T latent frames and L audio tokens; it may lie anywhere."""

    video: KeptVideo
    audio: tuple[bool, ...]

    @property
    def whole_frames(self) -> tuple[bool, ...]:
        """(T) whether all of a frame is kept."""
        return tuple(frame is True for frame in self.video)

    @property
    def of_whole_frames(self) -> KeptParts:
        """What is kept of the video in whole frames, and of the sound."""
        return KeptParts(self.whole_frames, self.audio)

    @property
    def all_video(self) -> bool:
        return all(self.whole_frames)

    @property
    def all_audio(self) -> bool:
        return all(self.audio)

    def video_tokens(self, tokens: int) -> Tensor:
        """(T, N) whether each of N tokens a frame is kept; (T, 1) where every frame is kept or generated whole.

        In main memory, where plans are made, whatever device a host has as its default.
        """
        if all(isinstance(frame, bool) for frame in self.video):
            return torch.tensor(self.video, device="cpu").unsqueeze(1)
        frames = [[frame] * tokens if isinstance(frame, bool) else frame for frame in self.video]
        return torch.tensor(frames, device="cpu")


def kept_tokens(video: Tensor, audio: Tensor) -> KeptParts:
    """What is kept, of a bool for each video token (T, N) and each audio token (L)."""
    return KeptParts(kept_video(video), tuple(audio.tolist()))


def kept_video(tokens: Tensor) -> KeptVideo:
    """What is kept of the video, of a bool for each token (T, N)."""
    return tuple(frame[0] if len(set(frame)) == 1 else tuple(frame) for frame in tokens.tolist())


def kept_prefix(latent_frames: int, tokens: int, kept_frames: int = 0, kept_tokens: int = 0) -> KeptParts:
    """Keep the first frames and tokens."""
    return KeptParts(
        video=tuple(frame < kept_frames for frame in range(latent_frames)),
        audio=tuple(token < kept_tokens for token in range(tokens)),
    )


def kept_around(latent_frames: int, tokens: int, video: range, audio: range) -> KeptParts:
    """Keep all but these latent frames and audio tokens."""
    return KeptParts(
        video=tuple(frame not in video for frame in range(latent_frames)),
        audio=tuple(token not in audio for token in range(tokens)),
    )


def put_back(kept: KeptParts, given: Sequence[Tensor], generated: Sequence[Tensor]) -> list[Tensor]:
    """Both streams as generated, with what is kept of the given ones in place.

    Args:
        given, generated: video (batch, 48, T, h, w) and audio (batch, 1, L, 80).
    """
    along = kept_masks(kept, *generated[0].shape[3:])
    return [torch.where(mask.to(new.device), old, new) for mask, old, new in zip(along, given, generated, strict=True)]


def kept_masks(kept: KeptParts, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Whether each latent pixel of h × w and each token of the sound is kept, for the last axes of both streams.

    The video's is (T, h, w), or (T, 1, 1) where every frame is kept or generated whole; the audio's is (L, 1).
    """
    rows, columns = -(-height // TOKEN_SIDE), -(-width // TOKEN_SIDE)
    tokens, audio = kept.video_tokens(rows * columns), torch.tensor(kept.audio).unsqueeze(1)
    if tokens.shape[1] == 1:
        return tokens.unsqueeze(2), audio
    video = repeat(
        tokens, "t (rows columns) -> t (rows down) (columns across)",
        rows=rows, down=TOKEN_SIDE, across=TOKEN_SIDE,
    )  # fmt: skip
    return video[:, :height, :width], audio


@dataclass(frozen=True)
class NoisedAreas:
    """What is kept of frames while the rest of them is generated, for a model that was trained on whole frames.

    Such a model knows frames that are kept whole, clean and with timestep 0, but no clean tokens among those of a
    step's timestep. So areas are noised anew to each step's level, and have its timestep as the rest of their frame
    (RePaint, arXiv 2201.09865). A model that was trained with random masks takes areas as it takes whole frames.

    Attributes:
        where: bool, broadcast over the latent.
        noise: of the latent's shape but for the batch, of which it has 1.
    """

    where: Tensor
    noise: Tensor

    def at(self, sigma: Tensor, given: Tensor) -> Tensor:
        """What is given (batch, …), with the areas noised to a level that broadcasts over it."""
        where, noise = (values.to(given.device) for values in (self.where, self.noise))
        return torch.where(where, (1 - sigma) * given + sigma * noise, given)


AREA_SEED = 0
"""Of the areas' noise: one for all runs, so that the second part of a schedule goes on with the noise of the first."""


def noised_areas(kept: KeptParts, shape: Sequence[int]) -> NoisedAreas | None:
    """The areas of a video latent (batch, 48, T, h, w), in main memory; None where all frames are whole."""
    if kept == kept.of_whole_frames:
        return None
    here, whole = (kept_masks(parts, *shape[3:])[0] for parts in (kept, kept.of_whole_frames))
    return NoisedAreas(here & ~whole, area_noise(shape))


def area_noise(shape: Sequence[int]) -> Tensor:
    """The areas' noise (1, …) for a latent (batch, …), in main memory."""
    return torch.randn(1, *shape[1:], generator=torch.Generator().manual_seed(AREA_SEED), device="cpu")


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
    still = is_still(len(kept.video), len(kept.audio))
    voice_is_given = has_reference_voice and (still or not (kept.all_video or negative))
    unseen = kept.all_audio or voice_is_given or (still and kept.all_video)
    return Switches(audio_to_video=not (kept.all_video or still), video_to_audio=not unseen, skip_block=skip_block)


class Extent(Enum):
    """How much of a stream is kept."""

    NOTHING = auto()
    FIRST_FRAME = auto()
    PAST = auto()
    ENDS = auto()
    ALL = auto()
    STILL = auto()
    """Nothing, of a video that is one latent frame however long the sound."""


@dataclass(frozen=True)
class Task:
    """What a task keeps of each stream, and whether it has a reference voice.

    Attributes:
        title: what it is called in tables.
        video: what is kept; FIRST_FRAME is a portrait, ENDS what lies before and after, all else is of a video.
        audio: what is kept.
    """

    title: str
    video: Extent
    audio: Extent
    reference_voice: bool = False

    def kept(
        self, latent_frames: int, tokens: int, past_frames: int = PAST_FRAMES, next_frames: int = NEXT_FRAMES
    ) -> KeptParts:
        """What stays as it is of T latent frames and L audio tokens.

        Args:
            past_frames: latent frames of the past, where the task has one.
            next_frames: latent frames at the end, where the task keeps some.
        """
        if self.video is Extent.STILL:
            return kept_prefix(1, tokens)
        if self.keeps_ends:
            made = range(past_frames, latent_frames - next_frames)
            heard_anew = range(past_tokens(past_frames), past_tokens(latent_frames - next_frames))
            return kept_around(latent_frames, tokens, made, heard_anew)
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
    def keeps_ends(self) -> bool:
        """Whether something is made anew between what lies before and what lies after."""
        return Extent.ENDS in (self.video, self.audio)

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
    "retake": Task("retake", Extent.ENDS, Extent.ENDS),
    "bridge": Task("bridge", Extent.ENDS, Extent.ENDS),
}


def kept_of_region(video: KeptVideo, tokens: int, has_audio: bool) -> KeptParts:
    """What stays where a region of a video is made anew: new lips for a sound that is given, or with a new one.

    Args:
        video: as `KeptParts.video`.
        tokens: L, audio tokens.
        has_audio: whether the new sound is given.
    """
    return KeptParts(video, (has_audio,) * tokens)


def past_tokens(past_frames: int) -> int:
    """Audio tokens that sound during the first latent frames of a clip."""
    return audio_tokens(pixel_frames(past_frames))
