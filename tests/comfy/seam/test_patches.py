"""Patches of a MODEL: they get what Wan gives them, change the clip, and are named where they cannot."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import comfy.ops
import pytest
import torch
from clips import (
    SIZES,
    Clip,
    assert_apart,
    assert_close,
    assert_equal,
    assert_kept,
    left_half,
    model,
    one_step,
    sample,
    warnings_of_ours,
    with_areas,
    with_face_mask,
)
from comfy.ldm.modules import attention
from joint_kinds import UNIAVGEN, UNIVERSE_1, JointKind
from pack.nodes import comfy_joint
from pack.tests.common import relative_error
from pack.tests.golden_weights import weights_by_rule


def patched_clip(patcher: Any, latent: dict, conds: Any, *patches: tuple[Callable, str]) -> Clip:
    changed = patcher.clone()
    for patch, name in patches:
        changed.set_model_patch(patch, name)
    return one_step(changed, latent, conds)


def wan_model() -> Any:
    """ComfyUI's own Wan model with the sizes of the video branch."""
    from comfy.ldm.wan.model import WanModel

    wan = WanModel(
        model_type="t2v", patch_size=(1, 2, 2), in_dim=48, out_dim=48, dim=SIZES.video_width, num_layers=SIZES.blocks,
        ffn_dim=SIZES.video_ffn_width, num_heads=SIZES.video_heads, text_dim=SIZES.text_width,
        operations=comfy.ops.disable_weight_init, dtype=torch.float32, device="cpu",
    )  # fmt: skip
    wan.load_state_dict(weights_by_rule(wan))
    return wan


def watching_patch(name: str, calls: list[dict[str, Any]]) -> Callable[[dict], Any]:
    """A patch that changes nothing and notes the shapes and numbers that it is called with."""

    def patch(args: dict[str, Any]) -> Any:
        options = args["transformer_options"]
        call = {key: options.get(key) for key in ("block_index", "block_type", "total_blocks")}
        call["grid"] = math.prod(options["grid_sizes"])
        call |= {key: tuple(value.shape) for key, value in args.items() if isinstance(value, torch.Tensor)}
        calls.append(call | {key: value for key, value in args.items() if isinstance(value, int)})
        return args if name == "double_block" else args["x"]

    return patch


@pytest.mark.parametrize("name", ["attn1_patch", "attn2_patch", "double_block"])
def test_patches_get_what_wan_gives_them(patcher: Any, latent: dict, conds: Any, name: str) -> None:
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    watched = patched_clip(patcher, latent, conds, (watching_patch(name, ours), name))
    assert_equal(watched, one_step(patcher, latent, conds))
    assert len(ours) == SIZES.blocks
    video = latent["samples"].unbind()[0]
    with_reference = torch.cat((video[:, :, :1], video), dim=2)
    options = {"patches": {name: [watching_patch(name, theirs)]}}
    wan_model()(
        with_reference, torch.tensor([900.0]), torch.zeros(1, 512, SIZES.text_width), transformer_options=options
    )
    if name == "double_block" and not theirs:
        pytest.skip("this ComfyUI's Wan has no patches behind a block")
    for call in (*ours, *theirs):
        if name == "double_block":
            # Wan's has the reference among its latents here, not in front of them.
            del call["x"], call["img_offset"]
    assert ours == theirs


def test_the_output_of_text_attention_is_patched(patcher: Any, latent: dict, conds: Any) -> None:
    def zero_text(x: torch.Tensor, extra: dict) -> torch.Tensor:
        assert (extra["n_heads"], extra["dim_head"]) == (SIZES.video_heads, 128)
        return x * 0

    textless = model()
    for block in textless.model.diffusion_model.blocks:
        block.cross_attn.forward = lambda x, *_, **__: torch.zeros_like(x)
    ours = patched_clip(patcher, latent, conds, (zero_text, "attn2_output_patch"))
    assert_equal(ours, one_step(textless, latent, conds))


