"""What a task or a mask keeps comes back; a mask that keeps less than whole tokens of the sound is refused."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import pytest
import torch
from clips import (
    assert_kept,
    chirp,
    conditions,
    joint,
    latent_of,
    left_half,
    model,
    pictures,
    refused,
    sample,
    ways_to_sample,
)
from comfy.nested_tensor import NestedTensor
from comfy.utils import unpack_latents
from pack.nodes import comfy_latent
from pack.nodes.comfy_loading import TRAINED_WITH_MASKS
from pack.nodes.latent_mask import LatentMask
from pack.nodes.long_form import Join
from pack.uniavgen_core.config import audio_tokens, pixel_frames
from pack.uniavgen_core.tasks import KeptParts

import nodes as comfy_nodes

WAYS = pytest.mark.parametrize(
    "way", ["UniAVGen Guider", "CFGGuider", "BasicGuider", "KSampler", "SamplerCustom", "UniAVGen Sampler"]
)
PAST = {"task": "continuation", "video": pictures(40), "frame_rate": 25.0}


def with_mask(latent: dict, mask: torch.Tensor) -> dict:
    """What the core node Set Latent Noise Mask makes of a MASK."""
    return comfy_nodes.SetLatentNoiseMask().set_mask(latent, mask)[0]


def with_streams_masks(latent: dict, video: torch.Tensor | None = None, audio: torch.Tensor | None = None) -> dict:
    """The LATENT with other masks of its streams."""
    before = latent["noise_mask"].unbind()
    return latent | {
        "noise_mask": NestedTensor([before[0] if video is None else video, before[1] if audio is None else audio])
    }


@pytest.mark.parametrize(
    ("task", "frames", "kept_frames", "kept_tokens"),
    [
        (PAST | {"audio": chirp(1.6)}, 7, 3, 56),
        (PAST | {"audio": joint(frames=6, width=64, height=64)}, 7, 3, 56),
        ({"task": "dubbing", "video": pictures(31), "frame_rate": 30.0}, 5, 5, 0),
        ({"task": "audio_driven", "portrait": pictures(1), "audio": chirp(1.0)}, 5, 1, 106),
    ],
    ids=["continuation", "continuation of a LATENT", "dubbing", "audio_driven"],
)
def test_each_task_keeps_what_it_is_given(
    patcher: Any, task: dict, frames: int, kept_frames: int, kept_tokens: int
) -> None:
    latent = latent_of(task)
    video, audio = latent["samples"].unbind()
    assert (video.shape[2], audio.shape[2]) == (frames, audio_tokens(pixel_frames(frames)))
    kept = comfy_latent.kept_parts(latent)
    assert (sum(kept.video), sum(kept.audio)) == (kept_frames, kept_tokens)
    speech = "Hello." if kept_tokens < 100 else ""
    assert_kept(latent, sample(patcher, latent, 2, conds=conditions(speech=speech)))


def test_the_sound_of_a_latent_goes_on_exactly() -> None:
    generated = joint(frames=6, width=64, height=64)
    kept, given = (made["samples"].unbind()[1] for made in (latent_of(PAST | {"audio": generated}), generated))
    assert torch.equal(kept[:, :, :56], given[:, :, -56:])


def test_clips_are_joined() -> None:
    clip, audio = Join.execute(pictures(40), 16.0, pictures(33), chirp(33 / 16), 3, chirp(2.5)).result
    assert len(clip) == 64 and audio["waveform"].shape == (1, 1, 64 * 1500)


@pytest.mark.parametrize(
    ("mask", "kept"),
    [
        (torch.ones(1, 37, 53), [False, False, False]),
        (torch.zeros(1, 37, 53), [True, True, True]),
        (torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1).expand(-1, 37, 53), [False, True, False]),
        (torch.ones(10, 64, 96), [False, False, False]),
    ],
    ids=["all generated", "all kept", "the middle kept", "of ten to three frames"],
)
def test_a_mask_of_whole_frames_keeps_them(
    patcher: Any, latent: dict, conds: Any, mask: torch.Tensor, kept: list[bool]
) -> None:
    """As ComfyUI resizes them: a picture's MASK of any size, one or one for each latent frame."""
    video, audio = latent["samples"].unbind()
    masked = with_mask(latent, mask)
    assert comfy_latent.kept_parts(masked) == KeptParts(tuple(kept), (False,) * audio.shape[2])
    result = sample(patcher, masked, 2, conds=conds)
    assert [torch.equal(result[0][:, :, frame], video[:, :, frame]) for frame in range(3)] == kept
    assert not torch.equal(result[1], audio)


