"""Where a segment lies in a user's video, and what of it is made anew: its latent frames and audio tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from ..audio.voice import voiced_seconds
from ..config import (
    AUDIO_TOKENS_PER_SECOND,
    FRAME_RATE,
    MAX_LATENT_FRAMES,
    TEMPORAL_COMPRESSION,
    TRAINED_LATENT_FRAMES,
    audio_tokens,
    clip_seconds,
    latent_frames,
    latent_frames_for_seconds,
    pixel_frames,
)
from ..joint_latent import HURRY
from ..tasks import KeptParts, kept_around, past_tokens

DRAWL = 3.0
"""Words that take less than the range's seconds by this factor leave most of it silent."""

LEAST_SPOKEN = 0.4
"""Seconds of words from which on a pace is told."""
SLOWEST, FASTEST = 0.5, 2.0
"""Paces that are believed."""


@dataclass(frozen=True)
class TimeRange:
    """What a user wants anew of a video, and how long the new words take.

    Args:
        start, end: seconds of the video; an end of 0 is the video's.
        picture, sound: which of them is made anew.
        words_seconds: how long the new words take at the usual pace, 0 where none are told.
        kept_seconds: how long the other words of the segment take at it, 0 where none are told.
    """

    start: float
    end: float
    picture: bool = True
    sound: bool = True
    words_seconds: float = 0.0
    kept_seconds: float = 0.0

    @property
    def name(self) -> str:
        """The range in a sentence."""
        end = "the end" if not self.end else f"{self.end:g} s"
        return f"the range from {self.start:g} s to {end}"


@dataclass(frozen=True)
class EditedSegment:
    """A segment of a video at 16 frames a second.

    Args:
        first: the video's frame that is the segment's first.
        latent_frames: of the segment.
        video: its latent frames that are made anew.
        audio: its audio tokens that are.
    """

    first: int
    latent_frames: int
    video: range
    audio: range

    @property
    def tokens(self) -> int:
        return audio_tokens(pixel_frames(self.latent_frames))

    def kept(self) -> KeptParts:
        return kept_around(self.latent_frames, self.tokens, self.video, self.audio)

    @property
    def frames(self) -> range:
        """The segment's pixel frames that are made anew."""
        if not self.video:
            return range(0)
        return range(pixel_frames(self.video.start), pixel_frames(self.video.stop))

    @property
    def start(self) -> Fraction:
        """Second of the video at which the segment begins."""
        return Fraction(self.first, FRAME_RATE)

    @property
    def picture_seconds(self) -> tuple[Fraction, Fraction]:
        """Seconds of the video between which the picture is made anew."""
        frames = self.frames
        return tuple(self.start + Fraction(frame, FRAME_RATE) for frame in (frames.start, frames.stop))  # type: ignore[return-value]

    @property
    def sound_seconds(self) -> tuple[Fraction, Fraction]:
        """Seconds of the video between which the sound is made anew."""
        tokens = self.audio
        return tuple(self.start + Fraction(token, AUDIO_TOKENS_PER_SECOND) for token in (tokens.start, tokens.stop))  # type: ignore[return-value]

    def told(self, seconds: Fraction) -> str:
        """What is used, for the user.

        Args:
            seconds: length of the video.
        """
        parts = [("picture", self.video, self.picture_seconds), ("sound", self.audio, self.sound_seconds)]
        anew = [f"{name} from {float(a):.2f} to {float(b):.2f} s" for name, part, (a, b) in parts if part]
        end = self.start + Fraction(pixel_frames(self.latent_frames), FRAME_RATE)
        return (
            f"Made anew: {', '.join(anew)}. The segment goes from {float(self.start):.2f} to "
            f"{float(min(end, seconds)):.2f} s of {float(seconds):.2f}: the words of all of it are said in it."
        )


