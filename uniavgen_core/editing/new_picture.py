"""New frames of a segment as they are put into the user's video: in its colours, at its size, without a seam."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..long_form.seams import FADE_FRAMES, colour_change, colours_of, fade_weights, seam_offset
from ..media.frames import to_float
from ..media.video import Video

EDGE = 16
"""Pixels over which new frames fade into what the model did not see of the picture."""


class NewPicture:
    """The frames that are made anew, each of them asked for by its number.

    Colours are those of what is kept before and behind, as far as the codec changed them there. What the codec changed
    of detail, what the model's size lacks of it, and what jumps at the seam beyond the motion around it are faded out
    over half a second on both sides.

    Args:
        frames: of the segment as decoded, (F, h, w, 3).
        made: which of them are made anew.
        before: what comes before and its frames that are kept in the segment, as a slice of `before`'s frames at 16 a
            second; None where there is nothing.
        behind: as `before`.
    """

    def __init__(
        self,
        frames: Tensor,
        made: range,
        before: tuple[Video, range] | None,
        behind: tuple[Video, range] | None,
        size: tuple[int, int],
    ):
        self.size, self.region = size, _seen_region(size, (frames.shape[2], frames.shape[1]))
        self.frames = frames[made.start : made.stop].float().clone()
        kept = (frames[: made.start].float(), frames[made.stop :].float())
        self.sides = [None if side is None or not side[1] else side for side in (before, behind)]
        given = [
            None if side is None else _given(side, reverse, frames.shape[2], frames.shape[1])
            for side, reverse in zip(self.sides, (False, True), strict=True)
        ]
        self._match_colours(kept, given)
        self.length = min(FADE_FRAMES, len(self.frames))
        self.offsets = [
            None if own is None else self._offset(kept[place], own, place) for place, own in enumerate(given)
        ]

    def beside(self, fraction: float) -> Tensor:
        """The user's frame (H, W, 3) before, faded by a fraction into the one behind."""
        before, behind = (to_float(self._nearest(place)) for place in (0, 1))
        return before + fraction * (behind - before)

    def _nearest(self, place: int) -> Tensor:
        """The user's own frame (H, W, 3) that is next to the new ones, before (0) or behind (1)."""
        side = self.sides[place]
        assert side is not None
        video, span = side
        nearest = span.start if place else span.stop - 1
        return next(video.images(*self.size, nearest, nearest + 1))

    def _match_colours(self, kept: Sequence[Tensor], given: Sequence[Tensor | None]) -> None:
        """Undo what the codec changed of the colours, from what it did before to what it did behind."""
        changes = []
        for place, own in enumerate(given):
            if own is not None:
                decoded = _beside(kept[place], len(own), place)
                changes.append(colour_change(colours_of(decoded), colours_of(own)))
        if not changes:
            return
        fraction = torch.linspace(0, 1, len(self.frames)).view(-1, 1, 1, 1)
        first, last = changes[0], changes[-1]
        contrast, brightness = (a + fraction * (b - a) for a, b in zip(first, last, strict=True))
        self.frames.mul_(contrast).add_(brightness)
        self.changes = (first, last)

    def _offset(self, kept: Tensor, own: Tensor, place: int) -> Tensor:
        """What the outermost new frame (rows, columns, 3) of the region lacks to follow the user's own one."""
        contrast, brightness = self.changes[place]
        decoded = _beside(kept, len(own), place) * contrast + brightness
        frames = self.frames
        if place:
            frames, decoded, own = (part.flip(0) for part in (frames, decoded, own))
        coarse = seam_offset(frames, decoded, own)
        full = to_float(self._nearest(place))
        top, left, rows, columns = self.region
        detail = full[top : top + rows, left : left + columns] - _resized(own[-1], (rows, columns))
        return _resized(coarse, (rows, columns)) + detail

    def frame(self, index: int, shown: Tensor) -> Tensor:
        """A frame of the user's video (H, W, 3), values 0..1, with the new picture in it.

        Args:
            index: of the new frame, from 0 on.
            shown: the frame that was there, of which only what the model did not see stays.
        """
        top, left, rows, columns = self.region
        stored = shown.shape[0], shown.shape[1]
        new = _resized(self.frames[index], (rows, columns))
        weights = fade_weights(self.length)
        for place, distance in enumerate((index, len(self.frames) - 1 - index)):
            offset = self.offsets[place]
            if offset is not None and distance < self.length:
                new = new + weights[distance] * offset
        # A file's frames may be stored narrower than they are shown.
        whole = _resized(shown, self.size[::-1]).clone()
        seen = whole[top : top + rows, left : left + columns]
        seen.add_(_edge_weights(self.size, self.region) * (new.clamp(0, 1) - seen))
        return _resized(whole, stored)


def _given(side: tuple[Video, range], behind: bool, width: int, height: int) -> Tensor:
    """The user's own frames (n, height, width, 3) that are nearest to the new ones, in their order."""
    video, span = side
    nearest = span[:FADE_FRAMES] if behind else span[-FADE_FRAMES:]
    return torch.stack([to_float(frame) for frame in video.images(width, height, nearest.start, nearest.stop)])


def _beside(kept: Tensor, count: int, behind: int) -> Tensor:
    """So many kept frames next to the new ones."""
    return kept[:count] if behind else kept[-count:]


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image (H, W, 3) at (rows, columns)."""
    if tuple(image.shape[:2]) == size:
        return image
    resized = functional.interpolate(image.movedim(-1, 0)[None], size=size, mode="bicubic", antialias=True)
    return resized[0].movedim(0, -1)


def _seen_region(size: tuple[int, int], model_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, rows and columns of what the model sees of a picture, as `crop_and_resize` cuts it."""
    (width, height), (across, down) = size, model_size
    scale = min(width / across, height / down)
    rows, columns = max(1, round(down * scale)), max(1, round(across * scale))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def _edge_weights(size: tuple[int, int], region: tuple[int, int, int, int]) -> Tensor:
    """Weights (rows, columns, 1) of the new picture: 1 but for a ramp at edges beyond which something is left."""
    (width, height), (top, left, rows, columns) = size, region

    def ramp(count: int, before: int, behind: int) -> Tensor:
        index = torch.arange(count, dtype=torch.float32) + 1
        rising = (index / (EDGE + 1)).clamp(max=1) if before else torch.ones(count)
        falling = (index.flip(0) / (EDGE + 1)).clamp(max=1) if behind else torch.ones(count)
        return rising * falling

    down, across = ramp(rows, top, height - rows - top), ramp(columns, left, width - columns - left)
    return (down[:, None] * across).unsqueeze(-1)
