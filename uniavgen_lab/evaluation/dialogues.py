"""Dialogues of two people: whether each line has its words and its speaker's voice, and whether the listener is still.

Each dialogue is made three times: with both people in one picture and a voice for each, the same without voices, and by
cuts, from a portrait of whoever speaks. Of each line, the words are heard and the kind of voice is judged: the two
people are of different kinds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy
import torch

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE
from uniavgen_core.face.lip_sync import correlation, mouth_open_area, rms_envelope
from uniavgen_core.long_form.cast import Cast, SceneStart, recorded_voice
from uniavgen_core.long_form.maker import LongClip
from uniavgen_core.long_form.pacing import Pacing
from uniavgen_core.long_form.planning import LongFormSettings, plan_clip
from uniavgen_core.long_form.script import parse_script
from uniavgen_core.long_form.store import SegmentStore
from uniavgen_core.media.images import to_bytes
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tasks import PAST_FRAMES
from uniavgen_core.tiny.bundle import TinyBundle, load_tiny
from uniavgen_core.tiny.canvas import SIZE

from ..core_host import CoreHost
from ..video_files import read_video
from ..world.corpus import SPLITS, CorpusClip, make_clip, partner
from ..world.sentences import caption_of_two, draw_sentence, words_of
from ..world.synthesiser import Synthesiser
from .generate import Sampling
from .measures import Measures, SpeechJudges, measure_words
from .tables import measure_in_groups, print_table, table_of_rows
from .two_people import STILL

LINES = 4
MOST_WORDS = 5
"""Of a line."""
LONGEST = 11
"""Latent frames of a segment."""
USUAL_PACE = 0.75
"""Of the small model's voices, where a line has none of its own."""
ROWS = ("two voices", "no voices", "by cuts")
COLUMNS = {
    "word_error_rate": "word error",
    "timbre": "timbre",
    "other_timbre": "timbre of the other one",
    "listener": "listener's mouth over the speaker's",
    "silent": "listener's mouth still",
    "correlation": "speaker's mouth with the sound",
}


@dataclass(frozen=True)
class Dialogue:
    """Two people of different kinds in one mood, and what they say in turn."""

    people: tuple[CorpusClip, CorpusClip]
    voices: tuple[CorpusClip, CorpusClip]
    """Other clips of the same people."""
    lines: tuple[str, ...]


def run_dialogues(arguments: argparse.Namespace, sampling: Sampling) -> int:
    """Measure, and print a table and, if asked for, one line of JSON."""
    seeds = SPLITS[arguments.split][::2][: arguments.clips]
    measured = measure_in_groups(
        partial(_measure_group, arguments.weights, sampling), seeds, arguments.workers, "dialogues"
    )
    rows = {name: summarise_lines([line for dialogue in measured for line in dialogue[name]]) for name in ROWS}
    print_table(rows, dialogue_table(rows), arguments.json)
    return 0


def summarise_lines(lines: Sequence[Measures]) -> dict[str, float | None]:
    """One row: what the lines have in common; None where it is not measured."""

    def mean(name: str) -> float | None:
        values = [line[name] for line in lines if name in line]
        return fmean(values) if values else None

    words = sum(line.get("words", 0) for line in lines)
    error = sum(line.get("word_errors", 0) for line in lines) / words if words else None
    names = [name for name in COLUMNS if name != "word_error_rate"]
    return {"word_error_rate": error, **{name: mean(name) for name in names}, "lines": len(lines)}


