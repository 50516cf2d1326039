"""The command `demo`: a person of the small model's world says a sentence, and the clip is measured."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from torch import Tensor
from tqdm import tqdm

from uniavgen_core.config import FRAME_RATE, SAMPLE_RATE, clip_seconds
from uniavgen_core.media.images import crop_and_resize, read_image, to_bytes, to_rgb
from uniavgen_core.media.muxing import write_video
from uniavgen_core.speech.duration import seconds_for_speech
from uniavgen_core.tiny.bundle import SHORT_SIDE, TinyBundle, load_tiny
from uniavgen_core.tiny.drawing import PORTRAIT_SEED, draw_portrait
from uniavgen_core.tiny.people import KINDS

from . import pipeline
from .contact_sheet import contact_sheet
from .evaluation.measures import SpeechJudges, measure_clip
from .evaluation.tables import clip_report
from .pipeline import STEPS
from .video_files import stream_summary
from .world.sentences import (
    FEWEST_WORDS,
    LATENT_FRAMES,
    MOODS,
    MOST_WORDS,
    draw_caption,
    write_sentence,
)

KIND, MOOD = "woman", "happy"
SPEECH = "Hello, three red birds."
PACE = 0.75
"""How fast people of the small model's world speak, against the usual."""
OUTPUT = Path("output/demo.mp4")


@dataclass(frozen=True)
class Scene:
    """Who says what in which mood. What is not known, because the user's own caption or picture shows it, is None."""

    portrait: Tensor
    """(1, 128, 128, 3) of values 0..1."""
    caption: str
    speech: str
    kind: str | None
    mood: str | None


@dataclass(frozen=True)
class DemoClip:
    """A finished clip: frames (F, 128, 128, 3) of values 0..1, and its waveform (samples) at 24 kHz."""

    frames: Tensor
    waveform: Tensor


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--speech",
        default=SPEECH,
        help=f"what is said, {FEWEST_WORDS} to {MOST_WORDS} words of the small model's list (default: {SPEECH})",
    )
    parser.add_argument("--kind", choices=KINDS, help=f"who speaks (default: {KIND})")
    parser.add_argument("--mood", choices=MOODS, help=f"in what mood (default: {MOOD})")
    parser.add_argument("--person", type=int, default=PORTRAIT_SEED, help="a number for each drawn person")
    parser.add_argument("--caption", help="what is seen (default: made of kind and mood)")
    parser.add_argument("--portrait", type=Path, help="a picture instead of a drawn person")
    parser.add_argument("--seconds", type=float, help="length of the clip (default: as long as the words take)")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the clip; a picture of it lies beside")


def run_demo(arguments: argparse.Namespace) -> int:
    """Make a clip with the built-in small model, write it, and print what it reaches.

    Raises:
        ValueError: words that the small model cannot say, a caption that cannot be made, or a length that does not
            fit.
    """
    scene = make_scene(arguments)
    seconds = clip_length(scene.speech) if arguments.seconds is None else arguments.seconds
    request = pipeline.Request(
        scene.portrait, scene.caption, scene.speech, SHORT_SIDE, SHORT_SIDE, seconds, arguments.seed, arguments.steps
    )
    with stage("load the small model"):
        bundle = load_tiny()
    _say(f"{scene.caption} “{scene.speech}”")
    if not bundle.trained:
        _say("The small model has random weights: the clip shows that everything runs, and is noise.")
    clip = make_demo_clip(bundle, request)
    with stage("write"):
        _write(arguments.output, clip)
    _say(_describe(arguments.output))
    with stage("measure"):
        report = report_on(scene, clip)
    _say(report)
    return 0


def make_scene(arguments: argparse.Namespace) -> Scene:
    """What the options ask for.

    Raises:
        ValueError: words that the small model cannot say; or a picture of the user's own needs a caption, and neither
            it nor the kind was given.
    """
    speech = write_sentence(arguments.speech)
    kind, mood = arguments.kind, arguments.mood
    if arguments.portrait is None:
        kind = kind or KIND
        portrait = draw_portrait(arguments.person, kind)
    else:
        portrait = crop_and_resize(to_rgb(read_image(arguments.portrait)), SHORT_SIDE, SHORT_SIDE)
    caption = arguments.caption
    if caption is None:
        if kind is None:
            raise ValueError(f"Say who is in the picture: give --kind ({', '.join(KINDS)}) or --caption.")
        mood = mood or MOOD
        caption = draw_caption(kind, mood, Random(arguments.seed))
    return Scene(portrait, caption, speech, kind, mood)


def clip_length(speech: str) -> float:
    """Seconds of a clip in which somebody of the small model's world says this, as its clips are long."""
    shortest, longest = (clip_seconds(frames) for frames in (LATENT_FRAMES[0], LATENT_FRAMES[-1]))
    return min(max(seconds_for_speech(speech, "en", PACE), shortest), longest)


def make_demo_clip(bundle: TinyBundle, request: pipeline.Request) -> DemoClip:
    """Make a clip, and print how long each stage took."""
    with stage("encode"):
        inputs, positive, negative = pipeline.encode(bundle, request)
    with stage("sample"), tqdm(total=request.steps, desc="sample", unit="step") as bar:
        video, audio = pipeline.sample_clip(
            bundle, inputs, positive, negative, seed=request.seed, steps=request.steps, shift=request.shift,
            guidance=request.guidance, progress=lambda step, steps: bar.update(step - bar.n),
        )  # fmt: skip
    with stage("decode picture"):
        frames = pipeline.decode_video(bundle, video)
    with stage("decode sound"):
        waveform = pipeline.decode_audio(audio)[0]
    return DemoClip(frames, waveform)


def report_on(scene: Scene, clip: DemoClip) -> str:
    """What the clip reaches, beside what clips of the corpus do."""
    frames, portrait = to_bytes(clip.frames), to_bytes(scene.portrait[0])
    judges = SpeechJudges()
    measures = measure_clip(frames, clip.waveform.numpy(), judges, portrait, scene.speech, scene.kind, scene.mood)
    return clip_report(measures, judges.missing)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Print how long a stage took."""
    start = time.perf_counter()
    yield
    _say(f"{name:<24}{time.perf_counter() - start:8.2f} s")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _write(path: Path, clip: DemoClip) -> None:
    """Write the clip, and a picture of it: frames in a row, its sound under them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, clip.frames, FRAME_RATE, clip.waveform[None], SAMPLE_RATE)
    contact_sheet(clip.frames, clip.waveform).save(path.with_suffix(".png"))


def _describe(path: Path) -> str:
    made = stream_summary(path)
    rate = float(made.frame_rate or 0)
    return (
        f"{path}: {made.video_seconds:.2f} s, {made.frames} frames of {made.width}×{made.height} at "
        f"{rate:g}/s ({made.video_codec}); sound {made.audio_seconds:.2f} s at "
        f"{made.sample_rate} Hz ({made.audio_codec}). At a glance: {path.with_suffix('.png')}"
    )
