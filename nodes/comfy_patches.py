"""ComfyUI's switches and patches inside the joint model: what other nodes put into a MODEL's `transformer_options`.

Patches of attention and blocks are called as ComfyUI's Wan models call them, for the video branch. What has no place
in this model is named in a warning.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ..uniavgen_core.config import HEAD_WIDTH
from ..uniavgen_core.model.aligners import FACE_MASK_PATCH
from ..uniavgen_core.model.blocks import Attend, BlockHooks, Branch, Hooks
from ..uniavgen_core.tasks import Switches

REPORT = "uniavgen_patches"
"""The run's `PatchReport` in `transformer_options`."""

BLOCK = "double_block"
"""Name of a block in the keys of `patches_replace`, and of the patches that are called behind each."""
OUTPUT_PATCHES = {"attn1": "attn1_output_patch", "attn2": "attn2_output_patch"}
ARGUMENTS = {"attn1_patch": 1, "attn2_patch": 1, **dict.fromkeys(OUTPUT_PATCHES.values(), 2), BLOCK: 1}
"""Patches that are called, and with how many arguments."""
REPLACEABLE = ("dit", "attn1", "attn2")
"""Of `patches_replace`: whole blocks, self-attention, cross-attention."""
VALUES_IN, VALUES_EVERYWHERE = "stg_self_attn_blocks", "stg_skip_self_attn"
"""Switches: in which blocks, or that in all of them, self-attention gives the values as they are."""
ON_BY_DEFAULT = ("run_vx", "run_ax")
"""Switches of ComfyUI's LTX model that this one does not have."""

UNREAD = {
    "ref_audio": "LTXVReferenceAudio",
    "reference_latents": "ReferenceLatent",
    "concat_latent_image": "an image-to-video node of another model",
    "clip_vision_output": "a node of another model",
}
"""Conditioning values of other models, and where they come from."""
NO_PLACE = (
    "{model} has no place for some of what other nodes put into MODEL or CONDITIONING. It changes nothing here: %s."
)

Patch = Callable[..., Any]


@dataclass
class PatchReport:
    """What a sampling run has said of its patches, and which of its passes ran in one call."""

    model: str = "UniAVGen"
    """Its name in what is said."""
    said: set[str] = field(default_factory=set)
    passes: set[int] = field(default_factory=set)
    together: bool = False

    def warn(self, sentence: str, names: list[str]) -> None:
        """Say the sentence, which may name the model, of those names of which it has not been said in this run."""
        new = [name for name in dict.fromkeys(names) if name not in self.said]
        self.said.update(new)
        if new:
            logging.warning(sentence.format(model=self.model), ", ".join(new))


def usable_options(options: dict[str, Any], blocks: int) -> dict[str, Any]:
    """`transformer_options` without the patches that cannot be called here; a warning names these once a run.

    Args:
        blocks: how many blocks the model has.
    """
    report = options.get(REPORT) or PatchReport()
    patches = options.get("patches") or {}
    # Patches of one node work hand in hand: none is called where one cannot be.
    misfits = {_source(patch) for name in ARGUMENTS for patch in patches.get(name, ()) if not _fits(name, patch)}
    called = {
        name: [patch for patch in given if _source(patch) not in misfits]
        for name, given in patches.items()
        if name in ARGUMENTS
    }
    idle = [
        f"{name} of {_maker(patch)}"
        for name, given in patches.items()
        for patch in given
        if name != FACE_MASK_PATCH and patch not in called.get(name, ())
    ]
    report.warn(NO_PLACE, idle + list(_idle_replacements(options, blocks)) + list(_idle_switches(options, blocks)))
    _warn_of_lone_passes(report, options, called)
    return options | {"patches": patches | called} if idle else options


def warn_of_unread(report: PatchReport, conds: dict[str, list[dict[str, Any]]]) -> None:
    """Name what the conditioning holds for other models."""
    report.warn(
        NO_PLACE,
        [
            f"{name} of {origin}"
            for given in conds.values()
            for cond in given
            for name, origin in UNREAD.items()
            if cond.get(name) is not None
        ],
    )


def _fits(name: str, patch: Patch) -> bool:
    """Whether a patch can be called as ComfyUI's Wan models do; those for other kinds of models take more arguments."""
    try:
        inspect.signature(patch).bind(*[None] * ARGUMENTS[name])
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _maker(patch: Patch) -> str:
    """The node or the class that a patch is of."""
    return _source(patch)[1]


def _source(patch: Patch) -> tuple[str, str]:
    """Module and name of the node or the class that a patch is of."""
    named = patch if hasattr(patch, "__qualname__") else type(patch)
    return named.__module__, named.__qualname__.split(".")[0]


def _idle_replacements(options: dict[str, Any], blocks: int) -> Iterator[str]:
    here = {(BLOCK, index) for index in range(blocks)}
    for name, replacements in (options.get("patches_replace") or {}).items():
        for key, patch in replacements.items():
            if name not in REPLACEABLE or key not in here:
                place = " ".join(map(str, key))
                yield f"{name} {place} of {_maker(patch)} (the blocks here are {BLOCK} 0 to {blocks - 1})"


