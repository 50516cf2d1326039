"""The benchmarks of speed and memory run, and count rightly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmark_figures import benchmark
from torch.utils.flop_counter import FlopCounterMode

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import CAPTION_ROWS
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_lab.benchmarks.arithmetic import Workload, operations_by_part
from uniavgen_lab.benchmarks.memory import LiveBytes
from uniavgen_lab.benchmarks.voice_share import KINDS, RELEASED, count_operations

BATCH = 2


def test_counted_operations_are_those_that_a_pass_does() -> None:
    work = Workload(latent_frames=5, batch=BATCH)
    counted = sum(operations_by_part(work).values())
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        sizes = work.sizes
        model = JointDiT(sizes, torch_operations)
        latent = torch.empty(BATCH, sizes.latent_channels, work.latent_frames, work.latent_rows, work.latent_columns)
        mel = torch.empty(BATCH, 1, work.audio_tokens, sizes.mel_bands)
        caption = model.encode_caption(torch.empty(BATCH, CAPTION_ROWS, sizes.text_width))
        speech = model.encode_speech(torch.zeros(BATCH, work.symbols, dtype=torch.long), torch.float32)
        model([latent, mel], torch.empty(BATCH), caption, speech, reference_image=latent[:, :, :1])
    # Groups of the voice's contexts are padded, and the last frame is projected twice.
    assert counted <= counter.get_total_flops() < 1.03 * counted


def test_the_measured_pass_takes_258_gigaflop() -> None:
    assert sum(operations_by_part(Workload()).values()) / 1e9 == pytest.approx(258, abs=0.5)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_forward_pass_is_measured() -> None:
    row = benchmark("forward", "--tiny", "--loaded", "--passes", "1")
    assert row["flops"] > 1e8 and row["seconds"] > 0
    # The tiny pass may fit into what the first one left.
    assert abs(row["extra_memory_bytes"]) < 1e8
    assert row["share_of_matmul_rate"] == pytest.approx(row["flops"] / row["seconds"] / row["matmul_rate"])


def test_a_run_does_once_what_it_can_and_skips_what_is_off() -> None:
    """Four steps of three blocks, one of which the negative pass leaves out; its first two steps are unimodal."""
    run = benchmark("sampling_step", "--tiny", "--steps", "1", "--threads", "1")
    assert 0 < run["share_outside_blocks"] < 1
    once = {"plans": 2, "captions": 2, "speeches": 2, "passes": 8, "video blocks": 20, "audio blocks": 20}
    joint = once | {"A→V": 12, "V→A": 12, "face masks": 12}
    assert run["counts"] == {
        "joint": joint,
        "reference_voice": joint | {"V→A": 4},
        "continuation": joint,
        # In unimodal passes, nothing reads what is kept entirely.
        "dubbing": joint | {"A→V": 0, "video blocks": 16},
        "audio_driven": joint | {"V→A": 0, "audio blocks": 16},
        "voice": joint | {"A→V": 0},
        "retake": joint,
        "bridge": joint,
    }


def test_a_voice_costs_a_tenth_of_joint_generation() -> None:
    counted = count_operations(replace(RELEASED, sizes=replace(RELEASED.sizes, blocks=2)))
    joint, beside_a_still, sees_nothing = counted.values()
    assert 0 < sees_nothing < joint / 50
    assert sees_nothing < beside_a_still < joint / 10


def test_shares_of_a_voice_are_measured() -> None:
    row = benchmark("voice_share", "--tiny", "--passes", "1", "--threads", "1")["tiny"]
    assert all(row["operations"][kind] > 0 and row["seconds"][kind] > 0 for kind in KINDS)


def test_full_size_fits_beside_its_weights() -> None:
    row = benchmark("memory", "--blocks", "2")
    peak = max(row["peak_bytes"].values())
    assert 5e8 < peak < 3e9
    assert peak < row["reserved_bytes"] < 2 * peak


def test_universe_at_full_size_is_counted() -> None:
    counted = benchmark("universe_memory", "--blocks", "2")
    assert counted["weights"]["fp8"] < 0.8 * counted["weights"]["bf16"]
    both, alone = (row["peak_bytes"] for row in counted["rows"][:2])
    assert 1.8 * alone < both < 2.2 * alone
    assert all(row["reserved_bytes"] > row["peak_bytes"] for row in counted["rows"])


def test_an_area_costs_little_more_than_a_first_frame() -> None:
    first, *areas = benchmark("kept_areas", "--tiny", "--loaded", "--passes", "1")
    assert [row["kept"] for row in areas] == ["all around a face", *(f"{n}% of all tokens" for n in (20, 50, 80))]
    peaks = [max(row["peak_bytes"].values()) for row in (first, *areas)]
    assert peaks == pytest.approx([peaks[0]] * 5, rel=1e-3), "the peak is elsewhere"
    modulations = [row["peak_bytes"]["video: all else"] for row in (first, *areas)]
    assert all(modulations[0] < bytes_of < 1.3 * modulations[0] for bytes_of in modulations[1:])


def test_living_bytes_are_counted() -> None:
    given = torch.empty(100, device="meta")
    with LiveBytes([given]) as counter:
        doubled = given * 2
        view = doubled[:50] + given[:50]
        del doubled
        given.add_(view.sum())
    assert counter.peaks == {"": 4 * (100 + 50)}
    assert counter.live == 4 * 50