def plan_retake(frames: int, seconds: Fraction, wanted: TimeRange, least: float, context: int) -> EditedSegment:
    """The segment around a range, as long as asked, with as much before as after where the video has it.

    The picture's edges fall on latent frames (four frames), the sound's on tokens (10 ms); both are moved outwards.
    Where it can be chosen, the segment starts so that the picture's first edge is the user's own. The video's first
    frame stays, because it says who speaks.

    Args:
        frames: of the video, at 16 a second.
        seconds: length of the video.
        least: seconds that the segment lasts at least; 0: as long as the model was trained on.
        context: latent frames that are kept on each side at least, as far as the video has them.

    Raises:
        ValueError: the range lies outside of the video, holds nothing, or does not fit into a segment.
    """
    start, end = _exact(wanted.start), _exact(wanted.end) or seconds
    _check_range(start, end, seconds, wanted)
    end = min(end, seconds)
    first_new = math.floor(start * FRAME_RATE)
    end_new = min(frames, max(first_new + 1, math.ceil(end * FRAME_RATE)))
    room = _segment_frames(end_new - first_new, least, context, wanted)
    first = 0
    if frames > room:
        first = min(max(0, first_new - (room - (end_new - first_new)) // 2), frames - room)
        # A step back of up to three frames lets the range start where a latent frame does.
        aligned = max(0, first - (first - (first_new - 1)) % TEMPORAL_COMPRESSION)
        first = aligned if aligned + room >= end_new else first
    length = latent_frames(min(frames - first, room))
    video, audio = range(0), range(0)
    if wanted.picture:
        video = range(max(1, _latent_frame(first_new - first)), _latent_frame(end_new - 1 - first) + 1)
        video = range(video.start, max(video.stop, video.start + 1))
        if video.stop > length:
            raise ValueError(f"{wanted.name} holds the video's first frame only, which stays: make it longer.")
    if wanted.sound:
        begin, stop = (second - Fraction(first, FRAME_RATE) for second in (start, end))
        tokens = audio_tokens(pixel_frames(length))
        audio = range(
            max(0, math.floor(begin * AUDIO_TOKENS_PER_SECOND)),
            min(tokens, max(math.ceil(stop * AUDIO_TOKENS_PER_SECOND), 1)),
        )
    return EditedSegment(first, length, video, audio)


def plan_bridge(past_frames: int, length: int, kept: int, next_seconds: Fraction) -> EditedSegment:
    """The segment between two clips.

    Args:
        past_frames: frames of the first clip, at 16 a second.
        length: latent frames of the segment.
        kept: latent frames that are kept on each side.
        next_seconds: length of the second clip.

    Raises:
        ValueError: a clip is shorter than what is kept of it, or nothing is left to make.
    """
    wanted, following = pixel_frames(kept), kept * TEMPORAL_COMPRESSION
    for name, lasts, needed in (
        ("video", Fraction(past_frames, FRAME_RATE), wanted),
        ("next_video", next_seconds, following),
    ):
        if round(lasts * FRAME_RATE) < needed:
            raise ValueError(
                f"{name} lasts {float(lasts):.2f} seconds, but {needed / FRAME_RATE:.2f} seconds of it are kept beside "
                f"the bridge: give a longer clip, or set past_frames below {kept}."
            )
    if length <= 2 * kept:
        raise ValueError(
            f"The bridge lasts {clip_seconds(length):.2f} seconds with what is kept of both clips, which alone takes "
            f"{(wanted + following) / FRAME_RATE:.2f}: ask for more seconds, or keep fewer past_frames."
        )
    made = range(kept, length - kept)
    return EditedSegment(past_frames - wanted, length, made, range(past_tokens(made.start), past_tokens(made.stop)))


def pace_around(wanted: TimeRange, segment: EditedSegment, mel: Tensor) -> float:
    """How fast the person speaks around a range, against the usual rate; 1 where too little is said to tell.

    Args:
        mel: natural log-mel (1, 1, L, 80) of the segment.
    """
    kept = [token not in segment.audio for token in range(segment.tokens)]
    if wanted.kept_seconds < LEAST_SPOKEN or sum(kept) < LEAST_SPOKEN * AUDIO_TOKENS_PER_SECOND:
        return 1.0
    spoken = voiced_seconds(mel[0, 0, kept])
    return min(max(wanted.kept_seconds / max(spoken, LEAST_SPOKEN), SLOWEST), FASTEST)


def check_new_words(wanted: TimeRange, segment: EditedSegment, pace: float) -> str | None:
    """Refuse new words that do not fit into the range; say it where they hardly fill it.

    Args:
        pace: how fast the person speaks, against the usual rate.

    Raises:
        ValueError: they want more than 1.5 times the range's seconds.
    """
    if not wanted.words_seconds or not segment.audio:
        return None
    words, room = wanted.words_seconds / pace, len(segment.audio) / AUDIO_TOKENS_PER_SECOND
    if words > room * HURRY:
        raise ValueError(
            f"The new words want about {words:.2f} seconds at the pace of this voice, but {wanted.name} has "
            f"{room:.2f}: widen the range, or shorten the words."
        )
    if words * DRAWL < room:
        return f"The new words take about {words:.2f} of the range's {room:.2f} seconds: narrow it, or expect a pause."
    return None


def _exact(seconds: float) -> Fraction:
    """Seconds as the user has written them."""
    return Fraction(seconds).limit_denominator(10_000)


def _check_range(start: Fraction, end: Fraction, seconds: Fraction, wanted: TimeRange) -> None:
    if not (wanted.picture or wanted.sound):
        raise ValueError("Nothing is made anew: choose picture, sound, or both.")
    # Lengths are told in rounded numbers.
    if start >= seconds or end > seconds + Fraction(1, FRAME_RATE):
        raise ValueError(f"The video lasts {float(seconds):.2f} s, but {wanted.name} lies beyond its end.")
    if end <= start:
        raise ValueError(f"{wanted.name} ends before it starts: set an end that is later.")


def _segment_frames(new: int, least: float, context: int, wanted: TimeRange) -> int:
    """Pixel frames of a segment that has room for so many new ones."""
    # The first latent frame is a single frame; edges move by less than a latent frame.
    needed = latent_frames(new) + 2 * context + 1
    length = max(latent_frames_for_seconds(least) if least else TRAINED_LATENT_FRAMES, needed)
    if length > MAX_LATENT_FRAMES:
        longest = clip_seconds(MAX_LATENT_FRAMES - 2 * context - 1)
        raise ValueError(
            f"{wanted.name} lasts {new / FRAME_RATE:.2f} seconds, or the segment is to: one segment takes "
            f"{clip_seconds(MAX_LATENT_FRAMES):.2f}, of which {longest:.2f} can be made anew. Make several ranges, one "
            "after the other."
        )
    return pixel_frames(length)


def _latent_frame(frame: int) -> int:
    """The latent frame that stands for a pixel frame."""
    return latent_frames(frame + 1) - 1
