"""What a retake and a bridge reach on corpus clips: other words in the middle, put back into the clip.

Of a sentence one or two words become others of their kind. In the row `sound` lips stay, in `picture` the sound, so the
words are those that were there. A bridge says a sentence between a clip of a person and the next one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from random import Random
from statistics import fmean, median

import numpy
import torch
from PIL import Image
from torch import Tensor

from uniavgen_core.config import (
    FRAME_RATE,
    SAMPLE_RATE,
    SAMPLES_A_FRAME,
    TEMPORAL_COMPRESSION,
    latent_frames_for_seconds,
    pixel_frames,
)
from uniavgen_core.editing.given import Edit, bridge_images, bridge_mel, retake_images, retake_mel
from uniavgen_core.editing.replacing import put_back_bridge, put_back_retake
from uniavgen_core.editing.segment import TimeRange, plan_bridge, plan_retake
from uniavgen_core.face.lip_sync import correlation, mouth_open_area, rms_envelope
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.media.images import to_bytes
from uniavgen_core.media.track import AudioTrack, track_of
from uniavgen_core.media.video import VideoInMemory
from uniavgen_core.sampling.euler import Clip
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tiny.bundle import TinyBundle, load_tiny

from ..pipeline import condition, decode_audio, decode_video, sample_clip
from ..world.corpus import SPLITS, CorpusClip, make_clip, partner
from ..world.sentences import (
    ANIMALS,
    COLOURS,
    DEEDS,
    GREETINGS,
    MANY_ANIMALS,
    MOVES,
    NUMBERS,
    PEOPLE,
    words_of,
    write_sentence,
)
from ..world.synthesiser import Synthesiser, Voice
from .generate import LANGUAGE, Sampling
from .lip_sync_ends import share
from .measures import SpeechJudges, measure_words
from .tables import measure_in_groups, print_table, table_of_columns
from .word_errors import WordErrors, word_error_rate

KINDS_OF_WORDS = (NUMBERS[1:], COLOURS, ANIMALS, MANY_ANIMALS, DEEDS, MOVES, GREETINGS, PEOPLE)
MOST_NEW_WORDS = 2
CONTEXT = 2
"""Latent frames that are kept on each side of a range, where the clip has them."""
BESIDE_BRIDGE = 1
"""Latent frames that are kept on each side of a bridge. Clips of the corpus end in silence, and the small model begins
to speak where its segment begins: what it would have said during a silence that is kept is lost."""
SEAM_FRAMES = 4
"""Frames on each side of a seam whose changes it is told beside."""
SEAM_SAMPLES = SAMPLE_RATE // 50
ROWS = ("both", "sound", "picture", "bridge")
SHEET_FRAMES = 8
COLUMNS = {
    "lip_sync": "lip sync, share of floor to ceiling",
    "lip_sync_raw": "correlation",
    "unchanged": "floor: the lips that were there",
    "ceiling": "ceiling: real clips",
    "word_error_rate": "word error",
    "words_before": "floor: the sound that was there",
    "words_real": "ceiling: said by the corpus' voice",
    "timbre": "the voice is of its kind",
    "outside": "frames and samples outside that are the user's",
    "picture_seam": "change at the seam over those beside",
    "colour_seam": "colours at the seam, levels",
    "loudness_seam": "loudness at the seam, dB",
    "waveform_seam": "step of the waveform over those beside",
}


@dataclass(frozen=True)
class NewWords:
    """A sentence of which some words become others, and when those are said in the clip."""

    speech: str
    start: float
    end: float


@dataclass(frozen=True)
class Joined:
    """A clip with a part made anew, and which: frames (F, H, W, 3) of bytes, samples at 24 kHz."""

    frames: numpy.ndarray
    waveform: numpy.ndarray
    made: range
    heard: range
    """Samples that are made anew."""
    speech: str
    said: range | None = None
    """Frames of the part whose words are `speech`; None for all."""


def run_retakes(arguments: argparse.Namespace, sampling: Sampling) -> int:
    """Measure, and print a table and, if asked for, one line of JSON; frames go to a folder that is named."""
    seeds = SPLITS[arguments.split][::2][: arguments.clips]
    work = partial(_measure_group, arguments.weights, sampling, arguments.frames_to)
    measured = measure_in_groups(work, seeds, arguments.workers, "retakes")
    rows = {name: _summary([clip[name] for clip in measured], measured) for name in ROWS}
    rows["real clips"] = _summary([clip["real"] for clip in measured], measured)
    print_table(rows, retake_table(rows), arguments.json)
    return 0


def retake_table(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """Measures as lines and rows as columns of a table in Markdown."""
    return table_of_columns(rows, COLUMNS)


def _summary(clips: Sequence[Mapping[str, float]], measured: Sequence[Mapping]) -> dict[str, float | None]:
    """One row of many clips."""
    row: dict[str, float | None] = {}
    for key in COLUMNS.keys() - {"words_before", "words_real"}:
        values = [clip[key] for clip in clips if key in clip]
        # Ratios of small numbers are not averaged.
        row[key] = (median if key.endswith("_seam") else fmean)(values) if values else None
    for key in ("words", "words_before", "words_real"):
        counted = [WordErrors(clip[key][0], clip[key][1]) for clip in clips if key in clip]  # type: ignore[index]
        name = "word_error_rate" if key == "words" else key
        row[name] = word_error_rate(counted) if counted else None
    floor = fmean(clip["shuffled"] for clip in clips)
    raw, ceiling = row["lip_sync_raw"], fmean(clip["real"]["lip_sync_raw"] for clip in measured)
    row |= {"ceiling": ceiling, "lip_sync": None if raw is None else share(raw, floor, ceiling), "clips": len(clips)}
    return row


def _measure_group(weights: Path, sampling: Sampling, folder: Path | None, seeds: Sequence[int]) -> list[dict]:
    bundle, judges, synthesiser = load_tiny(weights), SpeechJudges(), Synthesiser()
    return [_measure(bundle, judges, synthesiser, sampling, folder, seed) for seed in seeds]


def _measure(
    bundle: TinyBundle,
    judges: SpeechJudges,
    synthesiser: Synthesiser,
    sampling: Sampling,
    folder: Path | None,
    seed: int,
) -> dict[str, dict]:
    clip, following = make_clip(seed, synthesiser), make_clip(partner(seed), synthesiser)
    other = make_clip(seed + 2, synthesiser)
    new = new_words(clip, synthesiser)
    voice = Voice.of(clip.kind, clip.mood, clip.seed // 2)
    said = synthesiser.speak(new.speech, voice).samples
    results = {}
    for name in ROWS:
        if name == "bridge":
            joined = make_bridge(bundle, clip, following, synthesiser, sampling)
            given_frames = given_waveform = None
        else:
            joined = remake_range(bundle, clip, new, name, sampling)
            given_frames, given_waveform = clip.frames, clip.waveform
        measures = _measures(joined, judges, clip, other)
        if given_frames is not None and given_waveform is not None:
            measures["outside"] = _untouched(joined, given_frames, given_waveform)
            measures["unchanged"] = _sync(given_frames, joined.waveform, joined.made)
            measures["words_before"] = _counted(given_waveform, judges, joined.speech)
            if name == "both":
                measures["words_real"] = _counted(said, judges, joined.speech)
        else:
            measures["outside"] = _untouched_ends(joined, clip, following)
        results[name] = measures
        if folder is not None:
            _save_sheet(folder / f"{name}_{seed}.png", joined, given_frames)
    made = _real(clip, new)
    results["real"] = _measures(made, judges, clip, other)
    if folder is not None:
        (folder / f"{seed}.json").write_text(json.dumps(results), encoding="utf-8")
    return results


def new_words(clip: CorpusClip, synthesiser: Synthesiser) -> NewWords:
    """Other words for one or two in the middle of a clip's sentence, as long as they are more or less."""
    random = Random(f"new words {clip.seed}")
    words = words_of(clip.speech)
    kinds = [next((kind for kind in KINDS_OF_WORDS if word in kind), None) for word in words]
    # Inner words first, then the last, then the first one.
    order = [*range(1, len(words) - 1), len(words) - 1, 0]
    first = next(index for index in order if kinds[index])
    last = first
    if last + 2 < len(words) and kinds[last + 1] and MOST_NEW_WORDS > 1:
        last += 1
    changed = list(words)
    for index in range(first, last + 1):
        others = [word for word in kinds[index] or () if word != words[index]]
        random.shuffle(others)
        changed[index] = min(others, key=lambda word, old=words[index]: abs(len(word) - len(old)))  # type: ignore[misc]
    starts = _word_starts(clip, words, synthesiser)
    return NewWords(write_sentence(" ".join(changed)), starts[first], starts[last + 1])


