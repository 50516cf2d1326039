"""The region of a video that is made anew: which crop, which tokens, and back into the video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from uniavgen_core.config import SIZE_MULTIPLE, latent_frames, pixel_frames
from uniavgen_core.face.detection import Face, FaceDetector
from uniavgen_core.face.mouth import mouth_masks
from uniavgen_core.media.muxing import write_video
from uniavgen_core.media.pasting import check_made, paste_back
from uniavgen_core.media.region import Region, clip_images, region_of, window_around
from uniavgen_core.media.video import Video, VideoFile, VideoInMemory
from uniavgen_core.model_rates import region_images

SIZE = (480, 270)


def footage(frames: int = 30, rate: float = 25.0, size: tuple[int, int] = SIZE) -> VideoInMemory:
    pixels = torch.rand(frames, size[1], size[0], 3, generator=torch.Generator().manual_seed(1))
    return VideoInMemory(pixels, rate)


def moving_box(video: Video, side: int = 60) -> Tensor:
    """Masks of a box that goes a pixel to the right at each of the video's frames."""
    masks = torch.zeros(video.own_frames, video.size[1], video.size[0])
    for index, mask in enumerate(masks):
        mask[100 : 100 + side, 180 + index : 180 + index + side] = 1
    return masks


def region(video: Video, masks: Tensor, clip: tuple[int, int] | None = None) -> Region:
    return region_of("mask", masks, video, latent_frames(video.frames), clip)


@pytest.mark.parametrize(
    ("size", "box", "clip", "window"),
    [
        # The region takes a fifth of the crop's height or more, at the video's own pixels where that is so.
        ((1920, 1080), (800, 400, 1000, 600), None, (532, 132, 736, 736)),
        ((1280, 720), (600, 300, 660, 360), None, (480, 180, 300, 300)),
        # And two fifths or less.
        ((3840, 2160), (800, 400, 1400, 1000), None, (350, 0, 1500, 1500)),
        # The whole picture, where it is the clip's.
        ((128, 128), (46, 74, 84, 112), (128, 128), (0, 0, 128, 128)),
        # Tall videos are cropped three to four, and a region that is too wide for any crop is all the same in it.
        ((1080, 1920), (400, 800, 700, 1100), None, (175, 450, 750, 1000)),
        ((1920, 1080), (0, 400, 1800, 600), None, (0, 0, 1920, 1080)),
    ],
)
def test_the_crop_shows_the_region_and_its_surroundings(
    size: tuple[int, int],
    box: tuple[int, int, int, int],
    clip: tuple[int, int] | None,
    window: tuple[int, int, int, int],
) -> None:
    assert window_around(box, size, clip) == window


def test_the_crop_never_leaves_the_picture_nor_cuts_the_region() -> None:
    numbers = torch.Generator().manual_seed(3)
    for _ in range(300):
        width, height = torch.randint(64, 2000, (2,), generator=numbers).tolist()
        left, right = sorted(torch.randint(0, width, (2,), generator=numbers).tolist())
        top, bottom = sorted(torch.randint(0, height, (2,), generator=numbers).tolist())
        found = window_around((left, top, right + 1, bottom + 1), (width, height), None)
        assert 0 <= found.left <= left and right + 1 <= found.left + found.width <= width
        assert 0 <= found.top <= top and bottom + 1 <= found.top + found.height <= height


def test_tokens_that_the_region_touches_are_made_and_the_first_frame_is_kept() -> None:
    video = footage()
    made = region(video, moving_box(video), clip=(256, 256))
    kept = made.kept_video()
    assert len(kept) == latent_frames(video.frames) and kept[0] is True
    assert made.size == (256, 256) and len(made.weights) == pixel_frames(len(kept))
    cells = SIZE_MULTIPLE // 4
    for frame, tokens in enumerate(kept[1:], 1):
        during = made.weights[4 * frame - 3 : 4 * frame + 1].amax(dim=0)
        grid = during.unfold(0, cells, cells).unfold(1, cells, cells).amax(dim=(2, 3)).flatten()
        assert isinstance(tokens, tuple) and list(tokens) == (grid == 0).tolist()
    assert not made.weights[0].any()


def test_frames_without_a_region_are_kept_whole() -> None:
    video = footage()
    masks = moving_box(video)
    masks[:18] = 0
    kept = region(video, masks, clip=(256, 256)).kept_video()
    assert kept[:3] == (True,) * 3 and isinstance(kept[-1], tuple)
    assert region(video, torch.ones(1, 270, 480), clip=(480, 256)).kept_video()[1:] == (False,) * (len(kept) - 1)


def test_the_model_sees_the_crop_at_its_own_rate() -> None:
    video = footage()
    made = region(video, moving_box(video), clip=(256, 256))
    images = region_images(video, made, video.frames)
    assert images.shape == (pixel_frames(latent_frames(19)), 256, 256, 3)
    assert len(list(clip_images(video, made.window, made.size))) == 19
    # The video is the clip's size: nothing is resized.
    small = footage(16, 16.0, (64, 64))
    whole = region(small, torch.ones(16, 64, 64), clip=(64, 64))
    assert torch.equal(torch.stack(list(clip_images(small, whole.window, (64, 64)))), small.stored)


