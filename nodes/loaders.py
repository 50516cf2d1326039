"""Loaders: of the user's joint model and vocoder, and of the small model that comes with the pack."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..uniavgen_core.audio.vocoder import GriffinLim, load_bigvgan
from ..uniavgen_core.convert_gguf import SUFFIX as GGUF_SUFFIX
from ..uniavgen_core.tiny.bundle import load_tiny
from ..uniavgen_core.tiny.drawing import PORTRAIT_SEED, draw_portrait
from ..uniavgen_core.tiny.people import KINDS
from .comfy_codecs import AudioCodec, TinyCaptionEncoder, TinyVideoCodec, cpu_device, vae_device
from .comfy_loading import (
    DEFAULT_DTYPE,
    GGUF_FILES,
    TRAINED_WITH_MASKS,
    WEIGHT_DTYPES,
    gguf_files,
    host_model,
    load_gguf,
    load_model,
    reads_gguf,
)
from .inputs import SHARDS, seed_input

MODELS, VOCODERS = "diffusion_models", "vocoders"
"""Kinds of model folders."""
VOCODER_FOLDER = "code2wav_bigvgan_model"
GRIFFIN_LIM = "Griffin-Lim (needs no file)"
NO_MODEL = "no model in models/diffusion_models"
SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")

folder_paths.add_model_folder_path(VOCODERS, str(Path(folder_paths.models_dir) / VOCODERS))


def model_choices() -> dict[str, tuple[str, str]]:
    """Files and folders of shards under models/diffusion_models."""
    gguf = {name: (GGUF_FILES, name) for name in gguf_files()}
    return _choices(MODELS, lambda name: not _is_vocoder(name)) | gguf


def vocoder_choices() -> dict[str, tuple[str, str]]:
    """Folders and files under models/vocoders, and the vocoder's folder beside a model."""
    return _choices(VOCODERS, lambda name: True) | _choices(MODELS, _is_vocoder)


def _is_vocoder(name: str) -> bool:
    return VOCODER_FOLDER in Path(name).parts


def _choices(kind: str, wanted: Callable[[str], bool]) -> dict[str, tuple[str, str]]:
    """What the user may choose of a kind of files, and the kind and name of a file in it.

    A folder that is loaded as a whole has a slash and `SHARDS` behind. Paths are looked up only when one is chosen,
    because a file of the list may be gone.
    """
    names = [name for name in folder_paths.get_filename_list(kind) if name.endswith(".safetensors") and wanted(name)]
    return {_choice(kind, name): (kind, name) for name in names}


def _choice(kind: str, name: str) -> str:
    parent = Path(name).parent.as_posix()
    in_folder = SHARD.search(name) or (parent != "." and (kind == VOCODERS or _is_vocoder(name)))
    return f"{parent}/{SHARDS}" if in_folder else name


def as_offered(choice: str) -> str:
    """A choice under its present name: older workflows have no `SHARDS` behind a folder's slash."""
    return f"{choice}{SHARDS}" if choice.endswith("/") else choice


def _path(choices: dict[str, tuple[str, str]], choice: str) -> Path | None:
    """The file or folder that a choice stands for; None where it is not there."""
    if choice not in choices:
        return None
    path = folder_paths.get_full_path(*choices[choice])
    if path is None:
        return None
    return Path(path).parent if choice.endswith(f"/{SHARDS}") else Path(path)


def _no_model(model: str) -> str:
    if model.lower().endswith(GGUF_SUFFIX) and not reads_gguf():
        return f"'{model}' is read by the pack ComfyUI-GGUF: install it and restart ComfyUI."
    name = "" if model == NO_MODEL else f" '{model}'"
    return (
        f"There is no model{name} of UniAVGen or UniVerse-1. Put the folder of shards or the safetensors file into "
        "models/diffusion_models and press R; the README lists the files."
    )


def _no_vocoder(vocoder: str) -> str:
    return (
        f"There is no vocoder '{vocoder}'. Put the folder {VOCODER_FOLDER} into models/vocoders and press R, or choose "
        f"'{GRIFFIN_LIM}'."
    )


class ModelLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenModelLoader",
            display_name="UniAVGen Model Loader",
            category="model/loaders",
            description="Loads a UniAVGen or UniVerse-1 model from models/diffusion_models: a folder of shards as "
            "released, or one file: safetensors (bf16, fp16 or scaled fp8), or GGUF where ComfyUI-GGUF is installed.",
            search_aliases=["uniavgen", "universe-1", "load uniavgen", "talking video model"],
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=list(model_choices()) or [NO_MODEL],
                    tooltip="A file, or all shards of a folder (folder/*.safetensors).",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(WEIGHT_DTYPES),
                    advanced=True,
                    tooltip="What the weights are kept in. fp8 halves the memory of a bf16 file.",
                ),
                io.Boolean.Input(
                    "trained_with_masks",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="For a model, or a LoRA behind it, that was trained with areas. What a mask keeps of a "
                    "frame then enters clean; otherwise it is noised with the rest, as the released model needs it.",
                ),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def validate_inputs(cls, model_name: str) -> bool | str:
        return as_offered(model_name) in model_choices() or _no_model(model_name)

    @classmethod
    def execute(cls, model_name: str, weight_dtype: str, trained_with_masks: bool = False) -> io.NodeOutput:
        choices, options = model_choices(), {TRAINED_WITH_MASKS: trained_with_masks}
        model_name = as_offered(model_name)
        path = _path(choices, model_name)
        if path is None:
            raise FileNotFoundError(_no_model(model_name))
        if choices[model_name][0] != GGUF_FILES:
            return io.NodeOutput(load_model(str(path), WEIGHT_DTYPES[weight_dtype] | options))
        if weight_dtype != DEFAULT_DTYPE:
            raise ValueError(
                f"'{model_name}' is a GGUF file, whose weights stay as they are: set weight_dtype to '{DEFAULT_DTYPE}'."
            )
        return io.NodeOutput(load_gguf(str(path), options))


class AudioCodecLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenAudioCodecLoader",
            display_name="UniAVGen Audio Codec Loader",
            category="model/loaders",
            description="Gives a VAE for the sound of UniAVGen's latents, for the core nodes VAE Encode Audio and VAE "
            "Decode Audio. BigVGAN sounds best; Griffin-Lim needs no weights.",
            search_aliases=["vocoder", "bigvgan", "audio vae", "mel"],
            inputs=[
                io.Combo.Input(
                    "vocoder_name",
                    options=[GRIFFIN_LIM, *vocoder_choices()],
                    tooltip=f"A BigVGAN from models/vocoders: the released folder {VOCODER_FOLDER}, or one file.",
                ),
            ],
            outputs=[io.Vae.Output(display_name="audio VAE")],
        )

    @classmethod
    def validate_inputs(cls, vocoder_name: str) -> bool | str:
        known = (GRIFFIN_LIM, *vocoder_choices())
        return as_offered(vocoder_name) in known or _no_vocoder(vocoder_name)

    @classmethod
    def execute(cls, vocoder_name: str) -> io.NodeOutput:
        if vocoder_name == GRIFFIN_LIM:
            return io.NodeOutput(AudioCodec(GriffinLim(), cpu_device()))
        path = _path(vocoder_choices(), as_offered(vocoder_name))
        if path is None:
            raise FileNotFoundError(_no_vocoder(vocoder_name))
        return io.NodeOutput(AudioCodec(load_bigvgan(path), vae_device()))


class TinyLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenTinyLoader",
            display_name="UniAVGen Tiny Loader",
            category="model/loaders",
            description="Loads the small built-in model, which needs no download and runs on a CPU: drawn people say "
            "short sentences. To try graphs, to test, and to see how everything fits together.",
            search_aliases=["uniavgen test model"],
            inputs=[],
            outputs=[
                io.Model.Output(),
                io.Clip.Output(),
                io.Vae.Output(),
                io.Vae.Output(display_name="audio VAE"),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        bundle = load_tiny()
        return io.NodeOutput(
            host_model(bundle.model),
            TinyCaptionEncoder(bundle.caption_encoder),
            TinyVideoCodec(bundle.codec),
            AudioCodec(GriffinLim(), cpu_device()),
        )


class TinyPortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenTinyPortrait",
            display_name="UniAVGen Tiny Portrait",
            category="image",
            description="Draws a person of the small model's world, at rest, 128 × 128 pixels: a portrait that the "
            "small model understands.",
            search_aliases=["uniavgen drawn person", "test portrait"],
            inputs=[
                io.Combo.Input(
                    "kind",
                    options=list(KINDS),
                    default="woman",
                    tooltip="Who it is. The small model gives each kind a voice of its own.",
                ),
                seed_input(
                    "person",
                    PORTRAIT_SEED,
                    tooltip="A number for each person: skin, hair, glasses, clothes and background follow from it.",
                ),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, kind: str, person: int) -> io.NodeOutput:
        return io.NodeOutput(draw_portrait(person, kind))
