"""The items of Verse-Bench, and the clips that were made of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
import torch
import torchaudio.functional
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from uniavgen_core.files import parsed_json
from uniavgen_core.media.images import to_bytes
from uniavgen_core.media.track import whole_track
from uniavgen_core.media.video import VideoFile, frame_count, shown_at
from uniavgen_core.media.waveforms import to_mono

from ..video_files import read_audio, read_video

logger = logging.getLogger(__name__)

SETS = ("set1", "set2", "set3")
"""Folders of the data: made pictures and stills, clips with their original sound, talks."""
WITH_ORIGINAL, TALKS = "set2", "set3"
SOUND_RATE = 16_000
"""Samples a second of the benchmark's own sound files."""
VIDEO, SOUND, IMAGE, ORIGINAL, PROMPTS = "video", "sound", "image", "original", "prompts"
"""The files of an item, by what they are."""


@dataclass(frozen=True)
class BenchItem:
    """What is to be made: a first frame and up to three texts.

    Attributes:
        folder: of the data, one of SETS.
        sounds: what is to be heard, as texts; None where nothing is said of it. The empty text counts as given.
        speech: the words; empty where nobody speaks.
    """

    name: str
    folder: str
    image: Path
    prompts: Path
    original: Path
    caption: str
    sounds: tuple[str, ...] | None
    speech: str


class MadeItem:
    """The clip of an item; its frames are read once, and gone with it."""

    def __init__(self, item: BenchItem, outputs: Path) -> None:
        self.item = item
        self.video = outputs / f"{item.name}.mp4"
        self.sound = outputs / f"{item.name}.wav"

    def file(self, kind: str) -> Path:
        """One of the files that a measure may depend on; where there is no sound file, its sound is the video's."""
        item = self.item
        return {
            VIDEO: self.video,
            SOUND: self.sound if self.sound.is_file() else self.video,
            IMAGE: item.image,
            ORIGINAL: item.original,
            PROMPTS: item.prompts,
        }[kind]

    @cached_property
    def _video(self) -> tuple[NDArray[numpy.uint8], Fraction]:
        frames, rate, _ = read_video(self.video)
        return to_bytes(frames), rate

    @property
    def frames(self) -> NDArray[numpy.uint8]:
        """(F, height, width, 3)."""
        return self._video[0]

    @property
    def rate(self) -> float:
        """Frames a second."""
        return float(self._video[1])

    def frames_at(self, rate: int) -> NDArray[numpy.uint8]:
        """Those that are shown at another rate, as `shown_at` says."""
        frames, own_rate = self._video
        shown = [int(shown_at(index, rate) * own_rate) for index in range(frame_count(len(frames) / own_rate, rate))]
        return frames[numpy.minimum(shown, len(frames) - 1)]

    def video_sound(self, rate: int) -> NDArray[numpy.float32]:
        """The video's own sound (samples) at a rate.

        Raises:
            ValueError: it has none.
        """
        with VideoFile(self.video).track() as track:
            if track is None:
                raise ValueError(f"{self.video.name} has no sound")
            return _at_rate(whole_track(track), track.sample_rate, rate)

    def heard(self, rate: int) -> NDArray[numpy.float32]:
        """The sound (samples) at a rate, mono: the sound file's, or else the video's as 16 kHz hold it."""
        if self.sound.is_file():
            return _at_rate(*read_audio(self.sound), rate)
        return _at_rate(torch.from_numpy(self.video_sound(SOUND_RATE))[None, None], SOUND_RATE, rate)

    def original_sound(self, rate: int) -> NDArray[numpy.float32]:
        """The original sound (samples) at a rate, mono."""
        return _at_rate(*read_audio(self.item.original), rate)

    @cached_property
    def first_frame(self) -> NDArray[numpy.uint8]:
        """The item's image (height, width, 3)."""
        with Image.open(self.item.image) as image:
            return numpy.asarray(image.convert("RGB"))


def read_items(data: Path) -> tuple[list[BenchItem], dict[str, str]]:
    """All items of the data set's folder, and those that cannot be read, each with the reason.

    Raises:
        ValueError: the folder holds none.
    """
    files = [file for folder in SETS for file in sorted((data / folder).glob("*.json"))]
    if not files:
        raise ValueError(f"{data} holds no NAME.json in {', '.join(SETS)}: give the folder of Verse-Bench's data set.")
    items, broken = list[BenchItem](), dict[str, str]()
    for file in files:
        try:
            items.append(_item(file))
        except (ValueError, OSError) as error:
            broken[f"{file.parent.name}/{file.stem}"] = str(error)
    return items, broken


def _item(file: Path) -> BenchItem:
    try:
        said = parsed_json(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file.name} is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise ValueError(f"{file.name} holds no prompts")
    speech, sounds = said.get("speech_prompt") or {}, said.get("audio_prompt") or []
    if isinstance(sounds, str):
        sounds = [sounds]
    if not isinstance(sounds, list):
        raise ValueError(f"{file.name} has no list of texts in audio_prompt")
    return BenchItem(
        name=file.stem,
        folder=file.parent.name,
        image=file.with_suffix(".jpg"),
        prompts=file,
        original=file.with_suffix(".wav"),
        caption=_text(file, "video_prompt", said.get("video_prompt")),
        sounds=tuple(_text(file, "audio_prompt", sound) for sound in sounds) or None,
        speech=_text(file, "speech_prompt", speech.get("text") if isinstance(speech, dict) else speech).strip(),
    )


def _text(file: Path, entry: str, value: Any) -> str:
    if not isinstance(value, str | None):
        raise ValueError(f"{file.name} has no text in {entry}")
    return value or ""


def _at_rate(waveform: Tensor, sample_rate: int, rate: int) -> NDArray[numpy.float32]:
    resampled: NDArray[numpy.float32] = torchaudio.functional.resample(
        to_mono(waveform, sample_rate)[0], sample_rate, rate
    ).numpy()
    return resampled