def _idle_switches(options: dict[str, Any], blocks: int) -> Iterator[str]:
    for index in sorted(set(options.get(VALUES_IN, ())) - set(range(blocks))):
        yield f"block {index} of {VALUES_IN} (the blocks here are 0 to {blocks - 1})"
    if options.get("rope_options"):
        yield "rope_options of ScaleROPE"
    for name in ON_BY_DEFAULT:
        if not options.get(name, True):
            yield name


def _warn_of_lone_passes(report: PatchReport, options: dict[str, Any], called: dict[str, list[Patch]]) -> None:
    """Where no call holds both passes, patches that compare these have nothing to compare."""
    passes = set(options.get("cond_or_uncond", ()))
    report.passes |= passes
    report.together |= len(passes) > 1
    if len(report.passes) > 1 and not report.together:
        report.warn(
            "%s gets the positive and the negative pass one at a time: {model} runs them apart where they differ in "
            "words, switches or blocks. A patch that compares the two, as that of NAGuidance, changes nothing then.",
            [f"{name} of {_maker(patch)}" for name in OUTPUT_PATCHES.values() for patch in called.get(name, ())],
        )


def connected(switches: Switches, options: dict[str, Any]) -> Switches:
    """The switches of a pass, less the directions that other nodes switch off."""
    return replace(
        switches,
        audio_to_video=switches.audio_to_video and bool(options.get("a2v_cross_attn", True)),
        video_to_audio=switches.video_to_audio and bool(options.get("v2a_cross_attn", True)),
    )


class ComfyHooks(Hooks):
    """The patches of one forward pass.

    Args:
        options: `transformer_options`; a copy takes what ComfyUI's models tell patches of the block they are in.
        latent: video latent (batch, channels, T, h, w) as the model gets it.
        reference_frames: latent frames that stand before the clip's own tokens.
    """

    def __init__(self, options: dict[str, Any], sizes: Any, latent: Tensor, reference_frames: int = 1):
        rows, columns = (-(-size // step) for size, step in zip(latent.shape[3:], sizes.patch[1:], strict=True))
        self.latent = latent
        self.reference_tokens = reference_frames * rows * columns
        self.options = options | {
            "grid_sizes": (latent.shape[2] + reference_frames, rows, columns),
            "total_blocks": sizes.blocks,
            "block_type": "double",
            "n_heads": sizes.video_heads,
            "dim_head": HEAD_WIDTH,
        }
        self.patches = options.get("patches", {})
        replaced = options.get("patches_replace", {})
        self.replaced = {name: replaced[name] for name in OUTPUT_PATCHES if replaced.get(name)}
        self.patched = bool(self.replaced) or any(self.patches.get(name) for name in ARGUMENTS if name != BLOCK)

    def before_block(self, index: int) -> None:
        self.options["block_index"] = index

    def inside(self, index: int, branch: Branch) -> BlockHooks | None:
        values = self.options.get(VALUES_EVERYWHERE, False) or index in self.options.get(VALUES_IN, ())
        if branch is Branch.VIDEO and (values or self.patched):
            return PatchedBlock(self, index, values)
        return Values() if values else None

    def after_block(self, index: int, video: Tensor, time: Tensor) -> Tensor:
        for patch in self.patches.get(BLOCK, ()):
            args = {"img": video, "x": self.latent, "vec": time[:, -1:], "block_index": index}
            args |= {"img_offset": self.reference_tokens, "transformer_options": self.options}
            video = patch(args)["img"]
        return video


class Values(BlockHooks):
    """A block whose self-attention gives the values as they are, as ComfyUI's LTX model has it."""

    def self_attention(self, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return v


class PatchedBlock(BlockHooks):
    """A block of the video branch with its patches, each called where ComfyUI's models call it.

    Args:
        values: whether its self-attention gives the values as they are.
    """

    def __init__(self, hooks: ComfyHooks, index: int, values: bool):
        self.hooks, self.index, self.values = hooks, index, values

    def self_attention(self, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        x = v if self.values else self._attended("attn1", attend, q, k, v)
        heads = (self.hooks.options["n_heads"], HEAD_WIDTH)
        for patch in self._patches("attn1_patch"):
            args = {"x": x, "q": q.unflatten(-1, heads), "k": k.unflatten(-1, heads)}
            x = patch(args | {"transformer_options": self.hooks.options})
        return self._output("attn1", x)

    def cross_attention(self, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self._attended("attn2", attend, q, k, v)

    def add_text(self, x: Tensor, update: Tensor) -> Tensor:
        x = x + self._output("attn2", update)
        for patch in self._patches("attn2_patch"):
            x = patch({"x": x, "transformer_options": self.hooks.options})
        return x

    def _attended(self, name: str, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        patch = self.hooks.replaced.get(name, {}).get((BLOCK, self.index))
        return attend(q, k, v) if patch is None else patch(q, k, v, self.hooks.options)

    def _output(self, name: str, x: Tensor) -> Tensor:
        for patch in self._patches(OUTPUT_PATCHES[name]):
            x = patch(x, self.hooks.options)
        return x

    def _patches(self, name: str) -> list[Patch]:
        return self.hooks.patches.get(name, [])
