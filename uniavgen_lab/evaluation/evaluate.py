"""The command `evaluate`: what the small model reaches on held-out clips, in each of the tasks."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy
import torch

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.config import AUDIO_TOKENS_PER_SECOND
from uniavgen_core.face.lip_sync import mouth_open_area
from uniavgen_core.files import needed
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.media.images import to_bytes
from uniavgen_core.sampling.guidance import AUTO_BLOCK, NO_BLOCK
from uniavgen_core.tasks import TASKS, Extent
from uniavgen_core.tiny.bundle import WEIGHTS_FILE, TinyBundle, load_tiny

from ..pipeline import decode_audio, decode_video
from ..training.ablations import apply_variant, read_variant
from ..training.bundle_file import recorded_mask_iou
from ..training.render import token_mask
from ..world.corpus import SPLITS, CorpusClip, make_clip, partner
from ..world.synthesiser import Synthesiser
from .dialogues import run_dialogues
from .generate import FORMS, Generated, Sampling, generate, source_frames
from .image_measures import identity, mask_iou, psnr
from .lip_sync_ends import shuffled_lip_sync
from .measures import Measures, SpeechJudges, measure_clip, measure_voice, measure_words
from .newcomer_clips import run_newcomer
from .real_people import add_own_clip_arguments, run_own_clip
from .resyncs import run_resyncs
from .retakes import run_retakes
from .tables import CEILING_FILE, measure_in_groups, print_table, summarise, text_table, write_ceiling
from .two_people import run_two_people
from .word_errors import word_error_rate, word_errors

CLIPS = 64


@dataclass(frozen=True)
class EvaluationSettings:
    """What is evaluated."""

    weights: Path
    tasks: tuple[str, ...]
    sampling: Sampling


@dataclass(frozen=True)
class MeasuredClip:
    """A corpus clip: measures by row, and what the floors need of it."""

    rows: Mapping[str, Measures]
    speech: str
    kind: str
    mood: str
    mouth_area: numpy.ndarray
    waveform: numpy.ndarray
    face: numpy.ndarray
    """Mask (T, N) of values 0..1."""


ALONE: dict[str, tuple[Callable[[argparse.Namespace, Sampling], int], str]] = {
    "two-people": (run_two_people, "who speaks of two people, told by a mask"),
    "dialogues": (run_dialogues, "dialogues of two voices, line by line"),
    "resyncs": (run_resyncs, "new lips in videos"),
    "retakes": (run_retakes, "parts of clips made anew with other words"),
    "newcomer": (run_newcomer, "a person of no kind of the world"),
}
"""What is measured by itself: the options' names, and for each what runs and what it measures."""
WITH_FRAMES = "--resyncs, --retakes or --newcomer"


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"), help="clips to measure on")
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS, help="none: real clips alone")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE, help="weights of a small model")
    parser.add_argument("--steps", type=int, default=Sampling.steps)
    parser.add_argument("--shift", type=float, default=Sampling.shift, help="of the noise schedule")
    parser.add_argument("--guidance", default=Sampling.guidance, choices=FORMS)
    parser.add_argument("--video-scale", type=float, default=Sampling.video_scale, help="of guidance")
    parser.add_argument("--audio-scale", type=float, default=Sampling.audio_scale, help="of guidance")
    parser.add_argument(
        "--skip-block",
        type=_skip_block,
        default=Sampling.skip_block,
        metavar="{auto,none,NUMBER}",
        help="the block that guidance's negative pass leaves out",
    )
    parser.add_argument(
        "--trained-with-masks", action="store_true", help="areas that are kept enter clean, for weights trained so"
    )
    for name, (_, help) in ALONE.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"measure {help}, and nothing else")
    parser.add_argument("--frames-to", type=Path, help=f"folder for frames of each clip, with {WITH_FRAMES}")
    parser.add_argument("--lora", type=Path, help="of `train`, for --newcomer: both without it and with it")
    parser.add_argument("--workers", type=int, default=1, help="processes, each of one thread")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON on the last line")
    parser.add_argument("--write-ceiling", action="store_true", help=f"keep the corpus rows in {CEILING_FILE.name}")
    add_own_clip_arguments(parser)


