"""What a resync reaches on corpus clips: new lips in a video, for another sound of the same person or for other words.

Of the two clips of a person the longer one is the video; the shorter one's sound is the new recording, and its words
are the new words. The region from the middle of the face to below the chin is made anew and pasted back.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from uniavgen_core.audio.mel import log_mel, peak_scale
from uniavgen_core.config import FRAME_RATE, SAMPLES_A_FRAME, audio_tokens, pixel_frames
from uniavgen_core.face.lip_sync import lip_sync, mouth_open_area
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.media.images import to_bytes
from uniavgen_core.media.pasting import paste_back
from uniavgen_core.media.region import Region, region_of
from uniavgen_core.media.video import VideoInMemory
from uniavgen_core.media.waveforms import fit_audio
from uniavgen_core.model_rates import region_images
from uniavgen_core.sampling.euler import Clip, Condition
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tasks import kept_of_region
from uniavgen_core.tiny.bundle import TinyBundle, load_tiny
from uniavgen_core.tiny.canvas import SIZE

from ..pipeline import condition, decode_audio, decode_video, sample_clip
from ..world.corpus import SPLITS, CorpusClip, make_clip, partner
from ..world.synthesiser import Synthesiser
from .generate import LANGUAGE, Sampling
from .image_measures import LEVELS
from .lip_sync_ends import share, shuffled_lip_sync
from .measures import SpeechJudges, measure_words
from .tables import measure_in_groups, print_table, table_of_columns
from .word_errors import WordErrors, word_error_rate

SHEET_FRAMES = 8
NOSE, CHIN = 0.5, 0.12
"""A mouth's region goes from here in the height of the face to so far below it, which a chin is lowered by."""
CHEEK = 8
"""Pixels by which it is narrower there than the face."""
RECORDING, WORDS = ROWS = ("new recording", "new words")
COLUMNS = {
    "lip_sync": "lip sync, share of floor to ceiling",
    "lip_sync_raw": "correlation",
    "unchanged": "the lips that were there",
    "shuffled": "floor: mouths with other clips' sound",
    "ceiling": "ceiling: real clips",
    "outside": "pixels outside the region that are the user's",
    "region": "region's share of the picture",
    "drift": "kept tokens before pasting, levels",
    "codec": "the same through the codec alone",
    "grain": "grain in the region over that of the codec",
    "edge": "step at the region's edge beyond the video's own, levels",
    "word_error_rate": "word error",
    "timbre": "the voice is of its kind",
}


@dataclass(frozen=True)
class Resync:
    """A video of the corpus and what is said in it now."""

    video: CorpusClip
    said: CorpusClip
    region: Region
    has_recording: bool

    @property
    def waveform(self) -> Tensor:
        """The recording (samples) at 24 kHz, as long as the video."""
        return fit_audio(torch.from_numpy(self.said.waveform), len(self.video.frames) * SAMPLES_A_FRAME)


def run_resyncs(arguments: argparse.Namespace, sampling: Sampling) -> int:
    """Measure, and print a table and, if asked for, one line of JSON; frames go to a folder that is named."""
    work = partial(_measure_group, arguments.weights, sampling, arguments.frames_to)
    seeds = SPLITS[arguments.split][::2][: arguments.clips]
    measured = measure_in_groups(work, seeds, arguments.workers, "resyncs")
    floor = shuffled_lip_sync([clip["mouth"] for clip in measured], [clip["waveform"] for clip in measured])
    ceiling = fmean(lip_sync(clip["mouth"], clip["waveform"]) for clip in measured)
    rows = {name: _summary([clip[name] for clip in measured], floor, ceiling) for name in ROWS}
    print_table(rows, _resync_table(rows), arguments.json)
    return 0


