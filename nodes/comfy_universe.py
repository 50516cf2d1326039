"""UniVerse-1 as an ordinary ComfyUI MODEL."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.model_management
import comfy.nested_tensor
import comfy.sd
import comfy.utils
import torch
from torch import Tensor

from ..uniavgen_core.config import CAPTION_ROWS
from ..uniavgen_core.joint_latent import Shape
from ..uniavgen_core.sampling.schedule import TIMESTEPS, TWICE_SHIFT
from ..uniavgen_core.tasks import NoisedAreas, area_noise
from ..uniavgen_core.universe1.stitched_dit import StitchedDiT
from ..uniavgen_core.universe1.stitched_latent import check_universe_shapes
from ..uniavgen_core.universe1.stitched_sizes import StitchedSizes
from ..uniavgen_core.universe1.stitched_tables import StitchedPlans
from .comfy_joint import SHAPES, HostedDiT, JointConfig, JointModel, comfy_operations
from .comfy_patches import REPORT, ComfyHooks, PatchReport, warn_of_unread

STITCHED_PLANS = "universe1_plans"
"""The run's tables in `transformer_options`."""
SOUND_ROWS = "universe1_sound"
"""Conditioning value: rows (1, n, 768) of the sound's text; zeros in a null row."""
SPEECH_IDS = "universe1_speech"
"""Conditioning value: speech tokens (1, S), int64; zeros in a null row."""
LINKED = "universe1_linked"
"""Conditioning value: False in a null row, whose picture and sound neither hear nor see each other."""

LAST_TIMESTEP = TIMESTEPS - 1
"""The noisiest that the model was trained on."""
SOUND_ENCODER = "umt5base"
"""Key of its tokens in those of ACE-Step's CLIP."""


class ComfyStitchedDiT(HostedDiT, StitchedDiT):  # type: ignore[misc]  # ComfyUI calls `forward` in its own way.
    """UniVerse-1 as ComfyUI's BaseModel makes and calls it."""

    def __init__(self, sizes: StitchedSizes, operations: Any, device: Any = None, dtype: Any = None):
        super().__init__(sizes, comfy_operations(operations), device, dtype)

    def run(
        self, x: list[Tensor], timestep: Tensor, context: Tensor, transformer_options: dict[str, Any], **conds: Any
    ) -> list[Tensor]:
        hooks = ComfyHooks(transformer_options, self.sizes, x[0], reference_frames=0)
        plans = transformer_options.get(STITCHED_PLANS)
        sound, reference, linked = (conds[name] for name in ("sound_features", "reference_image", "linked"))
        return StitchedDiT.forward(
            self, x, timestep, context, sound, reference_image=reference, linked=linked, plans=plans,
            options=hooks.options, hooks=hooks,
        )  # fmt: skip


class UniverseConfig(JointConfig):
    """What ComfyUI asks of UniVerse-1's kind."""

    latent_format = comfy.latent_formats.Wan21
    sampling_settings = {"shift": TWICE_SHIFT, "multiplier": TIMESTEPS}

    def get_model(self, state_dict: dict[str, Tensor], prefix: str = "", device: Any = None) -> UniverseModel:
        return UniverseModel(self, device)


