"""Utterances of real clips: frames and waveform at the model's rates, whole latent frames long."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from uniavgen_core.audio.mel import peak_scale
from uniavgen_core.checks import check_waveform
from uniavgen_core.config import (
    FRAME_RATE,
    HOP_LENGTH,
    SAMPLE_RATE,
    SAMPLES_A_FRAME,
    audio_tokens,
    clip_seconds,
    latent_frames,
    pixel_frames,
    whole_latent_frames,
)
from uniavgen_core.media.frames import stacked
from uniavgen_core.media.images import automatic_size, crop_and_resize
from uniavgen_core.media.video import VideoFile
from uniavgen_core.media.waveforms import fit_audio, mono_at_rate
from uniavgen_core.speech.scripts import check_speech
from uniavgen_core.speech.text import detect_language

from .clip_files import Sentence, UnfitClipError

SHORTEST_LATENT_FRAMES = 4
"""Of an utterance; 0.8 seconds."""


@dataclass(frozen=True)
class Form:
    """What utterances are to be like.

    Attributes:
        latent_frames: at most as many.
        short_side: of the frames in pixels; the other side follows from the clip's aspect.
        size: width and height in pixels of all frames, in place of `short_side`.
        language: of the speech, "en" or "zh"; None finds it out.
    """

    latent_frames: int
    short_side: int
    size: tuple[int, int] | None = None
    language: str | None = None


@dataclass(frozen=True)
class RealClip:
    """A file's frames (F, height, width, 3) at the model's rate, and its waveform (samples) at 24 kHz."""

    frames: Tensor
    waveform: Tensor

    @cached_property
    def loud_waveform(self) -> Tensor:
        """The waveform with its peak scaled."""
        return peak_scale(self.waveform)


@dataclass(frozen=True)
class Utterance:
    """A stretch of a clip in which something is said.

    Attributes:
        latent_frames: its length.
        frames: (F, height, width, 3) of values 0..1.
        waveform: (samples) at 24 kHz, as it is.
        loud_waveform: the same, scaled by one gain for the whole file.
        speech: what is said.
        language: of the speech, "en" or "zh".
    """

    latent_frames: int
    frames: Tensor
    waveform: Tensor
    loud_waveform: Tensor
    speech: str
    language: str


def read_real_clip(path: Path) -> RealClip:
    """Read a video file. Its frames are chosen as those of a user's video are.

    Raises:
        UnfitClipError: it cannot be read, or has no sound.
    """
    try:
        video = VideoFile(path)
        frames = stacked(video.images(*video.size), video.frames)
        with video.track() as track:
            if track is None:
                raise UnfitClipError("it has no sound")
            waveform = torch.cat([*mono_at_rate(track.pieces, track.sample_rate, SAMPLE_RATE)], dim=-1)[0]
    except ValueError as error:
        raise UnfitClipError(str(error)) from error
    return RealClip(frames, waveform)


def cut_utterance(clip: RealClip, sentence: Sentence, form: Form) -> Utterance:
    """The stretch of a clip in which a sentence is said.

    Raises:
        UnfitClipError: it is too short, too long, silent, or its words cannot be said.
    """
    language = form.language or detect_language(sentence.speech)
    start, length = _stretch(len(clip.frames), sentence, form.latent_frames)
    waveform, loud_waveform = (_cut_waveform(whole, start, length) for whole in (clip.waveform, clip.loud_waveform))
    try:
        check_speech(sentence.speech, language)
        check_waveform("its sound", waveform)
    except ValueError as error:
        raise UnfitClipError(str(error)) from error
    height, width = clip.frames.shape[1:3]
    size = form.size or automatic_size(width, height, form.short_side)
    frames = crop_and_resize(clip.frames[start : start + pixel_frames(length)], *size)
    return Utterance(length, frames, waveform, loud_waveform, sentence.speech, language)


def _cut_waveform(waveform: Tensor, start: int, length: int) -> Tensor:
    """The samples of so many latent frames from a frame on, with silence after the clip's end."""
    first = start * SAMPLES_A_FRAME
    samples = audio_tokens(pixel_frames(length)) * HOP_LENGTH
    return fit_audio(waveform[first : first + samples], samples)


def _stretch(frames: int, sentence: Sentence, longest: int) -> tuple[int, int]:
    """First frame and latent frames of a sentence in a clip of so many frames, all at the model's rate.

    A last latent frame that the sentence only begins is taken where the clip has it whole.

    Raises:
        UnfitClipError: the sentence is too short or too long.
    """
    start = round(sentence.start * FRAME_RATE)
    end = frames if sentence.end is None else min(round(sentence.end * FRAME_RATE), frames)
    if whole_latent_frames(end - start) > longest:
        raise UnfitClipError(
            f"it lasts {(end - start) / FRAME_RATE:.2f} s, at most {clip_seconds(longest):.2f} s are wanted: split "
            "what is said into lines that begin with their times, such as [0.0-3.2]"
        )
    length = min(latent_frames(end - start), whole_latent_frames(frames - start), longest)
    if length < SHORTEST_LATENT_FRAMES:
        raise UnfitClipError(f"it is shorter than {clip_seconds(SHORTEST_LATENT_FRAMES):.2f} s")
    return start, length
