"""UniVerse-1 in ComfyUI equals the core's own loop, and what does not fit is refused."""

from __future__ import annotations

from typing import Any

import comfy.sample
import comfy.samplers
import comfy.sd
import pytest
import torch
from clips import (
    EULER,
    assert_close,
    assert_equal,
    guider_of,
    joint,
    ksampler,
    left_half,
    model,
    refused,
    sample,
    sample_guided,
    warnings_of_ours,
    windowed,
    with_face_mask,
)
from comfy.utils import unpack_latents
from comfy_extras.nodes_custom_sampler import DisableNoise, SplitSigmas
from pack.nodes.best_of import BestOf
from pack.nodes.comfy_long_form import SegmentSampler
from pack.nodes.comfy_universe import LINKED, SOUND_ROWS, SPEECH_IDS
from pack.nodes.universe import UniverseSchedule
from pack.uniavgen_core.backend import torch_operations
from pack.uniavgen_core.sampling.schedule import twice_shifted_sigmas
from pack.uniavgen_core.universe1.stitched_dit import StitchedDiT
from pack.uniavgen_core.universe1.stitched_sampling import StitchedCondition, sample_stitched
from stitched_clips import (
    STITCHED_SIZES,
    UNIVERSE_SCALES,
    picture_latent,
    sample_universe,
    stitched_conds,
    stitched_weights,
    universe,
)


@pytest.fixture
def patcher() -> Any:
    """The MODEL."""
    return universe()


@pytest.fixture
def latent() -> dict[str, Any]:
    """A LATENT of three latent frames whose first is kept."""
    return picture_latent()


def core_clip(latent: dict, conds: Any, steps: int) -> list[torch.Tensor]:
    """The core's own loop on ComfyUI's noise, in the units of the LATENT."""
    dit = StitchedDiT(STITCHED_SIZES, torch_operations)
    dit.load_state_dict(stitched_weights())
    scaling = universe().model.latent_format
    picture = scaling.process_in(latent["samples"].unbind()[0][:, :, :1])
    batch = picture.shape[0]
    passes = [
        StitchedCondition(
            dit.encode_caption(cond[0][0]).expand(batch, -1, -1),
            dit.encode_sound(cond[0][1][SOUND_ROWS], cond[0][1][SPEECH_IDS]).expand(batch, -1, -1),
            picture if cond[0][1][LINKED] else torch.zeros_like(picture),
            linked=cond[0][1][LINKED],
        )
        for cond in conds
    ]
    noise = [*comfy.sample.prepare_noise(latent["samples"], 7).unbind()]
    scales = (UNIVERSE_SCALES["video_scale"], UNIVERSE_SCALES["audio_scale"])
    video, audio = sample_stitched(
        dit, noise, twice_shifted_sigmas(steps), positive=passes[0], null=passes[1], scales=scales
    )
    return [scaling.process_out(video), audio]


def assert_picture_kept(latent: dict, clip: Any) -> None:
    assert torch.equal(clip[0][:, :, :1], latent["samples"].unbind()[0][:, :, :1])
    assert all(torch.isfinite(stream).all() for stream in clip)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_run_equals_the_core_loop(patcher: Any, batch: int) -> None:
    latent = picture_latent(batch=batch)
    made = sample_universe(patcher, latent, 4)
    assert_picture_kept(latent, made)
    assert_close(made, core_clip(latent, stitched_conds(), 4), 1e-4)


def test_both_rows_run_in_one_call(patcher: Any, latent: dict) -> None:
    rows: list[tuple[int, list[float]]] = []

    def record(apply_model: Any, args: dict) -> torch.Tensor:
        rows.append((args["input"].shape[0], sorted(args["c"]["linked"].tolist())))
        return apply_model(args["input"], args["timestep"], **args["c"])

    patcher.set_model_unet_function_wrapper(record)
    sample_universe(patcher, latent, 2)
    assert rows == [(2, [0.0, 1.0])] * 2


