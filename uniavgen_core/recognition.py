"""Which model a file holds: UniAVGen, UniVerse-1, or the name of another that it looks like."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor

from .backend import torch_operations
from .checkpoint import CheckpointError, check_names, check_tensor_shapes, name_list
from .config import HEAD_WIDTH, ModelSizes
from .model.joint_dit import JointDiT
from .universe1.stitched_dit import GROUPS, StitchedDiT
from .universe1.stitched_names import is_stitched
from .universe1.stitched_sizes import StitchedSizes

AUDIO = "audio_blocks.*"
"""What every UniAVGen model has, and nothing that it was made from."""
MOST_DIGITS = 6
"""Of a block's number."""
CHOOSE_THE_MODEL = "Choose the folder or file of UniAVGen or UniVerse-1 instead."
CHOOSE_HERE = "and choose the folder or file of UniAVGen or UniVerse-1 here."


@dataclass(frozen=True)
class Signature:
    """Tensor names that give a kind of file away.

    Attributes:
        kind: what to call it, with its article.
        names: patterns, one of which some tensor's name matches.
        advice: what to do with such a file.
        without: a pattern that no tensor's name matches.
    """

    kind: str
    names: tuple[str, ...]
    advice: str = CHOOSE_THE_MODEL
    without: str | None = None

    def fits(self, names: Collection[str]) -> bool:
        """Whether a file with these tensors is of this kind."""
        is_barred = self.without is not None and _any_fits(names, self.without)
        return not is_barred and any(_any_fits(names, pattern) for pattern in self.names)


SIGNATURES = (
    Signature("a training state (an optimiser's)", ("*.exp_avg", "optimizer.*"), "Choose the trained weights instead."),
    Signature(
        "a LoRA",
        ("*.lora_A*", "*.lora_down.weight", "*.lokr_w1*", "*.hada_w1_a", "*.diff"),
        "A LoRA is applied to a loaded model, with a LoRA loader.",
    ),
    Signature("Ovi (video and sound)", ("video_model.blocks.*", "*.cross_attn.k_fusion.weight")),
    Signature("Wan (video only, no sound)", ("blocks.0.self_attn.q.weight", "blocks.0.attn1.to_q.*"), without=AUDIO),
    Signature(
        "ACE-Step (sound only)",
        ("genre_embedder.weight",),
        f"Of its checkpoint UniVerse-1 needs the text encoder and the VAE: load it in Load Checkpoint, {CHOOSE_HERE}",
    ),
    Signature("LTX", ("adaln_single.emb.timestep_embedder.linear_1.*",)),
    Signature("Flux or Hunyuan Video", ("double_blocks.0.*",)),
    Signature("Stable Diffusion", ("input_blocks.0.0.weight", "down_blocks.0.resnets.0.*", "joint_blocks.0.*")),
    Signature("another diffusion transformer", ("transformer_blocks.0.*", "noise_refiner.0.*", "x_embedder.*")),
    Signature(
        "the Wan 2.2 VAE", ("decoder.upsamples.0.upsamples.0.residual.2.weight",), f"Load it as the VAE, {CHOOSE_HERE}"
    ),
    Signature(
        "the Wan 2.1 VAE",
        ("decoder.middle.0.residual.0.gamma",),
        f"UniVerse-1 needs it, in Load VAE, and UniAVGen the Wan 2.2 VAE. {CHOOSE_THE_MODEL}",
    ),
    Signature("another VAE", ("decoder.conv_in.*", "decoder.up_blocks.0.*", "decoder.1.weight", "taesd_decoder.*")),
    Signature(
        "a text encoder",
        (
            "*encoder.block.0.layer.0.SelfAttention.q.*",
            "blocks.0.attn.q.*",
            "*layers.0.mlp.gate_proj.*",
            "*text_model.*",
        ),
        f"Load umT5 as the text encoder, {CHOOSE_HERE}",
    ),
    Signature("a CLIP vision encoder", ("*vision_model.*",)),
    Signature("a vocoder", ("*conv_pre.*",), f"Load it as the audio codec, {CHOOSE_HERE}"),
)
"""Kinds of files that people choose by mistake; the first that fits counts, so the special stand before the general."""