def _skip_block(text: str) -> int:
    named = {"auto": AUTO_BLOCK, "none": NO_BLOCK}
    if text not in named and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no block: give 'auto', 'none' or a number from 0.")
    return named[text] if text in named else int(text)


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Measure, and print a table and, if asked for, one line of JSON.

    Raises:
        ValueError: fewer than two clips, or no such weights.
        NotInstalledError: the corpus or the recogniser needs a library that is not there.
    """
    if arguments.clip is not None:
        return run_own_clip(arguments)
    if arguments.lora and not arguments.newcomer:
        raise ValueError("--lora is for --newcomer: give that too.")
    if arguments.clips < 2:
        raise ValueError("--clips is less than 2: lip sync is measured against shuffled pairs, so give 2 or more.")
    if not arguments.weights.is_file() and arguments.tasks:
        raise ValueError(f"{arguments.weights} is absent: give --weights, or --tasks with nothing after it.")
    require_extras()
    sampling = Sampling(
        steps=arguments.steps,
        shift=arguments.shift,
        guidance=arguments.guidance,
        video_scale=arguments.video_scale,
        audio_scale=arguments.audio_scale,
        skip_block=arguments.skip_block,
        trained_with_masks=arguments.trained_with_masks,
    )
    for name, (run, _) in ALONE.items():
        if getattr(arguments, name.replace("-", "_")):
            return run(arguments, sampling)
    settings = EvaluationSettings(arguments.weights, tuple(arguments.tasks), sampling)
    rows = evaluate(arguments.split, arguments.clips, settings, arguments.workers)
    if arguments.write_ceiling:
        write_ceiling(CEILING_FILE, rows)
    print_table(rows, text_table(rows), arguments.json)
    return 0


def require_extras() -> None:
    """Refuse to start without what the corpus and the recogniser need.

    Raises:
        NotInstalledError: a library is not there.
    """
    needed("espeakng_loader", "to make the corpus speak", "training")
    needed("faster_whisper", "to hear the words of a clip")


def evaluate(split: str, clips: int, settings: EvaluationSettings, workers: int) -> dict[str, dict[str, Any]]:
    """Rows of all tasks; `corpus`, real clips; `codec`, those through picture codec and vocoder; `shuffled`, the floor.

    The same clips, settings and machine give the same rows, with any number of workers.
    """
    # One clip of each pair, so that no two are of one person.
    seeds = SPLITS[split][::2][:clips]
    measured = measure_in_groups(partial(_measure_group, settings), seeds, workers, "evaluate")
    return _rows(measured, recorded_mask_iou(settings.weights))


def _rows(measured: Sequence[MeasuredClip], mask_iou_recorded: float | None) -> dict[str, dict[str, Any]]:
    floor = shuffled_lip_sync([clip.mouth_area for clip in measured], [clip.waveform for clip in measured])
    ceiling = fmean(clip.rows["corpus"]["lip_sync_raw"] for clip in measured)
    rows = {name: summarise([clip.rows[name] for clip in measured], floor, ceiling) for name in measured[0].rows}
    for name in rows.keys() - {"corpus", "codec"}:
        # Training sets the mask free in the end, so the measure is that of the end of its supervised part.
        rows[name]["mask_iou_sampled"] = rows[name]["mask_iou"]
        rows[name]["mask_iou"] = mask_iou_recorded
    rows["shuffled"] = {**_shuffled(measured), "lip_sync_raw": floor}
    return rows


def _shuffled(measured: Sequence[MeasuredClip]) -> dict[str, float | None]:
    """The floor: words and person against those of the next clip, voice, mood and face against those of all others."""
    others = [*measured[1:], measured[0]]
    errors = [
        word_errors(other.speech, clip.rows["corpus"]["heard"]) for clip, other in zip(measured, others, strict=True)
    ]
    pairs = list(permutations(measured, 2))
    return {
        "lip_sync": 0.0,
        "word_error_rate": word_error_rate(errors),
        "timbre": fmean(clip.rows["corpus"]["heard_kind"] == other.kind for clip, other in pairs),
        "emotion": fmean(clip.rows["corpus"]["heard_mood"] == other.mood for clip, other in pairs),
        "mask_iou": fmean(
            mask_iou(clip.face[: len(other.face)], other.face[: len(clip.face)]) for clip, other in pairs
        ),
        "identity": fmean(clip.rows["corpus"]["stranger"] for clip in measured),
        "clips": len(measured),
    }


def _measure_group(settings: EvaluationSettings, seeds: Sequence[int]) -> list[MeasuredClip]:
    variant = read_variant(settings.weights)
    bundle = load_tiny(settings.weights, lambda model: apply_variant(model, **variant))
    judges, synthesiser = SpeechJudges(), Synthesiser()
    return [_measure(settings, bundle, judges, synthesiser, seed) for seed in seeds]


def _measure(
    settings: EvaluationSettings, bundle: TinyBundle, judges: SpeechJudges, synthesiser: Synthesiser, seed: int
) -> MeasuredClip:
    clip, other = make_clip(seed, synthesiser), make_clip(partner(seed), synthesiser)
    stranger = make_clip(seed + 2, synthesiser)

    def measure(frames: numpy.ndarray, waveform: numpy.ndarray) -> Measures:
        return measure_clip(frames, waveform, judges, clip.portrait, clip.speech, clip.kind, clip.mood)

    rows = {"corpus": measure(clip.frames, clip.waveform)}
    rows["corpus"]["stranger"] = identity(clip.frames[1:], stranger.portrait)
    if bundle.trained:
        rows["codec"] = _through_codec(bundle, clip, measure)
        rows["corpus"]["psnr"] = rows["codec"]["psnr"]
    for task in settings.tasks:
        made = generate(task, bundle, clip, other, settings.sampling)
        rows[task] = measure_made(task, made, clip, judges)
    return MeasuredClip(
        rows=rows,
        speech=clip.speech,
        kind=clip.kind,
        mood=clip.mood,
        mouth_area=mouth_open_area(clip.frames),
        waveform=clip.waveform,
        face=token_mask(torch.from_numpy(clip.face_mask)).numpy(),
    )


@torch.no_grad()
def _through_codec(
    bundle: TinyBundle, clip: CorpusClip, measure: Callable[[numpy.ndarray, numpy.ndarray], Measures]
) -> Measures:
    """A corpus clip encoded and decoded: the most that a model of this codec and vocoder could reach."""
    latent = bundle.codec.encode_frames(torch.from_numpy(clip.frames).float() / 255)
    frames = to_bytes(decode_video(bundle, latent))
    mel = normalise_mel(log_mel(torch.from_numpy(clip.waveform)))
    waveform = decode_audio(mel.view(1, 1, *mel.shape))[0].numpy()
    return {**measure(frames, waveform), "psnr": psnr(frames, clip.frames)}


def measure_made(task: str, made: Generated, clip: CorpusClip, judges: SpeechJudges) -> Measures:
    """Measures of what was made; those of a part that was given are left out.

    Args:
        made: the corpus clip `clip`, made anew in the task.
    """
    if TASKS[task].video is Extent.STILL:
        return measure_voice(made.waveform, judges, clip.kind, clip.mood) | _words(made, clip, judges)
    frames, waveform = made.frames, made.waveform
    if TASKS[task].has_past:
        frames, waveform = made.made()
    measures = measure_clip(frames, waveform, judges, clip.portrait, kind=clip.kind, mood=clip.mood)
    measures["mask_iou"] = made.mask_iou
    if TASKS[task].generates_audio:
        measures |= _words(made, clip, judges)
    else:
        del measures["timbre"], measures["emotion"]
    if TASKS[task].generates_video:
        kept = numpy.array(made.kept_frames)
        measures["psnr"] = psnr(made.frames[kept], source_frames(task, clip)[kept])
    else:
        del measures["identity"], measures["motion"]
    return measures


def _words(made: Generated, clip: CorpusClip, judges: SpeechJudges) -> Measures:
    """The recogniser hears what is kept as well, as a word may begin in it, but its words do not count."""
    measures = measure_words(made.waveform, judges, clip.speech)
    if "words" in measures and any(made.kept.audio):
        start, end = (token / AUDIO_TOKENS_PER_SECOND for token in (made.made_tokens.start, made.made_tokens.stop))
        made_share = fmean(start <= phoneme.start < end for phoneme in clip.phonemes)
        measures["words"] = max(1, round(measures["words"] * made_share))
    return measures