def _word_starts(clip: CorpusClip, words: Sequence[str], synthesiser: Synthesiser) -> list[float]:
    """Seconds at which each word of a clip begins, and at which the last one ends."""
    voice = Voice.of(clip.kind, clip.mood, clip.seed // 2)
    counts = [len(synthesiser.speak(word, voice).phonemes) for word in words]
    ends = numpy.cumsum(counts) * len(clip.phonemes) / sum(counts)
    starts = [0, *(min(len(clip.phonemes) - 1, round(float(end))) for end in ends[:-1])]
    return [*(clip.phonemes[index].start for index in starts), clip.phonemes[-1].end]


def remake_range(bundle: TinyBundle, clip: CorpusClip, new: NewWords, parts: str, sampling: Sampling) -> Joined:
    """A corpus clip with other words, or with its own ones where one half of it stays.

    Args:
        parts: `both`, `sound` or `picture`.
    """
    speech = new.speech if parts == "both" else clip.speech
    video, waveform = _footage(clip)
    wanted = TimeRange(new.start, new.end, picture=parts != "sound", sound=parts != "picture")
    segment = plan_retake(video.frames, video.seconds, wanted, float(video.seconds), CONTEXT)
    mel, gain = retake_mel(_track(clip), segment)
    images = retake_images(video, segment, *video.size)
    edit = Edit(segment, gain)
    frames, sound = _sampled(bundle, clip, edit, images, mel, speech, sampling)
    result = put_back_retake(video, _track(clip), edit, frames, sound)
    joined = torch.cat([*result.pieces(track_of(waveform, SAMPLE_RATE))], dim=-1)[0]
    heard = range(*(round(second * SAMPLE_RATE) for second in segment.sound_seconds)) if segment.audio else range(0)
    made = range(*(round(second * FRAME_RATE) for second in segment.picture_seconds)) if segment.video else range(0)
    shown = made or range(heard.start // SAMPLES_A_FRAME, -(-heard.stop // SAMPLES_A_FRAME))
    pictures = to_bytes(result.images(video.stored, Fraction(FRAME_RATE)))
    return Joined(pictures, joined.numpy(), shown, heard, speech)


def make_bridge(
    bundle: TinyBundle, clip: CorpusClip, following: CorpusClip, synthesiser: Synthesiser, sampling: Sampling
) -> Joined:
    """Two clips of a person with a sentence between them, as long as the corpus' voice takes for it."""
    (before, _), (after, _) = _footage(clip), _footage(following)
    random, kept = Random(f"bridge {clip.seed}"), BESIDE_BRIDGE
    words = random.choice(NUMBERS[1:]), random.choice(COLOURS), random.choice(MANY_ANIMALS)
    between = write_sentence(" ".join(words))
    spoken = synthesiser.speak(between, Voice.of(clip.kind, clip.mood, clip.seed // 2)).samples
    length = 2 * kept + latent_frames_for_seconds(len(spoken) / SAMPLE_RATE)
    segment = plan_bridge(before.frames, length, kept, after.seconds)
    mel, gains = bridge_mel(_track(clip), _track(following), before.frames, segment)
    images = bridge_images(before, after, segment, *before.size)
    heard = (
        _heard_within(clip, synthesiser, float(segment.start), clip.seconds),
        _heard_within(following, synthesiser, 0.0, kept * TEMPORAL_COMPRESSION / FRAME_RATE),
    )
    kept_words = [f"{' '.join(words)}.".capitalize() if words else "" for words in heard]
    speech = " ".join(filter(None, (kept_words[0], between, kept_words[1])))
    edit = Edit(segment, *gains)
    frames, sound = _sampled(bundle, clip, edit, images, mel, speech, sampling)
    result = put_back_bridge((before, after), (_track(clip), _track(following)), edit, frames, sound)
    pictures = [to_bytes(frame) for frame in result.frames()]
    joined = numpy.concatenate((clip.frames, numpy.stack(pictures), following.frames))
    first = len(clip.frames)
    own = clip.waveform[: first * SAMPLES_A_FRAME]
    own = numpy.pad(own, (0, first * SAMPLES_A_FRAME - len(own)))
    waveform = numpy.concatenate((own, result.sound.numpy(), following.waveform))
    made = range(first, first + len(pictures))
    new_sound = range(made.start * SAMPLES_A_FRAME, made.stop * SAMPLES_A_FRAME)
    said = range(segment.first, segment.first + pixel_frames(length))
    return Joined(joined, waveform, made, new_sound, speech, said)


def _heard_within(clip: CorpusClip, synthesiser: Synthesiser, start: float, end: float) -> list[str]:
    """The words of a clip most of which are said between two seconds."""
    words = words_of(clip.speech)
    starts = _word_starts(clip, words, synthesiser)
    spans = zip(starts, starts[1:], strict=False)
    return [word for word, (a, b) in zip(words, spans, strict=True) if start <= (a + b) / 2 < end]


def _sampled(
    bundle: TinyBundle,
    clip: CorpusClip,
    edit: Edit,
    images: Tensor,
    mel: Tensor,
    speech: str,
    sampling: Sampling,
) -> tuple[Tensor, Tensor]:
    """Frames (F, H, W, 3) and waveform (samples) of a segment, decoded."""
    video = bundle.codec.encode_frames(images.float())
    given = Clip(video, normalise_mel(mel), edit.segment.kept(), video[:, :, :1])
    reader = SpeechReader()
    positive = condition(bundle, clip.caption, reader.positive_symbols(speech, LANGUAGE, None))
    negative = condition(bundle, "", reader.negative_symbols(LANGUAGE, None))
    made, audio = sample_clip(
        bundle, given, positive, negative,
        seed=clip.seed, steps=sampling.steps, shift=sampling.shift, guidance=sampling.settings(),
    )  # fmt: skip
    return decode_video(bundle, made), decode_audio(audio)[0]


def _footage(clip: CorpusClip) -> tuple[VideoInMemory, Tensor]:
    waveform = torch.from_numpy(clip.waveform).view(1, 1, -1)
    return VideoInMemory(torch.from_numpy(clip.frames).float() / 255, FRAME_RATE, (waveform, SAMPLE_RATE)), waveform


def _track(clip: CorpusClip) -> AudioTrack:
    return track_of(torch.from_numpy(clip.waveform).view(1, 1, -1), SAMPLE_RATE)


def _real(clip: CorpusClip, new: NewWords) -> Joined:
    """A clip as it is, with the range in which the others are made anew."""
    made = range(round(new.start * FRAME_RATE), round(new.end * FRAME_RATE))
    heard = range(round(new.start * SAMPLE_RATE), round(new.end * SAMPLE_RATE))
    return Joined(clip.frames, clip.waveform, made, heard, clip.speech)


def _measures(joined: Joined, judges: SpeechJudges, clip: CorpusClip, other: CorpusClip) -> dict:
    """What is measured of a joined clip in its range, and at the range's edges."""
    start, end = joined.made.start * SAMPLES_A_FRAME, joined.made.stop * SAMPLES_A_FRAME
    shuffled = rms_envelope(other.waveform, len(other.frames))[: len(joined.made)]
    mouth = mouth_open_area(joined.frames)[joined.made.start :][: len(shuffled)]
    said = joined.said or range(len(joined.frames))
    spoken = joined.waveform[said.start * SAMPLES_A_FRAME : said.stop * SAMPLES_A_FRAME]
    return {
        "lip_sync_raw": _sync(joined.frames, joined.waveform, joined.made),
        "shuffled": correlation(mouth, shuffled),
        "words": _counted(spoken, judges, joined.speech),
        "timbre": float(judges.judge(_long_enough(joined.waveform[start:end]))["kind"] == clip.kind),
        **_seams(joined),
    }


def _long_enough(waveform: numpy.ndarray) -> numpy.ndarray:
    """A sound (samples), repeated until a judge has a second to hear."""
    return numpy.tile(waveform, -(-SAMPLE_RATE // max(1, len(waveform))))


def _sync(frames: numpy.ndarray, waveform: numpy.ndarray, made: range) -> float:
    """`lip_sync` of a stretch of frames."""
    envelope = rms_envelope(waveform, len(frames))
    return correlation(mouth_open_area(frames)[made.start : made.stop], envelope[made.start : made.stop])


def _counted(waveform: numpy.ndarray, judges: SpeechJudges, speech: str) -> tuple[int, int]:
    counted = measure_words(waveform, judges, speech)
    return counted.get("word_errors", 0), counted.get("words", 1)


def _untouched(joined: Joined, frames: numpy.ndarray, waveform: numpy.ndarray) -> float:
    """Fraction of the frames and of the samples outside of the range that are the user's own, the smaller one."""
    shown = numpy.array([index not in joined.made for index in range(len(frames))])
    kept = numpy.ones(len(waveform), dtype=bool)
    kept[joined.heard.start : joined.heard.stop] = False
    same = (joined.frames == frames).all(axis=(1, 2, 3))[shown]
    return float(min(same.mean(), (joined.waveform[: len(waveform)] == waveform)[kept].mean()))


def _untouched_ends(joined: Joined, clip: CorpusClip, following: CorpusClip) -> float:
    first, last = joined.made.start, joined.made.stop
    same = [
        numpy.array_equal(joined.frames[:first], clip.frames),
        numpy.array_equal(joined.frames[last:], following.frames),
        numpy.array_equal(joined.waveform[: min(len(clip.waveform), joined.heard.start)], clip.waveform),
        numpy.array_equal(joined.waveform[joined.heard.stop :], following.waveform),
    ]
    return fmean(map(float, same))


def _seams(joined: Joined) -> dict[str, float]:
    """What jumps at the edges of the range, beside what does around it; the larger of both edges."""
    changes = numpy.abs(numpy.diff(joined.frames.astype(numpy.float64), axis=0)).mean(axis=(1, 2, 3))
    colours = numpy.abs(numpy.diff(joined.frames.mean(axis=(1, 2)), axis=0)).mean(axis=1)
    edges = [edge for edge in (joined.made.start, joined.made.stop) if 0 < edge < len(joined.frames)]
    heard = [edge for edge in (joined.heard.start, joined.heard.stop) if 0 < edge < len(joined.waveform)]
    measures = {
        "picture_seam": max((_beside(changes, edge - 1, SEAM_FRAMES) for edge in edges), default=0.0),
        "colour_seam": max((float(colours[edge - 1]) for edge in edges), default=0.0),
    }
    if heard:
        steps = numpy.abs(numpy.diff(joined.waveform.astype(numpy.float64)))
        measures["waveform_seam"] = max(_beside(steps, edge - 1, SEAM_SAMPLES) for edge in heard)
        measures["loudness_seam"] = max(_loudness_jump(joined.waveform, edge) for edge in heard)
    return measures


def _beside(values: numpy.ndarray, index: int, around: int) -> float:
    """A value over the mean of those around it."""
    near = numpy.concatenate((values[max(0, index - around) : index], values[index + 1 : index + 1 + around]))
    return float(values[index] / max(near.mean(), 1e-6))


def _loudness_jump(waveform: numpy.ndarray, edge: int) -> float:
    """Decibels between the 20 ms before and behind an edge, with a floor at -50 dB."""
    parts = (waveform[max(0, edge - SEAM_SAMPLES) : edge], waveform[edge : edge + SEAM_SAMPLES])
    before, behind = (20 * numpy.log10(numpy.sqrt(numpy.square(part).mean()) + 10 ** (-50 / 20)) for part in parts)
    return float(abs(before - behind))


def _save_sheet(path: Path, joined: Joined, given: numpy.ndarray | None) -> None:
    """Eight frames around the range, those that were there above them."""
    middle = (joined.made.start + joined.made.stop) / 2
    reach = max(len(joined.made), SHEET_FRAMES) * 0.75
    shown = numpy.linspace(max(0, middle - reach), min(len(joined.frames) - 1, middle + reach), SHEET_FRAMES)
    rows = [frames[shown.round().astype(int)] for frames in (given, joined.frames) if frames is not None]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.concatenate([numpy.concatenate(list(row), axis=1) for row in rows])).save(path)
