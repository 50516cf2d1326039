"""From a portrait, a caption and words to a clip, without ComfyUI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from uniavgen_core.audio.vocoder import GriffinLim
from uniavgen_core.config import clip_seconds, latent_frames_for_seconds
from uniavgen_core.joint_latent import Shape, check_room, check_seconds, check_size, denormalise_mel, stream_shapes
from uniavgen_core.media.images import crop_and_resize, to_rgb
from uniavgen_core.sampling.euler import Clip, Condition, sample_euler
from uniavgen_core.sampling.guidance import NO_BLOCK, Guidance
from uniavgen_core.sampling.schedule import flow_sigmas
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tasks import TASKS
from uniavgen_core.tiny.bundle import TinyBundle

STEPS = 25
SHIFT = 2.0
Sampler = Callable[..., list[Tensor]]
GUIDANCE = Guidance(video_scale=2.0, audio_scale=2.5, skip_block=NO_BLOCK)


@dataclass(frozen=True)
class Request:
    """What is asked for: a portrait (1, H, W, channels) of values 0..1, what is seen, and what is said."""

    portrait: Tensor
    caption: str
    speech: str
    width: int
    height: int
    seconds: float | None = None
    """Length of the clip; None makes it as long as the words take."""
    seed: int = 0
    steps: int = STEPS
    shift: float = SHIFT
    guidance: Guidance = GUIDANCE


@torch.no_grad()
def encode(bundle: TinyBundle, request: Request) -> tuple[Clip, Condition, Condition]:
    """The clip to sample, and what the positive and the negative pass are told.

    Raises:
        ValueError: the words do not fit, or the size or the length cannot be had.
    """
    reader = SpeechReader()
    spoken = reader.read(request.speech)
    seconds = request.seconds
    if seconds is None:
        seconds = clip_seconds(latent_frames_for_seconds(spoken.seconds()))
    frames = check_seconds(seconds)
    check_room(spoken.seconds(), seconds)
    portrait = encode_portrait(bundle, request.portrait, request.width, request.height)
    shapes = stream_shapes(frames, request.width, request.height)
    clip = Clip(
        video=portrait.expand(shapes[0]),
        audio=torch.zeros(shapes[1]),
        kept=TASKS["joint"].kept(frames, shapes[1][2]),
        reference_image=portrait,
    )
    positive = condition(bundle, request.caption, reader.positive_symbols(spoken.text, spoken.language))
    return clip, positive, condition(bundle, "", reader.negative_symbols(spoken.language))


@torch.no_grad()
def encode_portrait(bundle: TinyBundle, portrait: Tensor, width: int, height: int) -> Tensor:
    """Latent (1, 48, 1, h, w) of a portrait (1, H, W, channels) of values 0..1, cropped to the size.

    Raises:
        ValueError: the size cannot be had.
    """
    check_size(width, height)
    return bundle.codec.encode_frames(crop_and_resize(to_rgb(portrait), width, height))


def condition(bundle: TinyBundle, caption: str, symbols: list[int]) -> Condition:
    """What a pass is told: a caption and symbols of `SpeechReader`."""
    tokens = torch.tensor([bundle.caption_encoder.tokenize(caption)])
    return Condition(bundle.caption_encoder(tokens), torch.tensor([symbols]))


def draw_noise(shapes: tuple[Shape, Shape], seed: int) -> tuple[Tensor, Tensor]:
    """Noise for both streams, drawn for the video first."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shapes[0], generator=generator), torch.randn(shapes[1], generator=generator)


def sample_clip(
    bundle: TinyBundle,
    clip: Clip,
    positive: Condition,
    negative: Condition,
    *,
    seed: int,
    steps: int,
    shift: float,
    guidance: Guidance,
    progress: Callable[[int, int], None] = lambda step, steps: None,
    sampler: Sampler = sample_euler,
) -> list[Tensor]:
    """Both streams of a clip, with the given parts in place.

    Args:
        sampler: `sample_euler`, or what takes and gives the same.
    """
    noise = draw_noise((clip.video.shape, clip.audio.shape), seed)
    streams = sampler(
        bundle.model, clip, noise, flow_sigmas(steps, shift),
        positive=positive, negative=negative, guidance=guidance, progress=progress,
    )  # fmt: skip
    return clip.put_back(streams)


@torch.no_grad()
def decode_video(bundle: TinyBundle, video: Tensor) -> Tensor:
    """Frames (F, H, W, 3) of values 0..1 from a latent (1, 48, T, h, w)."""
    return bundle.codec.decode_frames(video)[0]


@torch.no_grad()
def decode_audio(audio: Tensor) -> Tensor:
    """Sound (1, samples) at 24 kHz from a normalised log-mel (1, 1, L, 80)."""
    return GriffinLim()(denormalise_mel(audio[:, 0]))
