"""The paper's ablations: what each variant sees, configurations that build on one another, and the table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import naive_interaction
import pytest
import torch
from safetensors.torch import save_file
from small_model import SMALL, small_sizes
from torch import Tensor

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import audio_tokens, pixel_frames
from uniavgen_core.model.aligners import FACE_MASK_PATCH
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.plan import ClipShape, latent_frame_of, make_plan
from uniavgen_core.tasks import Switches, kept_prefix
from uniavgen_core.tiny.bundle import build_tiny, load_tiny, random_state_dict
from uniavgen_lab import ablation_table
from uniavgen_lab.ablation_table import ABLATIONS, AUDIO, BASELINE, Results, ablations_table
from uniavgen_lab.training.ablations import (
    FACE_MASKS,
    INTERACTIONS,
    STITCHED,
    apply_variant,
    read_variant,
    variant_metadata,
)
from uniavgen_lab.training.bundle_file import write_bundle
from uniavgen_lab.training.start import build_learner
from uniavgen_lab.training.training_config import Config, TrainConfig, read_config, with_seed

CONFIGS = Path(__file__).parent.parent / "uniavgen_lab" / "configs" / "ablations"
SIZES = small_sizes(blocks=1)
FRAMES, COLUMNS, PICTURE_TOKENS = 3, 3, 6
TOKENS = audio_tokens(pixel_frames(FRAMES))
OWN_FRAME = [latent_frame_of(int((token + 0.5) * pixel_frames(FRAMES) / TOKENS)) for token in range(TOKENS)]
"""The latent frame at the middle of each audio token."""


def make_model(interaction: str = "asymmetric", face_mask: str = "predicted") -> JointDiT:
    model = JointDiT(SIZES, torch_operations)
    fill(model)
    apply_variant(model, interaction, face_mask)
    if interaction == STITCHED:
        fill(model)
    return model.eval()


def fill(model: JointDiT) -> None:
    model.load_state_dict(random_state_dict({name: x.shape for name, x in model.state_dict().items()}))


def streams() -> tuple[Tensor, Tensor, Tensor]:
    """Video and audio tokens and a face mask."""
    generator = torch.Generator().manual_seed(1)
    video = torch.randn(1, FRAMES, PICTURE_TOKENS, SIZES.video_width, generator=generator)
    audio = torch.randn(1, TOKENS, SIZES.audio_width, generator=generator)
    return video, audio, torch.rand(1, FRAMES, PICTURE_TOKENS, generator=generator)


@torch.no_grad()
def interact(
    model: JointDiT, video: Tensor, audio: Tensor, mask: Tensor, kept_frames: int = 0, kept_tokens: int = 0
) -> tuple[Tensor, Tensor]:
    """Updates of the frames and of the audio tokens that are not kept."""
    shape = ClipShape(
        latent_frames=FRAMES,
        rows=PICTURE_TOKENS // COLUMNS,
        columns=COLUMNS,
        audio_tokens=TOKENS,
        reference_tokens=3,
        symbols=10,
        kept=kept_prefix(FRAMES, TOKENS, kept_frames, kept_tokens),
        device=torch.device("cpu"),
    )
    plan = make_plan(shape)
    to_video = model.a2v_blocks[0](video[:, kept_frames:], audio, mask[:, kept_frames:], plan, options={})
    return to_video, model.v2a_blocks[0](audio[:, kept_tokens:], video, mask, plan, options={})


def seen(interaction: str) -> tuple[list[set[int]], list[set[int]]]:
    """Audio tokens that change each latent frame, and latent frames that change each audio token."""
    model = make_model(interaction)
    video, audio, mask = streams()
    to_video, to_audio = interact(model, video, audio, mask)
    # Item i of a batch has another token or frame i.
    other_audio = audio + torch.eye(TOKENS).unsqueeze(-1)
    other_video = video + torch.eye(FRAMES)[..., None, None]
    by_token, _ = interact(model, video.expand(TOKENS, -1, -1, -1), other_audio, mask)
    _, by_frame = interact(model, other_video, audio.expand(FRAMES, -1, -1), mask)
    return _causes(by_token - to_video), _causes(by_frame - to_audio)


def _causes(change: Tensor) -> list[set[int]]:
    """For each place, the items of a batch (items, places, …) in which it changes."""
    changes = change.flatten(2).abs().amax(dim=2) > 1e-3
    return [set(torch.nonzero(column).flatten().tolist()) for column in changes.T]


@pytest.mark.parametrize("interaction", ["global", STITCHED])
def test_some_interactions_see_everything(interaction: str) -> None:
    tokens, frames = seen(interaction)
    assert tokens == [set(range(TOKENS))] * FRAMES
    assert frames == [set(range(FRAMES))] * TOKENS


def test_symmetric_interaction_sees_its_own_time_alone() -> None:
    tokens, frames = seen("symmetric")
    assert tokens == [{token for token in range(TOKENS) if OWN_FRAME[token] == frame} for frame in range(FRAMES)]
    assert frames == [{frame} for frame in OWN_FRAME]


def test_asymmetric_interaction_sees_what_is_around() -> None:
    tokens, frames = seen("asymmetric")
    for frame in range(FRAMES):
        own = {token for token in range(TOKENS) if OWN_FRAME[token] == frame}
        assert own < tokens[frame] < set(range(TOKENS))
    assert {len(of_token) for of_token in frames} == {1, 2}


def test_symmetric_interaction_is_the_models_with_other_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the literal implementation: positions, masks and norms are as in the model."""

    def window(frame: int, latent_frames: int, tokens: int) -> list[int]:
        return [token for token in range(tokens) if OWN_FRAME[token] == frame]

    def weights(token: int, latent_frames: int, tokens: int) -> Tensor:
        return torch.eye(latent_frames, dtype=torch.float64)[OWN_FRAME[token]]

    monkeypatch.setattr(naive_interaction, "audio_window", window)
    monkeypatch.setattr(naive_interaction, "frame_weights", weights)
    model = make_model("symmetric")
    video, audio, mask = (x[0] for x in streams())
    expected = (
        naive_interaction.audio_to_video(model.a2v_blocks[0].state_dict(), video, audio, mask, COLUMNS),
        naive_interaction.video_to_audio(model.v2a_blocks[0].state_dict(), audio, video, mask, COLUMNS),
    )
    for ours, theirs in zip(interact(model, *streams()), expected, strict=True):
        torch.testing.assert_close(ours[0].double(), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("interaction", [*INTERACTIONS, STITCHED])
def test_kept_parts_are_left_out(interaction: str) -> None:
    model = make_model(interaction)
    to_video, to_audio = interact(model, *streams())
    rest_of_video, rest_of_audio = interact(model, *streams(), kept_frames=1, kept_tokens=20)
    torch.testing.assert_close(rest_of_video, to_video[:, 1:])
    torch.testing.assert_close(rest_of_audio, to_audio[:, 20:])


@pytest.mark.parametrize("face_mask", FACE_MASKS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_variants_have_the_same_weights(interaction: str, face_mask: str) -> None:
    own, variant = make_model(), make_model(interaction, face_mask)
    assert list(variant.state_dict()) == list(own.state_dict())
    assert all(torch.equal(x, own.state_dict()[name]) for name, x in variant.state_dict().items())
    assert all(parameter.requires_grad for parameter in variant.parameters())
    apply_variant(variant)
    for ours, theirs in zip(interact(variant, *streams()), interact(own, *streams()), strict=True):
        assert torch.equal(ours, theirs)


@torch.no_grad()
def test_no_face_mask_is_a_mask_of_ones() -> None:
    generator = torch.Generator().manual_seed(2)
    video = torch.randn(1, 48, FRAMES, 4, 6, generator=generator)
    audio = torch.randn(1, 1, TOKENS, 80, generator=generator)
    inputs = ([video, audio], torch.tensor([500.0]), torch.zeros(1, 2, 256), torch.zeros(1, 10, 128))
    reference = {"reference_image": video[:, :, :1]}
    ones = {"patches": {FACE_MASK_PATCH: [lambda mask, layer, options: torch.ones_like(mask)]}}
    predicted, patched = make_model()(*inputs, **reference), make_model()(*inputs, **reference, options=ones)
    without = make_model(face_mask="none")(*inputs, **reference)
    for ours, theirs, other in zip(without, patched, predicted, strict=True):
        assert torch.equal(ours, theirs)
        assert not torch.allclose(ours, other)


def test_unknown_variants_are_named() -> None:
    with pytest.raises(ValueError, match="interaction is 'local': choose from global, symmetric, asymmetric, stitched"):
        make_model("local")
    with pytest.raises(ValueError, match="face_mask is 'all': choose from none, predicted"):
        make_model(face_mask="all")


def test_weights_tell_their_variant(tmp_path: Path) -> None:
    told = {"interaction": "symmetric", "face_mask": "none"}
    save_file({"x": torch.zeros(1)}, tmp_path / "run.safetensors", metadata={"step": "3", **variant_metadata(**told)})
    save_file({"x": torch.zeros(1)}, tmp_path / "plain.safetensors")
    assert read_variant(tmp_path / "run.safetensors") == told
    assert read_variant(tmp_path / "plain.safetensors") == read_variant(tmp_path / "absent.safetensors") == {}


def test_a_learner_has_the_configured_variant() -> None:
    config = TrainConfig(output="", stages=[], validation_data="", sizes=SMALL, interaction="global", face_mask="none")
    model = build_learner(config).model
    assert (type(model.a2v_blocks[0]), type(model.v2a_blocks[0])) == INTERACTIONS["global"]
    assert type(model.a2v_blocks[0].mask_head) is FACE_MASKS["none"]


@torch.no_grad()
def test_stitching_is_attention_to_projected_states() -> None:
    """By hand: one head, all tokens, positions that count audio tokens."""
    model = make_model(STITCHED, "none")
    video, audio, _ = (x[0] for x in streams())
    ours = interact(model, *streams()[:2], torch.ones(1, FRAMES, PICTURE_TOKENS))
    middles = [int((frame + 0.5) * TOKENS / FRAMES) for frame in range(FRAMES)]
    of_picture = [middles[frame] for frame in range(FRAMES) for _ in range(PICTURE_TOKENS)]
    for (update, join), queries, states, places in (
        ((ours[0], model.a2v_blocks[0]), video.flatten(0, 1), audio, (of_picture, range(TOKENS))),
        ((ours[1], model.v2a_blocks[0]), audio, video.mean(dim=1), (range(TOKENS), middles)),
    ):
        projected = torch.nn.functional.silu(states @ join.connect[0].weight.T + join.connect[0].bias)
        q, k, v = join.norm_q(join.q(queries)), join.norm_k(join.k(projected)), join.v(projected)
        q, k = (turned(x, place) for x, place in zip((q, k), places, strict=True))
        scores = torch.einsum("i h c, j h c -> h i j", q, k) / 128**0.5
        attended = torch.einsum("h i j, j h c -> i h c", scores.softmax(dim=-1), v.unflatten(-1, (-1, 128)))
        expected = join.o(attended.flatten(1))
        torch.testing.assert_close(update[0].reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


def turned(x: Tensor, places: Sequence[int]) -> Tensor:
    """Rows (n, heads · 128) as (n, heads, 128), with neighbouring channels turned by their places."""
    angles = torch.tensor(places).double().unsqueeze(1) * 10_000 ** (-torch.arange(64).double() / 64)
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 64, 2)).contiguous())
    rotated = pairs * torch.polar(torch.ones_like(angles), angles).unsqueeze(1)
    return torch.view_as_real(rotated).flatten(-2).float()


