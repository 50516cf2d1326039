from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import naive_interaction
import pytest
import torch
from common import relative_error
from golden_weights import weights_by_rule
from small_model import small_sizes
from torch import Tensor, nn
from torch.nn import functional

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import RELEASED_SIZES, audio_tokens, pixel_frames
from uniavgen_core.model import plan
from uniavgen_core.model.aligners import (
    FACE_MASK_PATCH,
    AudioToVideoAligner,
    FaceMaskHead,
    VideoToAudioAligner,
    interact,
)
from uniavgen_core.model.blocks import Attend, BlockHooks, Branch, Hooks, gated_sum, modulate
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.plan import CLEAN, NOISY, ClipShape, make_plan
from uniavgen_core.sampling.euler import Clip, Condition, sample_euler
from uniavgen_core.sampling.schedule import flow_sigmas
from uniavgen_core.tasks import KeptParts, Switches, kept_prefix, kept_tokens

SIZES = small_sizes(blocks=3)
"""Blocks 0 and 2 have an interaction, block 1 has none."""
FRAMES, ROWS, COLUMNS = 3, 4, 6
TOKENS = audio_tokens(pixel_frames(FRAMES))
FRAME_TOKENS = (ROWS // 2) * (COLUMNS // 2)
REFERENCE_TOKENS = 5
KEEPS: dict[str, Callable[[int], bool]] = {
    "nothing": lambda index: False,
    "scattered": lambda index: index % 5 in (1, 3),
    "all but one": lambda index: index != 0,
}
LIMIT = 2e-6
"""Relative error of float32 sums of some hundred terms, whose rounding depends on the order that a processor takes."""


def by_rule(module: nn.Module) -> Any:
    module.load_state_dict(weights_by_rule(module))
    return module.eval()


@pytest.fixture(scope="module")
def model() -> JointDiT:
    return by_rule(JointDiT(SIZES, torch_operations))


def kept_of(keeps: str, frames: int, tokens: int) -> KeptParts:
    return KeptParts(tuple(map(KEEPS[keeps], range(frames))), tuple(map(KEEPS[keeps], range(tokens))))


def kept_at_random(seed: int, frames: int = FRAMES, tokens: int = TOKENS) -> KeptParts:
    """Any video tokens and audio tokens; of frames, the first is kept and the last generated whole in some."""
    generator = torch.Generator().manual_seed(seed)
    video = torch.rand(frames, FRAME_TOKENS, generator=generator) < 0.4 + 0.1 * seed
    if seed % 2:
        video[0], video[-1] = True, False
    return kept_tokens(video, torch.rand(tokens, generator=generator) < 0.5)


def clip_shape(frames: int, tokens: int, kept: KeptParts | str = "nothing") -> ClipShape:
    return ClipShape(
        latent_frames=frames,
        rows=2,
        columns=3,
        audio_tokens=tokens,
        reference_tokens=0,
        symbols=10,
        kept=kept_of(kept, frames, tokens) if isinstance(kept, str) else kept,
        device=torch.device("cpu"),
    )


def make_inputs(
    model: JointDiT,
    batch: int = 1,
    frames: int = FRAMES,
    rows: int = ROWS,
    columns: int = COLUMNS,
    reference_tokens: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """Arguments of a forward pass; each item of the batch has its own timestep, words, pictures and sounds."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    symbols = torch.randint(SIZES.vocabulary_rows - 1, (batch, 12), generator=generator)
    return {
        "x": [noise(batch, 48, frames, rows, columns), noise(batch, 1, audio_tokens(pixel_frames(frames)), 80)],
        "timestep": torch.tensor([900.0, 250.0][:batch]),
        "caption_features": model.encode_caption(noise(batch, 5, SIZES.text_width)),
        "speech_features": model.encode_speech(symbols, torch.float32),
        "reference_image": noise(batch, 48, 1, rows, columns),
        "reference_audio": noise(batch, reference_tokens, 80) if reference_tokens else None,
    } | settings


def item(inputs: dict[str, Any], index: int) -> dict[str, Any]:
    """One item of a batch, as a batch of one."""
    own = slice(index, index + 1)
    single = {name: value[own] if isinstance(value, Tensor) else value for name, value in inputs.items()}
    return single | {"x": [stream[own] for stream in inputs["x"]]}


@torch.no_grad()
def run(model: JointDiT, inputs: dict[str, Any], **settings: Any) -> list[Tensor]:
    return model(**(inputs | settings))


def assert_equal_to_singles(model: JointDiT, inputs: dict[str, Any], singles: list[dict[str, Any]]) -> None:
    both = run(model, inputs)
    for index, single in enumerate(singles):
        for ours, theirs in zip(both, run(model, single), strict=True):
            assert relative_error(ours[index : index + 1], theirs) <= LIMIT


def kept_scattered() -> dict[str, KeptParts]:
    return {"kept": kept_of("scattered", FRAMES, TOKENS)}


def kept_audio(tokens: int = TOKENS) -> dict[str, KeptParts]:
    return {"kept": kept_prefix(FRAMES, TOKENS, kept_tokens=tokens)}


def calls_of(model: JointDiT, inputs: dict[str, Any], **settings: Any) -> Counter[str]:
    """How often each block, aligner and face mask head ran."""
    counts: Counter[str] = Counter()
    groups = ("blocks", "audio_blocks", "a2v_blocks", "v2a_blocks")
    watched = {f"{group}.{i}": part for group in groups for i, part in enumerate(getattr(model, group))}
    watched |= {f"mask_head.{i}": part.mask_head for i, part in enumerate(model.a2v_blocks)}
    hooks = [part.register_forward_hook(lambda *_, name=name: counts.update([name])) for name, part in watched.items()]
    run(model, inputs, **settings)
    for hook in hooks:
        hook.remove()
    assert set(counts.values()) <= {1}
    return counts


class Recording:
    """What goes into and comes out of a module."""

    def __init__(self, module: nn.Module):
        self.module = module

    def __enter__(self) -> Recording:
        self.hook = self.module.register_forward_hook(self._record)
        return self

    def __exit__(self, *_: object) -> None:
        self.hook.remove()

    def _record(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self.args, self.output = args, output


# The interaction against its literal form


LENGTHS = [(1, 6), (1, 13), (2, 1), (2, 3), (2, 30), (2, 300), (3, 54), (5, 106)]
"""Fewer tokens than frames, six a pixel frame (the last one is hit exactly), the usual rate, and very many."""


@pytest.mark.parametrize("keeps", KEEPS)
@pytest.mark.parametrize(("frames", "tokens"), LENGTHS)
@torch.no_grad()
def test_aligners_equal_the_literal_ones(frames: int, tokens: int, keeps: str) -> None:
    generator = torch.Generator().manual_seed(frames + tokens)
    video = torch.randn(2, frames, 6, SIZES.video_width, generator=generator)
    audio = torch.randn(2, tokens, SIZES.audio_width, generator=generator)
    mask = torch.rand(2, frames, 6, generator=generator)
    clip = make_plan(clip_shape(frames, tokens, keeps))
    to_video, to_audio = (by_rule(part(SIZES, torch_operations)) for part in (AudioToVideoAligner, VideoToAudioAligner))

    indices = clip.generated_frames
    update = to_video(video[:, indices], audio, mask[:, indices], clip, options={})
    for ours, *inputs in zip(update, video, audio, mask, strict=True):
        theirs = naive_interaction.audio_to_video(to_video.state_dict(), *inputs, columns=3)
        assert relative_error(ours, theirs[indices]) <= LIMIT

    indices = clip.generated_tokens
    update = to_audio(audio[:, indices], video, mask, clip, options={})
    for ours, *inputs in zip(update, audio, video, mask, strict=True):
        theirs = naive_interaction.video_to_audio(to_audio.state_dict(), *inputs, columns=3)
        assert relative_error(ours, theirs[indices]) <= LIMIT


@pytest.mark.parametrize("keeps", KEEPS)
@pytest.mark.parametrize("frames", [1, 2, 5])
@torch.no_grad()
def test_face_mask_equals_the_literal_one(frames: int, keeps: str) -> None:
    head = by_rule(FaceMaskHead(SIZES.video_width, torch_operations))
    generator = torch.Generator().manual_seed(frames)
    video = 3 + 2 * torch.randn(2, frames, 6, SIZES.video_width, generator=generator)
    time = torch.randn(2, 2, SIZES.video_width, generator=generator)
    clip = make_plan(clip_shape(frames, 9, keeps))
    kept = clip.frame_rows.expand(-1, 6) == CLEAN
    mask = head(video, time, clip.frame_rows)
    for ours, *inputs in zip(mask, video, time, strict=True):
        assert relative_error(ours, naive_interaction.face_mask(head.state_dict(), *inputs, kept)) <= LIMIT


@pytest.mark.parametrize("seed", range(4))
@torch.no_grad()
def test_an_interaction_with_anything_kept_equals_the_literal_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    frames, tokens = 4, audio_tokens(pixel_frames(4))
    kept = kept_at_random(seed, frames, tokens)
    video = torch.randn(1, (1 + frames) * FRAME_TOKENS, SIZES.video_width, generator=generator)
    audio = torch.randn(1, REFERENCE_TOKENS + tokens, SIZES.audio_width, generator=generator)
    time = torch.randn(1, 2, SIZES.video_width, generator=generator)
    to_video, to_audio = (by_rule(part(SIZES, torch_operations)) for part in (AudioToVideoAligner, VideoToAudioAligner))
    clip = make_plan(replace(clip_shape(frames, tokens, kept), reference_tokens=REFERENCE_TOKENS))
    ours = interact(video, audio, (to_video, to_audio), clip, layer=0, time=time, switches=Switches(), options={})
    weights = (to_video.state_dict(), to_audio.state_dict(), to_video.mask_head.state_dict())
    pictures = video[0].unflatten(0, (1 + frames, FRAME_TOKENS))
    which = kept.video_tokens(FRAME_TOKENS), torch.tensor(kept.audio)
    new_video, new_audio = naive_interaction.interaction(
        weights, pictures[1:], audio[0, REFERENCE_TOKENS:], time[0], which, columns=3
    )
    assert relative_error(ours[0][0, FRAME_TOKENS:], new_video.flatten(0, 1)) <= LIMIT
    assert relative_error(ours[1][0, REFERENCE_TOKENS:], new_audio) <= LIMIT
    assert torch.equal(ours[0][:, :FRAME_TOKENS], video[:, :FRAME_TOKENS])
    assert torch.equal(ours[1][:, :REFERENCE_TOKENS], audio[:, :REFERENCE_TOKENS])


@pytest.mark.parametrize("seed", range(4))
def test_each_token_is_modulated_by_its_own_timestep(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    kept = kept_at_random(seed)
    clip = make_plan(clip_shape(FRAMES, TOKENS, kept))
    which = torch.cat((torch.ones(1, FRAME_TOKENS, dtype=torch.bool), kept.video_tokens(FRAME_TOKENS))).flatten()
    x = torch.randn(2, len(which), 8, generator=generator)
    shift, scale, gate = torch.randn(3, 2, 2, 8, generator=generator)
    modulated, summed = modulate(x, shift, 1 + scale, clip.video_times), gated_sum(x, x + 1, gate, clip.video_times)
    for index, is_kept in enumerate(which.tolist()):
        row = CLEAN if is_kept else NOISY
        torch.testing.assert_close(modulated[:, index], x[:, index] * (2 + scale[:, row]) + shift[:, row])
        torch.testing.assert_close(summed[:, index], x[:, index] + gate[:, row] * (x[:, index] + 1))


# What is computed


@pytest.mark.parametrize(
    ("kept_frames", "kept_tokens", "switches", "video_blocks", "audio_blocks"),
    [
        (1, 0, Switches(), 4, 4),
        (1, 0, Switches(False, False), 4, 4),
        # The last interaction is behind block 2: nobody reads block 3.
        (3, 0, Switches(False, True), 3, 4),
        (3, 0, Switches(False, False), 0, 4),
        (1, 56, Switches(True, False), 4, 3),
        (1, 56, Switches(False, False), 4, 0),
    ],
)
@torch.no_grad()
def test_a_kept_stream_is_computed_as_far_as_it_is_read(
    kept_frames: int, kept_tokens: int, switches: Switches, video_blocks: int, audio_blocks: int
) -> None:
    sizes, generator = small_sizes(blocks=4), torch.Generator().manual_seed(1)
    model = by_rule(JointDiT(sizes, torch_operations))
    ran: list[torch.nn.Module] = []
    for block in (*model.blocks, *model.audio_blocks, model.head, model.head_audio):
        block.register_forward_hook(lambda block, *args: ran.append(block))
    video = torch.randn(1, sizes.latent_channels, 3, 4, 4, generator=generator)
    streams = [video, torch.randn(1, 1, 56, sizes.mel_bands, generator=generator)]
    caption = model.encode_caption(torch.randn(1, 3, sizes.text_width, generator=generator))
    speech = model.encode_speech(torch.tensor([[5, 6, 7]]), torch.float32)
    kept = kept_prefix(3, 56, kept_frames, kept_tokens)

    def run(**options: Any) -> list[torch.Tensor]:
        ran.clear()
        return model(
            streams, torch.tensor([500.0]), caption, speech, reference_image=video[:, :, :1], kept=kept,
            switches=switches, options=options,
        )  # fmt: skip

    velocities = run()
    assert sum(block in list(model.blocks) for block in ran) == video_blocks
    assert sum(block in list(model.audio_blocks) for block in ran) == audio_blocks
    for velocity, stream, is_kept in zip(velocities, streams, (kept.video, kept.audio), strict=True):
        assert velocity.shape == stream.shape and velocity.dtype == torch.float32
        assert bool(velocity.any()) != all(is_kept)
    # Who looks at the face masks sees those of the last interaction, too.
    seen: list[int] = []
    watched = run(patches={FACE_MASK_PATCH: [lambda mask, layer, options: seen.append(layer) or mask]})
    assert seen == [0, 1]
    assert all(torch.equal(one, other) for one, other in zip(velocities, watched, strict=True))


# Shapes


def test_the_released_sizes() -> None:
    model = JointDiT(RELEASED_SIZES, torch_operations, device="meta", dtype=torch.bfloat16)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e9, 1) == 7.1
    like = {"device": "meta", "dtype": torch.bfloat16}
    streams = [torch.empty(1, 48, 21, 46, 80, **like), torch.empty(1, 1, 506, 80, **like)]
    caption = model.encode_caption(torch.empty(1, 300, 4096, **like))
    speech = model.encode_speech(torch.zeros(1, 60, dtype=torch.long, device="meta"), torch.bfloat16)
    timestep = torch.empty(1, device="meta")
    reference, kept = streams[0][:, :, :1], kept_prefix(21, 506, kept_frames=1)
    video, audio = model(streams, timestep, caption, speech, reference_image=reference, kept=kept)
    assert caption.shape == (1, 512, 3072) and speech.shape == (1, 60, 1536)
    assert [video.shape, audio.shape] == [stream.shape for stream in streams]


@pytest.mark.parametrize("frames", [1, FRAMES])
@pytest.mark.parametrize("reference_tokens", [0, REFERENCE_TOKENS])
def test_a_batch_of_two_equals_two_single_runs(model: JointDiT, frames: int, reference_tokens: int) -> None:
    inputs = make_inputs(model, batch=2, frames=frames, reference_tokens=reference_tokens)
    assert_equal_to_singles(model, inputs, [item(inputs, 0), item(inputs, 1)])


def test_scattered_kept_parts_in_a_batch(model: JointDiT) -> None:
    inputs = make_inputs(model, batch=2, reference_tokens=REFERENCE_TOKENS, **kept_scattered())
    assert_equal_to_singles(model, inputs, [item(inputs, 0), item(inputs, 1)])


def test_a_batch_shares_one_reference(model: JointDiT) -> None:
    inputs = make_inputs(model, batch=2, reference_tokens=REFERENCE_TOKENS)
    shared = {name: inputs[name][:1] for name in ("reference_image", "reference_audio")}
    assert_equal_to_singles(model, inputs | shared, [item(inputs, 0) | shared, item(inputs, 1) | shared])


def test_texts_of_unequal_length_equal_single_runs(model: JointDiT) -> None:
    inputs = make_inputs(model, batch=2)
    longer = model.encode_speech(torch.arange(17).unsqueeze(0), torch.float32)
    singles = [item(inputs, 0), item(inputs, 1) | {"speech_features": longer}]
    shorter = functional.pad(inputs["speech_features"][:1], (0, 0, 0, 5), value=3.0)
    mask = torch.zeros(2, 1, 17)
    mask[0, :, 12:] = float("-inf")
    inputs |= {"speech_features": torch.cat((shorter, longer)), "speech_mask": mask}
    assert_equal_to_singles(model, inputs, singles)


@pytest.mark.parametrize(("rows", "columns"), [(5, 6), (4, 7), (3, 5)])
def test_odd_sizes_are_padded_with_the_edge_and_cropped(model: JointDiT, rows: int, columns: int) -> None:
    inputs = make_inputs(model, rows=rows, columns=columns)
    bottom, right = rows % 2, columns % 2

    def padded(latent: Tensor) -> Tensor:
        latent = torch.cat([latent, latent[:, :, :, -1:]][: 1 + bottom], dim=3)
        return torch.cat([latent, latent[..., -1:]][: 1 + right], dim=4)

    video, audio = run(model, inputs)
    padded_x = [padded(inputs["x"][0]), inputs["x"][1]]
    whole_video, whole_audio = run(model, inputs, x=padded_x, reference_image=padded(inputs["reference_image"]))
    assert video.shape == inputs["x"][0].shape
    assert torch.equal(video, whole_video[..., :rows, :columns])
    assert torch.equal(audio, whole_audio)


# What is kept


def rows_of(times: plan.TokenTimes) -> list[int]:
    rows = times.rows.repeat_interleave(times.size)
    for row, others in times.others:
        assert (rows[others] != row).all()
        rows[others] = row
    return rows.tolist()


KEPT = [
    KeptParts((False, True, False), tuple(index % 7 == 2 for index in range(TOKENS))),
    *map(kept_at_random, range(3)),
]


def kept_in_frames(kept: KeptParts) -> list[bool]:
    """Whether each video token is kept, the reference frame's first."""
    of_frames = kept.video_tokens(FRAME_TOKENS).expand(-1, FRAME_TOKENS)
    return [True] * FRAME_TOKENS + of_frames.flatten().tolist()


@pytest.mark.parametrize("kept", KEPT)
def test_kept_parts_have_timestep_0(model: JointDiT, kept: KeptParts) -> None:
    inputs = make_inputs(model, batch=2, reference_tokens=REFERENCE_TOKENS)
    with Recording(model.blocks[0]) as video, Recording(model.audio_blocks[0]) as audio:
        run(model, inputs, kept=kept)
        assert rows_of(video.args[1].times) == [CLEAN if is_kept else NOISY for is_kept in kept_in_frames(kept)]
        token_rows = [CLEAN if is_kept else NOISY for is_kept in kept.audio]
        assert rows_of(audio.args[1].times) == [NOISY] * REFERENCE_TOKENS + token_rows
        run(model, inputs, **kept_audio())
        assert rows_of(audio.args[1].times) == [CLEAN] * (REFERENCE_TOKENS + TOKENS)

    for recording, branch in ((video, ""), (audio, "_audio")):
        embed, project = (getattr(model, f"{name}{branch}") for name in ("time_embedding", "time_projection"))
        rows = torch.stack((torch.zeros(2), inputs["timestep"]), dim=1)
        expected = project(embed(torch_operations.sinusoid(rows))).unflatten(-1, (6, -1))
        torch.testing.assert_close(recording.args[1].time, expected)


def test_a_clip_that_is_all_kept_does_not_depend_on_the_timestep(model: JointDiT) -> None:
    inputs = make_inputs(model, reference_tokens=REFERENCE_TOKENS)
    all_kept = {"kept": kept_prefix(FRAMES, TOKENS, FRAMES, TOKENS)}
    later = {"timestep": torch.tensor([100.0])}
    for ours, theirs in zip(run(model, inputs, **all_kept), run(model, inputs, **all_kept, **later), strict=True):
        assert torch.equal(ours, theirs)

    # All sound kept, picture generated: without the interaction, the step reaches only the picture.
    apart = kept_audio() | {"switches": Switches(False, False)}
    (video, audio), (later_video, later_audio) = run(model, inputs, **apart), run(model, inputs, **apart, **later)
    assert torch.equal(audio, later_audio)
    assert relative_error(video, later_video) > 0.01


@pytest.mark.parametrize("kept", KEPT)
def test_only_generated_parts_take_updates(model: JointDiT, kept: KeptParts) -> None:
    """The interaction leaves references and kept parts as they are, and each direction reads what the blocks left."""
    inputs = make_inputs(model, batch=2, reference_tokens=REFERENCE_TOKENS)
    with ExitStack() as stack:
        watched = (*model.blocks[:2], *model.audio_blocks[:2], model.a2v_blocks[0], model.v2a_blocks[0])
        recordings = [stack.enter_context(Recording(part)) for part in watched]
        run(model, inputs, kept=kept)

    video, next_video, audio, next_audio, to_video, to_audio = recordings

    def untouched(before: Tensor, after: Tensor) -> list[bool]:
        return (before == after).all(dim=2).all(dim=0).tolist()

    assert untouched(video.output, next_video.args[0]) == kept_in_frames(kept)
    assert untouched(audio.output, next_audio.args[0]) == [True] * REFERENCE_TOKENS + list(kept.audio)
    assert torch.equal(to_video.args[1], audio.output[:, REFERENCE_TOKENS:])
    assert torch.equal(to_audio.args[1].flatten(1, 2), video.output[:, FRAME_TOKENS:])


def test_the_reference_voice_is_heard_by_the_sound_alone(model: JointDiT) -> None:
    inputs = make_inputs(model, reference_tokens=REFERENCE_TOKENS, switches=Switches(False, False))
    video, audio = run(model, inputs)
    other_video, other_audio = run(model, inputs, reference_audio=inputs["reference_audio"] + 1)
    assert audio.shape == (1, 1, TOKENS, 80)
    assert torch.equal(video, other_video)
    assert relative_error(audio, other_audio) > 0.001


# Switches


ALL = {f"{group}.{i}" for group in ("blocks", "audio_blocks") for i in range(3)} | {
    f"{group}.{i}" for group in ("a2v_blocks", "v2a_blocks", "mask_head") for i in range(2)
}


def without(*groups: str) -> set[str]:
    return {name for name in ALL if name.split(".")[0] not in groups}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ALL),
        ({"switches": Switches(audio_to_video=False)}, without("a2v_blocks")),
        ({"switches": Switches(video_to_audio=False)}, without("v2a_blocks")),
        ({"switches": Switches(False, False)}, without("a2v_blocks", "v2a_blocks", "mask_head")),
        ({"kept": kept_prefix(FRAMES, TOKENS, kept_frames=FRAMES)}, without("a2v_blocks")),
        (kept_audio(), without("v2a_blocks")),
        ({"switches": Switches(skip_block=1)}, ALL - {"blocks.1", "audio_blocks.1"}),
        (
            {"switches": Switches(skip_block=2)},
            ALL - {"blocks.2", "audio_blocks.2", "a2v_blocks.1", "v2a_blocks.1", "mask_head.1"},
        ),
        (
            {"switches": Switches(False, False), "options": {"patches": {FACE_MASK_PATCH: [lambda mask, *_: mask]}}},
            without("a2v_blocks", "v2a_blocks"),
        ),
    ],
    ids=["all", "no a2v", "no v2a", "neither", "kept video", "kept audio", "skip 1", "skip 2", "face masks alone"],
)
def test_what_is_switched_off_is_not_computed(model: JointDiT, settings: dict[str, Any], expected: set[str]) -> None:
    assert set(calls_of(model, make_inputs(model), **settings)) == expected


