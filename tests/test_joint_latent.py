from __future__ import annotations

import pytest
import torch

from uniavgen_core.config import MAX_LATENT_FRAMES, audio_tokens, clip_seconds, pixel_frames
from uniavgen_core.joint_latent import (
    Shape,
    check_seconds,
    check_shapes,
    check_size,
    kept_of,
    stream_masks,
    stream_shapes,
    tokens_of_frames,
    whole_masks,
)
from uniavgen_core.tasks import KeptParts, kept_prefix, put_back

VIDEO, AUDIO = (2, 48, 21, 46, 80), (2, 1, 506, 80)


def test_stream_shapes() -> None:
    assert stream_shapes(21, width=1280, height=736, batch=2) == (VIDEO, AUDIO)
    assert stream_shapes(1, 64, 32) == ((1, 48, 1, 2, 4), (1, 1, 6, 80))
    check_shapes(stream_shapes(1, 64, 32))


def test_masks_are_0_where_a_part_is_kept() -> None:
    video, audio = stream_masks(KeptParts(video=(True, False), audio=(False, False, True)), rows=2, columns=3)
    assert torch.equal(video, torch.tensor([0.0, 1.0]).view(1, 1, 2, 1, 1).expand(1, 1, 2, 2, 3))
    assert torch.equal(audio, torch.tensor([1.0, 1.0, 0.0]).view(1, 1, 3, 1).expand(1, 1, 3, 80))
    video[:, :, 0] = 1
    audio[..., 0, :40] = 0
    assert video.all() and audio[0, 0, 0].sum() == 40, "they are the caller's to write into"


def test_masks_fit_the_streams() -> None:
    shapes = stream_shapes(5, 96, 64)
    masks = stream_masks(kept_prefix(5, audio_tokens(pixel_frames(5)), kept_frames=2), rows=4, columns=6)
    assert [mask.shape[2:] for mask in masks] == [shape[2:] for shape in shapes]


def masks_of_ones(batch: int = 2) -> list[torch.Tensor]:
    """Masks that generate all of a clip of three latent frames."""
    video, audio = stream_shapes(3, 96, 64, batch)
    return [torch.ones(video), torch.ones(audio)]


def test_whole_frames_and_tokens_may_be_kept_anywhere() -> None:
    masks = masks_of_ones()
    masks[0][:, :, 1] = 0
    masks[1][:, :, [0, 7, -1]] = 0
    for jitter in (0, 5e-5):
        given = [(mask - jitter).abs() for mask in masks]
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(whole_masks(given), masks, strict=True))
    audio = tuple(token in (0, 7, masks[1].shape[2] - 1) for token in range(masks[1].shape[2]))
    assert kept_of(masks) == KeptParts((False, True, False), audio)


@pytest.mark.parametrize(("rows", "columns"), [(4, 6), (5, 7)])
def test_what_is_generated_grows_to_whole_video_tokens(rows: int, columns: int) -> None:
    """A token of 2 × 2 latents, or what is left of it at the edge, is kept where the mask is 0 over all of it."""
    video, audio = torch.zeros(2, 1, 3, rows, columns), torch.ones(2, 1, 30, 80)
    video[:, :, 0, 1, 2] = 0.25
    video[:, :, 2] = 1
    video[:, :, 2, -1, -1] = 0
    masks = whole_masks([video, audio])
    kept = kept_of(masks)
    first = torch.zeros(rows, columns)
    first[0:2, 2:4] = 1
    assert torch.equal(masks[0][1, 0, 0], first)
    assert (kept.whole_frames, kept.all_video, any(kept.audio)) == ((False, True, False), False, False)
    alone = rows % 2 and columns % 2  # The last latent is a token of its own.
    assert (kept.video[2] is False) == (not alone)
    assert torch.equal(stream_masks(kept, rows, columns)[0][0], masks[0][0])
    given, generated = torch.zeros(2, 48, 3, rows, columns), torch.ones(2, 48, 3, rows, columns)
    result = put_back(kept, (given, audio), (generated, audio))[0]
    assert torch.equal(result, masks[0].expand_as(result))


@pytest.mark.parametrize(
    ("stream", "index", "value", "message"),
    [
        (0, (slice(None), slice(None), 0), float("inf"), "not numbers"),
        (0, (1, slice(None), 2, slice(2), slice(2)), 0.0, "keeps latent frame 2 in some clips of the batch only"),
        (0, (1, slice(None), 1), 0.0, "keeps latent frame 1 in some clips of the batch only"),
        (1, (0, 0, 9, slice(40)), 0.0, r"values from 0 to 1 in sound token 9\."),
        (1, (0, 0, 30), 0.999, r"the value 0\.999 in sound token 30\."),
        (1, (1, 0, slice(20)), 0.0, "keeps sound token 0 in some clips of the batch only"),
        (1, (1, 0, 3), float("nan"), "not numbers"),
    ],
)
def test_masks_of_anything_else_are_refused(stream: int, index: tuple, value: float, message: str) -> None:
    masks = masks_of_ones()
    masks[stream][index] = value
    with pytest.raises(ValueError, match=f"^The noise mask of the LATENT .*{message}"):
        whole_masks(masks)


