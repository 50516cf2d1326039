"""Sound and picture of one length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import torch
from torch import Tensor

from .encoding import aac_waveform, is_aac_form
from .loudness import loudness_gain
from .waveforms import PIECE_SAMPLES, fit_audio

LONGEST_HOURS = 12
"""A picture is not held for longer."""
HELD_BYTES = 1 << 28
"""So much of a picture that is held is held in memory at most."""


def playable(waveform: Tensor, sample_rate: int) -> tuple[Tensor, int]:
    """Sounds (batch, channels, samples) in a form that AAC and every player take, as `aac_waveform` makes it.

    Raises:
        ValueError: there is no sound, or it has no channels, or the sample rate is no number of samples.
    """
    if waveform.ndim != 3 or not len(waveform) or not waveform.shape[1] or sample_rate < 1:
        raise ValueError(
            f"audio is no sound: it has the shape {(*waveform.shape,)} at {sample_rate} samples a second, but should "
            "have sounds, channels and samples."
        )
    if is_aac_form(waveform.shape[1], sample_rate):
        return waveform, sample_rate
    sounds, rates = zip(*(aac_waveform(one, sample_rate) for one in waveform), strict=True)
    return torch.stack(sounds), rates[0]


def soundtrack(
    waveform: Tensor,
    sample_rate: int,
    seconds: Fraction | float | None,
    target_lufs: float | None = None,
    fade_seconds: float = 0.0,
) -> Tensor:
    """As `soundtrack_pieces`, in one (1, channels, samples); beside it no more than a piece is held."""
    samples = len(waveform) * _clip_samples(waveform, sample_rate, seconds)
    made, position = waveform.new_empty(1, waveform.shape[1], samples), 0
    for piece in soundtrack_pieces(waveform, sample_rate, seconds, target_lufs, fade_seconds):
        made[0, :, position : position + piece.shape[-1]] = piece
        position += piece.shape[-1]
    return made


def soundtrack_pieces(
    waveform: Tensor,
    sample_rate: int,
    seconds: Fraction | float | None,
    target_lufs: float | None = None,
    fade_seconds: float = 0.0,
) -> Iterator[Tensor]:
    """Sound in pieces (channels, samples), exactly as long as the picture: cut, or padded with silence.

    Args:
        waveform: (batch, channels, samples). Clips of a batch follow each other, as their pictures do, each as long as
            its share of the picture.
        sample_rate: samples a second.
        seconds: length of the picture; None leaves the sound's.
        target_lufs: loudness to bring each clip to; None leaves it.
        fade_seconds: how long each clip fades in and out, linearly, or half the clip; 0 leaves it.
    """
    samples = _clip_samples(waveform, sample_rate, seconds)
    faded = min(round(fade_seconds * sample_rate), samples // 2)
    for clip in waveform:
        gain = 1.0 if target_lufs is None else loudness_gain(clip, sample_rate, target_lufs, samples)
        for start in range(0, samples, PIECE_SAMPLES):
            end = min(start + PIECE_SAMPLES, samples)
            piece = fit_audio(clip[:, start:end], end - start)
            piece = piece if gain == 1 else piece * gain
            yield piece * fade_gain(start, end, samples, faded, faded).to(piece) if faded else piece


def _clip_samples(waveform: Tensor, sample_rate: int, seconds: Fraction | float | None) -> int:
    """Samples that each clip gets."""
    return waveform.shape[-1] if seconds is None else round(seconds * sample_rate / len(waveform))


def fade_gain(start: int, end: int, samples: int, fade_in: int, fade_out: int) -> Tensor:
    """Gain of a stretch of a sound whose first and last samples, so many of each, fade."""
    index = torch.arange(start, end)
    rising, falling = index / max(1, fade_in), (samples - 1 - index) / max(1, fade_out)
    ones = torch.ones(len(index))
    return torch.minimum(rising if fade_in else ones, falling if fade_out else ones).clamp(max=1)


def held_seconds(waveform: Tensor, sample_rate: int) -> Fraction:
    """Length of the sound (1, channels, samples) that a picture is cut or held to.

    Raises:
        ValueError: there are several sounds, or it is empty or too long to hold a picture for it.
    """
    if len(waveform) > 1:
        raise ValueError(f"The audio is {len(waveform)} sounds: with length 'audio' give one, with its picture.")
    seconds = Fraction(waveform.shape[-1], sample_rate)
    if not seconds:
        raise ValueError("The audio is empty: with length 'audio' it sets how long the picture is shown.")
    if seconds > 3600 * LONGEST_HOURS:
        raise ValueError(
            f"The audio lasts {float(seconds) / 3600:.1f} hours, but a picture is shown for {LONGEST_HOURS} at most: "
            "cut it with Trim Audio Duration."
        )
    return seconds


def hold_last(images: Tensor, frame_rate: Fraction | float, seconds: Fraction) -> tuple[Tensor, int]:
    """Frames (F, H, W, channels) up to the one in which that time ends, and how often the last must be shown again.

    Where that is more often than there are frames, or needs much memory, it is left to do; else it is done. Frames that
    are only cut are not copied.
    """
    wanted = math.ceil(seconds * Fraction(frame_rate))
    held = max(0, wanted - len(images))
    if not held:
        return images[:wanted], 0
    if held > len(images) or (len(images) + held) * images[0].nbytes > HELD_BYTES:
        return images, held
    return torch.cat((images, images[-1:].expand(held, -1, -1, -1))), 0
