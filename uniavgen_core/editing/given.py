"""What a segment holds of the user's videos: its frames and its sound, as the model is given them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, repeat

import torch
from torch import Tensor

from ..audio.mel import log_mel, silence_mel
from ..config import HOP_LENGTH, SAMPLES_A_FRAME, TEMPORAL_COMPRESSION, pixel_frames
from ..media.frames import stacked
from ..media.track import AudioTrack
from ..media.video import Video
from ..model_rates import CONTEXT_TOKENS, mel_window, past_images, sound_between
from ..tasks import past_tokens
from .segment import EditedSegment

GRID_SAMPLES = SAMPLES_A_FRAME - SAMPLES_A_FRAME // HOP_LENGTH * HOP_LENGTH
"""Samples by which a latent frame's first token begins before the frame itself: tokens do not divide its time."""


@dataclass(frozen=True)
class Edit:
    """What of a user's video is made anew, and the gain with which the model was given its sound.

    Args:
        segment: in the video, or of a bridge in both clips as one.
        gain: of the video's sound.
        next_gain: of what comes behind; None where that is the same video.
    """

    segment: EditedSegment
    gain: float
    next_gain: float | None = None

    @property
    def is_bridge(self) -> bool:
        return self.next_gain is not None


def retake_images(video: Video, segment: EditedSegment, width: int, height: int) -> Tensor:
    """Frames (4(T-1)+1, height, width, 3) of a segment; behind the video's end, its last one is repeated."""
    wanted = pixel_frames(segment.latent_frames)
    last = min(video.frames, segment.first + wanted)
    return _held(video.images(width, height, segment.first, last), wanted)


def retake_mel(track: AudioTrack, segment: EditedSegment) -> tuple[Tensor, float]:
    """Natural log-mel (1, 1, L, 80) of a segment's sound, and the gain that scales the whole sound's peak.

    Raises:
        ValueError: the sound is empty, silent or not of numbers.
    """
    begin = segment.first * SAMPLES_A_FRAME
    start = begin - min(CONTEXT_TOKENS * HOP_LENGTH, begin)
    end = begin + (segment.tokens + CONTEXT_TOKENS) * HOP_LENGTH
    waveform, gain = sound_between("the video's sound", track, start, end)
    return mel_window(waveform, begin - start, segment.tokens), gain


def bridge_images(video: Video, following: Video, segment: EditedSegment, width: int, height: int) -> Tensor:
    """Frames (4(T-1)+1, height, width, 3): the end of one clip, and the beginning of the next one.

    Between them stands the last frame of the first for half of the time, then the first of the second.
    """
    kept = segment.video.start
    before = past_images(video, kept, width, height)
    behind = (segment.latent_frames - segment.video.stop) * TEMPORAL_COMPRESSION
    after = _held(following.images(width, height, 0, behind), behind)
    between = len(segment.frames)
    held = (before[-1:].expand(between // 2, -1, -1, -1), after[:1].expand(between - between // 2, -1, -1, -1))
    return torch.cat((before, *held, after))


def bridge_mel(
    track: AudioTrack, following: AudioTrack, frames: int, segment: EditedSegment
) -> tuple[Tensor, tuple[float, float]]:
    """Natural log-mel (1, 1, L, 80) of the end of one clip, of silence, and of the beginning of the next one.

    Each clip's sound has its own gain, which scales its peak.

    Args:
        frames: of the first clip, at 16 a second.

    Returns:
        The mel, and both gains.

    Raises:
        ValueError: a sound is empty, silent or not of numbers.
    """
    kept = segment.video.start
    end = frames * SAMPLES_A_FRAME
    start = end - pixel_frames(kept) * SAMPLES_A_FRAME
    context = min(CONTEXT_TOKENS * HOP_LENGTH, start)
    heard, gain = sound_between("the sound of video", track, start - context, end)
    before = mel_window(heard, context, past_tokens(kept))
    tokens = segment.tokens - segment.audio.stop
    after, next_gain = sound_between(
        "the sound of next_video", following, 0, (tokens + CONTEXT_TOKENS) * HOP_LENGTH - GRID_SAMPLES
    )
    # The token that begins before the clip does, hears silence first.
    after = torch.cat((torch.zeros(1, GRID_SAMPLES), after), dim=-1)
    behind = log_mel(after)[:, :tokens].unsqueeze(1)
    return torch.cat((before, silence_mel(len(segment.audio)), behind), dim=2), (gain, next_gain)


def _held(frames: Iterator[Tensor], count: int) -> Tensor:
    """So many frames (count, H, W, 3), the last one repeated where there are fewer."""

    def all_frames() -> Iterator[Tensor]:
        made, last = 0, None
        for last in islice(frames, count):
            made += 1
            yield last
        if last is not None:
            yield from repeat(last, count - made)

    return stacked(all_frames(), count, compact=True)
