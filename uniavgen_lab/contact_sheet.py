"""A clip at a glance: frames in a row, the waveform and the spectrogram under them."""

from __future__ import annotations

import numpy
import torch
from PIL import Image
from torch import Tensor

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.media.images import to_bytes

FRAMES = 8
"""Of a clip, side by side."""
WAVEFORM_HEIGHT = 64
SILENT, LOUD = -11.5, 2.0
"""Natural-log mel values that are drawn black and white."""
INK, PAPER = (38, 70, 120), (255, 255, 255)


def contact_sheet(frames: Tensor, waveform: Tensor, count: int = FRAMES) -> Image.Image:
    """Evenly spaced frames of a clip (F, height, width, 3) of values 0..1, over its waveform (samples) at 24 kHz."""
    shown = torch.linspace(0, len(frames) - 1, count).round().long()
    row = to_bytes(torch.cat(list(frames[shown]), dim=1))
    width = row.shape[1]
    return Image.fromarray(numpy.concatenate((row, _draw_waveform(waveform, width), _draw_mel(waveform, width))))


def _draw_waveform(waveform: Tensor, width: int) -> numpy.ndarray:
    """Peaks of the sound in columns, (height, width, 3) of bytes."""
    columns = torch.nn.functional.adaptive_max_pool1d(waveform.abs()[None], width)[0].clamp(max=1).numpy()
    distance = numpy.abs(numpy.linspace(-1, 1, WAVEFORM_HEIGHT))[:, None]
    return numpy.where((distance <= columns)[..., None], INK, PAPER).astype(numpy.uint8)


def _draw_mel(waveform: Tensor, width: int) -> numpy.ndarray:
    """Log-mel, low bands below, (bands, width, 3) of bytes."""
    mel = log_mel(waveform).T.flip(0)
    shade = to_bytes((mel - SILENT) / (LOUD - SILENT))
    return numpy.array(Image.fromarray(shade).resize((width, shade.shape[0])).convert("RGB"))
