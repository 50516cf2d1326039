"""Whether a finished clip is one: read whole, with frames, sound and the length that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy
from comfy.graphs import nodes_of
from comfy.workflow_runs import read_clip

from soak_run.drawn_prompts import DrawnPrompt
from uniavgen_core.config import FRAME_RATE, pixel_frames
from uniavgen_core.joint_latent import check_seconds

ONE_LATENT = ("tiny_joint_generation", "tiny_fast", "tiny_two_speakers", "tiny_face_map")
"""Workflows whose clip is as long as their one latent."""
SIDES_APART = {"tiny_chain_upscale"}


class ClipFault(Exception):
    """A prompt said that it is done, and its clip is not right."""


def check_finished(drawn: DrawnPrompt, files: Sequence[Path]) -> None:
    """Read the clip of a finished prompt whole.

    Raises:
        ClipFault: there is none, or it is damaged, empty, silent, or of another length or size than was asked for.
    """
    clips = [file for file in files if file.suffix == ".mp4"]
    if len(clips) != 1:
        raise ClipFault(f"{len(clips)} clips are named, not one")
    try:
        pictures, sound, seconds = read_clip(clips[0])
    except (av.FFmpegError, OSError, ValueError, AssertionError) as error:
        raise ClipFault(f"it cannot be read: {error!r}") from error
    if abs(seconds[0] - seconds[1]) > 1 / FRAME_RATE:
        raise ClipFault(f"{seconds[0]:.3f} s of picture and {seconds[1]:.3f} s of sound")
    if not numpy.isfinite(sound).all() or not sound.any():
        raise ClipFault("the sound is silent or not finite")
    _check_asked(drawn, pictures)


def _check_asked(drawn: DrawnPrompt, pictures: numpy.ndarray) -> None:
    inputs = nodes_of(drawn.prompt, "UniAVGenLatent")[-1]["inputs"]
    size = (inputs["size.height"], inputs["size.width"])
    if drawn.workflow not in SIDES_APART and pictures.shape[1:3] != size:
        raise ClipFault(f"its size is {pictures.shape[1:3]}, not {size}")
    if drawn.workflow in ONE_LATENT:
        frames = pixel_frames(check_seconds(inputs["seconds"]))
        if len(pictures) != frames:
            raise ClipFault(f"{len(pictures)} frames, not {frames}")
