"""Two clips in one video: sizes, times, labels and sounds."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from uniavgen_core.media.lettering import label_image
from uniavgen_core.media.side_by_side import IN_TURN, TOGETHER, LabelledClip, beside


def clip(
    frames: int, rate: int, size: tuple[int, int], tone: float | None = 0.5, sample_rate: int = 8000
) -> LabelledClip:
    """Frame k of grey value k / frames, and a sound of one value."""
    grey = torch.arange(frames).view(-1, 1, 1, 1).float() / frames
    sound = None if tone is None else (torch.full((1, 1, sample_rate * frames // rate), tone), sample_rate)
    return LabelledClip("A", grey.expand(-1, *size, 3), Fraction(rate), sound)


@pytest.mark.parametrize(("way", "frames"), [(IN_TURN, 50 + 25), (TOGETHER, 50)])
def test_each_frame_is_shown_at_its_time(way: str, frames: int) -> None:
    left, right = clip(32, 16, (64, 48)), clip(25, 25, (128, 64), tone=-0.5, sample_rate=16_000)
    images, rate, waveform, sample_rate = beside(left, right, way)
    assert rate == 25 and sample_rate == 16_000
    assert images.shape == (frames, 20 + 64, 48 + 32, 3)
    assert waveform.shape == (1, 2, frames * 16_000 // 25)
    start = 50 if way == IN_TURN else 0
    for index in range(frames):
        shown = min(31, index * 16 // 25), min(24, max(0, index - start))
        levels = images[index, 50, 10, 0], images[index, 50, 60, 0]
        assert torch.allclose(torch.stack(levels), torch.tensor([shown[0] / 32, shown[1] / 25]), atol=1e-3)


def test_sounds_in_turn_are_heard_on_both_sides() -> None:
    waveform = beside(clip(16, 16, (64, 64)), clip(16, 16, (64, 64), tone=-0.5), IN_TURN)[2]
    assert torch.allclose(waveform[0, :, 3000], torch.tensor(0.5), atol=0.02)
    assert torch.allclose(waveform[0, :, 12_000], torch.tensor(-0.5), atol=0.02)


def test_sounds_together_are_heard_on_one_side_each() -> None:
    waveform = beside(clip(16, 16, (64, 64)), clip(32, 16, (64, 64), tone=-0.5), TOGETHER)[2]
    assert torch.allclose(waveform[0, :, 3000], torch.tensor([0.5, -0.5]), atol=0.02)
    assert torch.allclose(waveform[0, :, 12_000], torch.tensor([0.0, -0.5]), atol=0.02)


def test_clips_without_sound_are_silent() -> None:
    waveform = beside(clip(8, 16, (64, 64), tone=None), clip(8, 16, (64, 64), tone=None), IN_TURN)[2]
    assert waveform.shape[-1] == 24_000 and not waveform.any()


@pytest.mark.parametrize(
    "text", ["UniAVGen", "a label that is much too long for so narrow a picture", "of\ntwo lines", "小模型"]
)
def test_a_label_is_written_within_its_edges(text: str) -> None:
    label = label_image(text, 120, 24)[0, :, :, 0]
    assert label.max() > 0.4 and not label[:, 0].any() and not label[:, -1].any()
    assert not label_image("", 120, 24).any()
