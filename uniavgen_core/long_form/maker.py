"""A long clip: segment after segment, each of which keeps the end of the one before."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..audio.mel import log_mel
from ..config import (
    AUDIO_TOKENS_PER_SECOND,
    FRAME_RATE,
    HOP_LENGTH,
    SAMPLE_RATE,
    audio_tokens,
    clip_seconds,
    latent_frames_for_seconds,
    pixel_frames,
)
from ..given import SAMPLES_A_FRAME
from ..joint_latent import last_tokens
from ..media import fit_audio, join_videos
from .seams import Colours, correct_colours, correct_loudness, crossfade, loud_db, voice_db, voiced_span
from .segments import LATENT_SECONDS, Pacing, Segment, new_frames, words_in_the_past
from .store import Facts, Finished, SegmentStore
from .subtitles import subtitles

LONGEST_PAUSE_SECONDS = {"within a passage": 0.1, "between lines": 0.3}
"""Silence that may follow a segment's words where the script asks for none; more is cut off, in whole latent frames."""


@dataclass(frozen=True)
class Order:
    """A clip to sample, and what is given of it: latent frames (1, 48, n, h, w) and natural log-mel (1, 1, m, 80)."""

    latent_frames: int
    video: Tensor
    mel: Tensor
    caption: str
    words: str
    seed: int


class Host(Protocol):
    """What samples, encodes and decodes."""

    def start(self) -> tuple[Tensor, Tensor]:
        """What the first segment is given: latent frames and mel as in `Order`."""

    def identity(self) -> str:
        """A text that is another one whenever the host would make something else of an order."""

    def sample(self, order: Order) -> tuple[Tensor, Tensor]:
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
class Made:
    """A segment of the finished clip."""

    segment: Segment
    key: str
    seed: int
    start: float
    """Second of the clip at which what the segment adds begins."""
    seconds: float
    """Length of what it adds."""
    was_kept: bool
    """Whether it was there already."""