@torch.no_grad()
def test_stitching_joins_all_blocks_and_begins_with_nothing() -> None:
    sizes = small_sizes(blocks=3)
    model = JointDiT(sizes, torch_operations)
    fill(model)
    apply_variant(model, STITCHED, "none")
    assert len(model.a2v_blocks) == len(model.v2a_blocks) == sizes.blocks
    generator = torch.Generator().manual_seed(2)
    video, audio = (torch.randn(shape, generator=generator) for shape in ((1, 48, 3, 4, 6), (1, 1, TOKENS, 80)))
    inputs = ([video, audio], torch.tensor([500.0]), torch.zeros(1, 2, 256), torch.zeros(1, 10, 128))

    def velocities() -> list[Tensor]:
        return model(*inputs, reference_image=video[:, :, :1])

    apart = model(*inputs, reference_image=video[:, :, :1], switches=Switches(False, False))
    assert all(torch.equal(*both) for both in zip(velocities(), apart, strict=True))
    for layer in range(sizes.blocks):
        for joins, other in ((model.a2v_blocks, 0), (model.v2a_blocks, 1)):
            torch.nn.init.ones_(joins[layer].o.bias)
            assert not torch.allclose(velocities()[other], apart[other])
            torch.nn.init.zeros_(joins[layer].o.bias)


