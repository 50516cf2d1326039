"""Checks of what users give."""

from __future__ import annotations

import math

from torch import Tensor

from .audio.mel import PADDING
from .config import SAMPLE_RATE
from .joint_latent import check_finite, not_finite
from .media.waveforms import PIECE_SAMPLES, peak_of, to_mono

SILENCE_PEAK = 1e-4
"""Loudest sample below which a sound counts as silence (-80 dB)."""
MIN_SOUND_SAMPLES = PADDING + 1
"""A spectrum needs this many samples."""


def check_images(name: str, picture: Tensor | None, dimensions: int | None = 4) -> None:
    """Refuse a picture (frames, height, width, channels) that is not there or empty, and NaN in its first frame.

    Args:
        dimensions: of the tensor; None takes any, as for masks.

    Raises:
        ValueError: it names the input.
    """
    if picture is None or picture.numel() == 0:
        raise ValueError(f"{name} is empty: it has no pixels. Connect a picture.")
    if dimensions not in (None, picture.ndim):
        shape = "×".join(map(str, picture.shape))
        raise ValueError(f"{name} holds values of {shape}, not an image of pixels: the node before it is at fault.")
    check_finite(name, picture[:1])


def check_waveform(name: str, waveform: Tensor) -> None:
    """Refuse a sound (batch, channels, samples) in which nothing is to be heard after the mix to one channel.

    It may have fewer dimensions.

    Raises:
        ValueError: it is empty, silent or not of numbers; the message names the input.
    """
    sounds = waveform.reshape((1,) * (3 - waveform.ndim) + waveform.shape)
    mixed = (to_mono(piece, SAMPLE_RATE) for piece in sounds.split(PIECE_SAMPLES, dim=-1))
    check_heard(name, waveform.shape[-1], peak_of(mixed))


def check_heard(name: str, samples: int, peak: float) -> None:
    """Refuse a sound in which nothing is to be heard, by its samples and the magnitude of the loudest one.

    Raises:
        ValueError: it is empty, silent or not of numbers; the message names the input.
    """
    if samples < MIN_SOUND_SAMPLES:
        raise ValueError(f"{name} is empty ({samples} samples): give a longer sound.")
    if not math.isfinite(peak):
        raise not_finite(name)
    if peak < SILENCE_PEAK:
        raise ValueError(f"{name} is silent: give a sound in which somebody speaks.")


def check_one_waveform(name: str, sounds: Tensor) -> None:
    """Refuse a batch (sounds, ...) where only one sound has a place: which one is for the user to say.

    Raises:
        ValueError: there are several; the message names the input.
    """
    if len(sounds) > 1:
        raise ValueError(
            f"{name} holds {len(sounds)} sounds, but a clip has one: pick one, or set batch_size to 1 in the UniAVGen "
            "Latent that they were made with."
        )