def test_a_patch_of_attention_is_followed_by_that_of_its_output(patcher: Any, latent: dict, conds: Any) -> None:
    doubled_and_halved = (lambda args: 2 * args["x"], "attn1_patch"), (lambda x, extra: x / 2, "attn1_output_patch")
    assert_equal(patched_clip(patcher, latent, conds, *doubled_and_halved), one_step(patcher, latent, conds))


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("attn1_patch", lambda args: 2 * args["x"]),
        ("attn2_patch", lambda args: args["x"] * 1.1),
        ("attn1_output_patch", lambda x, extra: 2 * x),
        ("double_block", lambda args: {"img": args["img"] * 1.1}),
    ],
)
def test_patches_change_the_clip(patcher: Any, latent: dict, conds: Any, name: str, patch: Callable) -> None:
    assert_apart(patched_clip(patcher, latent, conds, (patch, name)), one_step(patcher, latent, conds), 1e-4)


def test_self_attention_of_a_block_is_replaced(patcher: Any, latent: dict, conds: Any) -> None:
    literal, calls = model(), []

    def values(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra: dict) -> torch.Tensor:
        calls.append((q.shape == v.shape, extra["block_index"]))
        return v

    patcher.set_model_attn1_replace(values, "double_block", 2)
    attention = literal.model.diffusion_model.blocks[2].self_attn
    attention.forward = lambda x, *_, **__: attention.o(attention.v(x))
    assert_equal(one_step(patcher, latent, conds), one_step(literal, latent, conds))
    assert calls == [(True, 2)]


def test_text_attention_of_a_block_is_replaced(patcher: Any, latent: dict, conds: Any) -> None:
    before = one_step(patcher, latent, conds)
    patcher.set_model_attn2_replace(lambda q, k, v, extra: q, "double_block", 1)
    assert relative_error(one_step(patcher, latent, conds)[0], before[0]) > 1e-4


def test_attention_is_the_one_that_the_user_chose() -> None:
    assert comfy_joint.optimized_attention is attention.optimized_attention


