"""Where the mouth of the person in a video is, and what moves with it: found by itself, as masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy
import torch
from torch import Tensor

from ..config import FRAME_RATE, MAX_LATENT_FRAMES, pixel_frames
from ..media.frames import stacked
from ..media.video import Video
from .choice import Choice, largest
from .detection import FaceDetector
from .masks import LONGEST_GAP_SECONDS, SMOOTHING_SECONDS, Progress, Search, draw_faces, find_faces
from .shapes import ELLIPSE, FULL, Style
from .tracks import Timing, Trajectory

MASK_SIDE = 480
"""Pixels of the longer side of the frames that faces are looked for in, and of the masks."""
NOSE = 2
"""The nose's tip among a detector's five points."""
CHIN = 0.12
"""How far below the face's box a chin goes down when the mouth opens, in heights of the box."""
STYLE = Style(ELLIPSE, margin=0.06, feather=0.04)
"""How the region is drawn around the mouth's box."""
BLOCK_FRAMES = pixel_frames(MAX_LATENT_FRAMES)
"""Frames that are held at a time: twenty seconds."""


def mouth_masks(
    name: str, video: Video, detector: FaceDetector, progress: Progress, choice: Choice = largest
) -> Tensor:
    """Masks (F, height, width) of bytes, one for each frame at 16 a second, from the nose to below the chin.

    Faces are looked for in twenty seconds at a time, so that a long video takes no more memory than its masks.

    Args:
        name: of the video's input.
        detector: finds faces in a picture.
        progress: told how many frames are done.
        choice: whose mouth; the largest face's unless it is said.

    Raises:
        ValueError: no face is found; it names the input.
    """
    blocks = list(_block_masks(video, detector, progress, choice))
    masks = torch.cat(blocks) if blocks else torch.zeros(0)
    if not bool(masks.any()):
        raise ValueError(
            f"No face is found in {name}: connect a mask of what is to be made anew, such as the mouth and the chin, "
            "or give a video that shows a face from the front."
        )
    return masks


def _block_masks(video: Video, detector: FaceDetector, progress: Progress, choice: Choice) -> Iterator[Tensor]:
    scale = min(1.0, MASK_SIDE / max(video.size))
    width, height = (max(1, round(side * scale)) for side in video.size)
    search = Search(choice, Timing.of_seconds(LONGEST_GAP_SECONDS, SMOOTHING_SECONDS, FRAME_RATE))
    for start in range(0, video.frames, BLOCK_FRAMES):
        count = min(BLOCK_FRAMES, video.frames - start)
        frames = stacked(video.images(width, height, start, start + count), count, compact=True)

        def show(done: int, before: int = start) -> None:
            progress(before + done)

        faces = find_faces(frames, detector, search, show).chosen
        masks = draw_faces(frames, [_mouth_of(face) for face in faces], STYLE, show)
        yield masks.mul(FULL).round().to(torch.uint8)


def _mouth_of(face: Trajectory) -> Trajectory:
    """A face whose boxes go from the tip of its nose to below its chin."""
    boxes = face.boxes.copy()
    heights = boxes[:, 3] - boxes[:, 1]
    # A detector may put the nose of a turned head anywhere: no less than the lower third is the mouth's.
    boxes[:, 1] = numpy.minimum(face.keypoints[:, NOSE, 1], boxes[:, 3] - heights / 3)
    boxes[:, 3] += CHIN * heights
    return replace(face, boxes=boxes)
