"""The measures on people's own clips, as far as their models are there."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy
import torch
import torchaudio.functional
from tqdm import tqdm

from ..audio.mel import to_model_waveform
from ..config import FRAME_RATE, SAMPLE_RATE
from ..media import Source, read_audio, read_video
from . import syncnet
from .extras import NotInstalledError
from .faces import FaceFinder
from .lip_sync import lip_sync, lip_sync_margin
from .measures import Measures
from .mouth_landmarks import MouthLandmarks
from .voices import naturalness, speaker_likeness
from .words import Recogniser, word_errors

LEAST_SHARE = 0.5
"""Of the frames, as many must show a face."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options for a clip of one's own."""
    group = parser.add_argument_group("a clip of your own, instead of the corpus")
    group.add_argument("--clip", type=Path, help="a video with sound")
    group.add_argument("--text", help="what is said in it (English)")
    group.add_argument("--voice", type=Path, help="another recording of the same voice")
    group.add_argument(
        "--face-models", type=Path, help="folder of MediaPipe's face_landmark.onnx and a detector of insightface"
    )
    group.add_argument("--syncnet", type=Path, help="SyncNet's weights, syncnet_v2.model")


def run(arguments: argparse.Namespace) -> int:
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
        face_models: folder of what `FaceFinder` and `MouthLandmarks` need; None leaves lip sync out.
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
    sound = to_model_waveform(*track)[0].numpy()
    pictures = frames.mul(255).round().byte().numpy()
    plan: dict[str, tuple[str, object]] = {
        "lip_sync": ("--face-models", face_models and partial(_lip_sync, pictures, float(rate), sound, face_models)),
        "lse_d": (
            "--face-models and --syncnet",
            face_models
            and syncnet_weights
            and partial(_syncnet, pictures, float(rate), sound, face_models, syncnet_weights),
        ),
        "word_error_rate": ("--text", text and partial(_words, sound, text)),
        "voice_likeness": ("--voice", voice and partial(_likeness, sound, voice)),
        "naturalness": ("--clip", partial(naturalness, sound)),
    }
    measures: Measures = {}
    for name, (option, measure) in plan.items():
        measures |= _attempt(name, measure) if callable(measure) else {name: f"not measured: give {option}"}
    return measures


def _attempt(name: str, measure: Callable[[], Measures]) -> Measures:
    """A measure, or why it cannot be had."""
    try:
        return measure()
    except NotInstalledError as error:
        return {name: f"not measured: {error}"}


def _lip_sync(frames: numpy.ndarray, rate: float, sound: numpy.ndarray, face_models: Path) -> Measures:
    find, landmarks = FaceFinder(face_models), MouthLandmarks(face_models)
    openings = []
    for frame in tqdm(frames, desc="find the mouth", unit="frame"):
        face = find(frame)
        openings.append(numpy.full(1, numpy.nan) if face is None else numpy.array([landmarks.opening(frame, *face)]))
    opening = fill_gaps(numpy.stack(openings))[:, 0]
    seconds = min(len(frames) / rate, len(sound) / SAMPLE_RATE)
    times = numpy.arange(int(seconds * FRAME_RATE)) / FRAME_RATE
    mouth = numpy.interp(times, numpy.arange(len(frames)) / rate, opening)
    return {"lip_sync": lip_sync(mouth, sound), "lip_sync_margin": lip_sync_margin(mouth, sound)}


def _syncnet(frames: numpy.ndarray, rate: float, sound: numpy.ndarray, face_models: Path, weights: Path) -> Measures:
    network, find = syncnet.load_syncnet(weights), FaceFinder(face_models)
    times = numpy.arange(int(len(frames) / rate * syncnet.FRAME_RATE)) / syncnet.FRAME_RATE
    shown = frames[numpy.minimum((times * rate).round().astype(int), len(frames) - 1)]
    boxes = []
    for frame in tqdm(shown, desc="find the face", unit="frame"):
        face = find(frame)
        boxes.append(numpy.full(4, numpy.nan) if face is None else face[0])
    faces = syncnet.face_pictures(shown, fill_gaps(numpy.stack(boxes)))
    heard = torchaudio.functional.resample(torch.from_numpy(sound), SAMPLE_RATE, syncnet.SOUND_RATE)
    return syncnet.sync_errors(network, faces, heard.numpy())


def fill_gaps(values: numpy.ndarray) -> numpy.ndarray:
    """Values (F, n) with rows of NaN replaced by what lies between their neighbours.

    Raises:
        ValueError: most rows are NaN, which are frames without a face.
    """
    seen = numpy.flatnonzero(~numpy.isnan(values[:, 0]))
    if len(seen) < LEAST_SHARE * len(values):
        raise ValueError(f"Only {len(seen)} of {len(values)} frames show a face: give a clip of one speaker.")
    everywhere = numpy.arange(len(values))
    return numpy.stack([numpy.interp(everywhere, seen, column[seen]) for column in values.T], axis=1)


def _words(sound: numpy.ndarray, text: str) -> Measures:
    heard = Recogniser()(sound)
    return {"word_error_rate": word_errors(text, heard).rate, "heard": heard}


def _likeness(sound: numpy.ndarray, voice: Source) -> Measures:
    other = to_model_waveform(*read_audio(voice))[0].numpy()
    return {"voice_likeness": speaker_likeness(sound, other)}
