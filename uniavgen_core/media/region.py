"""The region of a video that is made anew: the crop that the model sees, and how much of each place is made.

Everything outside the region stays the user's own: in the model whole tokens are kept, in the result the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..config import FRAME_RATE, SIZE_MULTIPLE, TEMPORAL_COMPRESSION, pixel_frames
from ..tasks import KeptVideo, kept_video
from .frames import to_float
from .images import automatic_size, crop_and_resize
from .video import Video

CELL = 4
"""Pixels of the clip along a cell: how finely a region is known."""
TOKEN_CELLS = SIZE_MULTIPLE // CELL
SOFT_CELLS = 2
"""Half the width of the soft edge that a region gets on its outside: 16 pixels of the clip in all."""
MOST_FRACTION, LEAST_FRACTION = 0.4, 0.2
"""Of a crop's height that a region takes: the model needs to see the face around it, and enough of its pixels."""
NARROWEST, WIDEST = 3 / 4, 1.0
"""Aspects of a crop whose clip has no size yet."""
SAME_ASPECT = 0.02
"""Masks and a video whose aspects differ by a smaller fraction have the same."""
FULL = 255


class Window(NamedTuple):
    """The crop of a video that the model sees, in the video's pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, frames: Tensor) -> Tensor:
        """Its part of pictures (…, height, width, channels), a view."""
        return frames[..., self.top : self.top + self.height, self.left : self.left + self.width, :]


@dataclass(frozen=True)
class Region:
    """What of a video is made anew.

    Attributes:
        window: the crop that the model sees.
        weights: (F, rows, columns) of bytes at 16 a second, one a cell of the clip: 0 is the user's own, 255 is made.
    """

    window: Window
    weights: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the clip."""
        return self.weights.shape[2] * CELL, self.weights.shape[1] * CELL

    def part(self, start: int, frames: int) -> Region:
        """So many frames from one on, of which the last is repeated behind the end."""
        wanted = torch.arange(start, start + frames).clamp(max=len(self.weights) - 1)
        return Region(self.window, self.weights[wanted])

    def kept_video(self, first: int = 1) -> KeptVideo:
        """What the model keeps, as `KeptParts.video`: of each latent frame all, nothing, or some of its tokens.

        Args:
            first: latent frames that are kept at the start, as the person's portrait, or as what was made before: in
                training the model always had one.
        """
        touched = functional.max_pool2d(self.weights.float().unsqueeze(1), TOKEN_CELLS).flatten(1) > 0
        later = touched[1:].unflatten(0, (-1, TEMPORAL_COMPRESSION)).any(dim=1)
        return (*(True,) * first, *kept_video(~later[first - 1 :]))


def window_around(
    box: tuple[float, float, float, float], size: tuple[int, int], clip: tuple[int, int] | None
) -> Window:
    """The crop of a video in which a region is made.

    The region takes 20 to 40 % of the crop's height, at the video's own pixels where that lies between, and all of it
    is seen. Without a size of the clip, the crop of a wide video is a square, that of a tall one three to four.

    Args:
        box: left, top, right and bottom of the region over all frames, in pixels.
        size: width and height of the video.
        clip: the same of the clip; None leaves them open.
    """
    left, top, right, bottom = box
    aspect = clip[0] / clip[1] if clip else min(max(NARROWEST, size[0] / size[1]), WIDEST)
    own = clip[1] if clip else automatic_size(*_fitting(aspect, 1.0, size))[1]
    # What the region would be as high as, were its width the measure.
    extent = max(bottom - top, (right - left) / aspect, 1.0)
    wanted = max(extent / MOST_FRACTION, min(own, extent / LEAST_FRACTION))
    if extent > min(size[1], size[0] / aspect):
        aspect, wanted = size[0] / size[1], size[1]
    width, height = _fitting(aspect, wanted / min(size[1], size[0] / aspect), size)
    return Window(
        left=min(max(0, round((left + right - width) / 2)), size[0] - width),
        top=min(max(0, round((top + bottom - height) / 2)), size[1] - height),
        width=width,
        height=height,
    )


