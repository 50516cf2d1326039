from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from uniavgen_core.captions import CaptionChange
from uniavgen_core.config import audio_tokens, pixel_frames
from uniavgen_core.sampling.euler import Clip, Condition, sample_euler
from uniavgen_core.sampling.guidance import AUTO_BLOCK, Guidance, first_steps, guide, resolve_skip_block, sigma_after
from uniavgen_core.sampling.schedule import SIMPLE, flow_sigmas
from uniavgen_core.tasks import KeptParts, Switches, kept_prefix

FRAMES = 3
TOKENS = audio_tokens(pixel_frames(FRAMES))
POSITIVE = Condition(torch.full((1, 4, 8), 1.0), torch.zeros(1, 12, dtype=torch.long))
NEGATIVE = Condition(torch.full((1, 4, 8), 3.0), torch.zeros(1, 10, dtype=torch.long))
ON, OFF = Switches(), Switches(False, False)


class Call(SimpleNamespace):
    """The arguments of one call of the model."""


def caption_value(call: Call) -> list[Tensor]:
    """Velocities that are the caption's value everywhere."""
    return [torch.full_like(stream, call.caption.mean()) for stream in call.x]


class StubModel:
    """In place of the model: it notes what it is asked, and its velocities are a plain function of that."""

    def __init__(self, velocity: Callable[[Call], list[Tensor]] = caption_value):
        self.sizes = SimpleNamespace(blocks=30)
        self.velocity = velocity
        self.calls: list[Call] = []

    def encode_caption(self, caption: Tensor) -> Tensor:
        return caption

    def encode_speech(self, symbols: Tensor, dtype: torch.dtype) -> Tensor:
        return symbols.unsqueeze(-1).to(dtype)

    def __call__(
        self, x: list[Tensor], timestep: Tensor, caption: Tensor, speech: Tensor, *, reference_image: Tensor,
        reference_audio: Tensor | None, kept: KeptParts, switches: Switches, plans: Any, caption_frames: Any,
    ) -> list[Tensor]:  # fmt: skip
        self.calls.append(Call(**{name: value for name, value in locals().items() if name != "self"}))
        return self.velocity(self.calls[-1])

    def switches(self, condition: Condition) -> list[Switches]:
        return [call.switches for call in self.calls if call.caption is condition.caption]


def make_clip(kept_frames: int = 1, kept_tokens: int = 0, has_voice: bool = False, batch: int = 1) -> Clip:
    generator = torch.Generator().manual_seed(1)
    return Clip(
        video=torch.randn(batch, 48, FRAMES, 2, 4, generator=generator),
        audio=torch.randn(batch, 1, TOKENS, 80, generator=generator),
        kept=kept_prefix(FRAMES, TOKENS, kept_frames, kept_tokens),
        reference_image=torch.randn(1, 48, 1, 2, 4, generator=generator),
        reference_audio=torch.randn(1, 5, 80, generator=generator) if has_voice else None,
    )