def _resync_table(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """Measures as lines and rows as columns of a table in Markdown."""
    return table_of_columns(rows, COLUMNS, ".3g")


def _summary(clips: Sequence[Mapping[str, Any]], floor: float, ceiling: float) -> dict[str, float | None]:
    """One row of many clips, with the correlations of shuffled and of real ones."""
    row: dict[str, float | None] = {}
    for key in COLUMNS:
        values = [clip[key] for clip in clips if key in clip]
        row[key] = fmean(values) if values else None
    counted = [WordErrors(clip["word_errors"], clip["words"]) for clip in clips if "words" in clip]
    row["word_error_rate"] = word_error_rate(counted) if counted else None
    row["shuffled"], row["ceiling"] = floor, ceiling
    row["lip_sync"] = share(row["lip_sync_raw"] or 0.0, floor, ceiling)
    return row


def _measure_group(
    weights: Path, sampling: Sampling, frames_to: Path | None, seeds: Sequence[int]
) -> list[dict[str, Any]]:
    bundle, judges, synthesiser = load_tiny(weights), SpeechJudges(), Synthesiser()
    return [_measure(bundle, judges, synthesiser, sampling, frames_to, seed) for seed in seeds]


def _measure(
    bundle: TinyBundle,
    judges: SpeechJudges,
    synthesiser: Synthesiser,
    sampling: Sampling,
    frames_to: Path | None,
    seed: int,
) -> dict[str, Any]:
    said, video = _pair_of(seed, synthesiser)
    measured: dict[str, Any] = {"mouth": mouth_open_area(said.frames), "waveform": said.waveform}
    for name in ROWS:
        work = Resync(video, said, _mouth_region(video), name == RECORDING)
        made, waveform = _made(bundle, work, sampling)
        frames = _paste(work, made)
        measured[name] = _measure_resync(bundle, judges, work, made, frames, waveform)
        if frames_to is not None:
            _write_sheet(frames_to / f"{seed}_{name.replace(' ', '_')}.png", video.frames, frames)
    return measured


def _pair_of(seed: int, synthesiser: Synthesiser) -> list[CorpusClip]:
    """The shorter and the longer clip of a person: what is said, and the video."""
    return sorted((make_clip(one, synthesiser) for one in (seed, partner(seed))), key=lambda clip: clip.latent_frames)


def _mouth_region(clip: CorpusClip) -> Region:
    """The region of the mouth and the chin of a corpus clip."""
    masks = clip.pictures[1].copy()
    for mask in masks:
        rows = numpy.flatnonzero(mask.any(axis=1))
        top, height = int(rows[0]), len(rows)
        columns = numpy.flatnonzero(mask.any(axis=0))
        mask[: top + round(NOSE * height)] = 0
        mask[top + height : top + round((1 + CHIN) * height), columns[0] + CHEEK : columns[-1] + 1 - CHEEK] = LEVELS
    video = _footage(clip)
    return region_of("mask", torch.from_numpy(masks), video, clip.latent_frames, clip=(SIZE, SIZE))


def _footage(clip: CorpusClip) -> VideoInMemory:
    return VideoInMemory(torch.from_numpy(clip.frames).float() / LEVELS, FRAME_RATE)


def _paste(work: Resync, made: Tensor) -> numpy.ndarray:
    """The video (F, H, W, 3) of bytes with frames (F, H, W, 3) of the region's crop laid on it."""
    pasted = paste_back(_footage(work.video), made, FRAME_RATE, work.region)
    return numpy.stack([to_bytes(frame) for frame in pasted])


@torch.no_grad()
def _ask(bundle: TinyBundle, work: Resync) -> tuple[Clip, Condition, Condition]:
    """The clip to sample, and what the positive and the negative pass are told."""
    video = bundle.codec.encode_frames(region_images(_footage(work.video), work.region, len(work.video.frames)).float())
    tokens = audio_tokens(pixel_frames(video.shape[2]))
    mel = normalise_mel(log_mel(peak_scale(work.waveform[None])))[:, :tokens].unsqueeze(1)
    clip = Clip(
        video=video,
        audio=mel,
        kept=kept_of_region(work.region.kept_video(), tokens, work.has_recording),
        reference_image=video[:, :, :1],
    )
    reader = SpeechReader()
    caption = work.video.caption
    positive = condition(bundle, caption, reader.positive_symbols(work.said.speech, LANGUAGE))
    return clip, positive, condition(bundle, "", reader.negative_symbols(LANGUAGE))


def _made(bundle: TinyBundle, work: Resync, how: Sampling) -> tuple[Tensor, numpy.ndarray]:
    """Frames (F, H, W, 3) of the region's crop, and the sound (samples) that goes with them."""
    clip, positive, negative = _ask(bundle, work)
    video, audio = sample_clip(
        bundle, clip, positive, negative,
        seed=work.video.seed, steps=how.steps, shift=how.shift, guidance=how.settings(), sampler=how.sampler(),
    )  # fmt: skip
    heard = work.waveform if work.has_recording else decode_audio(audio)[0]
    return decode_video(bundle, video), heard.numpy()


def _measure_resync(
    bundle: TinyBundle,
    judges: SpeechJudges,
    work: Resync,
    made: Tensor,
    frames: numpy.ndarray,
    waveform: numpy.ndarray,
) -> dict[str, float]:
    """What a resync reaches: COLUMNS by their keys, as far as one clip tells.

    Args:
        made: frames (F, H, W, 3) of the region's crop.
        frames: (F, H, W, 3) of bytes, pasted back.
        waveform: what is heard, at 24 kHz.
    """
    own, outside = work.video.frames, _outside(work.region)
    kept = _kept_pixels(work.region)
    same = (frames == own).all(axis=-1)
    codec = decode_video(bundle, bundle.codec.encode_frames(torch.from_numpy(own).float() / LEVELS))
    codec_frames = to_bytes(codec)
    measures = {
        "lip_sync_raw": lip_sync(mouth_open_area(frames), waveform),
        "unchanged": lip_sync(mouth_open_area(own), waveform),
        "outside": float(same[outside].mean()),
        "region": 1 - float(outside.mean()),
        "drift": _difference(to_bytes(made), own, kept),
        "codec": _difference(codec_frames, own, kept),
        "grain": _grain(frames, ~outside) / _grain(codec_frames, ~outside),
        "edge": _edge(frames, outside) - _edge(own, outside),
    }
    if not work.has_recording:
        measures |= measure_words(waveform, judges, work.said.speech)
        measures["timbre"] = float(judges.judge(waveform)["kind"] == work.video.kind)
    return measures


def _outside(region: Region) -> numpy.ndarray:
    """Whether each pixel (F, H, W) of the clip is the user's."""
    weights = region.weights[:, None].float()
    return (torch.nn.functional.interpolate(weights, (SIZE, SIZE), mode="bilinear")[:, 0] == 0).numpy()


def _kept_pixels(region: Region) -> numpy.ndarray:
    """Whether each pixel (F, H, W) of the clip is of a token that the model keeps."""
    side = int((SIZE / 32) ** 2)
    frames = [[one] * side if isinstance(one, bool) else one for one in region.kept_video()]
    tokens = torch.tensor(frames).float().unflatten(1, (1, SIZE // 32, SIZE // 32))
    pixels = torch.nn.functional.interpolate(tokens, (SIZE, SIZE))[:, 0]
    return torch.cat((pixels[:1], pixels[1:].repeat_interleave(4, dim=0))).bool().numpy()


def _difference(frames: numpy.ndarray, own: numpy.ndarray, where: numpy.ndarray) -> float:
    """Mean absolute difference in levels of 255."""
    return float(numpy.abs(frames.astype(numpy.int16) - own)[where].mean())


def _grain(frames: numpy.ndarray, where: numpy.ndarray) -> float:
    """Mean magnitude by which a pixel differs from the mean of its four neighbours, in levels of 255."""
    grey = frames.mean(axis=-1)
    around = (grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]) / 4
    return float(numpy.abs(grey[:, 1:-1, 1:-1] - around)[where[:, 1:-1, 1:-1]].mean())


def _edge(frames: numpy.ndarray, outside: numpy.ndarray) -> float:
    """Mean difference between neighbouring pixels of a row of which one is the user's, and one is not."""
    at_edge = outside[:, :, 1:] != outside[:, :, :-1]
    return float(numpy.abs(numpy.diff(frames.astype(numpy.int16), axis=2))[at_edge].mean())


def _write_sheet(path: Path, before: numpy.ndarray, after: numpy.ndarray) -> None:
    """Eight frames of a clip in a row, and those of the same times after it under them."""
    shown = numpy.linspace(0, len(before) - 1, SHEET_FRAMES).round().astype(int)
    rows = [numpy.concatenate(list(frames[shown]), axis=1) for frames in (before, after)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.concatenate(rows)).save(path)
