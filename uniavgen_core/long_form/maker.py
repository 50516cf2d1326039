"""A long clip: segment after segment, each of which keeps the end of the one before."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..audio.mel import log_mel
from ..config import (
    AUDIO_TOKENS_PER_SECOND,
    FRAME_RATE,
    HOP_LENGTH,
    LATENT_SECONDS,
    SAMPLE_RATE,
    SAMPLES_A_FRAME,
    audio_tokens,
    clip_seconds,
    pixel_frames,
)
from ..joint_latent import last_tokens
from ..media import fit_audio, join_videos
from .seams import Colours, correct_colours, correct_loudness, crossfade, loud_db, voice_db, voiced_span
from .segments import Pacing, Segment, new_frames, words_in_the_past
from .store import SegmentMetadata, SegmentStore, StoredSegment
from .subtitles import subtitles

SEEDS = 2**64
"""Seeds are below this number."""
LONGEST_PAUSE_SECONDS = {"within a passage": 0.1, "between lines": 0.3}
"""Silence that may follow a segment's words where the script asks for none; more is cut off, in whole latent frames."""


@dataclass(frozen=True)
class SegmentRequest:
    """A clip to sample, and what is given of it: latent frames (1, 48, n, h, w) and natural log-mel (1, 1, m, 80)."""

    latent_frames: int
    video: Tensor
    mel: Tensor
    silence: float
    """Seconds of silence that the given sound ends with, beside the past's own."""
    caption: str
    words: str
    seed: int


class Host(Protocol):
    """What samples, encodes and decodes."""

    def start(self) -> tuple[Tensor, Tensor]:
        """What the first segment is given: latent frames and mel as in `SegmentRequest`."""

    def identity(self) -> str:
        """A text that is another one whenever the host would make something else of a request."""

    def sample(self, request: SegmentRequest) -> tuple[Tensor, Tensor]:
        """Video latent (1, 48, T, h, w) and natural log-mel (1, 1, L, 80)."""

    def encode(self, frames: Tensor) -> Tensor:
        """Latent (1, 48, k, h, w) of frames (4(k-1)+1, H, W, 3)."""

    def decode_picture(self, video: Tensor) -> Tensor:
        """Frames (4(T-1)+1, H, W, 3) of a latent (1, 48, T, h, w)."""

    def decode_sound(self, mel: Tensor) -> Tensor:
        """Sound (samples) at 24 kHz of natural log-mel (1, 1, L, 80)."""


@dataclass(frozen=True)
class Settings:
    """How a long clip is made.

    Args:
        longest: latent frames that a segment may have.
        past_frames: latent frames that each segment but the first keeps of the one before.
        seed: of the first segment; each next one has the next number, but for lines with seeds of their own.
        seconds: length of the whole clip; None makes it as long as its words.
    """

    pacing: Pacing
    longest: int
    past_frames: int
    seed: int
    seconds: float | None = None


@dataclass(frozen=True)
class SegmentResult:
    """A segment of the finished clip."""

    segment: Segment
    key: str
    seed: int
    start: float
    """Second of the clip at which what the segment adds begins."""
    seconds: float
    """Length of what it adds."""
    silence: float
    """Seconds of silence before its words."""
    was_kept: bool
    """Whether it was there already."""