@pytest.mark.parametrize("rate", [12.5, 16.0, 25.0, 30000 / 1001, 60.0])
def test_pixels_outside_are_the_videos_own_at_any_rate(rate: float) -> None:
    video = footage(24, rate)
    masks = moving_box(video)
    made = region(video, masks, clip=(128, 128))
    clip = torch.zeros(len(made.weights), made.size[1], made.size[0], 3)
    clip[..., 0] = 1
    pasted = torch.stack(list(paste_back(video, clip, 16, made)))
    assert pasted.shape == video.stored.shape
    changed = (pasted != video.stored).any(dim=-1)
    assert torch.equal(pasted[~changed], video.stored[~changed])
    assert not changed[0].any(), "the first frame is kept"
    # What was masked is made, and nothing changes farther away than the soft edge, a cell and the motion reach.
    assert_changed_around(changed.byte(), masks, made, first=round(rate / 8))


def assert_changed_around(changed: Tensor, masks: Tensor, made: Region, first: int) -> None:
    cell = made.window.height / made.weights.shape[1]
    for frame in range(first, len(masks)):
        mask = box_of(masks[frame])
        inner = changed[frame, mask[0] : mask[1], mask[2] : mask[3]]
        assert inner.float().mean() > 0.99
        assert max(abs(edge - wanted) for edge, wanted in zip(box_of(changed[frame]), mask, strict=True)) < 6 * cell + 2


def box_of(mask: Tensor) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what a mask holds."""
    rows, columns = (mask.amax(dim=axis).nonzero().flatten() for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def test_bytes_stay_bytes(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, footage(30).stored, 25)
    video = VideoFile(path)
    made = region(video, moving_box(video), clip=(128, 128))
    clip = torch.rand(len(made.weights), made.size[1], made.size[0], 3)
    own, pasted = list(video.own_images()), list(paste_back(video, clip, 16, made))
    assert len(own) == len(pasted) == 30 and pasted[20].dtype == torch.uint8
    changed = torch.stack([(before != after).any(dim=-1) for before, after in zip(own, pasted, strict=True)])
    assert_changed_around(changed.byte(), moving_box(video), made, first=4)


def test_what_is_made_as_it_was_goes_back_as_it_was() -> None:
    # A smooth picture, so that cropping and resizing lose next to nothing.
    ramp = torch.linspace(0.2, 0.8, SIZE[0]).expand(16, SIZE[1], -1)
    video = VideoInMemory(torch.stack([ramp, ramp.flip(2), ramp], dim=-1), 25)
    made = region(video, moving_box(video), clip=(256, 256))
    clip = region_images(video, made, video.frames).float()
    for shift in (0.0, 0.05):
        pasted = torch.stack(list(paste_back(video, clip - shift, 16, made)))
        # A codec's shift of colours is taken back, so that there is no edge.
        assert float((pasted - video.stored).abs().max()) < 0.004


def test_interpolated_frames_are_taken_by_their_rate() -> None:
    video = footage(32, 32.0, (64, 64))
    made = region(video, torch.ones(1, 64, 64), clip=(64, 64))
    numbers = torch.arange(32).float().div(64).view(-1, 1, 1, 1).expand(-1, 64, 64, 3)
    check_made("images", 33, 32.0, made)
    pasted = torch.stack(list(paste_back(video, numbers, 32, made)))
    assert pasted[2:, 32, 32, 0].mul(64).round().tolist() == list(range(2, 32))
    with pytest.raises(ValueError, match=r"images holds 17 frames, 32 a second \(0\.53 seconds\).*1\.06"):
        check_made("images", 17, 32.0, made)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (torch.zeros(1, 270, 480), "mask is empty"),
        (torch.ones(1, 480, 480), r"mask has 480 × 480 pixels, the video 480 × 270"),
        (torch.ones(40, 270, 480), r"mask holds 40 masks, the video 30 frames \(1\.20 seconds\)"),
    ],
)
def test_masks_of_something_else_are_refused(masks: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        region(footage(), masks)


class BoxDetector(FaceDetector):
    """Finds a face where a picture is red."""

    def faces(self, image: NDArray) -> list[Face]:
        rows, columns = (image[..., 0] - image[..., 1] > 0.5).nonzero()
        if not len(rows):
            return []
        box = numpy.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], dtype=numpy.float32)
        (left, top), (width, height) = box[:2], box[2:] - box[:2]
        points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
        return [Face(box, numpy.array([(left + x * width, top + y * height) for x, y in points], dtype=numpy.float32))]


def test_the_mouth_is_found_by_itself() -> None:
    pixels = torch.zeros(50, 540, 960, 3)
    pixels[:, 100:300, 400:560, 0] = 1
    video = VideoInMemory(pixels, Fraction(25))
    done: list[int] = []
    masks = mouth_masks("video", video, BoxDetector(), done.append)
    assert masks.shape == (video.frames, 270, 480) and masks.dtype == torch.uint8 and done[-1] == video.frames
    rows, columns = ((masks[20] > 127).any(dim=axis).nonzero().flatten() for axis in (1, 0))
    # From the nose, at 220 of 540 rows, to below the chin, at 300.
    assert 2 * int(rows[0]) == pytest.approx(220 - 10, abs=6) and 2 * int(rows[-1]) == pytest.approx(324 + 10, abs=6)
    assert 2 * int(columns[0]) == pytest.approx(400 - 10, abs=6)
    assert not masks[:, :90].any()
    with pytest.raises(ValueError, match="No face is found in video: connect a mask"):
        mouth_masks("video", VideoInMemory(torch.zeros(20, 54, 96, 3), 16), BoxDetector(), done.append)
