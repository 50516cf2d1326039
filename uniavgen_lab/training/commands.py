"""The commands of training: render, prepare, train-codec, train, bundle."""

from __future__ import annotations

import argparse
import json
import logging
import re
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm.contrib.logging import logging_redirect_tqdm

from uniavgen_core.config import (
    FRAME_RATE,
    MAX_LATENT_FRAMES,
    SHORT_SIDE,
    TRAINED_LATENT_FRAMES,
    clip_seconds,
    whole_latent_frames,
)
from uniavgen_core.face.models import open_detector
from uniavgen_core.joint_latent import check_size
from uniavgen_core.speech.text import LANGUAGES
from uniavgen_core.tiny.bundle import SHORT_SIDE as TINY_SHORT_SIDE
from uniavgen_core.tiny.bundle import WEIGHTS_FILE
from uniavgen_core.tiny.codec import Codec

from ..world.corpus import SPLITS
from .bundle_file import MASK_IOU_METADATA, write_bundle
from .codec_training import CodecTrainer
from .frozen_captions import FrozenCaptions
from .prepare import Preparation, prepare
from .real_clips import SHORTEST_LATENT_FRAMES, Form
from .render import Rendering, render
from .trainer import Trainer
from .training_config import AnyConfig, CodecConfig, TrainConfig, read_config, with_seed
from .video_codecs import BUILT_IN, load_codec

logger = logging.getLogger(__name__)


