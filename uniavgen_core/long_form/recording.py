"""What a long clip works along: nothing, a sound that is spoken, or a video that gets a voice.

A recording sets the clip's length and gives each segment its part of one stream; the other one goes on from segment to
segment as always.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import torch
from torch import Tensor

from ..audio.mel import PEAK
from ..checks import check_one_sound, check_sound
from ..config import FRAME_RATE, HOP_LENGTH, SAMPLE_RATE, SAMPLES_A_FRAME, audio_tokens, latent_frames, pixel_frames
from ..media.encoding import aac_form
from ..media.frames import to_float
from ..media.track import AudioTrack
from ..media.video import Video
from ..media.waveforms import ResampledWaveform, peak_of
from ..model_rates import CONTEXT_TOKENS, mel_window
from .script import Line
from .segments import Pacing, Segment, plan_clip, plan_wordless

NAME = "recording"
"""The user's input."""
QUIET_SAMPLES = SAMPLE_RATE // 10
"""How quiet a place is, is measured of so many samples around it."""


@dataclass(frozen=True)
class Window:
    """A segment's part of the clip, the kept past included."""

    start: int
    """Frame of the clip, at 16 a second, that it starts with."""
    latent_frames: int


@dataclass(frozen=True)
class Part:
    """What a recording gives of a segment, all of the window or nothing of each stream."""

    pictures: Tensor | None = None
    """Frames (4(T-1)+1, H, W, 3)."""
    mel: Tensor | None = None
    """Natural log-mel (1, 1, L, 80)."""

    def digest(self) -> str:
        """A text that tells parts apart."""
        given = [part.contiguous().numpy().data for part in (self.pictures, self.mel) if part is not None]
        return " ".join(hashlib.sha256(part).hexdigest() for part in given)


class Recording:
    """Gives nothing: picture and sound are both generated.

    Args:
        seconds: length of the clip; None makes it as long as its words.
    """

    def __init__(self, seconds: float | None = None):
        self.seconds = seconds

    def plan(
        self, lines: Sequence[Line], pacing: Pacing, longest: int, past_frames: int, given_frames: int = 1
    ) -> tuple[Pacing, list[Segment]]:
        """As `plan_clip`, with the recording's length."""
        return plan_clip(lines, pacing, longest, past_frames, given_frames, self.seconds)

    def part(self, window: Window) -> Part:
        """What is given of a window. Windows are asked for in their order."""
        return Part()

    def track(self) -> AudioTrack | None:
        """Sound of the finished clip, where it is given, in a form that AAC takes."""
        return None

    def close(self) -> None:
        """Let go of the recording's file. No part can be asked for any more; the track can."""


class VideoRecording(Recording):
    """The picture is given.

    Args:
        footage: its frames are taken as they are needed, and few are held at a time.
        width, height: of the clip, to which the frames are cropped.
    """

    def __init__(self, footage: Video, width: int, height: int):
        super().__init__(footage.frames / FRAME_RATE)
        self.unread = _taken(footage, width, height)
        self.held: deque[Tensor] = deque()
        self.start = 0

    def plan(
        self, lines: Sequence[Line], pacing: Pacing, longest: int, past_frames: int, given_frames: int = 1
    ) -> tuple[Pacing, list[Segment]]:
        if not any(line.speech for line in lines):
            raise ValueError("The script says nothing: write what the voice says in the video.")
        return super().plan(lines, pacing, longest, past_frames, given_frames)

    def part(self, window: Window) -> Part:
        wanted = pixel_frames(window.latent_frames)
        for _ in range(window.start - self.start + wanted - len(self.held)):
            # A damaged file may have fewer frames than it promises: the last one stays.
            frame = next(self.unread, None)
            self.held.append(self.held[-1] if frame is None else frame.cpu())
        for _ in range(window.start - self.start):
            self.held.popleft()
        self.start = window.start
        return Part(pictures=torch.stack([to_float(frame) for frame in islice(self.held, wanted)]))

    def close(self) -> None:
        self.unread.close()
        self.held.clear()


def _taken(footage: Video, width: int, height: int) -> Generator[Tensor, None, None]:
    """A video's frames, which its file is open for until they are closed."""
    yield from footage.images(width, height)


class SoundRecording(Recording):
    """The sound is given.

    Args:
        waveform: (1, channels, samples), full scale = 1.
        sample_rate: samples a second.

    Raises:
        ValueError: the sound is empty, silent or not of numbers, or there are several.
    """

    def __init__(self, waveform: Tensor, sample_rate: int):
        check_one_sound(NAME, waveform)
        check_sound(NAME, waveform)
        self.frames = math.ceil(Fraction(waveform.shape[-1] * FRAME_RATE, sample_rate))
        super().__init__(self.frames / FRAME_RATE)
        self.waveform, self.sample_rate = waveform, sample_rate
        self.sound = ResampledWaveform(waveform, sample_rate, SAMPLE_RATE)
        # Of the whole, so that all segments have one gain.
        self.gain = PEAK / peak_of(self.sound.pieces())

    def plan(
        self, lines: Sequence[Line], pacing: Pacing, longest: int, past_frames: int, given_frames: int = 1
    ) -> tuple[Pacing, list[Segment]]:
        """Spread words as `plan_clip` does; where the script is one line without words, cut where it is quiet."""
        if any(line.speech for line in lines):
            # They are what is heard, and how slowly is not for us to say.
            return plan_clip(lines, pacing, longest, past_frames, given_frames, self.seconds, drawl=math.inf)
        if any(line.passages for line in lines):
            raise ValueError(f"The script has pauses and no words: along a {NAME} that is a sound, its own count.")
        if len(lines) > 1:
            raise ValueError(
                f"The script has {len(lines)} lines and no words: write what is heard during each, or one caption for "
                f"the whole {NAME}."
            )
        # A short sound's only segment must have a whole past, too; what is beyond the sound is cut off.
        new = max(1, past_frames - given_frames, latent_frames(self.frames) - given_frames)
        loudness = [self._loudness(pixel_frames(given_frames + index)) for index in range(1, new + 1)]
        return pacing, plan_wordless(lines[0], loudness, longest, past_frames, given_frames)

    def part(self, window: Window) -> Part:
        start, tokens = window.start * SAMPLES_A_FRAME, audio_tokens(pixel_frames(window.latent_frames))
        first = start - min(CONTEXT_TOKENS * HOP_LENGTH, start)
        # What follows the recording is silence.
        sound = self.sound.stretch(first, start + (tokens + CONTEXT_TOKENS) * HOP_LENGTH) * self.gain
        return Part(mel=mel_window(sound, start - first, tokens))

    def track(self) -> AudioTrack:
        channels, rate = aac_form(self.waveform.shape[1], self.sample_rate)
        sound = ResampledWaveform(self.waveform, self.sample_rate, rate, channels)
        samples = math.ceil(Fraction(self.frames * rate, FRAME_RATE))
        return AudioTrack(rate, channels, samples, sound.pieces(samples))

    def _loudness(self, frame: int) -> float:
        """Power of the sound around the start of a frame."""
        middle = frame * SAMPLES_A_FRAME
        near = self.sound.stretch(middle - QUIET_SAMPLES // 2, middle + QUIET_SAMPLES // 2)
        return float(near.square().sum()) * self.gain**2