def _fitting(aspect: float, fraction: float, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height that have an aspect and take this fraction of what of it fits into a size."""
    height = min(size[1], size[0] / aspect) * min(1.0, fraction)
    return max(1, min(size[0], round(height * aspect))), max(1, min(size[1], round(height)))


def region_of(
    name: str, masks: Tensor, video: Video, latent_frames: int, clip: tuple[int, int] | None = None
) -> Region:
    """The region that masks say, with a soft edge around it. The first frame, a portrait, is the user's own.

    Args:
        name: of the masks' input.
        masks: (1, height, width), the same throughout, or (n, height, width), one for each of the video's own frames or
            for each of those at 16 a second; of bytes, or values 0..1, of the video's aspect.
        video: is only asked for its size and times.
        latent_frames: T, of the clip.
        clip: width and height of the clip; None takes what is usual for the crop.

    Raises:
        ValueError: they are of another aspect or length than the video, or empty; it names the input.
    """
    check_masks_fit(name, masks, video)
    seen = masks.amax(dim=0)
    if not bool((seen > 0).any()):
        raise ValueError(f"{name} is empty: paint or find what is to be made anew, such as the mouth and the chin.")
    window = window_around(_box(seen, video.size), video.size, clip)
    width, height = clip or automatic_size(window.width, window.height)
    rows, columns = height // CELL, width // CELL
    weights = torch.zeros((pixel_frames(latent_frames), rows, columns), dtype=torch.uint8)
    spans = [_during(len(masks), index, video) for index in range(video.frames)]
    for index in range(1, len(weights)):
        span = spans[min(index, len(spans) - 1)]
        is_new = index == 1 or index < len(spans) and span != spans[index - 1]
        weights[index] = _cells(masks[span], window, video.size, rows, columns) if is_new else weights[index - 1]
    return Region(window, weights)


def check_masks_fit(name: str, masks: Tensor, video: Video) -> None:
    """Refuse masks that are not of a video.

    Raises:
        ValueError: their aspect or their number is another one; it names the input.
    """
    height, width = masks.shape[1:]
    if abs(width / height / (video.size[0] / video.size[1]) - 1) > SAME_ASPECT:
        raise ValueError(
            f"{name} has {width} × {height} pixels, the video {video.size[0]} × {video.size[1]}: make the mask from "
            "the video's own frames, uncropped."
        )
    if len(masks) not in (1, video.frames) and abs(len(masks) - video.own_frames) > 1:
        raise ValueError(
            f"{name} holds {len(masks)} masks, the video {video.own_frames} frames ({float(video.seconds):.2f} "
            "seconds): give one mask for all of it, or one for each frame."
        )


def _during(masks: int, index: int, video: Video) -> slice:
    """Which of so many masks are of the frames that are shown in the index-th sixteenth of a second; one at least."""
    rate = Fraction(masks) / video.seconds
    first = min(masks - 1, int(index * rate / FRAME_RATE))
    return slice(first, min(masks, max(first + 1, math.ceil((index + 1) * rate / FRAME_RATE))))


def _box(mask: Tensor, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what a mask (height, width) holds, in pixels of a picture of a size."""
    rows, columns = (mask.amax(dim=axis).nonzero().flatten() for axis in (1, 0))
    down, across = size[1] / mask.shape[0], size[0] / mask.shape[1]
    return (
        int(columns[0]) * across,
        int(rows[0]) * down,
        (int(columns[-1]) + 1) * across,
        (int(rows[-1]) + 1) * down,
    )


def _cells(masks: Tensor, window: Window, size: tuple[int, int], rows: int, columns: int) -> Tensor:
    """Weights (rows, columns) of bytes of the union of masks (n, height, width), grown by a soft edge."""
    mask = to_float(masks.amax(dim=0)).cpu().clamp(0, 1)
    # The crop in the mask's own pixels, whole ones around it.
    down, across = mask.shape[0] / size[1], mask.shape[1] / size[0]
    top, bottom = math.floor(window.top * down), math.ceil((window.top + window.height) * down)
    left, right = math.floor(window.left * across), math.ceil((window.left + window.width) * across)
    cut = mask[None, None, top:bottom, left:right]
    cells = functional.interpolate(cut, (rows, columns), mode="area")
    soft = _softened(cells)
    return soft[0, 0].mul(FULL).round().to(torch.uint8)


def _softened(cells: Tensor) -> Tensor:
    """Cells (1, 1, rows, columns) with a soft edge outside of what they hold, which stays as it is."""
    side = 2 * SOFT_CELLS + 1
    grown = functional.max_pool2d(cells, side, stride=1, padding=SOFT_CELLS)
    blurred = functional.avg_pool2d(grown, side, stride=1, padding=SOFT_CELLS, count_include_pad=False)
    return torch.maximum(cells, blurred)


def clip_images(video: Video, window: Window, size: tuple[int, int], first: int = 0) -> Iterator[Tensor]:
    """Frames of a video's crop at 16 a second from one on, resized to (height, width, 3), as of `Video.images`."""
    for frame in video.images(*video.size, first):
        yield crop_and_resize(window.of(frame).unsqueeze(0), *size)[0]
