"""The samples that come with the pack, in `web/samples/`: people of the small model's world, drawn and spoken large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy
import soundfile
import torch
from PIL import Image

from uniavgen_core.config import FRAME_RATE, HOP_LENGTH, SAMPLE_RATE, audio_tokens, pixel_frames
from uniavgen_core.face.lip_sync import rms_envelope
from uniavgen_core.media.muxing import write_video
from uniavgen_core.tiny import canvas, drawing, features
from uniavgen_core.tiny.drawing import Painter
from uniavgen_core.tiny.people import Person
from uniavgen_core.tiny.pose import Pose
from uniavgen_lab.world.animation import animate
from uniavgen_lab.world.synthesiser import Phoneme, Speech, Synthesiser, Voice

from .model_flow import (
    CLIP,
    CLIP_SIZE,
    CLIP_WORDS,
    OTHER_PERSON,
    OTHER_PORTRAIT,
    OTHER_RECORDING,
    OTHER_WORDS,
    PAIR,
    PERSON,
    PORTRAIT,
    RECORDING,
    RECORDING_WORDS,
)

SMOOTHING = 4
"""Shapes are drawn this many times larger than they are kept."""
PICTURE_SIZE = 768
WOMAN, MAN = ("woman", PERSON), ("man", OTHER_PERSON)
LATENT_FRAMES = 9
"""Of all clips and recordings: 2.06 seconds."""
LEAD = 0.15
"""Seconds before the first word."""
MOOD = "happy"


def draw_samples(folder: Path) -> None:
    """Write all samples."""
    folder.mkdir(exist_ok=True)
    woman, man = (draw_poses(who, [Pose()], PICTURE_SIZE)[0] for who in (WOMAN, MAN))
    _write_picture(folder / PORTRAIT, woman)
    _write_picture(folder / OTHER_PORTRAIT, man)
    _write_picture(folder / PAIR, numpy.concatenate((woman, man), axis=1))
    for file, who, words in ((RECORDING, WOMAN, RECORDING_WORDS), (OTHER_RECORDING, MAN, OTHER_WORDS)):
        sound, _ = speak_words(who, words)
        soundfile.write(folder / file, sound, SAMPLE_RATE, subtype="PCM_16")
    sound, phonemes = speak_words(WOMAN, CLIP_WORDS)
    envelope = envelope_of(sound)
    frames = draw_poses(WOMAN, animate(phonemes, envelope, MOOD, len(envelope), 0), CLIP_SIZE)
    images = torch.from_numpy(frames).float() / 255
    write_video(folder / CLIP, images, FRAME_RATE, torch.from_numpy(sound)[None], SAMPLE_RATE)


def speak_words(who: tuple[str, int], words: str) -> tuple[numpy.ndarray, list[Phoneme]]:
    """A waveform (samples) of the samples' length, and when which sound is heard."""
    speech: Speech = Synthesiser().speak(words, Voice.of(*_voice(who)))
    waveform = numpy.zeros(audio_tokens(pixel_frames(LATENT_FRAMES)) * HOP_LENGTH, dtype=numpy.float32)
    start = round(LEAD * SAMPLE_RATE)
    waveform[start : start + len(speech.samples)] = speech.samples
    return waveform, [Phoneme(p.start + LEAD, p.end + LEAD, p.symbol) for p in speech.phonemes]


def envelope_of(sound: numpy.ndarray) -> numpy.ndarray:
    """How loud a waveform of the samples' length is at each frame, (frames)."""
    return rms_envelope(sound, pixel_frames(LATENT_FRAMES))


def draw_poses(who: tuple[str, int], poses: Sequence[Pose], size: int) -> numpy.ndarray:
    """Pictures (n, size, size, 3) of bytes of a person of this kind and seed, as sharp as they are large."""
    kind, seed = who
    with _drawn_at(size // canvas.SIZE * SMOOTHING):
        painter = Painter(Person.from_seed(seed, kind))
        return numpy.stack([numpy.array(painter.draw_large(pose).reduce(SMOOTHING)) for pose in poses])


@contextmanager
def _drawn_at(oversampling: int) -> Iterator[None]:
    """Everything is drawn this many times larger than the small model's pictures, which it is made for."""
    with ExitStack() as stack:
        for module in (canvas, drawing, features):
            stack.enter_context(patch.object(module, "OVERSAMPLING", oversampling))
        yield


def _voice(who: tuple[str, int]) -> tuple[str, str, int]:
    kind, seed = who
    return kind, MOOD, seed


def _write_picture(file: Path, pixels: numpy.ndarray) -> None:
    Image.fromarray(pixels).save(file, optimize=True)
