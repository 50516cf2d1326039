"""Long clips of the small model without ComfyUI."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from uniavgen_core.audio.vocoder import GriffinLim
from uniavgen_core.config import MEL_BANDS
from uniavgen_core.joint_latent import denormalise_mel, normalise_mel, stream_shapes
from uniavgen_core.long_form.step import SegmentRequest
from uniavgen_core.sampling.euler import Clip
from uniavgen_core.sampling.guidance import Guidance
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.speech.text import detect_language
from uniavgen_core.tasks import kept_prefix
from uniavgen_core.tiny.bundle import TinyBundle

from . import pipeline


class CoreHost:
    """Samples, encodes and decodes segments with a bundle.

    Args:
        portrait: (1, H, W, channels) of values 0..1: who is seen.
        width, height: of the clip, to which the portrait is cropped.
        steps, shift, guidance: how segments are sampled.

    Raises:
        ValueError: the size cannot be had.
    """

    def __init__(
        self,
        bundle: TinyBundle,
        portrait: Tensor,
        width: int,
        height: int,
        *,
        steps: int = pipeline.STEPS,
        shift: float = pipeline.SHIFT,
        guidance: Guidance = pipeline.GUIDANCE,
    ):
        self.bundle, self.size = bundle, (width, height)
        self.steps, self.shift, self.guidance = steps, shift, guidance
        self.portrait = pipeline.encode_portrait(bundle, portrait, width, height)
        self.reader = SpeechReader()

    def start(self) -> tuple[Tensor, Tensor]:
        return self.portrait, torch.zeros(1, 1, 0, MEL_BANDS)

    def identity(self) -> str:
        parts = (self.bundle.model, self.bundle.codec, self.bundle.caption_encoder)
        tensors = [self.portrait, *(tensor for part in parts for tensor in part.state_dict().values())]
        digest = hashlib.sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)).hexdigest()
        return repr((digest, self.size, self.steps, self.shift, self.guidance))

    @torch.no_grad()
    def sample(self, request: SegmentRequest) -> tuple[Tensor, Tensor]:
        if request.speaker is not None:
            raise ValueError(f"[speaker {request.speaker}] needs masks, which only UniAVGen Long Form takes.")
        shapes = stream_shapes(request.latent_frames, *self.size)
        video, audio = torch.zeros(shapes[0]), torch.zeros(shapes[1])
        video[:, :, : request.video.shape[2]] = request.video
        audio[:, :, : request.mel.shape[2]] = normalise_mel(request.mel)
        kept = kept_prefix(request.latent_frames, shapes[1][2], request.video.shape[2], request.mel.shape[2])
        clip = Clip(video, audio, kept, self.portrait)
        language = detect_language(request.words)
        silent = self.reader.negative_symbols(language)
        spoken = self.reader.positive_symbols(request.words, language) if request.words else silent
        positive, negative = (
            pipeline.condition(self.bundle, caption, symbols)
            for caption, symbols in ((request.caption, spoken), ("", silent))
        )
        video, audio = pipeline.sample_clip(
            self.bundle, clip, positive, negative, seed=request.seed,
            steps=self.steps, shift=self.shift, guidance=self.guidance,
        )  # fmt: skip
        return video, denormalise_mel(audio)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        return self.bundle.codec.encode_frames(frames)

    def decode_video(self, video: Tensor) -> Tensor:
        return pipeline.decode_video(self.bundle, video)

    @torch.no_grad()
    def decode_audio(self, mel: Tensor) -> Tensor:
        return GriffinLim()(mel[:, 0])[0]
