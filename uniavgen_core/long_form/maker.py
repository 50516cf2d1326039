"""A long clip: segment after segment, each of which keeps the end of the one before."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..audio.mel import silence_mel
from ..audio.voice import loud_db, voiced_span
from ..config import (
    AUDIO_TOKENS_PER_SECOND,
    FRAME_RATE,
    LATENT_SECONDS,
    SAMPLE_RATE,
    SAMPLES_A_FRAME,
    SEEDS,
    audio_tokens,
    clip_seconds,
    pixel_frames,
)
from ..joint_latent import last_tokens
from ..media.muxing import join_videos
from ..media.waveforms import fit_audio
from .host import Host, SegmentRequest
from .recording import Part, Recording, Window
from .seams import Colours, correct_loudness, correct_picture, crossfade, voice_db
from .segments import Pacing, Segment, new_frames, words_in_the_past
from .store import SegmentMetadata, SegmentStore, StoredPicture, StoredSegment
from .subtitles import subtitles

LONGEST_PAUSE_SECONDS = {"within a passage": 0.1, "between lines": 0.3}
"""Silence that may follow a segment's words where the script asks for none; more is cut off, in whole latent frames."""


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
    """Makes the segments of a plan in turn, and keeps each as soon as it is finished.

    Args:
        plan: of the recording.
        recording: what the clip works along; its windows are asked for in one `make`.
    """

    def __init__(
        self,
        host: Host,
        store: SegmentStore,
        plan: Sequence[Segment],
        settings: Settings,
        recording: Recording | None = None,
    ):
        self.host, self.store, self.plan, self.settings = host, store, plan, settings
        self.recording = recording or Recording(settings.seconds)

    def make(self, progress: Callable[[int], None] = lambda place: None) -> list[SegmentResult]:
        """All segments; those that are kept already are not made again.

        Args:
            progress: called with the place of each segment in the plan when it is there.
        """
        results: list[SegmentResult] = []
        before: StoredSegment | None = None
        key, start = self._first_key(), 0.0
        for place, segment in enumerate(self.plan):
            window = self._window(place, start, before)
            part = self.recording.part(window)
            key = self._key(key, place, part)
            was_kept = self.store.has(key, with_video=part.pictures is None)
            if not was_kept:
                self._make(place, key, window, part, before)
            # Read back also when it is new, so that a rerun goes on from exactly the same.
            before = self.store.read(key)
            seconds, silence = before.metadata.added / FRAME_RATE, before.metadata.silence
            results.append(SegmentResult(segment, key, self._seed(place), start, seconds, silence, was_kept))
            start += seconds
            progress(place)
        return results

    def write(self, results: Sequence[SegmentResult], path: Path) -> None:
        """The clip as an MP4 file, where its picture is made; one segment and the recording are held at a time."""
        videos, track = [self.store.video(one.key) for one in results], self.recording.track()
        if track is None:
            join_videos(videos, path, self.sound(results), SAMPLE_RATE)
        else:
            join_videos(videos, path, track.pieces, track.sample_rate, track.channels)

    def _first_key(self) -> str:
        return _digest([self.host.identity(), repr(self.settings)])

    def _key(self, before: str, place: int, part: Part) -> str:
        segment = self.plan[place]
        told = [segment.line.caption, segment.words, segment.line.speaker]
        planned = [*told, segment.pause_seconds, segment.seconds, segment.latent_frames]
        facts = [before, *planned, self._seed(place), self._pause_after(place), place + 1 == len(self.plan)]
        return _digest([*facts, part.digest()])

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

    def _window(self, place: int, start: float, before: StoredSegment | None) -> Window:
        """The part of the clip that a segment shows, where the one before ended at a second."""
        if before is None:
            return Window(0, self._frames_of_first())
        past = self.settings.past_frames
        added = self.plan[place].latent_frames or self._frames_to_add(place, self._silence(place, before))
        return Window(round(start * FRAME_RATE) - pixel_frames(past), past + added)

    def _frames_of_first(self) -> int:
        segment, (video, mel) = self.plan[0], self.host.start()
        given = video.shape[2]
        if segment.latent_frames is not None:
            return given + segment.latent_frames
        frames = given + new_frames(segment.seconds - (0 if mel.shape[2] else clip_seconds(given)))
        return min(self.settings.longest, max(frames, given + 1, self.settings.past_frames))

    def _frames_to_add(self, place: int, silence: float) -> int:
        """Latent frames of a segment behind its past, where they follow from its silence and its words."""
        words = self.plan[place].words
        if not words and self._is_exact(place):
            # What lacks to the pause is before the words that follow, to the token.
            return max(1, math.floor(round(silence / LATENT_SECONDS, 6)))
        frames = new_frames(silence + self.settings.pacing.seconds(words))
        return min(frames, self.settings.longest - self.settings.past_frames)

    def _silence(self, place: int, before: StoredSegment | None) -> float:
        """Seconds that the silence before a segment's words still lacks."""
        pause = self.plan[place].pause_seconds
        return max(0.0, pause - before.metadata.trailing) if pause and before is not None else pause

    def _request(self, place: int, frames: int, part: Part, before: StoredSegment | None) -> SegmentRequest:
        """A request whose given sound is followed by silence: so many seconds, or all of it where nobody speaks."""
        segment, pictures, mel = self.plan[place], part.pictures, part.mel
        if pictures is None and before is not None and before.picture is not None:
            pictures = before.picture.past
        video = self.host.start()[0] if pictures is None else self.host.encode(pictures)
        if mel is None:
            mel = self.host.start()[1] if before is None else before.past_mel[None, None]
        room = audio_tokens(pixel_frames(frames)) - mel.shape[2]
        tokens = round(self._silence(place, before) * AUDIO_TOKENS_PER_SECOND) if segment.words else room
        silent = silence_mel(min(room, tokens))
        words = " ".join(filter(None, (self._heard(before), segment.words)))
        return SegmentRequest(
            frames, video, torch.cat((mel, silent), dim=2), silent.shape[2] / AUDIO_TOKENS_PER_SECOND,
            segment.line.caption, words, self._seed(place), segment.line.speaker,
        )  # fmt: skip

    def _heard(self, before: StoredSegment | None) -> str:
        """The words that are heard in the kept past."""
        if before is None:
            return ""
        metadata, past = before.metadata, clip_seconds(self.settings.past_frames)
        start = clip_seconds(metadata.latent_frames) - past
        return words_in_the_past(metadata.words, metadata.voiced, start, self.settings.pacing)

    def _make(self, place: int, key: str, window: Window, part: Part, before: StoredSegment | None) -> None:
        request = self._request(place, window.latent_frames, part, before)
        video, mel = self.host.sample(request)
        # Where nobody speaks, loud is what was loud before.
        loud = loud_db(mel[0, 0]) if self.plan[place].words or before is None else before.metadata.loud_db
        frames = self._worth_keeping(place, request, mel[0, 0], loud)
        video, mel = video[:, :, :frames], mel[:, :, : audio_tokens(pixel_frames(frames))]
        # What a recording gives is shown and heard as it is in the recording.
        picture, shown = self._picture(video, before) if part.pictures is None else (None, torch.zeros(0))
        log, sound, levels = mel[0, 0], torch.zeros(0), dict[str, float]()
        if part.mel is None:
            log, sound, levels = self._voice(place, request, mel, frames, before)
        added = self._added(place, window, frames)
        metadata = self._metadata(place, request, frames, added, log, loud, levels, before)
        past_mel = last_tokens(log[None, None], self.settings.past_frames)[0, 0]
        self.store.write(key, StoredSegment(metadata, past_mel, sound, picture), shown[:added])

    def _added(self, place: int, window: Window, latent_frames: int) -> int:
        """Pixel frames that a segment of so many latent frames adds to the clip."""
        kept = pixel_frames(self.settings.past_frames) if place else 0
        added = pixel_frames(latent_frames) - kept
        if self.settings.seconds is None or place + 1 < len(self.plan):
            return added
        return min(added, round(self.settings.seconds * FRAME_RATE) - window.start - kept)

    def _worth_keeping(self, place: int, request: SegmentRequest, mel: Tensor, loud: float) -> int:
        """Latent frames of a segment without the silence at its end that nobody asked for."""
        if self.settings.seconds is not None or not self.plan[place].words:
            return request.latent_frames
        surplus = clip_seconds(request.latent_frames) - voiced_span(mel, loud)[1] - self._pause_after(place)
        whole = math.ceil if self._is_exact(place) else math.floor
        least = max(request.video.shape[2] + 1, self.settings.past_frames)
        return max(least, request.latent_frames - max(0, whole(surplus / LATENT_SECONDS)))

    def _picture(self, video: Tensor, before: StoredSegment | None) -> tuple[StoredPicture, Tensor]:
        """What a segment leaves to the next of its picture, and the frames (F, H, W, 3) that it adds."""
        kept = pixel_frames(self.settings.past_frames)
        frames = self.host.decode_picture(video)
        if before is None or before.picture is None:
            return StoredPicture(frames[-kept:], Colours.of(frames)), frames
        past, colours = before.picture.past, before.picture.colours
        added = correct_picture(frames[kept:], frames[:kept], past, colours)
        return StoredPicture(torch.cat((past, added))[-kept:], colours), added

    def _voice(
        self, place: int, request: SegmentRequest, mel: Tensor, frames: int, before: StoredSegment | None
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Corrected mel (L, 80) and sound (samples) of so many latent frames, and the levels of the captions so far."""
        segment, log, kept_tokens = self.plan[place], mel[0, 0], request.mel.shape[2]
        sound = fit_audio(self.host.decode_sound(mel), pixel_frames(frames) * SAMPLES_A_FRAME)
        levels = dict(before.metadata.levels) if before is not None else {}
        if segment.words and segment.line.caption in levels:
            log, sound = correct_loudness(log, sound, levels[segment.line.caption], kept_tokens)
        elif segment.words:
            levels[segment.line.caption] = voice_db(log[kept_tokens:])
        return log, sound, levels

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

    def sound(self, results: Sequence[SegmentResult]) -> Iterator[Tensor]:
        """Pieces (1, samples) of the clip's sound at 24 kHz where it is made, exactly as long as the frames."""
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
        f"{'kept' if one.was_kept else 'made'}  {one.segment.words or '(no words)'}"
        for one in results
    )


def subtitles_of(results: Sequence[SegmentResult]) -> str:
    """SubRip subtitles of the clip."""
    return subtitles(
        (one.start + min(one.silence, one.seconds), one.start + one.seconds, one.segment.written or one.segment.words)
        for one in results
    )


def _digest(facts: list[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