class LongClip:
    """Makes the segments of a plan (of `plan_segments`) in turn, and keeps each as soon as it is finished."""

    def __init__(self, host: Host, store: SegmentStore, plan: Sequence[Segment], settings: Settings):
        self.host, self.store, self.plan, self.settings = host, store, plan, settings
        ends = list(accumulate(segment.seconds for segment in plan))
        self.ends = [end * (settings.seconds or ends[-1]) / ends[-1] for end in ends]

    def make(self, progress: Callable[[int], None] = lambda place: None) -> list[Made]:
        """All segments; those that are kept already are not made again.

        Args:
            progress: called with the place of each segment in the plan when it is there.
        """
        made: list[Made] = []
        before: Finished | None = None
        key, start = self._first_key(), 0.0
        for place, segment in enumerate(self.plan):
            key = self._key(key, place)
            was_kept = self.store.has(key)
            if not was_kept:
                self._make(place, key, start, before)
            before = self.store.read(key)
            made.append(Made(segment, key, self._seed(place), start, before.facts.added / FRAME_RATE, was_kept))
            start += made[-1].seconds
            progress(place)
        return made

    def write(self, made: Sequence[Made], path: Path) -> None:
        """The whole clip as an MP4 file; however long it is, one segment is held at a time."""
        join_videos([self.store.video(one.key) for one in made], path, self._sound(made), SAMPLE_RATE)

    def _first_key(self) -> str:
        facts = [self.host.identity(), repr(self.settings.pacing), self.settings.past_frames, self.settings.seconds]
        return _digest(facts)

    def _key(self, before: str, place: int) -> str:
        segment = self.plan[place]
        facts = [segment.line.caption, segment.words, segment.silence_seconds, segment.seconds, self._seed(place)]
        return _digest([before, *facts, self._pause_after(place)])

    def _seed(self, place: int) -> int:
        line = self.plan[place].line
        if line.seed is None:
            return self.settings.seed + place
        return line.seed + sum(segment.line is line for segment in self.plan[:place])

    def _pause_after(self, place: int) -> float:
        """Seconds of silence that may be behind a segment's words."""
        if place + 1 == len(self.plan):
            return LONGEST_PAUSE_SECONDS["between lines"]
        segment, following = self.plan[place : place + 2]
        same = segment.line is following.line
        return following.silence_seconds or LONGEST_PAUSE_SECONDS["within a passage" if same else "between lines"]

    def _make(self, place: int, key: str, start: float, before: Finished | None) -> None:
        order = self._first_order() if before is None else self._next_order(place, start, before)
        video, mel = self.host.sample(order)
        loud = loud_db(mel[0, 0]) if self.plan[place].words or before is None else before.facts.loud_db
        frames = self._worth_keeping(place, order, mel[0, 0], loud)
        tokens = audio_tokens(pixel_frames(frames))
        finished, added = self._finish(place, order, video[:, :, :frames], mel[:, :, :tokens], loud, before)
        if self.settings.seconds is not None and place + 1 == len(self.plan):
            added = added[: round((self.settings.seconds - start) * FRAME_RATE)]
        facts = replace(finished.facts, added=len(added))
        self.store.write(key, replace(finished, facts=facts), added)

    def _first_order(self) -> Order:
        segment = self.plan[0]
        video, mel = self.host.start()
        given = video.shape[2]
        frames = given + new_frames(segment.seconds) if mel.shape[2] else latent_frames_for_seconds(segment.seconds)
        frames = min(self.settings.longest, max(frames, given + 1, self.settings.past_frames))
        mel = self._with_silence(mel, segment.silence_seconds, frames, spoken=bool(segment.words))
        return Order(frames, video, mel, segment.line.caption, segment.words, self._seed(0))

    def _next_order(self, place: int, start: float, before: Finished) -> Order:
        segment, facts, past = self.plan[place], before.facts, self.settings.past_frames
        length = clip_seconds(facts.latent_frames)
        silence = max(0.0, segment.silence_seconds - (length - facts.voiced[1])) if segment.words else segment.seconds
        frames = past + self._frames_to_add(place, start, segment.seconds - segment.silence_seconds + silence)
        mel = self._with_silence(before.past_mel[None, None], silence, frames, spoken=bool(segment.words))
        heard = words_in_the_past(facts.words, facts.voiced, length - clip_seconds(past), self.settings.pacing)
        words = " ".join(filter(None, (heard, segment.words)))
        return Order(frames, self.host.encode(before.past), mel, segment.line.caption, words, self._seed(place))

    def _frames_to_add(self, place: int, start: float, seconds: float) -> int:
        """Latent frames of a segment behind its past."""
        if self.settings.seconds is None:
            return new_frames(seconds)
        wanted = (self.ends[place] - start) / LATENT_SECONDS
        is_last = place + 1 == len(self.plan)
        room = self.settings.longest - self.settings.past_frames
        return min(room, max(1, math.ceil(round(wanted, 6)) if is_last else round(wanted)))

    @staticmethod
    def _with_silence(mel: Tensor, seconds: float, frames: int, spoken: bool) -> Tensor:
        """Given sound, and the silence behind it: so many seconds, or, where nobody speaks, the whole clip."""
        room = audio_tokens(pixel_frames(frames)) - mel.shape[2]
        tokens = min(room, round(seconds * AUDIO_TOKENS_PER_SECOND)) if spoken else room
        return torch.cat((mel, silence_mel(tokens)), dim=2)

    def _worth_keeping(self, place: int, order: Order, mel: Tensor, loud: float) -> int:
        """Latent frames of a segment without the silence at its end that nobody asked for."""
        if self.settings.seconds is not None or not self.plan[place].words:
            return order.latent_frames
        trailing = clip_seconds(order.latent_frames) - voiced_span(mel, loud)[1] - self._pause_after(place)
        least = max(order.video.shape[2] + 1, self.settings.past_frames)
        return max(least, order.latent_frames - max(0, int(trailing / LATENT_SECONDS)))

    def _finish(
        self, place: int, order: Order, video: Tensor, mel: Tensor, loud: float, before: Finished | None
    ) -> tuple[Finished, Tensor]:
        """A sampled segment with its corrections, and the frames that it adds."""
        segment, past = self.plan[place], self.settings.past_frames
        frames = self.host.decode_picture(video)
        log, sound = mel[0, 0], fit_audio(self.host.decode_sound(mel), len(frames) * SAMPLES_A_FRAME)
        levels = dict(before.facts.levels) if before is not None else {}
        colours = Colours.of(frames) if before is None else before.colours
        if before is None:
            added, shown = frames, frames
        else:
            given = pixel_frames(past)
            added = correct_colours(frames[given:], frames[:given], before.past, before.colours)
            shown = torch.cat((before.past, added))
        if segment.words and segment.line.caption in levels:
            log, sound = correct_loudness(log, sound, levels[segment.line.caption], order.mel.shape[2])
        elif segment.words:
            levels[segment.line.caption] = voice_db(log[order.mel.shape[2] :])
        facts = Facts(
            latent_frames=video.shape[2], added=len(added), words=order.words, voiced=voiced_span(log, loud),
            loud_db=loud, levels=levels,
        )  # fmt: skip
        end = shown[-pixel_frames(past) :]
        return Finished(facts, sound, end, last_tokens(log[None, None], past)[0, 0], colours), added

    def _sound(self, made: Sequence[Made]) -> Iterator[Tensor]:
        """Pieces (1, samples) of the whole sound, exactly as long as the frames."""
        overlap = pixel_frames(self.settings.past_frames) * SAMPLES_A_FRAME
        missing = sum(round(one.seconds * SAMPLE_RATE) for one in made)
        tail = torch.zeros(0)
        for one in made:
            sound = self.store.read(one.key).sound
            if len(tail):
                sound = torch.cat((crossfade(tail, sound[:overlap], SAMPLE_RATE), sound[overlap:]))
            piece, tail = sound[:-overlap], sound[-overlap:]
            missing -= len(piece)
            if len(piece):
                yield piece.unsqueeze(0)
        yield fit_audio(tail, missing).unsqueeze(0)


def report(made: Sequence[Made]) -> str:
    """What is said when, one line a segment."""
    return "\n".join(
        f"{one.start:7.2f} to {one.start + one.seconds:7.2f} s  line {one.segment.line.number}  seed {one.seed}  "
        f"{'kept' if one.was_kept else 'made'}  {one.segment.words or '(silence)'}"
        for one in made
    )


def subtitles_of(made: Sequence[Made]) -> str:
    """SubRip subtitles of the clip."""
    return subtitles(
        (one.start + one.segment.silence_seconds, one.start + one.seconds, one.segment.words) for one in made
    )


def silence_mel(tokens: int) -> Tensor:
    """Natural log-mel (1, 1, tokens, 80) of silence."""
    return log_mel(torch.zeros(1, max(2, tokens) * HOP_LENGTH))[None, :, :tokens]


def _digest(facts: list[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
