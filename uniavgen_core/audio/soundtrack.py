"""The sound that goes with a picture."""

from __future__ import annotations

from fractions import Fraction

from torch import Tensor

from ..media import fade, fit_audio, set_loudness


def soundtrack(
    waveform: Tensor,
    sample_rate: int,
    seconds: Fraction | float,
    target_lufs: float | None = None,
    fade_seconds: float = 0.0,
) -> Tensor:
    """Sound (1, channels, samples) exactly as long as the picture: cut, or padded with silence.

    Args:
        waveform: (batch, channels, samples). Clips of a batch follow each other, as their pictures do, each as long as
            its share of the picture.
        sample_rate: samples a second.
        seconds: length of the picture.
        target_lufs: loudness to bring each clip to; None leaves it.
        fade_seconds: how long each clip fades in and out; 0 leaves it.
    """
    samples = round(seconds * sample_rate / waveform.shape[0])
    waveform = fit_audio(waveform, samples)
    if target_lufs is not None:
        waveform = set_loudness(waveform, sample_rate, target_lufs)
    waveform = fade(waveform, sample_rate, fade_seconds)
    return waveform.movedim(0, 1).flatten(1).unsqueeze(0)
