"""One step of a long clip: from the segment before to the next one."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..audio.mel import silence_mel
from ..audio.voice import loud_db, voiced_span
from ..config import (
    AUDIO_TOKENS_PER_SECOND,
    FRAME_RATE,
    LATENT_SECONDS,
    SAMPLES_A_FRAME,
    audio_tokens,
    clip_seconds,
    pixel_frames,
)
from ..joint_latent import last_tokens
from ..media.waveforms import fit_audio
from ..tasks import KeptVideo
from .pacing import words_in_the_past
from .planning import LongFormSettings, PlannedSegment, frames_for
from .script import Line
from .seams import colours_of, correct_frames, correct_loudness, voice_db
from .store import StoredSegment


@dataclass(frozen=True)
class SegmentRequest:
    """A clip to sample, and what is given of it: latent frames (1, 48, n, h, w) and natural log-mel (1, 1, m, 80)."""

    latent_frames: int
    video: Tensor
    mel: Tensor
    silence: float
    """Seconds of silence that the given sound ends with, beside the past's own."""
    words: str
    seed: int
    line: Line
    """Of the script: who speaks, and in which scene."""
    kept_video: KeptVideo | None = None
    """What of the given latent frames is kept; None keeps all."""
    speaking: Tensor | None = None
    """Whether each person speaks in each frame (4(T-1)+1, people), where recordings tell; a line does not, then."""
    past_frames: int = 0
    """Latent frames that it shares with the segment before."""
    past_speaker: int | None = None
    """Who speaks in these, as far as the script says it."""


class Host(Protocol):
    """What samples, encodes and decodes."""

    def start(self) -> tuple[Tensor, Tensor]:
        """What the first segment is given: latent frames and mel as in `SegmentRequest`."""

    def picture(self, scene: int) -> Tensor:
        """Latent (1, 48, 1, h, w) of the picture that a scene, counted from 1, starts with after a cut."""

    def identity(self) -> str:
        """A text that is another one whenever the host would make something else of any request."""

    def identity_of(self, line: Line) -> str:
        """The same of what only a line's requests depend on: who speaks it, and the scene's picture."""

    def sample(self, request: SegmentRequest) -> tuple[Tensor, Tensor]:
        """Video latent (1, 48, T, h, w) and natural log-mel (1, 1, L, 80)."""

    def encode(self, frames: Tensor) -> Tensor:
        """Latent (1, 48, k, h, w) of frames (4(k-1)+1, H, W, 3)."""

    def decode_video(self, video: Tensor) -> Tensor:
        """Frames (4(T-1)+1, H, W, 3) of a latent (1, 48, T, h, w)."""

    def decode_audio(self, mel: Tensor) -> Tensor:
        """Waveform (samples) at 24 kHz of natural log-mel (1, 1, L, 80)."""


