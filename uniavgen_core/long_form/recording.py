"""What a long clip works along: nothing, a sound that is spoken, or a video that gets a voice or new lips.

A recording sets the clip's length and gives each segment its part of one stream; the other one goes on from segment to
segment as always.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Sequence
from fractions import Fraction
from itertools import islice

import torch
from torch import Tensor

from ..audio.mel import PEAK
from ..checks import check_one_waveform, check_waveform
from ..config import FRAME_RATE, HOP_LENGTH, SAMPLE_RATE, SAMPLES_A_FRAME, audio_tokens, latent_frames, pixel_frames
from ..media.encoding import aac_form
from ..media.frames import put_in
from ..media.region import Region, clip_images
from ..media.track import AudioTrack
from ..media.video import Video
from ..media.waveforms import ResampledWaveform, peak_of
from ..model_rates import CONTEXT_TOKENS, mel_window
from ..tasks import KeptVideo
from .planning import LongFormSettings, PlannedSegment, plan_wordless
from .script import Line
from .timed_planning import plan_script

NAME = "recording"
"""The user's input."""
QUIET_SAMPLES = SAMPLE_RATE // 10
"""How quiet a moment is, is measured of so many samples around it."""


class SourceRecording:
    """What a clip works along. This one gives nothing: picture and sound are both generated."""

    seconds: float | None = None
    """Length of the clip; None leaves it open."""

    def plan(self, lines: Sequence[Line], settings: LongFormSettings) -> tuple[LongFormSettings, list[PlannedSegment]]:
        """As `plan_script`, along the recording.

        Args:
            settings: with the recording's length, where it has one.
        """
        return plan_script(lines, settings)

    def given(self, start: int, latent_frames: int) -> tuple[Tensor | None, Tensor | None]:
        """What is given of a segment: all of a stream or nothing of it.

        Args:
            start: frame of the clip, at 16 a second, with which the segment begins, its kept past included.
            latent_frames: T, with the kept past.

        Returns:
            Frames (4(T-1)+1, H, W, 3), and natural log-mel (1, 1, L, 80).
        """
        return None, None

    def kept_video(self, start: int, latent_frames: int, first: int) -> KeptVideo | None:
        """What is kept of the given frames of a segment, where some of the picture is made; None keeps all.

        Args:
            start, latent_frames: as in `given`.
            first: latent frames that were there before, which are kept.
        """
        return None

    def speaking(self, start: int, latent_frames: int) -> Tensor | None:
        """Whether each person speaks in each frame (4(T-1)+1, people) of a segment, where the recording tells.

        Arguments as in `given`.
        """
        return None

    def track(self) -> AudioTrack | None:
        """Sound of the finished clip, where it is given, in a form that AAC takes."""
        return None

    def heard(self, start: int, frames: int) -> Tensor | None:
        """Sound (1, samples) at 24 kHz of so many frames of the clip from one on, where it is given."""
        return None

    def close(self) -> None:
        """Let go of the recording's file. Nothing can be asked for any more but the track."""


class VideoRecording(SourceRecording):
    """The picture is given.

    Args:
        footage: its frames are taken as they are needed, and few are held at a time.
        width, height: of the clip, to which the frames are cropped.
    """

    def __init__(self, footage: Video, width: int, height: int):
        self.seconds = footage.frames / FRAME_RATE
        self.footage, self.size = footage, (width, height)
        self.unread = self.taken(0)
        self.held: deque[Tensor] = deque()
        self.start = 0

    def plan(self, lines: Sequence[Line], settings: LongFormSettings) -> tuple[LongFormSettings, list[PlannedSegment]]:
        if not any(line.speech for line in lines):
            raise ValueError("The script says nothing: write what the voice says in the video.")
        cut = next((line for line in lines if line.scene != 1), None)
        if cut is not None:
            raise ValueError(
                f"Line {cut.number} of the script has [scene {cut.scene}], but the {NAME} is a video, whose picture is "
                "shown as it is: leave out [scene …]."
            )
        return plan_script(lines, settings)

    def given(self, start: int, latent_frames: int) -> tuple[Tensor | None, Tensor | None]:
        if start < self.start:
            self.close()
            self.unread, self.start = self.taken(start), start
        wanted = pixel_frames(latent_frames)
        for _ in range(start - self.start + wanted - len(self.held)):
            # A damaged file may have fewer frames than it promises: the last one stays.
            frame = next(self.unread, None)
            self.held.append(self.held[-1] if frame is None else frame.cpu())
        for _ in range(start - self.start):
            self.held.popleft()
        self.start = start
        return put_in(torch.empty((wanted, *self.held[0].shape)), islice(self.held, wanted)), None

    def taken(self, first: int) -> Generator[Tensor, None, None]:
        """The video's frames from one on, which its file is open for until they are closed."""
        yield from self.footage.images(*self.size, first)

    def close(self) -> None:
        self.unread.close()
        self.held.clear()