class LongClip:
    """Makes the segments of a plan (of `plan_segments`) in turn, and keeps each as soon as it is finished."""

    def __init__(self, host: Host, store: SegmentStore, plan: Sequence[Segment], settings: Settings):
        self.host, self.store, self.plan, self.settings = host, store, plan, settings

    def make(self, progress: Callable[[int], None] = lambda place: None) -> list[SegmentResult]:
        """All segments; those that are kept already are not made again.

        Args:
            progress: called with the place of each segment in the plan when it is there.
        """
        results: list[SegmentResult] = []
        before: StoredSegment | None = None
        key, start = self._first_key(), 0.0
        for place, segment in enumerate(self.plan):
            key = self._key(key, place)
            was_kept = self.store.has(key)
            if not was_kept:
                self._make(place, key, start, before)
            # Read back also when it is new, so that a rerun goes on from exactly the same.
            before = self.store.read(key)
            seconds, silence = before.metadata.added / FRAME_RATE, before.metadata.silence
            results.append(SegmentResult(segment, key, self._seed(place), start, seconds, silence, was_kept))
            start += seconds
            progress(place)
        return results

    def write(self, results: Sequence[SegmentResult], path: Path) -> None:
        """The whole clip as an MP4 file; however long it is, one segment is held at a time."""
        join_videos([self.store.video(one.key) for one in results], path, self._sound(results), SAMPLE_RATE)

    def _first_key(self) -> str:
        return _digest([self.host.identity(), repr(self.settings)])

    def _key(self, before: str, place: int) -> str:
        segment = self.plan[place]
        planned = [segment.line.caption, segment.words, segment.pause_seconds, segment.seconds, segment.latent_frames]
        return _digest([before, *planned, self._seed(place), self._pause_after(place), place + 1 == len(self.plan)])

    def _seed(self, place: int) -> int:
        line = self.plan[place].line
        first = self.settings.seed + place
        if line.seed is not None:
            first = line.seed + sum(segment.line is line for segment in self.plan[:place])
        return first % SEEDS

    def _pause_after(self, place: int) -> float:
        """Seconds of silence that may be behind a segment's words."""
        if place + 1 == len(self.plan):
            return LONGEST_PAUSE_SECONDS["between lines"]
        segment, following = self.plan[place : place + 2]
        same = segment.line is following.line
        return following.pause_seconds or LONGEST_PAUSE_SECONDS["within a passage" if same else "between lines"]

    def _is_exact(self, place: int) -> bool:
        """Whether the script says how long the silence behind a segment is: what lacks is added to the next one."""
        return place + 1 < len(self.plan) and self.plan[place + 1].pause_seconds > 0

    def _make(self, place: int, key: str, start: float, before: StoredSegment | None) -> None:
        segment = self.plan[place]
        request = self._first_request() if before is None else self._next_request(place, before)
        video, mel = self.host.sample(request)
        # Where nobody speaks, loud is what was loud before.
        loud = loud_db(mel[0, 0]) if segment.words or before is None else before.metadata.loud_db
        frames = self._worth_keeping(place, request, mel[0, 0], loud)
        tokens = audio_tokens(pixel_frames(frames))
        stored, added = self._finish(place, request, video[:, :, :frames], mel[:, :, :tokens], loud, before)
        if self.settings.seconds is not None and place + 1 == len(self.plan):
            added = added[: round((self.settings.seconds - start) * FRAME_RATE)]
        self.store.write(key, replace(stored, metadata=replace(stored.metadata, added=len(added))), added)

    def _first_request(self) -> SegmentRequest:
        segment = self.plan[0]
        video, mel = self.host.start()
        given = video.shape[2]
        if segment.latent_frames is not None:
            frames = given + segment.latent_frames
        else:
            frames = given + new_frames(segment.seconds - (0 if mel.shape[2] else clip_seconds(given)))
            frames = min(self.settings.longest, max(frames, given + 1, self.settings.past_frames))
        return self._request(0, frames, video, mel, segment.pause_seconds, segment.words)

    def _next_request(self, place: int, before: StoredSegment) -> SegmentRequest:
        segment, metadata, past = self.plan[place], before.metadata, self.settings.past_frames
        silence = max(0.0, segment.pause_seconds - metadata.trailing) if segment.pause_seconds else 0.0
        added = segment.latent_frames or self._frames_to_add(place, silence)
        length = clip_seconds(metadata.latent_frames)
        heard = words_in_the_past(metadata.words, metadata.voiced, length - clip_seconds(past), self.settings.pacing)
        words = " ".join(filter(None, (heard, segment.words)))
        video = self.host.encode(before.past)
        return self._request(place, past + added, video, before.past_mel[None, None], silence, words)

    def _frames_to_add(self, place: int, silence: float) -> int:
        """Latent frames of a segment behind its past, where they follow from its silence and its words."""
        words = self.plan[place].words
        if not words and self._is_exact(place):
            # What lacks to the pause is before the words that follow, to the token.
            return max(1, math.floor(round(silence / LATENT_SECONDS, 6)))
        frames = new_frames(silence + self.settings.pacing.seconds(words))
        return min(frames, self.settings.longest - self.settings.past_frames)

    def _request(
        self, place: int, frames: int, video: Tensor, mel: Tensor, silence: float, words: str
    ) -> SegmentRequest:
        """A request whose given sound is followed by silence: so many seconds, or all of it where nobody speaks."""
        room = audio_tokens(pixel_frames(frames)) - mel.shape[2]
        tokens = round(silence * AUDIO_TOKENS_PER_SECOND) if self.plan[place].words else room
        silent = silence_mel(min(room, tokens))
        return SegmentRequest(
            frames, video, torch.cat((mel, silent), dim=2), silent.shape[2] / AUDIO_TOKENS_PER_SECOND,
            self.plan[place].line.caption, words, self._seed(place),
        )  # fmt: skip

    def _worth_keeping(self, place: int, request: SegmentRequest, mel: Tensor, loud: float) -> int:
        """Latent frames of a segment without the silence at its end that nobody asked for."""
        if self.settings.seconds is not None or not self.plan[place].words:
            return request.latent_frames
        surplus = clip_seconds(request.latent_frames) - voiced_span(mel, loud)[1] - self._pause_after(place)
        whole = math.ceil if self._is_exact(place) else math.floor
        least = max(request.video.shape[2] + 1, self.settings.past_frames)
        return max(least, request.latent_frames - max(0, whole(surplus / LATENT_SECONDS)))

    def _finish(
        self, place: int, request: SegmentRequest, video: Tensor, mel: Tensor, loud: float, before: StoredSegment | None
    ) -> tuple[StoredSegment, Tensor]:
        """A sampled segment with its corrections, and the frames that it adds."""
        segment, past, kept_tokens = self.plan[place], self.settings.past_frames, request.mel.shape[2]
        frames = self.host.decode_picture(video)
        log, sound = mel[0, 0], fit_audio(self.host.decode_sound(mel), len(frames) * SAMPLES_A_FRAME)
        levels = dict(before.metadata.levels) if before is not None else {}
        colours = Colours.of(frames) if before is None else before.colours
        added = shown = frames
        if before is not None:
            given = pixel_frames(past)
            added = correct_colours(frames[given:], frames[:given], before.past, before.colours)
            shown = torch.cat((before.past, added))
        if segment.words and segment.line.caption in levels:
            log, sound = correct_loudness(log, sound, levels[segment.line.caption], kept_tokens)
        elif segment.words:
            levels[segment.line.caption] = voice_db(log[kept_tokens:])
        metadata = self._metadata(place, request, video.shape[2], len(added), log, loud, levels, before)
        end = shown[-pixel_frames(past) :]
        return StoredSegment(metadata, sound, end, last_tokens(log[None, None], past)[0, 0], colours), added

    def _metadata(
        self, place: int, request: SegmentRequest, frames: int, added: int, mel: Tensor, loud: float,
        levels: dict[str, float], before: StoredSegment | None,
    ) -> SegmentMetadata:  # fmt: skip
        segment, voiced = self.plan[place], voiced_span(mel, loud)
        silent_before = before.metadata.trailing if before is not None else 0.0
        return SegmentMetadata(
            latent_frames=frames,
            added=added,
            words=request.words,
            voiced=voiced,
            silence=request.silence,
            trailing=clip_seconds(frames) - voiced[1] if segment.words else silent_before + added / FRAME_RATE,
            loud_db=loud,
            levels=levels,
        )

    def _sound(self, results: Sequence[SegmentResult]) -> Iterator[Tensor]:
        """Pieces (1, samples) of the whole sound, exactly as long as the frames."""
        overlap = pixel_frames(self.settings.past_frames) * SAMPLES_A_FRAME
        missing = sum(round(one.seconds * SAMPLE_RATE) for one in results)
        tail = torch.zeros(0)
        for one in results:
            sound = self.store.read(one.key).sound
            if len(tail):
                sound = torch.cat((crossfade(tail, sound[:overlap], SAMPLE_RATE), sound[overlap:]))
            piece, tail = sound[:-overlap][:missing], sound[-overlap:]
            missing -= len(piece)
            if len(piece):
                yield piece.unsqueeze(0)
        if missing:
            yield fit_audio(tail, missing).unsqueeze(0)


def report(results: Sequence[SegmentResult]) -> str:
    """What is said when, one line a segment."""
    return "\n".join(
        f"{one.start:7.2f} to {one.start + one.seconds:7.2f} s  line {one.segment.line.number}  seed {one.seed}  "
        f"{'kept' if one.was_kept else 'made'}  {one.segment.words or '(silence)'}"
        for one in results
    )


def subtitles_of(results: Sequence[SegmentResult]) -> str:
    """SubRip subtitles of the clip."""
    return subtitles(
        (one.start + min(one.silence, one.seconds), one.start + one.seconds, one.segment.words) for one in results
    )


def silence_mel(tokens: int) -> Tensor:
    """Natural log-mel (1, 1, tokens, 80) of silence."""
    return log_mel(torch.zeros(1, max(2, tokens) * HOP_LENGTH))[None, :, :tokens]


def _digest(facts: list[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