def make_noise(clip: Clip, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(clip.video.shape, generator=generator), torch.randn(clip.audio.shape, generator=generator)


def sample(model: Any, clip: Clip, steps: int = 4, noise: Any = None, **settings: Any) -> list[Tensor]:
    return sample_euler(
        model, clip, noise or make_noise(clip), flow_sigmas(steps), positive=POSITIVE, negative=NEGATIVE, **settings
    )


# Schedule


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("shift", [1.0, 5.0, 0.5])
def test_schedule_follows_the_formula(steps: int, shift: float) -> None:
    sigmas = flow_sigmas(steps, shift)
    timesteps = [1000 - 999 * step / (steps - 1) for step in range(steps)] if steps > 1 else [1000]
    expected = [shift * t / 1000 / (1 + (shift - 1) * t / 1000) for t in timesteps] + [0]
    assert sigmas.dtype == torch.float32
    assert sigmas.tolist() == pytest.approx(expected, rel=1e-6)


def test_the_released_schedule() -> None:
    sigmas = flow_sigmas()
    assert len(sigmas) == 51
    assert [round(float(sigma), 5) for sigma in sigmas[[0, 24, 25, 50]]] == [1, 0.83919, 0.82788, 0]
    assert float(sigmas[49]) == pytest.approx(0.005 / 1.004)


@pytest.mark.parametrize("steps", [1, 8, 50])
@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_the_simple_schedule_is_even_down_to_0(steps: int, shift: float) -> None:
    sigmas = flow_sigmas(steps, shift, SIMPLE).double()
    assert len(sigmas) == steps + 1 and sigmas[0] == 1 and sigmas[-1] == 0
    timesteps = sigmas / (shift - (shift - 1) * sigmas)
    torch.testing.assert_close(timesteps.diff(), torch.full((steps,), -1 / steps).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "shift", "message"), [(0, 5.0, "^steps is 0"), (9, 0.0, "^shift is 0"), (9, -1, "^shift is -1")]
)
def test_impossible_schedules_are_errors(steps: int, shift: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flow_sigmas(steps, shift)


def test_an_unknown_schedule_is_an_error() -> None:
    with pytest.raises(ValueError, match="^There is no schedule 'Released': choose released or simple"):
        flow_sigmas(schedule="Released")


# Guidance


@pytest.mark.parametrize(("steps", "guided"), [(1, 0), (2, 1), (7, 3), (8, 4), (50, 25)])
def test_the_first_half_is_guided(steps: int, guided: int) -> None:
    assert first_steps(steps, 0.5) == guided
    sigmas = flow_sigmas(steps).tolist()
    edge = sigma_after(sigmas, 0.5)
    if guided == 0:
        assert edge is None
        return
    assert edge is not None and [sigma > edge for sigma in sigmas].count(True) == guided
    # A solver's evaluations inside the last guided step are above the edge, too.
    assert edge < (sigmas[guided - 1] + sigmas[guided]) / 2


@pytest.mark.parametrize(("steps", "part", "first"), [(50, 0.58, 29), (100, 0.29, 29), (7, 0.99, 6)])
def test_a_part_is_rounded_down_to_whole_steps(steps: int, part: float, first: int) -> None:
    assert first_steps(steps, part) == first


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_none_and_all_of_the_steps_may_be_guided(steps: int) -> None:
    sigmas = flow_sigmas(steps).tolist()
    assert first_steps(steps, 0.0) == 0 and sigma_after(sigmas, 0.0) is None
    assert first_steps(steps, 1.0) == steps
    edge = sigma_after(sigmas, 1.0)
    assert edge is not None and 0 < edge < sigmas[-2]


@pytest.mark.parametrize(("blocks", "block"), [(30, 11), (4, 1), (3, 1), (2, 0), (60, 22)])
def test_the_block_to_skip_is_in_proportion(blocks: int, block: int) -> None:
    assert resolve_skip_block(AUTO_BLOCK, blocks) == block


def test_the_block_to_skip_may_be_chosen() -> None:
    assert [resolve_skip_block(block, 30) for block in (-1, 0, 29)] == [-1, 0, 29]
    with pytest.raises(ValueError, match="^Block 30 cannot be skipped: this model has 30 blocks, 0 to 29"):
        resolve_skip_block(30, 30)


def test_guidance_leads_away_from_the_negative() -> None:
    assert [guide(1.0, 3.0, scale) for scale in (0.0, 1.0, 3.0)] == [3.0, 1.0, -3.0]


# Euler


def test_each_step_follows_the_guided_velocity() -> None:
    clip = make_clip()
    noise = make_noise(clip)
    video, audio = sample(StubModel(), clip, noise=noise)
    # From sigma 1 to 0 at the velocities 3 + 3 · (1 - 3) and 3 + 2 · (1 - 3).
    torch.testing.assert_close(video, noise[0] + 3)
    torch.testing.assert_close(audio, noise[1] + 1)


def test_scales_of_1_follow_the_positive_alone() -> None:
    clip = make_clip()
    noise = make_noise(clip)
    for ours, theirs in zip(sample(StubModel(), clip, noise=noise, guidance=Guidance(1.0, 1.0)), noise, strict=True):
        torch.testing.assert_close(ours, theirs - 1)


def test_straight_paths_end_at_the_data() -> None:
    """Where the velocity leads from x to the data in the time that is left, any number of steps arrives."""
    clip = make_clip(kept_frames=0)
    model = StubModel(lambda call: [(stream - 7) / (call.timestep.item() / 1000) for stream in call.x])
    for steps in (1, 5):
        for stream in sample(model, clip, steps=steps):
            torch.testing.assert_close(stream, torch.full_like(stream, 7), rtol=0, atol=1e-4)


def test_the_model_is_told_the_shifted_timestep_of_each_item() -> None:
    model = StubModel()
    sample(model, make_clip(batch=2), steps=3)
    expected = [1000 * sigma for sigma in flow_sigmas(3).tolist()[:3] for _ in range(2)]
    assert [call.timestep.tolist() for call in model.calls] == [pytest.approx([t, t]) for t in expected]
    assert len({id(call.plans) for call in model.calls}) == 1


@pytest.mark.parametrize(
    ("clip", "positive", "unimodal", "plain"),
    [
        (make_clip(), (True, True), (False, False), (True, True)),
        (make_clip(has_voice=True), (True, False), (False, False), (True, True)),
        (make_clip(kept_tokens=TOKENS), (True, False), (False, False), (True, False)),
        (make_clip(kept_frames=FRAMES), (False, True), (False, False), (False, True)),
        (make_clip(kept_frames=FRAMES, has_voice=True), (False, True), (False, False), (False, True)),
    ],
    ids=["joint", "reference voice", "driven", "dubbing", "dubbing in a voice"],
)
def test_passes_of_each_task(
    clip: Clip, positive: tuple[bool, bool], unimodal: tuple[bool, bool], plain: tuple[bool, bool]
) -> None:
    model = StubModel()
    sample(model, clip, steps=5)
    assert model.switches(POSITIVE) == [Switches(*positive)] * 5
    assert model.switches(NEGATIVE) == [Switches(*unimodal, 11)] * 2 + [Switches(*plain, 11)] * 3
    for call in model.calls:
        assert call.reference_image is clip.reference_image and call.reference_audio is clip.reference_audio
        assert call.kept == clip.kept
        condition = POSITIVE if call.caption is POSITIVE.caption else NEGATIVE
        assert call.speech.shape[1] == condition.symbols.shape[1]


def test_guided_part_and_skipped_block_may_be_chosen() -> None:
    model = StubModel()
    sample(model, make_clip(), steps=3, guidance=Guidance(unimodal_end_percent=1.0, skip_block=-1))
    assert model.switches(NEGATIVE) == [OFF] * 3
    model = StubModel()
    sample(model, make_clip(), steps=3, guidance=Guidance(unimodal_end_percent=0.0, skip_block=7))
    assert model.switches(NEGATIVE) == [Switches(skip_block=7)] * 3
    assert model.switches(POSITIVE) == [ON] * 3


def test_guidance_may_end_before_the_last_step() -> None:
    clip = make_clip()
    noise = make_noise(clip)
    model = StubModel()
    video, audio = sample(model, clip, steps=5, noise=noise, guidance=Guidance(end_percent=0.4))
    assert model.switches(POSITIVE) == [ON] * 5
    assert model.switches(NEGATIVE) == [Switches(False, False, 11)] * 2
    # At the velocities of the test above down to where guidance ends, and at 1 from there.
    end = float(flow_sigmas(5)[2])
    torch.testing.assert_close(video, noise[0] + 3 * (1 - end) - end)
    torch.testing.assert_close(audio, noise[1] + 1 * (1 - end) - end)


def test_guidance_may_begin_behind_the_first_step() -> None:
    clip = make_clip()
    noise = make_noise(clip)
    model = StubModel()
    window = Guidance(start_percent=0.2, end_percent=0.8)
    video, audio = sample(model, clip, steps=5, noise=noise, guidance=window)
    assert model.switches(POSITIVE) == [ON] * 5
    assert model.switches(NEGATIVE) == [Switches(False, False, 11)] + [Switches(skip_block=11)] * 2
    # As above between the two ends, and at a velocity of 1 outside.
    guided = float(flow_sigmas(5)[1] - flow_sigmas(5)[4])
    torch.testing.assert_close(video, noise[0] + 3 * guided - (1 - guided))
    torch.testing.assert_close(audio, noise[1] + 1 * guided - (1 - guided))
    plain = StubModel()
    sample(plain, clip, steps=5, noise=noise, guidance=Guidance(start_percent=0.6, end_percent=0.6))
    assert plain.switches(NEGATIVE) == []


@pytest.mark.parametrize(("end", "negatives"), [(0.0, 0), (0.1, 0), (0.9, 2), (1.0, 3)])
def test_the_end_of_guidance_is_counted_in_whole_steps(end: float, negatives: int) -> None:
    model = StubModel()
    sample(model, make_clip(), steps=3, guidance=Guidance(end_percent=end))
    assert len(model.switches(NEGATIVE)) == negatives and len(model.switches(POSITIVE)) == 3


def test_noise_in_kept_parts_has_no_influence() -> None:
    def mean_of_all(call: Call) -> list[Tensor]:
        return [stream * 0.1 + call.x[0].mean() + call.x[1].mean() for stream in call.x]

    clip = make_clip(kept_frames=2, kept_tokens=9)
    noise, other = make_noise(clip), make_noise(clip, seed=5)
    mixed = (other[0].clone(), other[1].clone())
    mixed[0][:, :, 2:], mixed[1][:, :, 9:] = noise[0][:, :, 2:], noise[1][:, :, 9:]
    model = StubModel(mean_of_all)
    first, second = sample(model, clip, noise=noise), sample(model, clip, noise=mixed)
    assert torch.equal(first[0][:, :, 2:], second[0][:, :, 2:])
    assert torch.equal(first[1][:, :, 9:], second[1][:, :, 9:])
    for call in model.calls:
        assert torch.equal(call.x[0][:, :, :2], clip.video[:, :, :2])
        assert torch.equal(call.x[1][:, :, :9], clip.audio[:, :, :9])


def clip_with_areas() -> Clip:
    """Of two tokens a frame: the first frame is kept, half of the second, and nothing of the third."""
    return replace(make_clip(batch=2), kept=KeptParts((True, (False, True), False), (False,) * TOKENS))


def test_areas_are_noised_to_each_step() -> None:
    """What is kept of a frame in part is at the step's noise level, as the rest of the frame is said to be."""
    clip, model = clip_with_areas(), StubModel()
    made = clip.put_back(sample(model, clip))
    assert torch.equal(made[0][:, :, :1], clip.video[:, :, :1])
    assert torch.equal(made[0][:, :, 1, :, 2:], clip.video[:, :, 1, :, 2:])
    drawn = []
    for call in model.calls:
        assert call.kept == KeptParts((True, False, False), (False,) * TOKENS)
        assert torch.equal(call.x[0][:, :, :1], clip.video[:, :, :1])
        sigma = call.timestep.view(-1, 1, 1, 1) / 1000
        noised, given = call.x[0][:, :, 1, :, 2:], clip.video[:, :, 1, :, 2:]
        drawn.append((noised - (1 - sigma) * given) / sigma)
    assert float(drawn[0].std()) == pytest.approx(1, abs=0.15)
    for noise in drawn:
        torch.testing.assert_close(noise, drawn[0][:1].expand_as(noise), rtol=0, atol=1e-3)


def test_a_model_that_was_trained_with_masks_gets_areas_clean() -> None:
    clip, model = clip_with_areas(), StubModel()
    sample(model, clip, trained_with_masks=True)
    assert all(call.kept == clip.kept for call in model.calls)
    assert all(torch.equal(call.x[0][:, :, 1, :, 2:], clip.video[:, :, 1, :, 2:]) for call in model.calls)


def test_captions_may_change_within_the_clip() -> None:
    model = StubModel()
    changed = Condition(POSITIVE.caption, POSITIVE.symbols, (CaptionChange(0.25, torch.full((1, 2, 8), 5.0)),))
    sample_euler(model, make_clip(), make_noise(make_clip()), flow_sigmas(2), positive=changed, negative=NEGATIVE)
    told = [(call.caption.shape, call.caption_frames) for call in model.calls]
    assert told == [((1, 2, 4, 8), (0, 0, 1)), ((1, 4, 8), None)] * 2
    late = Condition(POSITIVE.caption, POSITIVE.symbols, (CaptionChange(9.0, POSITIVE.caption),))
    with pytest.raises(ValueError, match="The caption changes at 9 seconds, but the clip ends at 0.56"):
        sample_euler(model, make_clip(), make_noise(make_clip()), flow_sigmas(2), positive=late, negative=NEGATIVE)


def test_put_back_restores_what_is_given() -> None:
    clip = make_clip(kept_frames=1, kept_tokens=4, batch=2)
    noise = make_noise(clip)
    video, audio = clip.put_back(noise)
    assert torch.equal(video, torch.cat((clip.video[:, :, :1], noise[0][:, :, 1:]), dim=2))
    assert torch.equal(audio, torch.cat((clip.audio[:, :, :4], noise[1][:, :, 4:]), dim=2))


def test_progress_is_reported() -> None:
    reports: list[tuple[int, int]] = []
    sample(StubModel(), make_clip(), steps=3, progress=lambda step, steps: reports.append((step, steps)))
    assert reports == [(1, 3), (2, 3), (3, 3)]
