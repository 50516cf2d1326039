"""The pack's workflows, and prompts in API form made from them or from scratch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORKFLOWS = Path(__file__).absolute().parent.parent.parent / "workflows"
GRAPHS = WORKFLOWS / "graphs"
WORKFLOW_NAMES = tuple(sorted(file.stem for file in GRAPHS.glob("*.json")))
"""Of the open graphs."""

Prompt = dict[str, dict[str, Any]]
"""A graph in API form: node ids, and each node's "class_type" and "inputs"."""
Link = list[Any]
"""Where an input comes from: [node id, output]."""

DOTTED = ("COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3")
"""Types of inputs whose parts are named behind a dot."""


def ui_workflow(name: str) -> dict[str, Any]:
    """A workflow of the pack as the frontend saves it."""
    workflow: dict[str, Any] = json.loads((GRAPHS / f"{name}.json").read_text(encoding="utf-8"))
    return workflow


def api_workflow(name: str) -> Prompt:
    """A workflow of the pack in API form."""
    prompt: Prompt = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    return prompt


def without_meta(prompt: Prompt) -> Prompt:
    """The prompt without titles."""
    return {number: {key: node[key] for key in ("class_type", "inputs")} for number, node in prompt.items()}


def for_this_version(prompt: Prompt, info: dict[str, Any]) -> Prompt:
    """The prompt without inputs of options ("format.codec") where this ComfyUI's node has no options.

    `info` is what ComfyUI says of its nodes.
    """

    def is_known(kind: str, name: str) -> bool:
        combo, _, of_option = name.partition(".")
        inputs = info[kind]["input"]["required"] | info[kind]["input"].get("optional", {})
        return combo in inputs and (not of_option or inputs[combo][0] in DOTTED)

    known = without_meta(prompt)
    for node in known.values():
        node["inputs"] = {name: value for name, value in node["inputs"].items() if is_known(node["class_type"], name)}
    return known


def ids_of(prompt: Prompt, kind: str) -> list[str]:
    """The ids of all nodes of this type."""
    return [number for number, node in prompt.items() if node["class_type"] == kind]


def id_of(prompt: Prompt, kind: str) -> str:
    """The id of the only node of this type."""
    (number,) = ids_of(prompt, kind)
    return number


def nodes_of(prompt: Prompt, kind: str) -> list[dict[str, Any]]:
    """All nodes of this type."""
    return [prompt[number] for number in ids_of(prompt, kind)]


def set_inputs(prompt: Prompt, kind: str, /, **values: Any) -> None:
    """Change inputs of the only node of this type; a double underscore stands for the dot in the name of an input."""
    inputs = {name.replace("__", "."): value for name, value in values.items()}
    prompt[id_of(prompt, kind)]["inputs"].update(inputs)


class GraphBuilder:
    """A prompt that grows node by node.

    `add` returns the node's id and makes links from it with `[id, output]`. Names of inputs have a double underscore
    for a dot.
    """

    def __init__(self) -> None:
        self.prompt: Prompt = {}

    def add(self, kind: str, /, **inputs: Any) -> str:
        """Add a node; its id."""
        number = str(len(self.prompt) + 1)
        named = {name.replace("__", "."): value for name, value in inputs.items()}
        self.prompt[number] = {"class_type": kind, "inputs": named}
        return number


class ClipGraph(GraphBuilder):
    """The tiny model from a portrait to what the sampler takes, for clips of a few frames.

    Attributes hold the ids of its nodes. Keyword arguments are inputs of UniAVGenLatent and override the ones here.

    Args:
        portrait: where the picture comes from; by default a plain one.
        speech: what is said.
    """

    def __init__(self, portrait: Link | None = None, speech: str = "Hello", **latent: Any) -> None:
        super().__init__()
        self.tiny = self.add("UniAVGenTinyLoader")
        self.speech = self.add("PrimitiveStringMultiline", value=speech)
        picture = portrait or [self.add("EmptyImage", width=64, height=64, batch_size=1, color=0x8060A0), 0]
        self.conditioning = self.add_conditioning()
        self.latent = self.add_latent(portrait=picture, **latent)

    def add_latent(self, portrait: Link, **changes: Any) -> str:
        """A UniAVGenLatent of half a second and 64 × 64 pixels, unless the changes say otherwise; its id."""
        size = {"size": "custom", "size__width": 64, "size__height": 64}
        settings = {"vae": [self.tiny, 2], "task": "joint", "seconds": 0.5, "portrait": portrait}
        rates = {"frame_rate": 16.0, "past_frames": 3, "batch_size": 1}
        return self.add("UniAVGenLatent", **{**settings, **rates, **size, **changes})

    def take_length_from_words(self) -> None:
        """Let the latent be as long as the words take."""
        self.prompt[self.latent]["inputs"] |= {"seconds": 0.0, "conditioning": [self.conditioning, 0]}

    def add_conditioning(self, **changes: Any) -> str:
        """A UniAVGenConditioning with captions of its own; its id."""
        captions = {
            role: [self.add("CLIPTextEncode", clip=[self.tiny, 1], text=text), 0]
            for role, text in {"positive": "a person speaks", "negative": ""}.items()
        }
        words = {"speech": [self.speech, 0], "language": "auto"}
        return self.add("UniAVGenConditioning", **{**captions, **words, **changes})

    def add_reference_picture(self, image: Link) -> None:
        """Let a picture say who speaks."""
        self.conditioning = self.add(
            "UniAVGenReferencePicture",
            **self.conditions(),
            latent=[self.latent, 0],
            vae=[self.tiny, 2],
            image=image,
        )

    def add_sampler(self, **changes: Any) -> str:
        """A UniAVGenSampler of two steps; its id."""
        sources = {"model": [self.tiny, 0], **self.conditions(), "latent_image": [self.latent, 0]}
        settings = {"seed": 7, "steps": 2, "shift": 5.0, "scheduler": "auto", "sampler_name": "euler"}
        return self.add("UniAVGenSampler", **{**sources, **settings, **GUIDANCE, **changes})

    def conditions(self) -> dict[str, Link]:
        """Inputs `positive` and `negative` of whatever samples."""
        return {"positive": [self.conditioning, 0], "negative": [self.conditioning, 1]}

    def save_streams(self, latent: str, prefix: str) -> tuple[str, str]:
        """Save both streams of a node's latent; the ids of the nodes that save picture and sound."""
        separated = self.add("LTXVSeparateAVLatent", av_latent=[latent, 0])
        video = self.add("SaveLatent", samples=[separated, 0], filename_prefix=f"{prefix}_video")
        return video, self.add("SaveLatent", samples=[separated, 1], filename_prefix=f"{prefix}_audio")


GUIDANCE = {
    "video_scale": 3.0,
    "audio_scale": 2.0,
    "unimodal_end_percent": 0.5,
    "skip_block": "auto",
    "audio_to_video": "auto",
    "video_to_audio": "auto",
    "end_percent": 1.0,
    "start_percent": 0.0,
}
"""Inputs of UniAVGenGuider and UniAVGenSampler."""
