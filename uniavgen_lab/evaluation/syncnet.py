"""SyncNet's measures of lip sync, for those who have its weights.

Source: Chung and Zisserman, "Out of time: automated lip sync in the wild" (2016); the network and the distances are
those of its authors' release, whose weights (`syncnet_v2.model`) fit. Faces are found by another detector here, and are
not compressed again, so values differ a little from those of the release.

LSE-D is the least mean distance of picture and sound over all offsets, LSE-C the median of the mean distances less the
least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional

from uniavgen_core.files import needed

FRAME_RATE = 25
"""Pictures a second that the network takes."""
AUDIO_RATE = 16_000
FRAMES = 5
"""Pictures of one look at the mouth."""
MFCC_A_FRAME = 4
MFCC = 20
"""Rows of cepstral coefficients that are heard at a time, 100 a second."""
SIZE = 224
"""Width and height of a face's picture."""
CROP = 0.4
"""The picture of a face is wider than its box by this part; all of what it is higher lies below."""
FEATURES, WIDTH = 1024, 512
MOST_OFFSET = 15
"""Pictures by which picture and sound are moved against each other, both ways."""
BATCH = 20
SMOOTHED = 13
"""Frames over whose median a face moves."""
GREY = 110
"""Around the picture."""
FULL_SCALE = 32_767


@dataclass(frozen=True)
class _Convolution:
    """A convolution, batch norm and ReLU, and the pooling after it, if any."""

    outputs: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...] | int = 1
    padding: tuple[int, ...] | int = 0
    pool: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | int] | None = None


_HEARING = (
    _Convolution(64, (3, 3), padding=1, pool=((1, 1), (1, 1), 0)),
    _Convolution(192, (3, 3), padding=1, pool=((3, 3), (1, 2), 0)),
    _Convolution(384, (3, 3), padding=1),
    _Convolution(256, (3, 3), padding=1),
    _Convolution(256, (3, 3), padding=1, pool=((3, 3), (2, 2), 0)),
    _Convolution(WIDTH, (5, 4)),
)
_SEEING = (
    _Convolution(96, (5, 7, 7), stride=(1, 2, 2), pool=((1, 3, 3), (1, 2, 2), 0)),
    _Convolution(256, (1, 5, 5), stride=(1, 2, 2), padding=(0, 1, 1), pool=((1, 3, 3), (1, 2, 2), (0, 1, 1))),
    _Convolution(256, (1, 3, 3), padding=(0, 1, 1)),
    _Convolution(256, (1, 3, 3), padding=(0, 1, 1)),
    _Convolution(256, (1, 3, 3), padding=(0, 1, 1), pool=((1, 3, 3), (1, 2, 2), 0)),
    _Convolution(WIDTH, (1, 6, 6)),
)


class SyncNet(nn.Module):
    """Features of mouths and of sounds that are near each other where they go together. Names are the release's."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _stack(1, _HEARING)
        self.netfcaud = _head()
        self.netcnnlip = _stack(3, _SEEING)
        self.netfclip = _head()

    def hear(self, mfcc: Tensor) -> Tensor:
        """Features (n, 1024) of cepstral coefficients (n, 1, 13, 20)."""
        return self.netfcaud(self.netcnnaud(mfcc).flatten(1))

    def see(self, faces: Tensor) -> Tensor:
        """Features (n, 1024) of faces (n, 3, 5, 224, 224), blue first, values 0..255."""
        return self.netfclip(self.netcnnlip(faces).flatten(1))


def load_syncnet(path: Path) -> SyncNet:
    """The network with the release's weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file. Give SyncNet's syncnet_v2.model.")
    network = SyncNet()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, TypeError, UnpicklingError) as error:
        # PyTorch's own words advise to run what the file holds.
        raise ValueError(f"{path} does not hold SyncNet's weights: give its syncnet_v2.model.") from error
    return network.eval()


