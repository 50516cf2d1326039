"""What the workflows' nodes take and give: the pack's own by their schemas, ComfyUI's by a table; and their files."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from node_schemas import Option, Schema, Socket, schemas

NOTE = "MarkdownNote"
OPTIONAL = "?"
"""Behind the type of an input that may be left open."""
FRONTEND_ONLY = ("control_after_generate", "audioUI", "upload")
"""Widgets of which ComfyUI hears nothing."""
WIDGETS = ("BOOLEAN", "COMBO", "DYNAMICCOMBO", "FLOAT", "INT", "STRING")
"""Types of inputs that have a widget."""

HUGGING_FACE = "https://huggingface.co"
WAN_21 = f"{HUGGING_FACE}/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"
WAN_22 = f"{HUGGING_FACE}/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files"
ACE_STEP = f"{HUGGING_FACE}/Comfy-Org/ACE-Step_ComfyUI_repackaged/resolve/main"
DOWNLOADS = {
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors": ("text_encoders", f"{WAN_21}/text_encoders"),
    "wan2.2_vae.safetensors": ("vae", f"{WAN_22}/vae"),
    "wan_2.1_vae.safetensors": ("vae", f"{WAN_21}/vae"),
    "ace_step_v1_3.5b.safetensors": ("checkpoints", f"{ACE_STEP}/all_in_one"),
    "wan2.2_ti2v_5B_fp16.safetensors": ("diffusion_models", f"{WAN_22}/diffusion_models"),
    "rife_v4.26.safetensors": (
        "frame_interpolation",
        f"{HUGGING_FACE}/Comfy-Org/frame_interpolation/resolve/main/frame_interpolation",
    ),
    "2xNomosUni_compact_multijpg.safetensors": (
        "upscale_models",
        f"{HUGGING_FACE}/Phips/2xNomosUni_compact_multijpg/resolve/main",
    ),
    "face_detection_yunet_2023mar.onnx": (
        "detection",
        f"{HUGGING_FACE}/opencv/face_detection_yunet/resolve/main",
    ),
}
"""Files that the frontend says are missing: the folder in `models/`, and the address that they lie under."""


@dataclass(frozen=True)
class NodeKind:
    """A class of nodes, as the frontend sees it.

    Attributes:
        id: its name in ComfyUI.
        title: what it is called where it has no title of its own.
        links: type of each input that has no widget, by its name; optional ones come last, with a "?" behind the type.
        outputs: type of each output, by its name.
        widgets: default of each widget, in the frontend's order.
        options: the defaults of widgets that a widget brings along, by its name and by what it is set to:
            {"size": {"custom": {"size.width": 736, "size.height": 992}}}.
    """

    id: str
    title: str
    links: dict[str, str]
    outputs: dict[str, str]
    widgets: dict[str, Any] = field(default_factory=dict)
    options: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it is the pack's."""
        return self.id.startswith(("UniAVGen", "UniVerse1"))

    def values(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """All widgets' values: what is chosen, else the default; those that a choice brings along follow it."""
        values: dict[str, Any] = {}
        for name, default in self.widgets.items():
            values[name] = chosen.get(name, default)
            brought = self.options.get(name, {}).get(values[name], {})
            values |= {inner: chosen.get(inner, value) for inner, value in brought.items()}
        return values


def _core(id: str, title: str, links: str, outputs: str, **widgets: Any) -> NodeKind:
    """A node of ComfyUI's own. Links and outputs are "name:TYPE name:TYPE"; without a name, it is the type's."""

    def named(text: str) -> dict[str, str]:
        pairs = (part.rpartition(":") for part in text.split())
        return {name or kind: kind for name, _, kind in pairs}

    return NodeKind(
        id, title, named(links), named(outputs), {name.replace("__", "."): widgets[name] for name in widgets}
    )


CORE = (
    _core(NOTE, "Markdown Note", "", "", text=""),
    _core("BatchMasksNode", "Batch Masks", "masks.mask0:MASK masks.mask1:MASK? masks.mask2:MASK?", "MASK"),
    _core("CLIPLoader", "Load CLIP", "", "CLIP", clip_name=None, type="stable_diffusion", device="default"),
    _core("CLIPTextEncode", "CLIP Text Encode (Prompt)", "clip:CLIP", "CONDITIONING", text=""),
    _core("CheckpointLoaderSimple", "Load Checkpoint", "", "MODEL CLIP VAE", ckpt_name=None),
    _core("CreateVideo", "Create Video", "images:IMAGE audio:AUDIO?", "VIDEO", fps=30, bit_depth=8),
    _core(
        "EasyCache",
        "EasyCache",
        "model:MODEL",
        "MODEL",
        reuse_threshold=0.2,
        start_percent=0.15,
        end_percent=0.95,
        verbose=False,
    ),
    _core("EmptyImage", "Empty Image", "", "IMAGE", width=512, height=512, batch_size=1, color=0),
    _core(
        "FrameInterpolate",
        "Run Frame Interpolation Model",
        "interp_model:INTERP_MODEL images:IMAGE",
        "IMAGE",
        multiplier=2,
    ),
    _core("FrameInterpolationModelLoader", "Load Frame Interpolation Model", "", "INTERP_MODEL", model_name=None),
    _core("ImageBlend", "Blend Images", "image1:IMAGE image2:IMAGE", "IMAGE", blend_factor=0.5, blend_mode="normal"),
    _core(
        "ImageCompositeMasked",
        "Image Composite Masked",
        "destination:IMAGE source:IMAGE mask:MASK?",
        "IMAGE",
        x=0,
        y=0,
        resize_source=False,
    ),
    _core("ImageScaleBy", "Upscale Image By", "image:IMAGE", "IMAGE", upscale_method="nearest-exact", scale_by=1),
    _core(
        "ImageStitch",
        "Stitch Images",
        "image1:IMAGE image2:IMAGE?",
        "IMAGE",
        direction="right",
        match_image_size=True,
        spacing_width=0,
        spacing_color="white",
    ),
    _core("ImageUpscaleWithModel", "Upscale Image (using Model)", "upscale_model:UPSCALE_MODEL image:IMAGE", "IMAGE"),
    _core(
        "KSampler",
        "KSampler",
        "model:MODEL positive:CONDITIONING negative:CONDITIONING latent_image:LATENT",
        "LATENT",
        seed=0,
        control_after_generate="randomize",
        steps=20,
        cfg=8,
        sampler_name="euler",
        scheduler="simple",
        denoise=1,
    ),
    _core("KSamplerSelect", "KSamplerSelect", "", "SAMPLER", sampler_name="euler"),
    _core("LoadAudio", "Load Audio", "", "AUDIO", audio="", audioUI=None, upload=""),
    _core("LoadImage", "Load Image", "", "IMAGE MASK", image="", upload="image"),
    _core("LoadVideo", "Load Video", "", "VIDEO", file="", upload="image"),
    _core("MaskComposite", "Combine Masks", "destination:MASK source:MASK", "MASK", x=0, y=0, operation="multiply"),
    _core("MaskPreview", "Preview Mask", "mask:MASK", "mask:MASK"),
    _core("ModelSamplingSD3", "ModelSamplingSD3", "model:MODEL", "MODEL", shift=3),
    _core("PreviewAudio", "Preview Audio", "audio:AUDIO", "audio:AUDIO", audioUI=None),
    _core("PreviewAny", "Preview as Text", "source:*", "STRING"),
    _core("PreviewImage", "Preview Image", "images:IMAGE", "images:IMAGE"),
    _core("PrimitiveFloat", "Float", "", "FLOAT", value=0),
    _core("PrimitiveStringMultiline", "Text (Multiline)", "", "STRING", value=""),
    _core("RandomNoise", "RandomNoise", "", "NOISE", noise_seed=0, control_after_generate="randomize"),
    _core(
        "SaveVideo",
        "Save Video",
        "video:VIDEO",
        "video:VIDEO",
        filename_prefix="video/ComfyUI",
        format="auto",
        format__codec="auto",
        codec="auto",
    ),
    _core(
        "SamplerCustomAdvanced",
        "SamplerCustomAdvanced",
        "noise:NOISE guider:GUIDER sampler:SAMPLER sigmas:SIGMAS latent_image:LATENT",
        "output:LATENT denoised_output:LATENT",
    ),
    _core("SolidMask", "Create Solid Mask", "", "MASK", value=1, width=512, height=512),
    _core("UNETLoader", "Load Diffusion Model", "", "MODEL", unet_name=None, weight_dtype="default"),
    _core("UpscaleModelLoader", "Load Upscale Model", "", "UPSCALE_MODEL", model_name=None),
    _core("VAEDecode", "VAE Decode", "samples:LATENT vae:VAE", "IMAGE"),
    _core("VAEDecodeAudio", "VAE Decode Audio", "samples:LATENT vae:VAE", "AUDIO"),
    _core("VAELoader", "Load VAE", "", "VAE", vae_name=None),
    _core(
        "Wan22ImageToVideoLatent",
        "Wan22ImageToVideoLatent",
        "vae:VAE start_image:IMAGE?",
        "LATENT",
        width=1280,
        height=704,
        length=49,
        batch_size=1,
    ),
)
"""ComfyUI's nodes that a workflow has. None is the default where only the user's files are offered."""


@cache
def node_kinds() -> dict[str, NodeKind]:
    """All nodes that a workflow may have, by their ids."""
    return {kind.id: kind for kind in (*CORE, *map(_own, schemas().values()))}


def _own(schema: Schema) -> NodeKind:
    """A node of the pack."""
    links: dict[str, str] = {}
    widgets: dict[str, Any] = {}
    options: dict[str, dict[str, dict[str, Any]]] = {}
    for given in sorted(schema.inputs, key=_is_optional):
        assert given.name
        if given.type not in WIDGETS or given.settings.get("force_input"):
            links[given.name] = given.type + OPTIONAL * _is_optional(given)
            continue
        widgets[given.name] = _default(given)
        if given.settings.get("control_after_generate"):
            widgets["control_after_generate"] = "randomize"
        if given.type == "DYNAMICCOMBO":
            options[given.name] = {
                option.key: {f"{given.name}.{inner.name}": _default(inner) for inner in option.inputs}
                for option in given.settings["options"]
            }
    outputs = {made.settings.get("display_name") or made.type: made.type for made in schema.outputs}
    return NodeKind(schema.node_id, schema.display_name, links, outputs, widgets, options)


def _is_optional(given: Socket) -> bool:
    return given.settings.get("optional", False)


def _default(given: Socket) -> Any:
    """What a widget shows at first, a whole number as the frontend writes it; None where only files are offered."""
    first: Any = next(iter(given.settings.get("options", [])), None)
    empty = {"STRING": "", "INT": 0, "FLOAT": 0, "BOOLEAN": False}
    default = given.settings.get("default", empty.get(given.type, first))
    if isinstance(default, Option):
        return default.key
    return int(default) if isinstance(default, float) and default.is_integer() else default