@WAYS
def test_frames_and_tokens_anywhere_are_kept(patcher: Any, latent: dict, conds: Any, way: str) -> None:
    video, audio = latent["samples"].unbind()
    tokens = torch.ones(1, 1, audio.shape[2], 1)
    tokens[:, :, [3, 40, 41]] = 0
    masked = with_streams_masks(latent, torch.tensor([1.0, 0.0, 1.0]).view(1, 1, 3, 1, 1), tokens)
    result = ways_to_sample(patcher, conds)[way](masked)
    assert torch.equal(result[0][:, :, 1], video[:, :, 1]) and not torch.equal(result[0][:, :, 0], video[:, :, 0])
    kept = (result[1] == audio).all(dim=-1).flatten().nonzero().flatten().tolist()
    assert kept == [3, 40, 41]


def rectangle(frames: int = 1) -> torch.Tensor:
    """A MASK that is white on a rectangle of odd edges."""
    mask = torch.zeros(frames, 64, 96)
    mask[:, 5:25, 40:60] = 1
    return mask


def moving() -> torch.Tensor:
    """Another area in each latent frame; the middle one is kept whole."""
    return torch.stack((left_half()[0], torch.zeros(64, 96), 1 - left_half()[0]))


LEFT, MIDDLE, RIGHT = (torch.tensor([column == which for column in range(3)] * 2) for which in range(3))
"""Of the 2 × 3 video tokens."""
UPPER_MIDDLE = torch.tensor([False, True, False, False, False, False])
AREAS = [
    pytest.param(left_half(), [LEFT, LEFT, LEFT], id="left third"),
    pytest.param(rectangle(), [UPPER_MIDDLE] * 3, id="grown to tokens"),
    pytest.param(0.3 * rectangle(), [UPPER_MIDDLE] * 3, id="soft"),
    pytest.param(moving(), [LEFT, torch.zeros(6, dtype=torch.bool), MIDDLE | RIGHT], id="another in each frame"),
]


@pytest.mark.parametrize(("mask", "generated"), AREAS)
@WAYS
def test_an_area_is_generated_and_the_rest_kept(
    patcher: Any, latent: dict, conds: Any, way: str, mask: torch.Tensor, generated: list[torch.Tensor]
) -> None:
    masked = with_mask(latent, mask)
    kept = comfy_latent.kept_parts(masked)
    assert torch.equal(kept.video_tokens(6).expand(-1, 6), ~torch.stack(generated))
    result = ways_to_sample(patcher, conds)[way](masked)
    changed = (result[0] != latent["samples"].unbind()[0])[0].any(dim=0)
    expected = torch.stack(generated).view(3, 2, 3).repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    assert torch.equal(changed, expected)
    assert not torch.equal(result[1], latent["samples"].unbind()[1])