class SegmentStep:
    """Makes a planned segment that follows a stored one. It remembers nothing from step to step."""

    def __init__(self, host: Host, settings: LongFormSettings):
        self.host, self.settings = host, settings

    @property
    def _past(self) -> int:
        """Frames that a segment keeps of the one before it."""
        return pixel_frames(self.settings.past_frames)

    def start(self) -> StoredSegment:
        """What is before the first segment: nothing but the mel that is given."""
        return StoredSegment(self.host.start()[1][0, 0])

    def cut(self, before: StoredSegment) -> StoredSegment:
        """What is before the first segment of another scene: only what says when it begins."""
        return StoredSegment(silence_mel(0)[0, 0], start=before.end)

    def window(self, segment: PlannedSegment, before: StoredSegment) -> tuple[int, int]:
        """What of the clip a segment shows, its kept past included: the frame that it begins with, latent frames."""
        if before.is_start:
            return before.end, self._frames_of_first(segment, before)
        past = self.settings.past_frames
        return before.end - pixel_frames(past), past + (segment.latent_frames or self._frames_to_add(segment, before))

    def _frames_of_first(self, segment: PlannedSegment, start: StoredSegment) -> int:
        given = self._picture_before(segment, start).shape[2]
        if segment.latent_frames is not None:
            return given + segment.latent_frames
        # A portrait is shown while the words begin, a past with its sound is not.
        frames = given + frames_for(segment.seconds - (0 if len(start.past_mel) else clip_seconds(given)))
        return min(self.settings.longest, max(frames, given + 1, self.settings.past_frames))

    def _picture_before(self, segment: PlannedSegment, start: StoredSegment) -> Tensor:
        """The latent that a scene's first segment is given."""
        return self.host.picture(segment.line.scene) if start.end else self.host.start()[0]

    def _frames_to_add(self, segment: PlannedSegment, before: StoredSegment) -> int:
        """Latent frames of a segment behind its past, where they follow from its silence and its words."""
        silence = _silence(segment, before)
        if not segment.words and segment.is_silence_exact:
            # What lacks to the pause is before the words that follow, to the token.
            return max(1, math.floor(round(silence / LATENT_SECONDS, 6)))
        frames = frames_for(silence + self.settings.pacing.of(segment.line.speaker).seconds(segment.words))
        return min(frames, self.settings.longest - self.settings.past_frames)

    def make(
        self,
        segment: PlannedSegment,
        before: StoredSegment,
        latent_frames: int,
        given: tuple[Tensor | None, Tensor | None],
        kept_video: KeptVideo | None = None,
        speaking: Tensor | None = None,
    ) -> tuple[StoredSegment, Tensor]:
        """A segment, and the frames (F, H, W, 3) that it adds to the clip: none where the picture is a recording.

        Args:
            latent_frames: of its window.
            given, speaking: of a recording's, as of `SourceRecording.given` and `speaking`.
            kept_video: what of the frames is kept, as of `SourceRecording.kept_video`.
        """
        request = self.request(segment, before, latent_frames, given, kept_video, speaking)
        given_images, given_mel = given
        video, mel = self.host.sample(request)
        # Where nobody speaks, loud is what was loud before.
        loud = loud_db(mel[0, 0]) if segment.words or before.loud_db is None else before.loud_db
        frames = self._worth_keeping(segment, request, voiced_span(mel[0, 0], loud)[1])
        video, mel = video[:, :, :frames], mel[:, :, : audio_tokens(pixel_frames(frames))]
        # What a recording gives is shown and heard as it is in the recording.
        past_images, colours, images = None, None, torch.zeros(0)
        log, waveform, levels = mel[0, 0], torch.zeros(0), dict[str, float]()
        if kept_video is not None:
            # Its colours are those of what is kept around it.
            images = self.host.decode_video(video)
            past_images, images = images[-self._past :], images if before.is_start else images[self._past :]
        elif given_images is None:
            past_images, colours, images = self._picture(video, before)
        if given_mel is None:
            log, waveform, levels = self._voice(segment, before, request, mel, frames)
        added, voiced = self._added(segment, before, frames), voiced_span(log, loud)
        stored = StoredSegment(
            past_mel=last_tokens(log[None, None], self.settings.past_frames)[0, 0],
            past_images=past_images,
            colours=colours,
            waveform=waveform,
            start=before.end,
            added=added,
            latent_frames=frames,
            words=request.words,
            speaker=segment.line.speaker if segment.words else before.speaker,
            voiced=voiced,
            silence=request.silence,
            trailing=clip_seconds(frames) - voiced[1] if segment.words else before.trailing + added / FRAME_RATE,
            loud_db=loud,
            levels=levels,
        )
        return stored, images[:added]

    def request(
        self,
        segment: PlannedSegment,
        before: StoredSegment,
        latent_frames: int,
        given: tuple[Tensor | None, Tensor | None],
        kept_video: KeptVideo | None = None,
        speaking: Tensor | None = None,
    ) -> SegmentRequest:
        """What is sampled. Its given sound ends with silence: as much as is wanted, or all where nobody speaks."""
        given_images, given_mel = given
        images = before.past_images if given_images is None else given_images
        if kept_video is not None and before.past_images is not None and given_images is not None:
            images = torch.cat((before.past_images, given_images[self._past :]))
        video = self._picture_before(segment, before) if images is None else self.host.encode(images)
        mel = before.past_mel[None, None] if given_mel is None else given_mel
        room = audio_tokens(pixel_frames(latent_frames)) - mel.shape[2]
        wanted = round(_silence(segment, before) * AUDIO_TOKENS_PER_SECOND) if segment.words else room
        silent = silence_mel(min(room, wanted))
        words = " ".join(filter(None, (self._words_heard(before), segment.words)))
        return SegmentRequest(
            latent_frames, video, torch.cat((mel, silent), dim=2), silent.shape[2] / AUDIO_TOKENS_PER_SECOND,
            words, segment.seed, segment.line, kept_video, speaking,
            0 if before.is_start else self.settings.past_frames, before.speaker,
        )  # fmt: skip

    def _words_heard(self, before: StoredSegment) -> str:
        """The words that are heard in the kept past."""
        start = clip_seconds(before.latent_frames) - clip_seconds(self.settings.past_frames)
        return words_in_the_past(before.words, before.voiced, start, self.settings.pacing)

    def _worth_keeping(self, segment: PlannedSegment, request: SegmentRequest, voice_end: float) -> int:
        """Latent frames of a segment without the silence at its end that nobody asked for."""
        if self.settings.seconds is not None or not segment.words:
            return request.latent_frames
        surplus = clip_seconds(request.latent_frames) - voice_end - segment.silence_after
        whole = math.ceil if segment.is_silence_exact else math.floor
        least = max(request.video.shape[2] + 1, self.settings.past_frames)
        return max(least, request.latent_frames - max(0, whole(surplus / LATENT_SECONDS)))

    def _added(self, segment: PlannedSegment, before: StoredSegment, latent_frames: int) -> int:
        """Frames that a segment of so many latent frames adds to the clip."""
        kept = 0 if before.is_start else pixel_frames(self.settings.past_frames)
        added = pixel_frames(latent_frames) - kept
        if self.settings.seconds is None or not segment.is_last:
            return added
        return min(added, round(self.settings.seconds * FRAME_RATE) - before.end)

    def _picture(self, video: Tensor, before: StoredSegment) -> tuple[Tensor, Tensor, Tensor]:
        """What a segment leaves to the next of its frames, the clip's colours, and the frames that it adds."""
        kept = pixel_frames(self.settings.past_frames)
        frames = self.host.decode_video(video)
        if before.past_images is None or before.colours is None:
            return frames[-kept:], colours_of(frames), frames
        added = correct_frames(frames[kept:], frames[:kept], before.past_images, before.colours)
        return torch.cat((before.past_images, added))[-kept:], before.colours, added

    def _voice(
        self, segment: PlannedSegment, before: StoredSegment, request: SegmentRequest, mel: Tensor, frames: int
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Corrected mel (L, 80) and waveform (samples) of so many latent frames, and the levels so far."""
        log, kept_tokens = mel[0, 0], request.mel.shape[2]
        # Two people may be of different loudness under one caption.
        manner = json.dumps([segment.line.caption, segment.line.speaker])
        waveform = fit_audio(self.host.decode_audio(mel), pixel_frames(frames) * SAMPLES_A_FRAME)
        levels = dict(before.levels)
        if segment.words and manner in levels:
            log, waveform = correct_loudness(log, waveform, levels[manner], kept_tokens)
        elif segment.words:
            levels[manner] = voice_db(log[kept_tokens:])
        return log, waveform, levels


def _silence(segment: PlannedSegment, before: StoredSegment) -> float:
    """Seconds that the silence before a segment's words still lacks."""
    if segment.onset is not None:
        past = len(before.past_mel) / AUDIO_TOKENS_PER_SECOND if before.is_start else 0.0
        return max(0.0, segment.onset - before.end / FRAME_RATE - past)
    return max(0.0, segment.pause_seconds - before.trailing)
