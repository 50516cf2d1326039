"""Loaders of the joint model, of the vocoder and of the built-in small model."""

from __future__ import annotations

import re
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..uniavgen_core.audio.vocoder import GriffinLim, load_bigvgan
from ..uniavgen_core.tiny.bundle import load_tiny
from .comfy_codecs import AudioCodec, TinyCaptionEncoder, TinyVideoCodec, cpu_device, vae_device
from .comfy_model import WEIGHT_DTYPES, host_model, load_model

VOCODERS = "vocoders"
VOCODER_FOLDER = "code2wav_bigvgan_model"
GRIFFIN_LIM = "Griffin-Lim (needs no file)"
NO_MODEL = "no model in models/diffusion_models"
SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")

folder_paths.add_model_folder_path(VOCODERS, str(Path(folder_paths.models_dir) / VOCODERS))


def _is_vocoder(name: str) -> bool:
    return VOCODER_FOLDER in Path(name).parts


def model_choices() -> dict[str, Path]:
    """What the user may choose under models/diffusion_models: files, and folders of shards with a slash behind."""
    choices = {}
    for name in folder_paths.get_filename_list("diffusion_models"):
        if not name.endswith(".safetensors") or _is_vocoder(name):
            continue
        path = Path(folder_paths.get_full_path_or_raise("diffusion_models", name))
        if SHARD.search(name):
            choices[f"{Path(name).parent.as_posix()}/"] = path.parent
        else:
            choices[name] = path
    return choices


def vocoder_choices() -> dict[str, Path]:
    """Folders and files under models/vocoders, and the vocoder's folder beside a model."""
    choices = {}
    for kind in (VOCODERS, "diffusion_models"):
        for name in folder_paths.get_filename_list(kind):
            if not name.endswith(".safetensors") or (kind != VOCODERS and not _is_vocoder(name)):
                continue
            path = Path(folder_paths.get_full_path_or_raise(kind, name))
            parent = Path(name).parent.as_posix()
            choices[name if parent == "." else f"{parent}/"] = path if parent == "." else path.parent
    return choices


class ModelLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenModelLoader",
            display_name="UniAVGen Model Loader",
            category="model/loaders",
            description="Loads a UniAVGen model from models/diffusion_models: a folder of shards as released, or one "
            "safetensors file (bf16, fp16 or scaled fp8).",
            search_aliases=["uniavgen", "load uniavgen", "talking video model"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=list(model_choices()) or [NO_MODEL],
                    tooltip="A file, or a folder of shards (it ends in a slash).",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(WEIGHT_DTYPES),
                    advanced=True,
                    tooltip="What the weights are kept in. fp8 halves the memory of a bf16 file.",
                ),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model: str, weight_dtype: str) -> io.NodeOutput:
        path = model_choices().get(model)
        if path is None:
            raise FileNotFoundError(
                f"There is no UniAVGen model '{model}'. Put the folder of shards or the safetensors file into "
                "models/diffusion_models and press R; the README lists the files."
            )
        return io.NodeOutput(load_model(str(path), WEIGHT_DTYPES[weight_dtype]))


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
                    "vocoder",
                    options=[GRIFFIN_LIM, *vocoder_choices()],
                    tooltip=f"A BigVGAN from models/vocoders: the released folder {VOCODER_FOLDER}, or one file.",
                ),
            ],
            outputs=[io.Vae.Output(display_name="audio VAE")],
        )

    @classmethod
    def execute(cls, vocoder: str) -> io.NodeOutput:
        if vocoder == GRIFFIN_LIM:
            return io.NodeOutput(AudioCodec(GriffinLim(), cpu_device()))
        path = vocoder_choices().get(vocoder)
        if path is None:
            raise FileNotFoundError(
                f"There is no vocoder '{vocoder}'. Put the folder {VOCODER_FOLDER} into models/vocoders and press R, "
                f"or choose '{GRIFFIN_LIM}'."
            )
        return io.NodeOutput(AudioCodec(load_bigvgan(path), vae_device()))


class TinyLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenTinyLoader",
            display_name="UniAVGen Tiny Loader",
            category="model/loaders",
            description="Loads the small built-in model, which needs no download: to try graphs, to test, and to see "
            "how everything fits together. Its weights are random for now, so that it makes noise.",
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