class UniverseModel(JointModel):
    """UniVerse-1 with what ComfyUI does around it. The audio's codec scales by itself."""

    name = "UniVerse-1"
    has_switches = False

    def __init__(self, model_config: UniverseConfig, device: Any = None):
        super().__init__(model_config, device, ComfyStitchedDiT)

    def check_latent(self, shapes: SHAPES) -> None:
        check_universe_shapes(shapes)

    def usable_mask(self, mask: Tensor | None, shapes: SHAPES) -> Tensor:
        """The mask, whose first frame is always kept: it is the picture that the clip is made of."""
        if mask is None:
            streams = [torch.ones(tuple(shape)) for shape in shapes]
        else:
            streams = [stream.clone() for stream in comfy.utils.unpack_latents(mask, shapes)]
        streams[0][:, :, :1] = 0
        return comfy.utils.pack_latents(streams)[0]

    def begin_run(self, guider: Any, latent_image: Tensor, mask: Tensor | None, shapes: SHAPES) -> None:
        if guider.model_options.get("context_handler") is not None:
            raise ValueError(
                "UniVerse-1 cannot be sampled in context windows, since its sound has no time where they look for it: "
                "take the context windows node off the MODEL, and make a clip of at most 10 seconds."
            )
        picture = comfy.utils.unpack_latents(latent_image, shapes)[0][:, :, :1]
        if not picture.any():
            raise ValueError(
                "This LATENT has no picture in its first frame, which UniVerse-1 makes the clip of: connect the LATENT "
                "of 'UniVerse-1 Latent' with an image."
            )
        for cond in chain.from_iterable(guider.conds.values()):
            self._check_cond(cond)
        options = guider.model_options.setdefault("transformer_options", {})
        options[STITCHED_PLANS] = StitchedPlans()
        warn_of_unread(options.setdefault(REPORT, PatchReport(self.name)), guider.conds)
        # Not by the run's own noise, which is none where a run goes on from steps that were made before.
        kept = self.usable_mask(mask, shapes) < 1
        device = guider.model_patcher.load_device
        self.areas = NoisedAreas(kept.to(device), area_noise(kept.shape).to(device))

    def _check_cond(self, cond: dict[str, Any]) -> None:
        sizes = self.diffusion_model.sizes
        if any(cond.get(name) is None for name in (SOUND_ROWS, SPEECH_IDS)):
            raise ValueError(
                "The conditioning holds no text of sound and speech: put the node 'UniVerse-1 Conditioning' between "
                "the captions and the sampler."
            )
        caption, sound = cond["cross_attn"].shape[-1], cond[SOUND_ROWS].shape[-1]
        if caption != sizes.text_width:
            raise ValueError(
                f"The captions' text encoder gives rows of width {caption}, but this model reads {sizes.text_width}: "
                "load umT5-XXL in CLIPLoader, type 'wan', for the captions."
            )
        if sound != sizes.sound_text_width:
            raise ValueError(
                f"The sound's text encoder gives rows of width {sound}, but this model reads {sizes.sound_text_width}: "
                "connect umT5-base, the CLIP of ACE-Step, to 'UniVerse-1 Conditioning'."
            )

    def process_timestep(self, timestep: Tensor, **conds: Any) -> Tensor:
        """The model was trained on whole timesteps, the first of which other schedules than its own begin above."""
        return timestep.floor().clamp(max=LAST_TIMESTEP)

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        shapes, device, dtype = kwargs["latent_shapes"], kwargs["device"], self.get_dtype_inference()
        linked = bool(kwargs.get(LINKED, True))
        dit = self.diffusion_model
        rows = {
            "c_crossattn": dit.encode_caption(kwargs["cross_attn"].to(device, dtype), CAPTION_ROWS),
            "sound_features": dit.encode_sound(kwargs[SOUND_ROWS].to(device, dtype), kwargs[SPEECH_IDS].to(device)),
            "reference_image": self._reference(kwargs["latent_image"], shapes, linked),
            # As a tensor, so that a positive and a null row run in one call.
            "linked": torch.full((1,), float(linked), device=device),
        }
        out = {name: comfy.conds.CONDRegular(tensor) for name, tensor in rows.items()}
        out["latent_shapes"] = comfy.conds.CONDConstant(shapes)
        return out

    def _reference(self, latent_image: Tensor, shapes: Sequence[Sequence[int]], linked: bool) -> Tensor:
        """The clip's first frame as the model works on it; of a null row zeros."""
        frame = comfy.utils.unpack_latents(latent_image, shapes)[0][:, :, :1]
        return frame if linked else torch.zeros_like(frame)


def universe_latent(shapes: tuple[Shape, Shape], picture: Tensor) -> dict[str, Any]:
    """A LATENT of two streams, empty but for the first frame (1, 16, 1, h, w), which is kept."""
    device = comfy.model_management.intermediate_device()
    video, audio = (torch.zeros(shape, device=device) for shape in shapes)
    video[:, :, :1] = picture
    masks = [torch.ones((1, 1, *shape[2:]), device=device) for shape in shapes]
    masks[0][:, :, 0] = 0
    return {
        "samples": comfy.nested_tensor.NestedTensor([video, audio]),
        "noise_mask": comfy.nested_tensor.NestedTensor(masks),
    }


def speech_vocabulary() -> Path:
    """ACE-Step's speech tokens, which ComfyUI has."""
    return Path(comfy.sd.__file__).parent / "text_encoders" / "ace_lyrics_tokenizer" / "vocab.json"


def encode_sound_text(clip: Any, text: str) -> Tensor:
    """Rows (1, n, 768) of a sound's text, without weights of words.

    Raises:
        ValueError: the CLIP is another one.
    """
    plain = text.replace("(", "\\(").replace(")", "\\)")
    # A checkpoint without text encoder gives no CLIP.
    tokens = clip.tokenize(plain, lyrics="") if clip is not None else None
    if not isinstance(tokens, dict) or SOUND_ENCODER not in tokens:
        raise ValueError(
            "clip is not umT5-base, the text encoder of ACE-Step: load it in CLIPLoader, type 'ace', or connect the "
            "CLIP of ace_step_v1_3.5b. The captions go through umT5-XXL, in CLIPLoader, type 'wan'."
        )
    return clip.encode_from_tokens_scheduled(tokens)[0][0]
