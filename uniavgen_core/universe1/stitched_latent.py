"""The joint latent of UniVerse-1: its shapes, sizes and lengths, and what of them is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from ..config import latent_frames
from ..joint_latent import Shape, check_two_streams
from ..media.images import centre_crop, to_bytes
from .stitched_sizes import (
    AUDIO_CHANNELS,
    AUDIO_ROWS,
    MOST_FRAMES,
    UNIVERSE_CHANNELS,
    UNIVERSE_COMPRESSION,
    UNIVERSE_FRAME_RATE,
    universe_seconds,
)

TRAINED_SIZES = ((768, 480), (480, 768), (512, 512))
"""Width and height in pixels of the clips that the released model learned from."""
STRETCH, CROP = FITS = ("stretch", "crop")
"""How a picture of another shape is brought to the clip's size; the release stretches."""
ADVICE = "Connect the LATENT of the node 'UniVerse-1 Latent'."


def universe_shapes(frames: int, width: int, height: int, batch: int = 1) -> tuple[Shape, Shape]:
    """Shapes of both streams for T latent frames of width × height pixels."""
    rows, columns = height // UNIVERSE_COMPRESSION, width // UNIVERSE_COMPRESSION
    return (batch, UNIVERSE_CHANNELS, frames, rows, columns), (batch, AUDIO_CHANNELS, AUDIO_ROWS, frames)


def check_universe_shapes(shapes: Sequence[Sequence[int]]) -> None:
    """Refuse a latent that is not joint, or of another model.

    Raises:
        ValueError: it says what the latent is and what to connect.
    """
    check_two_streams(shapes, "UniVerse-1", ADVICE)
    video, audio = shapes
    is_video = len(video) == 5 and video[1] == UNIVERSE_CHANNELS
    if not is_video or len(audio) != 4 or tuple(audio[1:3]) != (AUDIO_CHANNELS, AUDIO_ROWS):
        streams = " and ".join("×".join(map(str, shape)) for shape in shapes)
        raise ValueError(
            f"This LATENT is of another model: its streams are {streams}, UniVerse-1's are (batch, "
            f"{UNIVERSE_CHANNELS}, frames, rows, columns) and (batch, {AUDIO_CHANNELS}, {AUDIO_ROWS}, frames). {ADVICE}"
        )
    if audio[3] != video[2]:
        raise ValueError(
            f"Picture and sound of this LATENT are not equally long: there are {video[2]} latent frames "
            f"({universe_seconds(video[2]):.2f} s) and {audio[3]} columns of sound, which must be as many. {ADVICE}"
        )


def frames_for_seconds(seconds: float) -> int:
    """Latent frames of a clip that lasts at least so long: it has 4n + 1 pixel frames.

    Raises:
        ValueError: no time at all, or more than the model takes.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds is {seconds:g}: ask for more than 0.")
    # A little less, so that what is lost in a product does not make one more.
    frames = latent_frames(max(1, math.ceil(seconds * UNIVERSE_FRAME_RATE - 1e-6)))
    if frames > MOST_FRAMES:
        raise ValueError(
            f"seconds is {seconds:g}, more than UniVerse-1 takes, which is {universe_seconds(MOST_FRAMES):.2f}. The "
            "model was trained on clips of 5 seconds: ask for fewer."
        )
    return frames


def nearest_size(width: int, height: int) -> tuple[int, int]:
    """Of the sizes that the model learned from, width and height of that whose shape is nearest to a picture's."""
    return min(TRAINED_SIZES, key=lambda size: abs(size[1] / size[0] - height / width))


def fitted(image: Tensor, width: int, height: int, fit: str) -> Tensor:
    """A picture (1, H, W, 3) of values 0..1 at a size (1, height, width, 3), as the release resizes it (Lanczos).

    Args:
        fit: "stretch" changes its shape, "crop" cuts its middle out first.
    """
    if fit == CROP:
        image = centre_crop(image, width, height)
    resized = Image.fromarray(to_bytes(image[0])).resize((width, height), Image.Resampling.LANCZOS)
    return torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8).view(1, height, width, 3).float().div(255)


def is_stretched(size: tuple[int, int], width: int, height: int) -> bool:
    """Whether a picture of this size changes its shape visibly at another."""
    return abs(math.log(size[0] / size[1] * height / width)) > 0.02
