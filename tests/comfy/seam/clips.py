"""A small joint model in ComfyUI, what it is given, and what is asked of its clips."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import comfy.samplers
import folder_paths
import pytest
import torch
from comfy.nested_tensor import NestedTensor
from comfy_extras.nodes_custom_sampler import Noise_RandomNoise, SamplerCustomAdvanced
from pack.nodes import comfy_latent, comfy_loading
from pack.nodes.conditioning import Conditioning
from pack.nodes.sampling import Guider, Sampler
from pack.tests.common import relative_error
from pack.tests.golden_weights import weights_by_rule
from pack.uniavgen_core.backend import torch_operations
from pack.uniavgen_core.config import ModelSizes
from pack.uniavgen_core.joint_latent import stream_shapes
from pack.uniavgen_core.model.joint_dit import JointDiT
from pack.uniavgen_core.sampling.schedule import flow_sigmas
from pack.uniavgen_core.tasks import kept_prefix
from safetensors.torch import save_file

import nodes as comfy_nodes

Clip = list[torch.Tensor]
"""Video and audio."""
SIZES = ModelSizes(
    blocks=4, video_width=256, video_ffn_width=384, audio_width=128, audio_ffn_width=256, text_width=64,
    speech_width=64, speech_ffn_width=96,
)  # fmt: skip
SPEECH = "Hello"
GUIDANCE = {
    "video_scale": 3.0, "audio_scale": 2.0, "unimodal_end_percent": 0.5, "skip_block": {"skip_block": "auto"},
    "audio_to_video": "auto", "video_to_audio": "auto", "end_percent": 1.0, "start_percent": 0.0,
}  # fmt: skip
EULER = comfy.samplers.sampler_object("euler")


def state_dict() -> dict[str, torch.Tensor]:
    return weights_by_rule(JointDiT(SIZES, torch_operations, device="meta"))


def base() -> Path:
    """ComfyUI's folder of this run."""
    return Path(folder_paths.base_path)


@cache
def model_file() -> Path:
    path = base() / "model.safetensors"
    save_file(state_dict(), path)
    return path


def model(options: dict[str, Any] | None = None) -> Any:
    return comfy_loading.load_model(str(model_file()), options or {"dtype": torch.float32})


def joint(frames: int = 3, width: int = 96, height: int = 64, batch: int = 1, rows: int | None = None) -> dict:
    """A joint latent with a random first frame that is kept."""
    shapes = stream_shapes(frames, width, height, batch)
    if rows is not None:
        shapes = ((*shapes[0][:3], rows, rows + 2), shapes[1])
    picture = torch.randn((1, 48, 1, *shapes[0][3:]), generator=torch.Generator().manual_seed(1))
    return comfy_latent.joint_latent(shapes, kept_prefix(frames, shapes[1][2], 1), picture)


