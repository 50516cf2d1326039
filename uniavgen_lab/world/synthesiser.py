"""The sound half of the procedural corpus: espeak-ng, through its library, with a voice for each kind and mood.

A voice is not one of espeak's own variants but a voice file written here, so that pitch (in Hz), formants and
steadiness are exactly what the world says.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy
import torch
import torchaudio.transforms

from uniavgen_core.config import SAMPLE_RATE
from uniavgen_core.files import needed

ESPEAK_RATE = 22_050
"""Samples a second of espeak's own sound."""
SILENCE = 10 ** (-50 / 20)
"""Before and after the speech, samples below this part of the peak are trimmed."""
PITCH_JITTER = 0.06
RATE_JITTER = 0.04
FORMANT_JITTER = 0.02
"""A person's own share, at most, of pitch, rate and formants."""
MEDIAN_HEIGHT = 0.65
"""Where half of the pitch lies below, in a voice's range: sentences dwell high and fall at their end."""
STOPS = frozenset(("p", "b", "t", "d", "k", "g", "tS", "dZ"))
LONGEST_CLOSURE = round(0.08 * ESPEAK_RATE)
"""Samples of a stop before it sounds."""

_SYNCHRONOUS = 2
_PHONEME_EVENTS = 1
_DO_NOT_EXIT = 0x8000
_UTF8 = 1
_RATE_PARAMETER = 1
_END_OF_EVENTS = 0
_PHONEME_EVENT = 7
_STRESS = "',%=|"
_VOICE_FILE = """name uniavgen
language en-us
phonemes en-us
dictrules 3 6
stressLength 140 120 190 170 0 0 255 300
stressAmp 17 16 19 19 19 19 21 19
replace 03 I i
replace 03 I2 i
pitch {low} {high}
flutter {flutter}
roughness {roughness}
"""
"""American English as espeak-ng defines it, but for what differs between voices."""


@dataclass(frozen=True)
class Phoneme:
    """A speech sound and its time in seconds. Pauses are no phonemes: they are gaps between them.

    Attributes:
        start, end: seconds from the first sample.
        symbol: espeak-ng's mnemonic without its stress mark ("oU", "t", "3:").
    """

    start: float
    end: float
    symbol: str


@dataclass(frozen=True)
class Speech:
    """A spoken text without silence around it.

    Attributes:
        samples: (n,) float32 at 24 kHz.
        phonemes: in order of time.
    """

    samples: numpy.ndarray
    phonemes: tuple[Phoneme, ...]


@dataclass(frozen=True)
class Voice:
    """How espeak is to speak.

    Attributes:
        low, high: Hz between which the pitch moves.
        formants: frequency of the formants against those of espeak's own man.
        flutter: unsteadiness of the pitch, 2 is usual.
        roughness: difference between one period of the voice and the next, 0 to 7.
        brightness: strength of the third formant and those above it against usual.
        width: bandwidth of the formants against usual.
        words_per_minute: as espeak counts.
        peak: magnitude of the loudest sample.
    """

    low: float
    high: float
    formants: float
    flutter: int
    roughness: int
    brightness: float
    width: float
    words_per_minute: int
    peak: float

    @staticmethod
    def of(kind: str, mood: str, person_seed: int) -> Voice:
        """The voice of a person.

        Args:
            kind: one of the world's KINDS.
            mood: one of the world's MOODS.
            person_seed: the same person has the same voice in every mood.
        """
        throat, manner, random = _THROATS[kind], _MANNERS[mood], Random(f"voice {person_seed}")
        pitch = throat.pitch * manner.pitch * (1 + PITCH_JITTER * random.uniform(-1, 1))
        rate = manner.words_per_minute * (1 + RATE_JITTER * random.uniform(-1, 1))
        return Voice(
            low=pitch * (1 - manner.pitch_range * MEDIAN_HEIGHT),
            high=pitch * (1 + manner.pitch_range * (1 - MEDIAN_HEIGHT)),
            formants=throat.formants * (1 + FORMANT_JITTER * random.uniform(-1, 1)),
            flutter=throat.flutter,
            roughness=throat.roughness,
            brightness=throat.brightness * manner.brightness,
            width=throat.width,
            words_per_minute=round(rate),
            peak=manner.peak,
        )

    def to_file(self) -> str:
        """The text of espeak's voice file."""
        text = _VOICE_FILE.format(
            low=round(self.low), high=round(self.high), flutter=self.flutter, roughness=self.roughness
        )
        for formant in range(1, 9):
            height = 100 * (self.brightness if formant >= 3 else 1)
            text += f"formant {formant} {100 * self.formants:.0f} {height:.0f} {100 * self.width:.0f}\n"
        return text


@dataclass(frozen=True)
class _Throat:
    """What a kind of speaker gives to the voice: median pitch in Hz; see `Voice` for the rest."""

    pitch: float
    formants: float
    flutter: int = 2
    roughness: int = 0
    brightness: float = 1.0
    width: float = 1.0


@dataclass(frozen=True)
class _Manner:
    """What a mood gives to the voice: pitch and brightness against neutral, range as a share of the pitch."""

    pitch: float
    pitch_range: float
    words_per_minute: int
    peak: float
    brightness: float = 1.0


_THROATS = {
    "man": _Throat(102, 0.97),
    "woman": _Throat(212, 1.08),
    "child": _Throat(320, 1.15, width=1.3),
    "grandfather": _Throat(152, 0.92, flutter=12, roughness=2, brightness=0.7),
}
_MANNERS = {
    "neutral": _Manner(1.0, 0.35, 160, 0.6),
    "happy": _Manner(1.07, 0.6, 175, 0.8),
    "angry": _Manner(1.04, 0.25, 175, 0.95, brightness=1.3),
    "sad": _Manner(0.92, 0.1, 138, 0.35, brightness=0.7),
}