def recognise(meta: Mapping[str, Tensor], source: str = "The file") -> ModelSizes:
    """The sizes of a UniAVGen model, from names and shapes alone.

    Args:
        meta: tensors by name, without prefixes; meta tensors do.
        source: what to call the file in an error.

    Raises:
        CheckpointError: the file is of another kind (the message says of which), or of an unknown variant.
    """
    for signature in SIGNATURES:
        if signature.fits(meta):
            raise CheckpointError(
                f"{source} looks like {signature.kind}, not like UniAVGen or UniVerse-1. {signature.advice}"
            )
    if not _any_fits(meta, AUDIO):
        raise CheckpointError(
            f"{source} is neither UniAVGen nor UniVerse-1, nor of another kind that is known here; it holds "
            f"{name_list(list(meta)[:3])} and others. {CHOOSE_THE_MODEL}"
        )
    try:
        sizes = ModelSizes.from_state_dict(meta)
    except KeyError as error:
        raise CheckpointError(
            f"{source} is an incomplete UniAVGen model, it lacks {error.args[0]}: download it again."
        ) from error
    except (IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"{source} holds tensors of unknown shapes: it is damaged, download it again.") from error
    faults = _variant_faults(meta, sizes)
    if faults:
        raise CheckpointError(
            f"{source} is a damaged UniAVGen model, or a variant that is not known: {'; '.join(faults)}. "
            "Download it again, or choose the released model."
        )
    return sizes


def recognise_stitched(meta: Mapping[str, Tensor], source: str = "The file") -> StitchedSizes:
    """The sizes of a UniVerse-1 model, under the model's names.

    Args as in `recognise`.

    Raises:
        CheckpointError: the file is incomplete or damaged.
    """
    try:
        sizes = StitchedSizes.of_tensors(meta)
    except KeyError as error:
        raise CheckpointError(
            f"{source} is an incomplete UniVerse-1 model, it lacks {error.args[0]}: download it again."
        ) from error
    except (IndexError, ZeroDivisionError, ValueError) as error:
        raise CheckpointError(f"{source} holds tensors of unknown shapes: it is damaged, download it again.") from error
    widths = {"video": sizes.video_width, "audio": sizes.audio_width}
    faults = [
        f"the {stream} width {width} is no multiple of {HEAD_WIDTH}"
        for stream, width in widths.items()
        if width % HEAD_WIDTH
    ]
    if not sizes.lyric_heads or sizes.lyric_width % sizes.lyric_heads:
        faults.append(f"the lyric width {sizes.lyric_width} is no multiple of its {sizes.lyric_heads} heads")
    if sizes.patch_width % GROUPS:
        faults.append(f"the channels {sizes.patch_width} of proj_in are no multiple of {GROUPS}")
    if _indices(meta, "blocks") != set(range(sizes.blocks)):
        faults.append(f"blocks 0 to {sizes.blocks - 1} are expected")
    if faults:
        raise CheckpointError(
            f"{source} is a damaged UniVerse-1 model, or a variant that is not known: {'; '.join(faults)}. Download it "
            "again, or choose the released model."
        )
    return sizes


def empty_model(meta: Mapping[str, Tensor], source: str = "The file") -> JointDiT | StitchedDiT:
    """The model that a file's tensors are for, on the meta device, once their names and shapes are checked.

    Args as in `recognise`.

    Raises:
        CheckpointError: the file is of another kind or variant, lacks tensors, or has some of other shapes.
    """
    model: JointDiT | StitchedDiT
    if is_stitched(meta):
        model = StitchedDiT(recognise_stitched(meta, source), torch_operations, device="meta")
    else:
        model = JointDiT(recognise(meta, source), torch_operations, device="meta")
    expected = model.state_dict()
    check_names(meta, expected, source)
    check_tensor_shapes(meta, expected, source)
    return model


def _variant_faults(meta: Mapping[str, Tensor], sizes: ModelSizes) -> list[str]:
    faults = []
    audio_blocks = _indices(meta, "audio_blocks")
    if len(audio_blocks) != sizes.blocks:
        faults.append(f"{sizes.blocks} video blocks but {len(audio_blocks)} audio blocks")
    counts = {"blocks": sizes.blocks, "a2v_blocks": sizes.interactions, "v2a_blocks": sizes.interactions}
    for prefix, wanted in counts.items():
        found = _indices(meta, prefix)
        if found != set(range(wanted)):
            faults.append(f"{prefix} 0 to {wanted - 1} are expected, {len(found)} are there")
    for stream, width in {"video": sizes.video_width, "audio": sizes.audio_width}.items():
        if width % HEAD_WIDTH:
            faults.append(f"the {stream} width {width} is no multiple of {HEAD_WIDTH}")
    if len(sizes.patch) != 3:
        faults.append("patch_embedding.weight has not 5 dimensions")
    return faults


def _indices(meta: Mapping[str, Tensor], prefix: str) -> set[int]:
    parts = (name.split(".") for name in meta if name.startswith(f"{prefix}."))
    return {int(part[1]) for part in parts if part[1].isdecimal() and len(part[1]) <= MOST_DIGITS}


def _any_fits(names: Collection[str], pattern: str) -> bool:
    return pattern in names if "*" not in pattern else any(fnmatchcase(name, pattern) for name in names)