def with_areas(latent: dict, seed: int = 5) -> dict:
    """The LATENT with a random clip, of which any tokens of sound and picture are kept; in its first frame all are.

    The first frame is that of all clips of a batch, as it says who speaks in all of them.
    """
    generator = torch.Generator().manual_seed(seed)
    video, audio = (torch.randn(part.shape, generator=generator) for part in latent["samples"].unbind())
    video[:, :, 0] = latent["samples"].unbind()[0][:, :, 0]
    rows, columns = (-(-size // 2) for size in video.shape[3:])
    mask = torch.randint(2, (1, 1, video.shape[2], rows, columns), generator=generator).float()
    mask[:, :, 0] = 0
    mask = mask.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)[..., : video.shape[3], : video.shape[4]]
    sound = torch.randint(2, (1, 1, audio.shape[2], 1), generator=generator).float().repeat(1, 1, 1, 80)
    return latent | {
        "samples": NestedTensor([video, audio - 4.0]),
        "noise_mask": NestedTensor([mask, sound]),
    }


def caption(seed: int, rows: int = 12) -> list:
    return [[torch.randn(1, rows, SIZES.text_width, generator=torch.Generator().manual_seed(seed)), {}]]


def conditions(voice: dict | None = None, speech: str = SPEECH) -> tuple[list, list]:
    out = Conditioning.execute(caption(2), caption(3), speech, "auto", **voice or {})
    return out[0], out[1]


def reference_voice() -> dict:
    """The inputs of a reference voice."""
    waveform = torch.randn(1, 2, 24000, generator=torch.Generator().manual_seed(4)) * 0.1
    return {
        "reference_audio": {"waveform": waveform, "sample_rate": 24000},
        "reference_transcript": "Selected forms.",
    }


def sample(patcher: Any, latent: dict, steps: int = 4, seed: int = 7, conds: Any = None, **changes: Any) -> Clip:
    """What UniAVGen Sampler makes."""
    positive, negative = conds or conditions()
    settings = {"shift": 5.0, "scheduler": "auto", "sampler_name": "euler", **GUIDANCE, **changes}
    out = Sampler.execute(patcher, positive, negative, latent, seed, steps, **settings)
    return out[0]["samples"].unbind()


def sample_guided(guider: Any, latent: dict, sigmas: torch.Tensor, sampler: Any = EULER, noise: Any = None) -> dict:
    """The LATENT that SamplerCustomAdvanced makes."""
    return SamplerCustomAdvanced.execute(noise or Noise_RandomNoise(7), guider, sampler, sigmas, latent)[0]


def ksampler(patcher: Any, latent: dict, conds: Any, steps: int, cfg: float = 3.0) -> Clip:
    """What a plain KSampler makes."""
    made = comfy_nodes.common_ksampler(patcher, 7, steps, cfg, "euler", "simple", *conds, latent)[0]
    return made["samples"].unbind()


def one_step(patcher: Any, latent: dict, conds: tuple[list, list], cfg: float = 1.0) -> Clip:
    """The clean clip that a plain KSampler guesses from noise alone."""
    return ksampler(patcher, latent, conds, 1, cfg)


def guider_of(patcher: Any, conds: tuple[list, list] | None = None, sigmas: Any = None, **changes: Any) -> Any:
    """UniAVGen Guider's guider."""
    return Guider.execute(patcher, *(conds or conditions()), **{**GUIDANCE, **changes}, full_sigmas=sigmas)[0]


def ways_to_sample(patcher: Any, conds: tuple[list, list]) -> dict[str, Callable[[dict], Clip]]:
    """Two steps through each node that samples."""
    from comfy_extras.nodes_custom_sampler import BasicGuider, CFGGuider, SamplerCustom

    sigmas = flow_sigmas(2)
    guiders = {
        "UniAVGen Guider": guider_of(patcher, conds),
        "CFGGuider": CFGGuider.execute(patcher, *conds, 3.0)[0],
        "BasicGuider": BasicGuider.execute(patcher, conds[0])[0],
    }

    def advanced(guider: Any) -> Callable[[dict], Clip]:
        return lambda latent: sample_guided(guider, latent, sigmas)["samples"].unbind()

    def custom(latent: dict) -> Clip:
        return SamplerCustom.execute(patcher, True, 7, 3.0, *conds, EULER, sigmas, latent)[0]["samples"].unbind()

    return {name: advanced(guider) for name, guider in guiders.items()} | {
        "KSampler": lambda latent: ksampler(patcher, latent, conds, 2),
        "SamplerCustom": custom,
        "UniAVGen Sampler": lambda latent: sample(patcher, latent, 2, conds=conds),
    }


def lora(names: list[str], patcher: Any, form: str) -> dict[str, torch.Tensor]:
    """Weights of rank four for these layers, in the names of "kohya" or "diffusers"."""
    weights = patcher.model.diffusion_model.state_dict()
    out, generator = {}, torch.Generator().manual_seed(5)
    for name in names:
        rows, columns = weights[f"{name}.weight"].shape[:2]
        down, up = torch.randn(4, columns, generator=generator), torch.randn(rows, 4, generator=generator)
        if form == "kohya":
            prefix = "lora_unet_" + name.replace(".", "_")
            out |= {f"{prefix}.lora_down.weight": down, f"{prefix}.lora_up.weight": up}
            out[f"{prefix}.alpha"] = torch.tensor(4.0)
        else:
            prefix = f"diffusion_model.{name}"
            out |= {f"{prefix}.lora_A.weight": down, f"{prefix}.lora_B.weight": up}
    return out


def windowed(patcher: Any) -> Any:
    """A MODEL that samples five latent frames at a time."""
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    settings = {"context_length": 5, "context_overlap": 1, "context_schedule": "standard_static", "dim": 2}
    settings |= {"context_stride": 1, "closed_loop": False, "fuse_method": "pyramid", "freenoise": False}
    return ContextWindowsManualNode.execute(patcher, **settings)[0]


def with_face_mask(patcher: Any, mask: torch.Tensor) -> Any:
    """A MODEL with UniAVGen Face Guidance."""
    from pack.nodes.face_guidance import FaceGuidanceNode

    settings = {"frame_rate": 16.0, "operation": "replace", "strength": 1.0, "layers": "all"}
    return FaceGuidanceNode.execute(patcher, mask, **settings, start_percent=0.0, end_percent=1.0)[0]


def left_half(frames: int = 1) -> torch.Tensor:
    """A MASK that is white on the left third of a picture."""
    mask = torch.zeros(frames, 64, 96)
    mask[:, :, :32] = 1
    return mask


def latent_of(task: dict, width: int = 64, height: int = 64) -> dict:
    """The LATENT of a task from real pictures and sound, in small."""
    from pack.nodes.latents import Latent

    rates = {"seconds": 1.5, "frame_rate": 16.0, "past_frames": 3, "batch_size": 1}
    return Latent.execute(tiny_vae(), size={"size": "custom", "width": width, "height": height}, **rates | task)[0]


def tiny_vae() -> Any:
    from pack.nodes.comfy_codecs import TinyVideoCodec
    from pack.uniavgen_core.tiny.bundle import load_tiny

    return TinyVideoCodec(load_tiny().codec)


def pictures(frames: int) -> torch.Tensor:
    """An IMAGE of a still that gets brighter."""
    still = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3)) * 0.5
    return (still + torch.linspace(0, 0.5, frames).view(-1, 1, 1, 1)).clamp(0, 1)