def test_the_stitched_run_has_as_many_parameters() -> None:
    """Within 10 %."""
    counts = {}
    for name in (BASELINE, STITCHED):
        config = replace(read_config(CONFIGS / f"{name}.yaml", TrainConfig), model="")
        counts[name] = sum(x.numel() for x in build_learner(config).parameters())
    assert counts[STITCHED] / counts[BASELINE] == pytest.approx(1, abs=0.1)


def test_weights_of_a_stitched_model_are_read_again(tmp_path: Path) -> None:
    config = TrainConfig(output="", stages=[], validation_data="", sizes=SMALL, interaction=STITCHED, face_mask="none")
    learner = build_learner(config)
    state = {f"model.{name}": x for name, x in learner.model.state_dict().items()}
    assert learner.caption_encoder is not None
    state |= {f"caption.{name}": x for name, x in learner.caption_encoder.state_dict().items()}
    save_file(state, tmp_path / "run.safetensors", metadata=variant_metadata(STITCHED, "none"))
    write_bundle(tmp_path / "bundle.safetensors", tmp_path / "run.safetensors", build_tiny().codec.state_dict(), {})
    variant = read_variant(tmp_path / "bundle.safetensors")
    read = load_tiny(tmp_path / "bundle.safetensors", partial(apply_variant, **variant)).model.state_dict()
    assert list(read) == list(learner.model.state_dict())
    name = "v2a_blocks.0.connect.0.weight"
    torch.testing.assert_close(read[name], learner.model.state_dict()[name], rtol=0, atol=0.01)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_a_configuration_builds_on_another(tmp_path: Path) -> None:
    write(tmp_path, first="output: a\nlog_every: 7", second="base: first.yaml\noutput: b_{seed}\nseed: 3")
    config = read_config(tmp_path / "second.yaml", Config)
    assert (config.output, config.log_every, config.seed) == ("b_{seed}", 7, 3)
    other = with_seed(config, 5)
    assert other.path(other.output) == tmp_path / "b_5_seed5"
    assert with_seed(read_config(tmp_path / "first.yaml", Config), 5).output == "a_seed5"