@pytest.mark.parametrize("name", ["pytorch", "split", "sub_quad"])
def test_each_attention_goes_through_what_a_node_puts_in_its_place(patcher: Any, short_latent: dict, name: str) -> None:
    plain, calls = sample(patcher, short_latent, 2), []
    chosen = attention.REGISTERED_ATTENTION_FUNCTIONS[name]

    def override(usual: Callable, *args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(kwargs.get("transformer_options") is not None)
        return chosen(*args, **kwargs)

    patcher.model_options["transformer_options"] = {"optimized_attention_override": override}
    assert_close(sample(patcher, short_latent, 2), plain, 1e-4)
    least = 2 * (2 * SIZES.blocks * 2 - 2 * 2) + 2 * SIZES.interactions
    assert len(calls) > least and all(calls)


FIRST_FRAME_OR_AREAS = pytest.mark.parametrize(
    ("kind", "change"),
    [(UNIAVGEN, dict), (UNIAVGEN, with_areas), (UNIVERSE_1, dict)],
    ids=["UniAVGen, a first frame", "UniAVGen, areas", "UniVerse-1"],
)


@FIRST_FRAME_OR_AREAS
def test_easycache_skips_steps(kind: JointKind, change: Callable) -> None:
    patcher, latent = kind.model(), change(kind.latent(3))
    from comfy_extras.nodes_easycache import EasyCacheNode

    forwards = []

    def watch(apply_model: Callable, args: dict) -> torch.Tensor:
        before = args["input"].clone()
        output = apply_model(args["input"], args["timestep"], **args["c"])
        assert torch.equal(args["input"], before), "a skipped step changed the latent itself"
        return output

    patcher.set_model_unet_function_wrapper(watch)
    inner = patcher.model.diffusion_model.run

    def counted(*args: Any, **kwargs: Any) -> Any:
        forwards.append(1)
        return inner(*args, **kwargs)

    patcher.model.diffusion_model.run = counted
    cached = EasyCacheNode.execute(patcher, 2.0, 0.1, 0.95, False)[0]
    assert_kept(latent, kind.sample(cached, latent, 10))
    assert 4 <= len(forwards) < 10 * kind.calls


@FIRST_FRAME_OR_AREAS
def test_compiled_equals_eager(kind: JointKind, change: Callable) -> None:
    from comfy_extras.nodes_torch_compile import TorchCompileModel

    compiled = TorchCompileModel.execute(kind.model(), "eager")[0]
    latent = change(kind.latent(2))
    assert_close(kind.sample(compiled, latent, 1), kind.sample(kind.model(), latent, 1), 1e-4)


def test_a_block_compiles_as_one_graph(kind: JointKind) -> None:
    latent, patcher = kind.latent(2), kind.model()
    plain, graphs = kind.sample(kind.model(), latent, 1), []
    stacks = [stack for stack in patcher.model.diffusion_model.children() if isinstance(stack, torch.nn.ModuleList)]
    # The attention of a GPU. That of --cpu looks how much memory is free, which no graph can hold.
    patcher.model_options["transformer_options"] = {
        "optimized_attention_override": lambda usual, *args, **kwargs: attention.attention_pytorch(*args, **kwargs)
    }

    def count(graph: Any, inputs: list) -> Callable:
        graphs.append(graph)
        return graph.forward

    for blocks in stacks:
        blocks[0].compile(backend=count, fullgraph=True, dynamic=False)
    assert_close(kind.sample(patcher, latent, 1), plain, 1e-4)
    assert len(graphs) == len(stacks) == (4 if kind is UNIAVGEN else 1)


def output_block_patch(patcher: Any) -> Any:
    patched = patcher.clone()
    patched.set_model_patch(lambda *args: 1 / 0, "output_block_patch")
    return patched


def hypertile(patcher: Any) -> Any:
    from comfy_extras.nodes_hypertile import HyperTile

    return HyperTile.execute(patcher, 256, 2, 0, False)[0]


def tome(patcher: Any) -> Any:
    from comfy_extras.nodes_tomesd import TomePatchModel

    return TomePatchModel.execute(patcher, 0.3)[0]


def perturbed_attention(patcher: Any) -> Any:
    from comfy_extras.nodes_pag import PerturbedAttentionGuidance

    return PerturbedAttentionGuidance.execute(patcher, 3.0)[0]


def scaled_rope(patcher: Any) -> Any:
    from comfy_extras.nodes_rope import ScaleROPE

    return ScaleROPE.execute(patcher, 1.1, 0.0, 1.1, 0.0, 1.0, 0.0)[0]


def skipped_layers(patcher: Any) -> Any:
    from comfy_extras.nodes_slg import SkipLayerGuidanceDiT

    return SkipLayerGuidanceDiT.execute(patcher, 3.0, 0.0, 1.0, "9", "7", 0.0)[0]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (output_block_patch, "output_block_patch of output_block_patch"),
        (hypertile, "attn1_patch of HyperTile, attn1_output_patch of HyperTile"),
        (tome, "attn1_output_patch of TomePatchModel"),
        (perturbed_attention, "attn1 middle 0 of PerturbedAttentionGuidance"),
        (scaled_rope, "rope_options of ScaleROPE"),
        (skipped_layers, "dit single_block 7 of SkipLayerGuidanceDiT"),
    ],
)
def test_what_changes_nothing_is_named_once_a_run(
    patcher: Any, short_latent: dict, conds: Any, make: Callable, name: str
) -> None:
    patched = make(patcher)
    with warnings_of_ours() as said:
        result = sample(patched, short_latent, 4, conds=conds)
    (text,) = said
    assert name in text and "changes nothing" in text
    # Guidance by a pass that is the same adds nothing but rounding.
    assert_close(result, sample(patcher, short_latent, 4, conds=conds), 1e-5)
    with warnings_of_ours() as said:
        sample(patched, short_latent, 1, conds=conds)
    assert len(said) == 1, "the next run says it again"


def test_foreign_conditioning_is_named_once_a_run(patcher: Any, short_latent: dict, conds: Any) -> None:
    foreign = tuple([[rows, {**values, "ref_audio": {"tokens": rows}}] for rows, values in cond] for cond in conds)
    with warnings_of_ours() as said:
        sample(patcher, short_latent, 2, conds=foreign)
    (text,) = said
    assert text.count("ref_audio of LTXVReferenceAudio") == 1


def test_nothing_of_our_own_is_named(patcher: Any, short_latent: dict, conds: Any) -> None:
    with warnings_of_ours() as said:
        sample(patcher, short_latent, 2, conds=conds)
        sample(with_face_mask(patcher, left_half()), short_latent, 2, conds=conds)
    assert said == []