def add_render_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `render`."""
    parser.add_argument("folder", type=Path, help="where the shards go; those that are there stay")
    parser.add_argument("--split", default="train", choices=("train", "validation", "test"))
    parser.add_argument("--first", type=int, default=0, help="number of the first clip in the split (even)")
    parser.add_argument("--clips", type=int, default=4096, help="how many clips (even)")
    parser.add_argument("--codec", help="tiny, or weights of such a codec; without it, sound alone")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--two-people", action="store_true", help="a listener stands beside the speaker")
    shown.add_argument("--newcomer", action="store_true", help="one person of no kind of the world, for a LoRA")
    parser.add_argument("--workers", type=int, default=2, help="processes")


def run_render(arguments: argparse.Namespace) -> int:
    """Make shards of the small model's corpus.

    Raises:
        FileNotFoundError: the codec is not there.
        ImportError: the corpus needs a library that is not installed.
        ValueError: an odd number of clips, or another codec than the small model's or that of the folder's shards.
    """
    if arguments.first % 2 or arguments.clips % 2:
        raise ValueError("--first and --clips must be even: clips come in pairs of one voice.")
    codec = None if arguments.codec is None else load_codec(arguments.codec)
    if not isinstance(codec, Codec | None):
        raise ValueError("--codec is a VAE of Wan 2.2: for this corpus give the small model's, 'tiny' or its weights.")
    first_seed = SPLITS[arguments.split].start + arguments.first
    rendering = Rendering(
        arguments.folder, first_seed, arguments.clips, codec, arguments.two_people, arguments.newcomer
    )
    render(rendering, arguments.workers)
    return 0


def add_prepare_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `prepare`."""
    parser.add_argument(
        "folder",
        type=Path,
        help="video files, each with a .txt of the same name: what is said, then the caption if there is one; a "
        "sub-folder for each speaker",
    )
    parser.add_argument("output", type=Path, help="where the shards go; those that are there stay")
    parser.add_argument("--face-detector", type=Path, required=True, help="insightface's SCRFD, an ONNX file")
    parser.add_argument(
        "--codec", default=BUILT_IN, help="tiny, weights of such a codec, or a diffusers folder of the Wan 2.2 VAE"
    )
    parser.add_argument(
        "--caption-encoder", type=Path, help="transformers folder of umT5; without it, an encoder learns with the model"
    )
    parser.add_argument("--caption", default="", help="caption of clips that have none")
    parser.add_argument("--short-side", type=int, help="of the pictures in pixels (default: 128 for the small codec)")
    parser.add_argument("--size", help="WIDTHxHEIGHT of all pictures; else each keeps its aspect")
    parser.add_argument("--seconds", type=float, default=clip_seconds(TRAINED_LATENT_FRAMES), help="at most, a segment")
    parser.add_argument("--language", choices=list(LANGUAGES), help="of the speech (default: found out)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="of codec and encoder")


def run_prepare(arguments: argparse.Namespace) -> int:
    """Make shards of real clips.

    Raises:
        FileNotFoundError: clips, codec, face detector or caption encoder are not there.
        ImportError: a library is not installed.
        ValueError: an option or a model does not fit.
    """
    device = torch.device(arguments.device)
    codec = load_codec(arguments.codec)
    form = _form(arguments, TINY_SHORT_SIDE if isinstance(codec, Codec) else SHORT_SIDE)
    encoder = arguments.caption_encoder
    preparation = Preparation(
        folder=arguments.folder,
        output=arguments.output,
        form=form,
        codec=codec.to(device),
        detector=open_detector(arguments.face_detector),
        captions=None if encoder is None else FrozenCaptions(encoder, device),
        caption=arguments.caption,
        settings={"codec": arguments.codec, **({} if encoder is None else {"caption-encoder": str(encoder)})},
        device=device,
    )
    with logging_redirect_tqdm():
        summary = prepare(preparation)
    logger.info(
        "%d segments (%.1f minutes) are new, %d skipped, %d clips were there already.",
        summary.utterances, summary.seconds / 60, summary.skipped, summary.finished,
    )  # fmt: skip
    return 0


def _form(arguments: argparse.Namespace, short_side: int) -> Form:
    """What the options say of the utterances.

    Raises:
        ValueError: the size or the length cannot be had.
    """
    size = None if arguments.size is None else _size(arguments.size)
    longest = whole_latent_frames(int(round(arguments.seconds * FRAME_RATE, 6)))
    if not SHORTEST_LATENT_FRAMES <= longest <= MAX_LATENT_FRAMES:
        least, most = clip_seconds(SHORTEST_LATENT_FRAMES), clip_seconds(MAX_LATENT_FRAMES)
        raise ValueError(f"--seconds is {arguments.seconds:g}: give {least:.2f} to {most:.2f}.")
    return Form(longest, arguments.short_side or short_side, size, arguments.language)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if match is None:
        raise ValueError(f"--size is {text!r}: give width and height, such as 768x512.")
    width, height = map(int, match.groups())
    check_size(width, height)
    return width, height


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train` and `train-codec`."""
    parser.add_argument("config", type=Path, help="a YAML file, as in uniavgen_lab/configs/")
    parser.add_argument("--stop-after", type=int, help="stop after this step with a checkpoint")
    parser.add_argument("--seed", type=int, help="in place of the configuration's, in an output folder of its own")


def run_train(arguments: argparse.Namespace) -> int:
    """Train a model, or go on with it.

    Raises:
        FileNotFoundError: the configuration, the weights to start from or the shards are not there.
        ImportError: a library of training is not installed.
        ValueError: the configuration is wrong, or does not fit the weights or the shards.
    """
    Trainer(_config(arguments, TrainConfig), arguments.stop_after).run()
    return 0


def run_train_codec(arguments: argparse.Namespace) -> int:
    """Train the small model's picture codec, or go on with it. Errors as in `run_train`."""
    CodecTrainer(_config(arguments, CodecConfig), arguments.stop_after).run()
    return 0


def _config(arguments: argparse.Namespace, kind: type[AnyConfig]) -> AnyConfig:
    config = read_config(arguments.config, kind)
    return config if arguments.seed is None else with_seed(config, arguments.seed)


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `bundle`."""
    parser.add_argument("weights", type=Path, help="weights.safetensors of a run")
    parser.add_argument("codec", type=Path, help="weights of the picture codec")
    parser.add_argument("--commit", required=True, help="of the code that trained them: $(git rev-parse HEAD)")
    parser.add_argument("--mask-iou", type=float, help="of the face mask, at the end of its supervision")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)


def run_bundle(arguments: argparse.Namespace) -> int:
    """Write the small model's file of a run's weights and a codec's.

    Raises:
        FileNotFoundError: they are not there.
        ValueError: they are more than the small model may have.
    """
    metadata = {"commit": arguments.commit}
    if arguments.mask_iou is not None:
        metadata[MASK_IOU_METADATA] = json.dumps(arguments.mask_iou)
    write_bundle(arguments.output, arguments.weights, load_file(arguments.codec), metadata)
    return 0
