"""Captions that change within a clip."""

from __future__ import annotations

import pytest
import torch
from small_model import FRAMES, TOKENS, small_sizes
from torch import Tensor

from uniavgen_core.backend import torch_operations
from uniavgen_core.captions import CaptionChange, caption_frames, check_changes, encode_captions
from uniavgen_core.config import CAPTION_ROWS
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.tiny.bundle import random_state_dict

ROWS = torch.zeros(1, 3, 16)


def changes(*seconds: float) -> list[CaptionChange]:
    return [CaptionChange(moment, ROWS) for moment in seconds]


@pytest.fixture(scope="module")
def model() -> JointDiT:
    model = JointDiT(small_sizes(), torch_operations)
    model.load_state_dict(random_state_dict({name: x.shape for name, x in model.state_dict().items()}))
    return model.eval()


def test_a_latent_frame_has_the_caption_of_its_middle() -> None:
    assert caption_frames([], 5) is None
    # Their middles are at 1/32, 3/16, 7/16, 11/16 and 15/16 seconds.
    assert caption_frames(changes(0.03), 5) == (1, 1, 1, 1, 1)
    assert caption_frames(changes(0.1875), 5) == (0, 1, 1, 1, 1)
    assert caption_frames(changes(0.2, 0.9), 5) == (0, 0, 1, 1, 2)
    assert caption_frames(changes(0.45, 0.5), 5) == (0, 0, 0, 2, 2)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        ((1.1,), "changes at 1.1 seconds, but the clip ends at 1.06"),
        ((0.5, 0.5), "changes at 0.5 seconds, which is not behind 0.5"),
        ((0.0,), "changes at 0 seconds, which is not behind 0"),
    ],
)
def test_changes_that_a_clip_does_not_have_are_refused(seconds: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_changes(changes(*seconds), 5)


def test_changes_in_order_are_taken() -> None:
    check_changes(changes(0.1, 0.5, 1.0), 5)


def captions(model: JointDiT, *rows: int) -> tuple[Tensor, list[CaptionChange]]:
    """The first of captions of so many rows, and the others."""
    generator = torch.Generator().manual_seed(4)
    first, *others = (torch.randn(1, count, model.sizes.text_width, generator=generator) for count in rows)
    return first, [CaptionChange(0.1 + index / 4, rows) for index, rows in enumerate(others)]


@torch.no_grad()
def test_each_caption_is_encoded_as_it_is_alone(model: JointDiT) -> None:
    first, others = captions(model, 3, 5)
    together = encode_captions(model.encode_caption, first, others)
    assert together.shape == (1, 2, CAPTION_ROWS, model.sizes.video_width)
    for index, rows in enumerate((first, others[0].rows)):
        assert torch.equal(together[:, index], model.encode_caption(rows))
    assert torch.equal(encode_captions(model.encode_caption, first, []), model.encode_caption(first))
    longest = encode_captions(model.encode_caption, *captions(model, 3, CAPTION_ROWS + 9))
    assert longest.shape[2] == CAPTION_ROWS + 9


def predicted(model: JointDiT, features: Tensor, **settings: object) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    video = torch.randn(2, 48, FRAMES, 4, 6, generator=generator)
    audio = torch.randn(2, 1, TOKENS, 80, generator=generator)
    speech = model.encode_speech(torch.arange(10).view(1, 10), torch.float32)
    return model(
        [video, audio], torch.tensor([500.0, 500.0]), features.expand(2, *features.shape[1:]),
        speech.expand(2, -1, -1), reference_image=video[:1, :, :1], **settings,
    )  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("frames", [(0, 0, 1), (1, 0, 1), (2, 2, 2), (0, 1, 2)])
def test_each_frame_attends_to_its_own_caption(model: JointDiT, frames: tuple[int, ...]) -> None:
    """As with all captions at once, and the scores of those of other times masked; the portrait has the first's."""
    together = encode_captions(model.encode_caption, *captions(model, 3, 5, 4))
    own = torch.tensor([frames[0], *frames]).repeat_interleave(6).view(1, -1, 1)
    of_row = torch.arange(3).repeat_interleave(together.shape[2])
    mask = torch.where(own == of_row, 0.0, -torch.inf)
    ours = predicted(model, together, caption_frames=frames)
    theirs = predicted(model, together.flatten(1, 2), caption_mask=mask)
    for stream, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(stream, other, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_same_caption_throughout_changes_nothing(model: JointDiT) -> None:
    first, _ = captions(model, 3)
    together = encode_captions(model.encode_caption, first, [CaptionChange(0.3, first)])
    alone = predicted(model, model.encode_caption(first))
    for stream, other in zip(predicted(model, together, caption_frames=(0, 0, 1)), alone, strict=True):
        torch.testing.assert_close(stream, other, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(alone[0], predicted(model, model.encode_caption(captions(model, 3, 5)[1][0].rows))[0])
