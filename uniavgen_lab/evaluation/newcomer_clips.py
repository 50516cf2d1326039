"""A person whom the small model does not know, before and after a LoRA of ten clips: looks, voice, lips and words.

Other clips of the same person than those of training are made anew from their portrait, caption and words. No reference
voice is given: how the person sounds is what the caption's name stands for.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy
import torch
import torchaudio.functional
from torch import Tensor

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.audio.voice import loud_db, token_level_db
from uniavgen_core.config import SAMPLE_RATE
from uniavgen_core.face.lip_sync import lip_sync, mouth_open_area
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.media.images import to_bytes
from uniavgen_core.tiny.bundle import TinyBundle, load_tiny

from ..contact_sheet import contact_sheet
from ..pipeline import decode_audio, decode_video
from ..training.lora import merge_lora
from ..world.corpus import SPLITS, CorpusClip, make_clip, partner
from ..world.synthesiser import Synthesiser
from .generate import Sampling, generate
from .image_measures import identity
from .measures import Measures, SpeechJudges, measure_words
from .tables import markdown_table, measure_in_groups, print_table, summarise

REAL, BEFORE, AFTER = "real clips, encoded and decoded", "before", "with the LoRA"
COLUMNS = {
    "identity": ("identity, dB", "{:.1f}"),
    "spectrum": ("spectrum, dB", "{:.1f}"),
    "pitch": ("pitch, semitones", "{:.1f}"),
    "lip_sync_raw": ("correlation of the lips", "{:.2f}"),
    "word_error_rate": ("word error", "{:.2f}"),
}
"""Of the table; all but the lips and the likeness of the picture are the smaller the better."""
VOICED_DB = 20.0
"""Below the loud parts, a voice is not judged."""
DECIBELS = 20 / math.log(10)
"""Of a unit of a natural log-mel."""
LOWEST, HIGHEST = 60, 500
"""Hz between which the pitch is sought."""


@dataclass(frozen=True)
class _Way:
    """How a group of clips is made and where its pictures go."""

    weights: Path
    lora: Path | None
    sampling: Sampling
    sheets: Path | None


def run_newcomer(arguments: argparse.Namespace, sampling: Sampling) -> int:
    """Measure, and print a table and, if asked for, one line of JSON."""
    seeds = SPLITS[arguments.split][::2][: arguments.clips]
    way = _Way(arguments.weights, arguments.lora, sampling, arguments.frames_to)
    measured = measure_in_groups(partial(_measure_newcomers, way), seeds, arguments.workers, "newcomer")
    rows = {name: summarise_newcomers([clip[name] for clip in measured]) for name in measured[0]}
    print_table(rows, newcomer_table(rows), arguments.json)
    return 0


def summarise_newcomers(clips: Sequence[Measures]) -> dict[str, float | None]:
    """One row: means, and the word error over all words."""
    voice = {key: fmean(clip[key] for clip in clips) for key in ("spectrum", "pitch")}
    row = summarise(clips, floor=0.0, ceiling=1.0)
    return {**{key: row.get(key) for key in COLUMNS}, **voice, "clips": len(clips)}


def newcomer_table(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """Rows by name as a table in Markdown."""
    lines = [
        (name, *("–" if row[key] is None else form.format(row[key]) for key, (_, form) in COLUMNS.items()))
        for name, row in rows.items()
    ]
    return markdown_table(("", *(heading for heading, _ in COLUMNS.values())), lines, numbers=True)


def spectrum_distance(waveform: numpy.ndarray, other: numpy.ndarray) -> float:
    """Decibels between the mean spectra of two equally loud voices (samples at 24 kHz), the mean of all mel bands."""
    first, second = (_mean_spectrum(torch.from_numpy(x)) for x in (waveform, other))
    difference = first - second
    return float((difference - difference.mean()).abs().mean())


def _mean_spectrum(waveform: Tensor) -> Tensor:
    """Decibels (80) of a voice's loud tokens."""
    mel = log_mel(waveform.unsqueeze(0))[0]
    loud = token_level_db(mel) > loud_db(mel) - VOICED_DB
    return DECIBELS * mel[loud].mean(dim=0)


def pitch_distance(waveform: numpy.ndarray, other: numpy.ndarray) -> float:
    """Semitones between the median pitches of two voices (samples at 24 kHz)."""
    return abs(12 * math.log2(_pitch(waveform) / _pitch(other)))


def _pitch(waveform: numpy.ndarray) -> float:
    tones = torchaudio.functional.detect_pitch_frequency(
        torch.from_numpy(waveform).unsqueeze(0), SAMPLE_RATE, freq_low=LOWEST, freq_high=HIGHEST
    )
    return float(tones.median())


def _measure_newcomers(way: _Way, seeds: Sequence[int]) -> list[dict[str, Measures]]:
    bundles = {BEFORE: load_tiny(way.weights)}
    if way.lora is not None:
        bundles[AFTER] = load_tiny(way.weights)
        merge_lora(bundles[AFTER].model, way.lora)
    judges, synthesiser = SpeechJudges(), Synthesiser()
    return [_measure_newcomer(way, bundles, judges, synthesiser, seed) for seed in seeds]


def _measure_newcomer(
    way: _Way, bundles: Mapping[str, TinyBundle], judges: SpeechJudges, synthesiser: Synthesiser, seed: int
) -> dict[str, Measures]:
    clip, other = (make_clip(number, synthesiser, newcomer=True) for number in (seed, partner(seed)))
    made = {REAL: _through_codecs(bundles[BEFORE], clip)}
    for name, bundle in bundles.items():
        new = generate("joint", bundle, clip, other, way.sampling)
        made[name] = new.frames, new.waveform
    if way.sheets is not None:
        _write_sheets(way.sheets / str(seed), made)
    return {name: _measures(frames, waveform, clip, judges) for name, (frames, waveform) in made.items()}


def _measures(frames: numpy.ndarray, waveform: numpy.ndarray, clip: CorpusClip, judges: SpeechJudges) -> Measures:
    return {
        "identity": identity(frames[1:], clip.portrait),
        "spectrum": spectrum_distance(waveform, clip.waveform),
        "pitch": pitch_distance(waveform, clip.waveform),
        "lip_sync_raw": lip_sync(mouth_open_area(frames), waveform),
        **measure_words(waveform, judges, clip.speech),
    }


@torch.no_grad()
def _through_codecs(bundle: TinyBundle, clip: CorpusClip) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The clip's frames and waveform, encoded and decoded."""
    latent = bundle.codec.encode_frames(torch.from_numpy(clip.frames).float() / 255)
    mel = normalise_mel(log_mel(torch.from_numpy(clip.waveform)))
    return to_bytes(decode_video(bundle, latent)), decode_audio(mel.view(1, 1, *mel.shape))[0].numpy()


def _write_sheets(folder: Path, made: Mapping[str, tuple[numpy.ndarray, numpy.ndarray]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (frames, waveform) in made.items():
        sheet = contact_sheet(torch.from_numpy(frames).float() / 255, torch.from_numpy(waveform))
        sheet.save(folder / f"{name.split(',')[0].replace(' ', '_')}.png")