def timesteps_of_runs(patcher: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A list that gets the timestep of each pass through the model."""
    seen: list[float] = []
    dit = type(patcher.model.diffusion_model)
    plain = dit.run

    def run(self: Any, x: Any, timestep: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(float(timestep[0]))
        return plain(self, x, timestep, *args, **kwargs)

    monkeypatch.setattr(dit, "run", run)
    return seen


def test_the_model_gets_whole_timesteps(patcher: Any, latent: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = timesteps_of_runs(patcher, monkeypatch)
    sample_universe(patcher, latent, 35)
    assert seen[:5] == [999, 998, 995, 993, 991] and seen[-2:] == [476, 306]


def test_equal_scales_of_one_run_a_single_row(patcher: Any, latent: dict) -> None:
    alone = sample_universe(patcher, latent, 2, video_scale=1.0, audio_scale=1.0)
    other = (stitched_conds()[0], stitched_conds(said=(261, 5, 6, 2))[1])
    assert_equal(sample_universe(patcher, latent, 2, other, video_scale=1.0, audio_scale=1.0), alone)


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "uni_pc", "res_multistep", "lcm"])
def test_core_samplers_run(patcher: Any, latent: dict, name: str) -> None:
    assert_picture_kept(latent, sample_universe(patcher, latent, 3, sampler=comfy.samplers.sampler_object(name)))


def test_a_plain_ksampler_runs(patcher: Any, latent: dict) -> None:
    assert_picture_kept(latent, ksampler(patcher, latent, stitched_conds(), 2))


def test_the_first_frame_is_kept_without_a_mask(patcher: Any, latent: dict) -> None:
    bare = {"samples": latent["samples"]}
    assert_equal(sample_universe(patcher, bare, 2), sample_universe(patcher, latent, 2))


@pytest.mark.parametrize("kept_columns", [0, 2])
def test_a_run_goes_on_from_a_part_of_the_schedule(patcher: Any, latent: dict, kept_columns: int) -> None:
    """Euler's steps know nothing of the ones before, and what is kept is noised alike in both parts."""
    latent["samples"].unbind()[1].fill_(0.5)
    latent["noise_mask"].unbind()[1][..., :kept_columns] = 0
    sigmas, _ = UniverseSchedule.execute(6, 15.0).args
    guider = guider_of(patcher, stitched_conds(), **UNIVERSE_SCALES)
    high, low = SplitSigmas.execute(sigmas, 3).args
    half = sample_guided(guider, latent, high)
    rest = sample_guided(guider, half, low, noise=DisableNoise.execute()[0])["samples"].unbind()
    assert_close(rest, sample_universe(patcher, latent, 6, sampler=EULER), 1e-4)
    assert patcher.model.areas is None


def test_sound_that_a_mask_keeps_comes_back(patcher: Any, latent: dict) -> None:
    latent["samples"].unbind()[1].fill_(0.5)
    latent["noise_mask"].unbind()[1][..., :2] = 0
    noises = []

    def record(apply_model: Any, args: dict) -> torch.Tensor:
        audio = unpack_latents(args["input"], [part.shape for part in latent["samples"].unbind()])[1][:1, ..., :2]
        sigma = args["timestep"][0]
        noises.append((audio - (1 - sigma) * 0.5) / sigma)
        return apply_model(args["input"], args["timestep"], **args["c"])

    patcher.set_model_unet_function_wrapper(record)
    made = sample_universe(patcher, latent, 3)
    assert len(noises) == 3 and all(torch.allclose(noise, noises[0], atol=1e-4) for noise in noises)
    assert float(noises[0].std()) == pytest.approx(1, abs=0.15)
    assert (made[1][..., :2] == 0.5).all() and not (made[1][..., 2:] == 0.5).any()


def test_a_core_schedule_begins_at_the_noisiest_timestep(
    patcher: Any, latent: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = timesteps_of_runs(patcher, monkeypatch)
    ksampler(patcher, latent, stitched_conds(), 2)
    assert seen[0] == 999


def test_switches_that_it_has_not_change_nothing(patcher: Any, latent: dict) -> None:
    plain = sample_universe(patcher, latent, 2)
    switched = {"skip_block": {"skip_block": "block", "index": 999}, "audio_to_video": "off", "video_to_audio": "on"}
    with warnings_of_ours() as texts:
        assert_equal(sample_universe(patcher, latent, 2, **switched, unimodal_end_percent=0.4), plain)
    assert len(texts) == 1 and all(name in texts[0] for name in (*switched, "unimodal_end_percent", "UniVerse-1"))
    with warnings_of_ours() as texts:
        assert_equal(sample_universe(patcher, latent, 2, unimodal_end_percent=0.5), plain)
    assert texts == []


def test_context_windows_are_refused(patcher: Any, latent: dict) -> None:
    with refused("context windows"):
        sample_universe(windowed(patcher), latent, 1)


def test_what_does_not_fit_is_refused(patcher: Any, latent: dict) -> None:
    with refused("of another model", "UniVerse-1 Latent"):
        sample_universe(patcher, joint(), 1)
    short = dict(latent, samples=type(latent["samples"])([latent["samples"].unbind()[0], torch.zeros(1, 8, 16, 2)]))
    with refused("not equally long"):
        sample_universe(patcher, {"samples": short["samples"]}, 1)
    with refused("no picture"):
        empty = picture_latent()
        empty["samples"].unbind()[0].zero_()
        sample_universe(patcher, empty, 1)
    plain = [[torch.zeros(1, 4, STITCHED_SIZES.text_width), {}]]
    with refused("UniVerse-1 Conditioning"):
        sample_universe(patcher, latent, 1, (plain, plain))
    wide = [[torch.zeros(1, 4, 99), values] for _, values in stitched_conds()[0]]
    with refused("width 99", "umT5-XXL"):
        sample_universe(patcher, latent, 1, (wide, stitched_conds()[1]))


def test_what_is_uniavgens_alone_refuses_it(patcher: Any, latent: dict) -> None:
    guider = guider_of(patcher, stitched_conds(), **UNIVERSE_SCALES)
    with refused("UniVerse-1, not UniAVGen"):
        SegmentSampler(guider, EULER, torch.ones(2), None, latent["samples"].unbind()[0])
    with refused("UniVerse-1, not UniAVGen"):
        BestOf.execute(guider, EULER, torch.ones(3), latent, None, None, 0, 2, 0.5, "auto")
    with refused("UniVerse-1, not UniAVGen"):
        with_face_mask(patcher, left_half())


def test_its_latent_is_refused_by_the_other_model(latent: dict) -> None:
    with refused("of another model"):
        sample(model(), latent, 1)