class _EventContent(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("content", _EventContent),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Synthesiser:
    """Text to speech with phoneme times. The same text and voice give the same samples, whatever was said before.

    Use one a process, in one thread, with no other user of espeak's library in the process.

    Raises:
        NotInstalledError: espeakng_loader, which brings the library and its data, is not installed.
        OSError: the system is neither Linux nor macOS.
    """

    def __init__(self) -> None:
        espeakng_loader = needed("espeakng_loader", "to make the corpus speak", "training")
        if os.name != "posix":
            raise OSError("The corpus's voices are made on Linux or macOS only: on Windows use WSL.")
        self._library_path = espeakng_loader.get_library_path()
        self._data_path = espeakng_loader.get_data_path()
        self._resample = torchaudio.transforms.Resample(ESPEAK_RATE, SAMPLE_RATE)

    def speak(self, text: str, voice: Voice) -> Speech:
        """Say a text.

        Raises:
            ValueError: there is nothing to say.
            RuntimeError: espeak refuses.
        """
        samples, marks = self._synthesise(text, voice)
        loud = numpy.flatnonzero(numpy.abs(samples) > SILENCE * numpy.abs(samples).max(initial=0))
        if len(loud) == 0:
            raise ValueError(f"There is nothing to say in {text!r}.")
        first, last = int(loud[0]), int(loud[-1]) + 1
        resampled = self._resample(torch.from_numpy(samples[first:last])).numpy()
        phonemes = _phonemes(_with_closures(marks, loud), first, last)
        return Speech(resampled * numpy.float32(voice.peak / numpy.abs(resampled).max()), phonemes)

    def _synthesise(self, text: str, voice: Voice) -> tuple[numpy.ndarray, list[tuple[int, str]]]:
        """espeak's sound, and the sample at which each phoneme or pause begins."""
        chunks: list[numpy.ndarray] = []
        marks: list[tuple[int, str]] = []

        def receive(wave: Any, length: int, events: Any) -> int:
            for event in _until_end(events):
                if event.type == _PHONEME_EVENT:
                    marks.append((event.sample, event.content.string.decode()))
            if length > 0:
                chunks.append(numpy.ctypeslib.as_array(wave, (length,)).astype(numpy.float32))
            return 0

        callback = _Callback(receive)
        with _fresh_library(self._library_path) as library, tempfile.TemporaryFile() as file:
            file.write(voice.to_file().encode())
            file.seek(0)
            rate = library.espeak_Initialize(_SYNCHRONOUS, 0, self._data_path.encode(), _PHONEME_EVENTS | _DO_NOT_EXIT)
            if rate != ESPEAK_RATE:
                raise RuntimeError(f"espeak-ng cannot speak with the data in {self._data_path}: its status is {rate}.")
            library.espeak_SetSynthCallback(callback)
            # By its number, because espeak takes no long path, and none with a plus sign.
            _check(library.espeak_SetVoiceByFile(f"/dev/fd/{file.fileno()}".encode()), "set the voice")
            _check(library.espeak_SetParameter(_RATE_PARAMETER, voice.words_per_minute, 0), "set the rate")
            words = text.encode()
            _check(library.espeak_Synth(words, ctypes.c_size_t(len(words) + 1), 0, 0, 0, _UTF8, None, None), "speak")
            library.espeak_Terminate()
        return numpy.concatenate(chunks) if chunks else numpy.zeros(0, numpy.float32), marks


@contextmanager
def _fresh_library(path: str) -> Iterator[ctypes.CDLL]:
    """The library as it is at the start of a process.

    Its flutter and noise go on from one utterance to the next, even across espeak_Terminate: only unloading the
    library makes them start anew.
    """
    library = ctypes.CDLL(path)
    system = ctypes.CDLL(None)
    system.srand(1)
    try:
        yield library
    finally:
        system.dlclose(ctypes.c_void_p(library._handle))


def _until_end(events: Any) -> Iterator[_Event]:
    index = 0
    while events[index].type != _END_OF_EVENTS:
        yield events[index]
        index += 1


def _check(status: int, deed: str) -> None:
    if status != 0:
        raise RuntimeError(f"espeak-ng could not {deed}: its status is {status}.")


def _with_closures(marks: list[tuple[int, str]], loud: numpy.ndarray) -> list[tuple[int, str]]:
    """Begin stops where the mouth closes: espeak marks where it opens and counts the silence as of the sound before.

    Args:
        marks: sample at which each phoneme or pause begins.
        loud: the samples that are not silent, in order.
    """
    moved: list[tuple[int, str]] = []
    for start, symbol in marks:
        if symbol.strip(_STRESS) in STOPS:
            before = numpy.searchsorted(loud, start)
            closed = int(loud[before - 1]) + 1 if before > 0 else start
            start = max(closed, start - LONGEST_CLOSURE, moved[-1][0] if moved else 0)
        moved.append((start, symbol))
    return moved


def _phonemes(marks: list[tuple[int, str]], first: int, last: int) -> tuple[Phoneme, ...]:
    """Phonemes of the samples from `first` to `last`, in seconds from `first`. Marks are at 22050 Hz."""
    ends = [start for start, _ in marks[1:]] + [last]
    phonemes = []
    for (start, symbol), end in zip(marks, ends, strict=True):
        start, end = max(start, first), min(end, last)
        symbol = symbol.strip(_STRESS)
        if start < end and not symbol.startswith("_"):
            phonemes.append(Phoneme((start - first) / ESPEAK_RATE, (end - first) / ESPEAK_RATE, symbol))
    return tuple(phonemes)
