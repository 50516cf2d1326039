"""Which model a file holds: the sizes of a UniAVGen model, or the name of another that it looks like."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor

from .backend import torch_operations
from .checkpoint import CheckpointError, check_names, check_shapes, name_list
from .config import HEAD_WIDTH, ModelSizes
from .model.joint_dit import JointDiT


@dataclass(frozen=True)
class Signature:
    """Tensor names that give a kind of file away.

    Attributes:
        kind: what to call it, with its article.
        names: patterns, each of which some tensor's name must match.
        without: patterns that no tensor's name may match.
        channels: where names do not tell, the input channels of `patch_embedding.weight`.
        advice: what to do with such a file.
    """

    kind: str
    names: tuple[str, ...]
    without: tuple[str, ...] = ()
    channels: int | None = None
    advice: str = "Choose the UniAVGen model's folder or file instead."

    def fits(self, meta: Mapping[str, Tensor]) -> bool:
        """Whether a file with these tensors is of this kind."""
        if not all(_any_fits(meta, pattern) for pattern in self.names):
            return False
        if any(_any_fits(meta, pattern) for pattern in self.without):
            return False
        return self.channels is None or _patch_channels(meta) == self.channels


_AS_LORA = "A LoRA is applied to a loaded model, with a LoRA loader."
_AS_VAE = "Load it as the VAE, and choose the UniAVGen model's folder or file here."
_AS_TEXT_ENCODER = "Load it as the text encoder, and choose the UniAVGen model's folder or file here."
_AS_AUDIO_CODEC = "Load it as the audio codec, and choose the UniAVGen model's folder or file here."
_WAN = ("head.modulation", "blocks.0.self_attn.q.weight")

SIGNATURES = (
    Signature("a training state (an optimiser's)", ("*.exp_avg",), advice="Choose the trained weights instead."),
    Signature("a training state (an optimiser's)", ("optimizer.*",), advice="Choose the trained weights instead."),
    Signature("a LoRA", ("*.lora_A*",), advice=_AS_LORA),
    Signature("a LoRA", ("*.lora_down.weight",), advice=_AS_LORA),
    Signature("a LoRA (LoKr)", ("*.lokr_w1*",), advice=_AS_LORA),
    Signature("a LoRA (LoHa)", ("*.hada_w1_a",), advice=_AS_LORA),
    Signature("a LoRA (weight differences)", ("*.diff",), advice=_AS_LORA),
    Signature("a ControlNet", ("control_model.input_blocks.0.0.weight",)),
    Signature("a ControlNet", ("controlnet_blocks.*",)),
    Signature("Ovi (video and sound)", ("video_model.blocks.*", "audio_model.blocks.*")),
    Signature("Ovi (video and sound)", ("blocks.0.cross_attn.k_fusion.weight",)),
    Signature(
        "LTX-2 (video and sound)", ("adaln_single.emb.timestep_embedder.linear_1.bias", "audio_adaln_single.linear.*")
    ),
    Signature("PixArt", ("adaln_single.emb.timestep_embedder.linear_1.bias", "pos_embed.proj.bias")),
    Signature("LTX-Video", ("adaln_single.emb.timestep_embedder.linear_1.bias", "transformer_blocks.0.attn2.to_k.*")),
    Signature("MiniMax H3 (video and sound)", ("video_patch_proj.weight", "audio_patch_proj.weight")),
    Signature("Hunyuan Video", ("txt_in.individual_token_refiner.blocks.0.norm1.weight",)),
    Signature("Flux.2", ("double_blocks.0.*", "double_stream_modulation_img.lin.weight")),
    Signature("Chroma", ("double_blocks.0.*", "distilled_guidance_layer.*")),
    Signature("Flux", ("double_blocks.0.img_attn.norm.key_norm.*", "img_in.weight")),
    Signature("Hunyuan 3D", ("latent_in.weight", "cond_in.weight", "double_blocks.0.*")),
    Signature("Stable Diffusion 3", ("joint_blocks.0.context_block.attn.qkv.weight",)),
    Signature("SDXL", ("input_blocks.0.0.weight", "label_emb.0.0.weight")),
    Signature("Stable Diffusion 1.5 or 2", ("input_blocks.0.0.weight", "middle_block.*")),
    Signature("a Stable Diffusion U-Net", ("down_blocks.0.resnets.0.conv1.weight", "time_embedding.linear_1.weight")),
    Signature("Qwen-Image", ("txt_norm.weight", "img_in.weight", "transformer_blocks.0.*")),
    Signature("Lumina 2 or Z-Image", ("cap_embedder.1.weight", "noise_refiner.0.*")),
    Signature("HiDream", ("caption_projection.0.linear.weight",)),
    Signature("Mochi", ("t5_yproj.weight",)),
    Signature("CogVideoX", ("blocks.0.norm1.linear.weight",)),
    Signature("Cosmos", ("*blocks.block0.blocks.0.block.attn.to_q.0.weight",)),
    Signature("Cosmos Predict 2", ("*blocks.0.mlp.layer1.weight", "*x_embedder.proj.1.weight")),
    Signature("Kandinsky 5", ("visual_transformer_blocks.0.cross_attention.key_norm.weight",)),
    Signature("ACE-Step (music)", ("*genre_embedder.weight", "*lyric_embs.weight")),
    Signature("ACE-Step 1.5 (music)", ("*encoder.lyric_encoder.layers.0.input_layernorm.weight",)),
    Signature("Stable Audio", ("*transformer.rotary_pos_emb.inv_freq", "*to_timestep_embed.0.weight")),
    Signature("F5-TTS (speech)", ("*transformer.text_embed.text_embed.weight", "*transformer.transformer_blocks.0.*")),
    Signature("Wan VACE", (*_WAN, "vace_patch_embedding.weight"), ("audio_blocks.*",)),
    Signature("Wan 2.2 S2V", (*_WAN, "casual_audio_encoder.*"), ("audio_blocks.*",)),
    Signature("HuMo (Wan)", (*_WAN, "audio_proj.audio_proj_glob_1.layer.bias"), ("audio_blocks.*",)),
    Signature("Wan Animate", (*_WAN, "face_adapter.*"), ("audio_blocks.*",)),
    Signature("Wan 2.2 5B (video only, no sound)", _WAN, ("audio_blocks.*",), 48),
    Signature("Wan 2.1 or 2.2 (video only, no sound)", _WAN, ("audio_blocks.*",)),
    Signature("Wan (video only, no sound)", ("condition_embedder.time_embedder.linear_1.*", "blocks.0.attn1.to_q.*")),
    Signature("the Wan 2.2 VAE", ("decoder.upsamples.0.upsamples.0.residual.2.weight",), advice=_AS_VAE),
    Signature(
        "the Wan 2.1 VAE",
        ("decoder.middle.0.residual.0.gamma",),
        advice="UniAVGen needs the Wan 2.2 VAE, and its own folder or file here.",
    ),
    Signature("a tiny video VAE (TAEHV)", ("decoder.22.bias", "decoder.1.weight"), advice=_AS_VAE),
    Signature("a tiny VAE (TAESD)", ("taesd_decoder.1.weight",)),
    Signature("the LTX VAE", ("decoder.up_blocks.0.res_blocks.0.conv1.conv.weight",)),
    Signature("a video VAE (Hunyuan Video or CogVideoX)", ("decoder.conv_in.conv.weight",)),
    Signature("an audio VAE", ("*vocoder.activation_post.downsample.lowpass.filter",)),
    Signature("an audio VAE", ("*vocoder.resblocks.0.convs1.0.weight",)),
    Signature("an audio VAE", ("decoder.layers.1.layers.0.beta",)),
    Signature("an image VAE", ("decoder.conv_in.weight", "decoder.conv_out.*")),
    Signature("a T5 or umT5 text encoder", ("*encoder.block.0.layer.0.SelfAttention.q.*",), advice=_AS_TEXT_ENCODER),
    Signature("a T5 or umT5 text encoder", ("token_embedding.weight", "blocks.0.attn.q.*"), advice=_AS_TEXT_ENCODER),
    Signature("a CLIP text encoder", ("*encoder.layers.0.mlp.fc1.weight", "*embeddings.token_embedding.weight")),
    Signature("a CLIP vision encoder", ("*vision_model.encoder.layers.0.mlp.fc1.weight",)),
    Signature("a language model (a text encoder)", ("*layers.0.self_attn.q_proj.*", "*layers.0.mlp.gate_proj.*")),
    Signature("Qwen2.5-Omni's token2wav", ("*code2wav_bigvgan_model.conv_pre.*",), advice=_AS_AUDIO_CODEC),
    Signature("a vocoder (BigVGAN)", ("conv_pre.*", "ups.0.*", "activation_post.*"), advice=_AS_AUDIO_CODEC),
    Signature("a vocoder (HiFi-GAN)", ("conv_pre.*", "ups.0.*")),
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
                f"{source} looks like {signature.kind}, not like a UniAVGen model. {signature.advice}"
            )
    if not _any_fits(meta, "audio_blocks.*"):
        raise CheckpointError(
            f"{source} is not a UniAVGen model, nor of another kind that is known here; it holds "
            f"{name_list(list(meta)[:3])} and others. Choose the UniAVGen model's folder or file."
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


def empty_model(meta: Mapping[str, Tensor], source: str = "The file") -> JointDiT:
    """The model that a file's tensors are for, on the meta device, once their names and shapes are checked.

    Args as in `recognise`.

    Raises:
        CheckpointError: the file is of another kind or variant, lacks tensors, or has some of other shapes.
    """
    model = JointDiT(recognise(meta, source), torch_operations, device="meta")
    expected = model.state_dict()
    check_names(meta, expected, source)
    check_shapes(meta, expected, source)
    return model


def expected_tensors(sizes: ModelSizes) -> dict[str, Tensor]:
    """Parameters of a joint model of these sizes, as meta tensors."""
    return JointDiT(sizes, torch_operations, device="meta").state_dict()


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
    return {int(part[1]) for part in parts if part[1].isdecimal()}


def _any_fits(names: Collection[str], pattern: str) -> bool:
    return pattern in names if "*" not in pattern else any(fnmatchcase(name, pattern) for name in names)


def _patch_channels(meta: Mapping[str, Tensor]) -> int | None:
    weight = meta.get("patch_embedding.weight")
    return None if weight is None or weight.ndim < 2 else weight.shape[1]
