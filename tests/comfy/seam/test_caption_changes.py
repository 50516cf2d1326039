"""Captions that change within a clip, through each node that samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from clips import (
    assert_apart,
    assert_close,
    assert_kept,
    caption,
    conditions,
    joint,
    model,
    one_step,
    refused,
    sample,
    ways_to_sample,
    windowed,
)
from pack.nodes.comfy_model import CAPTION_CHANGES
from pack.nodes.conditioning import ChangeCaption, Conditioning

FRAMES = 5
"""Latent frames, whose middles are at 1/32, 3/16, 7/16, 11/16 and 15/16 seconds."""


def changing(*seconds: float, before: bool = False) -> tuple[list, list]:
    """Conditions whose caption changes at these moments; `before` or behind UniAVGen Conditioning."""
    positive, negative = (caption(2), caption(3)) if before else conditions()
    for index, moment in enumerate(seconds):
        positive = ChangeCaption.execute(positive, caption(10 + index, rows=7), moment)[0]
    if not before:
        return positive, negative
    out = Conditioning.execute(positive, negative, "Hello", "auto")
    return out[0], out[1]


def captions_seen(patcher: Any) -> list[tuple[tuple[int, ...], Any]]:
    """Shapes of the captions, and which each frame has, of every pass from now on."""
    seen: list[tuple[tuple[int, ...], Any]] = []

    def note(dit: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        # Called as forward(x, timestep, context, …).
        seen.append(
            (tuple(keywords.get("context", args[2] if len(args) > 2 else None).shape), keywords.get("caption_frames"))
        )

    patcher.model.diffusion_model.register_forward_pre_hook(note, with_kwargs=True)
    return seen


@pytest.fixture
def clip() -> dict:
    return joint(FRAMES, 64, 64)


def test_each_frame_has_the_caption_of_its_time(patcher: Any, clip: dict) -> None:
    seen = captions_seen(patcher)
    sample(patcher, clip, 2, conds=changing(0.3, 0.9))
    width = patcher.model.diffusion_model.sizes.video_width
    assert sorted(seen, key=str) == [((1, 3, 512, width), (0, 0, 1, 1, 2))] * 2 + [((1, 512, width), None)] * 2


@pytest.mark.parametrize("way", ways_to_sample(model(), conditions()))
def test_whatever_samples_reads_them(patcher: Any, clip: dict, way: str) -> None:
    ours = ways_to_sample(patcher, changing(0.3))[way](clip)
    assert_kept(clip, ours)
    assert_apart(ours, ways_to_sample(patcher, conditions())[way](clip), 1e-4)


def test_the_node_may_stand_before_the_words(patcher: Any, clip: dict) -> None:
    assert_close(one_step(patcher, clip, changing(0.3, before=True)), one_step(patcher, clip, changing(0.3)), 1e-6)


def test_from_the_first_frame_on_it_is_the_other_caption(patcher: Any, clip: dict) -> None:
    words = Conditioning.execute(caption(10, rows=7), caption(3), "Hello", "auto")
    assert_close(one_step(patcher, clip, changing(0.02)), one_step(patcher, clip, (words[0], words[1])), 1e-5)


def test_all_clips_of_a_batch_change(patcher: Any) -> None:
    made = one_step(patcher, joint(FRAMES, 64, 64, batch=2), changing(0.3))
    assert_apart(made, one_step(patcher, joint(FRAMES, 64, 64, batch=2), conditions()), 1e-4)


def test_context_windows_take_their_own(patcher: Any) -> None:
    seen = captions_seen(patcher)
    latent = joint(8, 64, 64)
    assert_kept(latent, sample(windowed(patcher), latent, 1, conds=changing(1.0)))
    windows = {frames for _, frames in seen if frames is not None}
    # Newer versions of ComfyUI put the clip's first frame before each later window.
    assert windows in ({(0,) * 5, (0, 0, 1, 1, 1)}, {(0,) * 5, (0, 0, 0, 1, 1, 1)})


def test_changes_that_the_clip_does_not_have_are_refused(patcher: Any, clip: dict) -> None:
    with refused("changes at 1.5 seconds", "the clip ends at 1.06"):
        sample(patcher, clip, 1, conds=changing(1.5))
    with refused("changes at 0.2 seconds", "not behind 0.5"):
        sample(patcher, clip, 1, conds=changing(0.5, 0.2))


def test_a_caption_of_another_encoder_is_refused(patcher: Any, clip: dict) -> None:
    positive, negative = conditions()
    other = [[torch.zeros(1, 7, 48), {}]]
    with refused("rows of width 48"):
        sample(patcher, clip, 1, conds=(ChangeCaption.execute(positive, other, 0.3)[0], negative))
    with refused("caption holds 2 captions"):
        ChangeCaption.execute(positive, [*other, *other], 0.3)


def test_what_is_given_stays_as_it_is() -> None:
    positive, _ = conditions()
    ChangeCaption.execute(positive, caption(5), 0.3)
    assert all(CAPTION_CHANGES not in values for _, values in positive)