def test_a_switched_off_direction_adds_nothing(model: JointDiT) -> None:
    inputs = make_inputs(model)
    with Recording(model.blocks[0]) as video, Recording(model.blocks[1]) as after:
        run(model, inputs, switches=Switches(audio_to_video=False))
        assert torch.equal(video.output, after.args[0])
    with Recording(model.audio_blocks[0]) as audio, Recording(model.audio_blocks[1]) as after:
        run(model, inputs, switches=Switches(video_to_audio=False))
        assert torch.equal(audio.output, after.args[0])


# Patches


def patched(patch: Callable[[Tensor, int, dict[str, Any]], Tensor]) -> dict[str, Any]:
    return {"options": {"patches": {FACE_MASK_PATCH: [patch]}}}


def test_face_mask_patches_see_each_layer_and_decide(model: JointDiT) -> None:
    inputs = make_inputs(model, batch=2, switches=Switches(video_to_audio=False))
    seen: dict[int, tuple[torch.Size, torch.dtype]] = {}

    def record(mask: Tensor, layer: int, options: dict[str, Any]) -> Tensor:
        seen[layer] = mask.shape, mask.dtype
        assert FACE_MASK_PATCH in options["patches"]
        return mask * (1 + 0.0)

    plain, unchanged = run(model, inputs), run(model, inputs, **patched(record))
    assert seen == {layer: ((2, FRAMES, FRAME_TOKENS), torch.float32) for layer in (0, 1)}
    assert all(torch.equal(a, b) for a, b in zip(plain, unchanged, strict=True))

    # Without the face, the sound adds its projection's bias and nothing else.
    with Recording(model.a2v_blocks[0]) as update:
        changed = run(model, inputs, **patched(lambda mask, layer, options: torch.zeros_like(mask)))
    torch.testing.assert_close(update.output, model.a2v_blocks[0].o.bias.expand_as(update.output))
    assert relative_error(changed[0], plain[0]) > 1e-3


