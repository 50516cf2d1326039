"""The measures on people's own clips, as far as their models are there."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
import torchaudio.functional
from numpy.typing import NDArray
from tqdm import tqdm

from uniavgen_core.audio.mel import to_model_waveform
from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE
from uniavgen_core.face.detection import Face, fill_gaps
from uniavgen_core.face.lip_sync import lip_sync
from uniavgen_core.face.models import MESH, open_detector
from uniavgen_core.face.mouth_landmarks import MouthLandmarks
from uniavgen_core.files import NotInstalledError
from uniavgen_core.media.container import Source
from uniavgen_core.media.images import to_bytes

from ..video_files import read_audio, read_video
from . import syncnet
from .lip_sync_ends import lip_sync_margin
from .measures import Measures
from .voice_measures import naturalness, speaker_likeness
from .word_errors import WordRecogniser, word_errors

DETECTORS = ("scrfd*.onnx", "det_*.onnx")
"""Names of insightface's face detectors."""
LEAST_SHARE = 0.5
"""Of the frames, as many must show a face."""


def add_own_clip_arguments(parser: argparse.ArgumentParser) -> None:
    """The options for a clip of one's own."""
    group = parser.add_argument_group("a clip of your own, instead of the corpus")
    group.add_argument("--clip", type=Path, help="a video with sound")
    group.add_argument("--text", help="what is said in it (English)")
    group.add_argument("--voice", type=Path, help="another recording of the same voice")
    group.add_argument(
        "--face-models", type=Path, help="folder of MediaPipe's face_landmark.onnx and a detector of insightface"
    )
    group.add_argument("--syncnet", type=Path, help="SyncNet's weights, syncnet_v2.model")


def run_own_clip(arguments: argparse.Namespace) -> int:
    """Measure one clip and print what was measured, and what was not and why."""
    measures = measure_own_clip(
        arguments.clip, arguments.text, arguments.voice, arguments.face_models, arguments.syncnet
    )
    for name, value in measures.items():
        shown = f"{value:.2f}" if isinstance(value, float) else value
        sys.stdout.write(f"{name.replace('_', ' '):<24}{shown}\n")
    if arguments.json:
        sys.stdout.write(json.dumps(measures) + "\n")
    return 0


@dataclass(frozen=True)
class OwnClip:
    """A video of a real person, and what else is given to measure it; None is not given.

    Attributes:
        frames: (F, H, W, 3) of bytes.
        rate: of the frames, in frames a second.
        waveform: (samples) at 24 kHz.
        text, voice, face_models, syncnet_weights: as in `measure_own_clip`.
    """

    frames: NDArray[numpy.uint8]
    rate: float
    waveform: NDArray[numpy.float32]
    text: str | None
    voice: Source | None
    face_models: Path | None
    syncnet_weights: Path | None


class NotGivenError(Exception):
    """A measure needs an option that was not given; the message says which."""


def measure_own_clip(
    clip: Source,
    text: str | None = None,
    voice: Source | None = None,
    face_models: Path | None = None,
    syncnet_weights: Path | None = None,
) -> Measures:
    """Measure a video of a real person.

    Args:
        clip: a video with sound.
        text: what is said, in English; None leaves the words out.
        voice: another recording of the same voice; None leaves likeness out.
        face_models: folder of what `find_detector` and `MouthLandmarks` need; None leaves lip sync out.
        syncnet_weights: None leaves SyncNet out.

    Returns:
        Measures by name. One that cannot be had is a sentence that says what is missing.

    Raises:
        FileNotFoundError: a file or a model is not there.
        ValueError: a file is damaged, the clip has no sound, or most of its frames show no face.
    """
    frames, rate, track = read_video(clip)
    if track is None:
        raise ValueError("The clip has no sound: lip sync, words and voice are measured on a clip that has.")
    waveform = to_model_waveform(*track)[0].numpy()
    own = OwnClip(to_bytes(frames), float(rate), waveform, text, voice, face_models, syncnet_weights)
    measures: Measures = {}
    for name, measure in MEASURES.items():
        try:
            measures |= measure(own)
        except (NotGivenError, NotInstalledError) as reason:
            measures[name] = f"not measured: {reason}"
    return measures