def test_a_wrong_base_is_named(tmp_path: Path) -> None:
    write(tmp_path, far="base: ../first.yaml\noutput: a", nested="base: far.yaml\noutput: a")
    with pytest.raises(ValueError, match="base is '../first.yaml': name a file in the same folder"):
        read_config(tmp_path / "far.yaml", Config)
    with pytest.raises(ValueError, match="unknown entries base"):
        read_config(tmp_path / "nested.yaml", Config)


@pytest.mark.parametrize("name", sorted({row.config for _, rows in ABLATIONS.values() for row in rows} - {""}))
def test_all_runs_are_trained_equally(name: str) -> None:
    config, baseline = (read_config(CONFIGS / f"{file}.yaml", TrainConfig) for file in (name, BASELINE))
    assert config.output.endswith(f"/{name}")
    varied = {"output": "", "stages": [], "interaction": "", "face_mask": ""}
    assert replace(config, **varied) == replace(baseline, **varied)
    assert config.steps == baseline.steps
    assert {(stage.batch_size, *stage.data) for stage in config.stages} == {
        (stage.batch_size, *stage.data) for stage in baseline.stages
    }
    rates = [(run.stages[0].learning_rate, run.stages[-1].final_learning_rate) for run in (config, baseline)]
    assert rates[0] == rates[1]
    assert config.interaction in {*INTERACTIONS, STITCHED} and config.face_mask in FACE_MASKS
    audio = with_seed(read_config(CONFIGS / f"{AUDIO}.yaml", TrainConfig), 4)
    assert with_seed(config, 4).path(config.model) == audio.path(audio.output) / "weights.safetensors"


