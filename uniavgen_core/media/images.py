"""Pictures as tensors: read, of three channels, cropped, of a size."""

from __future__ import annotations

import os
import struct

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from ..config import SHORT_SIDE, SIZE_MULTIPLE

LONGEST_ASPECT = 2
"""The automatic size's long side is at most this many times its short side."""


def read_image(path: str | os.PathLike[str]) -> Tensor:
    """Read a picture upright as (1, height, width, 3), float 0..1, transparent parts over white.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a picture, or damaged.
    """
    try:
        with Image.open(path) as file:
            pixels = _pixels(ImageOps.exif_transpose(file))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: there is no such picture file.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{path} is damaged, or far larger than a picture may be ({error}). Save it smaller."
        ) from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not a picture in a known format. Save it as PNG or JPEG.") from error
    # Pillow's readers of single formats stumble over damage with errors of many kinds.
    except (OSError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        raise ValueError(f"{path} is damaged or cut off and cannot be read as a picture ({error}).") from error
    return to_rgb(pixels).unsqueeze(0)


def _pixels(image: Image.Image) -> Tensor:
    """(height, width, channels) float 0..1 of a picture in any of Pillow's modes."""
    if image.mode == "F":
        return torch.from_numpy(np.array(image, dtype=np.float32)).clamp(0, 1).unsqueeze(-1)
    if image.mode.startswith("I"):
        # Sixteen bits of grey; Pillow's own conversion to eight bits clips them instead of scaling.
        return torch.from_numpy(np.array(image, dtype=np.float32)).div(65535).clamp(0, 1).unsqueeze(-1)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return torch.from_numpy(np.array(image)).float().div(255)


def to_rgb(image: Tensor) -> Tensor:
    """Bring a picture (…, height, width, channels) of values 0..1 to three channels.

    One channel is grey, two are grey and alpha, four are RGB and alpha; what is transparent shows white.

    Raises:
        ValueError: any other number of channels.
    """
    channels = image.shape[-1]
    if channels not in (1, 2, 3, 4):
        raise ValueError(
            f"The image has {channels} channels. Give a grey (1), grey with alpha (2), RGB (3) or RGBA (4) image."
        )
    colour = image[..., : 1 if channels < 3 else 3]
    if channels in (2, 4):
        alpha = image[..., -1:]
        colour = colour * alpha + (1 - alpha)
    return colour.expand(*colour.shape[:-1], 3)


def to_bytes(pixels: Tensor) -> NDArray[np.uint8]:
    """Pixels of values 0..1 as 0..255, of the same shape; what lies beyond is cut off."""
    return pixels.clamp(0, 1).mul(255).round().byte().cpu().numpy()


def centre_crop(image: Tensor, width: float, height: float) -> Tensor:
    """The largest centre of (batch, rows, columns, channels) that has the aspect width : height."""
    rows, columns = image.shape[1:3]
    scale = min(columns / width, rows / height)
    crop_rows, crop_columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (rows - crop_rows) // 2, (columns - crop_columns) // 2
    return image[:, top : top + crop_rows, left : left + crop_columns]


def crop_and_resize(image: Tensor, width: int, height: int, pixel_aspect: float = 1.0) -> Tensor:
    """Cut the centre of (batch, rows, columns, 3) to the wanted aspect and resize it to (batch, height, width, 3).

    Args:
        image: values 0..1, or uint8.
        pixel_aspect: how many times wider than high its pixels are shown.
    """
    # The aspect in pixels as they are stored.
    image = centre_crop(image, width / pixel_aspect, height)
    if image.shape[1:3] == (height, width):
        return image
    # In half precision torch resizes on a GPU only.
    planes = functional.interpolate(image.movedim(-1, 1).float(), (height, width), mode="bicubic", antialias=True)
    if image.dtype == torch.uint8:
        return planes.movedim(1, -1).clamp(0, 255).round().to(torch.uint8)
    return planes.movedim(1, -1).clamp(0, 1).to(image.dtype)


def automatic_size(width: int, height: int, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """Width and height in pixels that keep a picture's aspect at a short side, as multiples of SIZE_MULTIPLE.

    The long side is at most twice the short one: a longer picture is cropped.
    """
    aspect = max(width, height) / min(width, height)
    short = max(1, round(short_side / SIZE_MULTIPLE))
    long = max(short, min(round(short_side * aspect / SIZE_MULTIPLE), LONGEST_ASPECT * short))
    across, down = (long, short) if width > height else (short, long)
    return across * SIZE_MULTIPLE, down * SIZE_MULTIPLE
