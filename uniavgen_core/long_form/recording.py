"""What a long clip works along: nothing, a sound that is spoken, or a video that gets a voice.

A recording sets the clip's length and gives each segment its part of one stream; the other one goes on from segment to
segment as always.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import torch
from torch import Tensor

from ..audio.mel import peak_scale, to_model_waveform
from ..checks import check_one_sound, check_sound
from ..config import FRAME_RATE, HOP_LENGTH, SAMPLE_RATE, SAMPLES_A_FRAME, audio_tokens, latent_frames, pixel_frames
from ..given import CONTEXT_TOKENS, frames_shown, mel_window, stream_at_model_rate
from ..media.images import crop_and_resize, to_rgb
from ..media.sound import fit_audio
from ..media.writing import aac_sound
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

    def track(self) -> tuple[Tensor, int] | None:
        """Sound (channels, samples) of the finished clip and its samples a second, where it is given."""
        return None


class VideoRecording(Recording):
    """The picture is given.

    Args:
        frames: (H, W, channels) each; they are taken as they are needed, and few are held at a time.
        count: how many there are.
        frame_rate: frames a second.
        width, height: of the clip, to which the frames are cropped.
    """

    def __init__(self, frames: Iterator[Tensor], count: int, frame_rate: Fraction | float, width: int, height: int):
        super().__init__(len(frames_shown(count, frame_rate)) / FRAME_RATE)
        self.unread = stream_at_model_rate(frames, count, frame_rate)
        self.width, self.height = width, height
        self.held: deque[Tensor] = deque()
        self.start = 0

    def plan(
        self, lines: Sequence[Line], pacing: Pacing, longest: int, past_frames: int, given_frames: int = 1
    ) -> tuple[Pacing, list[Segment]]:
        if not any(line.speech for line in lines):
            raise ValueError("The script says nothing: write what the voice says in the video.")
        return super().plan(lines, pacing, longest, past_frames, given_frames)

    def part(self, window: Window) -> Part:
        for _ in range(window.start - self.start):
            self.held.popleft()
        self.start = window.start
        wanted = pixel_frames(window.latent_frames)
        for frame in islice(self.unread, max(0, wanted - len(self.held))):
            self.held.append(crop_and_resize(to_rgb(frame).unsqueeze(0), self.width, self.height)[0].float().cpu())
        frames = [*islice(self.held, wanted)]
        return Part(pictures=torch.stack([*frames, *frames[-1:] * (wanted - len(frames))]))


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
        self.waveform, self.sample_rate = waveform[0], sample_rate
        # Scaled as a whole, so that all segments have one gain.
        self.sound = peak_scale(to_model_waveform(waveform, sample_rate))

    def plan(
        self, lines: Sequence[Line], pacing: Pacing, longest: int, past_frames: int, given_frames: int = 1
    ) -> tuple[Pacing, list[Segment]]:
        """Spread words as `plan_clip` does; where the script is one line without words, cut where it is quiet."""
        if any(line.speech for line in lines):
            return super().plan(lines, pacing, longest, past_frames, given_frames)
        if any(line.passages for line in lines):
            raise ValueError(f"The script has pauses and no words: along a {NAME} that is a sound, its own count.")
        if len(lines) > 1:
            raise ValueError(
                f"The script has {len(lines)} lines and no words: write what is heard during each, or one caption for "
                f"the whole {NAME}."
            )
        # A short sound's only segment must have a whole past, too; what is beyond the sound is cut off.
        new = max(1, past_frames - given_frames, latent_frames(self.frames) - given_frames)
        ends = (pixel_frames(given_frames + place) for place in range(1, new + 1))
        loudness = [self._loudness(frame) for frame in ends]
        return pacing, plan_wordless(lines[0], loudness, longest, past_frames, given_frames)

    def part(self, window: Window) -> Part:
        start, tokens = window.start * SAMPLES_A_FRAME, audio_tokens(pixel_frames(window.latent_frames))
        end = start + (tokens + CONTEXT_TOKENS) * HOP_LENGTH
        # What follows the recording is silence.
        return Part(mel=mel_window(fit_audio(self.sound, max(end, self.sound.shape[-1])), start, tokens))

    def track(self) -> tuple[Tensor, int]:
        track = fit_audio(self.waveform, math.ceil(Fraction(self.frames * self.sample_rate, FRAME_RATE)))
        return aac_sound(track, self.sample_rate)

    def _loudness(self, frame: int) -> float:
        """Power of the sound around the start of a frame."""
        middle = frame * SAMPLES_A_FRAME
        return float(self.sound[:, middle - QUIET_SAMPLES // 2 : middle + QUIET_SAMPLES // 2].square().sum())