def test_results_are_found_again(tmp_path: Path) -> None:
    results = Results(tmp_path / "runs" / "results.jsonl")
    assert results.find({"clips": 2}) is None
    results.add({"clips": 2}, {"lip_sync": 0.5, "timbre": None})
    results.add({"clips": 3}, {"lip_sync": 0.7})
    assert Results(tmp_path / "runs" / "results.jsonl").find({"clips": 2}) == {"lip_sync": 0.5, "timbre": None}


def test_table_has_means_of_seeds_beside_the_papers_numbers() -> None:
    symmetric = ABLATIONS["interaction"][1][1]
    seeds = [{"lip_sync": 0.5, "timbre": 0.9, "emotion": None}, {"lip_sync": 0.6, "timbre": None, "emotion": None}]
    lines = ablations_table(["interaction"], {symmetric: seeds}).splitlines()
    assert len(lines) == 6
    assert lines[1] == "|" + " --- |" * 8
    assert lines[2] == "| interaction (table 2) | global | – | – | – | 3.46 | 0.667 | 0.459 |"
    assert lines[3] == "| interaction (table 2) | symmetric | 0.55 ± 0.05 | 0.90 | – | 3.73 | 0.685 | 0.472 |"


def test_command_trains_and_measures_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, **{path.stem: path.read_text(encoding="utf-8") for path in CONFIGS.glob("*.yaml")})
    for path in tmp_path.glob("*.yaml"):
        path.write_text(path.read_text(encoding="utf-8").replace("../../../uniavgen-training", "runs"))
    trained, measured = [], []

    class Trainer:
        def __init__(self, config: TrainConfig):
            self.config = config

        def run(self) -> None:
            folder = self.config.path(self.config.output)
            folder.mkdir(parents=True)
            trained.append(folder.name)
            step = {"step": str(self.config.steps), "name": folder.name}
            save_file({"x": torch.zeros(1)}, folder / "weights.safetensors", metadata=step)

    def evaluate(split: str, clips: int, settings: ablation_table.Settings, workers: int) -> dict:
        measured.append(settings.weights.parent.name)
        return {"joint": {"lip_sync": 0.5, "timbre": 1.0, "emotion": 0.25}}

    monkeypatch.setattr(ablation_table, "Trainer", Trainer)
    monkeypatch.setattr(ablation_table, "evaluate", evaluate)
    monkeypatch.setattr(ablation_table, "require_extras", lambda: None)
    monkeypatch.setattr(ablation_table, "_bundle", lambda run: run.path(run.output) / "weights.safetensors")
    parser = argparse.ArgumentParser()
    ablation_table.add_ablations_arguments(parser)

    def command(*options: str) -> str:
        assert ablation_table.run_ablations(parser.parse_args(["--configs", str(tmp_path), *options])) == 0
        return capsys.readouterr().out

    assert "| global | – |" in command("interaction", "--no-training")
    assert trained == []
    first = command("interaction", "--seeds", "0", "1")
    runs = [f"{name}_seed{seed}" for name in ("global", "symmetric", BASELINE, STITCHED) for seed in (0, 1)]
    assert sorted(trained) == sorted([*runs, "audio_seed0", "audio_seed1"])
    assert trained.index("audio_seed0") == 0
    assert measured == runs
    assert first.count("0.50 ± 0.00") == 4
    assert command("interaction", "--seeds", "0", "1") == first
    assert (len(trained), len(measured)) == (10, 8)
    assert "| decaying λ | 0.50 ± 0.00 |" in command("face_mask", "--no-training")
    with pytest.raises(ValueError, match="no ablation size: choose from guidance"):
        command("size")