@torch.no_grad()
def sync_errors(network: SyncNet, faces: numpy.ndarray, waveform: numpy.ndarray) -> dict[str, float]:
    """LSE-D and LSE-C of a clip, and by how many pictures its sound is late.

    Args:
        faces: (F, 224, 224, 3) of bytes, 25 a second, red first.
        waveform: (samples) at 16 kHz, full scale 1.

    Raises:
        NotInstalledError: python_speech_features is not installed.
        ValueError: the clip is too short.
    """
    device = next(network.parameters()).device
    speech_features = needed("python_speech_features", "for SyncNet", "people")
    coefficients = speech_features.mfcc((waveform * FULL_SCALE).astype(numpy.int16), AUDIO_RATE)
    heard = torch.from_numpy(coefficients.T.copy()).float()[None, None].to(device)
    looks = min(len(faces), len(waveform) * FRAME_RATE // AUDIO_RATE) - FRAMES
    looks = min(looks, (heard.shape[-1] - MFCC) // MFCC_A_FRAME + 1)
    if looks < 1:
        raise ValueError("The clip is too short for SyncNet: it takes a second or more.")
    seen = torch.from_numpy(faces[..., ::-1].copy()).to(device).float().movedim(-1, 0)
    video = [network.see(_pieces(seen, batch, FRAMES, 1)) for batch in _batches(looks)]
    audio = [network.hear(_pieces(heard[0], batch, MFCC, MFCC_A_FRAME, dim=2)) for batch in _batches(looks)]
    return offsets(torch.cat(video), torch.cat(audio))


def offsets(seen: Tensor, heard: Tensor) -> dict[str, float]:
    """LSE-D, LSE-C and the offset of features (n, 1024) of images and of audio."""
    padded = functional.pad(heard, (0, 0, MOST_OFFSET, MOST_OFFSET))
    shifted = padded.unfold(0, len(seen), 1).movedim(-1, 1)
    distances = functional.pairwise_distance(seen.expand_as(shifted), shifted).mean(dim=1)
    least, offset = distances.min(dim=0)
    return {
        "lse_d": float(least),
        "lse_c": float(distances.median() - least),
        "sound_late_frames": float(offset - MOST_OFFSET),
    }


def face_crops(
    frames: numpy.ndarray, boxes: numpy.ndarray, crop: float = CROP, smoothed: int = SMOOTHED
) -> numpy.ndarray:
    """What the network looks at, (F, 224, 224, 3): the face and what is around and below it.

    Args:
        frames: (F, H, W, 3) of bytes.
        boxes: of the face in each, (F, 4) as left, top, right, bottom.
        crop: the part by which the picture of a face is wider than its box.
        smoothed: frames over whose median a face moves; 1 takes each as it is.

    Raises:
        NotInstalledError: OpenCV or SciPy is not installed.
    """
    cv2, signal = (needed(name, "for SyncNet", "people") for name in ("cv2", "scipy.signal"))
    halves = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) / 2
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    smooth = numpy.stack([signal.medfilt(values, smoothed) for values in (halves, *centres.T)], axis=1)
    crops = []
    for frame, (half, x, y) in zip(frames, smooth, strict=True):
        margin = int(half * (1 + 2 * crop))
        padded = numpy.pad(frame, ((margin, margin), (margin, margin), (0, 0)), constant_values=GREY)
        left, top = x + margin - half * (1 + crop), y + margin - half
        side = 2 * half * (1 + crop)
        face = padded[int(top) : int(top + side), int(left) : int(left + side)]
        crops.append(cv2.resize(face, (SIZE, SIZE)))
    return numpy.stack(crops)


def _stack(inputs: int, layers: Sequence[_Convolution]) -> nn.Sequential:
    flat = len(layers[0].kernel) == 2
    kinds: tuple[Any, ...] = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
    convolution, norm, pool = kinds if flat else (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)
    stack: list[nn.Module] = []
    for layer in layers:
        stack += [
            convolution(inputs, layer.outputs, layer.kernel, layer.stride, layer.padding),
            norm(layer.outputs),
            nn.ReLU(),
        ]
        stack += [pool(*layer.pool)] if layer.pool else []
        inputs = layer.outputs
    return nn.Sequential(*stack)


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, FEATURES))


def _batches(count: int) -> list[range]:
    return [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


def _pieces(whole: Tensor, indices: range, length: int, step: int, dim: int = 1) -> Tensor:
    """Pieces of one length, each a step after the other, stacked."""
    return torch.stack([whole.narrow(dim, index * step, length) for index in indices])
