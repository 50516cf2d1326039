"""Sound and picture of one length."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

from .encoding import aac_waveform, is_aac_form
from .waveforms import fade, fit_audio, set_loudness

LONGEST_HOURS = 12
"""A picture is not held for longer."""


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
    """Sound (1, channels, samples) exactly as long as the picture: cut, or padded with silence.

    Args:
        waveform: (batch, channels, samples). Clips of a batch follow each other, as their pictures do, each as long as
            its share of the picture.
        sample_rate: samples a second.
        seconds: length of the picture; None leaves the sound's.
        target_lufs: loudness to bring each clip to; None leaves it.
        fade_seconds: how long each clip fades in and out; 0 leaves it.
    """
    if seconds is not None:
        waveform = fit_audio(waveform, round(seconds * sample_rate / waveform.shape[0]))
    if target_lufs is not None:
        waveform = set_loudness(waveform, sample_rate, target_lufs)
    waveform = fade(waveform, sample_rate, fade_seconds)
    return waveform.movedim(0, 1).flatten(1).unsqueeze(0)


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

    Where that is more often than there are frames, it is left to do; else it is done. Frames that are only cut are not
    copied.
    """
    wanted = math.ceil(seconds * Fraction(frame_rate))
    held = max(0, wanted - len(images))
    if not held:
        return images[:wanted], 0
    if held > len(images):
        return images, held
    return torch.cat((images, images[-1:].expand(held, -1, -1, -1))), 0
