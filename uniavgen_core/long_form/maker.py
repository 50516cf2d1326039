"""A long clip: segment after segment, each of which keeps the end of the one before.

clip = LongClip(host, SegmentStore(folder), *recording.plan(lines, settings), recording)
clip.write(clip.make(), folder / "clip.mp4")
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..config import FRAME_RATE, SAMPLE_RATE, SAMPLES_A_FRAME, SPATIAL_COMPRESSION, pixel_frames
from ..files import NotWrittenError, check_free_space
from ..media.cues import Cue
from ..media.muxing import join_videos
from ..media.waveforms import fit_audio
from .planning import LongFormSettings, PlannedSegment
from .recording import SourceRecording
from .room_tone import over_cut
from .seams import crossfade
from .step import Host, SegmentStep
from .store import SegmentStore, StoredSegment


@dataclass(frozen=True)
class FinishedSegment:
    """A segment of the finished clip."""

    planned: PlannedSegment
    key: str
    start: float
    """Second of the clip at which what the segment adds begins."""
    seconds: float
    """Length of what it adds."""
    silence: float
    """Seconds of silence before its words."""
    was_kept: bool
    """Whether it was there already."""
    voice_end: float = 0.0
    """Second of the clip at which its voice ends."""


class LongClip:
    """Makes the segments of a plan in turn, and keeps each as soon as it is finished.

    Args:
        settings, plan: of the recording's `plan`.
        recording: what the clip works along.
    """

    def __init__(
        self,
        host: Host,
        store: SegmentStore,
        settings: LongFormSettings,
        plan: Sequence[PlannedSegment],
        recording: SourceRecording | None = None,
    ):
        self.host, self.store, self.settings, self.plan = host, store, settings, plan
        self.recording = recording or SourceRecording()

    def make(
        self,
        progress: Callable[[int], None] = lambda index: None,
        show: Callable[[FinishedSegment], None] = lambda segment: None,
    ) -> list[FinishedSegment]:
        """All segments; those that are kept already are not made again.

        Args:
            progress: called with the index of each segment in the plan when it is there.
            show: called with each segment that was made.

        Raises:
            NotWrittenError: what is to be made will not fit on the disk; before it is sampled.
        """
        step, finished = SegmentStep(self.host, self.settings), list[FinishedSegment]()
        before, first_key = step.start(), _digest([self.host.identity(), repr(self.settings)])
        key = first_key
        for index, segment in enumerate(self.plan):
            if index and segment.starts_scene:
                # It is not known by what was before: a scene stays where another one is changed.
                before, key = step.cut(before), first_key
            start, latent_frames = step.window(segment, before)
            given = self.recording.given(start, latent_frames)
            speaking = self.recording.speaking(start, latent_frames)
            key = _key(key, segment, self.host.identity_of(segment.line), [*given, speaking])
            stored = self.store.read(key)
            was_kept = stored is not None
            if stored is None:
                check_free_space(self.store.folder, (len(self.plan) - index) * self._least_bytes(given))
                first = 1 if before.is_start else self.settings.past_frames
                kept = self.recording.kept_video(start, latent_frames, first)
                self.store.write(key, *step.make(segment, before, latent_frames, given, kept, speaking))
                # Read back also when it is new, so that a rerun goes on from exactly the same.
                stored = self.store.read(key)
            # Where it begins, it may have begun elsewhere before.
            before = replace(self._there(stored), start=before.end)
            begins, seconds = before.start / FRAME_RATE, before.added / FRAME_RATE
            ends = start / FRAME_RATE + before.voiced[1]
            finished.append(FinishedSegment(segment, key, begins, seconds, before.silence, was_kept, ends))
            if not was_kept:
                show(finished[-1])
            progress(index)
        return finished

    def _least_bytes(self, given: Sequence[Tensor | None]) -> int:
        """What a segment takes of the disk at least: the frames that the next one starts with, byte for byte."""
        if given[0] is not None:
            return 0
        pixels = self.host.start()[0].shape[-2:].numel() * SPATIAL_COMPRESSION**2
        return 3 * pixel_frames(self.settings.past_frames) * pixels

    def write(self, segments: Sequence[FinishedSegment], path: Path, cues: Sequence[Cue] = ()) -> None:
        """The clip as an MP4 file, where its picture is made; one segment and the recording are held at a time.

        Args:
            cues: subtitles for a track of the file.
        """
        videos, track = [self.store.video(one.key) for one in segments], self.recording.track()
        if track is None:
            join_videos(videos, path, self.waveform(segments), SAMPLE_RATE, cues=cues)
        else:
            join_videos(videos, path, track.pieces, track.sample_rate, track.channels, cues)

    def write_segment(self, segment: FinishedSegment, path: Path) -> bool:
        """What a segment adds to the clip, with its sound, as an MP4 file; False where its picture is a recording."""
        video = self.store.video(segment.key)
        if not video.is_file():
            return False
        start, frames = round(segment.start * FRAME_RATE), round(segment.seconds * FRAME_RATE)
        sound = self.recording.heard(start, frames)
        if sound is None:
            waveform = self._there(self.store.read(segment.key)).waveform
            past = 0 if segment.planned.starts_scene else pixel_frames(self.settings.past_frames) * SAMPLES_A_FRAME
            sound = waveform[past:][: frames * SAMPLES_A_FRAME].unsqueeze(0)
        join_videos([video], path, [sound], SAMPLE_RATE)
        return True

    def _there(self, stored: StoredSegment | None) -> StoredSegment:
        """A segment that was written in this run.

        Raises:
            NotWrittenError: somebody deleted it meanwhile.
        """
        if stored is None:
            raise NotWrittenError(
                f"A finished segment in {self.store.folder} is gone before the clip was written. A second ComfyUI that "
                "starts with the same folders empties temp: set keep, or give each its own with --base-directory, and "
                "run again."
            )
        return stored

    def waveform(self, segments: Sequence[FinishedSegment]) -> Iterator[Tensor]:
        """Pieces (1, samples) of the clip's sound at 24 kHz where it is made, exactly as long as the frames."""
        overlap = pixel_frames(self.settings.past_frames) * SAMPLES_A_FRAME
        missing = sum(round(one.seconds * SAMPLE_RATE) for one in segments)
        last = tail = torch.zeros(0)
        for one in segments:
            waveform = self._there(self.store.read(one.key)).waveform
            if len(last) and one.planned.starts_scene:
                waveform = torch.cat(over_cut(last, waveform, overlap))
            elif len(tail):
                waveform = torch.cat((crossfade(tail, waveform[:overlap], SAMPLE_RATE), waveform[overlap:]))
            last = waveform
            piece, tail = waveform[:-overlap][:missing], waveform[-overlap:]
            missing -= len(piece)
            if len(piece):
                yield piece.unsqueeze(0)
        if missing:
            yield fit_audio(tail, missing).unsqueeze(0)


def _key(before: str, segment: PlannedSegment, of_line: str, given: Sequence[Tensor | None]) -> str:
    """A key of a segment: of those before it, of what is planned, of its line, and of what a recording gives."""
    said = [segment.line.caption, segment.words, segment.line.speaker, segment.seed]
    planned = [segment.pause_seconds, segment.seconds, segment.latent_frames, segment.is_last]
    silence = [segment.silence_after, segment.is_silence_exact]
    timed = [] if segment.onset is None else [segment.onset]
    digests = [None if one is None else hashlib.sha256(one.contiguous().numpy().data).hexdigest() for one in given]
    return _digest([before, *said, *planned, *silence, *timed, of_line, *digests])


def _digest(facts: list[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
