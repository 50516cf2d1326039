"""What the workflows' nodes take and give: the pack's own by their schemas, ComfyUI's by a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from node_schemas import Option, Schema, Socket, schemas

OPTIONAL = "?"
"""Behind the type of an input that may be left open."""
WIDGETS = ("BOOLEAN", "COMBO", "DYNAMICCOMBO", "FLOAT", "INT", "STRING")
"""Types of inputs that have a widget."""


@dataclass(frozen=True)
class NodeKind:
    """A class of nodes, as the frontend sees it.

    Attributes:
        title: what it is called where it has no title of its own.
        links: type of each input that has no widget, by its name; optional ones come last, with a "?" behind the type.
        outputs: type of each output, by its name.
        widgets: default of each widget, in the frontend's order.
        options: the defaults of widgets that a widget brings along, by its name and by what it is set to:
            {"size": {"custom": {"size.width": 736, "size.height": 992}}}.
    """

    title: str
    links: dict[str, str]
    outputs: dict[str, str]
    widgets: dict[str, Any] = field(default_factory=dict)
    options: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def values(self, given: dict[str, Any]) -> dict[str, Any]:
        """The widgets' values: those given, the others' defaults, and the widgets of the options that they choose."""
        values: dict[str, Any] = {}
        for name, default in self.widgets.items():
            values[name] = given.get(name, default)
            brought = self.options.get(name, {}).get(values[name], {})
            values |= {inner: given.get(inner, value) for inner, value in brought.items()}
        return values


def _core(title: str, links: str, outputs: str, **widgets: Any) -> NodeKind:
    """A node of ComfyUI's own. Links and outputs are "name:TYPE name:TYPE"; without a name, it is the type's."""

    def named(text: str) -> dict[str, str]:
        pairs = (part.rpartition(":") for part in text.split())
        return {name or kind: kind for name, _, kind in pairs}

    return NodeKind(title, named(links), named(outputs), {name.replace("__", "."): widgets[name] for name in widgets})


CORE = {
    "BatchMasksNode": _core("Batch Masks", "masks.mask0:MASK masks.mask1:MASK? masks.mask2:MASK?", "MASK"),
    "CLIPLoader": _core("Load CLIP", "", "CLIP", clip_name=None, type="stable_diffusion", device="default"),
    "CLIPTextEncode": _core("CLIP Text Encode (Prompt)", "clip:CLIP", "CONDITIONING", text=""),
    "CreateVideo": _core("Create Video", "images:IMAGE audio:AUDIO?", "VIDEO", fps=30, bit_depth=8),
    "EasyCache": _core(
        "EasyCache", "model:MODEL", "MODEL", reuse_threshold=0.2, start_percent=0.15, end_percent=0.95, verbose=False
    ),
    "EmptyImage": _core("Empty Image", "", "IMAGE", width=512, height=512, batch_size=1, color=0),
    "FrameInterpolate": _core(
        "Run Frame Interpolation Model", "interp_model:INTERP_MODEL images:IMAGE", "IMAGE", multiplier=2
    ),
    "FrameInterpolationModelLoader": _core("Load Frame Interpolation Model", "", "INTERP_MODEL", model_name=None),
    "ImageBlend": _core("Blend Images", "image1:IMAGE image2:IMAGE", "IMAGE", blend_factor=0.5, blend_mode="normal"),
    "ImageCompositeMasked": _core(
        "Image Composite Masked",
        "destination:IMAGE source:IMAGE mask:MASK?",
        "IMAGE",
        x=0,
        y=0,
        resize_source=False,
    ),
    "ImageScaleBy": _core("Upscale Image By", "image:IMAGE", "IMAGE", upscale_method="nearest-exact", scale_by=1),
    "ImageStitch": _core(
        "Stitch Images",
        "image1:IMAGE image2:IMAGE?",
        "IMAGE",
        direction="right",
        match_image_size=True,
        spacing_width=0,
        spacing_color="white",
    ),
    "ImageUpscaleWithModel": _core("Upscale Image (using Model)", "upscale_model:UPSCALE_MODEL image:IMAGE", "IMAGE"),
    "KSampler": _core(
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
    "KSamplerSelect": _core("KSamplerSelect", "", "SAMPLER", sampler_name="euler"),
    "LoadAudio": _core("Load Audio", "", "AUDIO", audio="", audioUI=None, upload=""),
    "LoadImage": _core("Load Image", "", "IMAGE MASK", image="", upload="image"),
    "LoadVideo": _core("Load Video", "", "VIDEO", file="", upload="image"),
    "MaskComposite": _core("Combine Masks", "destination:MASK source:MASK", "MASK", x=0, y=0, operation="multiply"),
    "MaskPreview": _core("Preview Mask", "mask:MASK", "mask:MASK"),
    "ModelSamplingSD3": _core("ModelSamplingSD3", "model:MODEL", "MODEL", shift=3),
    "PreviewAny": _core("Preview as Text", "source:*", "STRING"),
    "PreviewImage": _core("Preview Image", "images:IMAGE", "images:IMAGE"),
    "PrimitiveFloat": _core("Float", "", "FLOAT", value=0),
    "PrimitiveStringMultiline": _core("Text (Multiline)", "", "STRING", value=""),
    "RandomNoise": _core("RandomNoise", "", "NOISE", noise_seed=0, control_after_generate="randomize"),
    "SaveVideo": _core(
        "Save Video",
        "video:VIDEO",
        "video:VIDEO",
        filename_prefix="video/ComfyUI",
        format="auto",
        format__codec="auto",
        codec="auto",
    ),
    "SolidMask": _core("Create Solid Mask", "", "MASK", value=1, width=512, height=512),
    "UNETLoader": _core("Load Diffusion Model", "", "MODEL", unet_name=None, weight_dtype="default"),
    "UpscaleModelLoader": _core("Load Upscale Model", "", "UPSCALE_MODEL", model_name=None),
    "VAEDecode": _core("VAE Decode", "samples:LATENT vae:VAE", "IMAGE"),
    "VAEDecodeAudio": _core("VAE Decode Audio", "samples:LATENT vae:VAE", "AUDIO"),
    "VAELoader": _core("Load VAE", "", "VAE", vae_name=None),
    "Wan22ImageToVideoLatent": _core(
        "Wan22ImageToVideoLatent",
        "vae:VAE start_image:IMAGE?",
        "LATENT",
        width=1280,
        height=704,
        length=49,
        batch_size=1,
    ),
}
"""ComfyUI's nodes that a workflow has. None is the default where only the user's files are offered."""


@cache
def node_kinds() -> dict[str, NodeKind]:
    """All nodes that a workflow may have, by their ids."""
    return CORE | {name: _own(schema) for name, schema in schemas().items()}


def _own(schema: Schema) -> NodeKind:
    """A node of the pack."""
    links: dict[str, str] = {}
    widgets: dict[str, Any] = {}
    options: dict[str, dict[str, dict[str, Any]]] = {}
    for given in sorted(schema.inputs, key=_is_optional):
        assert given.name
        if given.type not in WIDGETS:
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
    return NodeKind(schema.display_name, links, outputs, widgets, options)


def _is_optional(given: Socket) -> bool:
    return given.settings.get("optional", False)


def _default(given: Socket) -> Any:
    """What a widget shows at first: None where only the user's files are offered."""
    first: Any = next(iter(given.settings.get("options", [])), None)
    empty = {"STRING": "", "INT": 0, "FLOAT": 0, "BOOLEAN": False}
    default = given.settings.get("default", empty.get(given.type, first))
    return default.key if isinstance(default, Option) else default