@pytest.mark.parametrize("trained_with_masks", [False, True])
def test_what_is_kept_of_a_frame_in_part_enters_as_the_model_was_trained(
    latent: dict, conds: Any, trained_with_masks: bool
) -> None:
    """Noised to the step, unless it knows masks. The middle frame is kept whole, and enters clean."""
    patcher = model({"dtype": torch.float32, TRAINED_WITH_MASKS: trained_with_masks})
    video = torch.randn(latent["samples"].unbind()[0].shape, generator=torch.Generator().manual_seed(9))
    latent = latent | {"samples": NestedTensor([video, latent["samples"].unbind()[1]])}
    given, seen = patcher.model.process_latent_in(video), []

    def record(apply_model: Any, args: dict) -> torch.Tensor:
        seen.append((args["timestep"], args["input"], args["c"]["kept"]))
        return apply_model(args["input"], args["timestep"], **args["c"])

    patcher.set_model_unet_function_wrapper(record)
    sample(patcher, with_mask(latent, moving()), 4, conds=conds)
    assert seen
    for sigma, packed, kept in seen:
        x = unpack_latents(packed, [part.shape for part in latent["samples"].unbind()])[0][:1]
        assert torch.equal(x[:, :, 1], given[:, :, 1])
        clean = torch.equal(x[:, :, 0, :, 2:], given[:, :, 0, :, 2:])
        noise = (x - (1 - sigma[0]) * given)[:, :, 0, :, 2:] / sigma[0]
        assert clean if trained_with_masks else float(noise.std()) == pytest.approx(1, abs=0.1)
        assert kept.whole_frames == (False, True, False)
        assert (kept == kept.of_whole_frames) != trained_with_masks
    assert patcher.model.areas is None


def test_the_mask_is_shown_as_it_is_used(latent: dict) -> None:
    """One for each pixel frame: the second and the third latent frame are four frames long."""
    sound = torch.ones(1, 1, latent["samples"].unbind()[1].shape[2], 80)
    sound[:, :, :30] = 0
    masked = with_streams_masks(latent, with_mask(latent, moving())["noise_mask"], sound)
    mask, report = LatentMask.execute(masked).result
    white_at = [(mask[frame] == 1).nonzero() for frame in (0, 1, 4, 5, 8)]
    assert mask.shape == (9, 64, 96) and set(mask.unique().tolist()) == {0, 1}
    assert [len(places) for places in white_at] == [64 * 32, 0, 0, 64 * 64, 64 * 64]
    assert white_at[0][:, 1].max() == 31 and white_at[3][:, 1].min() == 32
    assert report == "Picture: 33% is generated, from 0.00 to 0.56 s.\nSound: 46% is generated, from 0.30 to 0.56 s."


def test_a_latent_that_keeps_nothing_or_all_is_said_so() -> None:
    nothing = LatentMask.execute({"samples": joint()["samples"]}).result
    assert nothing[0].min() == 1 and nothing[1].startswith("Picture: all is generated, from 0.00 to 0.56 s.")
    dubbed = latent_of({"task": "dubbing", "video": pictures(31), "frame_rate": 30.0})
    shown, report = LatentMask.execute(dubbed).result
    assert not shown.any() and report.startswith("Picture: all is kept.\nSound: all is generated")


def test_a_latent_of_another_model_has_no_mask_to_show() -> None:
    with refused("without sound", "UniAVGen Latent"):
        LatentMask.execute({"samples": torch.zeros(1, 16, 3, 8, 8)})


def with_some_bands(latent: dict) -> dict:
    bands = latent["noise_mask"].unbind()[1].clone()
    bands[..., 20:26, :40] = 0
    return with_streams_masks(latent, audio=bands)


def with_one_clip_of_a_batch(latent: dict) -> dict:
    pair = joint(batch=2)
    mask = pair["noise_mask"].unbind()[0].repeat(2, 1, 1, 1, 1)
    mask[1, :, 2] = 0
    return with_streams_masks(pair, video=mask)


@WAYS
@pytest.mark.parametrize(
    ("make", "part"),
    [
        (with_some_bands, "in sound token 20."),
        (with_one_clip_of_a_batch, "some clips of the batch"),
    ],
    ids=["some bands", "a clip of a batch"],
)
def test_a_mask_of_less_than_tokens_is_refused_before_the_model_is_loaded(
    patcher: Any, latent: dict, conds: Any, monkeypatch: pytest.MonkeyPatch, way: str, make: Any, part: str
) -> None:
    def load(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the model was loaded first")

    sample_so = ways_to_sample(patcher, conds)[way]
    monkeypatch.setattr(comfy.model_management, "load_models_gpu", load)
    with refused(part, "squares of 32 × 32 pixels"):
        sample_so(make(latent))
