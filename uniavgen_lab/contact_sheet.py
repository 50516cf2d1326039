"""A clip at a glance: frames in a row, the waveform and the spectrogram under them."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import Tensor

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.config import SAMPLE_RATE, SAMPLES_A_FRAME
from uniavgen_core.media.images import to_bytes


def rms_envelope(sound: numpy.ndarray, frames: int) -> numpy.ndarray:
    """Root mean square of a sound (samples) at 24 kHz around each frame i, at i / 16 s: (frames)."""
    padded = numpy.pad(sound.astype(numpy.float64), (SAMPLES_A_FRAME // 2, SAMPLES_A_FRAME * frames))
    windows = padded[: SAMPLES_A_FRAME * frames].reshape(frames, SAMPLES_A_FRAME)
    return numpy.sqrt(numpy.square(windows).mean(axis=1))


FRAMES = 8
WAVEFORM_HEIGHT = 64
SILENT, LOUD = -11.5, 2.0
"""Natural-log mel values that are drawn black and white."""
INK, PAPER = (38, 70, 120), (255, 255, 255)


def contact_sheet(frames: Tensor, sound: Tensor, count: int = FRAMES) -> Image.Image:
    """Evenly spaced frames of a clip (F, height, width, 3) of values 0..1, over its sound (samples) at 24 kHz."""
    places = torch.linspace(0, len(frames) - 1, count).round().long()
    row = to_bytes(torch.cat(list(frames[places]), dim=1))
    width = row.shape[1]
    return Image.fromarray(numpy.concatenate((row, _waveform(sound, width), _spectrogram(sound, width))))


def _waveform(sound: Tensor, width: int) -> numpy.ndarray:
    """Peaks of the sound in columns, (height, width, 3) of bytes."""
    columns = torch.nn.functional.adaptive_max_pool1d(sound.abs()[None], width)[0].clamp(max=1).numpy()
    distance = numpy.abs(numpy.linspace(-1, 1, WAVEFORM_HEIGHT))[:, None]
    return numpy.where((distance <= columns)[..., None], INK, PAPER).astype(numpy.uint8)


def _spectrogram(sound: Tensor, width: int) -> numpy.ndarray:
    """Log-mel, low bands below, (bands, width, 3) of bytes."""
    mel = log_mel(sound).T.flip(0)
    shade = to_bytes((mel - SILENT) / (LOUD - SILENT))
    return numpy.array(Image.fromarray(shade).resize((width, shade.shape[0])).convert("RGB"))


def write_wav(path: Path, sound: Tensor) -> None:
    """Write a sound (samples) at 24 kHz in 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(sound.clamp(-1, 1).mul(32767).round().short().numpy().tobytes())
