"""Sound and picture of one length."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

from ..media.sound import fade, fit_audio, set_loudness


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


def fit_pictures(images: Tensor, frame_rate: Fraction | float, waveform: Tensor, sample_rate: int) -> Tensor:
    """Frames (F, H, W, channels) that last as long as a sound (1, channels, samples), to the frame that it ends in.

    Raises:
        ValueError: there are several sounds.
    """
    if waveform.shape[0] > 1:
        raise ValueError(f"The audio is {waveform.shape[0]} sounds: with length 'sound' give one, with its picture.")
    wanted = math.ceil(Fraction(waveform.shape[-1], sample_rate) * Fraction(frame_rate))
    return torch.cat((images[:wanted], images[-1:].expand(max(0, wanted - len(images)), -1, -1, -1)))
