"""Two clips beside each other in one, each under its label: of their own sizes, frame rates and sounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from .images import crop_and_resize, to_rgb
from .lettering import label_image
from .waveforms import ResampledWaveform

IN_TURN, TOGETHER = WAYS = ("in turn", "together")
"""How two clips are shown: one behind the other, the other's picture standing still, or both at once."""
LABEL_SHARE = 16
"""Of a picture's height, what a label takes is one part of so many; at least `LEAST_LABEL` pixels."""
LEAST_LABEL = 20
SILENT_RATE = 24_000
"""Sound samples a second where neither clip has a sound."""


@dataclass(frozen=True)
class LabelledClip:
    """A clip and what is written above it.

    Attributes:
        images: (F, height, width, channels), values 0..1.
        frame_rate: frames a second.
        sound: waveform (1, channels, samples) and samples a second; None is silence.
    """

    label: str
    images: Tensor
    frame_rate: Fraction
    sound: tuple[Tensor, int] | None = None

    @property
    def seconds(self) -> Fraction:
        return len(self.images) / self.frame_rate


def beside(left: LabelledClip, right: LabelledClip, way: str) -> tuple[Tensor, Fraction, Tensor, int]:
    """Both clips in one, as high as the lower of both and its label, with the higher of the frame and sample rates.

    In turn, each is heard as it is shown; together, the left one is heard on the left and the right one on the right.

    Returns:
        Images (F, height, width, 3), frames a second, waveform (1, 2, samples), samples a second.
    """
    clips = (left, right)
    rate = max(clip.frame_rate for clip in clips)
    counts = [max(1, math.ceil(clip.seconds * rate)) for clip in clips]
    height = min(clip.images.shape[1] for clip in clips)
    height -= height % 2
    starts = (0, counts[0]) if way == IN_TURN else (0, 0)
    total = max(start + count for start, count in zip(starts, counts, strict=True))
    halves = [_half(clip, rate, start, total, height) for clip, start in zip(clips, starts, strict=True)]
    images = torch.cat(halves, dim=2)

    sample_rate = max((clip.sound[1] for clip in clips if clip.sound is not None), default=SILENT_RATE)
    ends = [round(count / rate * sample_rate) for count in counts]
    channels = 2 if way == IN_TURN else 1
    sounds = [_sound(clip, sample_rate, channels, end) for clip, end in zip(clips, ends, strict=True)]
    if way == IN_TURN:
        return images, rate, torch.cat(sounds, dim=-1), sample_rate
    longest = max(ends)
    padded = [functional.pad(sound, (0, longest - sound.shape[-1])) for sound in sounds]
    return images, rate, torch.cat(padded, dim=1), sample_rate


def _half(clip: LabelledClip, rate: Fraction, start: int, total: int, height: int) -> Tensor:
    """A clip's frames (total, label and height, width, 3), its first one until it starts, its last one to the end."""
    columns = round(clip.images.shape[2] * height / clip.images.shape[1])
    width = max(2, columns + columns % 2)
    pictures = crop_and_resize(to_rgb(clip.images), width, height)
    label = label_image(clip.label, width, max(LEAST_LABEL, height // LABEL_SHARE // 2 * 2)).to(pictures)
    indices = _shown_frames(len(pictures), clip.frame_rate / rate, start, total)
    return torch.cat((label.expand(total, -1, -1, -1), pictures[indices]), dim=1)


def _shown_frames(count: int, step: Fraction, start: int, total: int) -> list[int]:
    """Which of a clip's frames is on the screen at each of the new ones; each lasts `step` of its own."""
    return [min(count - 1, math.floor(max(0, index - start) * step)) for index in range(total)]


def _sound(clip: LabelledClip, sample_rate: int, channels: int, samples: int) -> Tensor:
    """A clip's sound (1, channels, samples), cut to this length or followed by silence."""
    if clip.sound is None:
        return torch.zeros(1, channels, samples)
    waveform, own_rate = clip.sound
    mixed = waveform.repeat(1, 2, 1) if waveform.shape[1] < channels else waveform
    resampled = ResampledWaveform(mixed, own_rate, sample_rate, channels)
    made = resampled.stretch(0, min(samples, resampled.samples)).view(1, channels, -1)
    return functional.pad(made, (0, samples - made.shape[-1]))
