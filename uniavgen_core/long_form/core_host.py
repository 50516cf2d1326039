"""Long clips of the small model without ComfyUI."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from .. import pipeline
from ..audio.mel import denormalise_mel, normalise_mel
from ..audio.vocoder import GriffinLim
from ..joint_latent import stream_shapes
from ..sampling.euler import Clip, sample_euler
from ..sampling.schedule import flow_sigmas
from ..speech.prompt import negative_symbols, positive_symbols
from ..speech.text import detect_language
from ..tasks import kept_prefix
from ..tiny.bundle import TinyBundle
from .maker import Order


class CoreHost:
    """Samples, encodes and decodes segments with a bundle.

    Args:
        request: who is seen and how segments are sampled; its caption, speech, seconds and seed do not matter.
    """

    def __init__(self, bundle: TinyBundle, request: pipeline.Request):
        self.bundle, self.request = bundle, request
        self.portrait = pipeline.encode_portrait(bundle, request)

    def start(self) -> tuple[Tensor, Tensor]:
        return self.portrait, torch.zeros(1, 1, 0, 80)

    def identity(self) -> str:
        request = self.request
        portrait = hashlib.sha256(self.portrait.numpy().tobytes()).hexdigest()
        return repr((portrait, request.width, request.height, request.steps, request.shift, request.guidance))

    @torch.no_grad()
    def sample(self, order: Order) -> tuple[Tensor, Tensor]:
        shapes = stream_shapes(order.latent_frames, self.request.width, self.request.height)
        video, audio = torch.zeros(shapes[0]), torch.zeros(shapes[1])
        video[:, :, : order.video.shape[2]] = order.video
        audio[:, :, : order.mel.shape[2]] = normalise_mel(order.mel)
        kept = kept_prefix(order.latent_frames, shapes[1][2], order.video.shape[2], order.mel.shape[2])
        clip = Clip(video, audio, kept, self.portrait)
        language = detect_language(order.words)
        silent = negative_symbols(language)
        spoken = positive_symbols(order.words, language) if order.words else silent
        streams = sample_euler(
            self.bundle.model, clip, pipeline.draw_noise(shapes, order.seed),
            flow_sigmas(self.request.steps, self.request.shift),
            pipeline.condition(self.bundle, order.caption, spoken), pipeline.condition(self.bundle, "", silent),
            self.request.guidance,
        )  # fmt: skip
        video, audio = clip.put_back(*streams)
        return video, denormalise_mel(audio)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        return self.bundle.codec.encode_frames(frames)

    def decode_picture(self, video: Tensor) -> Tensor:
        return pipeline.decode_video(self.bundle, video)

    @torch.no_grad()
    def decode_sound(self, mel: Tensor) -> Tensor:
        return GriffinLim()(mel[:, 0])[0]