def dialogue_table(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """Rows by name as a table in Markdown."""
    return table_of_rows(rows, COLUMNS)


def make_dialogue(seed: int, synthesiser: Synthesiser) -> Dialogue:
    """The dialogue of a corpus clip's person with the next one of another kind and the same mood."""
    first, other = make_clip(seed, synthesiser), seed + 2
    while (second := make_clip(other, synthesiser)).kind == first.kind or second.mood != first.mood:
        other += 2
    random, lines = Random(f"dialogue {seed}"), list[str]()
    while len(lines) < LINES:
        sentence = draw_sentence(random)
        lines += [sentence] if len(words_of(sentence)) <= MOST_WORDS else []
    voices = make_clip(partner(seed), synthesiser), make_clip(partner(other), synthesiser)
    return Dialogue((first, second), voices, tuple(lines))


def _measure_group(weights: Path, sampling: Sampling, seeds: Sequence[int]) -> list[dict[str, list[Measures]]]:
    bundle, judges, synthesiser = load_tiny(weights), SpeechJudges(), Synthesiser()
    dialogues = [make_dialogue(seed, synthesiser) for seed in seeds]
    return [measure_dialogue(bundle, dialogue, judges, sampling) for dialogue in dialogues]


def measure_dialogue(
    bundle: TinyBundle, dialogue: Dialogue, judges: SpeechJudges, sampling: Sampling
) -> dict[str, list[Measures]]:
    """Measures of each line, by row."""
    reader = SpeechReader()
    voices = tuple(
        recorded_voice(reader, torch.from_numpy(clip.waveform).view(1, 1, -1), SAMPLE_RATE, clip.speech)
        for clip in dialogue.voices
    )
    first, second = dialogue.people
    plain = replace(first.person, backdrop="plain")
    listener = replace(second.person, backdrop="plain", background=plain.background)
    pair = replace(first, person=plain, listener=listener, side="left")
    faces = torch.stack([torch.from_numpy(pair.faces_at_rest[side]).float() / 255 for side in ("left", "right")])
    caption = caption_of_two(pair.kinds, None, first.mood)
    marked = [f"{caption} | [speaker {1 + index % 2}] {line}" for index, line in enumerate(dialogue.lines)]
    cut = [
        f"A {dialogue.people[index % 2].kind} speaks in a {first.mood} mood. | [scene {1 + index % 2}] "
        f"[speaker {1 + index % 2}] {line}"
        for index, line in enumerate(dialogue.lines)
    ]
    alone = [_image(clip.portrait) for clip in dialogue.people]
    together, seen = _image(pair.portrait), (SceneStart(None, faces),)
    return {
        "two voices": _measure(bundle, dialogue, judges, sampling, marked, together, Cast(seen, voices)),
        "no voices": _measure(bundle, dialogue, judges, sampling, marked, together, Cast(seen)),
        "by cuts": _measure(
            bundle, dialogue, judges, sampling, cut, alone[0], Cast((SceneStart(None), SceneStart(alone[1])), voices)
        ),
    }


def _image(portrait: numpy.ndarray) -> torch.Tensor:
    return torch.from_numpy(portrait[None]).float() / 255


def _measure(
    bundle: TinyBundle,
    dialogue: Dialogue,
    judges: SpeechJudges,
    sampling: Sampling,
    script: Sequence[str],
    portrait: torch.Tensor,
    cast: Cast,
) -> list[Measures]:
    """Measures of each line of a dialogue, made with a cast."""
    host = CoreHost(
        bundle, portrait, portrait.shape[2], SIZE,
        steps=sampling.steps, shift=sampling.shift, guidance=sampling.settings(), cast=cast,
    )  # fmt: skip
    paces = tuple(voice.pace for voice in cast.voices)
    settings = LongFormSettings(
        Pacing("en", USUAL_PACE, reader=host.reader, paces=paces), LONGEST, PAST_FRAMES, seed=dialogue.people[0].seed
    )
    lines = parse_script("\n".join(script))
    cast.check(lines)
    with TemporaryDirectory() as folder:
        clip = LongClip(host, SegmentStore(Path(folder)), *plan_clip(lines, settings))
        made = clip.make()
        clip.write(made, Path(folder) / "clip.mp4")
        frames = to_bytes(read_video(Path(folder) / "clip.mp4")[0])
        waveform = torch.cat([piece[0] for piece in clip.waveform(made)]).numpy()
    starts = {one.planned.line.number: one.start for one in reversed(made)}
    edges = [*(starts[number] for number in sorted(starts)), made[-1].start + made[-1].seconds]
    return [
        _measure_line(dialogue, index, frames[_span(part, FRAME_RATE)], waveform[_span(part, SAMPLE_RATE)], judges)
        for index, part in enumerate(pairwise(edges))
    ]


def _span(seconds: tuple[float, float], rate: int) -> slice:
    return slice(*(round(second * rate) for second in seconds))


def _measure_line(
    dialogue: Dialogue, index: int, frames: numpy.ndarray, waveform: numpy.ndarray, judges: SpeechJudges
) -> Measures:
    """Measures of a line's own stretch of the clip; of the listener only where one is seen."""
    speaker, other = (dialogue.people[(index + turn) % 2] for turn in (0, 1))
    heard = judges.judge(waveform)["kind"]
    areas = [mouth_open_area(half) for half in numpy.split(frames, range(SIZE, frames.shape[2], SIZE), axis=2)]
    speaking = areas[index % len(areas)]
    measures: Measures = {
        **measure_words(waveform, judges, dialogue.lines[index]),
        "timbre": float(heard == speaker.kind),
        "other_timbre": float(heard == other.kind),
        "correlation": correlation(speaking, rms_envelope(waveform, len(speaking))),
    }
    if len(areas) == 2:
        still = float(areas[1 - index % 2].std())
        measures |= {"listener": still / max(float(speaking.std()), STILL), "silent": float(still <= STILL)}
    return measures