def test_face_mask_patches_follow_each_other_and_reach_the_sound(model: JointDiT) -> None:
    inputs = make_inputs(model, switches=Switches(audio_to_video=False))
    halves = [lambda mask, *_: mask / 2, lambda mask, *_: mask + 0.25]
    plain = run(model, inputs)
    chained = run(model, inputs, options={"patches": {FACE_MASK_PATCH: halves}})
    at_once = run(model, inputs, **patched(lambda mask, *_: mask / 2 + 0.25))
    assert torch.equal(chained[1], at_once[1])
    assert relative_error(chained[1], plain[1]) > 1e-3


def replaced(index: int, replacement: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return {"options": {"patches_replace": {"dit": {("double_block", index): replacement}}}}


def test_a_host_may_replace_a_block(model: JointDiT) -> None:
    inputs = make_inputs(model)
    options: list[dict[str, Any]] = []

    def through(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        options.append(args["transformer_options"])
        return extra["original_block"](args)

    def left_out(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        return args

    def doubled(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        return extra["original_block"](args | {"img": 2 * args["img"]})

    plain = run(model, inputs)
    setting = replaced(2, through)
    assert all(torch.equal(a, b) for a, b in zip(plain, run(model, inputs, **setting), strict=True))
    assert options == [setting["options"]]
    skipped = run(model, inputs, switches=Switches(skip_block=2))
    assert all(torch.equal(a, b) for a, b in zip(skipped, run(model, inputs, **replaced(2, left_out)), strict=True))
    assert relative_error(run(model, inputs, **replaced(1, doubled))[0], plain[0]) > 1e-3


# Hooks


class Watching(Hooks, BlockHooks):
    """Hooks that change nothing, and write down the calls and the shapes that they saw."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def before_block(self, index: int) -> None:
        self.calls.append(("before", index))

    def inside(self, index: int, branch: Branch) -> BlockHooks:
        self.calls.append((branch, index))
        return self

    def self_attention(self, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.calls.append(("self", q.shape, k.shape, v.shape))
        return super().self_attention(attend, q, k, v)

    def cross_attention(self, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.calls.append(("cross", q.shape, k.shape, v.shape))
        return super().cross_attention(attend, q, k, v)

    def add_text(self, x: Tensor, update: Tensor) -> Tensor:
        self.calls.append(("text", x.shape, update.shape))
        return super().add_text(x, update)

    def after_block(self, index: int, video: Tensor, time: Tensor) -> Tensor:
        self.calls.append(("after", index, video.shape, time.shape))
        return super().after_block(index, video, time)


def test_hooks_that_change_nothing_see_every_block(model: JointDiT) -> None:
    inputs = make_inputs(model, batch=2, reference_tokens=REFERENCE_TOKENS, switches=Switches(skip_block=1))
    watching = Watching()
    plain, watched = run(model, inputs), run(model, inputs, hooks=watching)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))

    video = (2, (FRAMES + 1) * FRAME_TOKENS, SIZES.video_width)
    audio = (2, REFERENCE_TOKENS + TOKENS, SIZES.audio_width)

    def block(index: int) -> list[tuple[Any, ...]]:
        return [
            ("before", index),
            (Branch.VIDEO, index),
            ("self", video, video, video),
            ("cross", video, *[tuple(inputs["caption_features"].shape)] * 2),
            ("text", video, video),
            (Branch.AUDIO, index),
            ("self", audio, audio, audio),
            ("cross", audio, *[tuple(inputs["speech_features"].shape)] * 2),
            ("text", audio, audio),
            ("after", index, video, (2, 2, SIZES.video_width)),
        ]

    assert watching.calls == block(0) + block(2)


class Changed(Hooks, BlockHooks):
    """Hooks in one block of one branch, where self-attention gives the values and the text is not added."""

    def __init__(self, index: int, branch: Branch):
        self.where = index, branch

    def inside(self, index: int, branch: Branch) -> BlockHooks | None:
        return self if (index, branch) == self.where else None

    def self_attention(self, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return v

    def add_text(self, x: Tensor, update: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(("branch", "group"), [(Branch.VIDEO, "blocks"), (Branch.AUDIO, "audio_blocks")])
def test_hooks_take_the_place_of_what_a_block_does(model: JointDiT, branch: Branch, group: str) -> None:
    inputs = make_inputs(model)
    literal = copy.deepcopy(model)
    block = getattr(literal, group)[1]
    attention = block.self_attn
    attention.forward = lambda x, *_, **__: attention.o(attention.v(x))
    block.cross_attn.forward = lambda x, *_, **__: torch.zeros_like(x)
    ours, theirs = run(model, inputs, hooks=Changed(1, branch)), run(literal, inputs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert relative_error(ours[branch is Branch.AUDIO], run(model, inputs)[branch is Branch.AUDIO]) > 1e-3


def test_a_hook_takes_the_place_of_the_video_behind_a_block(model: JointDiT) -> None:
    class Doubled(Hooks):
        def after_block(self, index: int, video: Tensor, time: Tensor) -> Tensor:
            return 2 * video if index == 0 else video

    inputs = make_inputs(model)
    with Recording(model.blocks[0]) as first, Recording(model.blocks[1]) as second:
        run(model, inputs, switches=Switches(audio_to_video=False), hooks=Doubled())
    assert torch.equal(second.args[0], 2 * first.output)


# Runs, training, precision


def test_plans_are_made_once_for_a_shape_of_clip(model: JointDiT, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ClipShape] = []
    monkeypatch.setattr(plan, "make_plan", lambda shape: made.append(shape) or make_plan(shape))
    inputs = make_inputs(model)
    video, audio = inputs["x"]
    clip = Clip(video, audio, kept_prefix(FRAMES, TOKENS, kept_frames=1), inputs["reference_image"])
    caption = torch.ones(1, 1, SIZES.text_width)
    negative = Condition(caption, torch.zeros(1, 10, dtype=torch.long))
    longer = Condition(caption, torch.zeros(1, 14, dtype=torch.long))
    sample_euler(model, clip, (video, audio), flow_sigmas(2), positive=negative, negative=negative)
    assert len(made) == 1
    sample_euler(model, clip, (video, audio), flow_sigmas(2), positive=longer, negative=negative)
    assert [shape.symbols for shape in made[1:]] == [14, 10]


@pytest.mark.parametrize("kept", [kept_of("scattered", FRAMES, TOKENS), kept_at_random(1)], ids=["frames", "areas"])
def test_gradients_reach_every_parameter_that_takes_part(model: JointDiT, kept: KeptParts) -> None:
    trained = copy.deepcopy(model)
    inputs = make_inputs(trained, batch=2, reference_tokens=REFERENCE_TOKENS, kept=kept)
    masks: list[Tensor] = []
    outputs = trained(**inputs, **patched(lambda mask, *_: masks.append(mask) or mask))
    sum(stream.square().mean() for stream in [*outputs, *masks]).backward()
    idle = {name for name, weight in trained.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert idle == {"audio_padding"}
    assert all(weight.grad.isfinite().all() for weight in trained.parameters() if weight.grad is not None)


def test_half_precision_keeps_to_float32(model: JointDiT) -> None:
    half = copy.deepcopy(model).bfloat16()
    inputs = make_inputs(model, reference_tokens=REFERENCE_TOKENS, **kept_scattered())
    rounded = {name: value.bfloat16() for name, value in inputs.items() if isinstance(value, Tensor)}
    rounded |= {"x": [stream.bfloat16() for stream in inputs["x"]], "timestep": inputs["timestep"]}
    with Recording(half.blocks[1]) as block:
        outputs = run(half, inputs | rounded)
    assert [block.args[0].dtype, block.args[1].time.dtype] == [torch.bfloat16, torch.float32]
    for ours, theirs in zip(outputs, run(model, inputs), strict=True):
        assert ours.dtype == torch.float32
        assert relative_error(ours, theirs) <= 2e-2