def chirp(seconds: float, rate: int = 44_100) -> dict:
    """An AUDIO of a rising tone."""
    time_axis = torch.arange(round(seconds * rate)) / rate
    return {"waveform": (torch.sin(800 * time_axis * (1 + time_axis)) * 0.3).view(1, 1, -1), "sample_rate": rate}


def assert_close(ours: Clip, theirs: Clip, limit: float) -> None:
    errors = [relative_error(a, b) for a, b in zip(ours, theirs, strict=True)]
    assert max(errors) <= limit


def assert_equal(ours: Clip, theirs: Clip) -> None:
    assert [torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)] == [True, True]


def assert_apart(ours: Clip, theirs: Clip, limit: float) -> None:
    """Both streams differ by more than a limit."""
    assert min(relative_error(a, b) for a, b in zip(ours, theirs, strict=True)) > limit


def assert_kept(latent: dict, clip: Clip) -> None:
    """What the mask keeps came back exactly, and all is finite."""
    for given, mask, result in zip(latent["samples"].unbind(), latent["noise_mask"].unbind(), clip, strict=True):
        kept = (mask == 0).expand_as(given)
        assert torch.equal(given[kept], result[kept])
        assert torch.isfinite(result).all()


@contextmanager
def refused(*parts: str) -> Iterator[None]:
    """What runs in this context is refused with a message that has these parts."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        yield
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


@contextmanager
def warnings_of_ours() -> Iterator[list[str]]:
    """What the pack logs as a warning in this context."""
    texts: list[str] = []
    handler = logging.Handler(logging.WARNING)

    def note(record: logging.LogRecord) -> None:
        text = record.getMessage()
        texts.extend([text] if "UniAVGen" in text or "UniVerse-1" in text else [])

    handler.emit = note
    logging.getLogger().addHandler(handler)
    try:
        yield texts
    finally:
        logging.getLogger().removeHandler(handler)


def watch_switches(patcher: Any) -> list[tuple[float, Any]]:
    """A list that gets the noise level and the switches of each pass through the model."""
    seen: list[tuple[float, Any]] = []

    def record(apply_model: Callable, args: dict) -> torch.Tensor:
        seen.append((round(float(args["timestep"][0]), 4), args["c"]["switches"]))
        return apply_model(args["input"], args["timestep"], **args["c"])

    patcher.set_model_unet_function_wrapper(record)
    return seen