def test_what_masks_work_is_said() -> None:
    masks = masks_of_ones(batch=1)
    masks[1][..., :3] = 0
    with pytest.raises(ValueError, match=r"whole tokens of the sound.*'UniAVGen Latent'.*0 \(kept\) or 1"):
        whole_masks(masks)


def test_sizes() -> None:
    check_size(32, 1280)
    for width, height, message in [
        (500, 736, r"^width is 500: it must be a multiple of 32\. The nearest is 512\.$"),
        (736, 730, r"^height is 730: .* The nearest is 736\.$"),
        (0, 736, r"^width is 0: .* The nearest is 32\.$"),
        (736, -64, r"^height is -64: .* The nearest is 32\.$"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_size(width, height)


@pytest.mark.parametrize(
    ("seconds", "frames"), [(0.01, 1), (0.0625, 1), (0.07, 2), (5.0625, 21), (5.07, 22), (20.0625, 81)]
)
def test_seconds_become_latent_frames(seconds: float, frames: int) -> None:
    assert check_seconds(seconds) == frames


@pytest.mark.parametrize("seconds", [0.0, -1.5, float("nan")])
def test_no_time_at_all_is_an_error(seconds: float) -> None:
    with pytest.raises(ValueError, match=rf"^seconds lasts {seconds:g} seconds: ask for more than 0"):
        check_seconds(seconds)


@pytest.mark.parametrize("seconds", [20.07, 3600.0])
def test_more_time_than_a_segment_is_an_error(seconds: float) -> None:
    assert clip_seconds(MAX_LATENT_FRAMES) == 20.0625
    with pytest.raises(ValueError, match=rf"^seconds lasts {seconds:.2f} seconds, more than one .* UniAVGen Long Form"):
        check_seconds(seconds)


@pytest.mark.parametrize("name", ["video", "audio"])
def test_what_is_given_and_too_long_has_a_place(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} lasts 30\.00 seconds, .* 20\.06\. Connect it to recording of"):
        check_seconds(30.0, name)


def test_a_joint_latent_passes() -> None:
    check_shapes((VIDEO, AUDIO))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([VIDEO], "this LATENT is a picture or video latent without sound"),
        ([VIDEO, AUDIO, AUDIO], "this LATENT is a latent of 3 streams"),
        ([(2, 16, 21, 46, 80), AUDIO], "of another model: its streams are 2×16×21×46×80 and 2×1×506×80"),
        ([(2, 48, 46, 80), AUDIO], "of another model"),
        ([VIDEO, (2, 506, 80)], "of another model"),
        ([VIDEO, (2, 8, 506, 80)], "of another model"),
        ([VIDEO, (2, 1, 506, 64)], "of another model"),
        (
            [VIDEO, (2, 1, 500, 80)],
            r"not equally long: 21 latent frames \(5\.06 s\) go with 506 audio tokens, but there are 500",
        ),
    ],
)
def test_other_latents_are_refused(shapes: list[Shape], message: str) -> None:
    with pytest.raises(ValueError, match=rf"{message}.* Connect the LATENT of the node 'UniAVGen Latent'\.$"):
        check_shapes(shapes)


@pytest.mark.parametrize("frames", [1, 2, 5, 21, MAX_LATENT_FRAMES])
def test_all_frames_have_all_tokens(frames: int) -> None:
    tokens = audio_tokens(pixel_frames(frames))
    assert tokens_of_frames(range(frames), frames, tokens) == list(range(tokens))


def test_tokens_of_some_frames() -> None:
    # Frame 0 is one pixel frame of nine, the others are four: two tokens a pixel frame.
    assert tokens_of_frames([0], 3, 18) == [0, 1]
    assert tokens_of_frames([1], 3, 18) == list(range(2, 10))
    assert tokens_of_frames([2, 0], 3, 18) == [*range(10, 18), 0, 1]
    assert tokens_of_frames([0, 0, 1], 3, 18) == list(range(10))
    # Fewer tokens than frames: each frame has one, named once.
    assert tokens_of_frames(range(4), 4, 2) == [0, 1]
    assert all(tokens_of_frames([frame], 4, 2) for frame in range(4))
