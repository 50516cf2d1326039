"""Models that see and hear: whether lips go with words, and how far picture and sound are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import numpy
import torch
import torchaudio
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from uniavgen_core.face.detection import CERTAIN_SCORE, Face
from uniavgen_core.face.models import open_detector

from ..evaluation import syncnet
from .bench_items import MadeItem
from .picture_models import as_tensor

CROP = 0.3
"""A face's picture is wider than its box by this part."""
SHORTEST_RUN = 2 * syncnet.FRAME_RATE
"""Frames with a face, one after the other."""
FAR_OFF = 14
"""Frames between lips and sound from which on a run says nothing."""

RATE, SOUND_RATE = 25, 16_000
"""Frames and samples a second that Synchformer takes."""
SHORTER_SIDE, SIDE = 256, 224
CLIP_SECONDS = 4
SEGMENTS, SEGMENT_FRAMES, STEP_FRAMES = 11, 16, 8
MEL_COLUMNS = 66
LOG_FLOOR = 1e-6
MEAN, DEVIATION = -4.2677393, 4.5689974
"""Of the logarithms of mel spectrograms that it was trained with."""
OFFSETS = numpy.linspace(-2, 2, 21)
"""Seconds by which the sound may be off."""

Faces = Callable[[NDArray[numpy.uint8]], Sequence[Face]]
"""Faces in a frame."""


class LipConfidence:
    """SyncNet on the runs of frames that show a face.

    Args:
        paths: SyncNet's weights, and a face detector of insightface.
    """

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        self._network = syncnet.load_syncnet(paths[0]).to(device)
        self._faces: Faces = open_detector(paths[1]).faces

    def __call__(self, made: MadeItem) -> float | None:
        """The mean confidence of the runs; None where no run is long enough, or where one is far off."""
        frames, sound = made.frames_at(syncnet.FRAME_RATE), made.video_sound(syncnet.AUDIO_RATE)
        frames = frames[: len(sound) * syncnet.FRAME_RATE // syncnet.AUDIO_RATE]
        return confidence(frames, sound, self._faces, self._errors)

    def _errors(self, faces: NDArray[numpy.uint8], sound: NDArray[numpy.float32]) -> dict[str, float]:
        return syncnet.sync_errors(self._network, faces, sound)


def confidence(
    frames: NDArray[numpy.uint8],
    sound: NDArray[numpy.float32],
    faces: Faces,
    errors: Callable[[NDArray[numpy.uint8], NDArray[numpy.float32]], dict[str, float]],
) -> float | None:
    """As `LipConfidence` gives it.

    Args:
        frames: (F, height, width, 3), 25 a second.
        sound: (samples) at 16 kHz.
        errors: SyncNet's, of pictures of a face and their sound.
    """
    found = [_surest(faces(frame)) for frame in frames]
    confidences = []
    for is_shown, run in groupby(range(len(found)), lambda index: found[index] is not None):
        indices = list(run)
        if not is_shown or len(indices) < SHORTEST_RUN:
            continue
        boxes = numpy.stack([face.box for index in indices if (face := found[index]) is not None])
        crops = syncnet.face_crops(frames[indices], boxes, crop=CROP, smoothed=1)
        start, end = (index * syncnet.AUDIO_RATE // syncnet.FRAME_RATE for index in (indices[0], indices[-1]))
        measured = errors(crops, sound[start:end])
        if abs(measured["sound_late_frames"]) >= FAR_OFF:
            return None
        confidences.append(measured["lse_c"])
    return sum(confidences) / len(confidences) if confidences else None


def _surest(faces: Sequence[Face]) -> Face | None:
    certain = [face for face in faces if face.score >= CERTAIN_SCORE]
    return max(certain, key=lambda face: face.score, default=None)


class Synchformer:
    """The most likely offset of picture and sound.

    Args:
        paths: the network in TorchScript, called as network(frames (1, 11, 16, 3, 224, 224), mel (1, 11, 1, 128, 66)),
            which gives the scores of 21 offsets, alone or behind its loss.
    """

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        self._network, self._device = torch.jit.load(str(paths[0]), map_location=device).eval(), device

    @torch.inference_mode()
    def __call__(self, made: MadeItem) -> float:
        """Seconds, from -2 to 2."""
        frames, mel = segments(made.frames_at(RATE), made.video_sound(SOUND_RATE))
        given = self._network(frames[None].to(self._device), mel[None].to(self._device))
        logits: Tensor = given[-1] if isinstance(given, tuple) else given
        return float(OFFSETS[int(logits.reshape(-1).argmax())])


def segments(frames: NDArray[numpy.uint8], sound: NDArray[numpy.float32]) -> tuple[Tensor, Tensor]:
    """What Synchformer looks at and hears: 11 pieces of 0.64 seconds of the first 4.

    Args:
        frames: (F, height, width, 3), 25 a second.
        sound: (samples) at 16 kHz.

    Returns:
        Frames (11, 16, 3, 224, 224) of values -1..1 and mel spectrograms (11, 1, 128, 66).

    Raises:
        ValueError: the clip is shorter.
    """
    if len(frames) < CLIP_SECONDS * RATE or len(sound) < CLIP_SECONDS * SOUND_RATE:
        raise ValueError(f"the clip is shorter than {CLIP_SECONDS} seconds, which Synchformer looks at")
    first = (CLIP_SECONDS * RATE - SEGMENT_FRAMES - (SEGMENTS - 1) * STEP_FRAMES) // 2
    samples = SOUND_RATE // RATE
    starts = [first + STEP_FRAMES * index for index in range(SEGMENTS)]
    seen = _centre(as_tensor(frames[first : starts[-1] + SEGMENT_FRAMES])) / 127.5 - 1
    heard = torch.from_numpy(sound)[first * samples : (starts[-1] + SEGMENT_FRAMES) * samples]
    seen = rearrange(seen.unfold(0, SEGMENT_FRAMES, STEP_FRAMES), "s c h w t -> s t c h w")
    heard = heard.unfold(0, SEGMENT_FRAMES * samples, STEP_FRAMES * samples)
    spectrogram = torchaudio.transforms.MelSpectrogram(
        SOUND_RATE, n_fft=1024, win_length=400, hop_length=160, n_mels=128
    )
    mel = (spectrogram(heard) + LOG_FLOOR).log()
    # Silence behind the last column is 0 before the mean is taken away, as in training.
    mel = functional.pad(mel, (0, MEL_COLUMNS - mel.shape[-1]))
    return seen, ((mel - MEAN) / (2 * DEVIATION)).unsqueeze(1)


def _centre(frames: Tensor) -> Tensor:
    """The middle (n, 3, 224, 224) of frames whose shorter side is brought to 256 pixels."""
    shortest = min(frames.shape[-2:])
    size = [SHORTER_SIDE * side // shortest // 2 * 2 for side in frames.shape[-2:]]
    frames = functional.interpolate(frames, size, mode="bicubic", antialias=True).clamp(0, 255)
    top, left = (round((side - SIDE) / 2) for side in size)
    return frames[..., top : top + SIDE, left : left + SIDE]