def _lip_sync(clip: OwnClip) -> Measures:
    if clip.face_models is None:
        raise NotGivenError("give --face-models")
    landmarks = MouthLandmarks(find_mesh(clip.face_models))
    faces = _faces(clip.frames, clip.face_models)
    openings = [
        None if face is None else numpy.array([landmarks.opening(frame, face)])
        for frame, face in zip(tqdm(clip.frames, desc="find the mouth", unit="frame"), faces, strict=True)
    ]
    seconds = min(len(clip.frames) / clip.rate, len(clip.waveform) / SAMPLE_RATE)
    times = numpy.arange(int(seconds * FRAME_RATE)) / FRAME_RATE
    mouth = numpy.interp(times, numpy.arange(len(clip.frames)) / clip.rate, fill_gaps(openings)[:, 0])
    return {"lip_sync": lip_sync(mouth, clip.waveform), "lip_sync_margin": lip_sync_margin(mouth, clip.waveform)}


def _syncnet(clip: OwnClip) -> Measures:
    if clip.face_models is None or clip.syncnet_weights is None:
        raise NotGivenError("give --face-models and --syncnet")
    network = syncnet.load_syncnet(clip.syncnet_weights)
    times = numpy.arange(int(len(clip.frames) / clip.rate * syncnet.FRAME_RATE)) / syncnet.FRAME_RATE
    shown = clip.frames[numpy.minimum((times * clip.rate).round().astype(int), len(clip.frames) - 1)]
    boxes = fill_gaps([None if face is None else face.box for face in _faces(shown, clip.face_models)])
    heard = torchaudio.functional.resample(torch.from_numpy(clip.waveform), SAMPLE_RATE, syncnet.AUDIO_RATE)
    return syncnet.sync_errors(network, syncnet.face_crops(shown, boxes), heard.numpy())


def _words(clip: OwnClip) -> Measures:
    if not clip.text:
        raise NotGivenError("give --text")
    heard = WordRecogniser()(clip.waveform)
    return {"word_error_rate": word_errors(clip.text, heard).rate, "heard": heard}


def _likeness(clip: OwnClip) -> Measures:
    if clip.voice is None:
        raise NotGivenError("give --voice")
    other = to_model_waveform(*read_audio(clip.voice))[0].numpy()
    return {"voice_likeness": speaker_likeness(clip.waveform, other)}


def _naturalness(clip: OwnClip) -> Measures:
    return naturalness(clip.waveform)


MEASURES = {
    "lip_sync": _lip_sync,
    "lse_d": _syncnet,
    "word_error_rate": _words,
    "voice_likeness": _likeness,
    "naturalness": _naturalness,
}
"""What is measured, by the name under which it says why it cannot be."""


def _faces(frames: NDArray[numpy.uint8], face_models: Path) -> list[Face | None]:
    """The speaker's face in each frame.

    Raises:
        ValueError: most frames show none.
    """
    detector = open_detector(find_detector(face_models))
    faces = [detector.largest_face(frame) for frame in tqdm(frames, desc="find the face", unit="frame")]
    seen = sum(face is not None for face in faces)
    if seen < LEAST_SHARE * len(faces):
        raise ValueError(f"Only {seen} of {len(faces)} frames show a face: give a clip of one speaker.")
    return faces


def find_mesh(folder: Path) -> Path:
    """MediaPipe's face mesh in a folder.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not (folder / MESH).is_file():
        raise FileNotFoundError(
            f"{folder} lacks MediaPipe's {MESH}: put it there, or give another folder with --face-models."
        )
    return folder / MESH


def find_detector(folder: Path) -> Path:
    """A face detector of insightface in a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    detectors = sorted(file for pattern in DETECTORS for file in folder.glob(pattern))
    if not detectors:
        raise FileNotFoundError(
            f"{folder} lacks a face detector: put one of insightface ({' or '.join(DETECTORS)}) there, or give "
            "another folder with --face-models."
        )
    return detectors[0]
