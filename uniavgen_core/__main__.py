"""Commands: python -m uniavgen_core demo | convert | render | prepare | train-codec | train | bundle | evaluate"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from . import convert, pipeline
from .config import FRAME_RATE, SAMPLE_RATE
from .evaluation import evaluate
from .media import automatic_size, read_image, stream_summary, write_video
from .tiny.bundle import SHORT_SIDE, load_tiny
from .tiny.drawing import draw_portrait
from .training import commands as training

CAPTION = "A friendly person looks at the camera and speaks in a calm mood."
SPEECH = "Hello, one red bird and two blue fish."


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Print how long a stage took."""
    start = time.perf_counter()
    yield
    print(f"{name:<24}{time.perf_counter() - start:8.2f} s")


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--portrait", type=Path, help="a picture (default: one that is drawn)")
    parser.add_argument("--caption", default=CAPTION, help="what is seen")
    parser.add_argument("--speech", default=SPEECH, help="what is said")
    parser.add_argument("--seconds", type=float, help="length of the clip (default: as long as the words take)")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("output/demo.mp4"))


def run_demo(arguments: argparse.Namespace) -> int:
    """Make a clip with the built-in small model."""
    with stage("load the small model"):
        bundle = load_tiny()
    if not bundle.trained:
        print("The small model has random weights: the clip shows that everything runs, and is noise.")
    portrait = draw_portrait() if arguments.portrait is None else read_image(arguments.portrait)
    width, height = automatic_size(portrait.shape[2], portrait.shape[1], SHORT_SIDE)
    request = pipeline.Request(
        portrait, arguments.caption, arguments.speech, width, height, arguments.seconds, arguments.seed, arguments.steps
    )
    with stage("encode"):
        clip, positive, negative = pipeline.encode(bundle, request)
    with stage("sample"), tqdm(total=request.steps, desc="sample", unit="step") as bar:
        video, audio = pipeline.sample(
            bundle, request, clip, positive, negative, lambda step, steps: bar.update(step - bar.n)
        )
    with stage("decode picture"):
        frames = pipeline.decode_video(bundle, video)
    with stage("decode sound"):
        sound = pipeline.decode_audio(audio)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with stage("write"):
        bar = tqdm(frames, desc="write", unit="frame")
        write_video(arguments.output, bar, FRAME_RATE, sound, SAMPLE_RATE)
    print(_describe(arguments.output))
    return 0


def _describe(path: Path) -> str:
    made = stream_summary(path)
    rate = float(made.frame_rate or 0)
    return (
        f"{path}: {made.picture_seconds:.2f} s, {made.frames} frames of {made.width}×{made.height} at "
        f"{rate:g}/s ({made.picture_codec}); sound {made.sound_seconds:.2f} s at "
        f"{made.sample_rate} Hz ({made.sound_codec})"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m uniavgen_core", description="UniAVGen without ComfyUI.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_demo_arguments(commands.add_parser("demo", help="make a clip with the built-in small model"))
    convert.add_arguments(commands.add_parser("convert", help="write a model to one file, in another precision"))
    training.add_render_arguments(commands.add_parser("render", help="make the small model's corpus"))
    training.add_prepare_arguments(commands.add_parser("prepare", help="make training data of a folder of real clips"))
    training.add_train_arguments(commands.add_parser("train-codec", help="train the small model's picture codec"))
    training.add_train_arguments(commands.add_parser("train", help="train a model"))
    training.add_bundle_arguments(commands.add_parser("bundle", help="put a run's weights into the pack"))
    evaluate.add_arguments(commands.add_parser("evaluate", help="measure the small model, or a clip of your own"))
    run = {
        "demo": run_demo,
        "convert": convert.run,
        "render": training.run_render,
        "prepare": training.run_prepare,
        "train-codec": training.run_train_codec,
        "train": training.run_train,
        "bundle": training.run_bundle,
        "evaluate": evaluate.run,
    }
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return run[arguments.command](arguments)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