class AudioRecording(SourceRecording):
    """The sound is given.

    Args:
        waveform: (1, channels, samples), full scale = 1.
        sample_rate: samples a second.
        frames: how long the clip gets, at 16 a second; None takes the sound's length.

    Raises:
        ValueError: the sound is empty, silent or not of numbers, or there are several.
    """

    def __init__(self, waveform: Tensor, sample_rate: int, frames: int | None = None):
        check_one_waveform(NAME, waveform)
        check_waveform(NAME, waveform)
        self.frames = frames or math.ceil(Fraction(waveform.shape[-1] * FRAME_RATE, sample_rate))
        self.seconds = self.frames / FRAME_RATE
        self.waveform, self.sample_rate = waveform, sample_rate
        self.resampled = ResampledWaveform(waveform, sample_rate, SAMPLE_RATE)
        # Of the whole, so that all segments have one gain.
        self.gain = PEAK / peak_of(self.resampled.pieces())

    def plan(self, lines: Sequence[Line], settings: LongFormSettings) -> tuple[LongFormSettings, list[PlannedSegment]]:
        """Spread words as `plan_script` does; where the script is one line without words, cut where it is quiet."""
        if any(line.speech for line in lines):
            # They are what is heard, and how slowly is not for us to say.
            return plan_script(lines, settings, drawl=math.inf)
        if any(line.passages for line in lines):
            raise ValueError(f"The script has pauses and no words: along a {NAME} that is a sound, its own count.")
        if len(lines) > 1:
            raise ValueError(
                f"The script has {len(lines)} lines and no words: write what is heard during each, or one caption for "
                f"the whole {NAME}."
            )
        # A short sound's only segment must have a whole past, too; what is beyond the sound is cut off.
        given = settings.kept_frames
        new = max(1, settings.past_frames - given, latent_frames(self.frames) - given)
        loudness = [self._loudness(pixel_frames(given + index)) for index in range(1, new + 1)]
        return settings, plan_wordless(lines[0], loudness, settings)

    def given(self, start: int, latent_frames: int) -> tuple[Tensor | None, Tensor | None]:
        sample, tokens = start * SAMPLES_A_FRAME, audio_tokens(pixel_frames(latent_frames))
        first = sample - min(CONTEXT_TOKENS * HOP_LENGTH, sample)
        # What follows the recording is silence.
        waveform = self.resampled.stretch(first, sample + (tokens + CONTEXT_TOKENS) * HOP_LENGTH) * self.gain
        return None, mel_window(waveform, sample - first, tokens)

    def track(self) -> AudioTrack:
        channels, rate = aac_form(self.waveform.shape[1], self.sample_rate)
        resampled = ResampledWaveform(self.waveform, self.sample_rate, rate, channels)
        samples = math.ceil(Fraction(self.frames * rate, FRAME_RATE))
        return AudioTrack(rate, channels, samples, resampled.pieces(samples))

    def heard(self, start: int, frames: int) -> Tensor:
        return self.resampled.stretch(start * SAMPLES_A_FRAME, (start + frames) * SAMPLES_A_FRAME)

    def _loudness(self, frame: int) -> float:
        """Power of the sound around the start of a frame."""
        middle = frame * SAMPLES_A_FRAME
        near = self.resampled.stretch(middle - QUIET_SAMPLES // 2, middle + QUIET_SAMPLES // 2)
        return float(near.square().sum()) * self.gain**2


class NewLips(VideoRecording):
    """A video is given, of which a region is made anew; so may be the sound.

    Args:
        footage: its frames are taken as they are needed, and few are held at a time.
        region: of the whole video.
        sound: what is spoken now, as long as the video; None says the script.
    """

    def __init__(self, footage: Video, region: Region, sound: AudioRecording | None):
        self.region, self.sound = region, sound
        super().__init__(footage, *region.size)

    def plan(self, lines: Sequence[Line], settings: LongFormSettings) -> tuple[LongFormSettings, list[PlannedSegment]]:
        return super().plan(lines, settings) if self.sound is None else self.sound.plan(lines, settings)

    def taken(self, first: int) -> Generator[Tensor, None, None]:
        yield from clip_images(self.footage, self.region.window, self.size, first)

    def given(self, start: int, latent_frames: int) -> tuple[Tensor | None, Tensor | None]:
        images = super().given(start, latent_frames)[0]
        return images, None if self.sound is None else self.sound.given(start, latent_frames)[1]

    def kept_video(self, start: int, latent_frames: int, first: int) -> KeptVideo:
        return self.region.part(start, pixel_frames(latent_frames)).kept_video(first)

    def track(self) -> AudioTrack | None:
        return None if self.sound is None else self.sound.track()

    def heard(self, start: int, frames: int) -> Tensor | None:
        return None if self.sound is None else self.sound.heard(start, frames)
